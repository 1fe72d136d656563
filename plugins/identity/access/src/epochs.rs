//! Counters that events raise, so that a decision made before an event is not kept after it. Many names share
//! a counter; that costs an extra decision, never one that is kept too long.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use streamgate_contracts::events::{AccessChanged, AccessRevoked, TYPE_ACCESS_CHANGED, TYPE_ACCESS_REVOKED};
use streamgate_plugin_api::Event;

const COUNTERS: usize = 1 << 16;

/// The subject of an event.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Subject<'a> {
    Content(&'a str),
    Principal(&'a str),
    /// `eip155:0x…`, whatever it holds.
    Wallet(&'a str),
    /// `eip155:1`: it was reorganised.
    Chain(&'a str),
}

/// The counters.
pub(crate) struct Epochs {
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The counters of some names at a point in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot(Vec<(usize, u64)>);

impl Default for Epochs {
    fn default() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Epochs {
    fn index(&self, about: Subject<'_>) -> usize {
        self.hasher.hash_one(about) as usize % COUNTERS
    }

    /// Records an event.
    pub(crate) fn raise(&self, about: Subject<'_>) {
        self.counters[self.index(about)].fetch_add(1, SeqCst);
    }

    /// A decision of this server, in this run or another, that was published: earlier decisions are invalid.
    pub(crate) fn on_event(&self, event: &Event) {
        let read = match event.r#type.as_str() {
            TYPE_ACCESS_CHANGED => event.parse::<AccessChanged>().map(|changed| {
                self.raise(Subject::Content(&changed.content));
            }),
            TYPE_ACCESS_REVOKED => {
                event.parse::<AccessRevoked>().map(|revoked| match revoked.principal.as_str() {
                    "" => self.raise(Subject::Content(&revoked.content)),
                    principal => self.raise(Subject::Principal(principal)),
                })
            }
            _ => Ok(()),
        };
        if let Err(error) = read {
            tracing::warn!(subject = event.subject, %error, "an event cannot be read");
        }
    }

    /// Records the current counter.
    pub(crate) fn note(&self, snapshot: &mut Snapshot, about: Subject<'_>) {
        let index = self.index(about);
        snapshot.0.push((index, self.counters[index].load(SeqCst)));
    }

    /// The current counter of this one alone.
    pub(crate) fn snapshot(&self, subject: Subject<'_>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.note(&mut snapshot, subject);
        snapshot
    }

    /// Whether nothing happened since.
    pub(crate) fn hold(&self, snapshot: &Snapshot) -> bool {
        snapshot.0.iter().all(|(index, then)| self.counters[*index].load(SeqCst) == *then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_to_one_of_many_names_is_noticed() {
        let epochs = Epochs::default();
        let mut snapshot = Snapshot::default();
        epochs.note(&mut snapshot, Subject::Content("a"));
        epochs.note(&mut snapshot, Subject::Wallet("b"));
        assert!(epochs.hold(&snapshot));
        epochs.raise(Subject::Wallet("b"));
        assert!(!epochs.hold(&snapshot));
    }
}
