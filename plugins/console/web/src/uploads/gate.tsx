// The gate: where files are dropped or chosen. Its slats rise while files hover over
// any part of the page.

import { useEffect, useRef, useState } from "react";
import { Icon } from "../ui/icons";
import { uploads } from "./queue";

const SLATS = Array.from({ length: 64 }, (_, index) => index);

/** Takes files dropped anywhere on the page; true while some hover. */
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
      className={`relative isolate overflow-hidden border border-line bg-sheet ${open ? "gate-open" : ""} ${tall ? "min-h-96" : "min-h-40"}`}
    >
      <div aria-hidden="true" className="absolute inset-0 -z-10">
        <svg
          className="gate-water absolute inset-x-0 -bottom-[38%] h-[72%] w-full text-accent opacity-20"
          viewBox="0 0 1200 200"
          preserveAspectRatio="none"
          role="presentation"
        >
          <path
            fill="currentColor"
            d="M0 30c50-26 100-26 150 0s100 26 150 0 100-26 150 0 100 26 150 0 100-26 150 0 100 26 150 0 100-26 150 0 100 26 150 0v170H0z"
          />
        </svg>
        <div className="absolute inset-x-0 top-0 flex h-[58%] justify-between px-1">
          {SLATS.map((index) => (
            <span
              key={index}
              className={`gate-slat h-full w-[4px] bg-ink opacity-[0.09] ${index % 2 ? "max-sm:hidden" : ""}`}
              style={{ "--i": Math.abs(index - 31.5) } as React.CSSProperties}
            />
          ))}
        </div>
      </div>
      <div
        className={`flex h-full flex-wrap items-end justify-between gap-4 p-5 sm:p-7 ${tall ? "min-h-96" : "min-h-40"}`}
      >
        <div className="max-w-lg">
          <p className={`wide leading-tight ${tall ? "text-3xl sm:text-4xl" : "text-xl sm:text-2xl"}`}>
            {open ? "Let go, and it flows" : "Drop videos anywhere here"}
          </p>
          <p className="mt-1.5 text-soft">
            Watch within seconds, while the rest is still being encoded. An interrupted upload goes on where
            it stopped.
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
