// Pictures of a content by time, for the seek bar.

import { useEffect, useState } from "react";
import { api } from "../api/client";
import { parseThumbnails, type Thumbnail } from "../lib/vtt";

export function useThumbnails(path: string | null): Thumbnail[] {
  const [thumbnails, setThumbnails] = useState<Thumbnail[]>([]);
  useEffect(() => {
    if (!path) return;
    const controller = new AbortController();
    api
      .text(path, controller.signal)
      .then((text) => setThumbnails(parseThumbnails(text, new URL(path, location.href).href)))
      .catch(() => {
        // Without previews the seek bar still works.
      });
    return () => controller.abort();
  }, [path]);
  return thumbnails;
}
