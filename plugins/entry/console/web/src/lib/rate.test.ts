import { describe, expect, it } from "vitest";
import { TransferRate } from "./rate";

function steady(bytesPerSecond: number, seconds: number): TransferRate {
  const rate = new TransferRate();
  for (let t = 0; t <= seconds * 10; t++) rate.sample(t * 100, (t / 10) * bytesPerSecond);
  return rate;
}

describe("TransferRate", () => {
  it("knows nothing after one sample", () => {
    const rate = new TransferRate();
    rate.sample(0, 100);
    expect(rate.bytesPerSecond).toBeNull();
    expect(rate.eta(1000)).toBeNull();
  });

  it("finds the speed of a steady transfer and the time it still takes", () => {
    const rate = steady(1_000, 5);
    expect(rate.bytesPerSecond).toBeCloseTo(1_000, 5);
    expect(rate.eta(15_000)).toBeCloseTo(10, 5);
  });

  it("follows a change of speed within a few seconds, without jumping at once", () => {
    const rate = steady(1_000, 5);
    rate.sample(5_100, 5_000 + 1_000);
    expect(rate.bytesPerSecond).toBeLessThan(2_000);
    for (let t = 1; t <= 200; t++) rate.sample(5_100 + t * 100, 6_000 + t * 1_000);
    expect(rate.bytesPerSecond).toBeGreaterThan(9_000);
  });

  it("starts over when the transfer goes back, as after a resume", () => {
    const rate = steady(1_000, 5);
    rate.sample(6_000, 10);
    expect(rate.bytesPerSecond).toBeNull();
  });

  it("waits a second before it says anything", () => {
    const rate = new TransferRate();
    rate.sample(0, 0);
    rate.sample(900, 9_000);
    expect(rate.bytesPerSecond).toBeNull();
    rate.sample(1_000, 10_000);
    expect(rate.bytesPerSecond).toBeCloseTo(10_000, 5);
  });

  it("ignores samples that are too close together", () => {
    const rate = new TransferRate();
    rate.sample(0, 0);
    rate.sample(1, 1_000_000);
    expect(rate.bytesPerSecond).toBeNull();
  });

  it("gives no time for a transfer that stands still", () => {
    const rate = new TransferRate();
    rate.sample(0, 0);
    rate.sample(1_000, 0);
    expect(rate.eta(1_000)).toBeNull();
  });
});
