// The owner of a content and its shares: `/api/v1/contents/{id}/shares` and `…/owner`.

import { api, at, json, withJson, withSignal } from "./client";

export type Right = "view" | "edit";

export interface Person {
  id: string;
  name: string | null;
  /** `eip155:0x…`, `solana:…`. */
  wallets: string[];
}

export interface Share {
  /** The key for removing it. */
  with: string;
  /** One of the two is set. */
  role: string | null;
  principal: Person | null;
  right: Right;
  since: string;
}

export interface Shares {
  /** Null: no owner. */
  owner: Person | null;
  items: Share[];
}

const of = (content: string) => `/api/v1/contents/${at(content)}`;

export const sharing = {
  shares: (content: string, signal?: AbortSignal) =>
    json<Shares>(`${of(content)}/shares`, withSignal(signal)),

  /** `who`: a wallet, the id of a user, or `role:` and a role. */
  share: (content: string, who: string, right: Right) =>
    json<Shares>(`${of(content)}/shares/${at(who)}`, withJson("PUT", { right })),

  unshare: (content: string, who: string) =>
    api.tell(`${of(content)}/shares/${at(who)}`, { method: "DELETE" }),

  /** `former`: the remaining right of the previous owner. */
  handOver: (content: string, owner: string, former: Right | null) =>
    api.tell(`${of(content)}/owner`, withJson("PUT", former ? { owner, former } : { owner })),
};
