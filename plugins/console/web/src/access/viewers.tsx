// The people who watch a content: taking access back, keeping somebody out, and what was decided.

import { type FormEvent, useCallback, useRef, useState } from "react";
import { access, type Bar } from "../api/access";
import { wholeMessageOf } from "../api/client";
import { usePages } from "../pages/use-pages";
import { Confirm } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { notify } from "../ui/notices";
import { Decisions } from "./decisions";

const PAGE = 10;

export function Viewers({ content }: { content: string }) {
  const fetchPage = useCallback(
    (cursor: string | null, signal: AbortSignal) => access.bars(content, cursor, PAGE, signal),
    [content],
  );
  const bars = usePages(fetchPage);
  const [principal, setPrincipal] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const pick = (picked: string) => {
    setPrincipal(picked);
    field.current?.focus();
  };
  return (
    <>
      <TakeBack
        content={content}
        principal={principal}
        onPrincipal={setPrincipal}
        field={field}
        onDone={bars.refresh}
      />
      <Bars content={content} bars={bars} />
      <Decisions content={content} onPick={pick} />
    </>
  );
}

interface TakeBackProps {
  content: string;
  principal: string;
  onPrincipal(principal: string): void;
  field: React.RefObject<HTMLInputElement | null>;
  onDone(): void;
}

/** Ends what one principal, or everybody, is watching, and keeps a principal out if wanted. */
function TakeBack({ content, principal, onPrincipal, field, onDone }: TakeBackProps) {
  const [reason, setReason] = useState("");
  const [everybody, setEverybody] = useState(false);
  const [bar, setBar] = useState(false);
  const [asking, setAsking] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const barred = bar && !everybody;

  const ask = (event: FormEvent) => {
    event.preventDefault();
    setFailure(null);
    setAsking(true);
  };
  const revoke = async () => {
    setBusy(true);
    try {
      const whose = everybody ? {} : { principal: principal.trim(), bar };
      await access.revoke(content, { ...whose, reason: reason.trim() });
      notify.done(barred ? "Access is taken back, and they are kept out." : "Access is taken back.");
      onPrincipal("");
      setReason("");
      setBar(false);
      onDone();
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <form className="space-y-3" onSubmit={ask} data-testid="take-back">
      <h3 className="font-semibold">Take access back</h3>
      <p className="max-w-prose text-soft text-sm">
        Playback ends within moments. Who still fulfils the rule may begin anew, unless they are kept out.
      </p>
      <fieldset className="flex flex-wrap gap-x-6">
        <legend className="sr-only">Whose access</legend>
        {[false, true].map((all) => (
          <label key={String(all)} className="flex min-h-9 items-center gap-2.5">
            <input
              type="radio"
              name="whose"
              className="size-4 accent-accent"
              checked={everybody === all}
              onChange={() => setEverybody(all)}
            />
            {all ? "Everybody's" : "One principal's"}
          </label>
        ))}
      </fieldset>
      <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
        {!everybody && (
          <label className="block">
            <span className="narrow text-soft text-sm">Principal, as the decisions below name it</span>
            <input
              ref={field}
              className="field digits"
              required
              maxLength={64}
              autoComplete="off"
              spellCheck={false}
              placeholder="0190c3b0-…"
              value={principal}
              onChange={(event) => onPrincipal(event.target.value)}
            />
          </label>
        )}
        <label className="block">
          <span className="narrow text-soft text-sm">Reason, which they are told</span>
          <input
            className="field"
            required
            maxLength={500}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
      </div>
      {!everybody && (
        <label className="flex min-h-9 items-center gap-2.5">
          <input
            type="checkbox"
            className="size-4 shrink-0 accent-accent"
            checked={bar}
            onChange={(event) => setBar(event.target.checked)}
          />
          Keep them out of this content until they are let in again
        </label>
      )}
      {failure && (
        <p role="alert" className="break-words border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
      <button type="submit" className="button text-bad" disabled={busy}>
        Take back
      </button>
      {asking && (
        <Confirm
          title={everybody ? "Take everybody's access back?" : "Take their access back?"}
          action={barred ? "Take back and keep out" : "Take back now"}
          cancel="Leave it"
          busy={busy}
          onConfirm={() => void revoke()}
          onClose={() => setAsking(false)}
        >
          {!everybody && <p className="digits wrap-anywhere">{principal}</p>}
          <p className="mt-2">
            {everybody && "Whoever is watching this content is interrupted. "}
            {!everybody && !bar && "What they are watching of this content is interrupted. "}
            {barred && "They cannot watch this content any more, with any wallet of theirs. "}
            They are told: “{reason.trim()}”
          </p>
        </Confirm>
      )}
    </form>
  );
}

interface BarsProps {
  content: string;
  bars: { items: Bar[]; error: string | null; more: (() => void) | null; refresh(): void };
}

/** Who is kept out. */
function Bars({ content, bars: { items, error, more, refresh } }: BarsProps) {
  const [busy, setBusy] = useState(false);
  const lift = async (principal: string) => {
    setBusy(true);
    try {
      await access.lift(content, principal);
      notify.done("They may watch again, if they fulfil the rule.");
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      refresh();
    }
  };
  return (
    <div>
      <h3 className="font-semibold">Kept out</h3>
      <p className="max-w-prose text-soft text-sm">
        Principals, whatever wallet they use. To keep a wallet out whoever it belongs to, add “Not this: Named
        people” to the rule.
      </p>
      {error && <Failure message={error} onRetry={refresh} />}
      {!error && items.length === 0 && <p className="mt-1 text-soft">Nobody is.</p>}
      <ul className="mt-2 divide-y divide-line border-line border-y empty:hidden" data-testid="bars">
        {items.map(({ principal, reason }) => (
          <li key={principal} className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2">
            <div className="min-w-48 flex-1">
              <p className="digits wrap-anywhere">{principal}</p>
              <p className="break-words text-soft text-sm">{reason}</p>
            </div>
            <button
              type="button"
              className="button button-small"
              disabled={busy}
              onClick={() => void lift(principal)}
            >
              Let in again
              <span className="sr-only"> the principal {principal}</span>
            </button>
          </li>
        ))}
      </ul>
      {more && (
        <button type="button" className="button button-small mt-2" onClick={more}>
          Load more
        </button>
      )}
    </div>
  );
}
