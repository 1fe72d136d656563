//! Concurrent searches: they read the whole catalogue, so only a few run at once, callers share those slots
//! fairly, and each has a time limit.

use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::catalogue::v1::Content;
use streamgate_plugin_api::fair::{Full, Holder, Places};
use tokio::sync::Semaphore;

/// Searches that may wait for a running one.
const WAITING_PER_RUNNING: usize = 16;

/// Runs searches. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Searches {
    places: Places,
    running: Arc<Semaphore>,
    timeout: Duration,
}

/// Why a search failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsearched {
    #[error("all searches are in use: {0}")]
    Full(#[from] Full),
    #[error("the slot of this search was given to a caller with fewer")]
    Displaced,
    #[error("the search did not finish within {0:?}; longer or fewer words may help")]
    TimedOut(Duration),
}

impl Searches {
    /// `at_once` of them run, each for `timeout` at most; one caller has `per_holder`.
    pub(crate) fn new(at_once: usize, per_holder: usize, timeout: Duration) -> Self {
        let places = Places::new(at_once.saturating_mul(1 + WAITING_PER_RUNNING), per_holder);
        Self { places, running: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))), timeout }
    }

    /// Runs a search in its turn. A cancelled one is dropped, which ends its statement in the database.
    pub(crate) async fn run<T>(
        &self,
        holder: Holder,
        search: impl Future<Output = T>,
    ) -> Result<T, Unsearched> {
        let place = self.places.take(holder)?;
        let turn = async {
            let _running = self.running.acquire().await;
            search.await
        };
        match tokio::time::timeout(self.timeout, place.hold(turn)).await {
            Ok(found) => found.ok_or(Unsearched::Displaced),
            Err(_) => Err(Unsearched::TimedOut(self.timeout)),
        }
    }
}

/// The searched text of a content.
pub(crate) fn search_text(content: &Content) -> String {
    let filename = content.source.as_ref().map_or("", |source| source.filename.as_str());
    let text = [&content.title, &content.description, &content.tags.join("\n"), filename].join("\n");
    text.to_lowercase()
}

/// Text as a `LIKE … ESCAPE '\'` pattern that matches exactly this text.
pub(crate) fn escape_like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::{pending, ready};

    fn holder(name: &str) -> Holder {
        Holder::Principal(name.into())
    }

    #[tokio::test]
    async fn a_crowd_of_searches_runs_a_few_at_once_and_leaves_a_newcomer_a_place() {
        let searches = Searches::new(1, 17, Duration::from_secs(3_600));
        let mut first = Box::pin(searches.run(holder("crowd"), pending::<()>()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut waiting: Vec<_> =
            (0..16).map(|_| Box::pin(searches.run(holder("crowd"), pending::<()>()))).collect();
        for search in &mut waiting {
            assert!(search.as_mut().now_or_never().is_none());
        }
        let share = searches.run(holder("crowd"), ready(())).await;
        assert_eq!(share, Err(Unsearched::Full(Full::Share(17))));
        let mut newcomer = Box::pin(searches.run(holder("ann"), ready("found")));
        assert!(newcomer.as_mut().now_or_never().is_none(), "it waits for its turn");
        assert_eq!(first.await, Err(Unsearched::Displaced));
        drop(waiting);
        assert_eq!(newcomer.await, Ok("found"));
    }

    #[tokio::test]
    async fn a_search_ends_when_its_time_is_up() {
        let timeout = Duration::from_millis(1);
        let searches = Searches::new(1, 1, timeout);
        assert_eq!(searches.run(holder("ann"), pending::<()>()).await, Err(Unsearched::TimedOut(timeout)));
        assert_eq!(searches.places.taken(), 0, "its place is free again");
        assert_eq!(searches.running.available_permits(), 1);
    }
}
