//! How many requests of others this library is answering, their bodies included: what the host
//! waits for before it stops a plugin that another one has replaced.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

static OPEN: AtomicUsize = AtomicUsize::new(0);
/// How many wait for the last of them.
static WAITING: AtomicUsize = AtomicUsize::new(0);
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
        if OPEN.fetch_sub(1, SeqCst) == 1 && WAITING.load(SeqCst) > 0 {
            IDLE.notify_waiters();
        }
    }
}

/// Counts one who waits until it is dropped.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// Waits until no request is open.
pub(crate) async fn idle() {
    WAITING.fetch_add(1, SeqCst);
    let _waiting = Waiting;
    loop {
        let idle = IDLE.notified();
        if OPEN.load(SeqCst) == 0 {
            return;
        }
        // Made before the look at the count, so that no change in between is missed.
        idle.await;
    }
}
