//! What is said of a rule that is taken, and hardly does what was meant: parts that nobody, or not everybody who is meant,
//! can ever pass. It takes a few seconds at most, and says what it could not look at; nothing is refused by it.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;

use crate::caip::{Asset, Contract};
use crate::chain::Chains;
use crate::directory::{ChainEntry, DESCRIBED_WITHIN, Described, Directory, Undescribed};
use crate::tree::{Leaf, Tree};

/// Contracts that are asked at the same time.
const AT_ONCE: usize = 8;
/// Wallets of one list that are named one by one.
const MAX_NAMED: usize = 5;

/// Something about a part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Warning {
    /// Where, as a JSON pointer (RFC 6901) into the rule.
    pub(crate) pointer: String,
    /// What, for people.
    pub(crate) text: String,
}

/// A contract on a chain that can be asked, and the leaves that are about it.
#[derive(Default)]
struct Asked {
    /// What people call its chain.
    chain: String,
    leaves: Vec<usize>,
}

impl Warning {
    /// What there is to say of a rule at this time; of none nothing.
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

/// What is seen without asking anybody.
fn alone(leaf: &Leaf, now_ms: i64) -> Vec<String> {
    match leaf {
        Leaf::Window { until_ms: Some(until), .. } if *until <= now_ms => {
            vec!["This time is over; this part never holds again.".into()]
        }
        Leaf::Listed { wallets, .. } => {
            let odd: Vec<&String> = wallets.iter().filter(|wallet| !is_account(wallet)).collect();
            let mut texts: Vec<String> = odd
                .iter()
                .take(MAX_NAMED)
                .map(|wallet| {
                    format!("{wallet} has not the length of an account of Solana; nobody has this wallet.")
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

/// Whether a wallet can be one: an address of Solana is 32 bytes in base 58.
fn is_account(wallet: &str) -> bool {
    let Some(address) = wallet.strip_prefix("solana:") else { return true };
    bs58::decode(address).into_vec().is_ok_and(|bytes| bytes.len() == 32)
}

/// The chain that a leaf asks, and the contract (CAIP-10) if it asks one.
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

/// The chain, or why nothing about it holds now.
fn of_chain<'a>(directory: &'a Directory, chain: &str) -> Result<&'a ChainEntry, String> {
    let entry = directory.chain(chain).map_err(|silent| match silent {
        Some(why) => format!("Whether {chain} can be asked is not known: {why}."),
        None => format!(
            "This server does not know the chain {chain}; nobody can pass this part until it is in the settings."
        ),
    })?;
    let name = entry.name();
    match entry.trouble() {
        None => Ok(entry),
        Some(_) if entry.is_off() => Err(format!(
            "{name} has no endpoint in the settings; nobody can pass this part until one is set."
        )),
        Some(why) => {
            Err(format!("{name} cannot be asked now: {why}. Nobody can pass this part until it can."))
        }
    }
}

/// What is wrong with a contract for what a leaf asks of it.
fn of_contract(
    leaf: &Leaf,
    address: &str,
    chain: &str,
    said: &Result<Described, Undescribed>,
) -> Option<String> {
    const NOBODY: &str = "Nobody can pass this part.";
    match (said, leaf) {
        (Err(Undescribed::Nothing(why)), _) => Some(format!("{address} on {chain}: {why}. {NOBODY}")),
        (Err(Undescribed::Malformed(why)), _) => {
            Some(format!("{address} is no account of {chain}: {why}. {NOBODY}"))
        }
        (Err(Undescribed::Unknown(why)), _) => {
            Some(format!("What {address} on {chain} is could not be checked: {why}."))
        }
        (Ok(described), Leaf::Holds { asset, .. }) => {
            let other = !described.kinds.is_empty() && !described.kinds.contains(&asset.kind);
            let kinds = described.kind();
            other.then(|| {
                format!("{address} on {chain} says that it is {kinds}, and not {}. {NOBODY}", asset.kind)
            })
        }
        (Ok(_), _) => None,
    }
}
