// The rule of a gated content as data: its kinds, and changes to the tree. A rule is an object with one
// key, its kind; the server defines what a kind means (`/api/v1/access/schema`).

export type Rule = { [kind: string]: unknown };

export type Operator = "all" | "any" | "at_least" | "not";

export const OPERATORS: Record<Operator, string> = {
  all: "All of these",
  any: "Any of these",
  at_least: "At least some of these",
  not: "Not this",
};

export interface Field {
  name: string;
  label: string;
  /** `lines` is a list of texts, one a line. */
  type: "text" | "number" | "time" | "choice" | "check" | "lines" | "wallets" | "asset" | "chain";
  /** Of an asset, for an address without one: `token`, `nft`. */
  namespace?: string;
  placeholder?: string;
  required?: boolean;
  choices?: [value: string, label: string][];
}

export interface LeafKind {
  label: string;
  fields: Field[];
  /** The value is that of the one field, without an object around it. */
  bare?: boolean;
  blank: unknown;
}

const ASSET: Field = {
  name: "asset",
  label: "Contract",
  type: "asset",
  placeholder: "eip155:1:0x…",
  required: true,
};
const TOKEN: Field = { name: "token", label: "Token ID", type: "text" };
const AMOUNT: Field = {
  name: "at_least",
  label: "At least, in the smallest unit",
  type: "text",
  placeholder: "1",
};
const DELEGATED: Field = { name: "delegated", label: "Count delegated tokens (delegate.xyz)", type: "check" };
const solana = (kind: string): Field => ({
  ...ASSET,
  label: "Asset",
  namespace: kind,
  placeholder: `solana:…/${kind}:…`,
});

export const LEAVES: Record<string, LeafKind> = {
  erc721: {
    label: "ERC-721 token (NFT)",
    fields: [ASSET, { ...TOKEN, placeholder: "any" }, { ...AMOUNT, label: "At least" }, DELEGATED],
    blank: { asset: "" },
  },
  erc1155: {
    label: "ERC-1155 token",
    fields: [ASSET, { ...TOKEN, required: true }, { ...AMOUNT, label: "At least" }, DELEGATED],
    blank: { asset: "", token: "" },
  },
  erc20: { label: "ERC-20 token", fields: [ASSET, AMOUNT, DELEGATED], blank: { asset: "" } },
  native: {
    label: "Native currency of a chain",
    fields: [
      { name: "chain", label: "Chain", type: "chain", placeholder: "eip155:1", required: true },
      { ...AMOUNT, required: true },
    ],
    blank: { chain: "eip155:1", at_least: "1" },
  },
  contract_call: {
    label: "Contract call",
    fields: [
      { name: "contract", label: "Contract", type: "asset", placeholder: "eip155:1:0x…", required: true },
      {
        name: "data",
        label: "Call data, with {wallet} for the wallet",
        type: "text",
        placeholder: "0x…",
        required: true,
      },
      { name: "word", label: "Return word", type: "number" },
      {
        name: "comparison",
        label: "Is",
        type: "choice",
        required: true,
        choices: [
          ["equal", "equal to"],
          ["not_equal", "not equal to"],
          ["less", "less than"],
          ["at_most", "at most"],
          ["greater", "greater than"],
          ["at_least", "at least"],
        ],
      },
      { name: "operand", label: "Number, or {wallet}", type: "text", required: true },
    ],
    blank: { contract: "", data: "0x", comparison: "at_least", operand: "1" },
  },
  solana_mint: {
    label: "Solana token",
    fields: [solana("token"), AMOUNT],
    blank: { asset: "" },
  },
  solana_collection: {
    label: "Solana collection",
    fields: [solana("nft"), { ...AMOUNT, label: "At least" }],
    blank: { asset: "" },
  },
  allow_list: {
    label: "Allow list",
    fields: [
      { name: "wallets", label: "Wallets, one per line", type: "wallets", placeholder: "0x…" },
      { name: "principals", label: "User IDs, one per line", type: "lines" },
    ],
    blank: {},
  },
  role: {
    label: "Role",
    fields: [
      {
        name: "role",
        label: "Role",
        type: "choice",
        required: true,
        choices: [
          ["viewer", "viewer: everyone who is signed in"],
          ["creator", "creator"],
          ["admin", "admin"],
        ],
      },
    ],
    bare: true,
    blank: "viewer",
  },
  time_window: {
    label: "Time window",
    fields: [
      { name: "from", label: "From", type: "time" },
      { name: "until", label: "Until", type: "time" },
    ],
    blank: {},
  },
  subscription: {
    label: "Subscription",
    fields: [{ name: "plan", label: "Plan", type: "text", placeholder: "gold", required: true }],
    blank: { plan: "" },
  },
};

/** The form's label of a field; its own name if no form has it. */
export function labelOf(name: string): string {
  const fields = Object.values(LEAVES).flatMap((leaf) => leaf.fields);
  return fields.find((field) => field.name === name)?.label ?? name;
}

