//! The rule of a gated content as JSON from people, and its limits.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::time::parse_rfc3339;

use crate::caip::{self, Asset, Contract};
use crate::tree::{CallData, Comparison, Leaf, Node, Operand, Tree};

/// Bytes of a rule's JSON.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// How deep operators may be nested; a leaf alone is 1.
const MAX_DEPTH: usize = 8;
const MAX_LEAVES: usize = 64;
/// Principals and wallets of one list.
const MAX_LISTED: usize = 1_000;
/// Bytes that a contract may be called with.
const MAX_CALL: usize = 4096;
/// Maximum size of call data, in bytes.
const MAX_WORDS: u32 = 32;

/// What a viewer has to meet: an object with one key. A leaf about tokens holds when any one of the viewer's
/// wallets meets it; holdings of several wallets are not added up. At most 8 levels, 64 leaves and 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Every one of these.
    All(#[schemars(length(min = 1, max = 64))] Vec<Rule>),
    /// One of these or more.
    Any(#[schemars(length(min = 1, max = 64))] Vec<Rule>),
    /// This many of these.
    AtLeast(AtLeast),
    /// Not this. If it is unknown, so is the negation.
    Not(Box<Rule>),
    /// Unique tokens.
    Erc721(Token),
    /// Tokens that have a number and an amount.
    Erc1155(Token),
    /// Tokens that are an amount.
    Erc20(Token),
    /// The native coin of a chain.
    Native(Native),
    /// What a contract returns from a call.
    ContractCall(ContractCall),
    /// A token of Solana (SPL or Token-2022).
    SolanaMint(SolanaAsset),
    /// Any token of a verified collection on Solana.
    SolanaCollection(SolanaAsset),
    /// Named principals and wallets.
    AllowList(AllowList),
    /// A role: `viewer`, `creator` or `admin`.
    Role(#[schemars(regex(pattern = "^(viewer|creator|admin)$"))] String),
    /// A stretch of time.
    TimeWindow(TimeWindow),
    /// A subscription that has not ended.
    Subscription(Subscription),
}

/// At least `n` of some rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtLeast {
    /// From 1 to the number of rules.
    #[schemars(range(min = 1, max = 64))]
    pub n: usize,
    /// The rules.
    #[schemars(length(min = 1, max = 64))]
    pub of: Vec<Rule>,
}

/// A token on an EVM chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The contract (CAIP-10, `eip155:1:0x…`), or the asset (CAIP-19, `eip155:1/erc721:0x…/7`).
    pub asset: String,
    /// The token's id, decimal, if the asset does not name it. ERC-1155 needs one, ERC-20 has none;
    /// ERC-721 without one means any token of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How many, decimal, in the smallest unit. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    /// Whether tokens count whose owner has delegated them to a wallet of the viewer (delegate.xyz v2). Of
    /// the delegations to a wallet, 128 are checked, and the vaults that the viewer has named; beyond that
    /// the result is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delegated: bool,
}

/// The native coin of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Native {
    /// CAIP-2, `eip155:1`.
    pub chain: String,
    /// Decimal, in the smallest unit (wei, lamport).
    pub at_least: String,
}

/// Compares a word of a contract's answer with a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractCall {
    /// CAIP-10, `eip155:1:0x…`.
    pub contract: String,
    /// `0x` and hex digits: selector and arguments, at most 4 KiB. `{wallet}` in it stands for the viewer's
    /// wallet as an argument of 32 bytes; then each wallet is queried.
    pub data: String,
    /// Which 32-byte word of the answer, from 0.
    #[serde(default)]
    #[schemars(range(max = 31))]
    pub word: u32,
    /// How the word compares to `operand`.
    pub comparison: Comparison,
    /// Decimal, unsigned, 256 bits; or `{wallet}`, the viewer's wallet as returned by a contract (`userOf`,
    /// `punkIndexToAddress`, `owner`): then each wallet is compared, and only `equal` and `not_equal` are
    /// allowed.
    pub operand: String,
}

/// A token, or a collection of them, on a chain of Solana.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SolanaAsset {
    /// CAIP-19, `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:…` for a mint, `…/nft:…` for a collection,
    /// `…/cnft:…` for one of compressed tokens.
    pub asset: String,
    /// Decimal, in the smallest unit. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
}

