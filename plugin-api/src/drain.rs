//! How many requests of others one run is answering, their bodies included: what the host waits for
//! before it stops a plugin that another one has replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

/// The requests of one run.
#[derive(Debug, Default)]
pub struct Requests {
    open: AtomicUsize,
    /// How many wait for the last of them.
    waiting: AtomicUsize,
    idle: Notify,
}

/// Counts one request until it is dropped.
pub(crate) struct Open(Arc<Requests>);

impl Open {
    pub(crate) fn new(requests: &Arc<Requests>) -> Self {
        requests.open.fetch_add(1, SeqCst);
        Self(requests.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, SeqCst) == 1 && self.0.waiting.load(SeqCst) > 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Counts one who waits until it is dropped.
struct Waiting<'a>(&'a Requests);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl Requests {
    /// Waits until none is open.
    pub(crate) async fn idle(&self) {
        self.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(self);
        loop {
            let idle = self.idle.notified();
            if self.open.load(SeqCst) == 0 {
                return;
            }
            // Made before the look at the count, so that no change in between is missed.
            idle.await;
        }
    }
}
