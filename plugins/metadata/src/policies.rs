//! Who may know of a content: what `access` says of its policy, kept in memory for a while. What is
//! not known is never taken for open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use quick_cache::sync::Cache;
use streamgate_contracts::access::v1::access_client::AccessClient;
use streamgate_contracts::access::v1::{Openness, PolicyRequest};
use streamgate_contracts::catalogue::v1::{Content, ContentState};
use streamgate_plugin_api::{Client, Principal};

use crate::store::StoreError;

/// Contents of which it is remembered.
const CAPACITY: usize = 16_384;
/// How long `access` may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Who has it may know of every content.
const WRITE: &str = "content:write";

/// Which contents somebody may know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All there are.
    All,
    /// Those whose policy is public or gated, and of which there is something to play or soon will be.
    Listed,
}

/// All policies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Policies(Option<Arc<Shared>>);

struct Shared {
    access: AccessClient<Client>,
    max_age: Duration,
    known: Cache<String, (bool, Instant)>,
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
    pub(crate) fn sight(&self, headers: &HeaderMap) -> Sight {
        let may = || Principal::of(headers).is_some_and(|principal| principal.may(WRITE));
        if self.0.is_none() || may() { Sight::All } else { Sight::Listed }
    }

    /// Whether others than those who may change contents may know of a content of this policy.
    ///
    /// # Errors
    /// `access` does not say.
    pub(crate) async fn listed(&self, content: &str) -> Result<bool, StoreError> {
        let Some(shared) = &self.0 else { return Ok(true) };
        if let Some((listed, asked)) = shared.known.get(content)
            && asked.elapsed() < shared.max_age
        {
            return Ok(listed);
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
        let listed = match answer.into_inner().openness() {
            Openness::Public | Openness::Gated => true,
            Openness::Private | Openness::Unspecified => false,
        };
        if shared.changes.load(Ordering::SeqCst) == changes {
            shared.known.insert(content.to_owned(), (listed, asked));
        }
        Ok(listed)
    }

    /// An event told that the policy is another one.
    pub(crate) fn changed(&self, content: &str) {
        if let Some(shared) = &self.0 {
            shared.changes.fetch_add(1, Ordering::SeqCst);
            shared.known.remove(content);
        }
    }

    /// Whether the sender of a request may know of a content.
    ///
    /// # Errors
    /// `access` does not say.
    pub(crate) async fn show(&self, content: &Content, sight: Sight) -> Result<bool, StoreError> {
        match sight {
            Sight::All => Ok(true),
            Sight::Listed if !is_presentable(content.state()) => Ok(false),
            Sight::Listed => self.listed(&content.id).await,
        }
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("asked", &self.are_asked()).finish_non_exhaustive()
    }
}

/// States of which others than those who may change contents learn.
pub(crate) const PRESENTABLE: [ContentState; 4] =
    [ContentState::Uploaded, ContentState::Transcoding, ContentState::Playable, ContentState::Ready];

/// Whether there is something to play, or soon will be.
pub(crate) fn is_presentable(state: ContentState) -> bool {
    PRESENTABLE.contains(&state)
}
