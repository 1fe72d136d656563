import type { MediaPlaylist } from "hls.js";
import { describe, expect, it } from "vitest";
import type { Rendition } from "../api/types";
import { type CueSettings, placeOf } from "./cues";
import {
  countSounds,
  languageHeard,
  type NativeSounds,
  nameOfSound,
  soundsOfBrowser,
  soundsOfHls,
} from "./sounds";

const audio = (name: string, facts: Partial<Rendition> = {}): Rendition => ({
  name,
  kind: "audio",
  codec: null,
  width: null,
  height: null,
  fps: null,
  channels: 2,
  sample_rate: 48_000,
  bitrate: 1,
  target_bitrate: 1,
  segments: 1,
  complete: true,
  ...facts,
});
const renditions = [
  audio("audio-128k", { track: 0, language: "en" }),
  audio("audio-64k", { track: 0, language: "en" }),
  audio("audio-1-128k", { track: 1, language: "en", label: "The makers", commentary: true }),
];

describe("sounds", () => {
  const listed = soundsOfHls(
    [
      { name: "English", lang: "en", url: "http://x/v/1/audio-128k/index.m3u8?t=1" },
      { name: "Other", lang: "en", url: "http://x/v/1/audio-1-128k/index.m3u8" },
      { name: "Unknown", lang: "fr", url: "", characteristics: "public.accessibility.describes-video" },
    ] as MediaPlaylist[],
    "http://x/watch/1",
  );
  it("are named by the catalogue, or else by the playlist", () => {
    expect(listed.map((sound) => nameOfSound(sound, renditions))).toEqual([
      { name: "English", hints: [] },
      { name: "The makers", hints: ["English", "commentary"] },
      { name: "Unknown", hints: ["French", "audio description"] },
    ]);
  });
  it("are read from the browser's own list, too", () => {
    const tracks = {
      length: 2,
      0: { enabled: true, kind: "main", label: "", language: "de" },
      1: { enabled: false, kind: "commentary", label: "", language: "" },
    } as unknown as NativeSounds;
    expect(soundsOfBrowser(tracks).map((sound) => nameOfSound(sound, renditions))).toEqual([
      { name: "German", hints: [] },
      { name: "Sound 2", hints: ["commentary"] },
    ]);
  });
  it("have a language before any is chosen: that of the default one", () => {
    expect(languageHeard(undefined, renditions)).toBe("en");
    expect(languageHeard(listed[2], renditions)).toBe("fr");
    expect(languageHeard(undefined, [])).toBeNull();
  });
  it("are counted without their bit rates", () => {
    expect(countSounds(renditions)).toBe(2);
    expect(countSounds([audio("a"), audio("b")])).toBe(1);
  });
});

describe("placeOf", () => {
  const cue = (change: Partial<CueSettings> = {}): CueSettings => ({
    line: "auto",
    snapToLines: true,
    position: "auto",
    positionAlign: "auto",
    size: 100,
    align: "center",
    ...change,
  });
  it("is the whole width of the bottom, unless a cue says otherwise", () => {
    expect(placeOf(cue())).toEqual({ top: false, align: "center", left: 0, width: 100 });
  });
  it("is at the top for lines of the upper half, however they are counted", () => {
    const tops = [{ line: 0 }, { line: -15 }, { line: 10, snapToLines: false }];
    const bottoms = [{ line: -1 }, { line: 14 }, { line: 90, snapToLines: false }];
    expect(tops.map((settings) => placeOf(cue(settings)).top)).toEqual([true, true, true]);
    expect(bottoms.map((settings) => placeOf(cue(settings)).top)).toEqual([false, false, false]);
  });
  it("never leaves the picture", () => {
    expect(placeOf(cue({ position: 20 }))).toMatchObject({ left: 0, width: 40 });
    expect(placeOf(cue({ position: 60, align: "start" }))).toMatchObject({ left: 60, width: 40 });
    expect(placeOf(cue({ position: 60, positionAlign: "line-right", size: 30 }))).toMatchObject({
      left: 30,
      width: 30,
    });
    expect(placeOf(cue({ align: "right", size: 50 }))).toMatchObject({ align: "end", left: 50, width: 50 });
  });
});
