// Parses thumbnails.vtt: WebVTT cues whose text is a picture's address with a media fragment
// `#xywh=x,y,w,h` (Media Fragments URI 1.0 §4.2.2). Never throws: invalid cues are left out.

export interface Thumbnail {
  start: number;
  end: number;
  url: string;
  /** The part of the picture, in pixels; null for the whole. */
  area: { x: number; y: number; width: number; height: number } | null;
}

const TIMING = /^\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s+-->\s+((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})/;

/** `base` is the address of the file itself, which its pictures are relative to. */
export function parseThumbnails(text: string, base: string): Thumbnail[] {
  const thumbnails: Thumbnail[] = [];
  const plain = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  for (const block of plain.split(/\n{2,}/)) {
    const lines = block.split("\n");
    const at = lines.findIndex((line) => TIMING.test(line));
    const timing = TIMING.exec(lines[at] ?? "");
    const target = lines[at + 1]?.trim();
    if (!timing || !target) continue;
    const start = seconds(timing[1] ?? "");
    const end = seconds(timing[2] ?? "");
    if (!(end > start)) continue;
    let url: URL;
    try {
      url = new URL(target, base);
    } catch {
      continue;
    }
    if (url.protocol !== "http:" && url.protocol !== "https:") continue;
    const area = parseArea(url.hash);
    url.hash = "";
    thumbnails.push({ start, end, url: url.href, area });
  }
  return thumbnails.sort((a, b) => a.start - b.start);
}

function seconds(stamp: string): number {
  return stamp
    .replace(",", ".")
    .split(":")
    .reduce((sum, part) => sum * 60 + Number(part), 0);
}

function parseArea(hash: string): Thumbnail["area"] {
  const match = /^#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/.exec(hash);
  if (!match) return null;
  const [x = 0, y = 0, width = 0, height = 0] = match.slice(1).map(Number);
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

/** The picture of a time: the last one that begins at or before it. */
export function thumbnailAt(thumbnails: Thumbnail[], time: number): Thumbnail | null {
  let low = 0;
  let high = thumbnails.length - 1;
  let found: Thumbnail | null = thumbnails[0] ?? null;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const candidate = thumbnails[middle];
    if (candidate && candidate.start <= time) {
      found = candidate;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return found;
}
