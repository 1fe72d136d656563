import { describe as about, expect, it } from "vitest";
import {
  type Chain,
  contractOf,
  describe,
  firstChain,
  joinAsset,
  readChains,
  readWarnings,
  splitAsset,
} from "./assets";

const ADDRESS = "0x06012c8cf97bead5deae237070f9587f8e7a266d";
const MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

about("an asset", () => {
  it("is made of a pasted address and the chosen chain", () => {
    expect(joinAsset("eip155:137", ` ${ADDRESS} `, undefined)).toBe(`eip155:137:${ADDRESS}`);
    expect(joinAsset("solana:5eykt4", MINT, "token")).toBe(`solana:5eykt4/token:${MINT}`);
    expect(joinAsset("eip155:1", "", undefined)).toBe("");
  });
  it("stays as it is when it was pasted whole", () => {
    for (const whole of [
      `eip155:1:${ADDRESS}`,
      `eip155:1/erc721:${ADDRESS}/7`,
      `solana:5eykt4/nft:${MINT}`,
    ]) {
      expect(joinAsset("eip155:137", whole, "token")).toBe(whole);
      const { chain, rest } = splitAsset(whole);
      expect(joinAsset(chain ?? "", rest, undefined)).toBe(whole);
    }
    expect(splitAsset(ADDRESS)).toEqual({ chain: null, rest: ADDRESS });
  });
  it("has a contract that can be queried only when it is whole", () => {
    expect(contractOf(`eip155:1:${ADDRESS}`)).toBe(`eip155:1:${ADDRESS}`);
    expect(contractOf(`eip155:1/erc721:${ADDRESS}/7`)).toBe(`eip155:1:${ADDRESS}`);
    for (const other of ["eip155:1:0x06", `solana:5eykt4/token:${MINT}`, ADDRESS, ""]) {
      expect(contractOf(other)).toBeNull();
    }
  });
});

about("chains", () => {
  const chain = (name: string, available: boolean): Chain => ({ chain: name, name, available, why: "" });
  it("begin with one of the kind that can be queried", () => {
    const all = [chain("eip155:1", false), chain("eip155:137", true), chain("solana:x", false)];
    expect(firstChain(all, "eip155")).toBe("eip155:137");
    expect(firstChain(all, "solana")).toBe("solana:x");
    expect(firstChain([], "eip155")).toBeNull();
  });
  it("are read from any answer, and are empty if there are none", () => {
    const one = { chain: "eip155:1", name: "Ethereum", available: false, why: "no endpoint is set" };
    for (const answer of [[one], { chains: [one] }, { items: [one] }])
      expect(readChains(answer)).toEqual([one]);
    expect(readChains([{ chain: "eip155:5" }])).toEqual([
      { chain: "eip155:5", name: "eip155:5", available: false, why: "" },
    ]);
    for (const odd of [null, 7, {}, [null, {}]]) expect(readChains(odd)).toEqual([]);
  });
});

about("what the server says", () => {
  it("is a contract in words", () => {
    expect(describe({ kind: "erc721", name: "CryptoKitties", symbol: "CK" })).toBe(
      "CryptoKitties (CK), erc721",
    );
    expect(describe({ kind: "", name: "", symbol: "" })).toBe("");
  });
  it("is warnings at their place in the rule", () => {
    const text = "eip155:1 is off: no endpoint is set.";
    expect(readWarnings({ warnings: [{ pointer: "/rule/all/0", text }] })).toEqual([{ at: "/all/0", text }]);
    expect(readWarnings({ warnings: [{ pointer: "/rule", text }] })).toEqual([{ at: "", text }]);
    for (const none of [null, {}, { warnings: "x" }, { warnings: [{}] }])
      expect(readWarnings(none)).toEqual([]);
  });
});
