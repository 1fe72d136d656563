//! Calls of the `chain` and `chain-solana` capabilities: queries, and watches of transfers. A failed query is
//! unknown; this never guesses.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, BatchRequest, Finality, Question, Verdict, WatchRequest};
use streamgate_contracts::events::{ChainReorganised, ChainTransfer};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::time::millis;
use tonic::Code;

/// Maximum queries of one call.
const IN_ONE: usize = 256;
/// Watches that are renewed concurrently.
const RENEWED_AT_ONCE: usize = 16;
/// Maximum contracts that are watched at once.
const MAX_FOLLOWED: usize = 4_096;
/// Number of undone blocks that are remembered.
const MAX_GONE: usize = 1_024;
/// Chains whose last reported block is remembered.
const MAX_CHAINS: usize = 256;

/// The capabilities, and their reports.
pub(crate) struct Chains {
    evm: ChainClient<Client>,
    solana: ChainClient<Client>,
    timeout: Duration,
    watch_for: Duration,
    followed: Mutex<HashMap<String, Followed>>,
    reported: Mutex<Reported>,
}

/// A watched contract.
#[derive(Debug, Clone, Copy)]
struct Followed {
    until_ms: i64,
    asked_ms: i64,
    /// Transfers in blocks above this one are reported.
    above: u64,
}

#[derive(Default)]
struct Reported {
    /// By chain: the last block with a reported transfer, and whether that chain is read up to there.
    floors: HashMap<String, Floor>,
    /// Hashes of blocks that are no longer part of their chain.
    gone: VecDeque<String>,
}

#[derive(Default, Clone, Copy)]
struct Floor {
    block: u64,
    /// Whether the chain is read at older blocks than its last one; `None` before the first answer.
    settled: Option<bool>,
}

/// What a reorganisation undid.
#[derive(Debug)]
pub(crate) enum Undone {
    Transfer(ChainTransfer),
    /// Everything above a block, even without earlier reports.
    Above(ChainReorganised),
}

/// Whether transfers of something are reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Those in blocks above this one.
    Above(u64),
    /// No reports; it has to be checked again soon.
    No,
    /// The chain was reorganised too deeply: nothing about it is known.
    Broken(String),
}

fn unknown(reason: impl Into<String>) -> Answer {
    Answer { verdict: Verdict::Unknown.into(), reason: reason.into(), amount: None, at: None }
}

impl Chains {
    pub(crate) fn new(evm: Client, solana: Client, timeout: Duration, watch_for: Duration) -> Self {
        let [evm, solana] = [evm, solana].map(|client| {
            ChainClient::new(client)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        });
        Self { evm, solana, timeout, watch_for, followed: Mutex::default(), reported: Mutex::default() }
    }

    /// The chain plugins, by the name of their capability.
    pub(crate) fn providers(&self) -> [(&'static str, ChainClient<Client>); 2] {
        [("chain", self.evm.clone()), ("chain-solana", self.solana.clone())]
    }

    /// The capability for a chain, by its CAIP-2 namespace.
    pub(crate) fn provider(chain: &str) -> &'static str {
        if chain.starts_with("solana:") { "chain-solana" } else { "chain" }
    }

    /// How long an answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The plugin for a chain, or an asset on it, by its CAIP-2 namespace.
    pub(crate) fn client(&self, chain: &str) -> ChainClient<Client> {
        if chain.starts_with("solana:") { self.solana.clone() } else { self.evm.clone() }
    }

