import { describe, expect, it } from "vitest";
import type { Rendition } from "../api/types";
import { expectedSegments, share, soundOf } from "./renditions";

const rendition = (kind: "video" | "audio", segments: number): Rendition => ({
  name: kind,
  kind,
  codec: null,
  width: null,
  height: null,
  fps: null,
  channels: null,
  sample_rate: null,
  bitrate: null,
  target_bitrate: null,
  segments,
  complete: false,
});

describe("expectedSegments", () => {
  const renditions = [rendition("video", 20), rendition("audio", 30)];
  it("follows from the length when that is known", () => {
    expect(expectedSegments({ duration: 121.7, progress: 0.3, renditions })).toBe(61);
  });
  it("follows from the progress of the pictures while the length is unknown", () => {
    expect(expectedSegments({ duration: null, progress: 0.25, renditions })).toBe(80);
  });
  it("is never less than the existing segments", () => {
    expect(expectedSegments({ duration: 1, progress: 1, renditions })).toBe(30);
  });
  it("is unknown at the start of a file of unknown length, and then nothing is drawn as full", () => {
    const expected = expectedSegments({ duration: null, progress: 0, renditions });
    expect(expected).toBeNull();
    expect(share(rendition("video", 2), expected)).toBe(0);
    expect(share(rendition("video", 2), 30)).toBeCloseTo(2 / 30);
  });
});

describe("soundOf", () => {
  it("names the sound, and returns nothing if it is unknown", () => {
    const french = { ...rendition("audio", 1), track: 1, language: "fr", described: true };
    expect(soundOf(french)).toBe("French, audio description");
    expect(soundOf({ ...french, language: null })).toBe("audio description");
    expect(soundOf(rendition("audio", 1))).toBe("");
    expect(soundOf({ ...rendition("video", 1), language: "fr" })).toBe("");
  });
});
