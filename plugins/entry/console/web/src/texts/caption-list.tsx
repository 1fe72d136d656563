// The captions of a content: added, described, replaced, edited as text, downloaded, deleted.

import { useRef, useState } from "react";
import { CAPTION_FILES, captions as server } from "../api/captions";
import { messageOf } from "../api/client";
import type { Caption, Content } from "../api/types";
import { bytes } from "../lib/format";
import { titleOf } from "../lib/states";
import { captionName } from "../lib/tracks";
import { Confirm } from "../ui/dialog";
import { Section } from "../ui/heading";
import { Icon } from "../ui/icons";
import { notify } from "../ui/notices";
import { CaptionDetails, NewCaptions } from "./caption-forms";
import { TextEditor } from "./text-editor";

interface CaptionListProps {
  content: Content;
  captions: Caption[];
  onChange(): Promise<void>;
}

/** The open dialog: for one of them, or for a new one. */
type Open = { what: "add" } | { what: "details" | "delete"; caption: Caption };

export function CaptionList({ content, captions, onChange }: CaptionListProps) {
  const [open, setOpen] = useState<Open | null>(null);
  /** The one whose text is open; no dialog closes it. */
  const [editing, setEditing] = useState<Caption | null>(null);
  const [busy, setBusy] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const adder = useRef<HTMLButtonElement>(null);
  const close = () => setOpen(null);
  const closeText = () => {
    const button = `[data-caption="${editing?.name}"] [data-edit]`;
    setEditing(null);
    requestAnimationFrame(() => list.current?.querySelector<HTMLElement>(button)?.focus());
  };
  const done = (said: string) => {
    notify.done(said);
    void onChange();
  };

  const remove = async (caption: Caption) => {
    setBusy(true);
    try {
      await server.remove(content.id, caption.name);
      done(`The captions “${nameOf(caption)}” are deleted.`);
      // The button that opened the question is gone with its row.
      requestAnimationFrame(() => adder.current?.focus());
    } catch (failure) {
      notify.failed(messageOf(failure));
    } finally {
      setBusy(false);
      close();
    }
  };
  return (
    <Section
      id="captions-title"
      title="Captions"
      about="Text that viewers can turn on: what is said, or a translation of it."
    >
      {captions.length > 0 && (
        <ul ref={list} className="mt-2 divide-y divide-line border-line border-y" data-testid="caption-list">
          {captions.map((caption) => (
            <Row
              key={caption.name}
              content={content}
              caption={caption}
              mayEdit={editing === null}
              onEdit={() => setEditing(caption)}
              onOpen={setOpen}
              onDone={done}
            />
          ))}
        </ul>
      )}
      <button ref={adder} type="button" className="button mt-4" onClick={() => setOpen({ what: "add" })}>
        <Icon name="plus" size={18} />
        Add captions
      </button>
      {editing && (
        <TextEditor
          content={content.id}
          caption={editing}
          current={captions.find(({ name }) => name === editing.name) ?? null}
          title={nameOf(editing)}
          onSaved={() => done("Saved.")}
          onClose={closeText}
        />
      )}
      {open?.what === "add" && <NewCaptions content={content.id} onDone={done} onClose={close} />}
      {open?.what === "details" && (
        <CaptionDetails content={content.id} caption={open.caption} onDone={done} onClose={close} />
      )}
      {open?.what === "delete" && (
        <Confirm
          title={`Delete the captions “${nameOf(open.caption)}”?`}
          action="Delete permanently"
          busy={busy}
          onConfirm={() => void remove(open.caption)}
          onClose={close}
        >
          <p>Viewers can no longer turn them on. This cannot be undone.</p>
        </Confirm>
      )}
    </Section>
  );
}

interface RowProps {
  content: Content;
  caption: Caption;
  /** No other text is open. */
  mayEdit: boolean;
  onEdit(): void;
  onOpen(open: Open): void;
  onDone(said: string): void;
}

function Row({ content, caption, mayEdit, onEdit, onOpen, onDone }: RowProps) {
  const picker = useRef<HTMLInputElement>(null);
  const { name, hints } = captionName(caption, "Captions");
  const facts = [caption.default && "on by default", ...hints, bytes(caption.bytes)].filter(Boolean);

  const replace = async (file: File) => {
    try {
      await server.replace(content.id, caption.name, file);
      onDone(`The text of “${name}” is replaced.`);
    } catch (failure) {
      notify.failed(`${file.name}: ${messageOf(failure)}`);
    }
  };
  const whose = <span className="sr-only"> the captions {name}</span>;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 py-2" data-caption={caption.name}>
      <div className="min-w-48 flex-1">
        <p className="font-semibold wrap-anywhere">{name}</p>
        <p className="digits text-soft text-sm wrap-anywhere">{facts.join(", ")}</p>
      </div>
      <div className="flex flex-wrap gap-2">
        <button
          type="button"
          className="button button-small"
          onClick={() => onOpen({ what: "details", caption })}
        >
          Details<span className="sr-only"> of the captions {name}</span>
        </button>
        <button type="button" className="button button-small" data-edit disabled={!mayEdit} onClick={onEdit}>
          <Icon name="edit" size={16} />
          Edit text<span className="sr-only"> of the captions {name}</span>
        </button>
        <button type="button" className="button button-small" onClick={() => picker.current?.click()}>
          <Icon name="up" size={16} />
          Replace{whose}
        </button>
        <input
          ref={picker}
          type="file"
          hidden
          data-testid="caption-replacement"
          accept={CAPTION_FILES}
          onChange={(event) => {
            const [file] = event.target.files ?? [];
            if (file) void replace(file);
            event.target.value = "";
          }}
        />
        <a
          className="button button-small"
          href={server.address(content.id, caption.name)}
          download={`${[titleOf(content), caption.language].filter(Boolean).join(".")}.vtt`}
        >
          <Icon name="down" size={16} />
          Download{whose}
        </a>
        <button
          type="button"
          className="button button-small text-bad"
          onClick={() => onOpen({ what: "delete", caption })}
        >
          <Icon name="bin" size={16} />
          Delete{whose}
        </button>
      </div>
    </li>
  );
}

function nameOf(caption: Caption): string {
  return captionName(caption, "Captions").name;
}
