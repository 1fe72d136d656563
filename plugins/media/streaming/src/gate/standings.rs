//! The standing of viewers: what `access` decided for each content, and until when that is valid. Decisions
//! in use are renewed before they expire. An event is a hint: it revokes nothing on its own, but playback
//! continues only after `access` and `auth` have confirmed it, and answers from before the event do not
//! count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{DecideRequest, Decision, Verdict};
use streamgate_plugin_api::flight::Flights;

use crate::gate::clock::Clock;
use crate::gate::provider::Provider;
use crate::gate::refusal::Refusal;
use crate::gate::viewers::{Viewer, ViewerKey, Viewers};
use crate::object::path::ContentId;

/// Maximum age of a decision, whatever lifetime it states: an event may be lost.
const LONGEST_MS: u64 = 3_600_000;
/// A decision is renewed this long before it expires, or at half of its lifetime.
const EARLY_MS: u64 = 30_000;
/// A renewal is not retried sooner than this.
const PAUSE_MS: u64 = 1000;
/// A decision during which the policy changes is requested again this many times.
const ROUNDS: u32 = 3;
/// Number of standings from which unused ones are removed.
const SWEEP_AT: usize = 1024;

/// The generation of a decision that allows, or the refusal.
pub(crate) type Outcome = Result<u64, Refusal>;

/// The standing of one viewer for one content.
pub(crate) struct Standing {
    pub(crate) content: ContentId,
    pub(crate) viewer: Viewer,
    /// Unix time, milliseconds; 0: the next request waits for a decision.
    good_until_ms: AtomicU64,
    renew_from_ms: AtomicU64,
    /// Grants of a smaller generation are revoked.
    floor: AtomicU64,
    /// Held while any of these changes.
    last: Mutex<Last>,
    flight: Flights<(), Outcome>,
}

/// The last answer.
#[derive(Default)]
struct Last {
    /// Counts the changes of the policy.
    epoch: u64,
    /// Of the last revocation.
    reason: Option<Arc<str>>,
    /// The last decision denies.
    ended: Option<Refusal>,
    /// The viewer's session or API key has ended, which is final.
    over: Option<Refusal>,
}

