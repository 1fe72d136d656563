import { describe, expect, it } from "vitest";
import { ago, bitrate, bytes, clock, frameRate, percent, remaining, spokenTime } from "./format";

describe("clock", () => {
  it("shows hours only when there are some", () => {
    expect(clock(0)).toBe("0:00");
    expect(clock(65.9)).toBe("1:05");
    expect(clock(3605)).toBe("1:00:05");
  });
  it("shows zero for what is no time", () => {
    for (const odd of [-1, Number.NaN, Number.POSITIVE_INFINITY]) expect(clock(odd)).toBe("0:00");
  });
});

describe("spokenTime", () => {
  it("says each unit that is not zero, in the right number", () => {
    expect(spokenTime(3661)).toBe("1 hour 1 minute 1 second");
    expect(spokenTime(7200)).toBe("2 hours");
    expect(spokenTime(0)).toBe("0 seconds");
  });
});

describe("sizes and rates", () => {
  it("use the largest unit below a thousand", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(999)).toBe("999 B");
    expect(bytes(1_055_736)).toBe("1.1 MB");
    expect(bytes(184_000_000)).toBe("184 MB");
    expect(bitrate(148_400)).toBe("148 kb/s");
    expect(bitrate(2_000_000)).toBe("2.0 Mb/s");
  });
  it("leave a dash for what is unknown", () => {
    expect(bytes(Number.NaN)).toBe("–");
    expect(bitrate(null)).toBe("–");
  });
  it("never claim 100% before the end", () => {
    expect(percent(0.999)).toBe("99%");
    expect(percent(1)).toBe("100%");
    expect(percent(7)).toBe("100%");
  });
  it("show fractional frame rates as people know them", () => {
    expect(frameRate(29.97002997)).toBe("29.97 fps");
    expect(frameRate(null)).toBe("");
  });
});

describe("remaining", () => {
  it("grows coarser with the distance", () => {
    expect(remaining(3)).toBe("a few seconds left");
    expect(remaining(42)).toBe("45 s left");
    expect(remaining(61)).toBe("2 min left");
    expect(remaining(4200)).toBe("1 h 10 min left");
    expect(remaining(7200)).toBe("2 h left");
    expect(remaining(86_400 * 9)).toBe("9 days left");
  });
  it("says nothing while nothing is known", () => {
    expect(remaining(null)).toBe("");
    expect(remaining(Number.POSITIVE_INFINITY)).toBe("");
  });
});

describe("ago", () => {
  const now = Date.UTC(2026, 0, 10, 12);
  it("names the largest unit", () => {
    expect(ago(now - 3_000, now)).toBe("just now");
    expect(ago(now - 30_000, now)).toBe("30 seconds ago");
    expect(ago(now - 5_400_000, now)).toMatch(/hours? ago|2 hours ago/);
    expect(ago(now - 86_400_000, now)).toBe("yesterday");
    expect(ago(now - 400 * 86_400_000, now)).toBe("last year");
  });
  it("is empty for what is no date", () => {
    expect(ago("never", now)).toBe("");
  });
});
