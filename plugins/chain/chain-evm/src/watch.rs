//! Follows a chain block by block, by hash and parent, and publishes every transfer of a watched token. When
//! the chain was reorganised, it walks back to the common block, publishes what is undone and which block
//! that is, and continues from there. Events are written with their block, into the outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use streamgate_chain_common::AskedChain as _;
use streamgate_contracts::db::DbError;
use streamgate_contracts::events::{ChainReorganised, ChainTransfer};
use streamgate_plugin_api::Health;
use streamgate_plugin_api::time::now_ms;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::caip::{Account, Asset, ChainId, Token};
use crate::chain::{Chain, MAX_SPAN};
use crate::erc::{self, Moved};
use crate::pool::Unknown;
use crate::rpc::{Block, Log};
use crate::settings::Finality;
use crate::store::{Known, Store, Told};

/// Blocks of one round; after it others get their turn.
const ROUND: u64 = 64;

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(
        "the chain went another way more than {depth} blocks ago: transfers are told no more; look at the \
         endpoints, verify all granted access again, and restart the plugin"
    )]
    TooDeep { depth: u64 },
}

/// Follows one chain.
pub(crate) struct Watcher {
    pub(crate) chain: Arc<Chain>,
    pub(crate) store: Store,
    pub(crate) health: Option<Health>,
    pub(crate) poll: Duration,
    pub(crate) idle_poll: Duration,
    /// A new watch was requested.
    pub(crate) woken: Arc<Notify>,
    /// It has found its position since it was started. A chain that was reorganised beyond the depth before
    /// that is followed from the start, because an operator has restarted it.
    pub(crate) begun: AtomicBool,
}

/// The position of the chain after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// There are no watches.
    Idle,
    /// All blocks are reported.
    Level,
    /// There are more.
    Behind,
}

