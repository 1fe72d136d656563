//! Grants: who is playing what, each with the token that stands for it. Bounded; a grant that had to
//! make room, or that another run gave, comes back by its token.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::refusal::Refusal;
use crate::standings::Standing;
use crate::token::GrantId;

/// A grant that was used within so many milliseconds counts as a player that is playing.
const PLAYING_MS: u64 = 60_000;

/// How long grants live, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// After its last use.
    pub(crate) idle_ms: u64,
    /// After it was given.
    pub(crate) max_ms: u64,
    /// Of one principal, playing at the same time.
    pub(crate) per_principal: usize,
    /// Altogether.
    pub(crate) capacity: usize,
}

impl Lifetimes {
    pub(crate) fn new(idle: Duration, max: Duration, per_principal: usize, capacity: usize) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { idle_ms: ms(idle), max_ms: ms(max), per_principal, capacity }
    }
}

/// A player that may play one content.
pub(crate) struct Grant {
    pub(crate) id: GrantId,
    pub(crate) standing: Arc<Standing>,
    /// Of the decision that it was given by.
    pub(crate) generation: u64,
    /// Unix time, seconds.
    pub(crate) issued_at: u64,
    pub(crate) token: String,
    used_ms: AtomicU64,
}

impl Grant {
    pub(crate) fn new(
        id: GrantId,
        standing: Arc<Standing>,
        generation: u64,
        issued_at: u64,
        token: String,
        now_ms: u64,
    ) -> Self {
        Self { id, standing, generation, issued_at, token, used_ms: AtomicU64::new(now_ms) }
    }

    /// Notes that it is in use.
    pub(crate) fn used(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.used_ms.load(Ordering::Relaxed))
    }

    /// Whether it was used lately enough, and is not too old.
    pub(crate) fn alive(&self, now_ms: u64, lifetimes: &Lifetimes) -> bool {
        self.idle_ms(now_ms) <= lifetimes.idle_ms
            && now_ms.saturating_sub(self.issued_at * 1000) <= lifetimes.max_ms
    }

    fn playing(&self, now_ms: u64) -> bool {
        self.idle_ms(now_ms) < PLAYING_MS && self.standing.ended(self.generation).is_none()
    }
}

/// All grants.
pub(crate) struct Grants {
    pub(crate) lifetimes: Lifetimes,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<GrantId, Arc<Grant>>,
    by_principal: HashMap<Arc<str>, Vec<Arc<Grant>>>,
}

impl Grants {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, table: RwLock::default() }
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &GrantId) -> Option<Arc<Grant>> {
        self.table().by_id.get(id).cloned()
    }

    /// The one of this standing that was used last, if it is good.
    pub(crate) fn latest(&self, standing: &Arc<Standing>, now_ms: u64) -> Option<Arc<Grant>> {
        let table = self.table();
        let of_principal = table.by_principal.get(&standing.viewer.principal)?;
        let good = of_principal.iter().filter(|grant| {
            Arc::ptr_eq(&grant.standing, standing)
                && grant.alive(now_ms, &self.lifetimes)
                && standing.ended(grant.generation).is_none()
        });
        good.max_by_key(|grant| grant.used_ms.load(Ordering::Relaxed)).cloned()
    }

    /// Takes a grant in; the one that is there already if there is one of the same name.
    ///
    /// # Errors
    /// Its principal is playing in as many places as it may.
    pub(crate) fn admit(&self, grant: Grant, now_ms: u64) -> Result<Arc<Grant>, Refusal> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = table.by_id.get(&grant.id) {
            return Ok(present.clone());
        }
        let viewer = &grant.standing.viewer;
        table.forget_dead(&viewer.principal, now_ms, &self.lifetimes);
        if !viewer.is_anonymous() {
            let of_principal = table.by_principal.get(&viewer.principal).map_or(&[][..], Vec::as_slice);
            let idle: Vec<_> =
                of_principal.iter().filter(|it| it.playing(now_ms)).map(|it| it.idle_ms(now_ms)).collect();
            if idle.len() >= self.lifetimes.per_principal {
                let wait = PLAYING_MS - idle.into_iter().max().unwrap_or(0);
                return Err(Refusal::too_many_sessions(self.lifetimes.per_principal, wait.div_ceil(1000)));
            }
        }
        if table.by_id.len() >= self.lifetimes.capacity {
            table.make_room(now_ms, &self.lifetimes);
        }
        let grant = Arc::new(grant);
        table.by_id.insert(grant.id, grant.clone());
        table.by_principal.entry(grant.standing.viewer.principal.clone()).or_default().push(grant.clone());
        Ok(grant)
    }
}

impl Table {
    fn forget_dead(&mut self, principal: &str, now_ms: u64, lifetimes: &Lifetimes) {
        let Some(grants) = self.by_principal.get_mut(principal) else { return };
        for dead in grants.extract_if(.., |grant| !grant.alive(now_ms, lifetimes)) {
            self.by_id.remove(&dead.id);
        }
    }

    /// Removes what is dead, and what was used longest ago until an eighth is free.
    fn make_room(&mut self, now_ms: u64, lifetimes: &Lifetimes) {
        self.by_id.retain(|_, grant| grant.alive(now_ms, lifetimes));
        let most = lifetimes.capacity - (lifetimes.capacity / 8).max(1);
        if self.by_id.len() > most {
            let mut idle: Vec<_> = self.by_id.values().map(|it| (it.idle_ms(now_ms), it.id)).collect();
            idle.sort_unstable();
            for (_, id) in idle.drain(most..) {
                self.by_id.remove(&id);
            }
        }
        let kept = &self.by_id;
        self.by_principal.retain(|_, grants| {
            grants.retain(|grant| kept.contains_key(&grant.id));
            !grants.is_empty()
        });
    }
}
