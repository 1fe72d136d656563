import { base64 } from "@scure/base";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { type Provider, type Wallet, Wallets } from "./discovery";
import { explainWallet, isRejection, WalletError } from "./errors";
import { chainOf, hexOf, prove, solanaSigned, WrongChain } from "./sign";

afterEach(() => vi.unstubAllGlobals());

const MESSAGE =
  "localhost wants you to sign in\n\nURI: http://localhost\nVersion: 1\nChain ID: 10\nNonce: abcdefgh";
const provider = (answers: Record<string, unknown>): Provider => ({
  request: vi.fn(async ({ method }) => {
    const answer = answers[method];
    if (answer instanceof Error) throw answer;
    return answer;
  }),
});
const evm = (answers: Record<string, unknown>) =>
  ({
    id: "1",
    name: "Test",
    icon: "",
    kind: "ethereum",
    provider: provider(answers),
  }) as const satisfies Wallet;
const answers = (...all: [status: number, body: unknown][]) => {
  const asked: unknown[] = [];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    asked.push(JSON.parse(String(init.body)));
    const [status, body] = all.shift() ?? [500, {}];
    return new Response(JSON.stringify(body), { status });
  });
  return asked;
};

describe("discovery", () => {
  function page(ethereum?: unknown) {
    const target = new EventTarget();
    vi.stubGlobal("window", Object.assign(target, ethereum ? { ethereum } : {}));
    return {
      announce: (detail: unknown) =>
        target.dispatchEvent(Object.assign(new Event("eip6963:announceProvider"), { detail })),
      requested: vi.fn(),
      target,
    };
  }
  const info = { uuid: "u", name: "Wallet", icon: "data:image/png;base64,AA==", rdns: "a.b" };

  it("asks wallets to announce themselves, and lists each once", () => {
    const { announce, requested, target } = page();
    target.addEventListener("eip6963:requestProvider", requested);
    const wallets = new Wallets();
    const stop = wallets.watch(() => {});
    expect(requested).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 2; i++) announce({ info, provider: provider({}) });
    expect(wallets.get().map(({ name, kind }) => [name, kind])).toEqual([["Wallet", "ethereum"]]);
    stop();
    announce({ info: { ...info, uuid: "v" }, provider: provider({}) });
    expect(wallets.get()).toHaveLength(1);
  });

  it("takes window.ethereum only where no wallet announces itself", () => {
    const { announce } = page(provider({}));
    const wallets = new Wallets();
    const stop = wallets.watch(() => {});
    expect(wallets.get().map(({ id }) => id)).toEqual(["injected"]);
    announce({ info, provider: provider({}) });
    expect(wallets.get().map(({ id }) => id)).toEqual(["u"]);
    stop();
  });

  it("tolerates any announcement, and shows pictures in data URIs only", () => {
    const { announce } = page();
    const wallets = new Wallets();
    const stop = wallets.watch(() => {});
    for (const odd of [null, 7, {}, { info }, { info: { uuid: 1 }, provider: provider({}) }]) announce(odd);
    expect(wallets.get()).toEqual([]);
    announce({ info: { ...info, icon: "https://elsewhere.example/x.png" }, provider: provider({}) });
    expect(wallets.get()[0]?.icon).toBe("");
    stop();
  });
});

