//! What happens outside, and what that takes back: transfers, reorganisations, policies, deletions,
//! and time. Nothing here waits for a decision where an event comes in, so that the bus never waits
//! for itself.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use streamgate_contracts::audit::{By, Entry};
use streamgate_contracts::db::DbError;
use streamgate_contracts::deletions::MAX_ASKED;
use streamgate_contracts::events::{
    ChainReorganised, ChainTransfer, ContentDeleted, ContentStanding, TYPE_CHAIN_REORGANISED,
    TYPE_CHAIN_TRANSFER, TYPE_CONTENT_DELETED, TYPE_CONTENT_STANDING,
};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::time::millis;

use crate::access::{Access, because};
use crate::caip::{self, Asset};
use crate::chain::{Undone, Watched};
use crate::epochs::Subject;
use crate::grants::{Grant, Key};

/// Grants that are looked at again at the same time.
const AT_ONCE: usize = 32;
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often watches are renewed and what is old is removed.
const TIDY: Duration = Duration::from_secs(60);
/// After a reorganisation a chain may answer from a block that is gone for a moment; so what it
/// touched is looked at once more, this much later.
const SETTLING_MS: i64 = 1_000;
/// Undone transfers and reorganisations that wait for that.
const MAX_SETTLING: usize = 65_536;
/// Grants that are taken up at once.
const PAGE: u32 = 1_000;
/// How often the catalogue is asked which of all contents were deleted: an event may not have come.
const RECONCILE: Duration = Duration::from_secs(3_600);
/// The same after it did not answer, and what could not be removed is tried again after.
const RECONCILE_AGAIN: Duration = Duration::from_secs(60);
const FORGET_AGAIN: Duration = Duration::from_secs(1);
/// How often a decision is asked for that is out of date when it comes.
const ATTEMPTS: usize = 3;

impl Access {
    /// Does all that goes on by itself, until it is dropped: looks again at what is in doubt, at what
    /// ends with time, renews what is followed, and sends what belongs into the audit log. `report`
    /// takes what is wrong, or that nothing is.
    pub async fn run(&self, report: impl Fn(Option<&str>) + Send + Sync) {
        tokio::join!(
            self.look_again(),
            self.watch_the_clock(),
            self.tidy_now_and_then(&report),
            self.shared.audit.run(),
            self.shared.outbox.run(),
            self.forget_deleted(),
            self.look_for_deleted(),
        );
    }

    /// Takes an event of the bus: a transfer, a deleted content, another owner, or what another run decided.
    pub async fn on_event(&self, event: &Event) {
        let done = match event.r#type.as_str() {
            TYPE_CHAIN_TRANSFER => event.parse::<ChainTransfer>().map(|transfer| {
                self.shared.chains.on_transfer(&transfer);
                self.transferred(&transfer);
                if transfer.removed {
                    self.settle(Undone::Transfer(transfer));
                }
            }),
            TYPE_CHAIN_REORGANISED => event.parse::<ChainReorganised>().map(|reorganised| {
                self.shared.chains.reorganised(&reorganised);
                self.reorganised(&reorganised);
                self.settle(Undone::Above(reorganised));
            }),
            // Anybody may have said so: nothing goes before the catalogue says it, too.
            TYPE_CONTENT_DELETED => event.parse::<ContentDeleted>().map(|deleted| {
                self.shared.deletions.on_deleted(&deleted.id);
            }),
            TYPE_CONTENT_STANDING => event.parse::<ContentStanding>().map(|changed| {
                self.shared.epochs.raise(Subject::Content(&changed.id));
                let keys = self.shared.grants.lock().of_content(&changed.id);
                self.invalidate(keys, "Whose the content is, or with whom it is shared, was changed");
            }),
            _ => {
                self.shared.epochs.on_event(event);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(subject = event.subject, %error, "an event was not understood");
        }
    }

    fn transferred(&self, transfer: &ChainTransfer) {
        // A movement concerns its contract, whatever kind of token a rule says it is of.
        let Some(asset) = Asset::parse(&transfer.asset) else { return };
        let alike = asset.watched_alike();
        let cause = match transfer.removed {
            true => format!("A transfer of {} was undone with block {}", transfer.asset, transfer.block),
            false => format!("{} changed hands in block {}", transfer.asset, transfer.block),
        };
        let parties = [&transfer.from, &transfer.to].into_iter();
        for wallet in parties.filter_map(|account| caip::wallets_of(account)).flatten() {
            self.shared.epochs.raise(Subject::Wallet(&wallet));
            for asset in &alike {
                let touched = self.shared.grants.lock().touched(&wallet, asset);
                self.invalidate(touched, &cause);
            }
        }
    }

