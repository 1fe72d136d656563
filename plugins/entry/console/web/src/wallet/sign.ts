// From a wallet to a proof for the server: connect, get a challenge, have it signed.

import { base58, base64 } from "@scure/base";
import { SolanaSignIn, type SolanaSignInInput, SolanaSignMessage } from "@solana/wallet-standard-features";
import type { WalletAccount } from "@wallet-standard/base";
import { StandardConnect } from "@wallet-standard/features";
import { auth, type Challenge, type Proof, type Wanted } from "../api/auth";
import { ApiError } from "../api/client";
import type { Provider, SolanaFeatures, Wallet } from "./discovery";
import { WalletError } from "./errors";

/** The stage of a signature: what the user has to do next. */
export type Stage = "connecting" | "signing" | "checking";

/** The wallet is on a network whose signatures the server does not accept. */
export class WrongChain extends WalletError {
  constructor(
    readonly chain: number,
    /** An accepted one; `null`: it names none. */
    readonly wanted: number | null,
    readonly provider: Provider,
  ) {
    super(
      `The wallet is on the network ${chainName(chain)}, which this server does not accept. ` +
        `Switch it to ${wanted === null ? "another one" : chainName(wanted)}, then try again.`,
    );
  }
}

/** A proof that the user controls the wallet. */
export async function prove(wallet: Wallet, link: boolean, onStage: (stage: Stage) => void): Promise<Proof> {
  onStage("connecting");
  const proof =
    wallet.kind === "ethereum"
      ? await proveEthereum(wallet.provider, link, onStage)
      : await proveSolana(wallet, link, onStage);
  onStage("checking");
  return proof;
}

async function proveEthereum(
  provider: Provider,
  link: boolean,
  onStage: (stage: Stage) => void,
): Promise<Proof> {
  const accounts = await provider.request({ method: "eth_requestAccounts" });
  const address = Array.isArray(accounts) ? accounts[0] : undefined;
  if (typeof address !== "string") throw new WalletError("The wallet has no account to sign with.");
  const chain = Number(await provider.request({ method: "eth_chainId" }));
  const wanted: Wanted = { kind: "ethereum", address, link };
  const { message } = await challengeOn(provider, chain, wanted);
  onStage("signing");
  const signature = await provider.request({ method: "personal_sign", params: [hexOf(message), address] });
  if (typeof signature !== "string") throw new WalletError("The wallet answered with no signature.");
  return { kind: "ethereum", message, signature };
}

async function challengeOn(provider: Provider, chain: number, wanted: Wanted): Promise<Challenge> {
  try {
    return await auth.challenge(Number.isSafeInteger(chain) ? { ...wanted, chain_id: chain } : wanted);
  } catch (error) {
    if (!(error instanceof ApiError) || error.kind !== "wrong-chain") throw error;
    // Without a chain the server names its preferred one.
    const preferred = await auth.challenge(wanted).catch(() => null);
    throw new WrongChain(chain, preferred && chainOf(preferred.message), provider);
  }
}

/** Has the wallet change its network (EIP-3326). */
export async function switchChain({ provider, wanted }: WrongChain): Promise<void> {
  const chainId = `0x${(wanted ?? 1).toString(16)}`;
  await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
}

async function proveSolana(
  wallet: Wallet & { kind: "solana" },
  link: boolean,
  onStage: (stage: Stage) => void,
): Promise<Proof> {
  const { features } = wallet;
  const { accounts } = await features[StandardConnect].connect();
  const account = accounts.find(({ chains }) => chains.some((chain) => chain.startsWith("solana:")));
  if (!account) throw new WalletError("The wallet has no Solana account to sign with.");
  const challenge = await auth.challenge({ kind: "solana", address: account.address, link });
  onStage("signing");
  const signed = await signSolana(features, account, challenge);
  return { kind: "solana", nonce: challenge.nonce, ...signed };
}

/** With `signIn` where there is one: the wallet then checks itself for which site it signs. */
async function signSolana(
  features: SolanaFeatures,
  account: WalletAccount,
  { message, input }: Challenge,
): Promise<SolanaSigned> {
  const text = new TextEncoder().encode(message);
  if (features[SolanaSignIn] && input) {
    const [output] = await features[SolanaSignIn].signIn(input as SolanaSignInInput);
    if (output && holds(output.signedMessage, text)) return solanaSigned(output, text);
  }
  const [output] = (await features[SolanaSignMessage]?.signMessage({ account, message: text })) ?? [];
  if (!output) throw new WalletError("The wallet signed a different text than requested.");
  return solanaSigned(output, text);
}

/** A Solana wallet's signature of a text. */
export interface SolanaSigned {
  /** In base58. */
  signature: string;
  /** In base64; only if a wallet signs the text within an envelope, as hardware wallets do. */
  signed_message?: string;
}

/** The signature, and what was signed where that is more than the text. */
export function solanaSigned(
  { signature, signedMessage }: { signature: Uint8Array; signedMessage: Uint8Array },
  text: Uint8Array,
): SolanaSigned {
  const signed = { signature: base58.encode(signature) };
  const bare = signedMessage.length === text.length && holds(signedMessage, text);
  return bare ? signed : { ...signed, signed_message: base64.encode(signedMessage) };
}

/** Whether these bytes contain the text. */
function holds(bytes: Uint8Array, text: Uint8Array): boolean {
  for (let from = 0; from + text.length <= bytes.length; from += 1) {
    if (text.every((byte, index) => byte === bytes[from + index])) return true;
  }
  return false;
}

/** `personal_sign` takes the bytes of the text, in hexadecimal digits. */
export function hexOf(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The chain that a message of EIP-4361 is for. */
export function chainOf(message: string): number | null {
  const [, digits] = /^Chain ID: (\d+)$/m.exec(message) ?? [];
  return digits ? Number(digits) : null;
}

const CHAINS: Record<number, string> = {
  1: "Ethereum",
  10: "OP Mainnet",
  56: "BNB Smart Chain",
  97: "BNB Smart Chain Testnet",
  137: "Polygon",
  8453: "Base",
  42161: "Arbitrum One",
  80002: "Polygon Amoy",
  84532: "Base Sepolia",
  421614: "Arbitrum Sepolia",
  11155111: "Sepolia",
  11155420: "OP Sepolia",
};

export function chainName(chain: number): string {
  return CHAINS[chain] ?? `with the number ${chain}`;
}
