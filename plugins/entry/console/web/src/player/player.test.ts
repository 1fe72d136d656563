import { describe, expect, it } from "vitest";
import type { Rendition } from "../api/types";
import { type LevelFacts, levelName, qualityName, usableLevels } from "./levels";
import { commandOf, nextSpeed } from "./shortcuts";

const level = (index: number, rendition: string): LevelFacts => ({
  index,
  rendition,
  width: 640,
  height: 360,
  fps: 25,
  bitrate: 1,
  usable: true,
});
const rendition = (name: string, segments: number, complete = false): Rendition => ({
  name,
  kind: "video",
  codec: null,
  width: 640,
  height: 360,
  fps: 25,
  channels: null,
  sample_rate: null,
  bitrate: 1,
  target_bitrate: 1,
  segments,
  complete,
});

describe("usableLevels", () => {
  const levels = [level(0, "234p"), level(1, "360p"), level(2, "720p")];
  it("keeps off renditions that lag behind the furthest one", () => {
    const usable = usableLevels(levels, [rendition("234p", 30), rendition("360p", 29), rendition("720p", 4)]);
    expect(usable).toEqual([true, true, false]);
  });
  it("allows complete ones whatever their number of segments", () => {
    expect(usableLevels([level(0, "720p")], [rendition("234p", 30), rendition("720p", 28, true)])).toEqual([
      true,
    ]);
  });
  it("allows what the catalogue does not know", () => {
    expect(usableLevels(levels, [])).toEqual([true, true, true]);
  });
});

describe("qualityName", () => {
  it("tells automatic from chosen, and always has its value", () => {
    expect(qualityName(null, "720p")).toEqual({
      short: "Auto (720p)",
      spoken: "Quality: automatic, now 720p",
    });
    expect(qualityName(null, null)).toEqual({ short: "Auto", spoken: "Quality: automatic" });
    expect(qualityName("720p", "360p")).toEqual({ short: "720p", spoken: "Quality: 720p" });
  });
});

describe("levelName", () => {
  it("is the shorter side, with the rate when it is high", () => {
    expect(levelName({ width: 1280, height: 720, fps: 25 })).toBe("720p");
    expect(levelName({ width: 720, height: 1280, fps: 59.94 })).toBe("720p60");
    expect(levelName({ width: 0, height: 0, fps: 0 })).toBe("Audio only");
  });
});

describe("commandOf", () => {
  const key = (name: string, modifiers = {}) =>
    commandOf({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...modifiers });
  it("knows the keys of common players", () => {
    expect(key(" ")).toEqual({ do: "toggle" });
    expect(key("K")).toEqual({ do: "toggle" });
    expect(key("j")).toEqual({ do: "skip", seconds: -10 });
    expect(key("ArrowRight")).toEqual({ do: "skip", seconds: 5 });
    expect(key("7")).toEqual({ do: "jump", fraction: 0.7 });
    expect(key(">")).toEqual({ do: "speed", step: 1 });
    expect(key("C")).toEqual({ do: "captions" });
    expect(key("x")).toBeNull();
  });
  it("leaves the browser's own combinations alone", () => {
    expect(key("f", { ctrlKey: true })).toBeNull();
    expect(key("l", { metaKey: true })).toBeNull();
  });
});

describe("nextSpeed", () => {
  it("steps through the speeds and stops at the ends", () => {
    expect(nextSpeed(1, 1)).toBe(1.25);
    expect(nextSpeed(2, 1)).toBe(2);
    expect(nextSpeed(0.25, -1)).toBe(0.25);
    expect(nextSpeed(1.1, -1)).toBe(0.75);
  });
});
