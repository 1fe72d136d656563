// Names of wallets and chains for people.

/** `eip155:0x5aAe…eAed`, `solana:9xQe…`, and of a contract with its chain `eip155:137:0x5aAe…eAed`. */
export function splitWallet(name: string): { kind: string; address: string } {
  const address = name.slice(name.lastIndexOf(":") + 1);
  return { kind: name.startsWith("solana:") ? "Solana" : "Ethereum", address: address || name };
}

/** `0x5aAe…eAed`: enough to recognise one's own. */
export function shortAddress(address: string): string {
  return address.length > 14 ? `${address.slice(0, 6)}…${address.slice(-4)}` : address;
}

/** `0190c3b0…00c2d3e4` of a UUID, whose beginning is a time that many share. */
export function shortId(id: string): string {
  return id.length === 36 ? `${id.slice(0, 8)}…${id.slice(-8)}` : id;
}

/** A name on a chain (CAIP-2, CAIP-10, CAIP-19), a wallet, or a bare address, within a text. */
const NAME = /(?:eip155|solana):[\w:/.%-]*\w|0x[\da-f]{16,}/gi;

/** The same name with its long parts cut in the middle: `eip155:1/erc721:0x0601…266d/7`. */
export function shortName(name: string): string {
  return name.replace(/\w{20,}/g, (part) => `${part.slice(0, 6)}…${part.slice(-4)}`);
}

/** A text in parts; those that are `name` can be shortened. */
export function splitNames(text: string): { text: string; name: boolean }[] {
  const parts: { text: string; name: boolean }[] = [];
  const add = (part: string, name: boolean) => {
    const last = parts.at(-1);
    if (last && !last.name && !name) last.text += part;
    else if (part) parts.push({ text: part, name });
  };
  let end = 0;
  for (const { 0: name, index } of text.matchAll(NAME)) {
    add(text.slice(end, index), false);
    add(name, shortName(name) !== name);
    end = index + name.length;
  }
  add(text.slice(end), false);
  return parts;
}
