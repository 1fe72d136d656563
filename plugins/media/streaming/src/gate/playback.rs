//! Playback sessions, each with the token that names it. A session that plays holds a slot, of which its
//! principal has a limited number, and plays from a limited number of addresses, because its token can be
//! passed on. Bounded: a session that was evicted after playback, or that another run created, is restored
//! from its token.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::gate::refusal::Refusal;
use crate::gate::standings::Standing;
use crate::gate::token::{Claims, PlaybackId};

/// A player without a segment request for this many milliseconds gives up its slot to an active one, and an
/// address likewise.
const SILENT_MS: u64 = 20_000;
/// How long a playback session lives without playback.
const UNPLAYED_MS: u64 = 300_000;
/// Maximum of one principal; beyond it the least recently used one is dropped.
const UNPLAYED: usize = 32;

/// Lifetimes and limits of playback sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// After its last use.
    pub(crate) idle_ms: u64,
    /// After its creation.
    pub(crate) max_ms: u64,
    /// Slots of one principal.
    pub(crate) per_principal: usize,
    /// In total.
    pub(crate) capacity: usize,
    /// Addresses that may use one session at the same time; 0 is unlimited.
    pub(crate) addresses: usize,
}

impl Lifetimes {
    pub(crate) fn new(idle: Duration, max: Duration, per_principal: usize, capacity: usize) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { idle_ms: ms(idle), max_ms: ms(max), per_principal, capacity, addresses: 0 }
    }

    /// With a limit on the addresses of one playback session.
    pub(crate) fn with_addresses(self, addresses: usize) -> Self {
        Self { addresses, ..self }
    }
}

/// A player that may play one content.
pub(crate) struct PlaybackSession {
    pub(crate) id: PlaybackId,
    pub(crate) standing: Arc<Standing>,
    /// Of the decision that allowed it.
    pub(crate) generation: u64,
    /// Unix time, seconds.
    pub(crate) issued_at: u64,
    pub(crate) token: String,
    /// Time of the last request for anything but a segment.
    used_ms: AtomicU64,
    /// Time of the last segment request; 0: it has no slot.
    slot_ms: AtomicU64,
    /// Whether it ever had one.
    played: AtomicBool,
    /// The addresses of segment requests, each with the time of its last one. Bounded by the limit.
    addresses: Mutex<Vec<(IpAddr, u64)>>,
}

impl PlaybackSession {
    /// One that has not played yet.
    pub(crate) fn new(claims: &Claims, standing: Arc<Standing>, token: String, now_ms: u64) -> Self {
        Self {
            id: claims.playback,
            standing,
            generation: claims.generation,
            issued_at: claims.issued_at,
            token,
            used_ms: AtomicU64::new(now_ms),
            slot_ms: AtomicU64::new(0),
            played: AtomicBool::new(false),
            addresses: Mutex::default(),
        }
    }

    /// One that was played with before it went out of memory.
    pub(crate) fn again(self) -> Self {
        Self { played: AtomicBool::new(true), ..self }
    }

    /// Records a use without playback.
    pub(crate) fn used(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Relaxed);
    }

    /// Records a segment request, if it has a slot, which it then keeps until another player takes it.
    pub(crate) fn play(&self, now_ms: u64) -> bool {
        let stay = |last| (last > 0).then_some(now_ms.max(last));
        self.slot_ms.fetch_update(Relaxed, Relaxed, stay).is_ok()
    }

    /// Records a segment request from an address, of which at most `most` may be active; the first ones keep
    /// their place. An idle one is replaced, because a viewer changes networks.
    ///
    /// # Errors
    /// All of them are active; the one idle longest becomes free in this many milliseconds.
    pub(crate) fn played_from(&self, address: IpAddr, now_ms: u64, most: usize) -> Result<(), u64> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last_ms)) = addresses.iter_mut().find(|(known, _)| *known == address) {
            *last_ms = now_ms.max(*last_ms);
            return Ok(());
        }
        if addresses.len() < most {
            addresses.push((address, now_ms));
            return Ok(());
        }
        let Some(quietest) = addresses.iter_mut().min_by_key(|(_, last_ms)| *last_ms) else { return Ok(()) };
        let silent_ms = now_ms.saturating_sub(quietest.1);
        if silent_ms < SILENT_MS {
            return Err(SILENT_MS - silent_ms);
        }
        *quietest = (address, now_ms);
        Ok(())
    }

    /// Gives up its slot, unless a segment was requested since `last_ms`.
    fn leave(&self, last_ms: u64) -> bool {
        let left = self.slot_ms.compare_exchange(last_ms, 0, Relaxed, Relaxed).is_ok();
        if left {
            self.used(last_ms);
        }
        left
    }

    fn last_ms(&self) -> u64 {
        self.used_ms.load(Relaxed).max(self.slot_ms.load(Relaxed))
    }

    /// Whether it was used recently enough, and has not expired.
    pub(crate) fn alive(&self, now_ms: u64, lifetimes: &Lifetimes) -> bool {
        let played = self.played.load(Relaxed);
        let idle_ms = if played { lifetimes.idle_ms } else { lifetimes.idle_ms.min(UNPLAYED_MS) };
        now_ms.saturating_sub(self.last_ms()) <= idle_ms
            && now_ms.saturating_sub(self.issued_at * 1000) <= lifetimes.max_ms
    }

    fn good(&self, now_ms: u64, lifetimes: &Lifetimes) -> bool {
        self.alive(now_ms, lifetimes) && self.standing.ended(self.generation).is_none()
    }
}

