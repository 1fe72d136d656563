// A modal dialog on the browser's own element, which keeps the focus inside and returns it, and closes on
// Escape.

import { type ReactNode, useEffect, useId, useRef } from "react";

interface DialogProps {
  title: string;
  onClose(): void;
  children: ReactNode;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, by the browser; the click is on the backdrop.
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === ref.current) ref.current?.close();
      }}
      className="m-auto w-[min(30rem,calc(100vw-2rem))] border border-line bg-sheet p-0 text-ink shadow-2xl"
    >
      <div className="p-6">
        <h2 id={titleId} className="wide mb-3 text-lg">
          {title}
        </h2>
        {children}
      </div>
    </dialog>
  );
}

interface FormEndProps {
  error: string | null;
  action: string;
  disabled: boolean;
  onClose(): void;
}

/** The end of a dialog's form: the error, and its two buttons. */
export function FormEnd({ error, action, disabled, onClose }: FormEndProps) {
  return (
    <>
      {error && (
        <p role="alert" className="break-words text-bad">
          {error}
        </p>
      )}
      <div className="flex justify-end gap-2">
        <button type="button" className="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" className="button button-main" disabled={disabled}>
          {action}
        </button>
      </div>
    </>
  );
}

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  /** The label of the button that changes nothing. */
  cancel?: string;
  busy: boolean;
  onConfirm(): void;
  onClose(): void;
}

export function Confirm({
  title,
  children,
  action,
  cancel = "Cancel",
  busy,
  onConfirm,
  onClose,
}: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="text-soft">{children}</div>
      <div className="mt-6 flex flex-wrap justify-end gap-2">
        <button type="button" className="button" onClick={onClose}>
          {cancel}
        </button>
        <button type="button" className="button button-bad" disabled={busy} onClick={onConfirm}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
