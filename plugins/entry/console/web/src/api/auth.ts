// The signed-in user, and everything under `/api/v1/auth`.

import { api, at, json, query, requestOnce, withJson, withSignal } from "./client";
import type { Page } from "./types";

export type Role = "viewer" | "creator" | "admin";
export type Scope = "content:read" | "content:write" | "admin";
export type WalletKind = "ethereum" | "solana";

export interface Identity {
  principal: string;
  roles: Role[];
  scopes: Scope[];
  session: string | null;
  api_key: string | null;
  expires_at: string | null;
  /** `eip155:0x…`, `solana:…`. */
  wallets: string[];
}

/** The caller, signed in or not. */
export type Asker = (Identity | { principal: null }) & {
  /** The public address of this server for signing in. */
  site: string | null;
};

/** The page's part of a new session; its tokens are in cookies. */
export interface SessionMade {
  expires_in: number;
  principal: string;
  roles: Role[];
}

/** The message for a wallet to sign. */
export interface Challenge {
  nonce: string;
  expires_at: string;
  message: string;
  /** For `signIn` of Solana wallets, which build `message` from it. */
  input?: Record<string, string>;
}

export interface Wanted {
  kind: WalletKind;
  address: string;
  chain_id?: number;
  /** For the signed-in user, not for a session. */
  link: boolean;
}

export type Proof =
  | { kind: "ethereum"; message: string; signature: string }
  | { kind: "solana"; nonce: string; signature: string; signed_message?: string };

export interface LinkedWallet {
  kind: WalletKind;
  address: string;
  linked_at: string;
}

export interface SessionView {
  id: string;
  current: boolean;
  /** Empty: it began with the one-time address or the admin token. */
  wallet: string;
  user_agent: string;
  address: string;
  created_at: string;
  refreshed_at: string;
  expires_at: string;
}

export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  scopes: Scope[];
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

export interface PrincipalView {
  id: string;
  name: string;
  created_at: string;
  roles: Role[];
  wallets: string[];
}

export interface AuditEntry {
  id: string;
  at: string;
  action: string;
  outcome: "granted" | "refused" | "changed";
  principal: string;
  subject: string;
  detail: string;
  address: string;
}

const BASE = "/api/v1/auth";

export const auth = {
  me: () => json<Asker>(`${BASE}/me`, {}, requestOnce),

  refresh: () => json<SessionMade>(`${BASE}/refresh`, withJson("POST", {}), requestOnce),

  setUp: (code: string) =>
    json<SessionMade>(`${BASE}/setup`, withJson("POST", { code, cookies: true }), requestOnce),

  /** Signs in with the admin token from the server's data directory. */
  adminSession: (token: string) =>
    json<SessionMade>(`${BASE}/admin-session`, withJson("POST", { token, cookies: true }), requestOnce),

  challenge: (wanted: Wanted) => json<Challenge>(`${BASE}/challenge`, withJson("POST", wanted), requestOnce),

  signIn: (proof: Proof) =>
    json<SessionMade>(`${BASE}/sign-in`, withJson("POST", { ...proof, cookies: true }), requestOnce),

  link: async (proof: Proof): Promise<void> => {
    await requestOnce(`${BASE}/wallets`, withJson("POST", proof));
  },

  logout: async (): Promise<void> => {
    await requestOnce(`${BASE}/logout`, { method: "POST" });
  },

  wallets: (signal?: AbortSignal) =>
    json<{ items: LinkedWallet[] }>(`${BASE}/wallets`, withSignal(signal)).then(({ items }) => items),

  unlink: ({ kind, address }: LinkedWallet) =>
    api.tell(`${BASE}/wallets/${kind}/${at(address)}`, { method: "DELETE" }),

  sessions: (signal?: AbortSignal) =>
    json<{ items: SessionView[] }>(`${BASE}/sessions`, withSignal(signal)).then(({ items }) => items),

  endSession: (id: string) => api.tell(`${BASE}/sessions/${at(id)}`, { method: "DELETE" }),

  keys: (signal?: AbortSignal) =>
    json<{ items: ApiKey[] }>(`${BASE}/keys`, withSignal(signal)).then(({ items }) => items),

  createKey: (wanted: { name: string; scopes: Scope[]; expires_at?: string }) =>
    json<ApiKey & { key: string }>(`${BASE}/keys`, withJson("POST", wanted)),

  revokeKey: (id: string) => api.tell(`${BASE}/keys/${at(id)}`, { method: "DELETE" }),

  principals: (cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<PrincipalView>>(`${BASE}/principals${query({ limit, cursor })}`, withSignal(signal)),

  setRole: (principal: string, role: Role, granted: boolean) =>
    api.tell(`${BASE}/principals/${at(principal)}/roles/${role}`, { method: granted ? "PUT" : "DELETE" }),

  /** Ends all sessions and API keys of a principal; returns their number. */
  signOut: (principal: string) =>
    json<{ ended: number }>(`${BASE}/principals/${at(principal)}/sessions`, { method: "DELETE" }),

  audit: (principal: string, cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page<AuditEntry>>(`${BASE}/audit${query({ limit, cursor, principal })}`, withSignal(signal)),
};
