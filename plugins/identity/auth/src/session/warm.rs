//! Recently valid credentials, so that repeated checks do not read the database. Changes to a principal by
//! this server take effect at once; changes by another server with the same database, after `warm_for`.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::principal::Identity;

/// Number of cached credentials.
const CAPACITY: usize = 8_192;
/// Principals share this many change marks; a change also invalidates those with the same mark.
const MARKS: usize = 1_024;

/// SHA-256 of a credential: the credential itself is not kept in memory.
pub(crate) type Digest = [u8; 32];

/// See the module.
pub(crate) struct Warm {
    entries: Cache<Digest, Arc<Entry>>,
    max_age_ms: i64,
    /// Counts changes. An entry is valid if its principal has not changed since the count that was read
    /// before the database.
    changes: AtomicU64,
    /// The last change of the principals with a mark.
    marks: Box<[AtomicU64]>,
    hasher: RandomState,
}

struct Entry {
    identity: Identity,
    changes: u64,
    from_ms: i64,
    until_ms: i64,
}

/// Whose entries are invalidated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    Principal(&'a str),
    Everybody,
}

impl Warm {
    pub(crate) fn new(max_age_ms: i64) -> Self {
        Self {
            entries: Cache::new(CAPACITY),
            max_age_ms,
            changes: AtomicU64::new(0),
            marks: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn digest(credential: &str) -> Digest {
        Sha256::digest(credential.as_bytes()).into()
    }

    /// The identity of this credential, if cached.
    pub(crate) fn get(&self, digest: &Digest, now_ms: i64) -> Option<Identity> {
        let entry = self.entries.get(digest)?;
        let holds = (entry.from_ms..entry.until_ms).contains(&now_ms)
            && self.mark(&entry.identity.principal).load(SeqCst) <= entry.changes;
        holds.then(|| entry.identity.clone())
    }

    /// To be called before the database is read, and passed to `put` after.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    pub(crate) fn put(&self, digest: Digest, identity: &Identity, changes: u64, now_ms: i64) {
        let end_ms = identity.expires_at_ms.unwrap_or(i64::MAX);
        let until_ms = now_ms.saturating_add(self.max_age_ms).min(end_ms);
        if until_ms > now_ms {
            let entry = Entry { identity: identity.clone(), changes, from_ms: now_ms, until_ms };
            self.entries.insert(digest, Arc::new(entry));
        }
    }

    /// Invalidates on drop: to be held during a change of the database, so that it takes effect even if the
    /// change's outcome stays unknown.
    #[must_use]
    pub(crate) fn forgetting<'a>(&'a self, whose: Whose<'a>) -> Forgetting<'a> {
        Forgetting { warm: self, whose }
    }

    fn forget(&self, whose: Whose<'_>) {
        let change = self.changes.fetch_add(1, SeqCst) + 1;
        match whose {
            Whose::Principal(id) => mark(self.mark(id), change),
            Whose::Everybody => self.marks.iter().for_each(|one| mark(one, change)),
        }
    }

    fn mark(&self, principal: &str) -> &AtomicU64 {
        &self.marks[self.hasher.hash_one(principal) as usize % MARKS]
    }
}

/// Never reverts a later change.
fn mark(mark: &AtomicU64, change: u64) {
    mark.fetch_max(change, SeqCst);
}

/// See [`Warm::forgetting`].
pub(crate) struct Forgetting<'a> {
    warm: &'a Warm,
    whose: Whose<'a>,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.warm.forget(self.whose);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::principal::Credential;

    fn identity(principal: &str, expires_at_ms: Option<i64>) -> Identity {
        Identity {
            principal: principal.into(),
            credential: Credential::ApiKey("k".into()),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            expires_at_ms,
            wallets: Vec::new(),
        }
    }

    fn knows(warm: &Warm, credential: &str, now_ms: i64) -> bool {
        warm.get(&Warm::digest(credential), now_ms).is_some()
    }

    #[test]
    fn a_cached_identity_is_valid_for_a_while_and_never_beyond_its_end() {
        let warm = Warm::new(5_000);
        warm.put(Warm::digest("a"), &identity("ann", None), warm.changes(), 100);
        warm.put(Warm::digest("b"), &identity("bob", Some(1_000)), warm.changes(), 100);
        assert!(knows(&warm, "a", 100) && knows(&warm, "a", 5_099) && !knows(&warm, "a", 5_100));
        assert!(knows(&warm, "b", 999) && !knows(&warm, "b", 1_000));
        // A clock that goes back proves nothing.
        assert!(!knows(&warm, "a", 99));
        assert!(!knows(&warm, "c", 100));
        let never = Warm::new(0);
        never.put(Warm::digest("a"), &identity("ann", None), 0, 100);
        assert!(!knows(&never, "a", 100));
    }

    #[test]
    fn a_change_counts_also_for_what_was_read_before_it_and_put_after() {
        let warm = Warm::new(5_000);
        let seen = warm.changes();
        drop(warm.forgetting(Whose::Principal("ann")));
        warm.put(Warm::digest("a"), &identity("ann", None), seen, 0);
        assert!(!knows(&warm, "a", 0));
        warm.put(Warm::digest("a"), &identity("ann", None), warm.changes(), 0);
        assert!(knows(&warm, "a", 0));
        drop(warm.forgetting(Whose::Everybody));
        assert!(!knows(&warm, "a", 0));
    }

    #[test]
    fn a_change_of_one_is_none_of_most_others_and_memory_is_bounded() {
        let warm = Warm::new(5_000);
        for number in 0..CAPACITY * 3 {
            let name = number.to_string();
            warm.put(Warm::digest(&name), &identity(&name, None), warm.changes(), 0);
        }
        assert!(warm.entries.len() <= CAPACITY);
        let known = |warm: &Warm| (0..CAPACITY * 3).filter(|name| knows(warm, &name.to_string(), 0)).count();
        let before = known(&warm);
        drop(warm.forgetting(Whose::Principal("1")));
        assert!(known(&warm) > before / 2);
    }
}
