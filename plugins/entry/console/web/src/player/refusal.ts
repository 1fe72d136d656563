// Why the server refuses playback, and what a person can do about it.

import type { Openness } from "../api/access";
import { explain, kindOf } from "../api/client";
import type { ProblemKind } from "../api/problems";

/** The remedy: `sign-in`; `own`, getting what is required; `again`, retrying; or none. */
export type Remedy = "sign-in" | "own" | "again" | "none";

export interface Refusal {
  /** The last part of the problem's type. */
  kind: string;
  title: string;
  /** The server's own text. */
  detail: string;
  remedy: Remedy;
}

type Words = [title: string, remedy: Remedy];

const WORDS = {
  "not-signed-in": ["Sign in to watch this", "sign-in"],
  "invalid-token": ["Sign in to watch this", "sign-in"],
  "token-expired": ["Your session has expired", "sign-in"],
  "session-ended": ["Your session has ended", "sign-in"],
  "not-entitled": ["You do not have access to this video", "own"],
  revoked: ["Your access has ended", "own"],
  "chain-unavailable": ["Your access could not be checked", "again"],
  "access-unavailable": ["Your access could not be checked", "again"],
  "too-many-sessions": ["You are watching in too many places", "again"],
} satisfies Partial<Record<ProblemKind, Words>>;

const KNOWN: Record<string, Words> = WORDS;

/** The refusal as text, by the last part of its problem's type. */
export function refusal(kind: string, detail: string): Refusal {
  const [title, remedy] = KNOWN[kind] ?? ["You do not have access to this video", "own"];
  return { kind, title, detail, remedy };
}

/** The same by the video's openness: no wallet helps with a private one. */
export function ofOpenness(refused: Refusal, openness: Openness): Refusal {
  if (openness !== "private" || refused.remedy !== "own") return refused;
  if (refused.kind !== "not-entitled") return { ...refused, remedy: "none" };
  const detail = "Only its owner and the admins of this server can watch it.";
  return { ...refused, title: "This video is private", detail, remedy: "none" };
}

/** The refusal in an answer; `null`: it is something else, such as an outage. */
export function refusalOf(status: number, body: string): Refusal | null {
  const { message, problem } = explain(status, body);
  const kind = kindOf(problem);
  if (kind in KNOWN) return refusal(kind, message);
  if (status === 401) return refusal("not-signed-in", message);
  return status === 403 ? refusal("not-entitled", message) : null;
}

/** The text of an XMLHttpRequest's answer, whatever its response type. */
export function textOf(answer: unknown): string {
  if (!(answer instanceof XMLHttpRequest)) return "";
  if (answer.response instanceof ArrayBuffer) return new TextDecoder().decode(answer.response);
  return typeof answer.response === "string" ? answer.response : "";
}
