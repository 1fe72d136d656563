//! HTTP/2 streams whose client grants no window: the connection lives, and its PINGs are answered, while a
//! response waits forever. Each stream has its own clock, and ends alone.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use streamgate_plugin_api::fair::Place;

use crate::watch::Watch;

/// Maximum streams of one connection: as few as RFC 9113 §6.5.2 advises, because each costs memory.
pub(crate) const MAX_STREAMS: u32 = 100;
/// Minimum traffic of an active connection while a stream waits; more than the PINGs that the server may
/// send.
const MOVES: u64 = 32 << 10;
/// The least that is sent of a stream at its turn.
const FRAME: u64 = 16 << 10;

/// One stream: its slot, and since when its response waits for the client.
#[derive(Debug)]
pub(crate) struct Progress {
    watch: Arc<Watch>,
    /// Bytes waiting for the client.
    size: AtomicU64,
    /// Traffic of the connection before.
    carried: AtomicU64,
    began: Instant,
    /// Milliseconds since its start, plus one; 0: it does not wait.
    waits_since: AtomicU64,
    /// `None` for a trusted proxy, which serves many clients.
    place: Option<Place>,
}

impl Progress {
    fn new(watch: Arc<Watch>, place: Option<Place>) -> Self {
        Self {
            watch,
            size: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            began: Instant::now(),
            waits_since: AtomicU64::new(0),
            place,
        }
    }

    /// There are bytes for the client. hyper polls for more only when the client has room for them.
    pub(crate) fn offered(&self, bytes: usize) {
        self.size.store(bytes as u64, Relaxed);
        self.carried.store(self.watch.written(), Relaxed);
        self.waits_since.store(self.began.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    /// The client has room, and the plugin has nothing.
    pub(crate) fn waits_for_the_plugin(&self) {
        self.waits_since.store(0, Relaxed);
    }

    /// Comes when somebody else has its place.
    pub(crate) async fn displaced(&self) {
        match &self.place {
            Some(place) => place.displaced().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the connection, which had carried `seen` at the last check, is active and has not reached this
    /// stream yet: it is slow for all its streams together, so the client does not withhold this one's
    /// window.
    fn waits_for_its_turn(&self, seen: u64) -> bool {
        let (now, began) = (self.watch.written(), self.carried.load(Relaxed));
        let turn = u64::from(MAX_STREAMS) * self.size.load(Relaxed).max(FRAME);
        now - began.max(seen) >= MOVES && now - began < turn
    }

    /// Resolves when the client read nothing for `patience`.
    async fn stalled(&self, patience: Duration) {
        let mut seen = 0;
        loop {
            let waited = match self.waits_since.load(Relaxed) {
                0 => Duration::ZERO,
                since => self.began.elapsed().saturating_sub(Duration::from_millis(since - 1)),
            };
            let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                if !self.waits_for_its_turn(seen) {
                    return;
                }
                seen = self.watch.written();
                tokio::time::sleep(patience).await;
                continue;
            };
            tokio::time::sleep(left).await;
        }
    }
}

/// Runs the streams of one connection, each for as long as its client reads some of it. Dropping a stream's
/// future resets the stream (RFC 9113 §7, CANCEL).
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    patience: Duration,
    watch: Arc<Watch>,
    /// Of the last accepted request: hyper returns its future immediately after.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl Streams {
    pub(crate) fn new(patience: Duration, watch: Arc<Watch>) -> Self {
        Self { patience, watch, next: Arc::default() }
    }

    /// A request was accepted; its future comes next.
    pub(crate) fn begin(&self, place: Option<Place>) -> Arc<Progress> {
        let progress = Arc::new(Progress::new(self.watch.clone(), place));
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
                () = progress.stalled(patience) => tracing::debug!(seconds = patience.as_secs(), "a client read nothing of a response"),
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
        let watch = Arc::new(Watch::new());
        let waiting = |since: u64| Progress {
            began,
            waits_since: AtomicU64::new(since),
            ..Progress::new(watch.clone(), None)
        };
        let ended = |progress: &Progress| progress.stalled(patience).now_or_never().is_some();
        assert!(ended(&waiting(1)), "the client took nothing for 100 s");
        assert!(!ended(&waiting(90_000)), "nothing for 10 s");
        assert!(!ended(&waiting(0)), "the plugin has not answered yet");
        let progress = waiting(1);
        progress.waits_for_the_plugin();
        assert!(!ended(&progress), "the plugin has no more yet");
        progress.offered(1);
        assert!(!ended(&progress), "the client took something just now");
    }

    #[tokio::test]
    async fn a_stream_waits_as_long_as_its_connection_moves_and_has_not_come_to_it() {
        let watch = Arc::new(Watch::new());
        let progress = Progress::new(watch.clone(), None);
        progress.offered(1 << 20);
        watch.was_written(17 * 1000, true);
        assert!(!progress.waits_for_its_turn(0), "answers to PINGs");
        watch.was_written(1 << 20, true);
        assert!(progress.waits_for_its_turn(0), "others were served");
        assert!(!progress.waits_for_its_turn(watch.written()), "nothing moved since");
        watch.was_written(100 << 20, true);
        assert!(!progress.waits_for_its_turn(0), "all others had as much, and more than once");
    }
}
