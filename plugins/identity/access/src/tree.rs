//! A parsed rule: operators over leaves, and their combined result.

use std::collections::BTreeSet;

use ruint::aliases::U256;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::ethereum::{Address, from_hex};
use streamgate_plugin_api::time::rfc3339;

use crate::caip::{Asset, Contract, number};
use crate::truth::Truth;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    pub(crate) leaves: Vec<Leaf>,
    /// The place of each leaf, as a JSON pointer (RFC 6901) into the rule.
    pub(crate) places: Vec<String>,
}

/// An operator, or the index of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    AtLeast(usize, Vec<Node>),
    Not(Box<Node>),
    Leaf(usize),
}

/// A condition about a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaf {
    Holds { asset: Asset, at_least: String, delegated: bool },
    Call { contract: Contract, data: CallData, word: u32, comparison: Comparison, operand: Operand },
    Listed { principals: BTreeSet<String>, wallets: BTreeSet<String> },
    Role(String),
    Window { from_ms: Option<i64>, until_ms: Option<i64> },
    Subscribed(String),
}

/// How a word compares to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same.
    Equal,
    /// Another one.
    NotEqual,
    /// Below it.
    Less,
    /// It, or below.
    AtMost,
    /// Above it.
    Greater,
    /// It, or above.
    AtLeast,
}

impl From<Comparison> for wire::Comparison {
    fn from(comparison: Comparison) -> Self {
        match comparison {
            Comparison::Equal => Self::Equal,
            Comparison::NotEqual => Self::NotEqual,
            Comparison::Less => Self::Less,
            Comparison::AtMost => Self::AtMost,
            Comparison::Greater => Self::Greater,
            Comparison::AtLeast => Self::AtLeast,
        }
    }
}

/// Call data: hex digits in which `{wallet}` stands for a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallData(String);

/// The placeholder of a wallet, in calls and comparisons.
const PLACE: &str = "{wallet}";

/// What a word of an answer is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    /// Decimal.
    Number(String),
    /// The viewer's wallet, in the form returned by contracts: its address in the last 20 bytes.
    Wallet,
}

impl Operand {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            PLACE => Some(Self::Wallet),
            _ => number(text).map(|_| Self::Number(text.to_owned())),
        }
    }

    /// The number, decimal, for the address of a wallet, `0x…`.
    pub(crate) fn number(&self, address: &str) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::Wallet => Some(U256::from_be_bytes(Address::parse(address)?.word()).to_string()),
        }
    }
}

impl Comparison {
    /// Whether it is defined for two addresses.
    pub(crate) fn is_of_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl CallData {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x")?;
        let whole =
            |part: &str| part.len().is_multiple_of(2) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.split(PLACE).all(whole).then(|| Self(digits.to_owned()))
    }

    /// Bytes that do not depend on the wallet.
    pub(crate) fn len(&self) -> usize {
        self.filled(&"0".repeat(40)).len() / 2
    }

    /// Whether it differs for each wallet.
    pub(crate) fn is_of_wallet(&self) -> bool {
        self.0.contains(PLACE)
    }

    /// The bytes for the address of a wallet, `0x…`.
    pub(crate) fn bytes(&self, address: &str) -> Option<Vec<u8>> {
        from_hex(&self.filled(address.strip_prefix("0x")?))
    }

    fn filled(&self, digits: &str) -> String {
        self.0.replace(PLACE, &format!("{digits:0>64}"))
    }
}

impl Node {
    /// The combined result of the leaves.
    pub(crate) fn truth(&self, leaves: &[Truth]) -> Truth {
        let each = |nodes: &[Self]| nodes.iter().map(|node| node.truth(leaves)).collect::<Vec<_>>();
        match self {
            Self::All(nodes) => Truth::all(each(nodes)),
            Self::Any(nodes) => Truth::any(each(nodes)),
            Self::AtLeast(n, nodes) => Truth::at_least(*n, each(nodes)),
            Self::Not(node) => node.truth(leaves).not(),
            Self::Leaf(index) => leaves.get(*index).copied().unwrap_or(Truth::Unknown),
        }
    }

    /// The same with the finding at each place, for people: `rule`, `holds` (yes, no, unknown), `text`, and
    /// `of` below an operator.
    pub(crate) fn finding(&self, leaves: &[(Truth, String)]) -> Value {
        let truths: Vec<Truth> = leaves.iter().map(|(truth, _)| *truth).collect();
        let each = |nodes: &[Self]| nodes.iter().map(|node| node.finding(leaves)).collect::<Vec<_>>();
        let (rule, of) = match self {
            Self::All(nodes) => ("all".to_owned(), each(nodes)),
            Self::Any(nodes) => ("any".to_owned(), each(nodes)),
            Self::AtLeast(n, nodes) => (format!("at least {n} of {}", nodes.len()), each(nodes)),
            Self::Not(node) => ("not".to_owned(), vec![node.finding(leaves)]),
            Self::Leaf(index) => {
                let text = leaves.get(*index).map_or("", |(_, text)| text);
                return json!({ "rule": "leaf", "holds": self.truth(&truths).name(), "text": text });
            }
        };
        json!({ "rule": rule, "holds": self.truth(&truths).name(), "of": of })
    }

