//! The visibility of contents: the openness from `access`, cached for a while. An unknown content is never
//! treated as public.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{BarsRequest, Openness, PoliciesRequest, PolicyResponse};
use streamgate_contracts::catalogue::v1::{Content, ContentState, Right};
use streamgate_plugin_api::Client;
use tonic::Code;

use crate::rights::{Bars, Caller, Held};
use crate::store::StoreError;

/// Number of cached contents.
const CAPACITY: usize = 16_384;
/// Principals and their blocks that are remembered, in all.
const BARS: u64 = 1 << 18;
/// Contents of one call to `access`.
const AT_ONCE: usize = 100;
/// How long `access` may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The contents visible to a caller: all; or their own and shared ones, and public ones that are playable or
/// soon will be.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) caller: Caller,
    /// Whatever the policy and the owner.
    pub(crate) all: bool,
}

impl Sight {
    /// Whether a content is visible whatever its policy.
    pub(crate) fn is_sure(&self, held: &impl Held) -> bool {
        self.all || self.caller.right_to(held) >= Right::View
    }

    /// Whether the owner and shares of a content are shown too.
    pub(crate) fn shows_owner(&self, held: &impl Held) -> bool {
        self.caller.right_to(held) >= Right::Edit || (self.all && self.caller.may(Right::Edit, held))
    }
}

/// The place of a request for a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// In a list, a search, or the changes of all contents.
    List,
    /// At its address, which the caller has.
    Address,
}

/// All policies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Policies(Option<Arc<Shared>>);

struct Shared {
    access: AccessClient<Client>,
    max_age: Duration,
    known: Cache<String, (Openness, Instant)>,
    /// By principal.
    barred: Cache<String, (Bars, Instant), Weight>,
    /// Counts the events: an answer to a request from before an event is dropped.
    changes: AtomicU64,
}

impl Policies {
    /// With the plugin that provides `access`; without one, everything is visible to everyone.
    pub(crate) fn new(access: Option<Client>, max_age: Duration) -> Self {
        Self(access.map(|access| {
            let access = AccessClient::new(access);
            let (known, changes) = (Cache::new(CAPACITY), AtomicU64::new(0));
            let barred = Cache::with_weighter(CAPACITY, BARS, Weight);
            Arc::new(Shared { access, max_age, known, barred, changes })
        }))
    }

    /// Whether there is access control.
    pub(crate) fn are_asked(&self) -> bool {
        self.0.is_some()
    }

    /// What the sender of a request may know of.
    pub(crate) async fn sight(&self, caller: Caller) -> Sight {
        let all = self.0.is_none() || caller.is_admin();
        let caller = match all || !caller.can_be_barred() {
            true => caller,
            false => {
                let bars = self.bars(&caller.id).await;
                caller.with_bars(bars)
            }
        };
        Sight { caller, all }
    }

    /// What a principal is blocked from; none: `access` does not say.
    pub(crate) async fn bars(&self, principal: &str) -> Option<Bars> {
        let Some(shared) = &self.0 else { return Some(Bars::default()) };
        let asked = Instant::now();
        match shared.barred.get(principal) {
            Some((bars, since)) if asked.duration_since(since) < shared.max_age => return Some(bars),
            _ => {}
        }
        let changes = shared.changes.load(Ordering::SeqCst);
        let mut access = shared.access.clone();
        let asking = access.bars(BarsRequest { principal: principal.to_owned() });
        let bars = match tokio::time::timeout(DEADLINE, asking).await {
            Ok(Ok(answer)) => Bars::new(answer.into_inner().contents.into_iter().collect()),
            // An `access` from before there was the question.
            Ok(Err(status)) if status.code() == Code::Unimplemented => Bars::default(),
            Ok(Err(status)) => {
                tracing::warn!(principal, %status, "blocks are unknown, and shares with this principal do not count");
                return None;
            }
            Err(_) => {
                tracing::warn!(principal, "blocks are unknown, and shares with this principal do not count");
                return None;
            }
        };
        if shared.changes.load(Ordering::SeqCst) == changes {
            shared.barred.insert(principal.to_owned(), (bars.clone(), asked));
        }
        Some(bars)
    }

    /// An event told that a principal is blocked from another set of contents.
    pub(crate) fn bars_changed(&self, principal: &str) {
        if let Some(shared) = &self.0 {
            shared.changes.fetch_add(1, Ordering::SeqCst);
            shared.barred.remove(principal);
        }
    }

    /// The openness of a content.
    ///
    /// # Errors
    /// `access` does not answer.
    pub(crate) async fn openness(&self, content: &str) -> Result<Openness, StoreError> {
        Ok(self.openness_of(&[content]).await?[0])
    }

