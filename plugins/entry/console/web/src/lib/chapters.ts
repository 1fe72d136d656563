// Chapters as people write them, one per line: `0:00 Intro`. And the chapter of a time.

import type { Chapter } from "../api/types";

/** The server's limits. */
const MOST = 1_000;
const TITLE_CHARS = 200;

const LINE = /^\s*(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2})(?:[.,](\d{1,3}))?(?:\s+(.*))?$/;

export interface ParsedChapters {
  /** In the order of their start. */
  chapters: Chapter[];
  /** For people, each with its line; empty: valid. */
  mistakes: string[];
}

/** `duration` in seconds bounds them; `null`: unknown. */
export function parseChapters(text: string, duration: number | null): ParsedChapters {
  const chapters: Chapter[] = [];
  const mistakes: string[] = [];
  const seen = new Set<number>();
  for (const [index, line] of text.split(/\r\n?|\n/).entries()) {
    if (!line.trim()) continue;
    const wrong = (what: string) => mistakes.push(`Line ${index + 1} ${what}`);
    const match = LINE.exec(line);
    const start = match && startOf(match);
    const title = match?.[5]?.trim() ?? "";
    if (start === null) wrong("does not begin with a time such as 1:05.");
    else if ([...title].length > TITLE_CHARS) wrong(`has a title of more than ${TITLE_CHARS} characters.`);
    else if (seen.has(start)) wrong(`begins at ${timecode(start)}, as another chapter does.`);
    else if (duration !== null && start >= duration)
      wrong(`begins after the video's end, which is at ${timecode(duration)}.`);
    else chapters.push({ start, title });
    if (start !== null) seen.add(start);
  }
  if (chapters.length > MOST) mistakes.push(`There are ${chapters.length} chapters; ${MOST} are possible.`);
  return { chapters: chapters.sort((a, b) => a.start - b.start), mistakes };
}

function startOf([, hours = "0", minutes = "0", seconds = "0", fraction = ""]: RegExpExecArray):
  | number
  | null {
  if (Number(seconds) > 59 || (Number(hours) > 0 && Number(minutes) > 59)) return null;
  const whole = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return whole + Number(fraction.padEnd(3, "0")) / 1000;
}

/** `1:05`, `1:00:05`, and with a fraction where there is one: `1:05.25`. */
export function timecode(seconds: number): string {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const pad = (value: number) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60];
  const fraction =
    ms % 1000 === 0
      ? ""
      : `.${String(ms % 1000)
          .padStart(3, "0")
          .replace(/0+$/, "")}`;
  return (h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`) + fraction;
}

export function formatChapters(chapters: Chapter[]): string {
  return chapters.map(({ start, title }) => `${timecode(start)} ${title}`.trimEnd()).join("\n");
}

/** The index of the chapter of a time; -1: before the first one, or there are none. */
export function chapterAt(chapters: Chapter[], time: number): number {
  return chapters.findLastIndex(({ start }) => start <= time);
}

/** The name of a chapter; one without a title has its number. */
export function chapterTitle(chapters: Chapter[], index: number): string {
  return chapters[index]?.title || `Chapter ${index + 1}`;
}
