// Names of a content's sounds and captions, and their special properties.

import type { Caption } from "../api/types";
import { languageName } from "./languages";

export interface TrackName {
  name: string;
  /** What else distinguishes it from others; may be empty. */
  hints: string[];
}

export interface SoundFacts {
  language?: string | null | undefined;
  label?: string | null | undefined;
  commentary?: boolean | undefined;
  described?: boolean | undefined;
}

export type CaptionFacts = Pick<Caption, "language" | "label" | "forced" | "hearing_impaired" | "commentary">;

/** `fallback` is for unnamed ones. */
export function soundName(sound: SoundFacts, fallback: string): TrackName {
  const flags = [sound.commentary && "commentary", sound.described && "audio description"];
  return named(sound, flags, fallback);
}

export function captionName(caption: CaptionFacts, fallback: string): TrackName {
  const flags = [
    caption.hearing_impaired && "for the hard of hearing",
    caption.forced && "foreign speech only",
    caption.commentary && "commentary",
  ];
  return named(caption, flags, fallback);
}

/** In one line, for screen readers: `English, for the hard of hearing`. */
export function inOneLine({ name, hints }: TrackName): string {
  return [name, ...hints].filter(Boolean).join(", ");
}

function named(
  track: { language?: string | null | undefined; label?: string | null | undefined },
  flags: (string | false | undefined)[],
  fallback: string,
): TrackName {
  const language = languageName(track.language);
  const name = track.label || language || fallback;
  const says = (what: string) => name.toLowerCase().includes(what.toLowerCase());
  const hints = [language, ...flags].filter((hint): hint is string => Boolean(hint));
  return { name, hints: hints.filter((hint) => !says(hint)) };
}
