// The one-time address that the server prints: it makes its first visitor the admin.

import { useState } from "react";
import { auth, type Proof } from "../api/auth";
import { wholeMessageOf } from "../api/client";
import { navigate, paths } from "../lib/router";
import { session } from "../session/session";
import { PageTitle } from "../ui/heading";
import { Link } from "../ui/link";
import { notify } from "../ui/notices";
import { ConnectWallet } from "../wallet/connect";

export default function SetupPage({ code }: { code: string }) {
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);

  const take = async () => {
    setBusy(true);
    setFailure(null);
    try {
      await auth.setUp(code);
      await session.load();
      setDone(true);
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const link = async (proof: Proof) => {
    await auth.link(proof);
    await session.load();
    notify.done("The wallet is linked. You can sign in with it from now on.");
    navigate(paths.library, true);
  };

  if (done) {
    return (
      <div className="py-6">
        <PageTitle>You are the admin of this server</PageTitle>
        <p className="mt-2 mb-6 max-w-prose text-pretty text-soft">
          Link a wallet now: this session ends some day, and the address that brought you here is used up.
          Without a wallet only the token in the server's data directory lets you in again.
        </p>
        <ConnectWallet link onProof={link} />
        <p className="mt-6">
          <Link href={paths.account} className="text-accent underline underline-offset-2">
            Later, on my account page
          </Link>
        </p>
      </div>
    );
  }
  return (
    <div className="py-6">
      <PageTitle>Set up this server</PageTitle>
      <p className="mt-2 mb-6 max-w-prose text-pretty text-soft">
        This address works once. Continuing makes you the first admin, who can do everything and grants roles
        to others.
      </p>
      {failure && (
        <p role="alert" className="mb-6 max-w-prose border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
      <button type="button" className="button button-main" disabled={busy} onClick={() => void take()}>
        Become the admin
      </button>
    </div>
  );
}
