// My API keys: created with scopes and an expiry, shown once, revoked.

import { type FormEvent, useState } from "react";
import { type ApiKey, auth, type Scope } from "../api/auth";
import { wholeMessageOf } from "../api/client";
import { ago, dateTime } from "../lib/format";
import { CopyField } from "../ui/copy-field";
import { Confirm, Dialog, FormEnd } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { Section } from "../ui/heading";
import { Icon } from "../ui/icons";
import { notify } from "../ui/notices";
import { usePoll } from "./use-poll";

const SCOPES: Record<Scope, string> = {
  "content:read": "Watch",
  "content:write": "Upload, edit and delete videos",
  admin: "Administer the server",
};

const DAY_MS = 86_400_000;
const ENDS: [label: string, days: number][] = [
  ["In 7 days", 7],
  ["In 30 days", 30],
  ["In 90 days", 90],
  ["In a year", 365],
  ["Never", 0],
];

export function Keys({ scopes }: { scopes: Scope[] }) {
  const { data: keys, error, refresh } = usePoll(auth.keys);
  const [making, setMaking] = useState(false);
  const [leaving, setLeaving] = useState<ApiKey | null>(null);
  const [busy, setBusy] = useState(false);

  const revoke = async (key: ApiKey) => {
    setBusy(true);
    try {
      await auth.revokeKey(key.id);
      notify.done(`The key “${key.name}” is revoked.`);
      refresh();
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      setLeaving(null);
    }
  };
  return (
    <Section id="keys-title" title="API keys" about="For programs that act on your behalf.">
      {error && <Failure message={error} onRetry={refresh} />}
      {keys && keys.length > 0 && (
        <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="keys">
          {keys.map((key) => (
            <li key={key.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2">
              <div className="min-w-48 flex-1">
                <p className="font-semibold">
                  {key.name} <code className="digits ml-1 font-normal text-soft text-sm">{key.prefix}…</code>
                </p>
                <p className="digits text-soft text-sm">
                  {key.scopes.join(", ")}, {endOf(key)},{" "}
                  {key.last_used_at ? `used ${ago(key.last_used_at)}` : "not used yet"}
                </p>
              </div>
              <button type="button" className="button button-small" onClick={() => setLeaving(key)}>
                Revoke
                <span className="sr-only"> the key {key.name}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <button type="button" className="button mt-4" onClick={() => setMaking(true)}>
        <Icon name="plus" size={18} />
        Create a key
      </button>
      {making && <NewKey scopes={scopes} onMade={refresh} onClose={() => setMaking(false)} />}
      {leaving && (
        <Confirm
          title={`Revoke “${leaving.name}”?`}
          action="Revoke"
          busy={busy}
          onConfirm={() => void revoke(leaving)}
          onClose={() => setLeaving(null)}
        >
          <p>Programs that use it lose access immediately.</p>
        </Confirm>
      )}
    </Section>
  );
}

function endOf(key: ApiKey): string {
  if (!key.expires_at) return "no expiry";
  const ended = Date.parse(key.expires_at) <= Date.now();
  return ended ? "expired" : `expires ${dateTime(key.expires_at)}`;
}

function NewKey({ scopes, onMade, onClose }: { scopes: Scope[]; onMade(): void; onClose(): void }) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<Scope[]>(["content:read"]);
  const [days, setDays] = useState(30);
  const [key, setKey] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const make = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const end = days > 0 ? { expires_at: new Date(Date.now() + days * DAY_MS).toISOString() } : {};
      const made = await auth.createKey({ name: name.trim(), scopes: chosen, ...end });
      setKey(made.key);
      onMade();
    } catch (failure) {
      setError(wholeMessageOf(failure));
    } finally {
      setBusy(false);
    }
  };
  if (key !== null) {
    return (
      <Dialog title="Copy the key now" onClose={onClose}>
        <p className="mb-4 text-soft">It is shown only once; the server keeps no copy.</p>
        <CopyField label="Key" value={key} />
        <form method="dialog" className="mt-6 flex justify-end">
          <button type="submit" className="button">
            Done
          </button>
        </form>
      </Dialog>
    );
  }
  return (
    <Dialog title="Create an API key" onClose={onClose}>
      <form className="space-y-4" onSubmit={(event) => void make(event)}>
        <label className="block">
          <span className="narrow text-soft text-sm">Name</span>
          <input
            className="field"
            required
            maxLength={100}
            placeholder="What will use this key"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <fieldset>
          <legend className="narrow text-soft text-sm">Permissions</legend>
          {scopes.map((scope) => (
            <label key={scope} className="flex min-h-9 items-center gap-2.5">
              <input
                type="checkbox"
                className="size-4 accent-accent"
                checked={chosen.includes(scope)}
                onChange={(event) =>
                  setChosen(event.target.checked ? [...chosen, scope] : chosen.filter((one) => one !== scope))
                }
              />
              {SCOPES[scope] ?? scope}
            </label>
          ))}
        </fieldset>
        <label className="block">
          <span className="narrow text-soft text-sm">Expires</span>
          <select className="field" value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {ENDS.map(([label, count]) => (
              <option key={count} value={count}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <FormEnd error={error} action="Create" disabled={busy || chosen.length === 0} onClose={onClose} />
      </form>
    </Dialog>
  );
}
