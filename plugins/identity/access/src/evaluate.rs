//! Evaluates the leaves of a rule for a viewer. A leaf about tokens holds if any one of the viewer's wallets
//! meets it. Chains are not queried for leaves that the verdict does not need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruint::aliases::U256;
use streamgate_contracts::access::v1::Evidence;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Comparison, ContractCall, Finality, Holding, Verdict};
use streamgate_contracts::ethereum::{Address, keccak256};
use streamgate_plugin_api::time::rfc3339;

use crate::caip::{self, Asset};
use crate::chain::{Chains, Watched};
use crate::epochs;
use crate::tree::{Leaf, Operand, Tree};
use crate::truth::Truth;
use crate::viewer::Viewer;

/// The registry of delegate.xyz v2, at the same address on all chains that have one.
const REGISTRY: &str = "0x00000000000000447e69651d841bd8d104bed493";
/// The position of the list's length in its answer.
const LENGTH_WORD: u32 = 1;

/// The inputs known without a chain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) now_ms: i64,
    /// Plans of the principal, and when they end.
    pub(crate) plans: BTreeMap<String, i64>,
    /// Wallets named by the principal, which may have delegated to one of theirs.
    pub(crate) vaults: Vec<String>,
}

/// The findings.
#[derive(Debug, Clone)]
pub(crate) struct Findings {
    /// One for each leaf: whether it holds, and why, for people.
    pub(crate) leaves: Vec<(Truth, String)>,
    pub(crate) evidence: Vec<Evidence>,
    /// When a leaf changes with time.
    pub(crate) until_ms: Option<i64>,
    /// Contracts whose transfers may change it.
    pub(crate) assets: BTreeSet<String>,
    /// Wallets of others that it depends on.
    pub(crate) vaults: BTreeSet<String>,
    /// It depends on something without transfer events.
    pub(crate) unwatched: bool,
}

impl Findings {
    fn truths(&self) -> Vec<Truth> {
        self.leaves.iter().map(|(truth, _)| *truth).collect()
    }
}

/// One evaluation.
pub(crate) struct Evaluation<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) viewer: &'a Viewer,
    pub(crate) facts: &'a Facts,
    pub(crate) chains: &'a Chains,
    pub(crate) epochs: &'a epochs::Epochs,
    /// Registers the wallets of others before anything is read about them.
    pub(crate) snapshot: &'a mut epochs::Snapshot,
    /// No access is granted by it: everything is evaluated, whether the verdict needs it or not, and nothing
    /// is watched.
    pub(crate) preview: bool,
}

/// A query of a leaf.
pub(crate) struct Asked {
    pub(crate) leaf: usize,
    pub(crate) role: Role,
}

/// The purpose of a query.
pub(crate) enum Role {
    /// A yes meets the leaf.
    Own,
    /// Its number is the owner of the token.
    Owner,
    /// Its number is the number of delegations to the wallet.
    Count(String),
}

