//! One chain: which block is read, the reads, and their results.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use streamgate_chain_common::{AskedChain, Malformed, unread};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::{Answer, Question};
use streamgate_plugin_api::time::now_ms;

use crate::caip::{Account, ChainId};
use crate::endpoint::{Outcome, Read};
use crate::erc;
use crate::interfaces::Interfaces;
use crate::pool::{Pool, Unknown};
use crate::prepared;
use crate::query::{Judged, Query};
use crate::revert::reverted;
use crate::rpc::{Block, FeeHistory, RpcError};
use crate::settings::{self, Finality, Settings};

/// Concurrent reads of one batch.
const AT_ONCE: usize = 8;
/// Calls that are combined into one.
const IN_ONE: usize = 64;
/// Maximum past blocks that are read at once.
pub(crate) const MAX_SPAN: u64 = 1024;

/// Contracts whose metadata is cached, and for how long: a proxy may change it.
const SAID: usize = 4096;
pub(crate) const SAID_FOR: Duration = Duration::from_secs(300);

type Key = (B256, Read);

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Outcome> for ByBytes {
    fn weight(&self, (_, read): &Key, outcome: &Outcome) -> u64 {
        let asked = match read {
            Read::Call { data, .. } | Read::Run(data) => data.len(),
            Read::Balance(_) | Read::Code(_) => 0,
        };
        let read = match outcome {
            Outcome::Returned(data, _) | Outcome::Reverted(data) => data.len(),
        };
        (size_of::<(Key, Outcome)>() + asked + read) as u64
    }
}

/// A chain with its endpoints.
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    pub(crate) settings: settings::Chain,
    pub(crate) pool: Pool,
    head_ttl: Duration,
    /// The last agreed block, for each finality. Callers wait for a request in progress.
    heads: [tokio::sync::Mutex<Option<(Instant, Block)>>; 3],
    last: Mutex<Option<wire::Observation>>,
    cache: Cache<Key, Outcome, ByBytes>,
    /// The declared kinds of contracts.
    pub(crate) said: Cache<Address, (Instant, Interfaces)>,
    /// How many past blocks are read at once; endpoints differ in what they allow.
    pub(crate) span: AtomicU64,
    /// Why transfers are no longer reported.
    stopped: Mutex<Option<String>>,
}

impl Chain {
    /// A chain with at least one endpoint.
    ///
    /// The problem of an endpoint.
    /// What is wrong with an endpoint.
    pub(crate) fn new(settings: &Settings, chain: &settings::Chain) -> Result<Self, String> {
        let memory = settings.cache.get();
        Ok(Self {
            id: ChainId(chain.id),
            settings: chain.clone(),
            pool: Pool::new(settings, chain)?,
            head_ttl: settings.head_ttl.get(),
            heads: Default::default(),
            last: Mutex::default(),
            cache: Cache::with_weighter((memory / 512) as usize, memory, ByBytes),
            said: Cache::new(SAID),
            span: AtomicU64::new(MAX_SPAN),
            stopped: Mutex::default(),
        })
    }

    /// The last agreed block, from a moment ago at most.
    pub(crate) async fn head(&self, finality: Finality, least: u64) -> Result<Block, Unknown> {
        let mut known = self.heads[finality as usize].lock().await;
        if let Some((when, block)) = &*known
            && when.elapsed() < self.head_ttl
            && block.number >= least
        {
            return Ok(block.clone());
        }
        let block = self.pool.head(finality, least).await?;
        *known = Some((Instant::now(), block.clone()));
        if finality == Finality::Latest {
            *self.last.lock() = Some(self.observation(&block, finality));
        }
        Ok(block)
    }

    /// Drops the cached last block: the chain was reorganised.
    pub(crate) async fn forget_heads(&self) {
        for head in &self.heads {
            *head.lock().await = None;
        }
    }

    /// Transfers are no longer reported; `reason` is why.
    pub(crate) fn stop_watching(&self, reason: String) {
        *self.stopped.lock() = Some(reason);
    }

