//! Reads what a content registry said, and keeps it. What lies deeper than the chain is ever undone
//! is read once; the blocks above are read again whenever there is a new one, and what they say no
//! more is undone. What is told is written with what is noted, into the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use streamgate_chain_common::{RpcError, Unknown};
use streamgate_contracts::events::ChainRegistry;
use streamgate_plugin_api::Health;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, MAX_SPAN};
use crate::contents;
use crate::endpoint::{At, Endpoint};
use crate::index_store::{IndexStore, Place};
use crate::rpc::Block;
use crate::settings::Finality;
use crate::watch::WatchError;

/// What was said, by place.
pub(crate) type Said = BTreeMap<(u64, u64, String), ChainRegistry>;

/// Reads the registry of one chain.
pub(crate) struct Index {
    pub(crate) chain: Arc<Chain>,
    pub(crate) registry: Address,
    pub(crate) store: IndexStore,
    pub(crate) health: Option<Health>,
    pub(crate) poll: Duration,
    /// Whether it has come to the last block.
    pub(crate) indexed: Arc<AtomicBool>,
}

/// What one round leaves to the next.
struct Reading {
    /// How many blocks are read at once; endpoints differ in what they allow.
    span: u64,
    /// The last block that was read.
    seen: Option<B256>,
}

impl Index {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut reading = Reading { span: MAX_SPAN, seen: None };
        loop {
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(&mut reading) => round,
            };
            if round.is_ok() {
                self.indexed.store(true, Ordering::Release);
            }
            if let Some(health) = &self.health {
                match &round {
                    Ok(()) => health.healthy(),
                    Err(error) => health.unhealthy(error.to_string()),
                }
            }
            let pause = if round.is_ok() { self.poll } else { self.poll.max(Duration::from_secs(1)) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads up to the last block.
    async fn round(&self, reading: &mut Reading) -> Result<(), WatchError> {
        let head = self.chain.head(Finality::Latest, 0).await?;
        if reading.seen == Some(head.hash) {
            return Ok(());
        }
        let mut first = self.start(head.number).await?;
        loop {
            let last = first.saturating_add(reading.span - 1);
            let last = if last < head.number { self.chain.pool.block(last).await? } else { head.clone() };
            match self.said(first, &last).await {
                Ok(said) => self.note(first, &last, &head, &said).await?,
                // Most often it is too much for one answer; each operator says so in another way.
                Err(_) if reading.span > 1 => {
                    reading.span /= 2;
                    continue;
                }
                Err(unknown) => return Err(unknown.into()),
            }
            if last.number == head.number {
                reading.seen = Some(head.hash);
                return Ok(());
            }
            reading.span = (reading.span * 2).min(MAX_SPAN);
            first = last.number + 1;
        }
    }

    /// Tells what is new in the blocks from `first` to `last`, and what they say no more.
    async fn note(&self, first: u64, last: &Block, head: &Block, said: &Said) -> Result<(), WatchError> {
        // Of a chain that is shorter than it was, everything above is undone.
        let through = if last.number == head.number { u64::MAX >> 1 } else { last.number };
        let known = self.store.said(first, through).await?;
        let missing = |of: &Said, other: &Said| -> Vec<ChainRegistry> {
            of.iter().filter(|(at, _)| !other.contains_key(*at)).map(|(_, event)| event.clone()).collect()
        };
        let (gone, fresh) = (missing(&known, said), missing(said, &known));
        let settled = last.number.min(head.number.saturating_sub(self.chain.settings.reorg_depth));
        let settled = match settled >= first {
            true => Some(Place { number: settled, hash: self.chain.pool.block(settled).await?.hash }),
            false => None,
        };
        Ok(self.store.note(&gone, &fresh, settled).await?)
    }

    /// The first block that is not known for good. A chain that has gone another way below that is
    /// read anew.
    async fn start(&self, head: u64) -> Result<u64, WatchError> {
        let from = self.chain.settings.registry_from.min(head);
        let Some(place) = self.store.place().await? else { return Ok(from) };
        let ask = |endpoint: Arc<Endpoint>| async move { endpoint.block(At::Number(place.number)).await };
        let block = self.chain.pool.agree(ask).await?;
        if block.is_some_and(|block| block.hash == place.hash) {
            return Ok((place.number + 1).min(head));
        }
        tracing::error!(
            chain = %self.chain.id, block = place.number, depth = self.chain.settings.reorg_depth,
            "the chain went another way past the depth: the registry is read anew"
        );
        Ok(from)
    }

    /// What the registry said in the blocks from `first` to `last`.
    async fn said(&self, first: u64, last: &Block) -> Result<Said, Unknown> {
        let (contracts, topics) = (&[self.registry], &contents::topics());
        let ask = |endpoint: Arc<Endpoint>| async move {
            // An endpoint that lags would have fewer logs, and not say so.
            match endpoint.block(At::Number(last.number)).await? {
                Some(block) if block.hash == last.hash => {}
                _ => return Err(RpcError::Behind(format!("it does not know block {}", last.hash))),
            }
            endpoint.logs_between((first, last.number), contracts, topics).await
        };
        let logs = self.chain.pool.agree(ask).await?;
        let said = logs.iter().filter_map(|log| contents::said(self.chain.id, log));
        Ok(said.map(|event| (at(&event), event)).collect())
    }
}

/// Where something was said, in the order of the chain.
pub(crate) fn at(event: &ChainRegistry) -> (u64, u64, String) {
    (event.block, event.log_index, event.block_hash.clone())
}