impl Evaluation<'_> {
    pub(crate) async fn run(mut self) -> Findings {
        let mut found = Findings {
            leaves: Vec::new(),
            evidence: Vec::new(),
            until_ms: None,
            assets: BTreeSet::new(),
            vaults: BTreeSet::new(),
            unwatched: false,
        };
        for leaf in &self.tree.leaves {
            let (truth, text, until_ms) = self.local(leaf);
            found.leaves.push((truth, text));
            found.until_ms = found.until_ms.into_iter().chain(until_ms).min();
        }
        let decided = self.tree.root.truth(&found.truths()) != Truth::Unknown;
        if !decided || self.preview {
            self.remote(&mut found).await;
        }
        found
    }

    /// The result known without a chain, and until when.
    fn local(&self, leaf: &Leaf) -> (Truth, String, Option<i64>) {
        let (wanted, now_ms) = (leaf.wanted(), self.facts.now_ms);
        let who = |holds: bool| match holds {
            true => (Truth::Yes, format!("{wanted}: yes")),
            false if !self.viewer.is_signed_in() => (Truth::Unknown, format!("{wanted}: not signed in")),
            false => (Truth::No, format!("{wanted}: missing")),
        };
        match leaf {
            Leaf::Holds { .. } | Leaf::Call { .. } => {
                (Truth::Unknown, format!("{wanted}: it was not needed"), None)
            }
            Leaf::Listed { principals, wallets } => {
                let own = &self.viewer.wallets;
                let named = principals.contains(&self.viewer.principal);
                let (truth, text) = who(named || own.iter().any(|wallet| wallets.contains(wallet)));
                // Whether the list means the contract at a listed address is unknown.
                let mut alike = own.iter().filter_map(|wallet| caip::namesake(wallet));
                match alike.find(|name| wallets.contains(name)) {
                    Some(name) if truth == Truth::No => {
                        let text = format!("{wanted}: {name} is listed without the chain of this contract");
                        (Truth::Unknown, text, None)
                    }
                    _ => (truth, text, None),
                }
            }
            Leaf::Role(role) => {
                let (truth, text) = who(self.viewer.roles.contains(role));
                (truth, text, None)
            }
            Leaf::Window { from_ms, until_ms } => {
                let begun = from_ms.is_none_or(|from| now_ms >= from);
                let over = until_ms.is_some_and(|until| now_ms >= until);
                let text = match (begun, over) {
                    (true, false) => format!("{wanted}: it is now"),
                    (false, _) => format!("{wanted}: it has not begun"),
                    (true, true) => format!("{wanted}: it is over"),
                };
                let next = [*from_ms, *until_ms].into_iter().flatten().filter(|time| *time > now_ms).min();
                (Truth::of(begun && !over), text, next)
            }
            Leaf::Subscribed(plan) => match self.facts.plans.get(plan) {
                Some(ends) if *ends > now_ms => {
                    (Truth::Yes, format!("{wanted}: until {}", rfc3339(*ends)), Some(*ends))
                }
                Some(ends) => (Truth::No, format!("{wanted}: it ended at {}", rfc3339(*ends)), None),
                None => {
                    let (truth, text) = who(false);
                    (truth, text, None)
                }
            },
        }
    }

    async fn remote(&mut self, found: &mut Findings) {
        let mut questions: Vec<(String, About)> = Vec::new();
        let mut asked: Vec<Asked> = Vec::new();
        for (index, leaf) in self.tree.leaves.iter().enumerate() {
            if !leaf.is_of_chain() {
                continue;
            }
            let before = questions.len();
            self.questions(index, leaf, &mut questions, &mut asked);
            if questions.len() == before {
                found.leaves[index] = self.without_wallet(leaf);
            } else if let Leaf::Holds { asset, .. } = leaf {
                found.assets.extend(asset.watched());
            }
        }
        if questions.is_empty() {
            return;
        }
        let watched = match self.preview {
            true => self.chains.followed(&found.assets, self.facts.now_ms),
            false => self.chains.follow(&found.assets, self.facts.now_ms).await,
        };
        let mut least = BTreeMap::new();
        for (asset, state) in &watched {
            let Some((chain, _)) = asset.split_once('/') else { continue };
            match state {
                Watched::Above(block) => {
                    let floor = least.entry(chain.to_owned()).or_insert(0_u64);
                    *floor = (*floor).max(*block);
                }
                Watched::No => found.unwatched = true,
                Watched::Broken(_) => {}
            }
        }
        let answers = self.chains.ask(&questions, &least).await;
        self.judge(found, &watched, &asked, &answers);
        self.delegated(found, &watched, &least, &asked, &answers).await;
    }

    /// A leaf that no wallet of the viewer can be queried for.
    fn without_wallet(&self, leaf: &Leaf) -> (Truth, String) {
        let wanted = leaf.wanted();
        let nobody = !self.viewer.is_signed_in() && self.viewer.wallets.is_empty();
        match nobody {
            true => (Truth::Unknown, format!("{wanted}: not signed in")),
            false => (Truth::No, format!("{wanted}: no wallet of this kind of chain is linked")),
        }
    }

    fn questions(
        &self,
        leaf_index: usize,
        leaf: &Leaf,
        questions: &mut Vec<(String, About)>,
        asked: &mut Vec<Asked>,
    ) {
        let mut add = |chain: &str, about: About, role: Role| {
            questions.push((chain.to_owned(), about));
            asked.push(Asked { leaf: leaf_index, role });
        };
        let accounts = |chain: &str| -> Vec<String> {
            self.viewer.wallets.iter().filter_map(|wallet| caip::account_of(wallet, chain)).collect()
        };
        match leaf {
            Leaf::Holds { asset, at_least, delegated } => {
                let chain = &asset.chain;
                let accounts = accounts(chain);
                for account in &accounts {
                    add(chain, holding(account, asset, at_least), Role::Own);
                }
                if !delegated || accounts.is_empty() {
                    return;
                }
                if let Some(id) = asset.id.as_deref().filter(|_| asset.kind == "erc721") {
                    let id = caip::number(id).unwrap_or_default();
                    let data = call_data("ownerOf(uint256)", id.to_be_bytes());
                    let contract = format!("{chain}:{}", asset.reference);
                    return add(chain, word(&contract, data, 0), Role::Owner);
                }
                for account in &accounts {
                    let (registry, data) = incoming(account, chain);
                    add(chain, word(&registry, data, LENGTH_WORD), Role::Count(account.clone()));
                }
            }
            Leaf::Call { contract, data, word, comparison, operand } => {
                let chain = &contract.chain;
                let of: Vec<String> = match leaf.is_of_wallets() {
                    true => accounts(chain),
                    false => vec![contract.to_string()],
                };
                for account in of {
                    let filled = account.rsplit_once(':').and_then(|(_, address)| {
                        let data: Vec<u8> = data.bytes(address)?;
                        Some((data, operand.number(address)?))
                    });
                    let Some((data, operand)) = filled else { continue };
                    let comparison = streamgate_contracts::chain::v1::Comparison::from(*comparison).into();
                    let call = ContractCall {
                        contract: contract.to_string(),
                        data: data.into(),
                        word: *word,
                        comparison,
                        operand,
                    };
                    add(chain, About::Call(call), Role::Own);
                }
            }
            _ => {}
        }
    }

    /// The result of each leaf: yes if any answer is yes, no if all are no.
    fn judge(
        &self,
        found: &mut Findings,
        watched: &HashMap<String, Watched>,
        asked: &[Asked],
        answers: &[Answer],
    ) {
        let mut best: BTreeMap<usize, &Answer> = BTreeMap::new();
        for (asked, answer) in asked.iter().zip(answers) {
            if matches!(asked.role, Role::Own) {
                let known = best.entry(asked.leaf).or_insert(answer);
                if truth(answer) > truth(known) {
                    *known = answer;
                }
            }
        }
        for (index, answer) in best {
            let leaf = &self.tree.leaves[index];
            let state = match leaf {
                Leaf::Holds { asset, .. } => state(asset, watched),
                _ => None,
            };
            if let Some(Watched::Broken(reason)) = state {
                found.leaves[index] = (Truth::Unknown, format!("{}: {reason}", leaf.wanted()));
                continue;
            }
            let named = match leaf {
                Leaf::Call { operand: Operand::Wallet, .. } => {
                    answer.amount.as_deref().and_then(caip::number).and_then(address)
                }
                _ => None,
            };
            // An address is not a number for people.
            let reason = named.map_or(answer.reason.clone(), |named| format!("the contract says {named:#}"));
            let text = format!("{}: {reason}", leaf.wanted());
            found.evidence.extend(evidence(answer, &text));
            found.leaves[index] = (truth(answer), text);
        }
    }
}