    /// Why transfers are no longer reported; `None` while they are.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.lock().clone()
    }

    pub(crate) fn observation(&self, block: &Block, finality: Finality) -> wire::Observation {
        let finality = match finality {
            Finality::Latest => wire::Finality::Latest,
            Finality::Safe => wire::Finality::Safe,
            Finality::Finalized => wire::Finality::Finalized,
        };
        wire::Observation {
            chain: self.id.to_string(),
            block: block.number,
            block_hash: block.hash.to_string(),
            finality: finality.into(),
            block_time_ms: i64::try_from(block.timestamp).unwrap_or(i64::MAX).saturating_mul(1000),
            observed_at_ms: now_ms(),
            agreed: self.pool.quorum() as u32,
        }
    }

    /// Reads at a block what the queries need: several as one call where the chain supports it. Only standard
    /// queries about one and the same contract become one call. A call may affect the next one in it: a
    /// contract whose balance is queried could move tokens of another collection first, and a comparison may
    /// call any function of a contract.
    async fn read(&self, block: &Block, queries: &[Query]) -> Vec<Result<Outcome, Unknown>> {
        let reads: Vec<Read> = queries.iter().map(Query::read).collect();
        let mut together: BTreeMap<Address, Vec<&Read>> = BTreeMap::new();
        for (query, read) in queries.iter().zip(&reads) {
            if let Some(contract) = query.standard()
                && self.cache.get(&(block.hash, read.clone())).is_none()
            {
                together.entry(contract).or_default().push(read);
            }
        }
        together.retain(|_, some| some.len() > 1);
        if !together.is_empty() && self.has_multicall(block).await {
            let chunks = together.values().flat_map(|some| some.chunks(IN_ONE));
            let calls: Vec<_> = chunks.map(|some| self.read_as_one(block, some)).collect();
            futures_util::stream::iter(calls).buffer_unordered(AT_ONCE).collect::<()>().await;
        }
        let each: Vec<_> = reads.iter().map(|read| self.read_one(block, read)).collect();
        futures_util::stream::iter(each).buffered(AT_ONCE).collect().await
    }

    /// The result of an outcome, once the contract is known to be of the queried kind.
    async fn judge(&self, block: &Block, query: &Query, outcome: &Outcome) -> Result<Judged, Unknown> {
        let (Some(token), false) = (query.token(), matches!(outcome, Outcome::Returned(_, 0))) else {
            return Ok(query.judge(outcome));
        };
        let Some(contract) = token.contract() else { return Ok(query.judge(outcome)) };
        let said = self.interfaces(block, contract).await?;
        if let Some(other) = said.instead_of(token) {
            return Ok(Judged::unknown(format!(
                "the contract declares itself as {other}, which is not the queried kind"
            )));
        }
        if let (Outcome::Reverted(_), Some((again, id))) = (outcome, query.if_refused()) {
            let answers = said.erc721
                || match self.read_one(block, &again).await? {
                    Outcome::Returned(data, length) => erc::number(&data, length).is_some(),
                    Outcome::Reverted(_) => false,
                };
            if answers {
                return Ok(Judged::decided(false, Some(U256::ZERO), format!("there is no token {id}")));
            }
        }
        Ok(query.judge(outcome))
    }

    /// One reading; concurrent callers wait for the first.
    pub(crate) async fn read_one(&self, block: &Block, read: &Read) -> Result<Outcome, Unknown> {
        let fresh = self.pool.agree(|endpoint| async move { endpoint.read(block, read).await });
        self.cache.get_or_insert_async(&(block.hash, read.clone()), fresh).await
    }

    async fn has_multicall(&self, block: &Block) -> bool {
        let code = self.read_one(block, &Read::Code(erc::MULTICALL)).await;
        matches!(code, Ok(Outcome::Returned(_, length)) if length > 0)
    }

    /// Stores the successful results of combined calls. The others are repeated individually, because one may
    /// have used up the gas of others.
    async fn read_as_one(&self, block: &Block, reads: &[&Read]) {
        let calls: Vec<_> = reads
            .iter()
            .filter_map(|read| match read {
                Read::Call { to, data } => Some((*to, data.clone())),
                Read::Run(_) | Read::Balance(_) | Read::Code(_) => None,
            })
            .collect();
        let data = erc::aggregate(calls);
        let (data, count) = (&data, reads.len());
        let agreed = self.pool.agree(|endpoint| async move {
            let answer = endpoint.call_many(block, erc::MULTICALL, data, count as u64).await?;
            erc::aggregated(&answer, count)
                .ok_or_else(|| RpcError::Malformed("no answer of Multicall3".into()))
        });
        let Ok(answers) = agreed.await else { return };
        for (read, answer) in reads.iter().zip(answers) {
            if let Some(data) = answer.filter(|data| !data.is_empty() && data.len() <= 1024) {
                let length = data.len();
                self.cache.insert((block.hash, (*read).clone()), Outcome::Returned(data, length));
            }
        }
    }

    /// Whether a contract wallet accepts the signature. EIP-6492 defines the order: a wrapped one is
    /// unwrapped, an account with code is called, and one without, or one that rejects a wrapped signature,
    /// is prepared in a simulation and then called.
    pub(crate) async fn is_valid_signature(
        &self,
        account: &Account,
        digest: B256,
        signature: Bytes,
    ) -> wire::SignatureResponse {
        let response = |judged: Judged, at: Option<wire::Observation>, contract| wire::SignatureResponse {
            answer: Some(judged.answer(at)),
            contract,
        };
        let fail = |text: String| response(Judged::unknown(text), None, false);
        let block = match self.head(Finality::Latest, 0).await {
            Ok(block) => block,
            Err(unknown) => return fail(format!("{} cannot be read: {unknown}", self.id)),
        };
        let at = Some(self.observation(&block, Finality::Latest));
        let wrapped = erc::unwrap_6492(&signature);
        if erc::is_6492(&signature) && wrapped.is_none() {
            return response(Judged::decided(false, None, "its EIP-6492 form is invalid"), at, true);
        }
        let has_code = match self.read_one(&block, &Read::Code(account.address)).await {
            Ok(Outcome::Returned(_, length)) => length > 0,
            Ok(Outcome::Reverted(_)) => return fail("an endpoint cannot read code".into()),
            Err(unknown) => return fail(format!("{} cannot be read: {unknown}", self.id)),
        };
        if !has_code && wrapped.is_none() {
            let judged = Judged::unknown("the account has no code: the key is recovered from the signature");
            return response(judged, at, false);
        }
        let inner = wrapped.as_ref().map_or_else(|| signature.clone(), |(_, _, inner)| inner.clone());
        let question = erc::is_valid_signature(digest, inner);
        if has_code {
            let read = Read::Call { to: account.address, data: question.clone() };
            let outcome = match self.read_one(&block, &read).await {
                Ok(outcome) => outcome,
                Err(unknown) => return fail(format!("the wallet cannot be called: {unknown}")),
            };
            if wrapped.is_none() || says_yes(&outcome) {
                return response(judge_signature(&outcome), at, true);
            }
        }
        // It does not exist yet, or is not up to date.
        let Some((factory, prepare, _)) = wrapped else { return fail("nothing prepares the wallet".into()) };
        let judged = self.prepared(&block, (factory, prepare), (account.address, question)).await;
        response(judged, at, true)
    }

    /// A wallet's answer about a signature after it was prepared.
    async fn prepared(&self, block: &Block, first: (Address, Bytes), second: (Address, Bytes)) -> Judged {
        let code = &prepared::code(&first, &second);
        let agreed = self.pool.agree(|endpoint| async move {
            match endpoint.run(block, code).await {
                Ok(answer) => prepared::said(&answer)
                    .ok_or_else(|| RpcError::Malformed("no answer of a simulated wallet".into())),
                // It used up all of its gas.
                Err(error) => reverted(&error).map(|_| Outcome::Reverted(Bytes::new())).ok_or(error),
            }
        });
        match agreed.await {
            Ok(outcome) => judge_signature(&outcome),
            Err(unknown) => Judged::unknown(format!("the wallet cannot be simulated: {unknown}")),
        }
    }

    /// The cost of a transaction, from one endpoint.
    pub(crate) async fn fees(&self, blocks: u32) -> Result<wire::FeesResponse, Unknown> {
        let price: U256 = self
            .pool
            .first(|endpoint| async move { endpoint.call("eth_gasPrice", serde_json::json!([])).await })
            .await?;
        let params = serde_json::json!([format!("{blocks:#x}"), "latest", [10, 50, 90]]);
        let params = &params;
        let history: FeeHistory = self
            .pool
            .first(|endpoint| async move { endpoint.call("eth_feeHistory", params.clone()).await })
            .await?;
        Ok(fees(price, &history))
    }
}