/// Allowed names; at most 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowList {
    /// Ids of principals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// Wallets, `eip155:0x…` or `solana:…`; a contract wallet with its chain, `eip155:1:0x…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wallets: Vec<String>,
}

/// A start time, an end time, or both; RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// The first moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first moment after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// An active subscription of the principal to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// `[a-z0-9_-]{1,64}`.
    #[schemars(regex(pattern = "^[a-z0-9_-]{1,64}$"))]
    pub plan: String,
}

/// A problem of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{detail}", if pointer.is_empty() { String::new() } else { format!("{pointer}: ") })]
pub struct RuleError {
    /// The place, as a JSON pointer (RFC 6901) into the rule.
    pub pointer: String,
    /// The problem, with the value, and what would be valid.
    pub detail: String,
}

impl Rule {
    /// Parses a rule completely.
    ///
    /// # Errors
    /// The first problem.
    pub(crate) fn parse(json: &[u8]) -> Result<(Self, Tree), RuleError> {
        let wrong = |detail: String| RuleError { pointer: String::new(), detail };
        if json.len() > MAX_BYTES {
            return Err(wrong(format!("{} bytes are more than {MAX_BYTES}", json.len())));
        }
        let rule: Self = serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))?;
        let tree = rule.compile()?;
        Ok((rule, tree))
    }

    /// The rule with all its names and numbers parsed.
    pub(crate) fn compile(&self) -> Result<Tree, RuleError> {
        let mut leaves = Vec::new();
        let root = self.node(&mut leaves, "", 1)?;
        let (leaves, places) = leaves.into_iter().unzip();
        Ok(Tree { root, leaves, places })
    }

    fn node(&self, leaves: &mut Vec<(Leaf, String)>, at: &str, depth: usize) -> Result<Node, RuleError> {
        let wrong = |place: &str, detail: String| RuleError { pointer: format!("{at}/{place}"), detail };
        if depth > MAX_DEPTH {
            return Err(wrong("", format!("rules are nested at most {MAX_DEPTH} deep")));
        }
        let mut each = |rules: &[Self], place: &str| -> Result<Vec<Node>, RuleError> {
            if rules.is_empty() {
                return Err(wrong(place, "there is no rule in it".into()));
            }
            let numbered = rules.iter().enumerate();
            numbered
                .map(|(index, rule)| rule.node(leaves, &format!("{at}/{place}/{index}"), depth + 1))
                .collect()
        };
        match self {
            Self::All(rules) => return Ok(Node::All(each(rules, "all")?)),
            Self::Any(rules) => return Ok(Node::Any(each(rules, "any")?)),
            Self::AtLeast(AtLeast { n, of }) => {
                if *n == 0 || *n > of.len() {
                    return Err(wrong("at_least/n", format!("{n} is not between 1 and {}", of.len())));
                }
                return Ok(Node::AtLeast(*n, each(of, "at_least/of")?));
            }
            Self::Not(rule) => {
                return Ok(Node::Not(Box::new(rule.node(leaves, &format!("{at}/not"), depth + 1)?)));
            }
            _ => {}
        }
        if leaves.len() == MAX_LEAVES {
            return Err(wrong("", format!("a rule has at most {MAX_LEAVES} leaves")));
        }
        let leaf = self.leaf().map_err(|(place, detail)| wrong(place, detail))?;
        leaves.push((leaf, format!("{at}/{}", self.kind())));
        Ok(Node::Leaf(leaves.len() - 1))
    }

    /// Its key in JSON.
    fn kind(&self) -> &'static str {
        match self {
            Self::All(_) => "all",
            Self::Any(_) => "any",
            Self::AtLeast(_) => "at_least",
            Self::Not(_) => "not",
            Self::Erc721(_) => "erc721",
            Self::Erc1155(_) => "erc1155",
            Self::Erc20(_) => "erc20",
            Self::Native(_) => "native",
            Self::ContractCall(_) => "contract_call",
            Self::SolanaMint(_) => "solana_mint",
            Self::SolanaCollection(_) => "solana_collection",
            Self::AllowList(_) => "allow_list",
            Self::Role(_) => "role",
            Self::TimeWindow(_) => "time_window",
            Self::Subscription(_) => "subscription",
        }
    }

    fn leaf(&self) -> Result<Leaf, (&'static str, String)> {
        match self {
            Self::All(_) | Self::Any(_) | Self::AtLeast(_) | Self::Not(_) => {
                Err(("", "this is not a leaf".into()))
            }
            Self::Erc721(token) => token.leaf("erc721").map_err(|detail| ("erc721", detail)),
            Self::Erc1155(token) => token.leaf("erc1155").map_err(|detail| ("erc1155", detail)),
            Self::Erc20(token) => token.leaf("erc20").map_err(|detail| ("erc20", detail)),
            Self::Native(Native { chain, at_least }) => {
                let asset = Asset::native(chain)
                    .ok_or_else(|| ("native/chain", format!("`{chain}` is not a chain such as eip155:1")))?;
                let at_least = amount(Some(at_least)).map_err(|detail| ("native/at_least", detail))?;
                Ok(Leaf::Holds { asset, at_least, delegated: false })
            }
            Self::ContractCall(call) => call.leaf(),
            Self::SolanaMint(wanted) => wanted.leaf(&["token"]).map_err(|detail| ("solana_mint", detail)),
            Self::SolanaCollection(wanted) => {
                wanted.leaf(&["nft", "cnft"]).map_err(|detail| ("solana_collection", detail))
            }
            Self::AllowList(list) => list.leaf().map_err(|detail| ("allow_list", detail)),
            Self::Role(role) if ["viewer", "creator", "admin"].contains(&role.as_str()) => {
                Ok(Leaf::Role(role.clone()))
            }
            Self::Role(role) => Err(("role", format!("`{}` is none of viewer, creator, admin", cut(role)))),
            Self::TimeWindow(window) => window.leaf().map_err(|detail| ("time_window", detail)),
            Self::Subscription(Subscription { plan }) if is_plan(plan) => Ok(Leaf::Subscribed(plan.clone())),
            Self::Subscription(Subscription { plan }) => {
                Err(("subscription/plan", format!("`{}` is not a name such as gold-2026", cut(plan))))
            }
        }
    }
}

