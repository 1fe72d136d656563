//! The concurrent requests of one connection, and the waiting ones.
//!
//! Before the other side answers it may call back, and that may lead here again. If the outermost requests
//! could take all slots, the nested ones would wait for slots that only they can free. So each level of
//! nesting has its own slots, and a request may also use a free slot of the levels above: the holder of a
//! slot waits only for deeper levels, and so never, directly or indirectly, for itself. Requests beyond the
//! deepest level share its slots, without that guarantee; like all others they wait for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;

use crate::wire::{RESERVED, STREAMS};

/// The slots of each level: the number of processes a request has crossed into before it crosses here.
const SHARES: [usize; 8] = [448, 128, 96, 64, 48, 24, 16, 8];
/// Maximum waiting requests of one level.
const WAITING: usize = 1024;
/// Maximum waiting time.
const PATIENCE: Duration = Duration::from_secs(10);

const _: () = {
    let (mut all, mut level) = (0, 0);
    while level < SHARES.len() {
        all += SHARES[level];
        level += 1;
    }
    assert!(all == STREAMS as usize - RESERVED, "the shares are all places that there are");
};

/// The slots of one connection.
pub(crate) struct Permits(Vec<Level>);

struct Level {
    places: Arc<Semaphore>,
    queue: Semaphore,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[allow(dead_code)] OwnedSemaphorePermit);

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The connection is closed.
    Closed,
    /// Too many wait already, or none was free in time.
    Busy,
}

impl Permits {
    pub(crate) fn new() -> Self {
        Self::of(&SHARES, WAITING)
    }

    fn of(shares: &[usize], waiting: usize) -> Self {
        let level = |places: &usize| Level {
            places: Arc::new(Semaphore::new(*places)),
            queue: Semaphore::new(waiting),
        };
        Self(shares.iter().map(level).collect())
    }

    /// A slot for a request that has crossed `crossings` times before.
    pub(crate) async fn take(&self, crossings: u8) -> Result<Permit, Denied> {
        let own = usize::from(crossings).min(self.0.len() - 1);
        for level in self.0[..=own].iter().rev() {
            match level.places.clone().try_acquire_owned() {
                Ok(place) => return Ok(Permit(place)),
                Err(TryAcquireError::Closed) => return Err(Denied::Closed),
                Err(TryAcquireError::NoPermits) => {}
            }
        }
        let level = &self.0[own];
        let _turn = level.queue.try_acquire().map_err(|_| Denied::Busy)?;
        match timeout(PATIENCE, level.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Permit(place)),
            Ok(Err(_)) => Err(Denied::Closed),
            Err(_) => Err(Denied::Busy),
        }
    }

    /// Closes the slots, also for waiting requests.
    pub(crate) fn close(&self) {
        self.0.iter().for_each(|level| level.places.close());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use proptest::prelude::*;

    use super::*;

    /// Both directions between two processes.
    type Connections = Arc<[Permits; 2]>;

    /// A request in `direction` that makes one in the other before it is answered, and so on, `deeper` times.
    fn chain(
        connections: Connections,
        direction: usize,
        crossings: u8,
        deeper: u8,
    ) -> Pin<Box<dyn Future<Output = Result<(), Denied>> + Send>> {
        Box::pin(async move {
            let _place = connections[direction].take(crossings).await?;
            tokio::task::yield_now().await;
            if deeper > 0 {
                chain(connections.clone(), 1 - direction, crossings + 1, deeper - 1).await?;
            }
            Ok(())
        })
    }

    /// All of them at once. Time advances only when nothing else can happen: then a request waits forever.
    fn run(shares: &[usize], waiting: usize, chains: &[(usize, u8)]) -> Vec<Result<(), Denied>> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let connections: Connections =
                Arc::new([Permits::of(shares, waiting), Permits::of(shares, waiting)]);
            let run = |(direction, deeper): &(usize, u8)| {
                tokio::spawn(chain(connections.clone(), *direction, 0, *deeper))
            };
            let running: Vec<_> = chains.iter().map(run).collect();
            let mut ends = Vec::new();
            for chain in running {
                ends.push(chain.await.unwrap());
            }
            ends
        })
    }

    #[test]
    fn where_all_places_are_one_those_within_wait_for_those_around_them() {
        // What the shares prevent: the same requests, without them.
        let ends = run(&[2], 100, &[(0, 2); 4]);
        assert!(ends.contains(&Err(Denied::Busy)), "{ends:?}");
        assert!(run(&[1, 1, 1], 100, &[(0, 2); 4]).iter().all(Result::is_ok));
    }

    #[test]
    fn a_request_beyond_a_long_queue_is_refused_at_once_and_the_others_have_their_turn() {
        let ends = run(&[1, 1], 5, &[(0, 0); 10]);
        let busy = ends.iter().filter(|end| **end == Err(Denied::Busy)).count();
        assert_eq!(busy, 10 - 5 - 1, "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_the_connection_or_with_its_time_and_frees_its_turn() {
        let permits = Arc::new(Permits::of(&[1], 1));
        let held = permits.take(0).await.unwrap();
        assert_eq!(permits.take(0).await.unwrap_err(), Denied::Busy);
        // A dropped request makes room for the next waiting one.
        assert!(tokio::time::timeout(Duration::from_secs(1), permits.take(0)).await.is_err());
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.take(7).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let held = permits.take(0).await.unwrap();
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.take(0).await.map(drop) }
        });
        tokio::task::yield_now().await;
        permits.close();
        assert_eq!(waiting.await.unwrap(), Err(Denied::Closed));
        drop(held);
        assert_eq!(permits.take(0).await.unwrap_err(), Denied::Closed);
    }

    proptest! {
        #[test]
        fn requests_within_requests_never_wait_for_each_other_whatever_their_number_and_order(
            shares in prop::collection::vec(1_usize..4, 8),
            chains in prop::collection::vec((0_usize..2, 0_u8..8), 0..60),
        ) {
            let ends = run(&shares, 1_000, &chains);
            prop_assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        }
    }
}
