//! Who may know of a content: what `access` says of its policy, kept in memory for a while. What is
//! not known is never taken for open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{Openness, PolicyRequest};
use streamgate_contracts::catalogue::v1::{Content, ContentState, Right};
use streamgate_plugin_api::Client;

use crate::rights::{Caller, Held};
use crate::store::StoreError;

/// Contents of which it is remembered.
const CAPACITY: usize = 16_384;
/// How long `access` may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which contents somebody may know of: all there are; or those that are theirs or shared with them, and those whose policy lets
/// everybody know of them and of which there is something to play or soon will be.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) caller: Caller,
    /// Whatever the policy and the owner.
    pub(crate) all: bool,
}

impl Sight {
    /// Whether a content is seen whatever its policy.
    pub(crate) fn is_sure(&self, held: &impl Held) -> bool {
        self.all || self.caller.right_to(held) >= Right::View
    }

    /// Whether whose a content is, and for whom, is shown too.
    pub(crate) fn shows_owner(&self, held: &impl Held) -> bool {
        self.caller.right_to(held) >= Right::Edit || (self.all && self.caller.may(Right::Edit, held))
    }
}

/// Where somebody comes upon a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// In a list, a search, or the changes of all contents.
    List,
    /// At its address, which they have.
    Address,
}

/// All policies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Policies(Option<Arc<Shared>>);

struct Shared {
    access: AccessClient<Client>,
    max_age: Duration,
    known: Cache<String, (Openness, Instant)>,
    /// Counts the events: an answer to what was asked before one is not kept.
    changes: AtomicU64,
}

impl Policies {
    /// With the plugin that provides `access`; without one, everybody may know of everything.
    pub(crate) fn new(access: Option<Client>, max_age: Duration) -> Self {
        Self(access.map(|access| {
            let access = AccessClient::new(access);
            Arc::new(Shared { access, max_age, known: Cache::new(CAPACITY), changes: AtomicU64::new(0) })
        }))
    }

    /// Whether there are any.
    pub(crate) fn are_asked(&self) -> bool {
        self.0.is_some()
    }

    /// What the sender of a request may know of.
    pub(crate) fn sight(&self, caller: Caller) -> Sight {
        Sight { all: self.0.is_none() || caller.is_admin(), caller }
    }

    /// How open a content is; without `access` every one is public.
    ///
    /// # Errors
    /// `access` does not say.
    pub(crate) async fn openness(&self, content: &str) -> Result<Openness, StoreError> {
        let Some(shared) = &self.0 else { return Ok(Openness::Public) };
        if let Some((openness, asked)) = shared.known.get(content)
            && asked.elapsed() < shared.max_age
        {
            return Ok(openness);
        }
        let (changes, asked) = (shared.changes.load(Ordering::SeqCst), Instant::now());
        let mut access = shared.access.clone();
        let asking = access.policy(PolicyRequest { content: content.to_owned() });
        let unavailable = |reason: String| {
            StoreError::Unavailable(format!(
                "`access` does not say who may know of `{content}`: {reason}; try again"
            ))
        };
        let answer = tokio::time::timeout(DEADLINE, asking)
            .await
            .map_err(|_| unavailable(format!("no answer within {DEADLINE:?}")))?
            .map_err(|status| unavailable(status.message().to_owned()))?;
        let openness = match answer.into_inner().openness() {
            // What this version does not know is for nobody.
            Openness::Unspecified => Openness::Private,
            openness => openness,
        };
        if shared.changes.load(Ordering::SeqCst) == changes {
            shared.known.insert(content.to_owned(), (openness, asked));
        }
        Ok(openness)
    }

    /// An event told that the policy is another one.
    pub(crate) fn changed(&self, content: &str) {
        if let Some(shared) = &self.0 {
            shared.changes.fetch_add(1, Ordering::SeqCst);
            shared.known.remove(content);
        }
    }

    /// Whether the sender of a request may know of a content upon which they come at this place.
    ///
    /// # Errors
    /// `access` does not say.
    pub(crate) async fn show(
        &self,
        content: &Content,
        sight: &Sight,
        place: Where,
    ) -> Result<bool, StoreError> {
        if sight.is_sure(content) {
            return Ok(true);
        }
        if !is_presentable(content.state()) {
            return Ok(false);
        }
        let openness = self.openness(&content.id).await?;
        Ok(is_listed(openness) || (place == Where::Address && is_addressed(openness)))
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("asked", &self.are_asked()).finish_non_exhaustive()
    }
}

/// Whether lists, searches and the changes of all contents show it to everybody.
pub(crate) fn is_listed(openness: Openness) -> bool {
    matches!(openness, Openness::Public | Openness::Gated)
}

/// Whether everybody who has its address may know of it.
pub(crate) fn is_addressed(openness: Openness) -> bool {
    is_listed(openness) || openness == Openness::Unlisted
}

/// What people call it; none: it is not known.
pub(crate) fn visibility(openness: Openness) -> Option<&'static str> {
    match openness {
        Openness::Public => Some("public"),
        Openness::Gated => Some("gated"),
        Openness::Unlisted => Some("unlisted"),
        Openness::Private => Some("private"),
        Openness::Unspecified => None,
    }
}

/// States of which others than those who may change contents learn.
pub(crate) const PRESENTABLE: [ContentState; 4] =
    [ContentState::Uploaded, ContentState::Transcoding, ContentState::Playable, ContentState::Ready];

/// Whether there is something to play, or soon will be.
pub(crate) fn is_presentable(state: ContentState) -> bool {
    PRESENTABLE.contains(&state)
}
