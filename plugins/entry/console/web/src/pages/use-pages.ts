// A paged list, each page by the cursor of the previous one.

import { useCallback, useEffect, useRef, useState } from "react";
import { isAbort, messageOf } from "../api/client";
import type { Page } from "../api/types";

export interface Pages<T> {
  items: T[];
  error: string | null;
  /** Loads the next page; `null`: there is none, or it is loading. */
  more: (() => void) | null;
  /** Reloads what is shown. */
  refresh(): void;
}

export function usePages<T>(
  fetchPage: (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>,
  /** Checks for new items while only the first page is shown. */
  everyMs: number | null = null,
): Pages<T> {
  const [items, setItems] = useState<T[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [loading, setLoading] = useState(true);
  const [further, setFurther] = useState(false);
  const inFlight = useRef<AbortController | null>(null);

  const load = useCallback(
    async (from: string | null) => {
      inFlight.current?.abort();
      const controller = new AbortController();
      inFlight.current = controller;
      setLoading(true);
      try {
        const page = await fetchPage(from, controller.signal);
        setItems((old) => (from === null ? page.items : [...old, ...page.items]));
        setCursor(page.next_cursor);
        setFurther(from !== null);
        setError(null);
        setLoading(false);
      } catch (failure) {
        if (isAbort(failure)) return;
        setError(messageOf(failure));
        setLoading(false);
      }
    },
    [fetchPage],
  );

  useEffect(() => {
    void load(null);
    return () => inFlight.current?.abort();
  }, [load]);

  useEffect(() => {
    if (everyMs === null || further) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void load(null);
    }, everyMs);
    return () => clearInterval(timer);
  }, [load, everyMs, further]);

  return {
    items,
    error,
    more: cursor !== null && !loading ? () => void load(cursor) : null,
    refresh: () => void load(null),
  };
}
