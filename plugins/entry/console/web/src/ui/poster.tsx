// The picture of a content in lists: its poster, or slats until there is one.

import { useEffect, useState } from "react";
import type { Content } from "../api/types";
import { clock } from "../lib/format";
import { isAudioOnly } from "../lib/states";
import { Icon } from "./icons";

export function Poster({ content, className = "" }: { content: Content; className?: string }) {
  const [broken, setBroken] = useState(false);
  const { poster } = content;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another picture gets another chance.
  useEffect(() => setBroken(false), [poster]);
  return (
    <div className={`relative aspect-video overflow-hidden bg-well ${className}`}>
      {poster && !broken ? (
        <img
          src={poster}
          alt=""
          loading="lazy"
          decoding="async"
          className="size-full object-cover"
          onError={() => setBroken(true)}
        />
      ) : (
        <div className="grid size-full place-items-center text-soft">
          {isAudioOnly(content) ? (
            <Icon name="note" size={28} />
          ) : (
            <div className="hatch size-full opacity-20" aria-hidden="true" />
          )}
        </div>
      )}
      {content.duration !== null && content.duration > 0 && (
        <span className="digits absolute right-1 bottom-1 bg-black/75 px-1 text-white text-xs">
          {clock(content.duration)}
        </span>
      )}
    </div>
  );
}
