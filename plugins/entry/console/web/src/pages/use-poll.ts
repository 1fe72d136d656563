// Fetches something now, on demand, and optionally every few seconds while the page is visible.

import { useCallback, useEffect, useRef, useState } from "react";
import { isAbort, messageOf } from "../api/client";

export interface Polled<T> {
  data: T | null;
  error: string | null;
  /** Resolves when it is fetched and shown, or has failed. */
  refresh(): Promise<void>;
}

export function usePoll<T>(
  fetcher: (signal: AbortSignal) => Promise<T>,
  everyMs: number | null = null,
): Polled<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const inFlight = useRef<AbortController | null>(null);

  const refresh = useCallback(async () => {
    inFlight.current?.abort();
    const controller = new AbortController();
    inFlight.current = controller;
    try {
      setData(await fetcher(controller.signal));
      setError(null);
    } catch (failure) {
      if (!isAbort(failure)) setError(messageOf(failure));
    }
  }, [fetcher]);

  useEffect(() => {
    void refresh();
    const again = () => {
      if (document.visibilityState === "visible") void refresh();
    };
    const timer = everyMs === null ? undefined : setInterval(again, everyMs);
    return () => {
      clearInterval(timer);
      inFlight.current?.abort();
    };
  }, [refresh, everyMs]);

  return { data, error, refresh };
}
