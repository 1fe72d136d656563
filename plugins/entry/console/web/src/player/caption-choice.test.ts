import { afterEach, describe, expect, it, vi } from "vitest";
import type { Caption } from "../api/types";
import {
  chosen,
  listed,
  OFF,
  rememberedTaste,
  rememberTaste,
  type Situation,
  shown,
  type Taste,
  wanted,
} from "./caption-choice";

const caption = (name: string, language: string | null, flags: Partial<Caption> = {}): Caption => ({
  name,
  language,
  label: null,
  default: false,
  forced: false,
  hearing_impaired: false,
  commentary: false,
  bytes: 1,
  url: `/v/1/${name}/1.vtt`,
  ...flags,
});
const english = caption("en", "en");
const loud = caption("sdh", "en", { hearing_impaired: true });
const german = caption("de", "de");
const signs = caption("signs", "en", { forced: true });
const all = [english, loud, german, signs];

const taste = (language: string | null, flags: Partial<Taste> = {}): Taste => ({
  on: true,
  language,
  hearing_impaired: false,
  ...flags,
});
const where = (change: Partial<Situation> = {}): Situation => ({
  captions: all,
  picked: null,
  taste: null,
  heard: "en",
  ...change,
});

describe("captions in the menu", () => {
  it("are all but the forced ones", () => expect(listed(all)).toEqual([english, loud, german]));
  it("are the forced ones where there is nothing else", () => expect(listed([signs])).toEqual([signs]));
});

describe("captions that are on", () => {
  it("are off while neither the viewer nor the video says otherwise", () =>
    expect(chosen(where())).toBeNull());
  it("are the default ones for a viewer who never chose", () => {
    const byDefault = caption("fr", "fr", { default: true });
    expect(chosen(where({ captions: [english, byDefault] }))).toBe(byDefault);
    expect(chosen(where({ captions: [english, byDefault], taste: taste("en", { on: false }) }))).toBeNull();
  });
  it("are of the language that the viewer chose before", () => {
    expect(chosen(where({ taste: taste("de") }))).toBe(german);
    expect(chosen(where({ taste: taste("de-AT") }))).toBe(german);
    expect(chosen(where({ taste: taste("en", { hearing_impaired: true }) }))).toBe(loud);
    const brazilian = caption("br", "pt-BR");
    expect(chosen(where({ captions: [caption("pt", "pt"), brazilian], taste: taste("pt-BR") }))).toBe(
      brazilian,
    );
  });
  it("are of the sound's language if that one is missing", () =>
    expect(chosen(where({ taste: taste("ja"), heard: "de" }))).toBe(german));
  it("are what the viewer picked here, whatever was chosen before", () => {
    expect(chosen(where({ picked: "de", taste: taste("en") }))).toBe(german);
    expect(chosen(where({ picked: OFF, taste: taste("en") }))).toBeNull();
  });
  it("follow from the rest once those that were picked are gone", () =>
    expect(chosen(where({ picked: "gone", taste: taste("de") }))).toBe(german));
});

describe("captions that are drawn", () => {
  it("are the forced ones of the sound's language while captions are off", () => {
    expect(shown(where())).toBe(signs);
    expect(shown(where({ picked: OFF, heard: "en-GB" }))).toBe(signs);
    expect(shown(where({ heard: "de" }))).toBeNull();
    expect(shown(where({ heard: null }))).toBeNull();
  });
  it("are those that are on, and no other ones", () => expect(shown(where({ picked: "de" }))).toBe(german));
  it("can be turned off where the forced ones are all there is", () => {
    expect(shown(where({ captions: [signs] }))).toBe(signs);
    expect(chosen(where({ captions: [signs] }))).toBe(signs);
    expect(shown(where({ captions: [signs], picked: OFF }))).toBeNull();
  });
});

describe("captions that are requested without a name", () => {
  it("are the default ones, or those of the sound's language, but for commentaries", () => {
    expect(wanted(where())).toBe(english);
    expect(wanted(where({ heard: "de" }))).toBe(german);
    const talk = caption("talk", "en", { commentary: true });
    expect(wanted(where({ captions: [talk, english] }))).toBe(english);
    const byDefault = caption("fr", "fr", { default: true });
    expect(wanted(where({ captions: [english, byDefault] }))).toBe(byDefault);
    expect(wanted(where({ captions: [] }))).toBeNull();
  });
});

describe("the viewer's preference", () => {
  afterEach(() => vi.unstubAllGlobals());
  const stored = (text: string | null) =>
    vi.stubGlobal("localStorage", { getItem: () => text, setItem: vi.fn() });
  it("is kept over visits", () => {
    stored(JSON.stringify(taste("de")));
    expect(rememberedTaste()).toEqual(taste("de"));
    rememberTaste(taste("fr"));
    expect(localStorage.setItem).toHaveBeenCalledWith("streamgate.captions", JSON.stringify(taste("fr")));
  });
  it("is empty if nothing or an invalid value is stored, or storage is unavailable", () => {
    for (const text of [null, "{", "7", "{}", '{"on":"yes"}']) {
      stored(text);
      expect(rememberedTaste()).toBeNull();
    }
    vi.stubGlobal("localStorage", undefined);
    expect(rememberedTaste()).toBeNull();
    expect(() => rememberTaste(taste("de"))).not.toThrow();
  });
});
