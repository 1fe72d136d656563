//! Sends the transactions of the queue, each once: the number and signature are stored before they are sent,
//! then it is accepted, then included in a block, until that is deep enough. One that waits too long is
//! signed again with a higher fee. Each round compares the queue with the chain and does what is missing, so
//! that a crash, a reorganisation and an endpoint that dropped one are handled alike.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::Health;
use streamgate_plugin_api::time::now_ms;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::chain::{Block, Chain, Estimate, Price, Receipt, Unknown};
use crate::queue::{Attempt, MAX_OPEN, Numbered, Queue, State, Waiting};
use crate::settings;
use crate::signer::{Fees, Signer, Unsigned};

/// Maximum transactions waiting for a block; nodes keep no more of one account.
const MAX_PENDING: usize = 16;
const GWEI: u128 = 1_000_000_000;

/// Why a round ended early, or did less than it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Unknown(#[from] Unknown),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("a transaction cannot be signed: {0}")]
    Signing(#[from] k256::ecdsa::Error),
    #[error("no endpoint accepts transaction {0}")]
    NotTaken(String),
    #[error("the gas price is {needed} wei, more than `max_fee_gwei` allows; transactions wait")]
    TooDear { needed: u128 },
    #[error("transaction {0} waits although its fee is as high as `max_fee_gwei` allows")]
    AtLimit(B256),
}

/// Sends for one chain.
pub(crate) struct Sender {
    pub(crate) chain: Chain,
    pub(crate) settings: settings::Chain,
    pub(crate) queue: Queue,
    pub(crate) signer: Signer,
    pub(crate) health: Option<Health>,
    pub(crate) poll: Duration,
    pub(crate) idle_poll: Duration,
    /// There is a new transaction in the queue.
    pub(crate) woken: Arc<Notify>,
}

impl Sender {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut told = String::new();
        let mut seen = None;
        loop {
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(&mut seen) => round,
            };
            let pause = match &round {
                Ok(false) => self.idle_poll,
                Ok(true) => self.poll,
                Err(_) => self.poll.max(Duration::from_secs(1)),
            };
            let trouble = round.as_ref().err().map(ToString::to_string).unwrap_or_default();
            if let Some(health) = &self.health {
                if trouble.is_empty() { health.healthy() } else { health.degraded(trouble.clone()) }
            }
            if !trouble.is_empty() && trouble != told {
                tracing::warn!(chain = %self.chain.id, trouble, "sending transactions failed");
            }
            told = trouble;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Compares the queue with the chain, whose last block was `seen`. Returns whether anything is in
    /// progress.
    async fn round(&self, seen: &mut Option<B256>) -> Result<bool, SendError> {
        let head = self.chain.head().await?.block;
        let is_new = seen.replace(head.hash) != Some(head.hash);
        let used = self.used(head.number).await?;
        let open = self.queue.open(self.signer.address, used).await?;
        let mut trouble = None;
        for transaction in open.iter().filter(|open| is_new || open.state != State::Mined) {
            match self.follow(transaction, head, used).await {
                // The others are handled all the same.
                Err(error @ (SendError::NotTaken(_) | SendError::AtLimit(_))) => trouble = Some(error),
                done => done.inspect_err(|_| *seen = None)?,
            }
        }
        let mut pending = open.iter().filter(|open| open.state != State::Mined).count();
        let mut under_way = open.len();
        while pending < MAX_PENDING && under_way < MAX_OPEN {
            let Some(next) = self.queue.next().await? else { break };
            if !self.number(&next, used, pending == 0).await? {
                return trouble.map_or(Ok(true), Err);
            }
            (pending, under_way) = (pending + 1, under_way + 1);
        }
        trouble.map_or(Ok(under_way > 0), Err)
    }

    /// The number of the account's transactions after a block.
    async fn used(&self, block: u64) -> Result<u64, Unknown> {
        self.chain.used(self.signer.address, block).await
    }

