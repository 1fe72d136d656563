// The uploads of this page (tus 1.0 by tus-js-client): a queue of files, two at a time, and the
// unfinished uploads of an earlier visit. The file's fingerprint and its upload's address are in the
// browser's localStorage, so that a reload loses nothing.

import { defaultOptions, Upload } from "tus-js-client";
import { TransferRate } from "../lib/rate";
import { session } from "../session/session";
import {
  belongsTo,
  contentIdOf,
  explainUploadError,
  fingerprintOf,
  isWorthRetrying,
  RETRY_DELAYS_MS,
  titleFrom,
} from "./policy";

export type UploadStatus = "waiting" | "sending" | "retrying" | "paused" | "failed";

export interface UploadView {
  key: string;
  name: string;
  size: number;
  sent: number;
  status: UploadStatus;
  /** Bytes a second. */
  speed: number | null;
  /** Seconds. */
  eta: number | null;
  error: string | null;
  contentId: string | null;
}

/** An unfinished upload of an earlier visit; its file must be chosen again. */
export interface Interrupted {
  key: string;
  name: string;
  size: number;
  sent: number;
  contentId: string | null;
}

export interface QueueState {
  uploads: readonly UploadView[];
  interrupted: readonly Interrupted[];
}

export interface Finished {
  name: string;
  contentId: string | null;
}

interface Item extends UploadView {
  file: File;
  upload: Upload;
  rate: TransferRate;
  /** The failure may be temporary (no connection). */
  networkFailure: boolean;
}

const ENDPOINT = "/files";
const AT_ONCE = 2;
const REDRAW_MS = 250;
const { urlStorage } = defaultOptions;

export class UploadQueue {
  private items: Item[] = [];
  private interrupted: Interrupted[] = [];
  private snapshot: QueueState = { uploads: [], interrupted: [] };
  private readonly watchers = new Set<() => void>();
  private redraw: ReturnType<typeof setTimeout> | null = null;
  private nextKey = 1;
  private readonly onFinished = new Set<(finished: Finished) => void>();

  constructor() {
    window.addEventListener("online", () => {
      for (const item of this.items) {
        if (item.status === "failed" && item.networkFailure) this.resume(item.key);
      }
    });
    window.addEventListener("beforeunload", (event) => {
      if (this.items.some((item) => item.status === "sending" || item.status === "retrying"))
        event.preventDefault();
    });
  }

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  readonly get = (): QueueState => this.snapshot;

  whenFinished(watcher: (finished: Finished) => void): () => void {
    this.onFinished.add(watcher);
    return () => this.onFinished.delete(watcher);
  }

  /** Adds files; those with an unfinished upload resume. */
  add(files: Iterable<File>): void {
    for (const file of files) {
      const fingerprint = fingerprintOf(file);
      if (this.items.some((item) => fingerprintOf(item.file) === fingerprint)) continue;
      this.items.push(this.make(file));
      this.interrupted = this.interrupted.filter((old) => !belongsTo(old.key, file));
    }
    this.advance();
  }

  pause(key: string): void {
    const item = this.find(key);
    if (!item || item.status === "paused") return;
    item.status = "paused";
    item.rate.reset();
    item.speed = null;
    item.eta = null;
    void item.upload.abort();
    this.advance();
  }

  resume(key: string): void {
    const item = this.find(key);
    if (!item) return;
    item.status = "waiting";
    item.error = null;
    this.advance();
  }

  /** Cancels an upload and deletes it on the server. */
  async cancel(key: string): Promise<void> {
    const item = this.find(key);
    if (!item) return;
    this.items = this.items.filter((other) => other !== item);
    this.advance();
    const { url } = item.upload;
    await item.upload.abort().catch(() => {});
    if (url) await Upload.terminate(url, { retryDelays: RETRY_DELAYS_MS.slice(0, 4) }).catch(() => {});
    for (const previous of await urlStorage.findUploadsByFingerprint(fingerprintOf(item.file))) {
      await urlStorage.removeUpload(previous.urlStorageKey);
    }
  }

  /** Whether this is the file of an interrupted upload. */
  fits(key: string, file: File): boolean {
    return belongsTo(key, file);
  }

  async discard(key: string): Promise<void> {
    const all = await urlStorage.findAllUploads();
    const url = all.find((previous) => previous.urlStorageKey === key)?.uploadUrl;
    this.interrupted = this.interrupted.filter((old) => old.key !== key);
    await urlStorage.removeUpload(key);
    this.draw();
    if (url) await Upload.terminate(url, { retryDelays: [] }).catch(() => {});
  }

