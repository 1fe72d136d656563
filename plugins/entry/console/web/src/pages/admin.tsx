// For admins: the users with their roles, and the audit log.

import { useCallback, useId, useState } from "react";
import { type AuditEntry, auth, type PrincipalView, type Role } from "../api/auth";
import { wholeMessageOf } from "../api/client";
import { actionText, actorText } from "../lib/actions";
import { ago, dateTime } from "../lib/format";
import { splitWallet } from "../lib/wallets";
import { Guard } from "../session/guard";
import { Address } from "../ui/address";
import { Confirm } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { PageTitle, Section } from "../ui/heading";
import { WithNames } from "../ui/names";
import { notify } from "../ui/notices";
import { Quota } from "./quota";
import { Subscriptions } from "./subscriptions";
import { usePages } from "./use-pages";

const PAGE = 25;
const PANELS = [
  ["quota", "Quota"],
  ["subscriptions", "Subscriptions"],
] as const;
const GRANTED: Role[] = ["creator", "admin"];

export default function AdminPage() {
  return (
    <Guard scope="admin">
      <PageTitle>Administration</PageTitle>
      <Principals />
      <AuditLog />
    </Guard>
  );
}

function Principals() {
  const fetchPage = useCallback(
    (cursor: string | null, signal: AbortSignal) => auth.principals(cursor, PAGE, signal),
    [],
  );
  const { items, error, more, refresh } = usePages(fetchPage);
  return (
    <Section id="principals-title" title="Users" about="Everyone who has signed in. Every user is a viewer.">
      {error && <Failure message={error} onRetry={refresh} />}
      <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="principals">
        {items.map((one) => (
          <PrincipalRow key={one.id} principal={one} onChange={refresh} />
        ))}
      </ul>
      <More more={more} />
    </Section>
  );
}

function PrincipalRow({ principal, onChange }: { principal: PrincipalView; onChange(): void }) {
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState<"quota" | "subscriptions" | null>(null);
  const [asking, setAsking] = useState(false);
  const panelId = useId();
  const name = principal.name || principal.wallets[0] || principal.id;
  const set = async (role: Role, granted: boolean) => {
    setBusy(true);
    try {
      await auth.setRole(principal.id, role, granted);
      notify.done(granted ? `Role ${role} granted.` : `Role ${role} removed.`);
    } catch (error) {
      notify.failed(wholeMessageOf(error));
    } finally {
      setBusy(false);
      onChange();
    }
  };
  const signOut = async () => {
    setBusy(true);
    try {
      const { ended } = await auth.signOut(principal.id);
      notify.done(ended === 1 ? "Signed out of one session." : `Signed out of ${ended} sessions.`);
    } catch (error) {
      notify.failed(wholeMessageOf(error));
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  // An admin is a creator too.
  const isImplied = (role: Role) => role === "creator" && principal.roles.includes("admin");
  return (
    <li className="flex flex-wrap items-center gap-x-6 gap-y-1 py-2" data-principal={principal.id}>
      <div className="min-w-48 flex-1">
        <p className="flex flex-wrap gap-x-4 font-semibold">
          {principal.name && <span>{principal.name}</span>}
          {principal.wallets.map((wallet) => (
            <Address key={wallet} value={splitWallet(wallet).address} />
          ))}
        </p>
        <p className="digits wrap-anywhere text-soft text-sm" title={dateTime(principal.created_at)}>
          {principal.id}, since {ago(principal.created_at)}
        </p>
      </div>
      <fieldset className="flex gap-4" disabled={busy}>
        <legend className="sr-only">Roles of {name}</legend>
        {GRANTED.map((role) => (
          <label key={role} className="flex min-h-9 items-center gap-2">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              checked={principal.roles.includes(role)}
              disabled={isImplied(role)}
              onChange={(event) => void set(role, event.target.checked)}
            />
            {role}
          </label>
        ))}
      </fieldset>
      {PANELS.map(([panel, label]) => (
        <button
          key={panel}
          type="button"
          className="button button-small"
          aria-expanded={open === panel}
          aria-controls={panelId}
          onClick={() => setOpen(open === panel ? null : panel)}
        >
          {label}
          <span className="sr-only"> of {name}</span>
        </button>
      ))}
      <button type="button" className="button button-small" onClick={() => setAsking(true)}>
        Sign out
        <span className="sr-only"> {name}</span>
      </button>
      {asking && (
        <Confirm
          title={`Sign ${name} out everywhere?`}
          action="Sign out"
          cancel="Cancel"
          busy={busy}
          onConfirm={() => void signOut()}
          onClose={() => setAsking(false)}
        >
          <p>
            All sessions and API keys end, and so does playback. Roles and wallets stay: anyone who has a
            wallet of this user can sign in again.
          </p>
        </Confirm>
      )}
      <div id={panelId} className="w-full empty:hidden">
        {open === "quota" && <Quota principal={principal.id} name={name} />}
        {open === "subscriptions" && <Subscriptions principal={principal.id} name={name} />}
      </div>
    </li>
  );
}

const TONES: Record<AuditEntry["outcome"], string> = {
  granted: "text-accent",
  refused: "text-bad",
  changed: "text-busy",
};

function AuditLog() {
  const [principal, setPrincipal] = useState("");
  const fetchPage = useCallback(
    (cursor: string | null, signal: AbortSignal) => auth.audit(principal, cursor, PAGE, signal),
    [principal],
  );
  const { items, error, more, refresh } = usePages(fetchPage);
  return (
    <Section
      id="audit-title"
      title="Audit log"
      about="Everything that was granted, refused or changed, newest first."
    >
      {principal && (
        <p className="mt-2 wrap-anywhere">
          Only entries of {principal}.{" "}
          <button
            type="button"
            className="text-accent underline underline-offset-2"
            onClick={() => setPrincipal("")}
          >
            Show all
          </button>
        </p>
      )}
      {error && <Failure message={error} onRetry={refresh} />}
      <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="audit">
        {items.map((entry) => (
          <li key={entry.id} className="flex flex-wrap gap-x-6 gap-y-0.5 py-2">
            <p className="digits w-full shrink-0 text-soft text-sm sm:w-32" title={dateTime(entry.at)}>
              {ago(entry.at)}
            </p>
            <div className="min-w-48 flex-1">
              <p>
                <span className="font-semibold" title={entry.action}>
                  {actionText(entry.action)}
                </span>{" "}
                <span className={`narrow text-sm ${TONES[entry.outcome]}`}>{entry.outcome}</span>
              </p>
              {entry.detail && (
                <p className="text-sm wrap-anywhere">
                  <WithNames text={entry.detail} />
                </p>
              )}
              <p className="digits wrap-anywhere text-soft text-sm">
                {entry.principal && (
                  <>
                    by{" "}
                    <button
                      type="button"
                      className="inline text-left underline-offset-2 wrap-anywhere hover:underline"
                      title="Only what this user did"
                      onClick={() => setPrincipal(entry.principal)}
                    >
                      {actorText(entry.principal)}
                    </button>
                  </>
                )}
                {entry.subject && entry.subject !== entry.principal && ` on ${entry.subject}`}
                {entry.address && ` from ${entry.address}`}
              </p>
            </div>
          </li>
        ))}
      </ul>
      <More more={more} />
    </Section>
  );
}

export function More({ more }: { more: (() => void) | null }) {
  if (!more) return null;
  return (
    <div className="mt-4 flex justify-center">
      <button type="button" className="button" onClick={more}>
        Load more
      </button>
    </div>
  );
}