describe("prove", () => {
  it("has the server's message signed by the account that the wallet names", async () => {
    const asked = answers([200, { nonce: "n", message: MESSAGE }]);
    const wallet = evm({ eth_requestAccounts: ["0xA"], eth_chainId: "0xa", personal_sign: "0x51" });
    const stages: string[] = [];
    const proof = await prove(wallet, false, (stage) => stages.push(stage));
    expect(proof).toEqual({ kind: "ethereum", message: MESSAGE, signature: "0x51" });
    expect(asked).toEqual([{ kind: "ethereum", address: "0xA", chain_id: 10, link: false }]);
    expect(wallet.provider.request).toHaveBeenLastCalledWith({
      method: "personal_sign",
      params: [hexOf(MESSAGE), "0xA"],
    });
    expect(stages).toEqual(["connecting", "signing", "checking"]);
  });

  it("says which network the wallet is on, and which one the server wants", async () => {
    const refused = {
      type: "urn:streamgate:problem:wrong-chain",
      detail: "The chain 31337 is not accepted.",
    };
    answers([422, refused], [200, { nonce: "n", message: MESSAGE }]);
    const wallet = evm({ eth_requestAccounts: ["0xA"], eth_chainId: "0x7a69" });
    const error = await prove(wallet, false, () => {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WrongChain);
    expect(error).toMatchObject({ chain: 31337, wanted: 10 });
    expect(explainWallet(error)).toMatch(/31337.*OP Mainnet/);
  });

  it("stops when the person says no", async () => {
    answers([200, { nonce: "n", message: MESSAGE }]);
    const no = Object.assign(new Error("User rejected the request."), { code: 4001 });
    const wallet = evm({ eth_requestAccounts: ["0xA"], eth_chainId: "0xa", personal_sign: no });
    const error = await prove(wallet, true, () => {}).catch((thrown: unknown) => thrown);
    expect(isRejection(error)).toBe(true);
  });

  it("stops without an account", async () => {
    const error = await prove(evm({ eth_requestAccounts: [] }), false, () => {}).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(WalletError);
  });
});

/** A Solana wallet that answers each of its features with these bytes as the signed ones. */
const solana = (signed: { signIn?: Uint8Array; signMessage?: Uint8Array }) => {
  const signature = new Uint8Array(64).fill(7);
  const features = {
    "standard:connect": {
      connect: async () => ({ accounts: [{ address: "Abc", chains: ["solana:mainnet"] }] }),
    },
    ...(signed.signIn && {
      "solana:signIn": { signIn: async () => [{ signature, signedMessage: signed.signIn }] },
    }),
    "solana:signMessage": {
      signMessage: vi.fn(async () => [{ signature, signedMessage: signed.signMessage }]),
    },
  };
  const wallet = { id: "2", name: "Test", icon: "", kind: "solana", features } as unknown as Wallet;
  return { wallet, signMessage: features["solana:signMessage"].signMessage };
};
const bytes = (text: string) => new TextEncoder().encode(text);
const enveloped = new Uint8Array([0xff, ...bytes("solana offchain"), 0, ...bytes(MESSAGE)]);
const challenged = () =>
  answers([200, { nonce: "abcdefgh", expires_at: "", message: MESSAGE, input: { nonce: "abcdefgh" } }]);

describe("a wallet of Solana's", () => {
  it("that signs the bare text returns only the signature", async () => {
    challenged();
    const proof = await prove(solana({ signMessage: bytes(MESSAGE) }).wallet, false, () => {});
    expect(Object.keys(proof).sort()).toEqual(["kind", "nonce", "signature"]);
  });

  it("that signs the text in an envelope returns what it signed", async () => {
    for (const signed of [{ signMessage: enveloped }, { signIn: enveloped }]) {
      challenged();
      const { wallet, signMessage } = solana(signed);
      const proof = await prove(wallet, false, () => {});
      expect(proof).toMatchObject({ kind: "solana", signed_message: base64.encode(enveloped) });
      expect(signMessage).toHaveBeenCalledTimes("signIn" in signed ? 0 : 1);
    }
  });

  it("whose sign-in wrote a text of its own is asked to sign the message", async () => {
    challenged();
    const { wallet, signMessage } = solana({ signIn: bytes("another text"), signMessage: bytes(MESSAGE) });
    expect(await prove(wallet, false, () => {})).not.toHaveProperty("signed_message");
    expect(signMessage).toHaveBeenCalledOnce();
  });

  it("writes a signature in base58", () => {
    const signed = solanaSigned({ signature: new Uint8Array([1]), signedMessage: bytes("a") }, bytes("a"));
    expect(signed).toEqual({ signature: "2" });
  });
});

describe("explainWallet", () => {
  it("has a sentence for each code, for objects that are no errors too", () => {
    expect(explainWallet({ code: 4001, message: "nope" })).toMatch(/You declined/);
    expect(explainWallet({ code: -32002 })).toMatch(/waiting for your answer/);
    expect(explainWallet(new Error("User denied account access"))).toMatch(/You declined/);
    expect(explainWallet({ code: 1, message: "odd thing" })).toBe("The wallet says: odd thing.");
    expect(explainWallet(new ApiError("The server's words.", 401, null))).toBe("The server's words.");
    expect(explainWallet(undefined)).toBe("Something went wrong.");
  });
});

describe("messages", () => {
  it("are read for their chain and written as bytes", () => {
    expect(chainOf(MESSAGE)).toBe(10);
    expect(chainOf("Chain ID: x")).toBeNull();
    expect(hexOf("é\n")).toBe("0xc3a90a");
  });
});
