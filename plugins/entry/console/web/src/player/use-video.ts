// The state of a video element, as React state.

import { type RefObject, useEffect, useState } from "react";

export interface VideoState {
  paused: boolean;
  ended: boolean;
  waiting: boolean;
  seeking: boolean;
  time: number;
  /** Of the current end; 0 while unknown. */
  duration: number;
  buffered: [start: number, end: number][];
  volume: number;
  muted: boolean;
  speed: number;
  started: boolean;
}

export const STILL: VideoState = {
  paused: true,
  ended: false,
  waiting: false,
  seeking: false,
  time: 0,
  duration: 0,
  buffered: [],
  volume: 1,
  muted: false,
  speed: 1,
  started: false,
};

const EVENTS = [
  "play",
  "playing",
  "pause",
  "ended",
  "waiting",
  "canplay",
  "seeking",
  "seeked",
  "timeupdate",
  "durationchange",
  "progress",
  "volumechange",
  "ratechange",
  "emptied",
] as const;

export function useVideo(ref: RefObject<HTMLVideoElement | null>): VideoState {
  const [state, setState] = useState(STILL);
  useEffect(() => {
    const video = ref.current;
    if (!video) return;
    const read = (event?: Event) => {
      const buffered: [number, number][] = [];
      for (let i = 0; i < video.buffered.length; i++)
        buffered.push([video.buffered.start(i), video.buffered.end(i)]);
      setState((old) => ({
        paused: video.paused,
        ended: video.ended,
        waiting:
          event?.type === "waiting"
            ? true
            : event?.type === "playing" || event?.type === "canplay" || video.paused
              ? false
              : old.waiting && video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA,
        seeking: video.seeking,
        time: video.currentTime,
        duration: Number.isFinite(video.duration) ? video.duration : lastSeekable(video),
        buffered,
        volume: video.volume,
        muted: video.muted,
        speed: video.playbackRate,
        started: old.started || !video.paused || video.currentTime > 0,
      }));
    };
    for (const name of EVENTS) video.addEventListener(name, read);
    read();
    return () => {
      for (const name of EVENTS) video.removeEventListener(name, read);
    };
  }, [ref]);
  return state;
}

function lastSeekable(video: HTMLVideoElement): number {
  return video.seekable.length > 0 ? video.seekable.end(video.seekable.length - 1) : 0;
}
