// The viewers of a video: revoking access, blocking a user, and recent decisions.

import { type FormEvent, useCallback, useRef, useState } from "react";
import { access, type Bar } from "../api/access";
import { wholeMessageOf } from "../api/client";
import { usePages } from "../pages/use-pages";
import { Confirm } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { notify } from "../ui/notices";
import { Decisions } from "./decisions";

const PAGE = 10;

interface ViewersProps {
  content: string;
  /** Everyone may watch it: there is no access to revoke. */
  open: boolean;
}

export function Viewers({ content, open }: ViewersProps) {
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
      {!open && (
        <Revoke
          content={content}
          principal={principal}
          onPrincipal={setPrincipal}
          field={field}
          onDone={bars.refresh}
        />
      )}
      {(!open || bars.items.length > 0) && <Bars content={content} bars={bars} />}
      <Decisions content={content} onPick={open ? null : pick} />
    </>
  );
}

interface RevokeProps {
  content: string;
  principal: string;
  onPrincipal(principal: string): void;
  field: React.RefObject<HTMLInputElement | null>;
  onDone(): void;
}

/** Ends playback of one user, or everyone, and optionally blocks a user. */
function Revoke({ content, principal, onPrincipal, field, onDone }: RevokeProps) {
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
      notify.done(barred ? "Access revoked, and the user is blocked." : "Access revoked.");
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
    <form className="space-y-3" onSubmit={ask} data-testid="revoke">
      <h3 className="font-semibold">Revoke access</h3>
      <p className="max-w-prose text-soft text-sm">
        Playback stops within seconds. Anyone who still meets the rule can start again, unless they are
        blocked.
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
            {all ? "Everyone" : "One user"}
          </label>
        ))}
      </fieldset>
      <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
        {!everybody && (
          <label className="block">
            <span className="narrow text-soft text-sm">User ID, as shown in the decisions below</span>
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
          <span className="narrow text-soft text-sm">Reason, which they will see</span>
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
          Block them from this video until they are unblocked
        </label>
      )}
      {failure && (
        <p role="alert" className="break-words border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
      <button type="submit" className="button text-bad" disabled={busy}>
        Revoke
      </button>
      {asking && (
        <Confirm
          title={everybody ? "Revoke everyone's access?" : "Revoke their access?"}
          action={barred ? "Revoke and block" : "Revoke now"}
          cancel="Cancel"
          busy={busy}
          onConfirm={() => void revoke()}
          onClose={() => setAsking(false)}
        >
          {!everybody && <p className="digits wrap-anywhere">{principal}</p>}
          <p className="mt-2">
            {everybody && "Everyone who is watching this video is interrupted. "}
            {!everybody && !bar && "If they are watching this video, playback stops. "}
            {barred && "They can no longer watch this video, with any of their wallets. "}
            They will see: “{reason.trim()}”
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

/** Blocked users. */
function Bars({ content, bars: { items, error, more, refresh } }: BarsProps) {
  const [busy, setBusy] = useState(false);
  const lift = async (principal: string) => {
    setBusy(true);
    try {
      await access.lift(content, principal);
      notify.done("Unblocked. They can watch again if they meet the rule.");
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      refresh();
    }
  };
  return (
    <div>
      <h3 className="font-semibold">Blocked</h3>
      <p className="max-w-prose text-soft text-sm">
        Users, whichever wallet they use. To block a wallet regardless of its owner, add “Not this: Allow
        list” to the rule.
      </p>
      {error && <Failure message={error} onRetry={refresh} />}
      {!error && items.length === 0 && <p className="mt-1 text-soft">None.</p>}
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
              Unblock
              <span className="sr-only"> {principal}</span>
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
