// The player's keys and their commands. The player executes them.

export type Command =
  | { do: "toggle" }
  | { do: "skip"; seconds: number }
  | { do: "jump"; fraction: number }
  | { do: "volume"; step: number }
  | { do: "mute" }
  | { do: "captions" }
  | { do: "fullscreen" }
  | { do: "pip" }
  | { do: "speed"; step: 1 | -1 }
  | { do: "frame"; step: 1 | -1 }
  | { do: "help" };

export const SHORTCUTS: [keys: string[], what: string][] = [
  [["Space", "K"], "Play or pause"],
  [["←", "→"], "Back or forward 5 s"],
  [["J", "L"], "Back or forward 10 s"],
  [["↑", "↓"], "Volume up or down"],
  [["M"], "Mute or unmute"],
  [["C"], "Captions on or off"],
  [["0", "…", "9"], "Jump to 0–90%"],
  [["<", ">"], "Slower or faster"],
  [[",", "."], "Back or forward one frame, while paused"],
  [["F"], "Full screen"],
  [["P"], "Picture in picture"],
  [["?"], "Keyboard shortcuts"],
];

interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

export function commandOf(event: Key): Command | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (/^[0-9]$/.test(event.key)) return { do: "jump", fraction: Number(event.key) / 10 };
  switch (event.key.toLowerCase()) {
    case " ":
    case "k":
      return { do: "toggle" };
    case "arrowleft":
      return { do: "skip", seconds: -5 };
    case "arrowright":
      return { do: "skip", seconds: 5 };
    case "j":
      return { do: "skip", seconds: -10 };
    case "l":
      return { do: "skip", seconds: 10 };
    case "arrowup":
      return { do: "volume", step: 0.1 };
    case "arrowdown":
      return { do: "volume", step: -0.1 };
    case "m":
      return { do: "mute" };
    case "c":
      return { do: "captions" };
    case "f":
      return { do: "fullscreen" };
    case "p":
      return { do: "pip" };
    case "<":
      return { do: "speed", step: -1 };
    case ">":
      return { do: "speed", step: 1 };
    case ",":
      return { do: "frame", step: -1 };
    case ".":
      return { do: "frame", step: 1 };
    case "?":
      return { do: "help" };
    default:
      return null;
  }
}

/** Whether this element needs the key itself: a text field, a button. */
export function keepsKey(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=menu], dialog"))
    return true;
  const presses = key === " " || key === "Enter";
  if (presses && target.closest("button, a, summary")) return true;
  return key.startsWith("Arrow") && target.matches("input[type=range]");
}

export const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export function nextSpeed(current: number, step: 1 | -1): number {
  const nearest = SPEEDS.reduce((best, speed) =>
    Math.abs(speed - current) < Math.abs(best - current) ? speed : best,
  );
  const index = SPEEDS.indexOf(nearest) + step;
  return SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, index))] ?? 1;
}