    /// One answer for each query, in order. Each chain is called separately, so that an unavailable one does
    /// not affect the others.
    pub(crate) async fn ask(
        &self,
        questions: &[(String, About)],
        least: &BTreeMap<String, u64>,
    ) -> Vec<Answer> {
        let mut by_chain: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (chain, _)) in questions.iter().enumerate() {
            by_chain.entry(chain).or_default().push(index);
        }
        let asked = by_chain.into_iter().flat_map(|(chain, indexes)| {
            let min_block = least.get(chain).copied().unwrap_or(0);
            let parts: Vec<Vec<usize>> = indexes.chunks(IN_ONE).map(<[usize]>::to_vec).collect();
            parts.into_iter().map(move |part| async move {
                let about: Vec<&About> = part.iter().map(|index| &questions[*index].1).collect();
                let answers = self.part(chain, &about, min_block).await;
                (part, answers)
            })
        });
        let mut answers = vec![unknown("no chain was queried"); questions.len()];
        for (part, some) in join_all(asked).await {
            for (index, answer) in part.into_iter().zip(some) {
                answers[index] = answer;
            }
        }
        answers
    }

    /// Answers from blocks that are not older than `least` and than reported ones, unless the chain is read
    /// at settled blocks only.
    async fn part(&self, chain: &str, about: &[&About], least: u64) -> Vec<Answer> {
        let questions = |min_block: u64| -> Vec<Question> {
            let finality = Finality::Unspecified.into();
            about
                .iter()
                .map(|about| Question { about: Some((*about).clone()), finality, min_block })
                .collect()
        };
        let floor = self.floor(chain);
        let min_block = floor.block.max(least);
        match floor.settled {
            Some(true) => return self.batch(chain, questions(0)).await,
            Some(false) => return self.batch(chain, questions(min_block)).await,
            None => {}
        }
        // The first answer states how the chain is read.
        let answers = self.batch(chain, questions(0)).await;
        let old = answers.iter().any(|answer| answer.at.as_ref().is_some_and(|at| at.block < min_block));
        match self.floor(chain).settled {
            Some(false) if old => self.batch(chain, questions(min_block)).await,
            _ => answers,
        }
    }

    async fn batch(&self, chain: &str, questions: Vec<Question>) -> Vec<Answer> {
        let count = questions.len();
        let least = questions.first().map_or(0, |question| question.min_block);
        let all = |reason: String| vec![unknown(reason); count];
        let mut client = self.client(chain);
        let call = client.batch(BatchRequest { questions });
        let answers = match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => response.into_inner().answers,
            Ok(Err(status)) => {
                return all(format!("{chain} cannot be queried: {}", status.message()));
            }
            Err(_) => return all(format!("{chain} did not answer within {:?}", self.timeout)),
        };
        if answers.len() != count {
            return all(format!("{chain} gave {} answers to {count} questions", answers.len()));
        }
        let mut reported = self.reported.lock();
        let checked = answers.into_iter().map(|answer| match &answer.at {
            Some(at) if reported.gone.contains(&at.block_hash) => {
                unknown(format!("block {} of {chain} was undone", at.block))
            }
            Some(at) if at.block < least => {
                unknown(format!("{chain} answered from block {}, and block {least} is known", at.block))
            }
            // A yes or no without a block is unsupported.
            None if answer.verdict() != Verdict::Unknown => unknown(format!("{chain} named no block")),
            _ => answer,
        });
        let checked: Vec<Answer> = checked.collect();
        if let Some(at) = checked.iter().find_map(|answer| answer.at.as_ref())
            && (reported.floors.len() < MAX_CHAINS || reported.floors.contains_key(chain))
        {
            let settled = at.finality() != Finality::Latest;
            reported.floors.entry(chain.to_owned()).or_default().settled = Some(settled);
        }
        checked
    }

    /// Answers from blocks below this one do not count: it had a reported transfer.
    fn floor(&self, chain: &str) -> Floor {
        self.reported.lock().floors.get(chain).copied().unwrap_or_default()
    }

    /// Records the height of a chain, or an undone block.
    pub(crate) fn on_transfer(&self, transfer: &ChainTransfer) {
        let mut reported = self.reported.lock();
        if transfer.removed {
            if !reported.gone.contains(&transfer.block_hash) {
                reported.gone.push_back(transfer.block_hash.clone());
            }
            if reported.gone.len() > MAX_GONE {
                reported.gone.pop_front();
            }
        } else {
            // The same transaction may be included in the same block again.
            reported.gone.retain(|hash| *hash != transfer.block_hash);
        }
        if reported.floors.len() >= MAX_CHAINS && !reported.floors.contains_key(&transfer.chain) {
            return;
        }
        let floor = reported.floors.entry(transfer.chain.clone()).or_default();
        floor.block = match transfer.removed {
            true => floor.block.min(transfer.block.saturating_sub(1)),
            false => floor.block.max(transfer.block),
        };
    }

    /// A chain was reorganised: reports above this block are no lower bound any more, because the chain may
    /// be shorter for a while.
    pub(crate) fn reorganised(&self, reorganised: &ChainReorganised) {
        if let Some(floor) = self.reported.lock().floors.get_mut(&reorganised.chain) {
            floor.block = floor.block.min(reorganised.block);
        }
        let of_chain =
            |asset: &str| asset.split_once('/').is_some_and(|(chain, _)| chain == reorganised.chain);
        for (_, known) in self.followed.lock().iter_mut().filter(|(asset, _)| of_chain(asset)) {
            known.above = known.above.min(reorganised.block);
        }
    }

    /// Watches transfers of these contracts, before anything is read about them.
    pub(crate) async fn follow(&self, assets: &BTreeSet<String>, now_ms: i64) -> HashMap<String, Watched> {
        let mut states = HashMap::new();
        let mut missing = Vec::new();
        {
            let mut followed = self.followed.lock();
            for asset in assets {
                match followed.get_mut(asset).filter(|known| known.until_ms > now_ms) {
                    Some(known) => {
                        known.asked_ms = now_ms;
                        states.insert(asset.clone(), Watched::Above(known.above));
                    }
                    None => missing.push(asset.clone()),
                }
            }
        }
        let asked = join_all(missing.iter().map(|asset| self.watch(asset, now_ms, now_ms))).await;
        states.extend(missing.into_iter().zip(asked));
        states
    }

    /// The same for watched ones; others are left out.
    pub(crate) fn followed(&self, assets: &BTreeSet<String>, now_ms: i64) -> HashMap<String, Watched> {
        let followed = self.followed.lock();
        let known = assets.iter().filter_map(|asset| Some((asset, followed.get(asset)?)));
        let good = known.filter(|(_, known)| known.until_ms > now_ms);
        good.map(|(asset, known)| (asset.clone(), Watched::Above(known.above))).collect()
    }

    async fn watch(&self, asset: &str, asked_ms: i64, now_ms: i64) -> Watched {
        // It is longer than the recorded time, so that nothing is lost in between.
        let watch_ms = u32::try_from((self.watch_for + self.timeout).as_millis()).unwrap_or(u32::MAX);
        let mut client = self.client(asset);
        let call =
            client.watch(WatchRequest { assets: vec![asset.to_owned()], lease_ms: watch_ms.min(86_400_000) });
        let above = match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => response.into_inner().from.first().map_or(0, |at| at.block),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                self.followed.lock().remove(asset);
                return Watched::Broken(status.message().to_owned());
            }
            Ok(Err(status)) => {
                tracing::debug!(asset, %status, "transfers are not reported");
                return Watched::No;
            }
            Err(_) => return Watched::No,
        };
        let mut followed = self.followed.lock();
        let known = followed.get(asset).filter(|known| known.until_ms > now_ms);
        let known = known.map(|known| (known.above, known.asked_ms));
        let (above, asked_ms) = match known {
            Some((earlier, asked)) => (earlier, asked.max(asked_ms)),
            None => (above, asked_ms),
        };
        if known.is_none() && followed.len() >= MAX_FOLLOWED {
            return Watched::No;
        }
        followed.insert(
            asset.to_owned(),
            Followed { until_ms: now_ms + millis(self.watch_for), asked_ms, above },
        );
        Watched::Above(above)
    }

    /// Renews recently used watches, and returns the contracts that are no longer watched.
    pub(crate) async fn renew(&self, now_ms: i64, needed_since_ms: i64) -> Vec<(String, Watched)> {
        let due: Vec<(String, i64)> = {
            let mut followed = self.followed.lock();
            followed.retain(|_, known| known.asked_ms >= needed_since_ms);
            followed.iter().map(|(asset, known)| (asset.clone(), known.asked_ms)).collect()
        };
        let mut renewed = Vec::with_capacity(due.len());
        for some in due.chunks(RENEWED_AT_ONCE) {
            let asked = some.iter().map(|(asset, asked_ms)| self.watch(asset, *asked_ms, now_ms));
            renewed.extend(join_all(asked).await);
        }
        let lost = due.into_iter().zip(renewed).filter(|(_, state)| !matches!(state, Watched::Above(_)));
        lost.map(|((asset, _), state)| (asset, state)).collect()
    }
}
