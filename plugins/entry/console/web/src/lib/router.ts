// Addresses of the console and navigation between them without reloading the page.

import { useSyncExternalStore } from "react";

export type Route =
  | { page: "library" }
  | { page: "content"; id: string }
  | { page: "system" }
  | { page: "account" }
  | { page: "admin" }
  | { page: "sign-in" }
  | { page: "setup"; code: string; again: boolean }
  | { page: "welcome" }
  | { page: "unknown"; path: string };

const WELCOME = "#/welcome";
const PLAIN = ["system", "account", "admin", "sign-in"] as const;

/** The page of a path, or of the part after `#`, where secrets stay out of requests. */
export function parseRoute(path: string): Route {
  const [, kind, code] = /^#\/(setup|link)\/([\w-]+)$/.exec(path) ?? [];
  if (code) return { page: "setup", code, again: kind === "link" };
  if (path === WELCOME) return { page: "welcome" };
  const parts = path.split("/").filter(Boolean);
  if (parts.length === 0) return { page: "library" };
  const plain = PLAIN.find((page) => parts.length === 1 && parts[0] === page);
  if (plain) return { page: plain };
  if (parts.length === 2 && parts[0] === "watch" && parts[1]) {
    try {
      return { page: "content", id: decodeURIComponent(parts[1]) };
    } catch {
      return { page: "unknown", path };
    }
  }
  return { page: "unknown", path };
}

export const paths = {
  library: "/",
  system: "/system",
  account: "/account",
  /** For a user who has just become the admin; it replaces the one-time address. */
  welcome: `/${WELCOME}`,
  admin: "/admin",
  /** `next` is where to go afterwards. */
  signIn: (next: string) => (next === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(next)}`),
  content: (id: string) => `/watch/${encodeURIComponent(id)}`,
};

/** Where to go after signing in: a page of this console, whatever the address contains. */
export function nextOf(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "";
  return /^\/(?![/\\])/.test(next) && parseRoute(next).page !== "sign-in" ? next : paths.library;
}

/** To the sign-in, and from there back to here. */
export function goToSignIn(): void {
  if (parseRoute(currentPath()).page !== "sign-in") navigate(paths.signIn(location.pathname));
}

const watchers = new Set<() => void>();
const tell = () => {
  for (const watcher of watchers) watcher();
};

/** Decides whether the page is left: calls its argument, then or later, or does not. */
export type Holder = (leave: () => void) => void;

/** Each with the address that it holds. */
const holders = new Map<Holder, string>();

/** Asks before the page is left, or closed, which loses input. Ends with the returned function. */
export function holdPage(ask: Holder): () => void {
  const onUnload = (event: Event) => event.preventDefault();
  holders.set(ask, location.pathname + location.search);
  window.addEventListener("beforeunload", onUnload);
  return () => {
    holders.delete(ask);
    window.removeEventListener("beforeunload", onUnload);
  };
}

/** Back or forward. The address has changed already; a held page has not. */
function onPop(): void {
  const [held] = holders;
  if (held && held[1] !== location.pathname + location.search) {
    const [ask, address] = held;
    history.pushState(null, "", address);
    ask(() => {
      holders.clear();
      history.back();
    });
    return;
  }
  tell();
}

export function navigate(path: string, replace = false): void {
  if (path === location.pathname + location.search + location.hash) return;
  const [ask] = holders.keys();
  if (ask && !replace) {
    ask(() => {
      holders.clear();
      navigate(path);
    });
    return;
  }
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  tell();
  if (!replace) {
    window.scrollTo(0, 0);
    // Screen readers and the Tab key continue from the new page's heading.
    requestAnimationFrame(() =>
      (document.querySelector<HTMLElement>("h1") ?? document.getElementById("main"))?.focus({
        preventScroll: true,
      }),
    );
  }
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  // One listener, however often it is added.
  window.addEventListener("popstate", onPop);
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) window.removeEventListener("popstate", onPop);
  };
}

function currentPath(): string {
  return location.hash.startsWith("#/") ? location.hash : location.pathname;
}

export function usePath(): string {
  return useSyncExternalStore(watch, currentPath);
}