    /// Has everything looked at again that was read in a block that may be gone, whether anything was
    /// told of that block or not.
    fn reorganised(&self, reorganised: &ChainReorganised) {
        let ChainReorganised { chain, block, .. } = reorganised;
        self.shared.epochs.raise(Subject::Chain(chain));
        let above = self.shared.grants.lock().above(chain, *block);
        let cause = format!("{chain} went another way after block {block}");
        for key in above {
            // What is known of it already, such as which transfer was undone, says more.
            let known = self.shared.grants.lock().get(&key).and_then(|grant| grant.cause.clone());
            self.invalidate([key], known.as_deref().unwrap_or(&cause));
        }
    }

    fn settle(&self, undone: Undone) {
        let mut settling = self.shared.settling.lock();
        if settling.len() < MAX_SETTLING {
            settling.push_back((self.now_ms() + SETTLING_MS, undone));
        }
    }

    /// Has grants looked at again.
    pub(crate) fn invalidate(&self, keys: impl IntoIterator<Item = Key>, cause: &str) {
        for key in keys {
            if self.shared.grants.lock().invalidate(&key, cause) {
                self.shared.invalidated.lock().insert(key);
            }
        }
        self.shared.recheck.notify_one();
    }

    async fn look_again(&self) {
        let mut under_way = FuturesUnordered::new();
        let mut waiting: VecDeque<Key> = VecDeque::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some(key) = waiting.pop_front()
            {
                under_way.push(self.look_at(key));
            }
            tokio::select! {
                Some(()) = under_way.next() => {}
                () = self.shared.recheck.notified(), if waiting.is_empty() => {
                    waiting.extend(std::mem::take(&mut *self.shared.invalidated.lock()));
                }
            }
        }
    }

    /// Looks at one grant again. Who is not let in for sure is not let in.
    async fn look_at(&self, key: Key) {
        let Some(Grant { viewer, cause, .. }) = self.shared.grants.lock().get(&key).cloned() else { return };
        let mut decision = self.decide(&key.content, viewer.clone()).await;
        for _ in 1..ATTEMPTS {
            if self.shared.epochs.hold(&decision.snapshot) {
                break;
            }
            // It was under way before the news came.
            decision = self.decide(&key.content, viewer.clone()).await;
        }
        if decision.is_allowed() {
            return;
        }
        // A refusal has taken it back already. What is not known has not, and does unless another
        // credential of the principal is let in.
        let (Some(grant), true) = self.shared.grants.lock().leave(&key) else { return };
        let reason = because(cause.as_deref(), &decision.ruling.reason);
        if let Err(error) = self.revoke(&key.content, &key.principal, None, &reason, &By::default()).await {
            tracing::error!(content = key.content, %error, "access could not be taken back; it is tried again");
            self.shared.grants.lock().put(key.clone(), grant, usize::MAX);
            tokio::time::sleep(TICK).await;
            self.invalidate([key], cause.as_deref().unwrap_or_default());
        }
    }

    async fn watch_the_clock(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ms = self.now_ms();
            let over = self.shared.grants.lock().over(now_ms);
            if !over.is_empty() {
                self.invalidate(over, "Its time is over");
            }
            loop {
                let settled = {
                    let mut settling = self.shared.settling.lock();
                    settling.pop_front_if(|(due_ms, _)| *due_ms <= now_ms)
                };
                match settled {
                    Some((_, Undone::Transfer(transfer))) => self.transferred(&transfer),
                    Some((_, Undone::Above(reorganised))) => self.reorganised(&reorganised),
                    None => break,
                }
            }
        }
    }

    async fn tidy_now_and_then(&self, report: &(impl Fn(Option<&str>) + Send + Sync)) {
        let mut rounds = tokio::time::interval(TIDY.min(self.shared.settings.watch_lease.get() / 3));
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let now_ms = self.now_ms();
            let needed_ms = 2 * millis(self.max_age()).max(millis(self.shared.settings.watch_lease.get()));
            let lost = self.shared.chains.renew(now_ms, now_ms - needed_ms).await;
            for (asset, state) in &lost {
                // Without it a grant runs out by itself, and the next one is short.
                let Watched::Broken(reason) = state else { continue };
                let resting = self.shared.grants.lock().resting_on(asset);
                for key in &resting {
                    self.shared.epochs.raise(Subject::Content(&key.content));
                }
                self.invalidate(resting, reason);
            }
            let before_ms = now_ms - millis(self.shared.settings.decision_retention.get());
            match self.shared.store.sweep(before_ms).await {
                Ok(()) if lost.is_empty() => report(None),
                Ok(()) => report(Some(&format!("transfers of {} contracts are not told", lost.len()))),
                Err(error) => report(Some(&error.to_string())),
            }
        }
    }

    async fn forget_deleted(&self) {
        loop {
            for content in self.shared.deletions.next().await {
                self.deleted(&content).await;
            }
        }
    }

    /// Asks of all contents that have a policy whether they were deleted: whoever told of it may have been
    /// told when nobody listened.
    async fn look_for_deleted(&self) {
        loop {
            let looked = self.look_at_contents().await;
            if let Err(reason) = &looked {
                tracing::warn!(reason, "policies of deleted contents may still be there; it is looked again");
            }
            tokio::time::sleep(if looked.is_ok() { RECONCILE } else { RECONCILE_AGAIN }).await;
        }
    }

    async fn look_at_contents(&self) -> Result<(), String> {
        let mut after = String::new();
        loop {
            let page =
                self.shared.store.contents(&after, MAX_ASKED).await.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let deleted = self.shared.deletions.confirmed(page).await;
            for content in deleted.map_err(|status| status.message().to_owned())? {
                self.deleted(&content).await;
            }
        }
    }

    /// A content is gone for certain, and all that was said of it goes.
    async fn deleted(&self, content: &str) {
        self.shared.epochs.raise(Subject::Content(content));
        self.drop_grants(content);
        match self.shared.store.forget(content, self.now_ms()).await {
            Ok(()) => {
                self.shared.epochs.raise(Subject::Content(content));
                tracing::info!(content, "the content was deleted, and with it its policy");
            }
            // Nobody plays what the catalogue does not know; the rows are all that is left.
            Err(error) => {
                tracing::error!(content, %error, "what was said of a deleted content is still there");
                self.shared.deletions.on_deleted(content);
                tokio::time::sleep(FORGET_AGAIN).await;
            }
        }
    }

    /// A policy was changed, or taken back.
    pub(crate) async fn policy_changed(&self, content: &str) {
        self.shared.epochs.raise(Subject::Content(content));
        self.shared.outbox.soon().await;
        let keys = self.shared.grants.lock().of_content(content);
        self.invalidate(keys, "The policy of the content was changed");
    }

    /// Sets until when somebody has a plan; `None` ends it. `false`: it was not there, or there are
    /// too many.
    pub(crate) async fn subscribe(
        &self,
        principal: &str,
        plan: &str,
        ends_at_ms: Option<i64>,
        entry: &Entry,
    ) -> Result<bool, DbError> {
        let done = self.shared.store.put_plan(principal, plan, ends_at_ms, entry).await?;
        self.shared.epochs.raise(Subject::Principal(principal));
        self.shared.audit.noted();
        let keys = self.shared.grants.lock().of_principal(principal);
        self.invalidate(keys, "The subscription was changed");
        Ok(done)
    }

    /// Sets which wallets of others may have delegated to somebody.
    pub(crate) async fn name_vaults(
        &self,
        principal: &str,
        vaults: &[String],
        entry: &Entry,
    ) -> Result<(), DbError> {
        self.shared.store.put_vaults(principal, vaults, entry).await?;
        self.shared.epochs.raise(Subject::Principal(principal));
        self.shared.audit.noted();
        let keys = self.shared.grants.lock().of_principal(principal);
        self.invalidate(keys, "The vaults were changed");
        Ok(())
    }

    /// Takes up again whoever was let in before a restart, and looks at all of them: something may
    /// have happened meanwhile.
    pub(crate) async fn load(&self) -> Result<(), DbError> {
        let now_ms = self.now_ms();
        let mut after = Key::default();
        loop {
            let live = self.shared.store.live(&after, now_ms, PAGE).await?;
            let Some((last, ..)) = live.last() else { return Ok(()) };
            after = last.clone();
            let mut grants = self.shared.grants.lock();
            let keys: Vec<Key> = live.iter().map(|(key, ..)| key.clone()).collect();
            for (key, viewer, valid_until_ms) in live {
                let wallets = viewer.wallets.iter().cloned().collect();
                let (assets, blocks) = Default::default();
                let grant =
                    Grant { viewer, assets, wallets, blocks, valid_until_ms, ends: true, cause: None };
                if !grants.put(key, grant, self.shared.settings.max_grants) {
                    return Ok(());
                }
            }
            drop(grants);
            self.invalidate(keys, "The server was started anew");
        }
    }
}
