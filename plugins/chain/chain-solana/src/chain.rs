//! One cluster: the block that answers are at least as new as, the reads, and their results.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use streamgate_chain_common::{AskedChain, Malformed, Pool, Unknown, unread};
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::{Answer, Question};
use streamgate_plugin_api::time::now_ms;

use crate::address::Address;
use crate::caip::ChainId;
use crate::endpoint::{Block, Endpoint, Holding, Reading, Since};
use crate::query::{Judged, Query};
use crate::settings::{self, Finality, Settings};

/// Concurrent readings of one batch.
const AT_ONCE: usize = 8;
/// Approximate size of one cached answer.
const ENTRY_BYTES: u64 = 256;

/// The minimum block of the read, and the read itself.
type Key = (Address, Finality, Holding);

/// A cluster with its endpoints.
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    pub(crate) settings: settings::Chain,
    pub(crate) pool: Pool<Endpoint>,
    head_ttl: Duration,
    /// The highest agreed slots: confirmed, finalized.
    highest: [AtomicU64; 2],
    /// The last agreed block, for each finality. Callers wait for a request in progress.
    heads: [tokio::sync::Mutex<Option<(Instant, Block)>>; 2],
    last: Mutex<Option<wire::Observation>>,
    cache: Cache<Key, Reading>,
}

impl Chain {
    /// A cluster with at least one endpoint.
    ///
    /// # Errors
    /// The problem of its genesis or an endpoint.
    pub(crate) fn new(settings: &Settings, chain: &settings::Chain) -> Result<Self, String> {
        let id =
            ChainId::of_genesis::<Address>(&chain.genesis).ok_or("its genesis is not a hash in base58")?;
        let endpoints = chain.endpoints.iter().map(|url| Endpoint::new(url, settings, chain));
        Ok(Self {
            id,
            settings: chain.clone(),
            pool: Pool::new(endpoints.collect::<Result<_, _>>()?, chain.quorum, &settings.limits()),
            head_ttl: settings.head_ttl.get(),
            highest: Default::default(),
            heads: Default::default(),
            last: Mutex::default(),
            cache: Cache::new((settings.cache.get() / ENTRY_BYTES) as usize),
        })
    }

    /// The last agreed block, from a moment ago at most.
    pub(crate) async fn head(&self, finality: Finality, least: u64) -> Result<Block, Unknown> {
        let mut known = self.heads[finality as usize].lock().await;
        if let Some((when, block)) = &*known
            && when.elapsed() < self.head_ttl
            && block.slot >= least
        {
            return Ok(block.clone());
        }
        let highest = &self.highest[finality as usize];
        let max_lag = self.settings.max_lag;
        let floor = highest.load(Ordering::Relaxed).saturating_sub(max_lag).max(least);
        let ask = |endpoint: std::sync::Arc<Endpoint>| async move { endpoint.slot(finality, floor).await };
        let slots = self.pool.heads(max_lag, |slot| *slot, ask).await?;
        let lowest = slots.into_iter().min().ok_or_else(|| Unknown("no endpoint has a slot".into()))?;
        let block = self.pool.agree(|endpoint| async move { endpoint.block(lowest, finality).await }).await?;
        highest.fetch_max(block.slot, Ordering::Relaxed);
        *known = Some((Instant::now(), block.clone()));
        *self.last.lock() = Some(self.observation(&block, finality));
        Ok(block)
    }

    pub(crate) fn observation(&self, block: &Block, finality: Finality) -> wire::Observation {
        let finality = match finality {
            Finality::Confirmed => wire::Finality::Safe,
            Finality::Finalized => wire::Finality::Finalized,
        };
        wire::Observation {
            chain: self.id.to_string(),
            block: block.slot,
            block_hash: block.hash.to_string(),
            finality: finality.into(),
            block_time_ms: block.time.unwrap_or(0).saturating_mul(1000),
            observed_at_ms: now_ms(),
            agreed: self.pool.quorum() as u32,
        }
    }

    /// One reading; concurrent callers wait for the first.
    async fn read(&self, block: &Block, finality: Finality, holding: Holding) -> Result<Reading, Unknown> {
        let since = Since { slot: block.slot, finality };
        let fresh = self.pool.agree(|endpoint| async move { endpoint.read(since, &holding).await });
        self.cache.get_or_insert_async(&(block.hash, finality, holding), fresh).await
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
        let least = queries.iter().map(|query| query.min_slot).max().unwrap_or(0);
        let block = match self.head(finality, least).await {
            Ok(block) => block,
            Err(unknown) => {
                let answer = unread(format!("{} cannot be read: {unknown}", self.id));
                return vec![answer; queries.len()];
            }
        };
        let reads: Vec<_> = queries.iter().map(|query| self.read(&block, finality, query.holding)).collect();
        let read: Vec<_> = futures_util::stream::iter(reads).buffered(AT_ONCE).collect().await;
        let at = self.observation(&block, finality);
        let judged = queries.iter().zip(read).map(|(query, reading)| match reading {
            Ok(reading) => query.judge(&reading),
            Err(unknown) => Judged::unknown(format!("{} cannot be read: {unknown}", self.id)),
        });
        judged.map(|judged| judged.answer(Some(at.clone()))).collect()
    }
}
