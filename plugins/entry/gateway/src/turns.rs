//! Turns of requests that arrive together on one connection: pipelined, or as HTTP/2 streams. The thread
//! begins a few of them before it handles other work, and serves the addresses in turn: a client that sends a
//! thousand requests at once delays only its own.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Requests that begin before other work has its turn.
const AT_ONCE: usize = 8;

/// The turns of one thread; clones share them. Waiting requests are bounded by the limits on streams and
/// connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    line: Mutex<Line>,
    came: Notify,
}

/// The waiting requests.
#[derive(Debug, Default)]
struct Line {
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<()>>>,
    /// Addresses with waiting requests; the first is the next.
    order: VecDeque<IpAddr>,
}

impl Line {
    fn join(&mut self, address: IpAddr) -> oneshot::Receiver<()> {
        let (turn, taken) = oneshot::channel();
        let own = self.waiting.entry(address).or_default();
        if own.is_empty() {
            self.order.push_back(address);
        }
        own.push_back(turn);
        taken
    }

    /// Gives the next turn to a request that still waits; false if there is none.
    fn give(&mut self) -> bool {
        while let Some(address) = self.order.pop_front() {
            let Some(own) = self.waiting.get_mut(&address) else { continue };
            let given = own.pop_front().is_some_and(|turn| turn.send(()).is_ok());
            if own.is_empty() {
                self.waiting.remove(&address);
            } else {
                self.order.push_back(address);
            }
            if given {
                return true;
            }
        }
        false
    }
}

impl Turns {
    /// Waits for a turn.
    pub(crate) async fn take(&self, address: IpAddr) {
        let turn = self.line().join(address);
        self.0.came.notify_one();
        // Without a thread that gives turns there is nothing to wait for.
        let _ = turn.await;
    }

    /// Gives turns while the thread serves.
    pub(crate) async fn give(self) {
        loop {
            let given = {
                let mut line = self.line();
                (0..AT_ONCE).take_while(|_| line.give()).count()
            };
            match given {
                0 => self.0.came.notified().await,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn addresses_take_turns_however_many_one_of_them_waits_for() {
        let mut line = Line::default();
        let mut greedy: Vec<_> = (0..1000).map(|_| line.join(address(1))).collect();
        let mut modest = line.join(address(2));
        assert!(line.give() && line.give());
        assert!(modest.try_recv().is_ok(), "the second turn");
        assert!(greedy[0].try_recv().is_ok());
        assert!(greedy[1].try_recv().is_err());
    }

    #[test]
    fn a_dropped_request_takes_no_turn_and_leaves_no_state() {
        let mut line = Line::default();
        drop((0..1000).map(|_| line.join(address(1))).collect::<Vec<_>>());
        let mut waiting = line.join(address(2));
        assert!(line.give());
        assert!(waiting.try_recv().is_ok());
        assert!(!line.give());
        assert!(line.waiting.is_empty() && line.order.is_empty());
    }

    #[tokio::test]
    async fn everybody_has_a_turn_in_the_end_and_others_run_between() {
        let turns = Turns::default();
        let giver = tokio::spawn(turns.clone().give());
        let crowd: Vec<_> = (0..500)
            .map(|number| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.take(address(number as u8 % 7)).await })
            })
            .collect();
        for one in crowd {
            one.await.expect("no panic");
        }
        giver.abort();
    }
}
