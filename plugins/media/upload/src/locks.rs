//! One request at a time works on an upload, and the newest wins: a client that lost its connection returns
//! while the server still serves the old request, so that one is told to stop, settles what it has, and gives
//! way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate_plugin_api::slots::{self, Slots};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// How long the older request may take to settle: at most one sync of what it has received.
const PATIENCE: Duration = Duration::from_secs(20);

/// The current request of each upload. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks {
    slots: Slots<Slot>,
    all: CancellationToken,
}

#[derive(Debug, Default)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Of the newest request for the turn.
    newest: Mutex<CancellationToken>,
}

/// The right to work on an upload, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Cancelled when somebody newer wants the upload.
    pub(crate) stop: CancellationToken,
    _turn: OwnedMutexGuard<()>,
    _slot: slots::Slot<Slot>,
}

/// The older request did not settle in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StillBusy;

impl Locks {
    /// Stops whoever works on the upload and takes its place once it has settled.
    pub(crate) async fn take(&self, id: &str) -> Result<Lock, StillBusy> {
        let slot = self.slots.get(id);
        let stop = self.all.child_token();
        let older = {
            let mut newest = slot.newest.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *newest, stop.clone())
        };
        older.cancel();
        let turn = slot.turn.clone().lock_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| StillBusy)?;
        Ok(Lock { stop, _turn: turn, _slot: slot })
    }

    /// Takes the upload only if nobody works on it.
    pub(crate) fn try_take(&self, id: &str) -> Option<Lock> {
        let slot = self.slots.get(id);
        let turn = slot.turn.clone().try_lock_owned().ok()?;
        let stop = self.all.child_token();
        *slot.newest.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
        Some(Lock { stop, _turn: turn, _slot: slot })
    }

    /// Stops all requests, now and later: the plugin is about to stop.
    pub(crate) fn stop_all(&self) {
        self.all.cancel();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_stops_the_older_and_waits_for_it_to_settle() {
        let locks = Locks::default();
        let older = locks.take("a").await.unwrap();
        let newer = tokio::spawn({
            let locks = locks.clone();
            async move { locks.take("a").await }
        });
        older.stop.cancelled().await;
        assert!(!newer.is_finished());
        assert!(locks.try_take("a").is_none());
        drop(older);
        assert!(!newer.await.unwrap().unwrap().stop.is_cancelled());
    }

    #[tokio::test]
    async fn of_two_that_wait_the_older_is_stopped_before_it_begins() {
        let locks = Locks::default();
        let first = locks.take("a").await.unwrap();
        let (second, third) = (locks.take("a"), locks.take("a"));
        let (second, third, ()) = tokio::join!(
            async { second.await.map(|lock| lock.stop.is_cancelled()) },
            async { third.await.map(|lock| lock.stop.is_cancelled()) },
            async { drop(first) },
        );
        assert_eq!((second, third), (Ok(true), Ok(false)));
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_uploads_that_nobody_works_on() {
        let locks = Locks::default();
        for number in 0..100 {
            drop(locks.take(&number.to_string()).await.unwrap());
            drop(locks.try_take("x"));
        }
        assert!(locks.slots.is_empty());
    }
}
