// The text of captions, WebVTT, edited in place: on the page instead of in a dialog, so that the video
// can be watched alongside.

import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { captions } from "../api/captions";
import { isAbort, messageOf } from "../api/client";
import type { Caption } from "../api/types";
import { Failure } from "../ui/failure";
import { Discard, Unsaved } from "../ui/unsaved";
import { lineIn, rangeOfLine } from "./lines";

interface TextEditorProps {
  /** Id of the video. */
  content: string;
  /** Their state when they were opened. */
  caption: Caption;
  /** Their current state; `null`: they were deleted. */
  current: Caption | null;
  title: string;
  onSaved(): void;
  onClose(): void;
}

/** Lines shown above the one in the server's error. */
const CONTEXT_LINES = 3;

export function TextEditor({ content, caption, current, title, onSaved, onClose }: TextEditorProps) {
  const { name, language } = caption;
  const [loaded, setLoaded] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const [refused, setRefused] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [tries, setTries] = useState(0);
  const area = useRef<HTMLTextAreaElement>(null);
  const ids = useId();
  const dirty = loaded !== null && text !== loaded;
  // The address identifies the text.
  const foreign = current?.url !== caption.url;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another try loads it again.
  useEffect(() => {
    const controller = new AbortController();
    captions
      .text(content, name, controller.signal)
      .then((found) => {
        // In the form of a textarea: otherwise the text would count as changed.
        const plain = found.replace(/\r\n?/g, "\n");
        setLoaded(plain);
        setText(plain);
        setTrouble(null);
        requestAnimationFrame(() => area.current?.focus());
      })
      .catch((error: unknown) => {
        if (!isAbort(error)) setTrouble(messageOf(error));
      });
    return () => controller.abort();
  }, [content, name, tries]);

  const save = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      await captions.replace(content, name, text);
      onSaved();
      onClose();
    } catch (error) {
      const message = messageOf(error);
      setRefused(message);
      setBusy(false);
      show(area.current, lineIn(message));
    }
  };
  return (
    <form
      className="mt-4 space-y-3"
      aria-labelledby={`${ids}-title`}
      data-testid="caption-editor"
      onSubmit={(event) => void save(event)}
    >
      <h3 id={`${ids}-title`} className="font-semibold wrap-anywhere">
        Text of “{title}”
      </h3>
      {trouble && <Failure message={trouble} onRetry={() => setTries(tries + 1)} />}
      {loaded === null && !trouble && <p role="status">Loading</p>}
      {loaded !== null && (
        <>
          <p id={`${ids}-about`} className="max-w-prose text-soft text-sm">
            Each caption is a line with its times, such as 00:01:05.000 --&gt; 00:01:07.500, and its text
            below. An empty line ends it.
          </p>
          <textarea
            ref={area}
            aria-labelledby={`${ids}-title`}
            aria-describedby={`${ids}-about${refused ? ` ${ids}-refused` : ""}`}
            aria-invalid={refused !== null}
            className="field min-h-96 resize-y overflow-x-auto font-mono text-sm"
            wrap="off"
            lang={language ?? undefined}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </>
      )}
      {foreign && dirty && (
        <p role="status" className="border-busy border-l-4 pl-4">
          {current
            ? "This text was changed meanwhile. Saving replaces that change."
            : "These captions were deleted meanwhile. Copy your text to keep it."}
        </p>
      )}
      {refused && (
        <p id={`${ids}-refused`} role="alert" className="break-words border-bad border-l-4 pl-4">
          {refused}
        </p>
      )}
      <div className="flex flex-wrap gap-2">
        <button type="submit" className="button button-main" disabled={busy || !dirty}>
          Save
        </button>
        <button type="button" className="button" onClick={() => (dirty ? setAsking(true) : onClose())}>
          {dirty ? "Cancel" : "Close"}
        </button>
      </div>
      {asking && <Discard onDiscard={onClose} onClose={() => setAsking(false)} />}
      {dirty && <Unsaved />}
    </form>
  );
}

/** Selects a line and scrolls to it. */
function show(area: HTMLTextAreaElement | null, line: number | null): void {
  if (!area) return;
  area.focus();
  if (line === null) return;
  area.setSelectionRange(...rangeOfLine(area.value, line));
  const lines = area.value.split("\n").length;
  area.scrollTop = (area.scrollHeight / lines) * Math.max(0, line - 1 - CONTEXT_LINES);
}
