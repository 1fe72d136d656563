// The time line: what was played, what is buffered, what is not encoded yet, where chapters begin, and a
// picture of the time under the pointer.

import { type PointerEvent, useEffect, useRef, useState } from "react";
import type { Chapter } from "../api/types";
import { chapterAt, chapterTitle } from "../lib/chapters";
import { clock, spokenTime } from "../lib/format";
import { type Thumbnail, thumbnailAt } from "../lib/vtt";

interface SeekBarProps {
  time: number;
  /** Of the whole content. */
  total: number;
  /** How far one can seek now. */
  available: number;
  /** More will come after `total`; how much is unknown. */
  openEnded: boolean;
  buffered: [number, number][];
  thumbnails: Thumbnail[];
  chapters: Chapter[];
  onSeek(time: number): void;
  onScrub(scrubbing: boolean): void;
}

const PREVIEW_WIDTH = 168;
/** Of the bar, while the end is open. */
const KNOWN_PART = 0.9;

export function SeekBar(props: SeekBarProps) {
  const { time, total, available, openEnded, buffered, thumbnails, chapters, onSeek, onScrub } = props;
  const bar = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);
  const [scrub, setScrub] = useState<number | null>(null);
  const shown = scrub ?? time;
  const length = openEnded ? total / KNOWN_PART : total;
  const at = (value: number) => (length > 0 ? Math.min(1, Math.max(0, value / length)) : 0);

  const timeOf = (event: PointerEvent) => {
    const box = bar.current?.getBoundingClientRect();
    if (!box || box.width === 0) return 0;
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * length;
  };
  const begin = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    setScrub(Math.min(timeOf(event), available));
    onScrub(true);
  };
  const move = (event: PointerEvent) => {
    const value = timeOf(event);
    setHover(value);
    if (scrub !== null) setScrub(Math.min(value, available));
  };
  const end = () => {
    if (scrub === null) return;
    onSeek(scrub);
    setScrub(null);
    onScrub(false);
  };
  const preview = scrub ?? hover;
  const titleAt = (value: number) => {
    const index = chapterAt(chapters, value);
    return index < 0 ? "" : chapterTitle(chapters, index);
  };

  return (
    <div className="relative">
      {preview !== null && total > 0 && (
        <Preview
          time={preview}
          fraction={at(preview)}
          coming={preview > available}
          openEnded={openEnded}
          thumbnails={thumbnails}
          chapter={titleAt(preview)}
        />
      )}
      <div
        ref={bar}
        role="slider"
        tabIndex={0}
        aria-label="Position"
        aria-valuemin={0}
        aria-valuemax={Math.floor(total)}
        aria-valuenow={Math.floor(shown)}
        aria-valuetext={[`${spokenTime(shown)} of ${spokenTime(total)}`, titleAt(shown)]
          .filter(Boolean)
          .join(", ")}
        className="group relative flex h-6 cursor-pointer touch-none items-center outline-offset-0"
        onPointerDown={begin}
        onPointerMove={move}
        onPointerUp={end}
        onPointerCancel={() => {
          setScrub(null);
          onScrub(false);
        }}
        onPointerLeave={() => setHover(null)}
      >
        <div className="relative h-1 w-full overflow-hidden bg-white/25 transition-[height] group-hover:h-2 group-focus-visible:h-2">
          {buffered.map(([start, stop]) => (
            <span
              key={start}
              className="absolute inset-y-0 bg-white/35"
              style={{ left: `${at(start) * 100}%`, width: `${(at(stop) - at(start)) * 100}%` }}
            />
          ))}
          <span
            className="absolute inset-y-0 left-0 w-full origin-left bg-[#63d3b8]"
            style={{ transform: `scaleX(${at(shown)})` }}
          />
          {available < length - 0.5 && (
            <span
              className="absolute inset-y-0 right-0 bg-black/60 text-[#efb45c]"
              style={{ left: `${at(available) * 100}%` }}
            >
              <span className="hatch breathe absolute inset-0" />
            </span>
          )}
          {chapters.map(({ start }) =>
            start > 0 && start < total ? (
              <span
                key={start}
                data-testid="chapter-mark"
                className="-translate-x-1/2 absolute inset-y-0 w-[3px] bg-black"
                style={{ left: `${at(start) * 100}%` }}
              />
            ) : null,
          )}
        </div>
        <span
          className="-ml-[3px] pointer-events-none absolute h-4 w-1.5 bg-white opacity-0 transition-opacity group-hover:opacity-100 group-focus-visible:opacity-100"
          style={{ left: `${at(shown) * 100}%` }}
        />
      </div>
    </div>
  );
}

interface PreviewProps {
  time: number;
  fraction: number;
  coming: boolean;
  openEnded: boolean;
  thumbnails: Thumbnail[];
  /** Title of its chapter; empty: it is in none. */
  chapter: string;
}

function Preview({ time, fraction, coming, openEnded, thumbnails, chapter }: PreviewProps) {
  const thumbnail = coming ? null : thumbnailAt(thumbnails, time);
  return (
    <div
      aria-hidden="true"
      className="pointer-events-none absolute bottom-full mb-1 flex flex-col items-center"
      style={{
        left: `clamp(${PREVIEW_WIDTH / 2}px, ${fraction * 100}%, calc(100% - ${PREVIEW_WIDTH / 2}px))`,
        width: PREVIEW_WIDTH,
        marginLeft: -PREVIEW_WIDTH / 2,
      }}
    >
      {chapter && (
        <span
          className="mb-1 line-clamp-2 max-w-full bg-black/80 px-1.5 text-center text-sm text-white wrap-anywhere"
          data-testid="chapter-preview"
        >
          {chapter}
        </span>
      )}
      {thumbnail && <Picture thumbnail={thumbnail} />}
      <span className="digits mt-1 bg-black/80 px-1.5 text-sm text-white">
        {coming && openEnded ? "Still being encoded" : clock(time)}
        {coming && !openEnded && " is still being encoded"}
      </span>
    </div>
  );
}

function Picture({ thumbnail }: { thumbnail: Thumbnail }) {
  const size = useNaturalSize(thumbnail.url);
  if (!size) return null;
  const area = thumbnail.area ?? { x: 0, y: 0, ...size };
  const scale = PREVIEW_WIDTH / area.width;
  return (
    <div
      className="border border-white/60 bg-black"
      style={{
        width: PREVIEW_WIDTH,
        height: area.height * scale,
        backgroundImage: `url("${thumbnail.url}")`,
        backgroundSize: `${size.width * scale}px ${size.height * scale}px`,
        backgroundPosition: `${-area.x * scale}px ${-area.y * scale}px`,
      }}
    />
  );
}

function useNaturalSize(url: string): { width: number; height: number } | null {
  const [size, setSize] = useState<{ url: string; width: number; height: number } | null>(null);
  useEffect(() => {
    let current = true;
    const image = new Image();
    image.onload = () => {
      if (current) setSize({ url, width: image.naturalWidth, height: image.naturalHeight });
    };
    image.src = url;
    return () => {
      current = false;
    };
  }, [url]);
  return size?.url === url ? size : null;
}