impl AskedChain for Chain {
    type Id = ChainId;
    type Finality = Finality;
    type Query = Query;

    fn query(question: Question) -> Result<Query, Malformed> {
        Query::new(question)
    }

    fn id(query: &Query) -> ChainId {
        query.chain
    }

    fn finality(&self, query: &Query) -> Finality {
        query.finality.unwrap_or(self.settings.finality)
    }

    fn state(&self) -> wire::ChainState {
        self.pool.state(self.id, &self.settings.name, self.last.lock().clone())
    }

    async fn answer(&self, finality: Finality, queries: &[Query]) -> Vec<Answer> {
        let least = queries.iter().map(|query| query.min_block).max().unwrap_or(0);
        let block = match self.head(finality, least).await {
            Ok(block) => block,
            Err(unknown) => {
                let answer = unread(format!("{} cannot be read: {unknown}", self.id));
                return vec![answer; queries.len()];
            }
        };
        let outcomes = self.read(&block, queries).await;
        let at = self.observation(&block, finality);
        let each: Vec<_> = queries
            .iter()
            .zip(outcomes)
            .map(|(query, outcome)| async {
                let judged = match outcome {
                    Ok(outcome) => self.judge(&block, query, &outcome).await,
                    Err(unknown) => Err(unknown),
                };
                let judged = judged.unwrap_or_else(|unknown| {
                    Judged::unknown(format!("{} cannot be read: {unknown}", self.id))
                });
                judged.answer(Some(at.clone()))
            })
            .collect();
        futures_util::stream::iter(each).buffered(AT_ONCE).collect().await
    }
}

