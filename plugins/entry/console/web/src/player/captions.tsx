// Captions over the video, and above the controls while those are visible.

import { useLayoutEffect, useRef } from "react";
import { placeOf } from "./cues";

interface CaptionLayerProps {
  cues: VTTCue[];
  /** BCP 47. */
  language: string | null;
  /** The controls are visible. */
  raised: boolean;
  /** Why there are none, for people. */
  trouble: string | null;
  onRetry(): void;
}

export function CaptionLayer({ cues, language, raised, trouble, onRetry }: CaptionLayerProps) {
  const top = cues.filter((cue) => placeOf(cue).top);
  const bottom = cues.filter((cue) => !placeOf(cue).top);
  return (
    <div className="captions" data-raised={raised} data-testid="captions">
      <div lang={language ?? undefined} className="cues cues-top">
        {top.map((cue) => (
          <Cue key={keyOf(cue)} cue={cue} />
        ))}
      </div>
      <div className="cues-bottom">
        <div role="status">
          {trouble && (
            <p className="caption-trouble">
              The captions could not be loaded. {trouble}
              <button type="button" className="ml-3 underline underline-offset-2" onClick={onRetry}>
                Try again
              </button>
            </p>
          )}
        </div>
        <div lang={language ?? undefined} className="cues">
          {bottom.map((cue) => (
            <Cue key={keyOf(cue)} cue={cue} />
          ))}
        </div>
      </div>
    </div>
  );
}

/** The browser's own parsing of a cue: it creates elements only for WebVTT markup. */
function Cue({ cue }: { cue: VTTCue }) {
  const box = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => box.current?.replaceChildren(cue.getCueAsHTML()), [cue]);
  const { align, left, width } = placeOf(cue);
  return (
    <p dir="auto" style={{ marginLeft: `${left}%`, width: `${width}%`, textAlign: align }}>
      <span ref={box} className="cue" />
    </p>
  );
}

function keyOf(cue: VTTCue): string {
  return `${cue.startTime} ${cue.endTime} ${cue.id} ${cue.text}`;
}
