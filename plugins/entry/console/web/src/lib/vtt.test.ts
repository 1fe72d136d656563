import { describe, expect, it } from "vitest";
import { parseThumbnails, thumbnailAt } from "./vtt";

const BASE = "http://host/v/7/thumbnails.vtt";
const FILE = `WEBVTT

NOTE made by a test

1
00:00:00.000 --> 00:00:02.000
thumbnails-0.jpg#xywh=0,0,160,90

00:02.000 --> 00:04.000 align:start
thumbnails-0.jpg#xywh=160,0,160,90

01:00:00.500 --> 01:00:02.500
/pictures/whole.jpg
`;

describe("parseThumbnails", () => {
  it("reads times with and without hours, and areas of sprites", () => {
    expect(parseThumbnails(FILE, BASE)).toEqual([
      {
        start: 0,
        end: 2,
        url: "http://host/v/7/thumbnails-0.jpg",
        area: { x: 0, y: 0, width: 160, height: 90 },
      },
      {
        start: 2,
        end: 4,
        url: "http://host/v/7/thumbnails-0.jpg",
        area: { x: 160, y: 0, width: 160, height: 90 },
      },
      { start: 3600.5, end: 3602.5, url: "http://host/pictures/whole.jpg", area: null },
    ]);
  });

  it("reads the line ends of every system, and a byte order mark", () => {
    expect(parseThumbnails(`\uFEFF${FILE.replaceAll("\n", "\r\n")}`, BASE)).toHaveLength(3);
    expect(parseThumbnails(FILE.replaceAll("\n", "\r"), BASE)).toHaveLength(3);
  });

  it("leaves out what makes no sense, and never throws", () => {
    const odd = [
      "",
      "WEBVTT",
      "WEBVTT\n\n00:04.000 --> 00:02.000\na.jpg",
      "WEBVTT\n\n00:00.000 --> 00:02.000\n",
      "WEBVTT\n\n00:00.000 --> 00:02.000\njavascript:alert(1)",
      "WEBVTT\n\nx --> y\na.jpg",
    ];
    for (const text of odd) expect(parseThumbnails(text, BASE)).toEqual([]);
    expect(
      parseThumbnails("WEBVTT\n\n00:00.000 --> 00:02.000\na.jpg#xywh=0,0,0,90", BASE)[0]?.area,
    ).toBeNull();
  });
});

describe("thumbnailAt", () => {
  const list = parseThumbnails(FILE, BASE);
  it("finds the picture of a moment, and the last one before a gap", () => {
    expect(thumbnailAt(list, 0)?.start).toBe(0);
    expect(thumbnailAt(list, 1.999)?.start).toBe(0);
    expect(thumbnailAt(list, 2)?.start).toBe(2);
    expect(thumbnailAt(list, 500)?.start).toBe(2);
    expect(thumbnailAt(list, 99_999)?.start).toBe(3600.5);
  });
  it("answers null when there are none", () => {
    expect(thumbnailAt([], 5)).toBeNull();
  });
});
