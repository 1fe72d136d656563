//! Leaves that may hold through delegations to a wallet of the viewer (delegate.xyz v2).
//!
//! Anyone can delegate to anyone, for only the gas: most entries of the registry may be strangers'. So all
//! listed wallets are first checked for the required holding, which strangers do not have, and only then for
//! the delegation. Entries beyond a limit are not checked and make the leaf unknown, never a no; a vault
//! named by the viewer is checked first, listed or not.

use std::collections::{BTreeMap, HashMap};

use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Delegation};

use crate::caip::{self, Asset};
use crate::chain::Watched;
use crate::epochs;
use crate::evaluate::{
    Asked, Evaluation, Findings, Role, address, evidence, holding, incoming, number, state, truth, word,
};
use crate::tree::Leaf;
use crate::truth::Truth;

/// Of `Delegation { type, to, from, rights, contract, tokenId, amount }[]` as an answer: the position of the
/// first `from`, and the distance to the next one.
const FIRST_FROM: u32 = 4;
const WORDS_OF_ONE: u32 = 7;
/// Maximum delegations to one wallet that are checked. Their words are all within what a chain plugin keeps
/// of an answer.
pub(crate) const MAX_LISTED: u32 = 128;
/// Maximum vaults that are checked for one decision.
const MAX_VAULTS: usize = 512;
/// Vaults that are checked together: when one of them meets a leaf, the next are not queried.
const PAGE: usize = 128;
/// Maximum vaults that a viewer may name.
pub(crate) const MAX_NAMED: usize = 8;

/// The remedy for a viewer.
const NAME_IT: &str = "Name the wallet that holds the token as a vault, and it is checked directly";

/// A leaf that the viewer's own wallets do not meet.
struct Open<'a> {
    asset: &'a Asset,
    at_least: &'a str,
    /// Possible delegators and delegates, as accounts, in the order of the checks.
    pairs: Vec<(String, String)>,
    /// Why it is unknown whether that is complete, or whether it meets the leaf.
    unknown: Option<String>,
}

impl Open<'_> {
    fn add(&mut self, vault: &str, to: &[String]) {
        for account in to {
            let pair = (vault.to_owned(), account.clone());
            if vault != account && !self.pairs.contains(&pair) {
                self.pairs.push(pair);
            }
        }
    }
}

impl<'t> Evaluation<'t> {
    /// Checks leaves for delegations, if they do not hold otherwise.
    pub(crate) async fn delegated(
        &mut self,
        found: &mut Findings,
        watched: &HashMap<String, Watched>,
        least: &BTreeMap<String, u64>,
        asked: &[Asked],
        answers: &[Answer],
    ) {
        let mut open = self.open(found, watched);
        if open.is_empty() {
            return;
        }
        self.listed(&mut open, least, asked, answers).await;
        let mut left = MAX_VAULTS;
        while let Some(page) = next_page(&mut open, &mut left) {
            self.look(found, &mut open, least, page).await;
        }
        for (index, leaf) in open {
            let (truth, text) = &mut found.leaves[index];
            if let Some(why) = leaf.unknown.filter(|_| *truth == Truth::No) {
                *truth = Truth::Unknown;
                text.push_str(&format!("; whether it is delegated is unknown: {why}"));
            }
        }
    }

