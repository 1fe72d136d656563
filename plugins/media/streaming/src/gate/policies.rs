//! Which contents are public: the answers of `access`, cached for a while. An unknown content is never
//! treated as public.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{Openness as Said, PolicyRequest};
use streamgate_plugin_api::flight::Flights;

use crate::gate::clock::Clock;
use crate::gate::provider::Provider;
use crate::gate::refusal::Refusal;
use crate::object::path::ContentId;

/// Number of cached contents.
const CAPACITY: usize = 16_384;
/// A background refresh is not repeated sooner than this, in milliseconds.
const PAUSE_MS: u64 = 1000;
/// A policy that changes during the request is requested again this many times.
const ROUNDS: u32 = 3;

/// Who may play a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Openness {
    /// Everyone.
    Public,
    /// Those whom `access` allows.
    Closed,
}

/// All policies.
pub(crate) struct Policies {
    access: Arc<Provider>,
    clock: Arc<Clock>,
    max_age_ms: u64,
    known: Cache<ContentId, Arc<Policy>>,
}

/// Of one content.
#[derive(Default)]
struct Policy {
    /// When it was requested (Unix time, milliseconds) times two, plus one if it is public; 0 is unknown.
    said: AtomicU64,
    /// When it was last refreshed in the background.
    tried_ms: AtomicU64,
    /// Counts the events: an answer to a request from before an event is dropped.
    changes: AtomicU64,
    flight: Flights<(), Result<Openness, Refusal>>,
}

impl Policies {
    pub(crate) fn new(access: Arc<Provider>, clock: Arc<Clock>, max_age: Duration) -> Self {
        let max_age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        Self { access, clock, max_age_ms, known: Cache::new(CAPACITY) }
    }

    /// The cached policy, if it is young enough. In the second half of its time it is refreshed in the
    /// background.
    pub(crate) fn fresh(self: &Arc<Self>, content: ContentId) -> Option<Openness> {
        let policy = self.known.get(&content)?;
        let said = policy.said.load(Ordering::Acquire);
        let now = self.clock.now_ms();
        let age = now.saturating_sub(said >> 1);
        if said == 0 || age > self.max_age_ms {
            return None;
        }
        if age > self.max_age_ms / 2 {
            let tried = policy.tried_ms.load(Ordering::Relaxed);
            let due = now.saturating_sub(tried) >= PAUSE_MS;
            let exchange =
                |now| policy.tried_ms.compare_exchange(tried, now, Ordering::Relaxed, Ordering::Relaxed);
            if due && exchange(now).is_ok() {
                drop(policy.flight.join((), || self.clone().asked(content, policy.clone())));
            }
        }
        Some(if said & 1 == 1 { Openness::Public } else { Openness::Closed })
    }

    /// The cached policy, or the answer of `access`.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn get(self: &Arc<Self>, content: ContentId) -> Result<Openness, Refusal> {
        if let Some(openness) = self.fresh(content) {
            return Ok(openness);
        }
        let policy = self.known.get(&content).unwrap_or_else(|| {
            self.known.get_or_insert_with(&content, || Ok::<_, ()>(Arc::default())).unwrap_or_default()
        });
        let answer = policy.flight.join((), || self.clone().asked(content, policy.clone()));
        answer.await.unwrap_or_else(|| {
            Err(Refusal::unavailable("The request for the content's policy was interrupted"))
        })
    }

    async fn asked(self: Arc<Self>, content: ContentId, policy: Arc<Policy>) -> Result<Openness, Refusal> {
        for _ in 0..ROUNDS {
            let changes = policy.changes.load(Ordering::SeqCst);
            let openness = self.question(content).await?;
            let public = u64::from(openness == Openness::Public);
            policy.said.store(self.clock.now_ms() << 1 | public, Ordering::SeqCst);
            if policy.changes.load(Ordering::SeqCst) == changes {
                return Ok(openness);
            }
            policy.said.store(0, Ordering::SeqCst);
        }
        Err(Refusal::unavailable("The content's policy is being changed"))
    }

    async fn question(&self, content: ContentId) -> Result<Openness, Refusal> {
        let request = PolicyRequest { content: content.to_string() };
        let mut client = AccessClient::new(self.access.client.clone());
        match self.access.call(client.policy(request)).await.map(|it| it.into_inner().openness()) {
            // An unlisted content is playable by everyone who has its address.
            Some(Said::Public | Said::Unlisted) => Ok(Openness::Public),
            Some(Said::Gated | Said::Private | Said::Unspecified) => Ok(Openness::Closed),
            None => Err(Refusal::unavailable("The access plugin returned no policy for this content")),
        }
    }

    /// An event reports a changed policy.
    pub(crate) fn changed(&self, content: ContentId) {
        if let Some(policy) = self.known.peek(&content) {
            policy.changes.fetch_add(1, Ordering::SeqCst);
            policy.said.store(0, Ordering::SeqCst);
        }
    }
}