    /// Why it does not hold: the texts of the leaves that prevent it, and how they are combined. `None`: it
    /// holds.
    pub(crate) fn missing(&self, leaves: &[(Truth, String)]) -> Option<String> {
        let truths: Vec<Truth> = leaves.iter().map(|(truth, _)| *truth).collect();
        self.blame(leaves, &truths, true).map(|blame| blame.text)
    }

    fn blame(&self, leaves: &[(Truth, String)], truths: &[Truth], wanted: bool) -> Option<Blame> {
        let satisfied = if wanted { Truth::Yes } else { Truth::No };
        if self.truth(truths) == satisfied {
            return None;
        }
        let (holding, nodes) = match self {
            Self::All(nodes) => (nodes.len(), nodes),
            Self::Any(nodes) => (1, nodes),
            Self::AtLeast(n, nodes) => (*n, nodes),
            Self::Not(node) => return node.blame(leaves, truths, !wanted),
            Self::Leaf(index) => {
                let (truth, text) = leaves.get(*index)?;
                let negated = if wanted || *truth == Truth::Unknown { "" } else { "not allowed: " };
                return Some(Blame { text: format!("{negated}{text}"), is_group: false });
            }
        };
        // It fails as soon as so many do not hold that the others are too few.
        let needed = if wanted { holding } else { (nodes.len() + 1).saturating_sub(holding) };
        let mut parts: Vec<Blame> =
            nodes.iter().filter_map(|node| node.blame(leaves, truths, wanted)).collect();
        let needed = needed.saturating_sub(nodes.len() - parts.len());
        if parts.len() < 2 {
            return parts.pop();
        }
        let (before, between) = match needed {
            1 => (String::new(), "; or "),
            needed if needed >= parts.len() => (String::new(), "; and "),
            needed => (format!("{needed} of these: "), "; "),
        };
        let parts: Vec<String> = parts.into_iter().map(Blame::within_another).collect();
        Some(Blame { text: format!("{before}{}", parts.join(between)), is_group: true })
    }
}

/// What prevents a node from holding.
struct Blame {
    text: String,
    /// Several parts.
    is_group: bool,
}

impl Blame {
    fn within_another(self) -> String {
        if self.is_group { format!("({})", self.text) } else { self.text }
    }
}

