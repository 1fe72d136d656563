// Dialogs about captions: adding a file, and properties of existing ones.

import { type FormEvent, type ReactNode, useId, useState } from "react";
import { CAPTION_FILES, type CaptionProperties, captions } from "../api/captions";
import { messageOf } from "../api/client";
import type { Caption } from "../api/types";
import { COMMON_LANGUAGES, languageName, languageOfFile, tagOf } from "../lib/languages";
import { Dialog, FormEnd } from "../ui/dialog";

/** The server's limits. */
const LANGUAGE_CHARS = 35;
const LABEL_CHARS = 64;

type Flag = "default" | "forced" | "hearing_impaired";

const FLAGS: [flag: Flag, label: string, says: string][] = [
  ["default", "On by default", "Shown unless the viewer turns them off"],
  ["forced", "Foreign speech only", "Shown to everyone who listens to this language with captions off"],
  ["hearing_impaired", "For the hard of hearing", "Also say who speaks, and what else is heard"],
];

/** As typed. */
interface Typed extends Record<Flag, boolean> {
  language: string;
  label: string;
}

const BLANK: Typed = { language: "", label: "", default: false, forced: false, hearing_impaired: false };

/** In the server's form, or an error. */
function propertiesOf(typed: Typed): CaptionProperties {
  const language = tagOf(typed.language);
  if (language === null)
    throw new Error(
      `“${typed.language.trim()}” is not a language code; English is en, and Brazilian Portuguese pt-BR.`,
    );
  return { ...typed, language: language || null, label: typed.label.trim() || null };
}

interface DialogProps {
  content: string;
  onDone(said: string): void;
  onClose(): void;
}

export function NewCaptions({ content, onDone, onClose }: DialogProps) {
  const [file, setFile] = useState<File | null>(null);
  const [typed, setTyped] = useState(BLANK);
  const choose = (chosen: File | undefined) => {
    setFile(chosen ?? null);
    const language = chosen && languageOfFile(chosen.name);
    if (language && !typed.language) setTyped({ ...typed, language });
  };
  const add = async () => {
    if (!file) return;
    const made = await captions.add(content, file, propertiesOf(typed));
    onDone(`${languageName(made.language) || "Captions"} added.`);
  };
  return (
    <CaptionDialog
      title="Add captions"
      action="Add"
      ready={file !== null}
      typed={typed}
      onType={setTyped}
      onSubmit={add}
      onClose={onClose}
    >
      <label className="block">
        <span className="narrow text-soft text-sm">File: .vtt, .srt, .ass, .ssa or .ttml</span>
        <input
          type="file"
          required
          className="field file:mr-3 file:font-semibold"
          accept={CAPTION_FILES}
          data-testid="caption-file"
          onChange={(event) => choose(event.target.files?.[0])}
        />
      </label>
    </CaptionDialog>
  );
}

export function CaptionDetails({ content, caption, onDone, onClose }: DialogProps & { caption: Caption }) {
  const [typed, setTyped] = useState<Typed>({
    language: caption.language ?? "",
    label: caption.label ?? "",
    default: caption.default,
    forced: caption.forced,
    hearing_impaired: caption.hearing_impaired,
  });
  const save = async () => {
    await captions.edit(content, caption.name, propertiesOf(typed));
    onDone("Saved.");
  };
  return (
    <CaptionDialog
      title="Details of the captions"
      action="Save"
      ready
      typed={typed}
      onType={setTyped}
      onSubmit={save}
      onClose={onClose}
    />
  );
}

interface CaptionDialogProps {
  title: string;
  action: string;
  /** There is enough to send. */
  ready: boolean;
  typed: Typed;
  onType(typed: Typed): void;
  /** The dialog closes after it, unless it fails. */
  onSubmit(): Promise<void>;
  onClose(): void;
  children?: ReactNode;
}

function CaptionDialog(props: CaptionDialogProps) {
  const { title, action, ready, typed, onType, onSubmit, onClose, children } = props;
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const languages = useId();

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onSubmit();
      onClose();
    } catch (failure) {
      setError(messageOf(failure));
      setBusy(false);
    }
  };
  const named = languageName(tagOf(typed.language));
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="space-y-4" onSubmit={(event) => void submit(event)}>
        {children}
        <label className="block">
          <span className="narrow flex justify-between gap-4 text-soft text-sm">
            Language, by name or code
            <span aria-hidden="true">{named !== typed.language.trim() && named}</span>
          </span>
          <input
            className="field"
            list={languages}
            maxLength={LANGUAGE_CHARS}
            autoComplete="off"
            placeholder="en, pt-BR, …"
            value={typed.language}
            onChange={(event) => onType({ ...typed, language: event.target.value })}
          />
        </label>
        <datalist id={languages}>
          {COMMON_LANGUAGES.map(({ tag, name }) => (
            <option key={tag} value={tag}>
              {name}
            </option>
          ))}
        </datalist>
        <label className="block">
          <span className="narrow text-soft text-sm">Name in the menu; without one, the language</span>
          <input
            className="field"
            maxLength={LABEL_CHARS}
            value={typed.label}
            onChange={(event) => onType({ ...typed, label: event.target.value })}
          />
        </label>
        <fieldset>
          <legend className="sr-only">What they are</legend>
          {FLAGS.map(([flag, label, says]) => (
            <label key={flag} className="flex min-h-9 items-baseline gap-2.5 py-1">
              <input
                type="checkbox"
                className="size-4 shrink-0 translate-y-0.5 accent-accent"
                checked={typed[flag]}
                onChange={(event) => onType({ ...typed, [flag]: event.target.checked })}
              />
              <span>
                <span className="font-semibold">{label}</span>{" "}
                <span className="text-soft text-sm">{says}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <FormEnd error={error} action={action} disabled={busy || !ready} onClose={onClose} />
      </form>
    </Dialog>
  );
}
