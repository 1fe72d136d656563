// Decisions about uploads that need no network: which failures are worth a retry, their messages, and
// which file an interrupted upload belongs to.

import { explain } from "../api/client";

/** Waits before each retry; after a retry with progress they start over. */
export const RETRY_DELAYS_MS = [0, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 30_000];

/** `status` 0: no answer came. */
export function isWorthRetrying(status: number): boolean {
  if (status === 507) return false;
  return (
    status === 0 || status === 408 || status === 409 || status === 423 || status === 429 || status >= 500
  );
}

interface FileFacts {
  name: string;
  type: string;
  size: number;
  lastModified: number;
}

/** What identifies a file, as far as a browser can tell without reading it. */
export function fingerprintOf(file: FileFacts): string {
  return ["streamgate", file.name, file.type, file.size, file.lastModified].join("-");
}

/** Whether an entry of the browser's storage belongs to this file. */
export function belongsTo(storageKey: string, file: FileFacts): boolean {
  return storageKey.startsWith(`tus::${fingerprintOf(file)}::`);
}

/** `https://host/files/<id>` -> `<id>`. */
export function contentIdOf(uploadUrl: string | null): string | null {
  return uploadUrl ? (/\/([^/?#]+)\/?(?:[?#].*)?$/.exec(uploadUrl)?.[1] ?? null) : null;
}

/** `holiday_2024-08.final.mp4` -> `holiday 2024-08.final`. */
export function titleFrom(filename: string): string {
  const stem = filename.replace(/\.[a-z0-9]{1,5}$/i, "");
  return stem.replace(/_+/g, " ").trim() || filename;
}

interface TusError {
  message?: string;
  originalRequest?: unknown;
  originalResponse?: { getStatus(): number; getBody(): string } | null;
}

/** The message for a failed upload. */
export function explainUploadError(error: unknown): { status: number; message: string } {
  const tus = error as TusError;
  if (tus?.originalResponse) {
    const status = tus.originalResponse.getStatus();
    return { status, message: explain(status, tus.originalResponse.getBody() ?? "").message };
  }
  if (tus?.originalRequest) return { status: 0, message: "The connection was lost. Sent data is kept." };
  return {
    status: -1,
    message: "The file could not be read. Was it moved or changed since you chose it?",
  };
}
