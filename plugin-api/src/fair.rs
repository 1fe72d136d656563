//! Slots that callers share fairly: connections, event streams, concurrent uploads.
//!
//! A limit alone lets the first callers keep all others out. Here each holder has its own limit, and when all
//! slots are taken, a new caller displaces the oldest slot of the holder with the most. So holders of several
//! slots never keep out one that has none.
//!
//! ```
//! use streamgate_plugin_api::fair::{Full, Holder, Places};
//!
//! let places = Places::new(4, 3);
//! let greedy = Holder::Address("192.0.2.1".parse().unwrap());
//! let taken: Vec<_> = (0..3).map(|_| places.take(greedy.clone()).unwrap()).collect();
//! assert_eq!(places.take(greedy).unwrap_err(), Full::Share(3));
//!
//! let first = places.take(Holder::Principal("ann".into())).unwrap();
//! let second = places.take(Holder::Principal("bob".into())).unwrap();
//! assert!(taken[0].is_displaced() && !taken[1].is_displaced());
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use crate::{Principal, address};

/// The holder of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// A signed-in principal, by its id.
    Principal(String),
    /// An address, as [`address::network`] gives it.
    Address(IpAddr),
    /// The caller is unknown: all such callers share.
    Unknown,
}

impl Holder {
    /// The principal of a request, else the client's address (IPv6 by /64).
    pub fn of(headers: &HeaderMap) -> Self {
        match Principal::of(headers) {
            Some(principal) => Self::Principal(principal.id),
            None => address::client(headers)
                .map_or(Self::Unknown, |client| Self::Address(address::network(client))),
        }
    }
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The holder has reached its own limit.
    #[error("{0} are open already, which is the limit for one caller")]
    Share(usize),
    /// All are taken, and no holder has more than the caller would.
    #[error("all {0} are taken")]
    All(usize),
}

/// The slots; clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    per_holder: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    next: u64,
    /// Of each holder, oldest first.
    held: HashMap<Holder, BTreeMap<u64, Arc<Displacement>>>,
    /// Holders by how many they hold.
    ranks: BTreeSet<(usize, Holder)>,
}

impl State {
    /// Changes a holder's slots, and its rank.
    fn change(&mut self, holder: &Holder, change: impl FnOnce(&mut BTreeMap<u64, Arc<Displacement>>)) {
        let held = self.held.entry(holder.clone()).or_default();
        let before = held.len();
        change(held);
        let after = held.len();
        self.taken = self.taken + after - before;
        if before > 0 {
            self.ranks.remove(&(before, holder.clone()));
        }
        if after > 0 {
            self.ranks.insert((after, holder.clone()));
        } else {
            self.held.remove(holder);
        }
    }
}

impl Places {
    /// `capacity` in total, and `per_holder` for each holder.
    pub fn new(capacity: usize, per_holder: usize) -> Self {
        Self(Arc::new(Shared { capacity, per_holder, state: Mutex::default() }))
    }

    /// Takes a slot, which is freed on drop.
    ///
    /// # Errors
    /// If `holder` has reached its limit, or all are taken and no holder has at least two more than `holder`.
    pub fn take(&self, holder: Holder) -> Result<Place, Full> {
        self.take_within(holder, self.0.per_holder)
    }

    /// As [`Places::take`], with a bound for this holder instead of the bound for each.
    ///
    /// # Errors
    /// As those of [`Places::take`].
    pub fn take_within(&self, holder: Holder, most: usize) -> Result<Place, Full> {
        let mut state = self.0.state();
        let own = state.held.get(&holder).map_or(0, BTreeMap::len);
        if own >= most {
            return Err(Full::Share(most));
        }
        if state.taken >= self.0.capacity {
            let largest = state.ranks.last().filter(|(most, _)| *most > own + 1);
            let Some((_, largest)) = largest.cloned() else { return Err(Full::All(self.0.capacity)) };
            state.change(&largest, |held| {
                if let Some((_, displaced)) = held.pop_first() {
                    displaced.come();
                }
            });
        }
        let (number, displaced) = (state.next, Arc::new(Displacement::default()));
        state.next += 1;
        state.change(&holder, |held| drop(held.insert(number, displaced.clone())));
        drop(state);
        Ok(Place { shared: self.0.clone(), holder, number, displaced })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.state().taken
    }

    /// How many this holder has.
    pub fn held_by(&self, holder: &Holder) -> usize {
        self.0.state().held.get(holder).map_or(0, BTreeMap::len)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One slot.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    holder: Holder,
    number: u64,
    displaced: Arc<Displacement>,
}

/// Whether the slot was given to another holder.
#[derive(Debug, Default)]
struct Displacement {
    /// Beside the token, which takes a lock to check: connections check with each request.
    came: AtomicBool,
    token: CancellationToken,
}

impl Displacement {
    fn come(&self) {
        self.came.store(true, Ordering::Release);
        self.token.cancel();
    }
}

impl Place {
    /// Resolves when the slot was given to another holder: end what it was for.
    pub async fn displaced(&self) {
        self.displaced.token.cancelled().await;
    }

