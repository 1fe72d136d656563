//! What happened since: counters that events raise, so that a decision made before an event is not
//! kept after it. Many names share a counter; that costs a decision made anew, never one kept too
//! long.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use streamgate_contracts::events::{AccessChanged, AccessRevoked, TYPE_ACCESS_CHANGED, TYPE_ACCESS_REVOKED};
use streamgate_plugin_api::Event;

const COUNTERS: usize = 1 << 16;

/// What an event is about.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Subject<'a> {
    Content(&'a str),
    Principal(&'a str),
    /// `eip155:0x…`, whatever it holds.
    Wallet(&'a str),
    /// `eip155:1`: it has gone another way.
    Chain(&'a str),
}

/// The counters.
pub(crate) struct Epochs {
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The counters of some names at some moment.
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

    /// Something happened.
    pub(crate) fn raise(&self, about: Subject<'_>) {
        self.counters[self.index(about)].fetch_add(1, SeqCst);
    }

    /// What this server decided, in this run or another, and tells: decisions before that do not hold.
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
            tracing::warn!(subject = event.subject, %error, "an event was not understood");
        }
    }

    /// Remembers how this one stands now.
    pub(crate) fn note(&self, snapshot: &mut Snapshot, about: Subject<'_>) {
        let index = self.index(about);
        snapshot.0.push((index, self.counters[index].load(SeqCst)));
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
