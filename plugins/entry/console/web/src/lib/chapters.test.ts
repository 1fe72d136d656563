import { describe, expect, it } from "vitest";
import { chapterAt, chapterTitle, formatChapters, parseChapters, timecode } from "./chapters";

describe("parseChapters", () => {
  it("reads a time and a title of each line, in any order", () => {
    const text = "1:30 First part\r\n\n0:00 Intro\n1:02:03.5   The end: at last ";
    expect(parseChapters(text, null)).toEqual({
      chapters: [
        { start: 0, title: "Intro" },
        { start: 90, title: "First part" },
        { start: 3723.5, title: "The end: at last" },
      ],
      mistakes: [],
    });
  });
  it("reads minutes beyond an hour, and no title", () => {
    expect(parseChapters("75:00 Late\n0:05", null).chapters).toEqual([
      { start: 5, title: "" },
      { start: 4500, title: "Late" },
    ]);
  });
  it("names each line that is wrong, and why", () => {
    const { mistakes } = parseChapters("Intro\n0:75 x\n0:10 a\n0:10.0 b\n9:00 c\n1:75:00 d", 60);
    expect(mistakes).toEqual([
      "Line 1 does not begin with a time such as 1:05.",
      "Line 2 does not begin with a time such as 1:05.",
      "Line 4 begins at 0:10, as another chapter does.",
      "Line 5 begins after the video's end, which is at 1:00.",
      "Line 6 does not begin with a time such as 1:05.",
    ]);
  });
  it("takes no more than the server does", () => {
    const lines = Array.from({ length: 1001 }, (_, index) => `${timecode(index)} x`).join("\n");
    expect(parseChapters(lines, null).mistakes).toHaveLength(1);
  });
  it("takes no title that the server would not", () => {
    expect(parseChapters(`0:00 ${"é".repeat(200)}`, null).mistakes).toEqual([]);
    expect(parseChapters(`0:00 ${"é".repeat(201)}`, null).mistakes).toEqual([
      "Line 1 has a title of more than 200 characters.",
    ]);
  });
  it("reads nothing as no chapters", () => {
    expect(parseChapters(" \n", 5)).toEqual({ chapters: [], mistakes: [] });
  });
});

describe("formatChapters", () => {
  it("writes what is read again as it was", () => {
    const chapters = [
      { start: 0, title: "Intro" },
      { start: 61.25, title: "A: b" },
      { start: 3600.001, title: "" },
    ];
    const text = formatChapters(chapters);
    expect(text).toBe("0:00 Intro\n1:01.25 A: b\n1:00:00.001");
    expect(parseChapters(text, null)).toEqual({ chapters, mistakes: [] });
  });
});

describe("chapterAt", () => {
  const chapters = [
    { start: 2, title: "One" },
    { start: 10, title: "" },
  ];
  it("finds the chapter of a time, and none before the first", () => {
    expect([0, 2, 9.9, 10, 99].map((time) => chapterAt(chapters, time))).toEqual([-1, 0, 0, 1, 1]);
    expect(chapterAt([], 5)).toBe(-1);
  });
  it("names one without a title by its number", () => {
    expect([0, 1].map((index) => chapterTitle(chapters, index))).toEqual(["One", "Chapter 2"]);
  });
});
