// For admins: the plans of a user, which rules of videos may require.

import { type FormEvent, useState } from "react";
import { access, type Subscription } from "../api/access";
import { wholeMessageOf } from "../api/client";
import { ago, dateTime, fromLocal, toLocal } from "../lib/format";
import { Confirm } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { notify } from "../ui/notices";
import { usePoll } from "./use-poll";

const MONTH_MS = 30 * 86_400_000;

export function Subscriptions({ principal, name }: { principal: string; name: string }) {
  const [fetchPlans] = useState(() => (signal: AbortSignal) => access.subscriptions(principal, signal));
  const { data: plans, error, refresh } = usePoll(fetchPlans);
  const [ending, setEnding] = useState<Subscription | null>(null);
  const [busy, setBusy] = useState(false);

  const end = async ({ plan }: Subscription) => {
    setBusy(true);
    try {
      await access.endSubscription(principal, plan);
      notify.done(`The subscription to ${plan} has ended.`);
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      setEnding(null);
      refresh();
    }
  };
  return (
    <section aria-label={`Subscriptions of ${name}`} className="space-y-3" data-testid="subscriptions">
      {error && <Failure message={error} onRetry={refresh} />}
      {plans?.length === 0 && <p className="text-soft">No subscriptions.</p>}
      {plans && plans.length > 0 && (
        <ul className="divide-y divide-line border-line border-y">
          {plans.map((one) => (
            <li
              key={one.plan}
              className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2"
              data-plan={one.plan}
            >
              <span className="font-semibold wrap-anywhere">{one.plan}</span>
              <span className="digits min-w-0 flex-1 text-soft text-sm">{endOf(one)}</span>
              <button type="button" className="button button-small" onClick={() => setEnding(one)}>
                End
                <span className="sr-only"> the subscription to {one.plan}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <Grant principal={principal} onDone={refresh} />
      {ending && (
        <Confirm
          title={`End the subscription to ${ending.plan}?`}
          action="End now"
          busy={busy}
          onConfirm={() => void end(ending)}
          onClose={() => setEnding(null)}
        >
          <p className="wrap-anywhere">{name}</p>
          <p className="mt-2">Playback that only this plan allows stops. It can be granted again.</p>
        </Confirm>
      )}
    </section>
  );
}

function endOf({ ends_at }: Subscription): string {
  const over = Date.parse(ends_at) <= Date.now();
  return over ? `ended ${ago(ends_at)}` : `until ${dateTime(ends_at)}`;
}

function Grant({ principal, onDone }: { principal: string; onDone(): void }) {
  const [plan, setPlan] = useState("");
  const [until, setUntil] = useState(() => toLocal(new Date(Date.now() + MONTH_MS).toISOString()));
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const grant = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      await access.subscribe(principal, plan, fromLocal(until));
      notify.done(`The subscription to ${plan} is granted.`);
      setPlan("");
      onDone();
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="space-y-2" onSubmit={(event) => void grant(event)}>
      <div className="flex flex-wrap items-end gap-x-4 gap-y-2">
        <label className="min-w-40 flex-1">
          <span className="narrow text-soft text-sm">Plan</span>
          <input
            className="field"
            required
            maxLength={64}
            autoComplete="off"
            spellCheck={false}
            placeholder="gold"
            value={plan}
            onChange={(event) => setPlan(event.target.value.trim())}
          />
        </label>
        <label className="min-w-48 flex-1">
          <span className="narrow text-soft text-sm">Until</span>
          <input
            type="datetime-local"
            className="field"
            required
            value={until}
            onChange={(event) => setUntil(event.target.value)}
          />
        </label>
        <button type="submit" className="button" disabled={busy}>
          Grant
        </button>
      </div>
      <p className="text-soft text-sm">If they already have this plan, its end is changed.</p>
      {failure && (
        <p role="alert" className="break-words border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
    </form>
  );
}
