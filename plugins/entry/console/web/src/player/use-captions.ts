// The viewer's choice of captions for one video, and its effects.

import { useState } from "react";
import type { Caption } from "../api/types";
import { captionName, inOneLine } from "../lib/tracks";
import { chosen, listed, OFF, rememberedTaste, rememberTaste, shown, wanted } from "./caption-choice";

export interface Captions {
  /** In the menu, besides “Off”. */
  choices: Caption[];
  /** The one that is on; `null`: off. */
  on: Caption | null;
  /** The one that is drawn, which may be a forced one. */
  drawn: Caption | null;
  /** By its name, or `OFF`. */
  choose(name: string): void;
  /** Turns them on or off; returns a message for the viewer. */
  toggle(): string;
}

/** `all` in the server's order; `heard` is the language of the sound. */
export function useCaptions(all: Caption[], heard: string | null): Captions {
  const [picked, setPicked] = useState<string | null>(null);
  const [taste, setTaste] = useState(rememberedTaste);
  /** What was on before it was turned off. */
  const [last, setLast] = useState<string | null>(null);
  const situation = { captions: all, picked, taste, heard };
  const choices = listed(all);
  const on = chosen(situation);

  const pick = (caption: Caption | null) => {
    const before = taste ?? { language: null, hearing_impaired: false };
    const { language, hearing_impaired } = caption ?? before;
    const next = { on: caption !== null, language, hearing_impaired };
    setPicked(caption?.name ?? OFF);
    setLast(caption?.name ?? on?.name ?? last);
    setTaste(next);
    rememberTaste(next);
  };
  return {
    choices,
    on,
    drawn: shown(situation),
    choose: (name) => pick(choices.find((caption) => caption.name === name) ?? null),
    toggle: () => {
      if (choices.length === 0) return "This video has no captions";
      const next = on ? null : (choices.find(({ name }) => name === last) ?? wanted(situation));
      pick(next);
      return next ? `Captions: ${nameOf(next, choices)}` : "Captions off";
    },
  };
}

export function nameOf(caption: Caption, choices: Caption[]): string {
  return inOneLine(captionName(caption, fallbackName(caption, choices)));
}

export function fallbackName(caption: Caption, choices: Caption[]): string {
  return choices.length > 1 ? `Captions ${choices.indexOf(caption) + 1}` : "Captions";
}
