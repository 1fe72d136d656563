// Current uploads, and unfinished ones of an earlier visit.

import { useEffect, useRef, useSyncExternalStore } from "react";
import { bytes, percent, remaining } from "../lib/format";
import { Icon } from "../ui/icons";
import { notify } from "../ui/notices";
import { Slats } from "../ui/slats";
import { type Interrupted, type UploadView, uploads } from "./queue";

export function useUploads() {
  return useSyncExternalStore(uploads.watch, uploads.get);
}

export function UploadPanel() {
  const { uploads: sending, interrupted } = useUploads();
  useEffect(() => {
    void uploads.findInterrupted();
  }, []);
  if (sending.length === 0 && interrupted.length === 0) return null;
  return (
    <section aria-labelledby="uploads-title" className="mt-8" data-testid="uploads">
      <h2 id="uploads-title" className="wide text-lg">
        Uploads
      </h2>
      <ul className="mt-2 divide-y divide-line border-line border-y">
        {sending.map((upload) => (
          <SendingRow key={upload.key} upload={upload} />
        ))}
        {interrupted.map((upload) => (
          <InterruptedRow key={upload.key} upload={upload} />
        ))}
      </ul>
    </section>
  );
}

function facts(upload: UploadView): string {
  const whole = `${bytes(upload.sent)} of ${bytes(upload.size)}`;
  switch (upload.status) {
    case "waiting":
      return `${bytes(upload.size)}, waiting for its turn`;
    case "paused":
      return `Paused at ${whole}`;
    case "retrying":
      return `${whole}. ${upload.error ?? ""} Trying again`;
    case "failed":
      return upload.error ?? "Failed";
    case "sending": {
      const speed = upload.speed === null ? "" : `${bytes(upload.speed)}/s`;
      return [whole, speed, remaining(upload.eta)].filter(Boolean).join(", ");
    }
  }
}

function SendingRow({ upload }: { upload: UploadView }) {
  const fraction = upload.size > 0 ? upload.sent / upload.size : 0;
  const stopped = upload.status === "paused" || upload.status === "failed";
  const tone = upload.status === "failed" ? "bad" : upload.status === "sending" ? "good" : "calm";
  return (
    <li className="py-3" data-upload={upload.status}>
      <div className="flex items-start gap-3">
        <div className="min-w-0 flex-1">
          <p className="truncate font-semibold">{upload.name}</p>
          <p
            className={`digits text-sm ${upload.status === "failed" ? "text-bad" : upload.status === "retrying" ? "text-busy" : "text-soft"}`}
            role={upload.status === "failed" ? "alert" : undefined}
          >
            {facts(upload)}
          </p>
        </div>
        <span className="digits wide pt-1 text-sm">{percent(fraction)}</span>
        <div className="flex gap-1">
          <button
            type="button"
            className="button button-small"
            onClick={() => (stopped ? uploads.resume(upload.key) : uploads.pause(upload.key))}
          >
            <Icon name={stopped ? "play" : "pause"} size={14} />
            {stopped ? "Resume" : "Pause"}
            <span className="sr-only"> the upload of {upload.name}</span>
          </button>
          <button
            type="button"
            className="button button-small button-icon"
            aria-label={`Cancel the upload of ${upload.name}`}
            onClick={() => void uploads.cancel(upload.key)}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      </div>
      <Slats value={fraction} tone={tone} label={`Upload of ${upload.name}`} className="mt-2.5 h-2.5" />
    </li>
  );
}

function InterruptedRow({ upload }: { upload: Interrupted }) {
  const picker = useRef<HTMLInputElement>(null);
  const choose = (file: File | undefined) => {
    if (!file) return;
    if (uploads.fits(upload.key, file)) uploads.add([file]);
    else
      notify.failed(
        `“${file.name}” is not the file this upload started with. Choose ${upload.name}, unchanged.`,
      );
  };
  return (
    <li className="py-3" data-upload="interrupted">
      <div className="flex flex-wrap items-start gap-x-3 gap-y-2">
        <div className="min-w-48 flex-1">
          <p className="truncate font-semibold">{upload.name}</p>
          <p className="digits text-soft text-sm">
            Interrupted at {bytes(upload.sent)} of {bytes(upload.size)}. Choose the file again to resume.
          </p>
        </div>
        <div className="flex gap-1">
          <button type="button" className="button button-small" onClick={() => picker.current?.click()}>
            <Icon name="up" size={16} />
            Choose file
          </button>
          <button
            type="button"
            className="button button-small button-icon"
            aria-label={`Discard the upload of ${upload.name}`}
            onClick={() => void uploads.discard(upload.key)}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      </div>
      <input
        ref={picker}
        type="file"
        hidden
        onChange={(event) => {
          choose(event.target.files?.[0]);
          event.target.value = "";
        }}
      />
      <Slats
        value={upload.size > 0 ? upload.sent / upload.size : 0}
        tone="calm"
        label={`Interrupted upload of ${upload.name}`}
        className="mt-2.5 h-2.5"
      />
    </li>
  );
}
