//! Warnings about a valid rule that is probably not as intended: parts that no viewer, or not every intended
//! viewer, can meet. It takes a few seconds at most, and reports what it could not check; it refuses nothing.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;

use crate::caip::{Asset, Contract};
use crate::chain::Chains;
use crate::directory::{ChainEntry, DESCRIBED_WITHIN, Described, Directory, Undescribed};
use crate::tree::{Leaf, Tree};

/// Contracts that are queried concurrently.
const AT_ONCE: usize = 8;
/// Wallets of one list that are named individually.
const MAX_NAMED: usize = 5;

/// A warning about a part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Warning {
    /// The place, as a JSON pointer (RFC 6901) into the rule.
    pub(crate) pointer: String,
    /// The text, for people.
    pub(crate) text: String,
}

/// A contract on an available chain, and the leaves that use it.
#[derive(Default)]
struct Asked {
    /// The chain's name for people.
    chain: String,
    leaves: Vec<usize>,
}

impl Warning {
    /// The warnings about this rule at this time.
    pub(crate) async fn about(tree: Option<&Tree>, chains: &Chains, now_ms: i64) -> Vec<Self> {
        let Some(tree) = tree else { return Vec::new() };
        let until = Instant::now() + DESCRIBED_WITHIN;
        let at = |leaf: usize, text: String| Self {
            pointer: tree.places.get(leaf).cloned().unwrap_or_default(),
            text,
        };
        let mut warnings = Vec::new();
        let own = tree.leaves.iter().enumerate();
        warnings.extend(
            own.flat_map(|(index, leaf)| alone(leaf, now_ms).into_iter().map(move |text| at(index, text))),
        );
        if !tree.leaves.iter().any(Leaf::is_of_chain) {
            return warnings;
        }
        let directory = Directory::read(chains).await;
        let mut contracts: BTreeMap<String, Asked> = BTreeMap::new();
        for (index, leaf) in tree.leaves.iter().enumerate() {
            let Some((chain, contract)) = subject(leaf) else { continue };
            match of_chain(&directory, chain) {
                Err(text) => warnings.push(at(index, text)),
                Ok(entry) => {
                    let Some(contract) = contract else { continue };
                    let asked = contracts.entry(contract).or_default();
                    asked.chain = entry.name().to_owned();
                    asked.leaves.push(index);
                }
            }
        }
        let asking = contracts.into_iter().map(|(contract, asked)| async move {
            let said = Described::read(chains, &contract, until).await;
            (contract, asked, said)
        });
        let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
        while let Some((contract, asked, said)) = answers.next().await {
            let address = contract.rsplit_once(':').map_or(&*contract, |(_, address)| address);
            for index in asked.leaves {
                if let Some(text) = of_contract(&tree.leaves[index], address, &asked.chain, &said) {
                    warnings.push(at(index, text));
                }
            }
        }
        warnings.sort();
        warnings
    }
}

/// The warnings that need no query.
fn alone(leaf: &Leaf, now_ms: i64) -> Vec<String> {
    match leaf {
        Leaf::Window { until_ms: Some(until), .. } if *until <= now_ms => {
            vec!["This time is over; this part can no longer be met.".into()]
        }
        Leaf::Listed { wallets, .. } => {
            let odd: Vec<&String> = wallets.iter().filter(|wallet| !is_account(wallet)).collect();
            let mut texts: Vec<String> = odd
                .iter()
                .take(MAX_NAMED)
                .map(|wallet| {
                    format!("{wallet} does not have the length of a Solana account; no such wallet exists.")
                })
                .collect();
            if odd.len() > MAX_NAMED {
                texts
                    .push(format!("{} more wallets of the list have a wrong length.", odd.len() - MAX_NAMED));
            }
            texts
        }
        _ => Vec::new(),
    }
}

/// Whether a wallet is possible: an address of Solana is 32 bytes in base 58.
fn is_account(wallet: &str) -> bool {
    let Some(address) = wallet.strip_prefix("solana:") else { return true };
    bs58::decode(address).into_vec().is_ok_and(|bytes| bytes.len() == 32)
}

/// The chain that a leaf queries, and the contract (CAIP-10) if it uses one.
fn subject(leaf: &Leaf) -> Option<(&str, Option<String>)> {
    match leaf {
        Leaf::Holds { asset: Asset { chain, kind, .. }, .. } if kind == "slip44" => Some((chain, None)),
        Leaf::Holds { asset: Asset { chain, reference, .. }, .. } => {
            Some((chain, Some(format!("{chain}:{reference}"))))
        }
        Leaf::Call { contract, .. } => {
            let Contract { chain, .. } = contract;
            Some((chain, Some(contract.to_string())))
        }
        _ => None,
    }
}

/// The chain, or why it cannot be queried now.
fn of_chain<'a>(directory: &'a Directory, chain: &str) -> Result<&'a ChainEntry, String> {
    let entry = directory.chain(chain).map_err(|silent| match silent {
        Some(why) => format!("It is unknown whether {chain} can be queried: {why}."),
        None => format!(
            "The chain {chain} is not configured; this part cannot be met until it is in the settings."
        ),
    })?;
    let name = entry.name();
    match entry.trouble() {
        None => Ok(entry),
        Some(_) if entry.is_off() => {
            Err(format!("{name} has no endpoint in the settings; this part cannot be met until one is set."))
        }
        Some(why) => {
            Err(format!("{name} cannot be queried now: {why}. This part cannot be met until it can."))
        }
    }
}

/// The problem of a contract for a leaf.
fn of_contract(
    leaf: &Leaf,
    address: &str,
    chain: &str,
    said: &Result<Described, Undescribed>,
) -> Option<String> {
    const NOBODY: &str = "This part cannot be met.";
    match (said, leaf) {
        (Err(Undescribed::Nothing(why)), _) => Some(format!("{address} on {chain}: {why}. {NOBODY}")),
        (Err(Undescribed::Malformed(why)), _) => {
            Some(format!("{address} is not an account of {chain}: {why}. {NOBODY}"))
        }
        (Err(Undescribed::Unknown(why)), _) => {
            Some(format!("What {address} on {chain} is could not be checked: {why}."))
        }
        (Ok(described), Leaf::Holds { asset, .. }) => {
            let other = !described.kinds.is_empty() && !described.kinds.contains(&asset.kind);
            let kinds = described.kind();
            other.then(|| {
                format!("{address} on {chain} declares itself as {kinds}, not {}. {NOBODY}", asset.kind)
            })
        }
        (Ok(_), _) => None,
    }
}
