// A user's consumption of shared resources and its limits, and the limits that an admin sets.

import { api, at, json, query, withJson, withSignal } from "./client";

export const KINDS = [
  "stored",
  "unfinished_uploads",
  "encodes",
  "encode_minutes",
  "api_keys",
  "event_streams",
] as const;
export type Kind = (typeof KINDS)[number];

/** What is shown: challenges are counted by address, so they are set for no principal. */
export const SHOWN = [...KINDS, "challenges"] as const;
export type Shown = (typeof SHOWN)[number];

/** The usage of one kind. */
export interface Part {
  /** null: unlimited; missing: unknown. */
  limit?: number | null;
  used: number;
  /** Of encodes: queued ones. */
  waiting?: number;
  /** Of minutes: when they are reset. */
  until?: string;
}

/** A part whose plugin does not answer is missing. */
export type Usage = { principal: string } & Partial<Record<Shown, Part>>;

/** null: the limit of the roles. */
export type Amount = number | "unlimited" | null;

export interface QuotaView {
  limits: Record<Kind, number | null>;
  override: { limits: Record<Kind, Amount>; set_by: string; set_at: string } | null;
}

const path = (principal: string) => `/api/v1/auth/principals/${at(principal)}/quota`;

export const quota = {
  /** Of the signed-in user, or of another one. */
  usage: (principal: string | null, signal?: AbortSignal) =>
    json<Usage>(`/api/v1/quota${query({ principal })}`, withSignal(signal)),

  get: (principal: string, signal?: AbortSignal) => json<QuotaView>(path(principal), withSignal(signal)),

  set: (principal: string, limits: Record<Kind, Amount>) =>
    json<QuotaView>(path(principal), withJson("PUT", limits)),

  clear: (principal: string) => api.tell(path(principal), { method: "DELETE" }),
};