  /** Finds unfinished uploads of an earlier visit, and requests their offsets. */
  async findInterrupted(): Promise<void> {
    const found: Interrupted[] = [];
    for (const previous of await urlStorage.findAllUploads()) {
      const key = previous.urlStorageKey;
      if (this.items.some((item) => belongsTo(key, item.file))) continue;
      const { uploadUrl, size } = previous;
      const sent = uploadUrl ? await offsetOf(uploadUrl) : "gone";
      if (sent === "gone" || (size !== null && typeof sent === "number" && sent >= size)) {
        await urlStorage.removeUpload(key);
        continue;
      }
      found.push({
        key,
        name: previous.metadata.filename ?? "A file",
        size: size ?? 0,
        sent: sent === "unknown" ? 0 : sent,
        contentId: contentIdOf(uploadUrl),
      });
    }
    this.interrupted = found.filter((old) => !this.items.some((item) => belongsTo(old.key, item.file)));
    this.draw();
  }

  private make(file: File): Item {
    const key = `upload-${this.nextKey++}`;
    const upload = new Upload(file, {
      endpoint: ENDPOINT,
      metadata: { filename: file.name, filetype: file.type, title: titleFrom(file.name) },
      fingerprint: () => Promise.resolve(fingerprintOf(file)),
      removeFingerprintOnSuccess: true,
      retryDelays: RETRY_DELAYS_MS,
      onShouldRetry: (error) => {
        const { status, message } = explainUploadError(error);
        // Expired tokens are renewed before the next attempt.
        const renews = status === 401 && session.get().state === "in";
        if (renews) void session.renew();
        if (!renews && !isWorthRetrying(status)) return false;
        this.change(key, (item) => {
          if (item.status === "paused") return;
          item.status = "retrying";
          item.error = message;
          item.rate.reset();
          item.speed = null;
          item.eta = null;
        });
        return true;
      },
      onUploadUrlAvailable: () => {
        this.change(key, (item) => {
          item.contentId = contentIdOf(upload.url);
        });
      },
      onProgress: (sent, total) => {
        const item = this.find(key);
        if (!item || item.status === "paused") return;
        item.rate.sample(performance.now(), sent);
        item.sent = sent;
        item.speed = item.rate.bytesPerSecond;
        item.eta = item.rate.eta(total);
        item.status = "sending";
        item.error = null;
        this.drawSoon();
      },
      onSuccess: () => {
        const contentId = contentIdOf(upload.url);
        this.items = this.items.filter((item) => item.key !== key);
        this.advance();
        for (const watcher of this.onFinished) watcher({ name: file.name, contentId });
      },
      onError: (error) => {
        const { status, message } = explainUploadError(error);
        this.change(key, (item) => {
          if (item.status === "paused") return;
          item.status = "failed";
          item.error = message;
          item.networkFailure = status === 0;
          item.speed = null;
          item.eta = null;
        });
        this.advance();
      },
    });
    return {
      key,
      name: file.name,
      size: file.size,
      sent: 0,
      status: "waiting",
      speed: null,
      eta: null,
      error: null,
      contentId: null,
      file,
      upload,
      rate: new TransferRate(),
      networkFailure: false,
    };
  }

  /** Starts waiting uploads, up to the limit. */
  private advance(): void {
    let running = this.items.filter((item) => item.status === "sending" || item.status === "retrying").length;
    for (const item of this.items) {
      if (running >= AT_ONCE) break;
      if (item.status !== "waiting") continue;
      item.status = "sending";
      running += 1;
      void this.start(item);
    }
    this.draw();
  }

  private async start(item: Item): Promise<void> {
    if (!item.upload.url) {
      const previous = await item.upload.findPreviousUploads();
      const latest = previous.sort((a, b) => b.creationTime.localeCompare(a.creationTime))[0];
      if (latest) item.upload.resumeFromPreviousUpload(latest);
    }
    // It may have been paused or cancelled while the storage was read.
    if (item.status === "sending" && this.items.includes(item)) item.upload.start();
  }

  private find(key: string): Item | undefined {
    return this.items.find((item) => item.key === key);
  }

  private change(key: string, change: (item: Item) => void): void {
    const item = this.find(key);
    if (!item) return;
    change(item);
    this.draw();
  }

  private drawSoon(): void {
    this.redraw ??= setTimeout(() => this.draw(), REDRAW_MS);
  }

  private draw(): void {
    if (this.redraw !== null) clearTimeout(this.redraw);
    this.redraw = null;
    this.snapshot = {
      uploads: this.items.map(({ key, name, size, sent, status, speed, eta, error, contentId }) => ({
        key,
        name,
        size,
        sent,
        status,
        speed,
        eta,
        error,
        contentId,
      })),
      interrupted: this.interrupted,
    };
    for (const watcher of this.watchers) watcher();
  }
}

/** tus 1.0 §HEAD: how many bytes the server has. */
async function offsetOf(url: string): Promise<number | "gone" | "unknown"> {
  try {
    const response = await fetch(url, {
      method: "HEAD",
      headers: { "tus-resumable": "1.0.0" },
      cache: "no-store",
    });
    if (response.status === 404 || response.status === 410 || response.status === 403) return "gone";
    const offset = Number(response.headers.get("upload-offset") ?? Number.NaN);
    return response.ok && Number.isFinite(offset) ? offset : "unknown";
  } catch {
    return "unknown";
  }
}

export const uploads = new UploadQueue();
