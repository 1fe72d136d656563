import { describe, expect, it } from "vitest";
import { nextOf, parseRoute, paths } from "./router";
import { mayEncodeAgain } from "./states";
import { readReport } from "./system";
import { parseTags } from "./tags";
import { shortAddress, shortId, shortName, splitNames, splitWallet } from "./wallets";

describe("parseRoute", () => {
  it("knows the pages, with or without a slash at the end", () => {
    expect(parseRoute("/")).toEqual({ page: "library" });
    expect(parseRoute("/system/")).toEqual({ page: "system" });
    expect(parseRoute(paths.content("a b"))).toEqual({ page: "content", id: "a b" });
  });
  it("takes the code of the one-time address from behind the #, and nothing else", () => {
    expect(parseRoute("#/setup/Ab-_9")).toEqual({ page: "setup", code: "Ab-_9", again: false });
    expect(parseRoute("#/link/Ab-_9")).toEqual({ page: "setup", code: "Ab-_9", again: true });
    for (const path of ["#/setup/", "#/setup/a/b", "/setup/a"]) expect(parseRoute(path).page).toBe("unknown");
  });
  it("has a page without a code for a user who has used one", () => {
    expect(parseRoute(new URL(paths.welcome, "http://x").hash)).toEqual({ page: "welcome" });
  });
  it("answers unknown for everything else, broken escapes too", () => {
    for (const path of ["/watch", "/watch/a/b", "/x", "/watch/%zz"]) {
      expect(parseRoute(path).page).toBe("unknown");
    }
  });
});

describe("nextOf", () => {
  it("leads back to a page of this console and nowhere else", () => {
    expect(nextOf(new URL(paths.signIn("/watch/a b"), "http://x").search)).toBe("/watch/a b");
    expect(nextOf("")).toBe("/");
    for (const next of [
      "https://evil.example",
      "//evil.example",
      "/\\evil.example",
      "javascript:1",
      "/sign-in",
    ]) {
      expect(nextOf(`?next=${encodeURIComponent(next)}`)).toBe("/");
    }
  });
});

describe("names of wallets", () => {
  it("are split at the last colon and shortened", () => {
    expect(splitWallet("eip155:0xab")).toEqual({ kind: "Ethereum", address: "0xab" });
    expect(splitWallet("eip155:137:0xab")).toEqual({ kind: "Ethereum", address: "0xab" });
    expect(splitWallet("solana:9x")).toEqual({ kind: "Solana", address: "9x" });
    expect(shortAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")).toBe("0x5aAe…eAed");
    expect(shortAddress("short")).toBe("short");
    expect(shortId("0190c3b0-0000-7000-8000-7a1f00c2d3e4")).toBe("0190c3b0…00c2d3e4");
    expect(shortId("not signed in")).toBe("not signed in");
  });
});

describe("names on chains", () => {
  const asset = "eip155:1/erc721:0x06012c8cf97bead5deae237070f9587f8e7a266d/771769";
  it("are cut in the middle of what is long in them", () => {
    expect(shortName(asset)).toBe("eip155:1/erc721:0x0601…266d/771769");
    expect(
      shortName("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    ).toBe("solana:5eykt4…Kvdp/token:EPjFWd…Dt1v");
    expect(shortName("eip155:31337")).toBe("eip155:31337");
  });
  it("are found within a text, and nothing of it is lost", () => {
    const text = `at least 1 of ${asset} in a wallet: it holds 0 (eip155:1, block 5).`;
    const parts = splitNames(text);
    expect(parts.map((part) => part.text).join("")).toBe(text);
    expect(parts.filter((part) => part.name).map((part) => part.text)).toEqual([asset]);
    expect(splitNames("nothing")).toEqual([{ text: "nothing", name: false }]);
    expect(splitNames("")).toEqual([]);
  });
});

describe("mayEncodeAgain", () => {
  const source = (bytes: number | null) => ({ bytes }) as Parameters<typeof mayEncodeAgain>[0]["source"];
  it("is not offered if it can only fail again", () => {
    expect(mayEncodeAgain({ retryable: true, source: source(0) })).toBe(false);
    expect(mayEncodeAgain({ retryable: true, source: source(9) })).toBe(true);
    expect(mayEncodeAgain({ retryable: true, source: source(null) })).toBe(true);
    expect(mayEncodeAgain({ retryable: false, source: source(9) })).toBe(false);
  });
});

describe("parseTags", () => {
  it("takes each tag once, without signs and spaces", () => {
    expect(parseTags("a, #b ,, a, ##c d ")).toEqual(["a", "b", "c d"]);
    expect(parseTags(" , #, ")).toEqual([]);
  });
});

describe("readReport", () => {
  it("reads what the kernel reports", () => {
    const report = readReport({
      status: "degraded",
      kernel: { version: "0.1.0", started_at: "2026-01-01T00:00:00Z" },
      plugins: [
        {
          name: "storage-fs",
          state: "running",
          status: "degraded",
          reason: "disk: nearly full",
          components: [
            { name: "disk", status: "degraded", reason: "nearly full", since: "2026-01-01T00:00:01Z" },
          ],
          version: "0.1.0",
          provides: ["storage"],
          prefixes: [],
        },
        {
          name: "transcoder",
          state: "failed",
          status: "unhealthy",
          reason: "x264enc is missing",
          components: [],
        },
      ],
    });
    expect(report.version).toBe("0.1.0");
    expect(report.plugins[0]).toMatchObject({ status: "degraded", reason: "", provides: ["storage"] });
    expect(report.plugins[0]?.components[0]).toMatchObject({ name: "disk", reason: "nearly full" });
    expect(report.plugins[1]).toMatchObject({ status: "unhealthy", reason: "x264enc is missing" });
  });
  it("stands anything", () => {
    for (const odd of [null, 7, [], {}, { plugins: [null, 3, { components: "x" }], kernel: [] }]) {
      expect(() => readReport(odd)).not.toThrow();
    }
  });
});