    /// The same as a token.
    pub fn displacement(&self) -> CancellationToken {
        self.displaced.token.clone()
    }

    /// Whether the slot was given to another holder. Very cheap.
    #[inline]
    pub fn is_displaced(&self) -> bool {
        self.displaced.came.load(Ordering::Acquire)
    }

    /// Runs `work` to its end, or until the slot is given to another holder; then it is dropped, and the
    /// result is `None`. Polling it adds almost no cost.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut displaced) = (pin!(work), pin!(self.displaced()));
        let mut told: Option<Waker> = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // Polled once to wake this task, and then only when the flag is set.
            if self.is_displaced() || told.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                told = Some(cx.waker().clone());
                return displaced.as_mut().poll(cx).map(|()| None);
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_displaced() {
            return;
        }
        let number = self.number;
        self.shared.state().change(&self.holder, |held| drop(held.remove(&number)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holder(number: u8) -> Holder {
        Holder::Address(IpAddr::from([192, 0, 2, number]))
    }

    #[test]
    fn holders_of_several_slots_keep_no_other_out() {
        let places = Places::new(1000, 50);
        let crowd: Vec<_> = (0..200)
            .flat_map(|one| (0..5).map(move |_| one))
            .map(|one| places.take(holder(one)).unwrap())
            .collect();
        let newcomer = places.take(Holder::Principal("ann".into())).unwrap();
        assert_eq!(places.taken(), 1000);
        assert_eq!(crowd.iter().filter(|place| place.is_displaced()).count(), 1);
        for place in crowd {
            drop(places.take(holder(250)));
            drop(place);
        }
        assert!(!newcomer.is_displaced(), "who holds one is never displaced for another");
    }

    #[test]
    fn a_holder_with_a_bound_of_its_own_has_no_more_and_displaces_as_others_do() {
        let places = Places::new(4, 2);
        let many: Vec<_> = (0..4).map(|_| places.take_within(holder(1), 9).unwrap()).collect();
        assert_eq!(places.take_within(holder(2), 0).unwrap_err(), Full::Share(0));
        let _one = places.take_within(holder(2), 1).unwrap();
        assert_eq!((places.held_by(&holder(1)), places.held_by(&holder(2))), (3, 1));
        assert!(many[0].is_displaced());
        assert_eq!(places.take(holder(1)).unwrap_err(), Full::Share(2));
    }

    #[test]
    fn callers_are_told_apart_by_principal_then_by_network() {
        let mut headers = HeaderMap::new();
        assert_eq!(Holder::of(&headers), Holder::Unknown);
        for (client, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            headers.insert("x-streamgate-client", client.parse().unwrap());
            assert_eq!(Holder::of(&headers), Holder::Address(network.parse().unwrap()));
        }
        Principal { id: "ann".into(), ..Principal::default() }.put_on(&mut headers);
        assert_eq!(Holder::of(&headers), Holder::Principal("ann".into()));
    }

    proptest! {
        #[test]
        fn bounds_hold_and_displacing_never_makes_shares_less_equal(
            steps in prop::collection::vec((0_u8..6, any::<bool>(), 0_usize..20), 0..200),
            capacity in 1_usize..12,
            per_holder in 1_usize..6,
        ) {
            let places = Places::new(capacity, per_holder);
            let mut taken: Vec<(u8, Place)> = Vec::new();
            for (who, takes, which) in steps {
                let count = |taken: &[(u8, Place)], who| {
                    taken.iter().filter(|(of, place)| *of == who && !place.is_displaced()).count()
                };
                let before: Vec<_> = (0..6).map(|who| count(&taken, who)).collect();
                if takes {
                    let answer = places.take(holder(who));
                    let most = before.iter().copied().max().unwrap();
                    let own = before[usize::from(who)];
                    match answer {
                        Ok(place) => {
                            taken.push((who, place));
                            prop_assert!(own < per_holder);
                        }
                        Err(Full::Share(share)) => prop_assert!(share == per_holder && own == share),
                        Err(Full::All(all)) => {
                            prop_assert!(all == capacity && before.iter().sum::<usize>() == all && most <= own + 1);
                        }
                    }
                    for other in 0..6_u8 {
                        let lost = before[usize::from(other)].saturating_sub(count(&taken, other));
                        prop_assert!(lost == 0 || (lost == 1 && before[usize::from(other)] == most && most > own + 1));
                    }
                } else if !taken.is_empty() {
                    let at = which % taken.len();
                    drop(taken.swap_remove(at));
                }
                let alive = taken.iter().filter(|(_, place)| !place.is_displaced()).count();
                prop_assert_eq!(places.taken(), alive);
                prop_assert!(alive <= capacity);
            }
            taken.clear();
            prop_assert_eq!(places.taken(), 0);
            prop_assert!(places.0.state().held.is_empty() && places.0.state().ranks.is_empty());
        }
    }
}
