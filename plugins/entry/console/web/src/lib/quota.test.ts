import { describe, expect, it } from "vitest";
import { amountOf, isFull, partText, typed } from "./quota";

describe("quotas", () => {
  it("show the use, the limit, and when it is reset", () => {
    expect(partText("stored", { limit: 100e9, used: 4.2e9 })).toBe("4.2 GB of 100 GB");
    expect(partText("stored", { limit: null, used: 4.2e9 })).toBe("4.2 GB");
    expect(partText("encodes", { limit: 2, used: 2, waiting: 3 })).toBe("2 of 2, 3 waiting");
    expect(partText("event_streams", { limit: 50, used: 2 })).toBe("2 of 50");
    expect(partText("challenges", { limit: 300, used: 4 })).toBe("4 of 300 a minute");
    const until = "2026-12-01T00:00:00.000Z";
    expect(partText("encode_minutes", { limit: 60, used: 42, until })).toBe("42 min of 60 min");
    expect(partText("encode_minutes", { limit: 60, used: 61, until })).toContain(
      "61 min of 60 min, again from",
    );
  });

  it("are full only if there is a limit", () => {
    expect(isFull({ limit: 2, used: 2 })).toBe(true);
    expect(isFull({ limit: null, used: 2 })).toBe(false);
    expect(isFull({ used: 2 })).toBe(false);
  });

  it("are typed as they are shown, and anything else is no limit", () => {
    for (const [kind, text, amount] of [
      ["stored", "1.5", 1_500_000_000],
      ["encodes", "4", 4],
      ["encodes", "unlimited", "unlimited"],
      ["encodes", "", null],
    ] as const) {
      expect(amountOf(kind, text)).toBe(amount);
      expect(typed(kind, amount)).toBe(text);
    }
    for (const bad of ["-1", "x", "1.5", "1e3"]) expect(amountOf("encodes", bad)).toBeUndefined();
  });
});