    /// Does the next step for a numbered transaction.
    async fn follow(&self, transaction: &Numbered, head: Block, used: u64) -> Result<(), SendError> {
        if used > transaction.nonce {
            return self.track(transaction, head).await;
        }
        if !matches!(transaction.state, State::Signed | State::Sent) {
            let detail = "the chain was reorganised: its block is no longer part of it";
            self.queue.set(&transaction.key, transaction.state, State::Signed, None, detail).await?;
            let undone = Numbered { state: State::Signed, ..transaction.clone() };
            return self.give(&undone).await;
        }
        let last = transaction.attempts.last().map_or(0, |attempt| attempt.at);
        let waited = u64::try_from(now_ms().saturating_sub(last)).unwrap_or(0);
        if Duration::from_millis(waited) >= self.settings.replace_after.get() {
            return self.replace(transaction).await;
        }
        if transaction.state == State::Signed { self.give(transaction).await } else { Ok(()) }
    }

    /// The chain has a transaction with its number: checks which, and how deep.
    async fn track(&self, transaction: &Numbered, head: Block) -> Result<(), SendError> {
        let Numbered { key, state, nonce, .. } = transaction;
        let confirmations = self.settings.confirmations;
        let Some(receipt) = self.receipt(transaction).await? else {
            let settled = head.number.saturating_sub(confirmations);
            if self.used(settled).await? > *nonce {
                let detail = format!("another transaction of {} has number {nonce}", self.signer.address);
                self.queue.set(key, *state, State::Replaced, None, &detail).await?;
            } else if *state == State::Mined {
                let detail = "the chain was reorganised: another transaction has its number";
                self.queue.set(key, State::Mined, State::Sent, None, detail).await?;
            }
            return Ok(());
        };
        let mined = receipt.block;
        let block = Some((mined.number, mined.hash));
        let deep = head.number.saturating_sub(mined.number) + 1 >= confirmations;
        let next = match (deep, receipt.succeeded) {
            (false, _) => State::Mined,
            (true, true) => State::Confirmed,
            (true, false) => State::Failed,
        };
        if (next, block) == (*state, transaction.block) {
            return Ok(());
        }
        if deep && self.chain.block(mined.number).await? != mined {
            // It was reorganised just now; the next round sees where it is.
            return Ok(());
        }
        let detail = match receipt.succeeded {
            false => format!("the contract refused it in {}", receipt.transaction),
            true => receipt.transaction.to_string(),
        };
        Ok(self.queue.set(key, *state, next, block, &detail).await?)
    }

