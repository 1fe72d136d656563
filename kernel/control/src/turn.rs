//! Whose turn it is to change something. One changes it at a time; what tries to bring it about by
//! itself for a long time looks whether somebody waits, and gives way.

use tokio::sync::{Mutex, MutexGuard, watch};

/// The turn, and who waits for it.
#[derive(Debug, Default)]
pub struct Turn {
    turn: Mutex<()>,
    claims: watch::Sender<usize>,
}

/// Counts one who waits until it is dropped.
struct Claim<'a>(&'a watch::Sender<usize>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|claims| *claims -= 1);
    }
}

impl Turn {
    /// Waits for the turn, and lets whoever has it go on.
    pub async fn wait(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Waits for the turn, and has whoever tries something give it up: somebody wants something else.
    pub async fn claim(&self) -> MutexGuard<'_, ()> {
        self.claims.send_modify(|claims| *claims += 1);
        let _claim = Claim(&self.claims);
        self.turn.lock().await
    }

    /// Whether somebody claims it.
    pub fn is_claimed(&self) -> bool {
        *self.claims.borrow() > 0
    }

    /// Waits until somebody claims it.
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
    async fn whoever_tries_something_is_told_that_somebody_wants_the_turn_and_whoever_waits_does_not_tell() {
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
    async fn who_goes_away_claims_nothing_any_more() {
        let turn = Turn::default();
        let _tries = turn.wait().await;
        assert!(turn.claim().now_or_never().is_none());
        assert!(!turn.is_claimed());
    }
}
