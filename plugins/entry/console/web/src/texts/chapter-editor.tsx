// The chapters of a content, as people write them under a video: one per line, its time first.

import { type FormEvent, useId, useState } from "react";
import { captions } from "../api/captions";
import { messageOf } from "../api/client";
import type { Chapter, Content } from "../api/types";
import { formatChapters, parseChapters } from "../lib/chapters";
import { Section } from "../ui/heading";
import { notify } from "../ui/notices";
import { Discard, Unsaved } from "../ui/unsaved";

interface ChapterEditorProps {
  content: Content;
  chapters: Chapter[];
  onChange(): Promise<void>;
}

/** Maximum mistakes that are listed at once. */
const MOST_NAMED = 5;

export function ChapterEditor({ content, chapters, onChange }: ChapterEditorProps) {
  const saved = formatChapters(chapters);
  /** `null`: as saved, also when that changes. */
  const [typed, setTyped] = useState<string | null>(null);
  const [mistakes, setMistakes] = useState<string[]>([]);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const ids = useId();
  const text = typed ?? saved;
  const dirty = text !== saved;

  const discard = () => {
    setTyped(null);
    setMistakes([]);
    setAsking(false);
  };
  const save = async (event: FormEvent) => {
    event.preventDefault();
    const parsed = parseChapters(text, content.duration);
    setMistakes(parsed.mistakes);
    if (parsed.mistakes.length > 0) return;
    setBusy(true);
    try {
      await captions.setChapters(content.id, parsed.chapters);
      notify.done(parsed.chapters.length > 0 ? "Saved." : "The video has no chapters now.");
      await onChange();
      setTyped(null);
    } catch (failure) {
      setMistakes([messageOf(failure)]);
    } finally {
      setBusy(false);
    }
  };
  const named = mistakes.slice(0, MOST_NAMED);
  return (
    <Section
      id="chapters-title"
      title="Chapters"
      about="One per line: when it begins, and its title. Viewers see them on the time line."
    >
      <form className="mt-2 space-y-3" data-testid="chapter-editor" onSubmit={(event) => void save(event)}>
        <textarea
          aria-labelledby="chapters-title"
          aria-describedby={mistakes.length > 0 ? `${ids}-mistakes` : undefined}
          aria-invalid={mistakes.length > 0}
          className="field digits min-h-28 max-w-xl"
          rows={Math.min(12, text.split("\n").length + 1)}
          placeholder={"0:00 Intro\n1:30 First part"}
          value={text}
          onChange={(event) => {
            setTyped(event.target.value);
            setMistakes([]);
          }}
        />
        {named.length > 0 && (
          <div id={`${ids}-mistakes`} role="alert" className="break-words border-bad border-l-4 pl-4">
            {named.map((mistake) => (
              <p key={mistake}>{mistake}</p>
            ))}
            {mistakes.length > MOST_NAMED && <p>And {mistakes.length - MOST_NAMED} more.</p>}
          </div>
        )}
        <div className="flex flex-wrap gap-2">
          <button type="submit" className="button button-main" disabled={busy || !dirty}>
            Save chapters
          </button>
          {dirty && (
            <button type="button" className="button" disabled={busy} onClick={() => setAsking(true)}>
              Cancel
            </button>
          )}
        </div>
        {asking && <Discard onDiscard={discard} onClose={() => setAsking(false)} />}
        {dirty && <Unsaved />}
      </form>
    </Section>
  );
}