fn fees(price: U256, history: &FeeHistory) -> wire::FeesResponse {
    let rewards = history.reward.as_deref().unwrap_or_default();
    let median = |column: usize| {
        let mut all: Vec<U256> = rewards.iter().filter_map(|row| row.get(column).copied()).collect();
        all.sort_unstable();
        all.get(all.len() / 2).map(ToString::to_string).unwrap_or_default()
    };
    let rows = history.base_fee_per_gas.iter().zip(&history.gas_used_ratio).zip(history.oldest_block..);
    wire::FeesResponse {
        gas_price: price.to_string(),
        // One more than there are blocks: that of the next.
        next_base_fee: history.base_fee_per_gas.last().map(ToString::to_string).unwrap_or_default(),
        slow: median(0),
        normal: median(1),
        fast: median(2),
        history: rows
            .map(|((base_fee, ratio), block)| wire::BlockFees {
                block,
                base_fee: base_fee.to_string(),
                gas_used_ratio: *ratio,
            })
            .collect(),
    }
}

fn says_yes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Returned(data, 32) if erc::is_magic(data))
}

fn judge_signature(outcome: &Outcome) -> Judged {
    match says_yes(outcome) {
        true => Judged::decided(true, None, "the wallet accepts the signature"),
        false => Judged::decided(false, None, "the wallet rejects the signature"),
    }
}
