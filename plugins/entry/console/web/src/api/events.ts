// The stream of content changes (server-sent events) for the open page: of all contents, or of one, which
// everyone with its address may follow even if no list shows it. It reconnects automatically, reports
// when it did (changes in between were missed), and sleeps while the page is hidden: browsers allow six
// connections per host over HTTP/1.1, and keep those of pages in the back-forward cache.

import type { Content } from "./types";

export type Connection = "connecting" | "open" | "lost" | "asleep";

export interface Listener {
  changed?(content: Content): void;
  deleted?(id: string): void;
  /** The stream is open, perhaps again: reload what is shown. */
  opened?(): void;
  connection?(state: Connection): void;
}

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 20_000;
const SLEEP_AFTER_MS = 30_000;

export class ChangeStream {
  private source: EventSource | null = null;
  private readonly listeners = new Set<Listener>();
  private state: Connection = "connecting";
  private delay = FIRST_DELAY_MS;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private everOpened = false;

  constructor(private readonly url: string) {}

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    listener.connection?.(this.state);
    if (this.listeners.size === 1) {
      document.addEventListener("visibilitychange", this.onVisibility);
      window.addEventListener("pagehide", this.sleep);
      window.addEventListener("pageshow", this.wake);
      this.connect();
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) {
        document.removeEventListener("visibilitychange", this.onVisibility);
        window.removeEventListener("pagehide", this.sleep);
        window.removeEventListener("pageshow", this.wake);
        this.disconnect();
      }
    };
  }

  private readonly onVisibility = () => {
    this.clearTimer();
    if (document.visibilityState === "hidden") this.timer = setTimeout(this.sleep, SLEEP_AFTER_MS);
    else this.wake();
  };

  private readonly sleep = () => {
    this.disconnect();
    this.tell("asleep");
  };

  private readonly wake = () => {
    if (!this.source) this.connect();
  };

  private connect() {
    this.disconnect();
    if (this.state !== "lost") this.tell("connecting");
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => {
      this.delay = FIRST_DELAY_MS;
      this.tell("open");
      if (this.everOpened) for (const listener of this.listeners) listener.opened?.();
      this.everOpened = true;
    });
    source.addEventListener("changed", (event) => {
      const content = read<Content>(event);
      if (content) for (const listener of this.listeners) listener.changed?.(content);
    });
    source.addEventListener("deleted", (event) => {
      const gone = read<{ id: string }>(event);
      if (gone) for (const listener of this.listeners) listener.deleted?.(gone.id);
    });
    // More was missed than the server remembers.
    source.addEventListener("reset", () => {
      for (const listener of this.listeners) listener.opened?.();
    });
    source.addEventListener("error", () => {
      this.tell("lost");
      // The browser retries a broken connection, but gives up on an error status.
      if (source.readyState !== EventSource.CLOSED) return;
      this.disconnect();
      this.timer = setTimeout(() => this.connect(), this.delay * (0.75 + Math.random() / 2));
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY_MS);
    });
  }

  private disconnect() {
    this.clearTimer();
    this.source?.close();
    this.source = null;
  }

  private clearTimer() {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private tell(state: Connection) {
    if (state === this.state) return;
    this.state = state;
    for (const listener of this.listeners) listener.connection?.(state);
  }
}

function read<T>(event: MessageEvent<string>): T | null {
  try {
    return JSON.parse(event.data) as T;
  } catch {
    return null;
  }
}

/** The changes of all contents visible to the user. */
export const changes = new ChangeStream("/api/v1/contents/events");

/** The changes of one content, beginning with its current state. */
export function changesOf(id: string): ChangeStream {
  return new ChangeStream(`/api/v1/contents/${encodeURIComponent(id)}/events`);
}
