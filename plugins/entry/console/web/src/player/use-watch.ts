// Whether playback of a content that is not public is still allowed, checked during playback: buffered
// data was allowed before, and would be shown to its end.

import { useEffect, useRef } from "react";
import { access } from "../api/access";
import { type Refusal, refusal } from "./refusal";

const EVERY_MS = 1_000;

export function useWatch(content: string, playing: boolean, onRefused: (refusal: Refusal) => void): void {
  const latest = useRef(onRefused);
  latest.current = onRefused;
  useEffect(() => {
    if (!playing) return;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const look = async () => {
      // If it is unknown, the server decides with the next request.
      const mine = await access.mine(content, controller.signal).catch(() => null);
      if (controller.signal.aborted) return;
      // It was allowed before: so access was revoked.
      const kind = mine?.type === "not-entitled" ? "revoked" : mine?.type;
      if (mine?.verdict === "denied") latest.current(refusal(kind ?? "", mine.reason));
      else timer = setTimeout(() => void look(), EVERY_MS);
    };
    const begin = async () => {
      const policy = await access.policy(content, controller.signal).catch(() => null);
      if (policy && policy.openness !== "public" && !controller.signal.aborted) await look();
    };
    void begin();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [content, playing]);
}