export function kindOf(rule: Rule): string {
  return Object.keys(rule)[0] ?? "";
}

export function isOperator(kind: string): kind is Operator {
  return kind in OPERATORS;
}

export function blank(kind: string): Rule {
  if (kind === "not") return { not: blank("role") };
  if (kind === "at_least") return { at_least: { n: 1, of: [] } };
  return { [kind]: isOperator(kind) ? [] : structuredClone(LEAVES[kind]?.blank ?? {}) };
}

export function childrenOf(rule: Rule): Rule[] {
  const kind = kindOf(rule);
  const value = rule[kind];
  if (kind === "all" || kind === "any") return value as Rule[];
  if (kind === "at_least") return (value as { of: Rule[] }).of;
  return kind === "not" ? [value as Rule] : [];
}

/** The same operator over other rules; without any, `not` stays unchanged. */
export function withChildren(rule: Rule, children: Rule[]): Rule {
  const kind = kindOf(rule);
  const [first] = children;
  if (kind === "not") return first ? { not: first } : rule;
  if (kind !== "at_least") return { [kind]: children };
  const { n } = rule.at_least as { n: number };
  return { at_least: { n: Math.max(1, Math.min(n, children.length)), of: children } };
}

/** Another operator over the same rules. */
export function withOperator(rule: Rule, operator: Operator): Rule {
  const children = childrenOf(rule);
  if (operator !== "not") return withChildren(blank(operator), children);
  const [only] = children;
  return { not: children.length === 1 && only ? only : { any: children } };
}

/** The place of each rule below one, as a JSON pointer (RFC 6901) from the root. */
export function placeOfChild(rule: Rule, at: string, index: number): string {
  const kind = kindOf(rule);
  if (kind === "not") return `${at}/not`;
  return kind === "at_least" ? `${at}/at_least/of/${index}` : `${at}/${kind}/${index}`;
}

/** Whether a mistake at this place concerns the rule at `at` itself, not one below it. */
export function concerns(place: string, rule: Rule, at: string): boolean {
  const within = (root: string) => place === root || place.startsWith(`${root}/`);
  return within(at) && !childrenOf(rule).some((_, index) => within(placeOfChild(rule, at, index)));
}

export interface Mistake {
  /** A JSON pointer into the rule. */
  at: string;
  message: string;
}

/** Parses a rule that was written by hand, as far as forms need it: the server checks the rest. */
export function parseRule(text: string): { rule: Rule } | { mistake: Mistake } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { mistake: { at: "", message: error instanceof Error ? error.message : "This is not JSON." } };
  }
  const mistake = check(value, "");
  return mistake ? { mistake } : { rule: value as Rule };
}

function check(value: unknown, at: string): Mistake | null {
  const wrong = (message: string, place = at) => ({ at: place, message });
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong("A rule is an object with one key.");
  }
  const keys = Object.keys(value);
  const [kind] = keys;
  if (keys.length !== 1 || kind === undefined) {
    return wrong(`A rule has one key, its kind; this one has ${keys.length}.`);
  }
  const inner = (value as Rule)[kind];
  if (kind === "not") return check(inner, `${at}/not`);
  if (!isOperator(kind)) return kind in LEAVES ? null : wrong(`There is no condition “${kind}”.`);
  const isObject = typeof inner === "object" && inner !== null;
  const list = kind === "at_least" && isObject ? (inner as { of?: unknown }).of : inner;
  const place = kind === "at_least" ? `${at}/at_least/of` : `${at}/${kind}`;
  if (!Array.isArray(list)) return wrong("A list of rules is expected here.", place);
  if (kind === "at_least" && typeof (inner as { n?: unknown }).n !== "number") {
    return wrong("“n” must be a number.", `${at}/at_least/n`);
  }
  for (const [index, child] of list.entries()) {
    const mistake = check(child, `${place}/${index}`);
    if (mistake) return mistake;
  }
  return null;
}

/** The value of a leaf with one field changed; empty fields are left out unless required. */
export function withField(rule: Rule, field: Field, value: unknown): Rule {
  const kind = kindOf(rule);
  if (LEAVES[kind]?.bare) return { [kind]: value };
  const fields = { ...(rule[kind] as Record<string, unknown>) };
  const empty = value === "" || value === false || (Array.isArray(value) && value.length === 0);
  if (empty && !field.required) delete fields[field.name];
  else fields[field.name] = value;
  return { [kind]: fields };
}

export function fieldOf(rule: Rule, field: Field): unknown {
  const kind = kindOf(rule);
  const value = rule[kind];
  return LEAVES[kind]?.bare ? value : (value as Record<string, unknown> | null)?.[field.name];
}

/** `0x…` is an EVM wallet; a name with a prefix stays unchanged. */
export function walletName(text: string): string {
  if (text.includes(":")) return text;
  return text.startsWith("0x") ? `eip155:${text}` : `solana:${text}`;
}
