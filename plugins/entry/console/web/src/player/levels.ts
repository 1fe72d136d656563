// Properties of the qualities that a player can choose from, and their names.

import type { Rendition } from "../api/types";

export interface LevelFacts {
  /** In the player's order: by bitrate, the lowest first. */
  index: number;
  /** The path element of its playlist, which is the rendition's name. */
  rendition: string;
  width: number;
  height: number;
  fps: number;
  bitrate: number;
  /** It reaches as far as the others do. */
  usable: boolean;
}

/** A rendition may lag this many segments behind the furthest and still be chosen. */
const TOLERATED_LAG = 1;

/** Which levels can be played through: those that are complete, or as far as the rest. */
export function usableLevels(levels: LevelFacts[], renditions: Rendition[]): boolean[] {
  const videos = new Map(renditions.filter((r) => r.kind === "video").map((r) => [r.name, r]));
  const furthest = Math.max(0, ...[...videos.values()].map((r) => r.segments));
  return levels.map(({ rendition }) => {
    const known = videos.get(rendition);
    return !known || known.complete || known.segments >= furthest - TOLERATED_LAG;
  });
}

/** The label of the quality button: automatic and manual choices look different, and are read so. */
export function qualityName(
  chosen: string | null,
  playing: string | null,
): { short: string; spoken: string } {
  if (chosen) return { short: chosen, spoken: `Quality: ${chosen}` };
  return playing
    ? { short: `Auto (${playing})`, spoken: `Quality: automatic, now ${playing}` }
    : { short: "Auto", spoken: "Quality: automatic" };
}

/** `720p`, `1080p60`, `Audio only`: by the shorter side, as usual. */
export function levelName(level: Pick<LevelFacts, "width" | "height" | "fps">): string {
  const lines = level.width && level.height ? Math.min(level.width, level.height) : level.height;
  if (!lines) return "Audio only";
  return `${lines}p${level.fps > 31 ? Math.round(level.fps) : ""}`;
}
