// Access control: everything under `/api/v1/access`.

import { readChains, readContract } from "../access/assets";
import type { Rule } from "../access/rules";
import { ApiError, api, at, json, query, withJson, withSignal } from "./client";
import type { Page } from "./types";

export type Openness = "public" | "unlisted" | "gated" | "private";
export type Verdict = "allowed" | "denied" | "unknown";

export interface Policy {
  openness: Openness;
  /** Of a gated content, for those who may change contents. */
  rule?: Rule | null;
  /** No policy is set, or it was removed. */
  default: boolean;
  revision: number;
}

/** A place of a rule with its finding. */
export interface Finding {
  /** `all`, `any`, `at least 2 of 3`, `not`; `leaf`. */
  rule: string;
  holds: "yes" | "no" | "unknown";
  /** Of a leaf, for people. */
  text?: string;
  of?: Finding[];
}

/** A read on a chain for a decision. */
export interface Evidence {
  chain: string;
  block: number;
  block_hash: string;
  finality: string;
  observed_at?: string;
  finding: string;
}

export interface Decision {
  id?: string;
  /** Empty: not signed in. */
  principal?: string;
  verdict: Verdict;
  /** The last part of a problem's type; empty: allowed. */
  type: string;
  reason: string;
  finding?: Finding | null;
  evidence?: Evidence[];
  decided_at?: string;
  confirmed_at?: string;
  valid_until?: string;
}

/** A principal blocked from a content. */
export interface Bar {
  principal: string;
  /** For people; also shown to the principal. */
  reason: string;
}

export interface Subscription {
  plan: string;
  ends_at: string;
}

const BASE = "/api/v1/access";
const policyOf = (content: string) => `${BASE}/contents/${at(content)}`;
const subscriptionsOf = (principal: string) => `${BASE}/subscriptions/${at(principal)}`;

export const access = {
  /** `null`: this server does not control access. */
  policy: (content: string, signal?: AbortSignal) =>
    json<Policy>(policyOf(content), withSignal(signal)).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }),

  setPolicy: (content: string, policy: { openness: Openness; rule?: Rule }) =>
    json<Policy>(policyOf(content), withJson("PUT", policy)),

  /** Back to the default of the server. */
  dropPolicy: (content: string) => api.tell(policyOf(content), { method: "DELETE" }),

  /** Whether a user with these wallets would meet this rule, saved or not. Nothing is stored. */
  preview: (content: string, wallets: string[], rule: Rule) =>
    json<Decision>(`${policyOf(content)}/preview`, withJson("POST", { wallets, rule })),

  /** The chains that rules can use; `null`: this server does not list them. */
  chains: (signal?: AbortSignal) =>
    json<unknown>(`${BASE}/chains`, withSignal(signal))
      .then(readChains)
      .catch((error: unknown) => {
        if (error instanceof ApiError) return null;
        throw error;
      }),

  /** The metadata of a contract (CAIP-10). */
  contract: (contract: string, signal?: AbortSignal) =>
    json<unknown>(`${BASE}/contracts/${at(contract)}`, withSignal(signal)).then(readContract),

  /** Revokes what a principal was granted; without one, everyone's grants. `bar` blocks them. */
  revoke: (content: string, wanted: { principal?: string; reason: string; bar?: boolean }) =>
    api.tell(`${policyOf(content)}/revoke`, withJson("POST", wanted)),

  bars: (content: string, cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<Bar>>(`${policyOf(content)}/bars${query({ limit, cursor })}`, withSignal(signal)),

  /** Unblocks a principal. */
  lift: (content: string, principal: string) =>
    api.tell(`${policyOf(content)}/bars/${at(principal)}`, { method: "DELETE" }),

  /** Wallets that may hold tokens for me; `null`: this server does not control access. */
  vaults: (signal?: AbortSignal) =>
    json<{ vaults: string[] }>(`${BASE}/vaults`, withSignal(signal))
      .then(({ vaults }) => vaults)
      .catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }),

  nameVaults: (vaults: string[]) => api.tell(`${BASE}/vaults`, withJson("PUT", { vaults })),

  subscriptions: (principal: string, signal?: AbortSignal) =>
    json<{ items: Subscription[] }>(subscriptionsOf(principal), withSignal(signal)).then(
      ({ items }) => items,
    ),

  subscribe: (principal: string, plan: string, endsAt: string) =>
    api.tell(`${subscriptionsOf(principal)}/${at(plan)}`, withJson("PUT", { ends_at: endsAt })),

  endSubscription: (principal: string, plan: string) =>
    api.tell(`${subscriptionsOf(principal)}/${at(plan)}`, { method: "DELETE" }),

  /** Whether I may play it, now. */
  mine: (content: string, signal?: AbortSignal) =>
    json<Decision>(`${policyOf(content)}/me`, withSignal(signal)),

  decisions: (content: string, cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<Decision>>(`${BASE}/decisions${query({ content, limit, cursor })}`, withSignal(signal)),
};
