// The session of this browser. Its tokens are in cookies that no script can read; this module knows whose
// they are and when they expire, and renews them before.

import { auth, type Identity, type Scope } from "../api/auth";
import { ApiError, isAbort } from "../api/client";

export type Session =
  /** There is no answer yet. */
  | { state: "unknown" }
  /** This server has no sign-in: everyone has all rights. */
  | { state: "open" }
  | { state: "out" }
  | { state: "in"; identity: Identity };

/** Renewed this long before the end, or at half of the time left. */
const MARGIN_MS = 60_000;
const SOONEST_MS = 15_000;
const RETRY_MS = 3_000;
/** `setTimeout` accepts at most 2³¹ ms. */
const LATEST_MS = 86_400_000;
const LOCK = "streamgate.refresh";

/** Problem types of a session that can continue with new tokens. */
const RENEWABLE = new Set(["token-expired"]);

export class SessionStore {
  private session: Session = { state: "unknown" };
  private readonly watchers = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private renewal: Promise<boolean> | null = null;

  readonly get = (): Session => this.session;

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  /** Checks who is signed in, and renews expired tokens. */
  async load(): Promise<void> {
    try {
      const asker = await auth.me();
      if (asker.principal !== null) this.set({ state: "in", identity: asker });
      else if (!goToOwnName(asker.site)) this.set({ state: "out" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) this.set({ state: "open" });
      else if (error.status !== 401) this.later(() => this.load(), RETRY_MS);
      else if (RENEWABLE.has(error.kind)) await this.renew();
      else this.set({ state: "out" });
    }
  }

  /** Gets new tokens; false: signed out, or unknown. */
  renew(): Promise<boolean> {
    this.renewal ??= exclusively(() => this.renewNow()).finally(() => {
      this.renewal = null;
    });
    return this.renewal;
  }

  /** Ends the session at the server and here. */
  async signOut(): Promise<void> {
    await auth.logout();
    this.set({ state: "out" });
  }

  /** A request was refused for lack of a session: true if it may be sent again. */
  async refused(error: ApiError): Promise<boolean> {
    if (RENEWABLE.has(error.kind)) return this.renew();
    if (this.session.state === "in") this.set({ state: "out" });
    return false;
  }

  /** A refresh token is valid once, and using it twice ends the session: one tab at a time. */
  private async renewNow(): Promise<boolean> {
    try {
      const before = this.session.state === "in" ? this.session.identity.expires_at : null;
      const found = await auth.me().catch((error: unknown) => {
        if (error instanceof ApiError && error.status === 401) return null;
        throw error;
      });
      // Another tab was faster.
      if (found && found.principal !== null && found.expires_at !== before) {
        this.set({ state: "in", identity: found });
        return true;
      }
      await auth.refresh();
      const renewed = await auth.me();
      if (renewed.principal === null) {
        // The browser stores no cookies of this site.
        this.set({ state: "out" });
        return false;
      }
      this.set({ state: "in", identity: renewed });
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.set({ state: "out" });
      else if (!isAbort(error)) this.later(() => this.renew(), RETRY_MS);
      return false;
    }
  }

  private set(session: Session): void {
    this.session = session;
    clearTimeout(this.timer);
    if (session.state === "in" && session.identity.expires_at) {
      this.later(() => this.renew(), renewIn(Date.parse(session.identity.expires_at) - Date.now()));
    }
    for (const watcher of this.watchers) watcher();
  }

  private later(what: () => Promise<unknown>, delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void what(), delay);
  }
}

/**
 * Where this page redirects to, if it was opened under another name of the same machine than the public
 * one: the browser keeps cookies separate by name.
 */
export function ownName(here: Location | URL, site: string | null): string | null {
  if (!site || !URL.canParse(site)) return null;
  const own = new URL(site);
  const isOther = ["127.0.0.1", "[::1]"].includes(here.hostname) && own.hostname === "localhost";
  if (!isOther || own.port !== here.port || own.protocol !== here.protocol) return null;
  return own.origin + here.pathname + here.search + here.hash;
}

function goToOwnName(site: string | null): boolean {
  const address = ownName(window.location, site);
  if (address) window.location.replace(address);
  return address !== null;
}

/** When to renew tokens with this lifetime; all times in milliseconds. */
export function renewIn(left: number): number {
  return Math.min(LATEST_MS, Math.max(SOONEST_MS, left - MARGIN_MS, Math.min(left / 2, MARGIN_MS)));
}

/** Exclusively among all tabs of this site, where the browser supports it. */
function exclusively<T>(run: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? navigator.locks.request(LOCK, run) : run();
}

/** Whether the buttons for an action are shown. The server decides in any case. */
export function may(session: Session, scope: Scope): boolean {
  return session.state === "open" || (session.state === "in" && session.identity.scopes.includes(scope));
}

export const session = new SessionStore();
