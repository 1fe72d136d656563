// Which captions are shown: by the viewer's choice here, or else on other videos, or else by the video's
// defaults. Knows nothing of how they are drawn.

import type { Caption } from "../api/types";
import { sameLanguage } from "../lib/languages";

const KEY = "streamgate.captions";

/** The viewer's last choice, stored across visits like the volume. */
export interface Taste {
  on: boolean;
  language: string | null;
  hearing_impaired: boolean;
}

/** The viewer wants none; no captions have that name. */
export const OFF = "";

export interface Situation {
  captions: Caption[];
  /** The viewer's choice for this video: a name, `OFF`, or none yet. */
  picked: string | null;
  taste: Taste | null;
  /** The language of the sound, if it is known. */
  heard: string | null;
}

/** Those in the menu: forced ones are shown automatically, unless there is nothing else to choose. */
export function listed(captions: Caption[]): Caption[] {
  const whole = captions.filter((caption) => !caption.forced);
  return whole.length > 0 ? whole : captions;
}

/** The ones that are on, as shown in the menu; `null`: off. */
export function chosen(situation: Situation): Caption | null {
  const { captions, picked, taste } = situation;
  if (picked === OFF) return null;
  const choices = listed(captions);
  const here = choices.find((caption) => caption.name === picked);
  if (here) return here;
  if (choices.every((caption) => caption.forced)) return forcedOf(situation);
  if (taste) return taste.on ? best(choices, situation) : null;
  return choices.find((caption) => caption.default) ?? null;
}

/** The drawn ones: with captions off, the forced ones of the sound's language. */
export function shown(situation: Situation): Caption | null {
  const on = chosen(situation);
  if (on) return on;
  return listed(situation.captions).some((caption) => caption.forced) ? null : forcedOf(situation);
}

/** The ones that turn on when the viewer requests captions without naming any; `null`: there are none. */
export function wanted(situation: Situation): Caption | null {
  const choices = listed(situation.captions);
  const byDefault = situation.taste ? undefined : choices.find((caption) => caption.default);
  return byDefault ?? best(choices, situation);
}

function forcedOf({ captions, heard }: Situation): Caption | null {
  return captions.find((caption) => caption.forced && sameLanguage(caption.language, heard)) ?? null;
}

/** The best match for the viewer's preference; the first of several. */
function best(choices: Caption[], { taste, heard }: Situation): Caption | null {
  const score = (caption: Caption) => {
    const flags =
      (caption.hearing_impaired === (taste?.hearing_impaired ?? false) ? 4 : 0) +
      (caption.commentary ? 0 : 2) +
      (caption.default ? 1 : 0);
    return 8 * languageScore(caption.language, taste?.language ?? null, heard) + flags;
  };
  return choices.reduce<Caption | null>(
    (found, caption) => (found && score(found) >= score(caption) ? found : caption),
    null,
  );
}

function languageScore(language: string | null, liked: string | null, heard: string | null): number {
  if (liked && language === liked) return 3;
  if (liked && sameLanguage(language, liked)) return 2;
  return language && sameLanguage(language, heard) ? 1 : 0;
}

export function rememberedTaste(): Taste | null {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (typeof stored !== "object" || stored === null) return null;
    const { on, language, hearing_impaired } = stored as Record<string, unknown>;
    if (typeof on !== "boolean") return null;
    return {
      on,
      language: typeof language === "string" ? language : null,
      hearing_impaired: hearing_impaired === true,
    };
  } catch {
    return null;
  }
}

export function rememberTaste(taste: Taste): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(taste));
  } catch {
    // Without storage it lasts as long as the page.
  }
}
