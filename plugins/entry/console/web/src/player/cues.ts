// Where cues of captions are drawn, by WebVTT's settings (WebVTT §7.2, simplified: left-to-right lines,
// and overlapping cues are stacked).

/** The used part of a `VTTCue`. */
export type CueSettings = Pick<
  VTTCue,
  "line" | "snapToLines" | "position" | "positionAlign" | "size" | "align"
>;

export interface Place {
  /** At the top of the picture; else at its bottom. */
  top: boolean;
  align: "start" | "center" | "end";
  /** Of the box, in percent of the picture's width. */
  left: number;
  width: number;
}

/** Lines of text that a picture has room for, as WebVTT's lines are counted. */
const LINES = 16;

export function placeOf(cue: CueSettings): Place {
  const align = alignOf(cue.align);
  const anchor = anchorOf(cue, align);
  const at = typeof cue.position === "number" ? cue.position : { start: 0, center: 50, end: 100 }[align];
  const room = { start: 100 - at, center: 2 * Math.min(at, 100 - at), end: at }[anchor];
  const width = Math.max(0, Math.min(cue.size, room));
  const left = at - { start: 0, center: width / 2, end: width }[anchor];
  return { top: isAtTop(cue), align, left, width };
}

function isAtTop({ line, snapToLines }: CueSettings): boolean {
  if (typeof line !== "number") return false;
  if (!snapToLines) return line < 50;
  return line >= 0 ? line < LINES / 2 : line < -LINES / 2;
}

function alignOf(align: AlignSetting): Place["align"] {
  if (align === "start" || align === "left") return "start";
  return align === "end" || align === "right" ? "end" : "center";
}

/** The point of the box that is at its position. */
function anchorOf({ positionAlign }: CueSettings, align: Place["align"]): Place["align"] {
  if (positionAlign === "line-left") return "start";
  if (positionAlign === "line-right") return "end";
  return positionAlign === "center" ? "center" : align;
}