impl Leaf {
    /// The requirement, for people. It contains no name from a list.
    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Holds { asset, at_least, delegated } => {
                let or = if *delegated { ", or delegated to one" } else { "" };
                format!("at least {at_least} of {asset} in a wallet{or}")
            }
            Self::Call { contract, operand: Operand::Wallet, comparison: Comparison::Equal, .. } => {
                format!("a wallet that the contract {contract} returns")
            }
            Self::Call { contract, .. } => format!("the required answer of the contract {contract}"),
            Self::Listed { .. } => "a place on the list of this content".into(),
            Self::Role(role) => format!("the role {role}"),
            Self::Window { from_ms: Some(from), until_ms: Some(until) } => {
                format!("the time from {} until {}", rfc3339(*from), rfc3339(*until))
            }
            Self::Window { from_ms: Some(from), .. } => format!("the time from {} on", rfc3339(*from)),
            Self::Window { until_ms, .. } => {
                format!("the time until {}", rfc3339(until_ms.unwrap_or_default()))
            }
            Self::Subscribed(plan) => format!("a subscription of {plan}"),
        }
    }

    /// Whether it queries each wallet of a viewer separately.
    pub(crate) fn is_of_wallets(&self) -> bool {
        match self {
            Self::Call { data, operand, .. } => data.is_of_wallet() || *operand == Operand::Wallet,
            _ => matches!(self, Self::Holds { .. }),
        }
    }

    /// Whether a chain has to be queried.
    pub(crate) fn is_of_chain(&self) -> bool {
        self.chain().is_some()
    }

    /// The chain that has to be queried.
    pub(crate) fn chain(&self) -> Option<&str> {
        match self {
            Self::Holds { asset, .. } => Some(&asset.chain),
            Self::Call { contract, .. } => Some(&contract.chain),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn truths() -> impl Strategy<Value = Truth> {
        prop_oneof![Just(Truth::No), Just(Truth::Unknown), Just(Truth::Yes)]
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let leaf = (0usize..8).prop_map(Node::Leaf);
        leaf.prop_recursive(5, 40, 4, |inner| {
            let some = prop::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                some.clone().prop_map(Node::All),
                some.clone().prop_map(Node::Any),
                (1usize..4, some).prop_map(|(n, nodes)| Node::AtLeast(n.min(nodes.len()), nodes)),
                inner.prop_map(|node| Node::Not(Box::new(node))),
            ]
        })
    }

    #[test]
    fn a_refusal_says_what_is_needed_together_and_what_instead() {
        let leaf = Node::Leaf;
        let leaves: Vec<_> = ["a", "b", "c", "d"].map(|text| (Truth::No, text.to_owned())).into();
        let says = |node: Node| node.missing(&leaves).unwrap();
        assert_eq!(says(leaf(0)), "a");
        assert_eq!(says(Node::All(vec![leaf(0), leaf(1)])), "a; and b");
        assert_eq!(says(Node::Any(vec![leaf(0), leaf(1)])), "a; or b");
        assert_eq!(says(Node::Any(vec![Node::All(vec![leaf(0), leaf(1)]), leaf(2)])), "(a; and b); or c");
        assert_eq!(says(Node::AtLeast(2, vec![leaf(0), leaf(1), leaf(2)])), "2 of these: a; b; c");

        let mut leaves = leaves.clone();
        leaves[0].0 = Truth::Yes;
        let says = |node: Node| node.missing(&leaves).unwrap();
        assert_eq!(says(Node::AtLeast(2, vec![leaf(0), leaf(1), leaf(2)])), "b; or c", "one is there");
        assert_eq!(says(Node::All(vec![leaf(0), leaf(1)])), "b");
        leaves[1].0 = Truth::Yes;
        let says = |node: Node| node.missing(&leaves);
        let not = |node| Node::Not(Box::new(node));
        assert_eq!(
            says(not(Node::All(vec![leaf(0), leaf(1)]))).unwrap(),
            "not allowed: a; or not allowed: b"
        );
        assert_eq!(
            says(not(Node::Any(vec![leaf(0), leaf(1)]))).unwrap(),
            "not allowed: a; and not allowed: b"
        );
        assert_eq!(says(not(Node::AtLeast(2, vec![leaf(0), leaf(2)]))), None);
    }

    proptest! {
        /// A decided result stays, whatever the unknown turns out to be: so an outage can remove a yes, and
        /// never create one.
        #[test]
        fn what_is_unknown_never_turns_a_verdict(
            node in nodes(),
            before in prop::collection::vec(truths(), 8),
            learned in prop::collection::vec(any::<bool>(), 8),
        ) {
            let after: Vec<Truth> = before.iter().zip(&learned)
                .map(|(truth, holds)| if *truth == Truth::Unknown { Truth::of(*holds) } else { *truth })
                .collect();
            let (known, truth) = (node.truth(&before), node.truth(&after));
            prop_assert!(truth != Truth::Unknown);
            prop_assert!(known == Truth::Unknown || known == truth);
        }

        #[test]
        fn when_nothing_is_known_nothing_is_allowed(node in nodes()) {
            prop_assert_eq!(node.truth(&[Truth::Unknown; 8]), Truth::Unknown);
        }

        #[test]
        fn without_a_not_more_leaves_that_hold_never_take_away(
            node in nodes().prop_filter("without a not", |node| !has_not(node)),
            leaves in prop::collection::vec(truths(), 8),
            index in 0usize..8,
        ) {
            let mut better = leaves.clone();
            better[index] = Truth::Yes;
            prop_assert!(node.truth(&better) >= node.truth(&leaves));
        }

        #[test]
        fn a_refusal_always_says_what_is_missing(node in nodes(), leaves in prop::collection::vec(truths(), 8)) {
            let texts: Vec<_> = leaves.iter().map(|truth| (*truth, "x".to_owned())).collect();
            prop_assert_eq!(node.missing(&texts).is_none(), node.truth(&leaves) == Truth::Yes);
        }
    }

    fn has_not(node: &Node) -> bool {
        match node {
            Node::All(nodes) | Node::Any(nodes) | Node::AtLeast(_, nodes) => nodes.iter().any(has_not),
            Node::Not(_) => true,
            Node::Leaf(_) => false,
        }
    }

    #[test]
    fn a_wallet_is_an_argument_of_32_bytes() {
        let data = CallData::parse("0x70a08231{wallet}").unwrap();
        let bytes = data.bytes("0x00000000000000000000000000000000000000aa").unwrap();
        assert_eq!((bytes.len(), data.len(), bytes[35]), (36, 36, 0xaa));
        assert!(data.is_of_wallet());
        assert_eq!(CallData::parse("0x70a08231{you}"), None);
        assert_eq!(CallData::parse("0x7{wallet}0"), None);
    }

    proptest! {
        #[test]
        fn a_wallet_as_an_operand_is_the_word_that_a_contract_answers_with(bytes: [u8; 20]) {
            let address = alloy_primitives::Address::from(bytes);
            let word = alloy_primitives::B256::left_padding_from(&bytes);
            let number = Operand::parse("{wallet}").unwrap().number(&format!("{address:#x}")).unwrap();
            prop_assert_eq!(number, U256::from_be_bytes(word.0).to_string());
            prop_assert_eq!(Operand::Wallet.number(&address.to_checksum(None)[2..]).is_some(), true);
        }

        #[test]
        fn an_operand_is_a_number_or_the_wallet_and_nothing_else(text: String, amount: u128) {
            let read = Operand::parse(&text);
            let number = number(&text).is_some();
            prop_assert_eq!(read.is_some(), number || text == "{wallet}");
            let text = amount.to_string();
            prop_assert_eq!(Operand::parse(&text), Some(Operand::Number(text.clone())));
        }
    }
}
