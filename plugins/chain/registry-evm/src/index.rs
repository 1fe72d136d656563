//! Reads and stores the events of a content registry. Blocks too deep to be undone are read once; the blocks
//! above are read again whenever there is a new one, and events that are gone are undone. Published events
//! are written with the stored ones, into the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use streamgate_contracts::db::DbError;
use streamgate_contracts::events::ChainRegistry;
use streamgate_plugin_api::Health;
use tokio_util::sync::CancellationToken;

use crate::chain::{Block, Chain, Head, Unknown};
use crate::contents;
use crate::index_store::{IndexStore, Place};

/// Maximum past blocks that are read at once.
const MAX_SPAN: u64 = 1024;

/// The events, by place.
pub(crate) type Said = BTreeMap<(u64, u64, String), ChainRegistry>;

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum IndexError {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Reads the registry of one chain.
pub(crate) struct Index {
    pub(crate) chain: Chain,
    pub(crate) registry: Address,
    /// The block of its deployment.
    pub(crate) from: u64,
    pub(crate) store: IndexStore,
    pub(crate) health: Option<Health>,
    pub(crate) poll: Duration,
    /// Whether it has reached the last block.
    pub(crate) indexed: Arc<AtomicBool>,
}

/// State between rounds.
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
    async fn round(&self, reading: &mut Reading) -> Result<(), IndexError> {
        let head = self.chain.head().await?;
        if reading.seen == Some(head.block.hash) {
            return Ok(());
        }
        let mut first = self.start(&head).await?;
        loop {
            let last = first.saturating_add(reading.span - 1);
            let last = if last < head.block.number { self.chain.block(last).await? } else { head.block };
            match self.said(first, last).await {
                Ok(said) => self.note(first, last, &head, &said).await?,
                // Usually the answer is too large; each operator words it differently.
                Err(_) if reading.span > 1 => {
                    reading.span /= 2;
                    continue;
                }
                Err(unknown) => return Err(unknown.into()),
            }
            if last.number == head.block.number {
                reading.seen = Some(head.block.hash);
                return Ok(());
            }
            reading.span = (reading.span * 2).min(MAX_SPAN);
            first = last.number + 1;
        }
    }

    /// Publishes what is new in the blocks from `first` to `last`, and what is gone.
    async fn note(&self, first: u64, last: Block, head: &Head, said: &Said) -> Result<(), IndexError> {
        // If the chain is shorter than before, everything above is undone.
        let through = if last.number == head.block.number { u64::MAX >> 1 } else { last.number };
        let known = self.store.said(first, through).await?;
        let missing = |of: &Said, other: &Said| -> Vec<ChainRegistry> {
            of.iter().filter(|(at, _)| !other.contains_key(*at)).map(|(_, event)| event.clone()).collect()
        };
        let (gone, fresh) = (missing(&known, said), missing(said, &known));
        let settled = last.number.min(head.block.number.saturating_sub(head.reorg_depth));
        let settled = match settled >= first {
            true => Some(Place { number: settled, hash: self.chain.block(settled).await?.hash }),
            false => None,
        };
        Ok(self.store.note(&gone, &fresh, settled).await?)
    }

    /// The first block that is not final. A chain that was reorganised below that is read from the start.
    async fn start(&self, head: &Head) -> Result<u64, IndexError> {
        let last = head.block.number;
        let from = self.from.min(last);
        let Some(place) = self.store.place().await? else { return Ok(from) };
        if self.chain.hash_of(place.number, false).await? == Some(place.hash) {
            return Ok((place.number + 1).min(last));
        }
        tracing::error!(
            chain = %self.chain.id, block = place.number, depth = head.reorg_depth,
            "the chain was reorganised beyond the depth: the registry is read from the start"
        );
        Ok(from)
    }

    /// The registry's events in the blocks from `first` to `last`.
    async fn said(&self, first: u64, last: Block) -> Result<Said, Unknown> {
        let logs = self.chain.logs(self.registry, &contents::topics(), first, last).await?;
        let said = logs.iter().filter_map(|log| contents::said(self.chain.id, log));
        Ok(said.map(|event| (at(&event), event)).collect())
    }
}

/// The place of an event, in the order of the chain.
pub(crate) fn at(event: &ChainRegistry) -> (u64, u64, String) {
    (event.block, event.log_index, event.block_hash.clone())
}