/// All playback sessions.
pub(crate) struct PlaybackSessions {
    pub(crate) lifetimes: Lifetimes,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<PlaybackId, Arc<PlaybackSession>>,
    /// Those of signed-in viewers.
    by_principal: HashMap<Arc<str>, Vec<Arc<PlaybackSession>>>,
}

impl PlaybackSessions {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, table: RwLock::default() }
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &PlaybackId) -> Option<Arc<PlaybackSession>> {
        self.table().by_id.get(id).cloned()
    }

    /// The most recently used one of this standing, if it is valid.
    pub(crate) fn latest(&self, standing: &Arc<Standing>, now_ms: u64) -> Option<Arc<PlaybackSession>> {
        let table = self.table();
        let of_standing =
            table.of(standing).iter().filter(|playback| Arc::ptr_eq(&playback.standing, standing));
        let good = of_standing.filter(|playback| playback.good(now_ms, &self.lifetimes));
        good.max_by_key(|playback| playback.last_ms()).cloned()
    }

    /// Adds a playback session; returns the existing one if the name is taken.
    pub(crate) fn admit(&self, playback: PlaybackSession, now_ms: u64) -> Arc<PlaybackSession> {
        let mut table = self.table_mut();
        if let Some(present) = table.by_id.get(&playback.id) {
            return present.clone();
        }
        let playback = Arc::new(playback);
        let viewer = &playback.standing.viewer;
        if !viewer.is_anonymous() {
            table.tidy(&viewer.principal, now_ms, &self.lifetimes);
        }
        if table.by_id.len() >= self.lifetimes.capacity {
            table.make_room(now_ms, &self.lifetimes);
        }
        table.by_id.insert(playback.id, playback.clone());
        table.by_principal.entry(viewer.principal.clone()).or_default().push(playback.clone());
        playback
    }

    /// Gives a playback session a slot, if it has none. If all slots of its principal are taken, the player
    /// that has been idle longest loses its slot and needs a new one to continue. True: it is the playback
    /// session's first.
    ///
    /// # Errors
    /// None of them has been idle long enough.
    pub(crate) fn claim_slot(&self, playback: &PlaybackSession, now_ms: u64) -> Result<bool, Refusal> {
        // Two requests must not find the same slot.
        let table = self.table_mut();
        while !playback.play(now_ms) {
            let Some((quietest, last_ms)) = table.quietest(&playback.standing, now_ms, &self.lifetimes)
            else {
                playback.slot_ms.store(now_ms.max(1), Relaxed);
                continue;
            };
            let silent_ms = now_ms.saturating_sub(last_ms);
            if silent_ms < SILENT_MS {
                let wait = (SILENT_MS - silent_ms).div_ceil(1000);
                return Err(Refusal::too_many_sessions(self.lifetimes.per_principal, wait));
            }
            quietest.leave(last_ms);
        }
        Ok(!playback.played.swap(true, Relaxed))
    }
}

impl Table {
    fn of(&self, standing: &Standing) -> &[Arc<PlaybackSession>] {
        self.by_principal.get(&standing.viewer.principal).map_or(&[], Vec::as_slice)
    }

    /// If all slots of a principal are taken: the session that has been idle longest, and its last use. A
    /// session that has expired gives up its slot here.
    fn quietest(
        &self,
        standing: &Standing,
        now_ms: u64,
        lifetimes: &Lifetimes,
    ) -> Option<(&Arc<PlaybackSession>, u64)> {
        if standing.viewer.is_anonymous() {
            return None;
        }
        let slots = self.of(standing).iter().map(|playback| (playback, playback.slot_ms.load(Relaxed)));
        let taken: Vec<_> = slots
            .filter(|(_, last_ms)| *last_ms > 0)
            .filter(|(playback, last_ms)| playback.good(now_ms, lifetimes) || !playback.leave(*last_ms))
            .collect();
        let full = taken.len() >= lifetimes.per_principal;
        taken.into_iter().min_by_key(|(_, last_ms)| *last_ms).filter(|_| full)
    }

    /// Removes expired sessions of a principal, and makes room for one more that has not played.
    fn tidy(&mut self, principal: &str, now_ms: u64, lifetimes: &Lifetimes) {
        let Some(playbacks) = self.by_principal.get_mut(principal) else { return };
        let mut gone: Vec<_> =
            playbacks.extract_if(.., |playback| !playback.alive(now_ms, lifetimes)).collect();
        let unplayed: Vec<_> = playbacks.iter().filter(|playback| !playback.played.load(Relaxed)).collect();
        let oldest = unplayed.iter().min_by_key(|playback| playback.last_ms()).map(|playback| playback.id);
        if unplayed.len() >= UNPLAYED {
            gone.extend(playbacks.extract_if(.., |playback| Some(playback.id) == oldest));
        }
        for playback in gone {
            self.by_id.remove(&playback.id);
        }
    }

    /// Removes expired sessions, then the least recently used ones until an eighth is free.
    fn make_room(&mut self, now_ms: u64, lifetimes: &Lifetimes) {
        self.by_id.retain(|_, playback| playback.alive(now_ms, lifetimes));
        let most = lifetimes.capacity - (lifetimes.capacity / 8).max(1);
        if self.by_id.len() > most {
            let mut ages: Vec<_> = self.by_id.values().map(|it| (Reverse(it.last_ms()), it.id)).collect();
            ages.sort_unstable();
            for (_, id) in ages.drain(most..) {
                self.by_id.remove(&id);
            }
        }
        let kept = &self.by_id;
        self.by_principal.retain(|_, playbacks| {
            playbacks.retain(|playback| kept.contains_key(&playback.id));
            !playbacks.is_empty()
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../tests/playback.rs"]
mod tests;