    /// The leaves that do not hold, with the vaults named by the viewer.
    fn open(&self, found: &Findings, watched: &HashMap<String, Watched>) -> BTreeMap<usize, Open<'t>> {
        let (mut open, tree) = (BTreeMap::new(), self.tree);
        for (index, leaf) in tree.leaves.iter().enumerate() {
            let Leaf::Holds { asset, at_least, delegated: true } = leaf else { continue };
            let broken = matches!(state(asset, watched), Some(Watched::Broken(_)));
            if broken || found.leaves[index].0 == Truth::Yes {
                continue;
            }
            let mut leaf = Open { asset, at_least, pairs: Vec::new(), unknown: None };
            let accounts = self.accounts(asset);
            for vault in self.facts.vaults.iter().filter_map(|named| caip::account_of(named, &asset.chain)) {
                leaf.add(&vault, &accounts);
            }
            open.insert(index, leaf);
        }
        open
    }

    fn accounts(&self, asset: &Asset) -> Vec<String> {
        self.viewer.wallets.iter().filter_map(|wallet| caip::account_of(wallet, &asset.chain)).collect()
    }

    /// Adds the listed wallets: the owner of a token that has one, or all delegators of a wallet.
    async fn listed(
        &self,
        open: &mut BTreeMap<usize, Open<'_>>,
        least: &BTreeMap<String, u64>,
        asked: &[Asked],
        answers: &[Answer],
    ) {
        let mut questions: Vec<(String, About)> = Vec::new();
        let mut places: Vec<(usize, &str)> = Vec::new();
        for (asked, answer) in asked.iter().zip(answers) {
            let Some(leaf) = open.get_mut(&asked.leaf) else { continue };
            let chain = &leaf.asset.chain;
            match &asked.role {
                Role::Own => {}
                Role::Owner => match number(answer).and_then(address) {
                    Some(owner) => {
                        let vault = format!("{chain}:{owner:#}");
                        // A named wallet that owns nothing need not be checked.
                        leaf.pairs.clear();
                        leaf.add(&vault, &self.accounts(leaf.asset));
                    }
                    None => leaf.unknown = Some(format!("its owner is unknown ({})", answer.reason)),
                },
                Role::Count(account) => {
                    let count = number(answer).and_then(|count| u32::try_from(count).ok());
                    let Some(count) = count else {
                        leaf.unknown =
                            Some(format!("the registry did not answer ({}). {NAME_IT}", answer.reason));
                        continue;
                    };
                    if count > MAX_LISTED {
                        leaf.unknown = Some(format!(
                            "{count} delegations to {account} are more than the {MAX_LISTED} that are checked. \
                             {NAME_IT}"
                        ));
                    }
                    let (registry, data) = incoming(account, chain);
                    // The newest first: a viewer with a new vault has just delegated from it.
                    for place in (0..count.min(MAX_LISTED)).rev() {
                        let at = FIRST_FROM + WORDS_OF_ONE * place;
                        questions.push((chain.clone(), word(&registry, data.clone(), at)));
                        places.push((asked.leaf, account));
                    }
                }
            }
        }
        if questions.is_empty() {
            return;
        }
        let froms = self.chains.ask(&questions, least).await;
        for ((index, account), answer) in places.into_iter().zip(&froms) {
            let Some(leaf) = open.get_mut(&index) else { continue };
            match number(answer).and_then(address) {
                Some(from) => {
                    let vault = format!("{}:{from:#}", leaf.asset.chain);
                    leaf.add(&vault, &[account.to_owned()]);
                }
                None => {
                    let why = || format!("the registry did not list the delegations ({})", answer.reason);
                    leaf.unknown.get_or_insert_with(why);
                }
            }
        }
    }

    /// Checks some vaults: their holdings, and of those with enough the delegation.
    async fn look(
        &mut self,
        found: &mut Findings,
        open: &mut BTreeMap<usize, Open<'_>>,
        least: &BTreeMap<String, u64>,
        page: Vec<(usize, String, String)>,
    ) {
        let mut questions: Vec<(String, About)> = Vec::new();
        for (index, vault, _) in &page {
            let Some(leaf) = open.get(index) else { continue };
            for wallet in caip::wallets_of(vault).into_iter().flatten() {
                self.epochs.note(self.snapshot, epochs::Subject::Wallet(&wallet));
                found.vaults.insert(wallet);
            }
            questions.push((leaf.asset.chain.clone(), holding(vault, leaf.asset, leaf.at_least)));
        }
        let holdings = self.chains.ask(&questions, least).await;
        let mut holders = Vec::new();
        let mut questions: Vec<(String, About)> = Vec::new();
        for ((index, vault, account), held) in page.into_iter().zip(holdings) {
            let Some(leaf) = open.get(&index).filter(|_| truth(&held) != Truth::No) else { continue };
            let asset = leaf.asset.to_string();
            let delegation = Delegation { from: vault.clone(), to: account, asset };
            questions.push((leaf.asset.chain.clone(), About::Delegation(delegation)));
            holders.push((index, vault, held));
        }
        if questions.is_empty() {
            return;
        }
        let delegations = self.chains.ask(&questions, least).await;
        for ((index, vault, held), given) in holders.into_iter().zip(delegations) {
            let Some(leaf) = open.get_mut(&index) else { continue };
            match Truth::all([truth(&given), truth(&held)]) {
                Truth::Yes if found.leaves[index].0 != Truth::Yes => {
                    let wanted = self.tree.leaves[index].wanted();
                    let text = format!("{wanted}: {vault} has delegated it, and {}", held.reason);
                    found.evidence.extend([&given, &held].into_iter().flat_map(|it| evidence(it, &text)));
                    found.leaves[index] = (Truth::Yes, text);
                    leaf.pairs.clear();
                }
                Truth::Unknown => {
                    let of_both = [&given, &held].into_iter().find(|answer| truth(answer) == Truth::Unknown);
                    let reason = of_both.map_or("", |answer| &answer.reason);
                    leaf.unknown.get_or_insert_with(|| format!("{vault}: {reason}"));
                }
                _ => {}
            }
        }
    }
}

/// The next vaults of all leaves, `left` of which may still be checked; `None` when all were. Further ones
/// are not checked, and reported.
fn next_page(open: &mut BTreeMap<usize, Open<'_>>, left: &mut usize) -> Option<Vec<(usize, String, String)>> {
    let mut page = Vec::new();
    for (index, leaf) in open.iter_mut() {
        let many = leaf.pairs.len().min(PAGE).min(*left);
        *left -= many;
        page.extend(leaf.pairs.drain(..many).map(|(vault, account)| (*index, vault, account)));
        if *left == 0 && !leaf.pairs.is_empty() {
            leaf.pairs.clear();
            let why = || format!("more than {MAX_VAULTS} vaults would have to be checked. {NAME_IT}");
            leaf.unknown.get_or_insert_with(why);
        }
    }
    (!page.is_empty()).then_some(page)
}
