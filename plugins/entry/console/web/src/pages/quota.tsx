// Usage and limits: for the user, and for admins, who set the limits.

import { type FormEvent, useState } from "react";
import { wholeMessageOf } from "../api/client";
import { type Amount, KINDS, type Kind, type QuotaView, quota, SHOWN, type Usage } from "../api/quota";
import { ago, dateTime } from "../lib/format";
import { amountOf, isFull, NAMES, partText, typed } from "../lib/quota";
import { Failure } from "../ui/failure";
import { Section } from "../ui/heading";
import { notify } from "../ui/notices";
import { usePoll } from "./use-poll";

const EVERY_MS = 10_000;

/** Of the signed-in user. */
export function OwnQuota() {
  const [fetchUsage] = useState(() => (signal: AbortSignal) => quota.usage(null, signal));
  const { data: usage, error, refresh } = usePoll(fetchUsage, EVERY_MS);
  return (
    <Section id="quota-title" title="Usage" about="Your usage of this server, and your limits.">
      {error && <Failure message={error} onRetry={refresh} />}
      {usage && <Parts usage={usage} />}
    </Section>
  );
}

/** For admins, of another user. */
export function Quota({ principal, name }: { principal: string; name: string }) {
  const [fetchUsage] = useState(() => (signal: AbortSignal) => quota.usage(principal, signal));
  const [fetchQuota] = useState(() => (signal: AbortSignal) => quota.get(principal, signal));
  const { data: usage, error, refresh } = usePoll(fetchUsage, EVERY_MS);
  const { data: view, error: unknown, refresh: reload } = usePoll(fetchQuota);
  const changed = () => {
    void refresh();
    void reload();
  };
  return (
    <section aria-label={`Quota of ${name}`} className="space-y-3" data-testid="quota">
      {error && <Failure message={error} onRetry={refresh} />}
      {usage && <Parts usage={usage} />}
      {unknown && <Failure message={unknown} onRetry={reload} />}
      {view && (
        <Limits key={view.override?.set_at ?? "roles"} principal={principal} view={view} onDone={changed} />
      )}
    </section>
  );
}

function Parts({ usage }: { usage: Usage }) {
  return (
    <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1" data-testid="usage">
      {SHOWN.map((kind) => {
        const part = usage[kind];
        if (!part) return null;
        return (
          <div key={kind} className="contents" data-kind={kind}>
            <dt className="narrow text-soft">{NAMES[kind].label}</dt>
            <dd className={isFull(part) ? "digits text-busy" : "digits"}>{partText(kind, part)}</dd>
          </div>
        );
      })}
    </dl>
  );
}

function Limits({ principal, view, onDone }: { principal: string; view: QuotaView; onDone(): void }) {
  const [texts, setTexts] = useState(() => {
    const set = view.override?.limits;
    return Object.fromEntries(KINDS.map((kind) => [kind, typed(kind, set?.[kind] ?? null)])) as Record<
      Kind,
      string
    >;
  });
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const change = async (what: () => Promise<unknown>, said: string) => {
    setBusy(true);
    setFailure(null);
    try {
      await what();
      notify.done(said);
      onDone();
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const save = (event: FormEvent) => {
    event.preventDefault();
    const limits = {} as Record<Kind, Amount>;
    for (const kind of KINDS) {
      const amount = amountOf(kind, texts[kind]);
      if (amount === undefined) {
        setFailure(
          `${NAMES[kind].typed}: type a number or “unlimited”, or leave it empty for the limit of the roles.`,
        );
        return;
      }
      limits[kind] = amount;
    }
    void change(() => quota.set(principal, limits), "The limits are saved.");
  };
  return (
    <form className="space-y-2" onSubmit={save}>
      <div className="flex flex-wrap items-end gap-x-4 gap-y-2">
        {KINDS.map((kind) => (
          <label key={kind} className="min-w-36 flex-1">
            <span className="narrow text-soft text-sm">{NAMES[kind].typed}</span>
            <input
              className="field"
              name={kind}
              autoComplete="off"
              spellCheck={false}
              maxLength={24}
              placeholder="as the roles"
              value={texts[kind]}
              onChange={(event) => setTexts({ ...texts, [kind]: event.target.value })}
            />
          </label>
        ))}
        <button type="submit" className="button" disabled={busy}>
          Save limits
        </button>
        {view.override && (
          <button
            type="button"
            className="button"
            disabled={busy}
            onClick={() => void change(() => quota.clear(principal), "The limits of the roles apply again.")}
          >
            Use the limits of the roles
          </button>
        )}
      </div>
      <p className="text-soft text-sm">
        Type “unlimited” for no limit. Admins have none.
        {view.override && (
          <span title={dateTime(view.override.set_at)}> Set for this user {ago(view.override.set_at)}.</span>
        )}
      </p>
      {failure && (
        <p role="alert" className="break-words border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
    </form>
  );
}
