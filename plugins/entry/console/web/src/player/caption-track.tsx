// One text track of the video: loaded and parsed by the browser, its cues passed on to be drawn.
//
// Captions use `<track>` instead of the playlist's list. So there is one way for hls.js and for the
// browser's own HLS, which shows no texts of a playlist in some browsers; captions are available while
// the video is still being encoded, and edited ones need no new playlist. The page's own drawing
// (`captions.tsx`) keeps them above the controls. Where the browser shows the video outside of the page,
// only its own drawing works, and is used.
//
// The address is on this server, so the session's cookie is sent as with the thumbnails, and a gated
// video's captions are available to everyone who may watch it.

import { useEffect, useRef, useState } from "react";
import { api, isAbort, messageOf } from "../api/client";
import type { Caption } from "../api/types";

interface CaptionTrackProps {
  caption: Caption;
  /** For the browser's own menus. */
  label: string;
  /** The current ones. */
  onCues(cues: VTTCue[]): void;
  onTrouble(trouble: string): void;
}

/** Called when the video may have entered or left the page. */
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
    // Browsers turn tracks on by their own settings; those would be a second text.
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

  // React does not support `onError` of this element.
  const latest = useRef(onTrouble);
  latest.current = onTrouble;
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    /** The browser gives no reason: requesting the same address again does, and renews expired tokens. */
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

/** Whether the browser shows the video outside of the page: in a small window, or full screen on a phone. */
function isOutside(video: HTMLVideoElement): boolean {
  const whole = (video as HTMLVideoElement & { webkitDisplayingFullscreen?: boolean })
    .webkitDisplayingFullscreen;
  return document.pictureInPictureElement === video || whole === true;
}