/// Whether this is a plan's name: `[a-z0-9_-]{1,64}`.
pub(crate) fn is_plan(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// A value of the caller, shortened for a message.
fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

/// An amount of a token, at least 1.
fn amount(text: Option<&String>) -> Result<String, String> {
    let text = text.map_or("1", String::as_str);
    let some = caip::number(text).is_some_and(|number| !number.is_zero());
    let wanted = "a decimal number from 1, in quotes, of at most 256 bits";
    if some { Ok(text.to_owned()) } else { Err(format!("`at_least`: `{}` is not {wanted}", cut(text))) }
}

impl Token {
    fn leaf(&self, kind: &str) -> Result<Leaf, String> {
        let contract = Contract::parse(&self.asset).filter(|found| found.chain.starts_with("eip155:"));
        let asset = contract.map(|contract| Asset::of_contract(&contract, kind));
        let asset = asset.or_else(|| Asset::parse(&self.asset)).filter(|asset| asset.kind == kind);
        let Some(mut asset) = asset else {
            let given = cut(&self.asset);
            return Err(format!(
                "`asset`: `{given}` is not a contract such as eip155:1:0x… and no asset such as eip155:1/{kind}:0x…; \
                 a mixed-case address needs the right checksum"
            ));
        };
        match (&self.token, &asset.id) {
            (Some(given), None) if caip::number(given).is_some() => asset.id = Some(given.clone()),
            (Some(given), None) => {
                return Err(format!("`token`: `{}` is not a decimal number in quotes", cut(given)));
            }
            (Some(_), Some(_)) => return Err("`token`: the asset names the token already".into()),
            (None, _) => {}
        }
        let at_least = amount(self.at_least.as_ref())?;
        match (kind, &asset.id) {
            ("erc1155", None) => Err("`token`: tokens of ERC-1155 have a number each; name one".into()),
            ("erc20", Some(_)) => Err("`token`: tokens of ERC-20 have no number".into()),
            ("erc721", Some(_)) if at_least != "1" => {
                Err(format!("`at_least`: there is one of each token of ERC-721, not {at_least}"))
            }
            _ => Ok(Leaf::Holds { asset, at_least, delegated: self.delegated }),
        }
    }
}

impl SolanaAsset {
    fn leaf(&self, kinds: &[&str]) -> Result<Leaf, String> {
        let asset = Asset::parse(&self.asset).filter(|asset| kinds.contains(&asset.kind.as_str()));
        let asset = asset.ok_or_else(|| {
            let (given, kind) = (cut(&self.asset), kinds[0]);
            format!(
                "`asset`: `{given}` is not an asset such as solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/{kind}:…"
            )
        })?;
        let at_least = amount(self.at_least.as_ref())?;
        Ok(Leaf::Holds { asset, at_least, delegated: false })
    }
}

impl ContractCall {
    fn leaf(&self) -> Result<Leaf, (&'static str, String)> {
        let contract = Contract::parse(&self.contract).filter(|found| found.chain.starts_with("eip155:"));
        let contract = contract.ok_or_else(|| {
            let given = cut(&self.contract);
            ("contract_call/contract", format!("`{given}` is not a contract such as eip155:1:0x…"))
        })?;
        let data = CallData::parse(&self.data).filter(|data| (4..=MAX_CALL).contains(&data.len()));
        let data = data.ok_or_else(|| {
            let wanted = format!("0x and hex digits, 4 to {MAX_CALL} bytes, with {{wallet}} for a wallet");
            ("contract_call/data", format!("`{}` is not {wanted}", cut(&self.data)))
        })?;
        if self.word >= MAX_WORDS {
            return Err(("contract_call/word", format!("{} is past the first {MAX_WORDS}", self.word)));
        }
        let operand = Operand::parse(&self.operand).ok_or_else(|| {
            let given = cut(&self.operand);
            let detail =
                format!("`{given}` is neither a decimal number of 256 bits in quotes nor `{{wallet}}`");
            ("contract_call/operand", detail)
        })?;
        let (word, comparison) = (self.word, self.comparison);
        if operand == Operand::Wallet && !comparison.is_of_equality() {
            let detail = "wallets have no order; use equal or not_equal with `{wallet}`";
            return Err(("contract_call/comparison", detail.into()));
        }
        Ok(Leaf::Call { contract, data, word, comparison, operand })
    }
}

impl AllowList {
    fn leaf(&self) -> Result<Leaf, String> {
        let count = self.principals.len() + self.wallets.len();
        if count == 0 || count > MAX_LISTED {
            return Err(format!("{count} entries are not between 1 and {MAX_LISTED}"));
        }
        let id = |text: &String| {
            let id = uuid::Uuid::try_parse(text).map(|id| id.to_string());
            id.map_err(|_| format!("`principals`: `{}` is not the id of a principal", cut(text)))
        };
        let wallet = |text: &String| {
            let wallet = caip::wallet(text);
            wallet.ok_or_else(|| format!("`wallets`: `{}` is not a wallet such as eip155:0x…", cut(text)))
        };
        Ok(Leaf::Listed {
            principals: self.principals.iter().map(id).collect::<Result<BTreeSet<_>, _>>()?,
            wallets: self.wallets.iter().map(wallet).collect::<Result<BTreeSet<_>, _>>()?,
        })
    }
}

impl TimeWindow {
    fn leaf(&self) -> Result<Leaf, String> {
        let time = |text: &Option<String>| -> Result<Option<i64>, String> {
            let Some(text) = text else { return Ok(None) };
            let parsed = parse_rfc3339(text).filter(|ms| *ms >= 0);
            parsed
                .map(Some)
                .ok_or_else(|| format!("`{}` is not a time such as 2026-12-24T18:00:00Z", cut(text)))
        };
        let (from_ms, until_ms) = (time(&self.from)?, time(&self.until)?);
        match (from_ms, until_ms) {
            (None, None) => Err("it needs `from`, `until`, or both".into()),
            (Some(from), Some(until)) if from >= until => Err("`from` is not before `until`".into()),
            _ => Ok(Leaf::Window { from_ms, until_ms }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const A: &str = "0x00000000000000000000000000000000000000aa";

    fn parse(rule: &Value) -> Result<Tree, RuleError> {
        Rule::parse(rule.to_string().as_bytes()).map(|(_, tree)| tree)
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({ "role": "admin" }), |rule, _| json!({ "not": rule }))
    }

    #[test]
    fn a_mistake_in_the_whole_names_no_place() {
        let error = Rule::parse(b"[]").unwrap_err();
        assert_eq!((error.pointer.as_str(), error.to_string()), ("", error.detail.clone()));
        assert!(parse(&json!({ "role": "guest" })).unwrap_err().to_string().starts_with("/role: "));
    }

    #[test]
    fn every_kind_of_leaf_is_read() {
        let rule = json!({ "at_least": { "n": 2, "of": [
            { "erc721": { "asset": format!("eip155:1:{A}"), "delegated": true } },
            { "erc721": { "asset": format!("eip155:1/erc721:{A}/7") } },
            { "erc1155": { "asset": format!("eip155:1:{A}"), "token": "3", "at_least": "2" } },
            { "erc20": { "asset": format!("eip155:1/erc20:{A}"), "at_least": "1000000000000000000" } },
            { "native": { "chain": "eip155:137", "at_least": "1" } },
            { "contract_call": { "contract": format!("eip155:1:{A}"), "data": "0x70a08231{wallet}",
                "comparison": "at_least", "operand": "1" } },
            { "contract_call": { "contract": format!("eip155:1:{A}"), "data": "0xc2f1f14a",
                "comparison": "equal", "operand": "{wallet}" } },
            { "solana_mint": { "asset": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v" } },
            { "solana_collection": { "asset": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/nft:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v" } },
            { "allow_list": { "principals": ["0190a0a0-0000-7000-8000-000000000001"], "wallets": [format!("eip155:{A}")] } },
            { "role": "creator" },
            { "time_window": { "from": "2026-01-01T00:00:00Z" } },
            { "subscription": { "plan": "gold" } },
        ] } });
        let tree = parse(&rule).unwrap();
        assert_eq!(tree.leaves.len(), 13);
        // Each place is where the leaf was in the input.
        for place in &tree.places {
            assert!(rule.pointer(place).is_some(), "{place}");
        }
        let (written, _) = Rule::parse(rule.to_string().as_bytes()).unwrap();
        assert_eq!(Rule::parse(&serde_json::to_vec(&written).unwrap()).unwrap().0, written);
        crate::fuzz::rule(rule.to_string().as_bytes());
    }

    #[test]
    fn what_means_nothing_or_lets_everybody_in_is_refused_with_its_place() {
        for (rule, place) in [
            (json!({ "all": [] }), "/all"),
            (json!({ "any": [{ "all": [] }] }), "/any/0/all"),
            (json!({ "at_least": { "n": 0, "of": [{ "role": "admin" }] } }), "/at_least/n"),
            (json!({ "at_least": { "n": 2, "of": [{ "role": "admin" }] } }), "/at_least/n"),
            (json!({ "not": { "role": "king" } }), "/not/role"),
            (json!({ "erc20": { "asset": format!("eip155:1:{A}"), "at_least": "0" } }), "/erc20"),
            (json!({ "erc20": { "asset": format!("eip155:1:{A}"), "at_least": "-1" } }), "/erc20"),
            (json!({ "erc20": { "asset": format!("eip155:1:{A}"), "token": "1" } }), "/erc20"),
            (json!({ "erc20": { "asset": format!("eip155:1/erc721:{A}") } }), "/erc20"),
            (json!({ "erc1155": { "asset": format!("eip155:1:{A}") } }), "/erc1155"),
            (json!({ "erc721": { "asset": format!("eip155:1/erc721:{A}/1"), "at_least": "2" } }), "/erc721"),
            (json!({ "erc721": { "asset": format!("eip155:1/erc721:{A}/1"), "token": "1" } }), "/erc721"),
            (json!({ "native": { "chain": "ethereum", "at_least": "1" } }), "/native/chain"),
            (json!({ "time_window": {} }), "/time_window"),
            (
                json!({ "time_window": { "from": "2026-01-01T00:00:00Z", "until": "2025-01-01T00:00:00Z" } }),
                "/time_window",
            ),
            (json!({ "allow_list": {} }), "/allow_list"),
            (json!({ "allow_list": { "principals": ["me"] } }), "/allow_list"),
            (json!({ "subscription": { "plan": "" } }), "/subscription/plan"),
            (
                json!({ "contract_call": { "contract": format!("eip155:1:{A}"), "data": "0x70a0823",
                "comparison": "less", "operand": "1" } }),
                "/contract_call/data",
            ),
            (
                json!({ "contract_call": { "contract": format!("eip155:1:{A}"), "data": "0x70a08231",
                "comparison": "at_least", "operand": "{wallet}" } }),
                "/contract_call/comparison",
            ),
            (
                json!({ "contract_call": { "contract": format!("eip155:1:{A}"), "data": "0x70a08231",
                "comparison": "equal", "operand": "{wallet}1" } }),
                "/contract_call/operand",
            ),
            (json!({ "all": [{ "role": "admin" }], "any": [{ "role": "admin" }] }), ""),
            (json!({ "role": "admin", "unless": true }), ""),
            (json!({ "erc20": { "asset": format!("eip155:1:{A}"), "atleast": "5" } }), ""),
            (json!(true), ""),
        ] {
            assert_eq!(parse(&rule).unwrap_err().pointer, place, "{rule}");
        }
        assert!(Rule::parse(br#"{"erc20":{"asset":"a","asset":"b"}}"#).is_err());
    }

    #[test]
    fn depth_leaves_and_size_are_bounded() {
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().detail.contains("deep"));
        assert!(Rule::parse(format!("{}1", "{\"not\":".repeat(10_000)).as_bytes()).is_err());
        let many = |count: usize| json!({ "any": vec![json!({ "role": "admin" }); count] });
        assert!(parse(&many(MAX_LEAVES)).is_ok());
        assert!(parse(&many(MAX_LEAVES + 1)).unwrap_err().detail.contains("leaves"));
        let large = [b"{\"role\":\"admin\"}".to_vec(), vec![b' '; MAX_BYTES]].concat();
        assert!(Rule::parse(&large).unwrap_err().detail.contains("bytes"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            crate::fuzz::rule(&bytes);
        }

        #[test]
        fn what_is_read_of_a_call_is_written_and_read_the_same(
            address: [u8; 20],
            selector: [u8; 4],
            arguments in prop::collection::vec(prop_oneof![Just(None), any::<[u8; 32]>().prop_map(Some)], 0..4),
            word in 0..MAX_WORDS,
            comparison in prop::sample::select(vec![
                "equal", "not_equal", "less", "at_most", "greater", "at_least",
            ]),
            operand in prop_oneof![Just("{wallet}".to_owned()), any::<u128>().prop_map(|n| n.to_string())],
        ) {
            let address = alloy_primitives::Address::from(address);
            let hex = |bytes: &[u8]| alloy_primitives::hex::encode(bytes);
            let arguments = arguments.iter().map(|one| one.map_or("{wallet}".into(), |bytes| hex(&bytes)));
            let data = format!("0x{}{}", hex(&selector), arguments.collect::<String>());
            let rule = json!({ "contract_call": { "contract": format!("eip155:1:{address:#x}"), "data": data,
                "word": word, "comparison": comparison, "operand": operand } });
            let ordered = !matches!(comparison, "equal" | "not_equal");
            let read = parse(&rule);
            prop_assert_eq!(read.is_err(), ordered && operand == "{wallet}", "{}: {:?}", rule, read);
            if let Ok(tree) = read {
                let of_wallets = data.contains('{') || operand == "{wallet}";
                prop_assert_eq!(tree.leaves[0].is_of_wallets(), of_wallets);
                crate::fuzz::rule(rule.to_string().as_bytes());
            }
        }

        #[test]
        fn no_text_in_a_leaf_makes_the_parser_panic(text: String, other: String) {
            for rule in [
                json!({ "erc721": { "asset": text, "token": other } }),
                json!({ "native": { "chain": text, "at_least": other } }),
                json!({ "contract_call": { "contract": text, "data": other, "comparison": "less", "operand": text } }),
                json!({ "time_window": { "from": text, "until": other } }),
                json!({ "allow_list": { "principals": [text], "wallets": [other] } }),
            ] {
                prop_assert!(parse(&rule).is_err());
            }
        }
    }
}
