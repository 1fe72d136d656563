// Signing in with a wallet, or with the admin token, and back to the previous page.

import { type FormEvent, useEffect, useState } from "react";
import { auth, type Proof } from "../api/auth";
import { ApiError, wholeMessageOf } from "../api/client";
import { navigate, nextOf } from "../lib/router";
import { session } from "../session/session";
import { useSession } from "../session/use-session";
import { PageTitle } from "../ui/heading";
import { ConnectWallet } from "../wallet/connect";

export default function SignInPage() {
  const { state } = useSession();
  // Also when another tab has signed in.
  useEffect(() => {
    if (state === "in" || state === "open") navigate(nextOf(location.search), true);
  }, [state]);

  const signIn = async (proof: Proof) => {
    await auth.signIn(proof);
    await session.load();
  };
  return (
    <div className="py-6">
      <PageTitle>Sign in with your wallet</PageTitle>
      <p className="mt-2 mb-6 max-w-prose text-pretty text-soft">
        You sign a short message; no transaction is sent and nothing is paid. New accounts can watch; an admin
        grants the right to upload.
      </p>
      <ConnectWallet link={false} onProof={signIn} />
      <TokenForm />
    </div>
  );
}

/** The sign-in for an admin without a wallet: the token in the server's data directory. */
function TokenForm() {
  const [token, setToken] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const signIn = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    try {
      await auth.adminSession(token.trim());
      await session.load();
    } catch (error) {
      setFailure(tokenFailure(error));
      setBusy(false);
    }
  };
  return (
    <details className="mt-8 max-w-md" data-testid="token-sign-in">
      <summary className="w-fit cursor-pointer text-accent underline underline-offset-2">
        Sign in with the admin token
      </summary>
      <form className="mt-3 space-y-3" onSubmit={(event) => void signIn(event)}>
        <p className="text-soft">
          The token is in the file <code>auth/admin-token</code> of the server's data directory. In a shell on
          the server's machine, <code>streamgate admin link</code> prints an address that needs no token.
        </p>
        <label className="block">
          <span className="narrow text-soft text-sm">Admin token</span>
          <input
            type="password"
            className="field"
            required
            autoComplete="off"
            spellCheck={false}
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
        </label>
        {failure && (
          <p role="alert" className="border-bad border-l-4 pl-4">
            {failure}
          </p>
        )}
        <button type="submit" className="button" disabled={busy}>
          {busy ? "Signing in" : "Sign in with the token"}
        </button>
      </form>
    </details>
  );
}

/** Why a token was refused; older servers do not support this sign-in. */
export function tokenFailure(error: unknown): string {
  const absent = error instanceof ApiError && (error.status === 404 || error.status === 405);
  return absent
    ? "This server cannot sign in with a token. Update it, or use a wallet."
    : wholeMessageOf(error);
}
