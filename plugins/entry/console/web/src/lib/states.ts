// The states of a content, with label and tone.

import type { Content, ContentState } from "../api/types";

export type Tone = "calm" | "busy" | "good" | "bad";

export const STATES: Record<ContentState, { label: string; tone: Tone; says: string }> = {
  uploading: { label: "Uploading", tone: "busy", says: "On its way to the server" },
  uploaded: { label: "Queued", tone: "calm", says: "Uploaded, waiting for the encoder" },
  transcoding: { label: "Processing", tone: "busy", says: "The first seconds can be played in a moment" },
  playable: { label: "Playable", tone: "busy", says: "You can watch it while the rest is being encoded" },
  ready: { label: "Ready", tone: "good", says: "Encoded in every quality" },
  failed: { label: "Failed", tone: "bad", says: "It could not be encoded" },
};

export const STATE_ORDER = Object.keys(STATES) as ContentState[];

/** States that change within seconds. */
export function isBusy(state: ContentState): boolean {
  return state === "uploading" || state === "transcoding" || state === "playable";
}

/** Whether a retry may succeed. An empty file, or a text, always fails. */
export function mayEncodeAgain(content: Pick<Content, "retryable" | "source">): boolean {
  return content.retryable && content.source.bytes !== 0;
}

export function titleOf(content: Pick<Content, "id" | "title" | "source">): string {
  return content.title || content.source.filename || `Untitled ${content.id.slice(0, 8)}`;
}

export function isAudioOnly(content: Content): boolean {
  return content.renditions.length > 0 && content.renditions.every((r) => r.kind === "audio");
}

/** Whether a filter of the list includes this content. The same rule as the server's. */
export function matches(content: Content, filter: { q?: string; state?: string }): boolean {
  if (filter.state && content.state !== filter.state) return false;
  const words = filter.q?.toLowerCase().split(/\s+/).filter(Boolean) ?? [];
  const texts = [content.title, content.description, ...content.tags, content.source.filename ?? ""];
  const searched = texts.join("\n").toLowerCase();
  return words.every((word) => searched.includes(word));
}
