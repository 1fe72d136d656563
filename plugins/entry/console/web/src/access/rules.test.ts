import { describe, expect, it } from "vitest";
import { ApiError, explain } from "../api/client";
import { fromLocal, toLocal } from "../lib/format";
import { mistakesOf } from "./policy";
import { linesOf } from "./rule-editor";
import {
  blank,
  childrenOf,
  concerns,
  fieldOf,
  LEAVES,
  OPERATORS,
  parseRule,
  placeOfChild,
  type Rule,
  walletName,
  withChildren,
  withField,
  withOperator,
} from "./rules";

const NFT: Rule = { erc721: { asset: "eip155:1:0xaa" } };
const ROLE: Rule = { role: "viewer" };

describe("a rule", () => {
  it("keeps what is below it when its operator changes", () => {
    const all: Rule = { all: [NFT, ROLE] };
    expect(withOperator(all, "any")).toEqual({ any: [NFT, ROLE] });
    expect(withOperator(all, "at_least")).toEqual({ at_least: { n: 1, of: [NFT, ROLE] } });
    expect(withOperator(all, "not")).toEqual({ not: { any: [NFT, ROLE] } });
    expect(withOperator({ any: [NFT] }, "not")).toEqual({ not: NFT });
    expect(withOperator({ not: NFT }, "all")).toEqual({ all: [NFT] });
  });

  it("requires no more rules than there are", () => {
    const two: Rule = { at_least: { n: 2, of: [NFT, ROLE] } };
    expect(withChildren(two, [NFT])).toEqual({ at_least: { n: 1, of: [NFT] } });
    expect(withChildren(two, [])).toEqual({ at_least: { n: 1, of: [] } });
    expect(withChildren({ not: NFT }, [])).toEqual({ not: NFT });
  });

  it("leaves out what is empty, unless it must be there", () => {
    const [asset, token, , delegated] = LEAVES.erc721?.fields ?? [];
    if (!asset || !token || !delegated) throw new Error("the fields of a token");
    const full = withField(withField(NFT, token, "7"), delegated, true);
    expect(full).toEqual({ erc721: { asset: "eip155:1:0xaa", token: "7", delegated: true } });
    expect(withField(withField(full, token, ""), delegated, false)).toEqual(NFT);
    expect(withField(NFT, asset, "")).toEqual({ erc721: { asset: "" } });
    const [role] = LEAVES.role?.fields ?? [];
    if (!role) throw new Error("the field of a role");
    expect(withField(ROLE, role, "admin")).toEqual({ role: "admin" });
    expect(fieldOf(ROLE, role)).toBe("viewer");
  });

  it("of every kind begins as one that can be shown", () => {
    for (const kind of [...Object.keys(LEAVES), ...Object.keys(OPERATORS)]) {
      expect(parseRule(JSON.stringify(blank(kind)))).toEqual({ rule: blank(kind) });
    }
  });
});

describe("places", () => {
  const tree: Rule = { all: [NFT, { at_least: { n: 1, of: [ROLE, { not: NFT }] } }] };
  it("are JSON pointers", () => {
    const [, group] = childrenOf(tree);
    expect(placeOfChild(tree, "", 1)).toBe("/all/1");
    expect(placeOfChild(group as Rule, "/all/1", 1)).toBe("/all/1/at_least/of/1");
    expect(placeOfChild({ not: NFT }, "/x", 0)).toBe("/x/not");
  });
  it("put a mistake where it is and nowhere above", () => {
    expect(concerns("/all/0/erc721", NFT, "/all/0")).toBe(true);
    expect(concerns("/all/0/erc721", tree, "")).toBe(false);
    expect(concerns("/all", tree, "")).toBe(true);
    expect(concerns("/all/10", NFT, "/all/1")).toBe(false);
  });
});

describe("parseRule", () => {
  it("says what is wrong, and where", () => {
    const wrong: [text: string, at: string][] = [
      ["{", ""],
      ["[]", ""],
      ['{"all":[],"any":[]}', ""],
      ['{"all":[{"role":"viewer"},{"nothing":1}]}', "/all/1"],
      ['{"not":{"at_least":{"n":1}}}', "/not/at_least/of"],
      ['{"at_least":{"of":[]}}', "/at_least/n"],
      ['{"any":{}}', "/any"],
    ];
    for (const [text, at] of wrong) {
      const read = parseRule(text);
      expect("mistake" in read && read.mistake.at, text).toBe(at);
    }
  });
});

describe("mistakesOf", () => {
  it("takes the place and the text from the server's problem", () => {
    const problem = {
      pointer: "/rule/all/0/erc721",
      detail: "/rule/all/0/erc721: `asset`: `x` is no contract.",
    };
    const { message } = explain(422, JSON.stringify(problem));
    const error = new ApiError(message, 422, problem);
    expect(mistakesOf(error)).toEqual([{ at: "/all/0/erc721", message: "Contract: “x” is no contract." }]);
    expect(mistakesOf(new ApiError("Busy.", 503, null))).toEqual([]);
  });
});

describe("what is typed", () => {
  it("names wallets as the server does", () => {
    expect(["0xab", "9xQe", "eip155:0xab"].map(walletName)).toEqual([
      "eip155:0xab",
      "solana:9xQe",
      "eip155:0xab",
    ]);
  });

  it("becomes lines and times", () => {
    expect(linesOf(" a\n\n b, c ")).toEqual(["a", "b", "c"]);
    expect(fromLocal(toLocal("2026-12-24T18:00:00Z"))).toBe("2026-12-24T18:00:00.000Z");
    expect([toLocal("soon"), fromLocal("")]).toEqual(["", ""]);
  });
});