    /// The openness of some contents; without `access` all are public. Those not cached are requested in one
    /// call.
    ///
    /// # Errors
    /// `access` does not answer.
    pub(crate) async fn openness_of(&self, contents: &[&str]) -> Result<Vec<Openness>, StoreError> {
        let Some(shared) = &self.0 else { return Ok(vec![Openness::Public; contents.len()]) };
        let asked = Instant::now();
        let known = |id: &&str| {
            let (openness, since) = shared.known.get(*id)?;
            (asked.duration_since(since) < shared.max_age).then_some(openness)
        };
        let mut found: Vec<Option<Openness>> = contents.iter().map(known).collect();
        let missing: Vec<String> = (contents.iter().zip(&found))
            .filter(|(_, openness)| openness.is_none())
            .map(|(id, _)| (*id).to_owned())
            .collect();
        for some in missing.chunks(AT_ONCE) {
            let changes = shared.changes.load(Ordering::SeqCst);
            let policies = shared.ask(some).await?;
            let keep = shared.changes.load(Ordering::SeqCst) == changes;
            let left = found.iter_mut().filter(|openness| openness.is_none());
            for ((slot, id), policy) in left.zip(some).zip(policies) {
                let openness = match policy.openness() {
                    // A value unknown to this version means private.
                    Openness::Unspecified => Openness::Private,
                    openness => openness,
                };
                if keep {
                    shared.known.insert(id.clone(), (openness, asked));
                }
                *slot = Some(openness);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// An event reported a changed policy.
    pub(crate) fn changed(&self, content: &str) {
        if let Some(shared) = &self.0 {
            shared.changes.fetch_add(1, Ordering::SeqCst);
            shared.known.remove(content);
        }
    }

    /// Whether a content is visible to the sender of a request at this place.
    ///
    /// # Errors
    /// `access` does not answer.
    pub(crate) async fn show(
        &self,
        content: &Content,
        sight: &Sight,
        place: Where,
    ) -> Result<bool, StoreError> {
        Ok(self.show_each(&[content], sight, place).await?[0])
    }

    /// Whether each of some contents is visible to the sender of a request at this place.
    ///
    /// # Errors
    /// `access` does not answer.
    pub(crate) async fn show_each(
        &self,
        contents: &[&Content],
        sight: &Sight,
        place: Where,
    ) -> Result<Vec<bool>, StoreError> {
        if !sight.all && contents.iter().any(|content| sight.caller.is_unsure_of(*content)) {
            let reason = "`access` does not say what you are blocked from; try again";
            return Err(StoreError::Unavailable(reason.into()));
        }
        let depends = |content: &Content| !sight.is_sure(content) && is_presentable(content.state());
        let ids: Vec<&str> = contents.iter().filter(|it| depends(it)).map(|it| it.id.as_str()).collect();
        let mut openness = self.openness_of(&ids).await?.into_iter();
        let shows = |content: &&Content| match depends(content) {
            true => openness.next().is_some_and(|openness| {
                is_listed(openness) || (place == Where::Address && is_addressed(openness))
            }),
            false => sight.is_sure(*content),
        };
        Ok(contents.iter().map(shows).collect())
    }
}

/// How much of [`BARS`] the blocks of a principal take.
#[derive(Clone)]
struct Weight;

impl Weighter<String, (Bars, Instant)> for Weight {
    fn weight(&self, _: &String, (bars, _): &(Bars, Instant)) -> u64 {
        bars.len() as u64 + 1
    }
}

impl Shared {
    /// The answer of `access` about some contents, one for each.
    async fn ask(&self, contents: &[String]) -> Result<Vec<PolicyResponse>, StoreError> {
        let unavailable = |reason: String| {
            let of = match contents {
                [one] => format!("`{one}`"),
                more => format!("{} contents", more.len()),
            };
            StoreError::Unavailable(format!(
                "the visibility of {of} is unknown: `access` failed: {reason}; try again"
            ))
        };
        let mut access = self.access.clone();
        let asking = access.policies(PoliciesRequest { contents: contents.to_vec() });
        let answer = tokio::time::timeout(DEADLINE, asking)
            .await
            .map_err(|_| unavailable(format!("no answer within {DEADLINE:?}")))?
            .map_err(|status| unavailable(status.message().to_owned()))?;
        let policies = answer.into_inner().policies;
        match policies.len() == contents.len() {
            true => Ok(policies),
            false => Err(unavailable(format!("it answered with {} policies", policies.len()))),
        }
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("asked", &self.are_asked()).finish_non_exhaustive()
    }
}

/// Whether lists, searches and the changes of all contents show it to everyone.
pub(crate) fn is_listed(openness: Openness) -> bool {
    matches!(openness, Openness::Public | Openness::Gated)
}

/// Whether it is visible to everyone with its address.
pub(crate) fn is_addressed(openness: Openness) -> bool {
    is_listed(openness) || openness == Openness::Unlisted
}

/// Its name in the API; `None`: unknown.
pub(crate) fn visibility(openness: Openness) -> Option<&'static str> {
    match openness {
        Openness::Public => Some("public"),
        Openness::Gated => Some("gated"),
        Openness::Unlisted => Some("unlisted"),
        Openness::Private => Some("private"),
        Openness::Unspecified => None,
    }
}

/// States that are visible to everyone.
pub(crate) const PRESENTABLE: [ContentState; 4] =
    [ContentState::Uploaded, ContentState::Transcoding, ContentState::Playable, ContentState::Ready];

/// Whether it is playable, or soon will be.
pub(crate) fn is_presentable(state: ContentState) -> bool {
    PRESENTABLE.contains(&state)
}
