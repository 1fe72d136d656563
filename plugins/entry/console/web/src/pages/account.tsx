// The user's account: roles, usage, wallets, sessions and API keys.

import { useState } from "react";
import { auth, type Identity, type LinkedWallet, type Proof, type SessionView } from "../api/auth";
import { wholeMessageOf } from "../api/client";
import { ago, dateTime } from "../lib/format";
import { navigate, paths } from "../lib/router";
import { splitWallet } from "../lib/wallets";
import { Guard } from "../session/guard";
import { session } from "../session/session";
import { useSession } from "../session/use-session";
import { Address } from "../ui/address";
import { Confirm, Dialog } from "../ui/dialog";
import { Failure } from "../ui/failure";
import { PageTitle, Section } from "../ui/heading";
import { Icon } from "../ui/icons";
import { notify } from "../ui/notices";
import { ConnectWallet } from "../wallet/connect";
import { Keys } from "./keys";
import { OwnQuota } from "./quota";
import { usePoll } from "./use-poll";
import { Vaults } from "./vaults";

export default function AccountPage() {
  return (
    <Guard>
      <Account />
    </Guard>
  );
}

function Account() {
  const now = useSession();
  if (now.state !== "in") return null;
  return (
    <>
      <div className="flex items-start justify-between gap-4">
        <PageTitle>My account</PageTitle>
        <SignOut wallets={now.identity.wallets} />
      </div>
      <Facts identity={now.identity} />
      {now.identity.scopes.includes("content:write") && <OwnQuota />}
      <Wallets />
      <Vaults />
      <Sessions />
      <Keys scopes={now.identity.scopes} />
    </>
  );
}

/** Asks first if there is no other way to sign in: without a wallet only the server's own token helps. */
function SignOut({ wallets }: { wallets: string[] }) {
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);
  const leave = async () => {
    setBusy(true);
    try {
      await session.signOut();
      navigate(paths.library);
      notify.done("You are signed out.");
    } catch (error) {
      notify.failed(wholeMessageOf(error));
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <>
      <button
        type="button"
        className="button"
        disabled={busy}
        onClick={() => (wallets.length === 0 ? setAsking(true) : void leave())}
      >
        Sign out
      </button>
      {asking && (
        <Confirm
          title="Sign out without a wallet?"
          action="Sign out anyway"
          cancel="Stay signed in"
          busy={busy}
          onConfirm={() => void leave()}
          onClose={() => setAsking(false)}
        >
          <p>
            No wallet is linked to this account, so you cannot sign in to it with one again. An admin can sign
            in again only with the token in the server's data directory. Link a wallet first to keep a way in.
          </p>
        </Confirm>
      )}
    </>
  );
}

function Facts({ identity }: { identity: Identity }) {
  return (
    <dl className="mt-3 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
      <dt className="narrow text-soft">Roles</dt>
      <dd data-testid="roles">{identity.roles.join(", ")}</dd>
      <dt className="narrow text-soft">User ID</dt>
      <dd className="digits wrap-anywhere">{identity.principal}</dd>
    </dl>
  );
}

