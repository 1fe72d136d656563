// The list of contents: pages by cursor, filtered by the server, kept up to date by the stream of
// changes.

import { useCallback, useEffect, useReducer, useRef } from "react";
import { api, type ContentFilter, isAbort, messageOf, type Sort } from "../api/client";
import { changes } from "../api/events";
import type { Content } from "../api/types";
import { useChanges } from "../api/use-changes";
import { matches } from "../lib/states";

const PAGE = 24;

export interface LibraryState {
  items: Content[];
  cursor: string | null;
  /** Nothing of this filter has been loaded yet. */
  first: boolean;
  loading: boolean;
  error: string | null;
}

/** What a change is compared to. */
export interface LiveFilter extends ContentFilter {
  whose?: Whose;
  me?: string | null;
}

export type LibraryAction =
  | { type: "start"; fresh: boolean }
  | { type: "page"; items: Content[]; cursor: string | null; append: boolean }
  | { type: "failed"; error: string }
  | { type: "changed"; content: Content; filter: LiveFilter }
  | { type: "deleted"; id: string };

export const EMPTY_LIBRARY: LibraryState = {
  items: [],
  cursor: null,
  first: true,
  loading: true,
  error: null,
};

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const oldestFirst = (a: Content, b: Content) =>
  Date.parse(a.created_at) - Date.parse(b.created_at) || byText(a.id, b.id);

/** The server's orders. */
const ORDERS: Record<Sort, (a: Content, b: Content) => number> = {
  newest: (a, b) => oldestFirst(b, a),
  oldest: oldestFirst,
  title: (a, b) => byText(a.title.toLowerCase(), b.title.toLowerCase()) || byText(a.id, b.id),
};

/** Newer wins: an event may overtake the answer of a request. */
function newer(a: Content, b: Content | undefined): Content {
  return b && Date.parse(b.updated_at) > Date.parse(a.updated_at) ? b : a;
}

export function reduceLibrary(state: LibraryState, action: LibraryAction): LibraryState {
  switch (action.type) {
    case "start":
      return { ...state, loading: true, error: null, first: action.fresh || state.first };
    case "page": {
      const known = new Map(state.items.map((item) => [item.id, item]));
      const page = action.items.map((item) => newer(item, known.get(item.id)));
      const ids = new Set(page.map((item) => item.id));
      const kept = action.append ? state.items.filter((item) => !ids.has(item.id)) : [];
      return { items: [...kept, ...page], cursor: action.cursor, first: false, loading: false, error: null };
    }
    case "failed":
      return { ...state, loading: false, error: action.error };
    case "changed": {
      const { content, filter } = action;
      const order = ORDERS[filter.sort ?? "newest"];
      const others = state.items.filter((item) => item.id !== content.id);
      const shown = others.length < state.items.length;
      // Changes do not include shares: new shared contents come with the next list.
      if (filter.whose === "shared" && !shown) return state;
      const theirs = filter.whose !== "mine" || content.owner === filter.me;
      if (!theirs || !matches(content, filter)) return shown ? { ...state, items: others } : state;
      if (shown) {
        const items = state.items.map((item) => (item.id === content.id ? newer(content, item) : item));
        return { ...state, items: items.sort(order) };
      }
      // After the loaded part: it comes with its page.
      const last = state.items.at(-1);
      if (state.cursor !== null && last && order(content, last) > 0) return state;
      return { ...state, items: [...others, content].sort(order) };
    }
    case "deleted":
      return { ...state, items: state.items.filter((item) => item.id !== action.id) };
  }
}

/** The owner filter. */
export type Whose = "" | "mine" | "shared";

interface Wanted {
  q: string;
  state: string;
  sort: Sort;
  whose: Whose;
  /** The current user; null: not signed in. */
  me: string | null;
}

export function useLibrary({ q, state: stateFilter, sort, whose, me }: Wanted) {
  const [state, dispatch] = useReducer(reduceLibrary, EMPTY_LIBRARY);
  const inFlight = useRef<AbortController | null>(null);

  const load = useCallback(
    async (cursor: string | null, fresh: boolean) => {
      inFlight.current?.abort();
      const controller = new AbortController();
      inFlight.current = controller;
      dispatch({ type: "start", fresh });
      try {
        const asked: ContentFilter = {
          q,
          state: stateFilter,
          sort,
          owner: whose === "mine" ? "me" : undefined,
          shared: whose === "shared" ? "me" : undefined,
        };
        const page = await api.contents(asked, cursor, PAGE, controller.signal);
        dispatch({ type: "page", items: page.items, cursor: page.next_cursor, append: cursor !== null });
      } catch (error) {
        if (!isAbort(error)) dispatch({ type: "failed", error: messageOf(error) });
      }
    },
    [q, stateFilter, sort, whose],
  );

  useEffect(() => {
    void load(null, true);
    return () => inFlight.current?.abort();
  }, [load]);

  const connection = useChanges(changes, {
    changed: (content) => {
      const filter: LiveFilter = { q, state: stateFilter, sort };
      dispatch({ type: "changed", content, filter: whose ? { ...filter, whose, me } : filter });
    },
    deleted: (id) => dispatch({ type: "deleted", id }),
    opened: () => void load(null, false),
  });

  return {
    ...state,
    connection,
    reload: () => void load(null, false),
    more: () => {
      if (state.cursor !== null && !state.loading) void load(state.cursor, false);
    },
  };
}
