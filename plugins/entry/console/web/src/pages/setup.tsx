// The one-time address that the server prints: it makes its first visitor the admin, or signs the admin
// in again.

import { useEffect, useState } from "react";
import { auth } from "../api/auth";
import { wholeMessageOf } from "../api/client";
import { navigate, paths } from "../lib/router";
import { may, session } from "../session/session";
import { useSession } from "../session/use-session";
import { PageTitle } from "../ui/heading";

interface SetupPageProps {
  code: string;
  /** The server is set up, and the admin was locked out. */
  again: boolean;
}

export default function SetupPage({ code, again }: SetupPageProps) {
  const now = useSession();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const isAdmin = now.state === "in" && may(now, "admin");
  // The address is used up then: it is also removed from the history.
  useEffect(() => {
    if (isAdmin) navigate(paths.welcome, true);
  }, [isAdmin]);

  const take = async () => {
    setBusy(true);
    setFailure(null);
    try {
      await auth.setUp(code);
      await session.load();
    } catch (error) {
      setFailure(wholeMessageOf(error));
    } finally {
      setBusy(false);
    }
  };

  if (now.state === "unknown" || isAdmin) return <p role="status">Loading</p>;
  return (
    <div className="py-6">
      <PageTitle>{again ? "Sign in as the admin" : "Set up this server"}</PageTitle>
      <p className="mt-2 mb-6 max-w-prose text-pretty text-soft">
        {again
          ? "This address works once. Continuing signs you in as the first admin of this server."
          : "This address works once. Continuing makes you the first admin, who has full control and grants roles to others."}
      </p>
      {failure && (
        <p role="alert" className="mb-6 max-w-prose border-bad border-l-4 pl-4">
          {failure}
        </p>
      )}
      <button type="button" className="button button-main" disabled={busy} onClick={() => void take()}>
        {again ? "Sign in" : "Become the admin"}
      </button>
    </div>
  );
}