impl Standing {
    pub(crate) fn new(content: ContentId, viewer: Viewer) -> Self {
        Self {
            content,
            viewer,
            good_until_ms: AtomicU64::new(0),
            renew_from_ms: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            last: Mutex::default(),
            flight: Flights::default(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a grant of this generation is valid without a new decision.
    pub(crate) fn holds(&self, generation: u64, now_ms: u64) -> bool {
        generation >= self.floor.load(Ordering::Acquire)
            && now_ms < self.good_until_ms.load(Ordering::Acquire)
    }

    /// Why a grant of this generation has ended, if it has.
    pub(crate) fn ended(&self, generation: u64) -> Option<Refusal> {
        let last = self.last();
        if last.over.is_none() && generation < self.floor.load(Ordering::Acquire) {
            return Some(Refusal::revoked(last.reason.as_deref()));
        }
        last.over.clone().or_else(|| last.ended.clone())
    }

    fn over(&self) -> Option<Refusal> {
        self.last().over.clone()
    }

    /// Ends everything that was started with the viewer's session or API key; returns the reason.
    fn end(&self, refusal: Refusal) -> Refusal {
        let mut last = self.last();
        self.good_until_ms.store(0, Ordering::Release);
        last.over.get_or_insert(refusal).clone()
    }

    /// Takes a decision that was requested in this epoch. `None`: it is out of date, request another.
    fn settle(&self, epoch: u64, decision: &Decision, now_ms: u64) -> Option<Outcome> {
        let mut last = self.last();
        if let Some(refusal) = &last.over {
            return Some(Err(refusal.clone()));
        }
        if last.epoch != epoch {
            return None;
        }
        let outdated = decision.generation < self.floor.load(Ordering::Acquire);
        let refusal = match decision.verdict() {
            // What was allowed before continues until it expires.
            Verdict::Unknown | Verdict::Unspecified => return Some(Err(Refusal::of_decision(decision))),
            _ if outdated => return Some(Err(Refusal::revoked(last.reason.as_deref()))),
            Verdict::Denied => Refusal::of_decision(decision),
            Verdict::Allowed => {
                self.floor.store(decision.generation, Ordering::Release);
                let left = u64::try_from(decision.valid_until_ms).unwrap_or(0).saturating_sub(now_ms);
                let left = left.min(LONGEST_MS);
                self.renew_from_ms.store(now_ms + left - (left / 2).min(EARLY_MS), Ordering::Release);
                self.good_until_ms.store(now_ms + left, Ordering::Release);
                last.ended = None;
                return Some(Ok(decision.generation));
            }
        };
        self.floor.store(decision.generation, Ordering::Release);
        self.good_until_ms.store(0, Ordering::Release);
        last.ended = Some(refusal.clone());
        Some(Err(refusal))
    }

    /// A report says that grants below this generation are revoked: playback waits until `access` confirms
    /// it.
    fn revoked(&self, generation: u64, reason: &Arc<str>) {
        let mut last = self.last();
        let floor = self.floor.load(Ordering::Acquire);
        if generation >= floor {
            last.reason = Some(reason.clone());
        }
        if generation > floor {
            self.invalidate(&mut last);
        }
    }

    fn changed(&self) {
        let mut last = self.last();
        last.ended = None;
        self.invalidate(&mut last);
    }

    /// The next request waits for a decision, and earlier requests do not count.
    fn invalidate(&self, last: &mut Last) {
        last.epoch += 1;
        self.good_until_ms.store(0, Ordering::Release);
    }
}

/// All standings.
pub(crate) struct Standings {
    access: Arc<Provider>,
    viewers: Arc<Viewers>,
    clock: Arc<Clock>,
    table: Mutex<Table>,
}

struct Table {
    of: HashMap<ContentId, HashMap<ViewerKey, Arc<Standing>>>,
    count: usize,
    /// Unused ones are removed at this number.
    sweep_at: usize,
}

impl Standings {
    pub(crate) fn new(access: Arc<Provider>, viewers: Arc<Viewers>, clock: Arc<Clock>) -> Self {
        let table = Table { of: HashMap::new(), count: 0, sweep_at: 0 };
        Self { access, viewers, clock, table: Mutex::new(table) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The standing of this viewer and content.
    pub(crate) fn of(&self, content: ContentId, viewer: Viewer) -> Arc<Standing> {
        let mut table = self.table();
        if table.count >= table.sweep_at.max(SWEEP_AT) {
            table.sweep();
        }
        let table = &mut *table;
        let standing = table.of.entry(content).or_default().entry(viewer.key()).or_insert_with(|| {
            table.count += 1;
            Arc::new(Standing::new(content, viewer))
        });
        standing.clone()
    }

    /// The generation of a valid decision, or of a new one.
    ///
    /// # Errors
    /// The viewer may not play the content, or access cannot be verified.
    pub(crate) async fn decided(self: &Arc<Self>, standing: &Arc<Standing>) -> Outcome {
        let floor = standing.floor.load(Ordering::Acquire);
        if standing.holds(floor, self.clock.now_ms()) {
            return Ok(floor);
        }
        self.ask(standing).await
    }

    /// A new decision, or the one in progress.
    ///
    /// # Errors
    /// As [`Standings::decided`].
    pub(crate) async fn ask(self: &Arc<Self>, standing: &Arc<Standing>) -> Outcome {
        let outcome = standing.flight.join((), || self.clone().asked(standing.clone())).await;
        let generation = outcome
            .unwrap_or_else(|| Err(Refusal::unavailable("The decision about access was interrupted")))?;
        match generation < standing.floor.load(Ordering::Acquire) {
            true => Err(Refusal::revoked(standing.last().reason.as_deref())),
            false => Ok(generation),
        }
    }

    /// Begins a new decision in the background when the valid one expires soon.
    pub(crate) fn renew(self: &Arc<Self>, standing: &Arc<Standing>, now_ms: u64) {
        let from = standing.renew_from_ms.load(Ordering::Acquire);
        if now_ms < from {
            return;
        }
        let next = now_ms + PAUSE_MS;
        if standing.renew_from_ms.compare_exchange(from, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            drop(standing.flight.join((), || self.clone().asked(standing.clone())));
        }
    }

    async fn asked(self: Arc<Self>, standing: Arc<Standing>) -> Outcome {
        if let Some(refusal) = standing.over() {
            return Err(refusal);
        }
        for _ in 0..ROUNDS {
            let epoch = standing.last().epoch;
            // Also because the event that reported an end may have been lost.
            let viewer = match self.viewers.now(&standing.viewer).await {
                Err(refusal) if refusal.is_final() => return Err(standing.end(refusal)),
                viewer => viewer?,
            };
            let decision = self.question(standing.content, viewer).await?;
            if let Some(outcome) = standing.settle(epoch, &decision, self.clock.now_ms()) {
                return outcome;
            }
        }
        Err(Refusal::unavailable("The content's policy is being changed"))
    }

    async fn question(&self, content: ContentId, viewer: Viewer) -> Result<Decision, Refusal> {
        let request = DecideRequest {
            content: content.to_string(),
            principal: viewer.principal.to_string(),
            roles: viewer.roles,
            scopes: viewer.scopes,
            wallets: viewer.wallets,
        };
        let mut client = AccessClient::new(self.access.client.clone());
        let decision = self.access.call(client.decide(request)).await;
        decision
            .map(tonic::Response::into_inner)
            .ok_or_else(|| Refusal::unavailable("The access plugin returned no decision for this content"))
    }

    /// An event reports that grants of a smaller generation are revoked; an empty principal means all of
    /// them.
    pub(crate) fn revoked(&self, content: ContentId, principal: &str, generation: u64, reason: &str) {
        let reason: Arc<str> = reason.into();
        for standing in self.table().of.get(&content).into_iter().flat_map(HashMap::values) {
            if principal.is_empty() || *standing.viewer.principal == *principal {
                standing.revoked(generation, &reason);
            }
        }
    }

    /// An event reports that a session or an API key has ended: the next decision checks with `auth`.
    pub(crate) fn ended(&self, credential: &str) {
        for standing in self.table().of.values().flat_map(HashMap::values) {
            if *standing.viewer.credential == *credential {
                standing.changed();
            }
        }
    }

    /// An event reports a changed policy: every decision is requested again.
    pub(crate) fn policy_changed(&self, content: ContentId) {
        self.table().of.get(&content).into_iter().flat_map(HashMap::values).for_each(|it| it.changed());
    }
}

impl Table {
    fn sweep(&mut self) {
        self.of.retain(|_, viewers| {
            viewers.retain(|_, standing| Arc::strong_count(standing) > 1);
            !viewers.is_empty()
        });
        self.count = self.of.values().map(HashMap::len).sum();
        self.sweep_at = self.count * 2;
    }
}
