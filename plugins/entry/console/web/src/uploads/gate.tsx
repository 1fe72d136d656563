// The drop zone: files are dropped or chosen here. Its slats rise while files hover over any part of the
// page.

import { type CSSProperties, useEffect, useRef, useState } from "react";
import { Icon } from "../ui/icons";
import { uploads } from "./queue";

const SLATS = Array.from({ length: 64 }, (_, index) => index);
const MIDDLE = (SLATS.length - 1) / 2;

/** Accepts files dropped anywhere on the page; true while some hover. */
export function useFileDrop(onFiles: (files: File[]) => void): boolean {
  const [hovering, setHovering] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += 1;
      setHovering(true);
    };
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
    };
    const leave = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth - 1);
      if (depth === 0) setHovering(false);
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      setHovering(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length > 0) take.current(files);
    };
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, []);
  return hovering;
}

export function Gate({ open, tall }: { open: boolean; tall: boolean }) {
  const picker = useRef<HTMLInputElement>(null);
  return (
    <section
      aria-label="Upload"
      className={`relative isolate overflow-hidden border border-line bg-sheet ${open ? "gate-open" : ""}`}
    >
      <div
        aria-hidden="true"
        className={`flex justify-between px-1 ${tall ? "h-40 sm:h-52" : "h-10 sm:h-14"}`}
      >
        {SLATS.map((index) => (
          <span
            key={index}
            className={`gate-slat h-full w-1 bg-accent opacity-35 ${index % 2 ? "max-sm:hidden" : ""}`}
            style={{ "--i": Math.abs(index - MIDDLE) } as CSSProperties}
          />
        ))}
      </div>
      <svg
        aria-hidden="true"
        focusable="false"
        className="gate-water absolute inset-x-0 bottom-0 -z-10 h-24 w-full text-accent opacity-15"
        viewBox="0 0 1200 100"
        preserveAspectRatio="none"
      >
        <path
          fill="currentColor"
          d="M0 20c50-18 100-18 150 0s100 18 150 0 100-18 150 0 100 18 150 0 100-18 150 0 100 18 150 0 100-18 150 0 100 18 150 0v80H0z"
        />
      </svg>
      <div
        className={`flex flex-wrap items-end justify-between gap-4 px-5 pb-5 sm:px-7 sm:pb-6 ${tall ? "pt-10" : "pt-4"}`}
      >
        <div className="max-w-2xl">
          <p className={`wide leading-tight ${tall ? "text-3xl sm:text-4xl" : "text-xl sm:text-2xl"}`}>
            {open ? (
              "Drop to upload"
            ) : (
              <>
                <span className="pointer-coarse:hidden">Drop videos anywhere here</span>
                <span className="hidden pointer-coarse:inline">Upload videos</span>
              </>
            )}
          </p>
          <p className="mt-1.5 text-pretty text-soft">
            Watch within seconds, while the rest is still being encoded. Interrupted uploads resume where they
            stopped.
          </p>
        </div>
        <button type="button" className="button button-main" onClick={() => picker.current?.click()}>
          <Icon name="up" size={18} />
          Choose files
        </button>
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          data-testid="file-picker"
          accept="video/*,audio/*,.mkv,.ts,.m2ts,.mxf,.avi,.flv"
          onChange={(event) => {
            uploads.add(event.target.files ?? []);
            event.target.value = "";
          }}
        />
      </div>
    </section>
  );
}
