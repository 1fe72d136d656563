//! The turn to change something. There is one at a time; a long-running retry checks whether another change
//! waits, and gives way.

use tokio::sync::{Mutex, MutexGuard, watch};

/// The turn and its waiters.
#[derive(Debug, Default)]
pub struct Turn {
    turn: Mutex<()>,
    claims: watch::Sender<usize>,
}

/// Counts a waiter until it is dropped.
struct Claim<'a>(&'a watch::Sender<usize>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|claims| *claims -= 1);
    }
}

impl Turn {
    /// Waits for the turn, without interrupting its holder.
    pub async fn wait(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Waits for the turn, and makes a retrying holder give it up, because a change was requested.
    pub async fn claim(&self) -> MutexGuard<'_, ()> {
        self.claims.send_modify(|claims| *claims += 1);
        let _claim = Claim(&self.claims);
        self.turn.lock().await
    }

    /// Whether it is claimed.
    pub fn is_claimed(&self) -> bool {
        *self.claims.borrow() > 0
    }

    /// Waits until it is claimed.
    pub async fn claimed(&self) {
        // The sender is ours, so the wait has no error.
        let _ = self.claims.subscribe().wait_for(|claims| *claims > 0).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_retry_learns_that_the_turn_is_claimed_but_not_that_it_is_waited_for() {
        let turn = Turn::default();
        let tries = turn.wait().await;
        let mut waits = Box::pin(turn.wait());
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(!turn.is_claimed() && turn.claimed().now_or_never().is_none());
        let mut claims = Box::pin(turn.claim());
        assert!(claims.as_mut().now_or_never().is_none());
        assert!(turn.is_claimed() && turn.claimed().now_or_never().is_some());
        drop((waits, tries));
        let _has = claims.await;
        assert!(!turn.is_claimed(), "it has it");
    }

    #[tokio::test]
    async fn a_dropped_claim_no_longer_counts() {
        let turn = Turn::default();
        let _tries = turn.wait().await;
        assert!(turn.claim().now_or_never().is_none());
        assert!(!turn.is_claimed());
    }
}
