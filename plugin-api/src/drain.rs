//! How many requests of others this library is answering, their bodies included: what the host
//! waits for before it stops a plugin that another one has replaced.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

static OPEN: AtomicUsize = AtomicUsize::new(0);
static IDLE: Notify = Notify::const_new();

/// Counts one request until it is dropped.
pub(crate) struct Open(());

impl Open {
    pub(crate) fn new() -> Self {
        OPEN.fetch_add(1, SeqCst);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if OPEN.fetch_sub(1, SeqCst) == 1 {
            IDLE.notify_waiters();
        }
    }
}

/// Waits until no request is open.
pub(crate) async fn idle() {
    loop {
        let idle = IDLE.notified();
        if OPEN.load(SeqCst) == 0 {
            return;
        }
        // Made before the look at the count, so that no change in between is missed.
        idle.await;
    }
}
