import { describe, expect, it } from "vitest";
import { kindOfFile } from "../api/captions";
import { lineIn, rangeOfLine } from "./lines";

describe("a complaint about a text", () => {
  it("names its line, if it does", () => {
    expect(lineIn("Line 12: the end is before the start.")).toBe(12);
    expect(lineIn("It is wrong in line 3, and line 4.")).toBe(3);
    expect(lineIn("Online 5 people.")).toBeNull();
    expect(lineIn("line 0")).toBeNull();
  });
  it("is about a part of it, which is never outside", () => {
    const text = "ab\n\ncde";
    expect([1, 2, 3, 4, 99].map((line) => rangeOfLine(text, line))).toEqual([
      [0, 2],
      [3, 3],
      [4, 7],
      [7, 7],
      [7, 7],
    ]);
  });
});

describe("kindOfFile", () => {
  it("knows the files of captions by their endings", () => {
    expect(kindOfFile("a.en.SRT")).toBe("application/x-subrip");
    expect(kindOfFile("a.vtt")).toBe("text/vtt");
    expect([kindOfFile("a.ass"), kindOfFile("a.ssa")]).toEqual(["text/x-ssa", "text/x-ssa"]);
    expect([kindOfFile("a.ttml"), kindOfFile("a.dfxp")]).toEqual([
      "application/ttml+xml",
      "application/ttml+xml",
    ]);
    expect(kindOfFile("a.bin")).toBe("application/octet-stream");
  });
});