    /// The receipt of whichever of its signatures was included in a block.
    async fn receipt(&self, transaction: &Numbered) -> Result<Option<Receipt>, Unknown> {
        for attempt in transaction.attempts.iter().rev() {
            if let Some(receipt) = self.chain.receipt(attempt.signed.hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Numbers, signs and sends the next one. Returns false if it has to wait for others to be included in a
    /// block; `alone` means that there are none.
    async fn number(&self, next: &Waiting, used: u64, alone: bool) -> Result<bool, SendError> {
        let failed = |detail: String| async move {
            self.queue.set(&next.key, State::Queued, State::Failed, None, &detail).await
        };
        let gas = match self.chain.estimate(self.signer.address, next.to, &next.data).await? {
            // One of the others may change that.
            Estimate::Reverts(_) if !alone => return Ok(false),
            Estimate::Reverts(reason) => {
                failed(reason).await?;
                return Ok(true);
            }
            // Its gas may grow until its turn.
            Estimate::Gas(gas) => gas.saturating_add(gas / 4),
        };
        if gas > self.settings.max_gas {
            failed(format!("it needs {gas} gas, more than `max_gas` = {}", self.settings.max_gas)).await?;
            return Ok(true);
        }
        let fees = self.market().await?;
        let nonce = self.queue.next_nonce(self.signer.address).await?.max(used);
        let attempt = self.sign(nonce, fees, gas, next.to, next.data.clone())?;
        self.queue.number(&next.key, self.signer.address, nonce, &attempt).await?;
        let numbered = Numbered {
            key: next.key.clone(),
            to: next.to,
            data: next.data.clone(),
            state: State::Signed,
            nonce,
            block: None,
            detail: String::new(),
            attempts: vec![attempt],
        };
        self.give(&numbered).await?;
        Ok(true)
    }

    fn sign(
        &self,
        nonce: u64,
        fees: Fees,
        gas: u64,
        to: Address,
        data: Bytes,
    ) -> Result<Attempt, k256::ecdsa::Error> {
        let unsigned = Unsigned { chain: self.chain.id.0, nonce, fees, gas, to, data };
        Ok(Attempt { signed: self.signer.sign(&unsigned)?, gas, fees, at: now_ms() })
    }

    /// The fees for one of the next blocks, within the limit.
    async fn market(&self) -> Result<Fees, SendError> {
        let price = self.chain.price().await?;
        market(price, self.most()).map_err(|needed| SendError::TooDear { needed })
    }

    fn most(&self) -> u128 {
        u128::from(self.settings.max_fee_gwei) * GWEI
    }

    /// Signs it again with a higher fee, because it waits too long.
    async fn replace(&self, transaction: &Numbered) -> Result<(), SendError> {
        let Some(last) = transaction.attempts.last() else { return Ok(()) };
        let fees = match self.market().await {
            Ok(market) => higher(last.fees, market, self.most()),
            Err(SendError::TooDear { .. }) => higher(last.fees, last.fees, self.most()),
            Err(error) => return Err(error),
        };
        let Some(fees) = fees else {
            // It may have been dropped.
            self.give(transaction).await?;
            return Err(SendError::AtLimit(last.signed.hash));
        };
        let (to, data) = (transaction.to, transaction.data.clone());
        let attempt = self.sign(transaction.nonce, fees, last.gas, to, data)?;
        self.queue.replace(transaction, &attempt).await?;
        let mut replaced = transaction.clone();
        replaced.state = State::Signed;
        replaced.attempts.push(attempt);
        self.give(&replaced).await
    }

    /// Sends the last signature to all endpoints; one that accepts it is enough.
    async fn give(&self, transaction: &Numbered) -> Result<(), SendError> {
        let Some(Attempt { signed, .. }) = transaction.attempts.last() else { return Ok(()) };
        if let Err(Unknown(reason)) = self.chain.send(&signed.raw).await {
            return Err(SendError::NotTaken(format!("{} ({reason})", signed.hash)));
        }
        if transaction.state == State::Signed {
            let hash = signed.hash.to_string();
            self.queue.set(&transaction.key, State::Signed, State::Sent, None, &hash).await?;
        }
        Ok(())
    }
}

/// Twice the base fee of the next block, plus the median tip; at most `most`. An error with the required
/// price if not even the next block is possible for that.
fn market(Price { base, tip }: Price, most: u128) -> Result<Fees, u128> {
    // A node includes a transaction without a tip last, or not at all.
    let priority = tip.unwrap_or(GWEI).clamp(1, most);
    let needed = base.saturating_add(priority);
    if needed > most {
        return Err(needed);
    }
    Ok(Fees { most: base.saturating_mul(2).saturating_add(priority).min(most), priority })
}

/// Fees that replace the last ones: nodes require at least a tenth more of both. `None` if that is more than
/// `most`.
fn higher(last: Fees, market: Fees, most: u128) -> Option<Fees> {
    let raised = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
    let fees = Fees {
        most: raised(last.most).max(market.most),
        priority: raised(last.priority).max(market.priority),
    };
    (fees.most <= most).then_some(Fees { priority: fees.priority.min(fees.most), ..fees })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(base: u128, tip: u128) -> Price {
        Price { base, tip: Some(tip) }
    }

    proptest! {
        #[test]
        fn no_fee_is_over_the_limit_and_each_replaces_the_one_before(
            base: u128, tip: u128, next_base: u128, most in 1_u128..=1_000_000 * GWEI,
        ) {
            let Ok(first) = market(price(base, tip), most) else { return Ok(()) };
            prop_assert!(first.most <= most && first.priority <= first.most);
            let Ok(now) = market(price(next_base, tip), most) else { return Ok(()) };
            let Some(second) = higher(first, now, most) else { return Ok(()) };
            prop_assert!(second.most <= most && second.priority <= second.most);
            prop_assert!(second.most - first.most >= first.most / 10);
            prop_assert!(second.priority - first.priority >= first.priority / 10);
        }
    }

    #[test]
    fn a_block_that_costs_more_than_the_limit_is_waited_out() {
        assert_eq!(market(price(90, 20), 100), Err(110));
        assert_eq!(market(price(80, 20), 100), Ok(Fees { most: 100, priority: 20 }));
        assert_eq!(higher(Fees { most: 95, priority: 1 }, Fees { most: 1, priority: 1 }, 100), None);
    }
}
