// Selects a chain, takes an address, and shows what the contract reports about itself.

import { createContext, useContext, useEffect, useState } from "react";
import { access } from "../api/access";
import { ApiError, isAbort, messageOf } from "../api/client";
import { type Chain, contractOf, describe, firstChain, joinAsset, splitAsset } from "./assets";

/** The chains of this server; `null`: unknown, and then a whole name is typed. */
export const Chains = createContext<Chain[] | null>(null);

const TYPING_PAUSE_MS = 400;

interface AssetProps {
  id: string;
  value: string;
  /** `eip155` or `solana`. */
  kind: string;
  /** Of CAIP-19, for an address without one. */
  namespace: string | undefined;
  placeholder: string | undefined;
  onChange(value: string): void;
}

export function AssetInput({ id, value, kind, namespace, placeholder, onChange }: AssetProps) {
  const chains = useContext(Chains);
  const [picked, setPicked] = useState<string | null>(null);
  const { chain, rest } = splitAsset(value);
  const known = chains && chains.length > 0 ? chains : null;
  const current = chain ?? picked ?? (known && firstChain(known, kind));
  // The input stays as typed until it loses the focus.
  const [typed, setTyped] = useState<string | null>(null);
  const change = (text: string) => {
    setTyped(text);
    onChange(current ? joinAsset(current, text, namespace) : text.trim());
  };
  return (
    <div className="flex flex-wrap gap-2">
      {known && (
        <ChainSelect
          chains={known}
          kind={kind}
          value={current ?? ""}
          onChange={(next) => {
            setPicked(next);
            if (rest) onChange(joinAsset(next, rest, namespace));
          }}
        />
      )}
      <input
        id={id}
        className="field digits min-w-48 flex-1"
        required
        autoComplete="off"
        spellCheck={false}
        placeholder={known ? (kind === "solana" ? "Address" : "0x…") : placeholder}
        value={typed ?? (known ? rest : value)}
        onChange={(event) => change(event.target.value)}
        onBlur={() => setTyped(null)}
      />
      <div className="w-full text-sm empty:hidden">
        {known && current && <Unavailable chains={known} chain={current} />}
        <Said asset={value} />
      </div>
    </div>
  );
}

interface ChainSelectProps {
  id?: string;
  chains: Chain[];
  kind: string;
  value: string;
  onChange(chain: string): void;
}

export function ChainSelect({ id, chains, kind, value, onChange }: ChainSelectProps) {
  const fitting = chains.filter(({ chain }) => chain.startsWith(`${kind}:`));
  const foreign = value !== "" && !fitting.some(({ chain }) => chain === value);
  return (
    <select
      id={id}
      aria-label={id ? undefined : "Chain"}
      className="field w-auto max-w-full"
      value={value}
      onChange={(event) => onChange(event.target.value)}
    >
      {value === "" && <option value="">Choose a chain</option>}
      {foreign && <option value={value}>{value}</option>}
      {fitting.map(({ chain, name, available }) => (
        <option key={chain} value={chain}>
          {available ? name : `${name} (off)`}
        </option>
      ))}
    </select>
  );
}

/** Shown before a rule is saved that cannot be met. */
export function Unavailable({ chains, chain }: { chains: Chain[]; chain: string }) {
  const found = chains.find((one) => one.chain === chain);
  if (found?.available) return null;
  const why = found ? found.why : "this server does not support it";
  return (
    <p className="text-busy">
      {found?.name ?? chain} cannot be queried{why && `: ${why.replace(/\.$/, "")}`}. This condition cannot be
      met.
    </p>
  );
}

/** The contract's own name, so that a mistyped address is noticed. */
function Said({ asset }: { asset: string }) {
  const contract = contractOf(asset);
  const [said, setSaid] = useState<{ of: string; text: string } | null>(null);
  useEffect(() => {
    if (!contract) return;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      access
        .contract(contract, controller.signal)
        .then((found) => setSaid({ of: contract, text: describe(found) }))
        .catch((error: unknown) => {
          if (isAbort(error)) return;
          // A server without this query says nothing about the contract.
          const silent = !(error instanceof ApiError) || error.kind === "" || error.status === 404;
          setSaid({ of: contract, text: silent ? "" : messageOf(error) });
        });
    }, TYPING_PAUSE_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [contract]);
  if (!said?.text || said.of !== contract) return null;
  return (
    <p className="break-words text-soft" role="status">
      {said.text}
    </p>
  );
}
