//! Revocation by events: transfers, reorganisations, policies, deletions, and time. Nothing here waits for a
//! decision while handling an event, so that the bus never waits for itself.

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

/// Grants that are checked concurrently.
const AT_ONCE: usize = 32;
/// How often expiry is checked.
const TICK: Duration = Duration::from_millis(200);
/// How often watches are renewed and old data is removed.
const TIDY: Duration = Duration::from_secs(60);
/// After a reorganisation a chain may briefly answer from an undone block; so the affected grants are checked
/// once more, this much later.
const SETTLING_MS: i64 = 1_000;
/// Undone transfers and reorganisations that wait for that.
const MAX_SETTLING: usize = 65_536;
/// Grants that are restored at once.
const PAGE: u32 = 1_000;
/// How often deletions of all contents are looked up in the catalogue, in case an event was lost.
const RECONCILE: Duration = Duration::from_secs(3_600);
/// The same after a failure, and the pause before another removal is tried.
const RECONCILE_AGAIN: Duration = Duration::from_secs(60);
const FORGET_AGAIN: Duration = Duration::from_secs(1);
/// How often a decision is repeated that is out of date when it arrives.
const ATTEMPTS: usize = 3;

impl Access {
    /// The background work, until it is dropped: checks doubtful grants and expired ones, renews watches, and
    /// sends audit entries. `report` receives the current problem, or none.
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

    /// Handles an event of the bus: a transfer, a deleted content, another owner, or another run's decision.
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
            // Anyone may have published it: nothing is removed before the catalogue confirms it.
            TYPE_CONTENT_DELETED => event.parse::<ContentDeleted>().map(|deleted| {
                self.shared.deletions.on_deleted(&deleted.id);
            }),
            TYPE_CONTENT_STANDING => event.parse::<ContentStanding>().map(|changed| {
                self.shared.epochs.raise(Subject::Content(&changed.id));
                let keys = self.shared.grants.lock().of_content(&changed.id);
                self.invalidate(keys, "The content's owner or its shares were changed");
            }),
            _ => {
                self.shared.epochs.on_event(event);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(subject = event.subject, %error, "an event cannot be read");
        }
    }

    fn transferred(&self, transfer: &ChainTransfer) {
        // A transfer concerns its contract, whatever kind of token a rule uses for it.
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

    /// Has everything checked again that was read in a block that may be undone, whether anything was
    /// reported about that block or not.
    fn reorganised(&self, reorganised: &ChainReorganised) {
        let ChainReorganised { chain, block, .. } = reorganised;
        self.shared.epochs.raise(Subject::Chain(chain));
        let above = self.shared.grants.lock().above(chain, *block);
        let cause = format!("{chain} was reorganised after block {block}");
        for key in above {
            // Existing reports, such as which transfer was undone, are more specific.
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

    /// Has grants checked again.
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

    /// Checks one grant again. Access is only kept with a certain yes.
    async fn look_at(&self, key: Key) {
        let Some(Grant { viewer, cause, .. }) = self.shared.grants.lock().get(&key).cloned() else { return };
        let mut decision = self.decide(&key.content, viewer.clone()).await;
        for _ in 1..ATTEMPTS {
            if self.shared.epochs.hold(&decision.snapshot) {
                break;
            }
            // It was in progress before the event.
            decision = self.decide(&key.content, viewer.clone()).await;
        }
        if decision.is_allowed() {
            return;
        }
        // A refusal has revoked it already. An unknown result has not, and does unless another credential of
        // the principal has access.
        let (Some(grant), true) = self.shared.grants.lock().leave(&key) else { return };
        let reason = because(cause.as_deref(), &decision.ruling.reason);
        if let Err(error) = self.revoke(&key.content, &key.principal, None, &reason, &By::default()).await {
            tracing::error!(content = key.content, %error, "access could not be revoked; will retry");
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
                self.invalidate(over, "It has expired");
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
                // Without it a grant expires, and the next one is short.
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
                Ok(()) => report(Some(&format!("transfers of {} contracts are not reported", lost.len()))),
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

    /// Asks about the deletion of all contents that have a policy: an event may have been published while
    /// this plugin was not running.
    async fn look_for_deleted(&self) {
        loop {
            let looked = self.look_at_contents().await;
            if let Err(reason) = &looked {
                tracing::warn!(reason, "policies of deleted contents may still exist; will retry");
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

    /// A deletion is confirmed: removes everything about the content.
    async fn deleted(&self, content: &str) {
        self.shared.epochs.raise(Subject::Content(content));
        self.drop_grants(content);
        match self.shared.store.forget(content, self.now_ms()).await {
            Ok(()) => {
                self.shared.epochs.raise(Subject::Content(content));
                tracing::info!(content, "the content was deleted, and with it its policy");
            }
            // A content unknown to the catalogue is not played; only the rows are left.
            Err(error) => {
                tracing::error!(content, %error, "the policy of a deleted content could not be removed");
                self.shared.deletions.on_deleted(content);
                tokio::time::sleep(FORGET_AGAIN).await;
            }
        }
    }

    /// A policy was changed, or removed.
    pub(crate) async fn policy_changed(&self, content: &str) {
        self.shared.epochs.raise(Subject::Content(content));
        self.shared.outbox.soon().await;
        let keys = self.shared.grants.lock().of_content(content);
        self.invalidate(keys, "The policy of the content was changed");
    }

    /// Sets until when a principal has a plan; `None` ends it. `false`: it did not exist, or there are too
    /// many.
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

    /// Sets which wallets of others may have delegated to a principal.
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

    /// Restores the grants from before a restart, and checks all of them: something may have happened
    /// meanwhile.
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
            self.invalidate(keys, "The server was restarted");
        }
    }
}
