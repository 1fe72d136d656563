// One content, kept up to date by the stream of its changes.

import { useCallback, useEffect, useMemo, useState } from "react";
import { ApiError, api, isAbort, messageOf } from "../api/client";
import { changesOf } from "../api/events";
import type { Content } from "../api/types";
import { useChanges } from "../api/use-changes";

export interface ContentView {
  content: Content | null;
  gone: boolean;
  error: string | null;
  /** Resolves when it is loaded, or has failed. */
  reload(): Promise<void>;
  /** Applies the answer of an edit. */
  set(content: Content): void;
}

export function useContent(id: string): ContentView {
  const [content, setContent] = useState<Content | null>(null);
  const [gone, setGone] = useState(false);
  const [error, setError] = useState<string | null>(null);

  const load = useCallback(
    async (signal?: AbortSignal) => {
      try {
        const answer = await api.content(id, signal);
        setContent(answer);
        setError(null);
        setGone(false);
      } catch (failure) {
        if (isAbort(failure)) return;
        if (failure instanceof ApiError && (failure.status === 404 || failure.status === 410)) setGone(true);
        else setError(messageOf(failure));
      }
    },
    [id],
  );

  useEffect(() => {
    const controller = new AbortController();
    void load(controller.signal);
    return () => controller.abort();
  }, [load]);

  const stream = useMemo(() => changesOf(id), [id]);
  useChanges(gone ? null : stream, {
    changed: (changed) =>
      setContent((old) =>
        old && Date.parse(old.updated_at) > Date.parse(changed.updated_at) ? old : changed,
      ),
    deleted: () => setGone(true),
    opened: () => void load(),
  });

  return { content, gone, error, reload: () => load(), set: setContent };
}