function Wallets() {
  const { data: wallets, error, refresh } = usePoll(auth.wallets);
  const [linking, setLinking] = useState(false);
  const [leaving, setLeaving] = useState<LinkedWallet | null>(null);
  const [busy, setBusy] = useState(false);

  const link = async (proof: Proof) => {
    await auth.link(proof);
    setLinking(false);
    notify.done("The wallet is linked. You can sign in with it now.");
    refresh();
    await session.load();
  };
  const unlink = async (wallet: LinkedWallet) => {
    setBusy(true);
    try {
      await auth.unlink(wallet);
      notify.done("The wallet is unlinked, and sessions that were started with it have ended.");
      refresh();
      await session.load();
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      setLeaving(null);
    }
  };
  return (
    <Section
      id="wallets-title"
      title="Wallets"
      about="You can sign in with any of them, and the tokens of all of them count."
    >
      {error && <Failure message={error} onRetry={refresh} />}
      {wallets && wallets.length > 0 && (
        <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="linked-wallets">
          {wallets.map((wallet) => (
            <li key={`${wallet.kind}:${wallet.address}`} className="flex items-center gap-4 py-2">
              <span className="narrow w-20 text-soft text-sm">
                {wallet.kind === "solana" ? "Solana" : "Ethereum"}
              </span>
              <span className="min-w-0 flex-1">
                <span className="digits wrap-anywhere max-sm:hidden">{wallet.address}</span>
                <span className="sm:hidden">
                  <Address value={wallet.address} />
                </span>
              </span>
              <button
                type="button"
                className="button button-small"
                aria-label={`Unlink the wallet ${wallet.address}`}
                onClick={() => setLeaving(wallet)}
              >
                Unlink
              </button>
            </li>
          ))}
        </ul>
      )}
      {wallets?.length === 0 && (
        <p className="mt-2 border-busy border-l-4 pl-4">
          None yet. Link one, or you cannot sign in again when this session ends.
        </p>
      )}
      <button type="button" className="button mt-4" onClick={() => setLinking(true)}>
        <Icon name="plus" size={18} />
        Link a wallet
      </button>
      {linking && (
        <Dialog title="Link a wallet" onClose={() => setLinking(false)}>
          <p className="mb-4 text-soft">Choose the account in your wallet first, then sign with it here.</p>
          <ConnectWallet link onProof={link} />
          <form method="dialog" className="mt-6 flex justify-end">
            <button type="submit" className="button">
              Cancel
            </button>
          </form>
        </Dialog>
      )}
      {leaving && (
        <Confirm
          title="Unlink this wallet?"
          action="Unlink"
          busy={busy}
          onConfirm={() => void unlink(leaving)}
          onClose={() => setLeaving(null)}
        >
          <p className="wrap-anywhere">{leaving.address}</p>
          <p className="mt-2">What it owns no longer counts for you, and sessions started with it end.</p>
        </Confirm>
      )}
    </Section>
  );
}

function Sessions() {
  const { data: sessions, error, refresh } = usePoll(auth.sessions);
  const [busy, setBusy] = useState(false);
  const others = sessions?.filter((one) => !one.current) ?? [];

  const end = async (ended: SessionView[]) => {
    setBusy(true);
    try {
      for (const one of ended) await auth.endSession(one.id);
      notify.done(
        ended.length === 1 ? "Signed out of one session." : `Signed out of ${ended.length} sessions.`,
      );
    } catch (failure) {
      notify.failed(wholeMessageOf(failure));
    } finally {
      setBusy(false);
      refresh();
    }
  };
  return (
    <Section id="sessions-title" title="Sessions" about="Where you are signed in.">
      {error && <Failure message={error} onRetry={refresh} />}
      {sessions && (
        <ul className="mt-2 divide-y divide-line border-line border-y" data-testid="sessions">
          {sessions.map((one) => (
            <li key={one.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2">
              <div className="min-w-48 flex-1">
                <p className="font-semibold">
                  {browserOf(one.user_agent)}
                  {one.current && <span className="narrow ml-2 text-accent text-sm">this session</span>}
                </p>
                <p className="digits text-soft text-sm">
                  {one.wallet ? <Address value={splitWallet(one.wallet).address} /> : "without a wallet"}
                  {one.address && `, from ${one.address}`}
                  <span title={dateTime(one.created_at)}>, started {ago(one.created_at)}</span>
                  <span title={dateTime(one.refreshed_at)}>, last used {ago(one.refreshed_at)}</span>
                </p>
              </div>
              {!one.current && (
                <button
                  type="button"
                  className="button button-small"
                  disabled={busy}
                  onClick={() => void end([one])}
                >
                  Sign out
                  <span className="sr-only"> of the session in {browserOf(one.user_agent)}</span>
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <button type="button" className="button mt-4" disabled={busy} onClick={() => void end(others)}>
          Sign out of all others
        </button>
      )}
    </Section>
  );
}

/** `Firefox on Linux`; unknown parts are shown unchanged. */
export function browserOf(agent: string): string {
  const browser = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((name) => agent.includes(`${name}/`));
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"].find((name) =>
    agent.includes(name),
  );
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera", "Mac OS X": "macOS" };
  if (!browser) return agent.slice(0, 60) || "Unknown program";
  return [names[browser] ?? browser, system && `on ${names[system] ?? system}`].filter(Boolean).join(" ");
}
