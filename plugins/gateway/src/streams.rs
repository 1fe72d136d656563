//! Streams of HTTP/2 whose client gives no window: the connection lives, and its PINGs are answered, while a response
//! waits for ever. Each stream has a clock of its own, and ends alone.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use streamgate_plugin_api::fair::Place;

/// One stream: its place among all, and since when its response waits for the client.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// In milliseconds since it began, plus one; 0: it does not wait.
    waits_since: AtomicU64,
    /// None for a trusted proxy, behind which are many clients.
    place: Option<Place>,
}

impl Progress {
    fn new(place: Option<Place>) -> Self {
        Self { began: Instant::now(), waits_since: AtomicU64::new(0), place }
    }

    /// There is something for the client. hyper asks for no more before the client has room for it.
    pub(crate) fn offered(&self) {
        self.waits_since.store(self.began.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    /// The client has room, and the plugin has nothing.
    pub(crate) fn waits_for_the_plugin(&self) {
        self.waits_since.store(0, Relaxed);
    }

    /// Comes when somebody else has its place.
    async fn displaced(&self) {
        match &self.place {
            Some(place) => place.displaced().await,
            None => std::future::pending().await,
        }
    }

    /// Comes when the client took nothing for as long as `patience`.
    async fn stalled(&self, patience: Duration) {
        loop {
            let waited = match self.waits_since.load(Relaxed) {
                0 => Duration::ZERO,
                since => self.began.elapsed().saturating_sub(Duration::from_millis(since - 1)),
            };
            let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else { return };
            tokio::time::sleep(left).await;
        }
    }
}

/// Runs the streams of one connection, each for as long as its client takes something of it. Dropping a stream's future
/// resets the stream (RFC 9113 §7, CANCEL).
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    patience: Duration,
    /// Of the request that was taken last: hyper hands its future over in the same breath.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl Streams {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, next: Arc::default() }
    }

    /// A request was taken; its future comes next.
    pub(crate) fn begin(&self, place: Option<Place>) -> Arc<Progress> {
        let progress = Arc::new(Progress::new(place));
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        progress
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let progress = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let patience = self.patience;
        tokio::spawn(async move {
            let Some(progress) = progress else { return drop(stream.await) };
            tokio::select! {
                biased;
                _ = stream => {}
                () = progress.displaced() => tracing::debug!("a stream was ended for one of another client"),
                () = progress.stalled(patience) => tracing::debug!(seconds = patience.as_secs(), "a client took nothing of a response"),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn only_waiting_for_the_client_counts() {
        let patience = Duration::from_secs(30);
        let began =
            Instant::now().checked_sub(Duration::from_secs(100)).expect("the machine is up for minutes");
        let waiting = |since: u64| Progress { began, waits_since: AtomicU64::new(since), place: None };
        let ended = |progress: &Progress| progress.stalled(patience).now_or_never().is_some();
        assert!(ended(&waiting(1)), "the client took nothing for 100 s");
        assert!(!ended(&waiting(90_000)), "nothing for 10 s");
        assert!(!ended(&waiting(0)), "the plugin has not answered yet");
        let progress = waiting(1);
        progress.waits_for_the_plugin();
        assert!(!ended(&progress), "the plugin has no more yet");
        progress.offered();
        assert!(!ended(&progress), "the client took something just now");
    }
}
