// One text track of the video: asked for, read by the browser, and its cues handed on to be drawn.
//
// Captions come by `<track>` and not as what the playlist lists. So there is one way for hls.js and for
// the browser's own HLS, which shows no texts of a playlist in some browsers; captions are there while
// the video is still being encoded, and those that were just edited need no new playlist. The page's
// own drawing (`captions.tsx`) keeps them above the controls. Where the browser shows the video
// outside of the page, its own drawing is the only one, and it is left to that.
//
// The address is of this server, so the session's cookie goes with it as with the thumbnails, and a
// gated video's captions are read by whoever may watch it.

import { useEffect, useRef, useState } from "react";
import { api, isAbort, messageOf } from "../api/client";
import type { Caption } from "../api/types";

interface CaptionTrackProps {
  caption: Caption;
  /** For the browser's own menus. */
  label: string;
  /** Those of this moment. */
  onCues(cues: VTTCue[]): void;
  onTrouble(trouble: string): void;
}

/** When the video may have come into the page, or left it. */
const MOVES = [
  "enterpictureinpicture",
  "leavepictureinpicture",
  "webkitbeginfullscreen",
  "webkitendfullscreen",
] as const;

export function CaptionTrack({ caption, label, onCues, onTrouble }: CaptionTrackProps) {
  const element = useRef<HTMLTrackElement>(null);
  const [attempt, setAttempt] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: each attempt is another element.
  useEffect(() => {
    const track = element.current?.track;
    const video = element.current?.parentElement;
    if (!track || !(video instanceof HTMLVideoElement)) return;
    let outside = isOutside(video);
    const tell = () => onCues(outside ? [] : ([...(track.activeCues ?? [])] as VTTCue[]));
    // Browsers turn tracks on by themselves, as their own settings say; those would be a second text.
    const settle = () => {
      const mode = outside ? "showing" : "hidden";
      if (track.mode !== mode) track.mode = mode;
      for (const other of outside ? [] : video.textTracks) {
        if (other !== track && other.kind !== "metadata" && other.mode !== "disabled")
          other.mode = "disabled";
      }
    };
    const move = () => {
      outside = isOutside(video);
      settle();
      tell();
    };
    settle();
    tell();
    track.addEventListener("cuechange", tell);
    video.textTracks.addEventListener("change", settle);
    video.textTracks.addEventListener("addtrack", settle);
    for (const name of MOVES) video.addEventListener(name, move);
    return () => {
      track.removeEventListener("cuechange", tell);
      video.textTracks.removeEventListener("change", settle);
      video.textTracks.removeEventListener("addtrack", settle);
      for (const name of MOVES) video.removeEventListener(name, move);
      track.mode = "disabled";
      onCues([]);
    };
  }, [attempt, onCues]);

  // React knows no `onError` of this element.
  const latest = useRef(onTrouble);
  latest.current = onTrouble;
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    /** The browser does not say why: the same address, asked once more, does, and renews what ran out. */
    const onError = async () => {
      try {
        await api.text(caption.url, signal);
        if (attempt === 0) setAttempt(1);
        else latest.current("This browser cannot read them.");
      } catch (error) {
        if (!isAbort(error)) latest.current(messageOf(error));
      }
    };
    element.current?.addEventListener("error", () => void onError(), { signal });
    return () => controller.abort();
  }, [attempt, caption.url]);

  return (
    <track
      key={attempt}
      ref={element}
      kind={caption.hearing_impaired ? "captions" : "subtitles"}
      src={caption.url}
      label={label}
      {...(caption.language ? { srcLang: caption.language } : {})}
    />
  );
}

/** Does the browser show the video outside of the page: in a small window, or whole on a phone? */
function isOutside(video: HTMLVideoElement): boolean {
  const whole = (video as HTMLVideoElement & { webkitDisplayingFullscreen?: boolean })
    .webkitDisplayingFullscreen;
  return document.pictureInPictureElement === video || whole === true;
}