impl Watcher {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => round,
            };
            let pause = match &round {
                Ok(Stand::Behind) => Duration::ZERO,
                Ok(Stand::Level) => self.poll,
                Ok(Stand::Idle) => self.idle_poll,
                Err(_) => self.poll.max(Duration::from_secs(1)),
            };
            if let Err(error @ WatchError::TooDeep { .. }) = &round {
                tracing::error!(chain = %self.chain.id, %error, "watching transfers failed");
                self.set_health(|health| health.unhealthy(error.to_string()));
                self.chain.stop_watching(error.to_string());
                return stop.cancelled().await;
            }
            self.report(round.as_ref().err());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn set_health(&self, set: impl FnOnce(&Health)) {
        if let Some(health) = &self.health {
            set(health);
        }
    }

    fn report(&self, error: Option<&WatchError>) {
        // It must not change while nothing happens: each new text is a change of health.
        let place = match self.chain.state().latest {
            Some(at) => format!("the last block was {}", at.block),
            None => "no block was read yet".to_owned(),
        };
        let up = self.chain.pool.up();
        let error = error.map(|error| format!("{error}; {up}; {place}"));
        self.set_health(|health| self.chain.pool.show(health, error));
        tracing::debug!(chain = %self.chain.id, up, place, "the chain was checked");
    }

    /// Reports what happened since the last round.
    pub(crate) async fn round(&self) -> Result<Stand, WatchError> {
        let id = self.chain.id;
        let head = self.chain.head(Finality::Latest, 0).await?;
        let watched = self.store.watched(id, now_ms()).await?;
        let known = self.store.blocks(id).await?;
        if watched.is_empty() {
            if !known.is_empty() {
                self.store.forget(id, now_ms()).await?;
            }
            return Ok(Stand::Idle);
        }
        if known.is_empty() {
            self.store.append(id, &head, Told::OfBlock(&[]), 0).await?;
            return Ok(Stand::Level);
        }
        let mut tip = self.common(&known, head.number).await?;
        self.begun.store(true, Ordering::Relaxed);
        let settled = head.number.saturating_sub(self.chain.settings.reorg_depth);
        if tip.number < settled {
            self.catch_up(tip, settled, &watched).await?;
            return Ok(Stand::Behind);
        }
        let last = head.number.min(tip.number.saturating_add(ROUND));
        while tip.number < last {
            let block = self.chain.pool.block(tip.number + 1).await?;
            if block.parent_hash != tip.hash {
                // It was reorganised just now; the next round walks back.
                return Ok(Stand::Behind);
            }
            let told = self.transfers(&block, &watched).await?;
            let keep_from = block.number.saturating_sub(self.chain.settings.reorg_depth);
            self.store.append(id, &block, Told::OfBlock(&told), keep_from).await?;
            tip = Known { number: block.number, hash: block.hash };
        }
        Ok(if tip.number < head.number { Stand::Behind } else { Stand::Level })
    }

    /// Reports blocks that are too deep to be undone, many at once, after a long downtime.
    async fn catch_up(&self, tip: Known, settled: u64, watched: &[Asset]) -> Result<(), WatchError> {
        let span = self.chain.span.load(Ordering::Relaxed);
        let (first, last) = (tip.number + 1, settled.min(tip.number.saturating_add(span)));
        let contracts: Vec<Address> = watched.iter().filter_map(Asset::contract).collect();
        let (contracts, topics) = (&contracts, &erc::transfer_topics());
        let logs = self
            .chain
            .pool
            .agree(|endpoint| async move { endpoint.logs_between((first, last), contracts, topics).await })
            .await;
        let logs = match logs {
            Ok(logs) => logs,
            // Usually the answer is too large; each operator words it differently.
            Err(_) if span > 1 => {
                self.chain.span.store(span / 2, Ordering::Relaxed);
                return Ok(());
            }
            Err(unknown) => return Err(unknown.into()),
        };
        let block = self.chain.pool.block(last).await?;
        let told: Vec<_> = logs.iter().flat_map(|log| told_by(log, watched)).collect();
        let keep_from = last.saturating_sub(self.chain.settings.reorg_depth);
        self.store.append(self.chain.id, &block, Told::ForGood(&told), keep_from).await?;
        self.chain.span.store((span * 2).min(MAX_SPAN), Ordering::Relaxed);
        Ok(())
    }

    /// The last reported block that is still part of the chain; those above are undone.
    async fn common(&self, known: &[Known], head: u64) -> Result<Known, WatchError> {
        for (index, block) in known.iter().enumerate() {
            // A chain that is shorter than before was reorganised, too.
            let canonical = self
                .chain
                .pool
                .agree(
                    |endpoint| async move { endpoint.block(crate::endpoint::At::Number(block.number)).await },
                )
                .await?;
            if canonical.is_some_and(|canonical| canonical.hash == block.hash) {
                if index > 0 {
                    self.undo_above(*block).await?;
                }
                return Ok(*block);
            }
        }
        let depth = self.chain.settings.reorg_depth;
        let too_deep = WatchError::TooDeep { depth };
        let (Some(tip), Some(oldest)) = (known.first(), known.last()) else {
            return Err(too_deep);
        };
        if tip.number - oldest.number >= depth {
            if self.begun.load(Ordering::Relaxed) {
                return Err(too_deep);
            }
            tracing::error!(chain = %self.chain.id, depth, "the chain was reorganised beyond the depth; it is followed from the start");
        }
        // Or the watching began after the fork. All earlier reports are undone, and the chain's current
        // content within the depth is reported.
        let number = oldest.number.min(tip.number.saturating_sub(depth)).min(head);
        let block = self.chain.pool.block(number).await?;
        let start = Known { number, hash: block.hash };
        self.store.append(self.chain.id, &block, Told::OfBlock(&[]), 0).await?;
        self.undo_above(start).await?;
        Ok(start)
    }

    async fn undo_above(&self, common: Known) -> Result<(), WatchError> {
        let mut told = self.store.told_above(self.chain.id, common.number).await?;
        tracing::warn!(
            chain = %self.chain.id, block = common.number, transfers = told.len(),
            "the chain was reorganised: earlier reports about later blocks are undone"
        );
        // Cached reads of them are not used again.
        self.chain.forget_heads().await;
        for event in &mut told {
            event.removed = true;
        }
        let chain = self.chain.id.to_string();
        let reorganised =
            ChainReorganised { block: common.number, block_hash: common.hash.to_string(), chain };
        Ok(self.store.undo(&reorganised, &told).await?)
    }

    async fn transfers(&self, block: &Block, watched: &[Asset]) -> Result<Vec<ChainTransfer>, Unknown> {
        let contracts: Vec<Address> = watched.iter().filter_map(Asset::contract).collect();
        let (contracts, topics) = (&contracts, &erc::transfer_topics());
        let logs = self
            .chain
            .pool
            .agree(|endpoint| async move { endpoint.logs_of(block, contracts, topics).await })
            .await?;
        Ok(logs.iter().flat_map(|log| told_by(log, watched)).collect())
    }
}

/// The transfers of watched tokens in a log.
fn told_by(log: &Log, watched: &[Asset]) -> Vec<ChainTransfer> {
    let Some(asset) = watched.iter().find(|asset| asset.contract() == Some(log.address)) else {
        return Vec::new();
    };
    let account = |address| Account { chain: asset.chain, address }.to_string();
    erc::movements(log)
        .into_iter()
        .map(|movement| {
            let (token, amount) = match (movement.what, asset.token) {
                (Moved::Unique(id), _) => (Token::Erc721(log.address, Some(id)), U256::ONE),
                (Moved::Of(id, amount), _) => (Token::Erc1155(log.address, Some(id)), amount),
                // It does not state the token: the contract is reported as a whole.
                (Moved::Amount(_) | Moved::Either(_), Token::Erc721(..)) => {
                    (Token::Erc721(log.address, None), U256::ONE)
                }
                (Moved::Amount(amount) | Moved::Either(amount), Token::Erc1155(..)) => {
                    (Token::Erc1155(log.address, None), amount)
                }
                (Moved::Amount(amount) | Moved::Either(amount), _) => (Token::Erc20(log.address), amount),
            };
            ChainTransfer {
                chain: asset.chain.to_string(),
                asset: Asset { chain: asset.chain, token }.to_string(),
                from: account(movement.from),
                to: account(movement.to),
                amount: amount.to_string(),
                block: log.block_number,
                block_hash: log.block_hash.to_string(),
                log_index: log.log_index,
                transaction: log.transaction_hash.to_string(),
                removed: false,
            }
        })
        .collect()
}

/// The number of a chain for the name of its health component, which contains no colon.
pub(crate) fn component(chain: ChainId) -> String {
    format!("eip155-{}", chain.0)
}