/// Whether transfers of an asset are reported.
pub(crate) fn state<'a>(asset: &Asset, watched: &'a HashMap<String, Watched>) -> Option<&'a Watched> {
    watched.get(&asset.watched()?)
}

pub(crate) fn holding(account: &str, asset: &Asset, at_least: &str) -> About {
    About::Holding(Holding { account: account.into(), asset: asset.to_string(), at_least: at_least.into() })
}

/// Requests a word of an answer, whatever it is.
pub(crate) fn word(contract: &str, data: Vec<u8>, word: u32) -> About {
    let comparison = Comparison::AtLeast.into();
    About::Call(ContractCall {
        contract: contract.into(),
        data: data.into(),
        word,
        comparison,
        operand: "0".into(),
    })
}

/// The query for all delegations to an account: the contract, and its call data.
pub(crate) fn incoming(account: &str, chain: &str) -> (String, Vec<u8>) {
    let address = account.rsplit_once(':').and_then(|(_, text)| Address::parse(text));
    let argument = address.unwrap_or_default().word();
    (format!("{chain}:{REGISTRY}"), call_data("getIncomingDelegations(address)", argument))
}

/// A call with one argument.
pub(crate) fn call_data(signature: &str, argument: [u8; 32]) -> Vec<u8> {
    [&keccak256(signature)[..4], &argument].concat()
}

pub(crate) fn number(answer: &Answer) -> Option<U256> {
    let known = truth(answer) == Truth::Yes;
    answer.amount.as_deref().filter(|_| known).and_then(caip::number)
}

/// The address in a word, unless it is none or zero.
pub(crate) fn address(number: U256) -> Option<Address> {
    Address::of_word(&number.to_be_bytes()).filter(|_| !number.is_zero())
}

pub(crate) fn truth(answer: &Answer) -> Truth {
    match answer.verdict() {
        Verdict::Yes => Truth::Yes,
        Verdict::No => Truth::No,
        Verdict::Unknown | Verdict::Unspecified => Truth::Unknown,
    }
}

pub(crate) fn evidence(answer: &Answer, finding: &str) -> Option<Evidence> {
    let at = answer.at.as_ref()?;
    let finality = match at.finality() {
        Finality::Safe => "safe",
        Finality::Finalized => "finalized",
        Finality::Latest | Finality::Unspecified => "latest",
    };
    Some(Evidence {
        chain: at.chain.clone(),
        block: at.block,
        block_hash: at.block_hash.clone(),
        finality: finality.into(),
        observed_at_ms: at.observed_at_ms,
        finding: finding.into(),
    })
}
