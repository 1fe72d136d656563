// The wallets of this browser as buttons, and the sign-in flow of each. The same for signing in and for
// linking a further wallet.

import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Proof } from "../api/auth";
import { Icon } from "../ui/icons";
import { type Wallet, wallets } from "./discovery";
import { explainWallet } from "./errors";
import { prove, type Stage, switchChain, WrongChain } from "./sign";

const SAYS: Record<Stage, string> = {
  connecting: "Open your wallet and allow this page to see your account.",
  signing: "Read the message in your wallet and sign it. It costs nothing.",
  checking: "Checking the signature.",
};

interface ConnectProps {
  /** The wallet is linked to the signed-in user, without a new session. */
  link: boolean;
  /** Sends the proof to the server. */
  onProof(proof: Proof): Promise<void>;
}

export function ConnectWallet({ link, onProof }: ConnectProps) {
  const found = useSyncExternalStore(wallets.watch, wallets.get);
  const [busy, setBusy] = useState<{ wallet: string; stage: Stage } | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);

  const attempt = async (wallet: Wallet) => {
    setFailure(null);
    try {
      const proof = await prove(wallet, link, (stage) => setBusy({ wallet: wallet.id, stage }));
      // The user navigated away meanwhile.
      if (here.current) await onProof(proof);
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(null);
    }
  };

  const change = async (wrong: WrongChain) => {
    setFailure(null);
    try {
      await switchChain(wrong);
      const wallet = found.find((one) => one.kind === "ethereum" && one.provider === wrong.provider);
      if (wallet) await attempt(wallet);
    } catch (error) {
      setFailure(error);
    }
  };

  return (
    <div className="max-w-md">
      {found.length === 0 ? (
        <NoWallet />
      ) : (
        <ul className="divide-y divide-line border-line border-y" data-testid="wallets">
          {found.map((wallet) => (
            <li key={wallet.id}>
              <button
                type="button"
                className="flex min-h-14 w-full items-center gap-3 px-2 py-2 text-left hover:bg-well disabled:opacity-55"
                disabled={busy !== null}
                onClick={() => void attempt(wallet)}
              >
                {wallet.icon ? (
                  <img src={wallet.icon} alt="" width={28} height={28} className="size-7" />
                ) : (
                  <Icon name="wallet" size={28} className="text-soft" />
                )}
                <span className="min-w-0 flex-1 truncate font-semibold">{wallet.name}</span>
                <span className="narrow text-soft text-sm">
                  {wallet.kind === "solana" ? "Solana" : "Ethereum"}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <p role="status" className="mt-3 min-h-6">
        {busy && SAYS[busy.stage]}
      </p>
      {failure !== null && (
        <div role="alert" className="border-bad border-l-4 pl-4">
          <p>{explainWallet(failure)}</p>
          {failure instanceof WrongChain && failure.wanted !== null && (
            <button type="button" className="button button-small mt-2" onClick={() => void change(failure)}>
              Switch the network
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function NoWallet() {
  return (
    <div className="border-busy border-l-4 pl-4" data-testid="no-wallet">
      <p className="font-semibold">No wallet found in this browser.</p>
      <p className="mt-1 text-soft">
        Install one, such as MetaMask, Rabby or Phantom, and unlock it; it then appears here. On a phone, open
        this page in the browser of your wallet's app.
      </p>
    </div>
  );
}
