// Contracts and tokens as people write them, an address and a chain, and as rules name them: CAIP-10 and
// CAIP-19.

/** A chain of the server's settings. */
export interface Chain {
  /** CAIP-2. */
  chain: string;
  name: string;
  available: boolean;
  /** Why it is not. */
  why: string;
}

/** The contract's own metadata; empty: it has none. */
export interface Contract {
  kind: string;
  name: string;
  symbol: string;
}

/** A warning about a rule that is valid but probably not as intended. */
export interface Warning {
  /** JSON pointer into the rule. */
  at: string;
  text: string;
}

const FULL = /^((?:eip155|solana):[\w-]+)[:/](.*)$/i;
const EVM_CONTRACT = /^(eip155:\d+)(?::|\/erc(?:20|721|1155):)(0x[\da-f]{40})(?:\/.*)?$/i;

/** The chain of an asset, and the rest of its name; a bare address has no chain. */
export function splitAsset(asset: string): { chain: string | null; rest: string } {
  const [, chain, rest] = FULL.exec(asset.trim()) ?? [];
  return chain === undefined ? { chain: null, rest: asset.trim() } : { chain, rest: rest ?? "" };
}

/** An asset from typed or pasted text: a whole name unchanged, a bare address on `chain`. */
export function joinAsset(chain: string, typed: string, namespace: string | undefined): string {
  const text = typed.trim();
  if (text === "" || FULL.test(text)) return text;
  // A name with its kind is a CAIP-19 asset, after a slash.
  if (text.includes(":")) return `${chain}/${text}`;
  return namespace ? `${chain}/${namespace}:${text}` : `${chain}:${text}`;
}

/** The CAIP-10 of a contract whose metadata can be queried; `null`: it is incomplete, or none. */
export function contractOf(asset: string): string | null {
  const [, chain, address] = EVM_CONTRACT.exec(asset) ?? [];
  return chain && address ? `${chain}:${address}` : null;
}

/** The chain of a new condition: one that can be queried. */
export function firstChain(chains: Chain[], kind: string): string | null {
  const fitting = chains.filter(({ chain }) => chain.startsWith(`${kind}:`));
  return (fitting.find(({ available }) => available) ?? fitting[0])?.chain ?? null;
}

/** `CryptoKitties (CK), erc721`; empty: no metadata. */
export function describe({ kind, name, symbol }: Contract): string {
  const named = symbol && symbol !== name ? `${name} (${symbol})`.trim() : name;
  return [named, kind].filter(Boolean).join(", ");
}

/** Reads the known parts and leaves out the rest. */
export function readChains(value: unknown): Chain[] {
  const list = Array.isArray(value) ? value : (record(value).chains ?? record(value).items);
  if (!Array.isArray(list)) return [];
  return list.map(record).flatMap((one) =>
    typeof one.chain === "string"
      ? [
          {
            chain: one.chain,
            name: text(one.name) || one.chain,
            available: one.available === true,
            why: text(one.why),
          },
        ]
      : [],
  );
}

export function readContract(value: unknown): Contract {
  const { kind, name, symbol } = record(value);
  return { kind: text(kind), name: text(name), symbol: text(symbol) };
}

/** The warnings in the answer to a policy or a preview; empty if a server gives none. */
export function readWarnings(value: unknown): Warning[] {
  const { warnings } = record(value);
  if (!Array.isArray(warnings)) return [];
  return warnings.map(record).flatMap((one) => {
    const words = text(one.text) || text(one.detail);
    const at = (text(one.pointer) || text(one.rule)).replace(/^\/rule(?=\/|$)/, "");
    return words ? [{ at, text: words }] : [];
  });
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
