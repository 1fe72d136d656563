// For a new admin: link a wallet now, because returning without one is hard.

import { auth, type Proof } from "../api/auth";
import { navigate, paths } from "../lib/router";
import { Guard } from "../session/guard";
import { session } from "../session/session";
import { useSession } from "../session/use-session";
import { PageTitle } from "../ui/heading";
import { Link } from "../ui/link";
import { notify } from "../ui/notices";
import { ConnectWallet } from "../wallet/connect";

export default function WelcomePage() {
  return (
    <Guard scope="admin">
      <Welcome />
    </Guard>
  );
}

function Welcome() {
  const now = useSession();
  const linked = now.state === "in" && now.identity.wallets.length > 0;
  const link = async (proof: Proof) => {
    await auth.link(proof);
    await session.load();
    notify.done("The wallet is linked. You can sign in with it from now on.");
    navigate(paths.library, true);
  };
  return (
    <div className="py-6">
      <PageTitle>You are the admin of this server</PageTitle>
      {!linked && (
        <>
          <p className="mt-2 mb-6 max-w-prose text-pretty text-soft">
            Link a wallet now: this session expires, and the address that brought you here cannot be used
            again. Without a wallet, only the token in the server's data directory lets you in again, or the
            address that <code>streamgate admin link</code> prints there.
          </p>
          <ConnectWallet link onProof={link} />
        </>
      )}
      <p className="mt-6 flex flex-wrap gap-x-6">
        <Link href={paths.library} className="text-accent underline underline-offset-2">
          Go to the library
        </Link>
        <Link href={paths.account} className="text-accent underline underline-offset-2">
          {linked ? "My account" : "Later, on my account page"}
        </Link>
      </p>
    </div>
  );
}
