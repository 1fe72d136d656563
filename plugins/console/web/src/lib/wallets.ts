// Names of wallets and chains as people read them.

/** `eip155:0x5aAe…eAed`, `solana:9xQe…`: what is before the colon is the kind. */
export function splitWallet(name: string): { kind: string; address: string } {
  const [namespace = "", address = ""] = name.split(/:(.*)/s);
  return { kind: namespace === "solana" ? "Solana" : "Ethereum", address: address || name };
}

/** `0x5aAe…eAed`: enough to recognise one's own. */
export function shortAddress(address: string): string {
  return address.length > 14 ? `${address.slice(0, 6)}…${address.slice(-4)}` : address;
}
