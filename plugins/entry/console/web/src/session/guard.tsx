// Restricted pages: asks other visitors to sign in, or states who the page is for.

import { type ReactNode, useEffect } from "react";
import type { Scope } from "../api/auth";
import { goToSignIn, paths } from "../lib/router";
import { PageTitle } from "../ui/heading";
import { Link } from "../ui/link";
import { may } from "./session";
import { useSession } from "./use-session";

interface GuardProps {
  /** What is required beyond being signed in. */
  scope?: Scope;
  /** It is also shown on servers without a sign-in. */
  openToo?: boolean;
  children: ReactNode;
}

export function Guard({ scope, openToo = false, children }: GuardProps) {
  const session = useSession();
  useEffect(() => {
    if (session.state === "out") goToSignIn();
  }, [session.state]);
  if (session.state === "unknown" || session.state === "out") return <p role="status">Loading</p>;
  if (session.state === "open" && !openToo) {
    return (
      <Closed title="Sign-in is off on this server">
        The plugin “auth” is off, and everyone who can reach this server has full control.
      </Closed>
    );
  }
  if (scope && !may(session, scope)) {
    return <Closed title="This page is for admins">Ask an admin to grant you the role.</Closed>;
  }
  return children;
}

function Closed({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="max-w-prose space-y-4 py-12">
      <PageTitle>{title}</PageTitle>
      <p>{children}</p>
      <p>
        <Link href={paths.library} className="text-accent underline underline-offset-2">
          Back to the library
        </Link>
      </p>
    </div>
  );
}
