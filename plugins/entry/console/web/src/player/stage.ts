// The player as a whole: full screen or not, and a still while the video has no picture.

import { type RefObject, useEffect, useState } from "react";

export function useFullscreen(stage: RefObject<HTMLElement | null>): boolean {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const read = () => setFull(document.fullscreenElement === stage.current && stage.current !== null);
    document.addEventListener("fullscreenchange", read);
    return () => document.removeEventListener("fullscreenchange", read);
  }, [stage]);
  return full;
}

export function toggleFullscreen(stage: HTMLElement | null, media: HTMLVideoElement): void {
  if (document.fullscreenElement) {
    void document.exitFullscreen().catch(() => {});
  } else if (stage?.requestFullscreen) {
    void stage.requestFullscreen().catch(() => {});
  } else {
    // iPhones show only the video itself in full screen.
    (media as HTMLVideoElement & { webkitEnterFullscreen?(): void }).webkitEnterFullscreen?.();
  }
}

/** Keeps the current picture on a canvas until the video shows one again. */
export function holdPicture(media: HTMLVideoElement | null, canvas: HTMLCanvasElement | null): void {
  if (!media || !canvas || media.videoWidth === 0 || media.readyState < HTMLMediaElement.HAVE_CURRENT_DATA)
    return;
  canvas.width = media.videoWidth;
  canvas.height = media.videoHeight;
  canvas.getContext("2d")?.drawImage(media, 0, 0);
  canvas.hidden = false;
  const release = () => {
    canvas.hidden = true;
    for (const name of ["playing", "seeked", "error"]) media.removeEventListener(name, release);
  };
  for (const name of ["playing", "seeked", "error"]) media.addEventListener(name, release);
}
