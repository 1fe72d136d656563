// Title, description and tags of a content, to read and to edit in place.

import { type FormEvent, useEffect, useRef, useState } from "react";
import { api, messageOf } from "../api/client";
import type { Content } from "../api/types";
import { titleOf } from "../lib/states";
import { parseTags } from "../lib/tags";
import { useMayChange } from "../session/use-session";
import { Icon } from "../ui/icons";
import { notify } from "../ui/notices";

/** The server's limits (`docs/reference/http/contents.md`, Patches). */
const TITLE_CHARS = 200;
const DESCRIPTION_CHARS = 5_000;
/** The counter shows when this little of the limit is left. */
const COUNTED_FROM = 0.8;

interface DetailsProps {
  content: Content;
  onChange(content: Content): void;
}

export function Details({ content, onChange }: DetailsProps) {
  const [editing, setEditing] = useState(false);
  const mayEdit = useMayChange(content);
  const editButton = useRef<HTMLButtonElement>(null);
  const close = () => {
    setEditing(false);
    requestAnimationFrame(() => editButton.current?.focus());
  };
  if (editing) return <DetailsForm content={content} onChange={onChange} onClose={close} />;
  return (
    <div className="mt-5">
      <div className="flex items-start justify-between gap-4">
        <h1 tabIndex={-1} className="wide min-w-0 break-words text-2xl leading-tight outline-none">
          {titleOf(content)}
        </h1>
        {mayEdit && (
          <button
            ref={editButton}
            type="button"
            className="button button-small"
            onClick={() => setEditing(true)}
          >
            <Icon name="edit" size={16} />
            Edit
          </button>
        )}
      </div>
      {content.description && (
        <p className="mt-2 max-w-prose whitespace-pre-line break-words">{content.description}</p>
      )}
      {content.tags.length > 0 && (
        <ul className="narrow mt-3 flex flex-wrap gap-x-4 gap-y-1 text-soft text-sm" aria-label="Tags">
          {content.tags.map((tag) => (
            <li key={tag}>#{tag}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** A label, and near the limit the number of typed characters. */
function FieldName({ name, text, most }: { name: string; text: string; most: number }) {
  const { length } = text;
  return (
    <span className="narrow flex justify-between gap-4 text-soft text-sm">
      {name}
      {length >= most * COUNTED_FROM && (
        <span className="digits" aria-hidden="true">
          {length} of {most}
        </span>
      )}
    </span>
  );
}

function DetailsForm({ content, onChange, onClose }: DetailsProps & { onClose(): void }) {
  const [title, setTitle] = useState(content.title);
  const [description, setDescription] = useState(content.description);
  const [tags, setTags] = useState(content.tags.join(", "));
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);

  const save = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      onChange(
        await api.edit(content.id, {
          title: title.trim(),
          description: description.trim(),
          tags: parseTags(tags),
        }),
      );
      notify.done("Saved.");
      onClose();
    } catch (failure) {
      setError(messageOf(failure));
      setBusy(false);
    }
  };
  return (
    <form
      className="mt-5 space-y-4"
      onSubmit={(event) => void save(event)}
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
      }}
    >
      <label className="block">
        <FieldName name="Title" text={title} most={TITLE_CHARS} />
        <input
          ref={first}
          className="field"
          maxLength={TITLE_CHARS}
          value={title}
          onChange={(event) => setTitle(event.target.value)}
        />
      </label>
      <label className="block">
        <FieldName name="Description" text={description} most={DESCRIPTION_CHARS} />
        <textarea
          className="field min-h-28"
          maxLength={DESCRIPTION_CHARS}
          value={description}
          onChange={(event) => setDescription(event.target.value)}
        />
      </label>
      <label className="block">
        <span className="narrow text-soft text-sm">Tags, separated by commas</span>
        <input className="field" value={tags} onChange={(event) => setTags(event.target.value)} />
      </label>
      {error && (
        <p role="alert" className="text-bad">
          {error}
        </p>
      )}
      <div className="flex gap-2">
        <button type="submit" className="button button-main" disabled={busy}>
          Save
        </button>
        <button type="button" className="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}
