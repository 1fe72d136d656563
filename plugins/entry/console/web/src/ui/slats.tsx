// A progress drawn as slats, and the badge of a state.

import type { Content } from "../api/types";
import { percent } from "../lib/format";
import { STATES, type Tone } from "../lib/states";

export const TONE_TEXT: Record<Tone, string> = {
  calm: "text-soft",
  busy: "text-busy",
  good: "text-accent",
  bad: "text-bad",
};

interface SlatsProps {
  /** 0 to 1. */
  value: number;
  label: string;
  tone?: Tone;
  className?: string;
}

export function Slats({ value, label, tone = "busy", className = "h-2" }: SlatsProps) {
  const filled = Math.min(1, Math.max(0, value));
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(filled * 100)}
      className={`slats relative overflow-hidden bg-line ${TONE_TEXT[tone]} ${className}`}
    >
      <div
        className="absolute inset-y-0 left-0 w-full origin-left bg-current transition-transform duration-500 ease-out"
        style={{ transform: `scaleX(${filled})` }}
      />
    </div>
  );
}

export function StateBadge({ content }: { content: Pick<Content, "state" | "progress" | "reason"> }) {
  const state = STATES[content.state] ?? { label: content.state, tone: "calm" as Tone, says: "" };
  const showsProgress = state.tone === "busy" && content.progress > 0;
  return (
    <span
      title={content.reason || state.says}
      className={`narrow inline-flex items-center gap-1.5 whitespace-nowrap text-sm ${TONE_TEXT[state.tone]}`}
    >
      <span
        aria-hidden="true"
        className={`h-3 w-[3px] bg-current ${state.tone === "busy" ? "breathe" : ""} ${state.tone === "calm" ? "opacity-50" : ""}`}
      />
      {state.label}
      {showsProgress && <span className="digits">{percent(content.progress)}</span>}
    </span>
  );
}
