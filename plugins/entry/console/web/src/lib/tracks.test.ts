import { describe, expect, it } from "vitest";
import { languageName, languageOfFile, sameLanguage, tagOf } from "./languages";
import { captionName, inOneLine, soundName } from "./tracks";

describe("languageName", () => {
  it("names a language, and tolerates an invalid one", () => {
    expect(languageName("de")).toBe("German");
    expect(languageName("pt-BR")).toBe("Brazilian Portuguese");
    expect(languageName("x_y!")).toBe("x_y!");
    for (const unknown of ["und", "zxx", "", null, undefined]) expect(languageName(unknown)).toBe("");
  });
});

describe("tagOf", () => {
  it("takes a tag in any case, an older one, or a common name", () => {
    expect(tagOf(" PT-br ")).toBe("pt-BR");
    expect(tagOf("zh_hant")).toBe("zh-Hant");
    expect(tagOf("eng")).toBe("en");
    expect(tagOf("german")).toBe("de");
    expect(tagOf("")).toBe("");
  });
  it("refuses what is no language", () => {
    for (const text of ["whatever", "e", "en-", "en us", "12"]) expect(tagOf(text)).toBeNull();
  });
});

describe("languageOfFile", () => {
  it("reads the language before a file's extension", () => {
    expect(languageOfFile("film.pt-br.srt")).toBe("pt-BR");
    expect(languageOfFile("A film.en.forced.vtt")).toBe("en");
    expect(languageOfFile("film.srt")).toBe("");
    expect(languageOfFile("de.srt")).toBe("");
    expect(languageOfFile("S01.E02.srt")).toBe("");
  });
});

describe("sameLanguage", () => {
  it("leaves out regions and scripts", () => {
    expect(sameLanguage("en-GB", "en")).toBe(true);
    expect(sameLanguage("eng", "en-US")).toBe(true);
    expect(sameLanguage("en", "fr")).toBe(false);
  });
  it("treats two unnamed ones as the same, but not one of them", () => {
    expect(sameLanguage(null, null)).toBe(true);
    expect(sameLanguage("en", null)).toBe(false);
  });
});

describe("names", () => {
  const plain = { language: null, label: null, forced: false, hearing_impaired: false, commentary: false };
  it("are the label, or else the language's name, or else the fallback", () => {
    expect(captionName({ ...plain, language: "en", label: "Simple English" }, "x")).toEqual({
      name: "Simple English",
      hints: [],
    });
    expect(captionName({ ...plain, language: "en" }, "x").name).toBe("English");
    expect(captionName(plain, "Captions 2").name).toBe("Captions 2");
  });
  it("are distinguished by what their label leaves out", () => {
    const full = { ...plain, language: "de", label: "Full" };
    expect(inOneLine(captionName(full, "x"))).toBe("Full, German");
    expect(inOneLine(captionName({ ...plain, language: "en", hearing_impaired: true }, "x"))).toBe(
      "English, for the hard of hearing",
    );
    expect(inOneLine(soundName({ language: "fr", commentary: true }, "x"))).toBe("French, commentary");
    expect(inOneLine(soundName({ label: "Director's Commentary", commentary: true }, "x"))).toBe(
      "Director's Commentary",
    );
    expect(inOneLine(soundName({ described: true }, "Sound 2"))).toBe("Sound 2, audio description");
  });
});
