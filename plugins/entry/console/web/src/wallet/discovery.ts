// The wallets of this browser: EVM wallets by EIP-6963, and `window.ethereum` (EIP-1193) if none
// announces itself; Solana's by the Wallet Standard.

import {
  SolanaSignIn,
  type SolanaSignInFeature,
  SolanaSignMessage,
  type SolanaSignMessageFeature,
} from "@solana/wallet-standard-features";
import { getWallets } from "@wallet-standard/app";
import type { Wallet as StandardWallet } from "@wallet-standard/base";
import { StandardConnect, type StandardConnectFeature } from "@wallet-standard/features";

/** EIP-1193, as far as it is used here. */
export interface Provider {
  request(call: { method: string; params?: readonly unknown[] }): Promise<unknown>;
}

export type SolanaFeatures = StandardConnectFeature & Partial<SolanaSignInFeature & SolanaSignMessageFeature>;

interface Face {
  /** Unique among the wallets of this page. */
  id: string;
  name: string;
  /** A data URI; empty: it has none. */
  icon: string;
}

export type Wallet = Face &
  (
    | { kind: "ethereum"; provider: Provider }
    | { kind: "solana"; standard: StandardWallet; features: SolanaFeatures }
  );

interface Announcement {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: Provider;
}

const LONGEST_NAME = 60;
const INJECTED = "injected";

export class Wallets {
  private evm: Wallet[] = [];
  private solana: Wallet[] = [];
  private all: readonly Wallet[] = [];
  private readonly watchers = new Set<() => void>();

  readonly get = (): readonly Wallet[] => this.all;

  /** Looks for wallets as long as there is a listener. */
  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    if (this.watchers.size === 1) this.begin();
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size === 0) this.end();
    };
  };

  private end = () => {};

  private begin(): void {
    window.addEventListener("eip6963:announceProvider", this.onAnnounce);
    window.dispatchEvent(new Event("eip6963:requestProvider"));
    const standard = getWallets();
    const read = () => {
      this.solana = standard.get().flatMap(solanaWallet);
      this.tell();
    };
    const stops = [standard.on("register", read), standard.on("unregister", read)];
    this.end = () => {
      window.removeEventListener("eip6963:announceProvider", this.onAnnounce);
      for (const stop of stops) stop();
    };
    read();
  }

  private readonly onAnnounce = (event: Event) => {
    const announced = readAnnouncement((event as CustomEvent<unknown>).detail);
    if (!announced || this.evm.some((wallet) => wallet.id === announced.id)) return;
    this.evm = [...this.evm, announced];
    this.tell();
  };

  private tell(): void {
    const { ethereum } = window as { ethereum?: Provider };
    const injected: Wallet[] =
      this.evm.length === 0 && typeof ethereum?.request === "function"
        ? [{ id: INJECTED, name: "Wallet of this browser", icon: "", kind: "ethereum", provider: ethereum }]
        : [];
    this.all = [...this.evm, ...injected, ...this.solana];
    for (const watcher of this.watchers) watcher();
  }
}

function readAnnouncement(detail: unknown): Wallet | null {
  const { info, provider } = (detail ?? {}) as Partial<Announcement>;
  if (typeof info?.uuid !== "string" || typeof info.name !== "string") return null;
  if (typeof provider?.request !== "function") return null;
  return { id: info.uuid, kind: "ethereum", provider, ...face(info.name, info.icon) };
}

/** The wallet, if it can sign for a Solana account. */
function solanaWallet(standard: StandardWallet): Wallet[] {
  const { features, chains, name, icon } = standard;
  const signs = SolanaSignIn in features || SolanaSignMessage in features;
  if (!chains.some((chain) => chain.startsWith("solana:")) || !signs || !(StandardConnect in features)) {
    return [];
  }
  const known = features as unknown as SolanaFeatures;
  return [{ id: `solana:${name}`, kind: "solana", standard, features: known, ...face(name, icon) }];
}

/** EIP-6963: an icon is a data URI, shown as a picture only, where a script in it does not run. */
function face(name: string, icon: unknown): Pick<Face, "name" | "icon"> {
  const shown = typeof icon === "string" && icon.startsWith("data:image/") ? icon : "";
  return { name: name.slice(0, LONGEST_NAME) || "A wallet without a name", icon: shown };
}

export const wallets = new Wallets();
