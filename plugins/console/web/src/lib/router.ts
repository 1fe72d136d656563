// Addresses of the console and moving between them without loading the page anew.

import { useSyncExternalStore } from "react";

export type Route =
  | { page: "library" }
  | { page: "content"; id: string }
  | { page: "system" }
  | { page: "unknown"; path: string };

export function parseRoute(path: string): Route {
  const parts = path.split("/").filter(Boolean);
  if (parts.length === 0) return { page: "library" };
  if (parts.length === 1 && parts[0] === "system") return { page: "system" };
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
  content: (id: string) => `/watch/${encodeURIComponent(id)}`,
};

const watchers = new Set<() => void>();
const tell = () => {
  for (const watcher of watchers) watcher();
};

export function navigate(path: string, replace = false): void {
  if (path === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  tell();
  if (!replace) {
    window.scrollTo(0, 0);
    // Screen readers and the Tab key go on from the new page's heading.
    requestAnimationFrame(() =>
      (document.querySelector<HTMLElement>("h1") ?? document.getElementById("main"))?.focus({
        preventScroll: true,
      }),
    );
  }
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  window.addEventListener("popstate", watcher);
  return () => {
    watchers.delete(watcher);
    window.removeEventListener("popstate", watcher);
  };
}

export function usePath(): string {
  return useSyncExternalStore(watch, () => location.pathname);
}
