// Signing in with a wallet, and back to where one came from.

import { useEffect } from "react";
import { auth, type Proof } from "../api/auth";
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
    </div>
  );
}
