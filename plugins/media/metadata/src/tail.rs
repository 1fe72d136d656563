//! The changes that the live changes have read from the database and not sent yet. Pure: it does no I/O.
//!
//! **The invariant.** Everything that changed at or before [`Tail::told`] was sent, in its state then or
//! later. A client gets this number and no larger one, however much was sent beyond it, so that a client
//! which reconnects with it requests everything that it may have missed. A held-back content keeps the
//! position of its first unsent change, also when it changes again, and `told` stays below all of these.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::positions::Moved;

/// Minimum time between two notices of the same content while only its progress changes.
pub(crate) const QUIET: Duration = Duration::from_millis(250);
/// Maximum held-back contents; beyond it no more are read.
const MOST: usize = 1_024;

/// The changes between what was read and what was sent.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Everything up to here was read.
    read: i64,
    held: HashMap<String, Held>,
    shown: HashMap<String, Reported>,
}

/// The held-back contents.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) moved: Moved,
    /// Clients that see it whatever its policy have got it.
    pub(crate) half_told: bool,
    due: Instant,
}

#[derive(Debug)]
struct Reported {
    at: Instant,
    /// Of the content's last change by then.
    position: i64,
}

impl Tail {
    /// New clients read everything up to here themselves.
    pub(crate) fn from(read: i64) -> Self {
        Self { read, held: HashMap::new(), shown: HashMap::new() }
    }

    /// Everything up to here was read.
    pub(crate) fn read(&self) -> i64 {
        self.read
    }

    /// Everything up to here was sent.
    pub(crate) fn reported(&self) -> i64 {
        self.held.values().map(|held| held.moved.first - 1).fold(self.read, i64::min)
    }

    /// Whether some has to be sent before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() >= MOST
    }

    /// Adds everything that changed after what was read, up to a position.
    pub(crate) fn take(&mut self, moved: Vec<Moved>, upto: i64, now: Instant) {
        for moved in moved {
            self.take_one(moved, now);
        }
        self.read = upto;
        self.shown.retain(|_, shown| shown.position > upto || now.duration_since(shown.at) < QUIET);
    }

    fn take_one(&mut self, mut moved: Moved, now: Instant) {
        let id = moved.id().to_owned();
        let mut due = now;
        if let Some(shown) = self.shown.get(&id) {
            if moved.position() <= shown.position {
                return;
            }
            if moved.first <= shown.position {
                moved.first = moved.position();
            }
            due = due.max(shown.at + QUIET);
        }
        if let Some(held) = self.held.remove(&id) {
            moved.first = moved.first.min(held.moved.first);
            due = due.min(held.due);
        }
        self.held.insert(id, Held { moved, half_told: false, due });
    }

    /// The held-back ones of these are due now.
    pub(crate) fn hurry(&mut self, ids: &HashSet<String>, now: Instant) {
        for (id, held) in &mut self.held {
            if ids.contains(id) {
                held.due = held.due.min(now);
            }
        }
    }

    /// What is due, the first change first.
    pub(crate) fn due(&self, now: Instant) -> Vec<Held> {
        let mut due: Vec<Held> = self.held.values().filter(|held| held.due <= now).cloned().collect();
        due.sort_by_key(|held| held.moved.first);
        due
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.held.values().map(|held| held.due).min()
    }

    /// It was sent to everyone, in its state at this position.
    pub(crate) fn report(&mut self, id: &str, position: i64, now: Instant) {
        self.held.remove(id);
        self.shown.insert(id.to_owned(), Reported { at: now, position });
    }

    /// It was sent to those who see it whatever its policy, and is sent to the others not before then.
    pub(crate) fn hold(&mut self, id: &str, until: Instant) {
        if let Some(held) = self.held.get_mut(id) {
            held.due = until;
            held.half_told = true;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use streamgate_contracts::access::v1::Openness;
    use streamgate_contracts::catalogue::v1::Content;

    use super::*;
    use crate::positions::{Grave, Now};
    use crate::rights::Holders;
    use crate::store::Entry;

    fn changed(id: &str, position: i64) -> Moved {
        moved(id, Row { position, listed: true, unlisted: 0, deleted: false }, position - 1)
    }

    fn ids(due: &[Held]) -> Vec<&str> {
        due.iter().map(|held| held.moved.id()).collect()
    }

    #[tokio::test]
    async fn progress_is_shown_at_most_four_times_a_second_and_a_new_state_at_once() {
        let (mut tail, begin) = (Tail::from(0), Instant::now());
        let mut shown = 0;
        for ms in 0..1_000 {
            let now = begin + Duration::from_millis(ms);
            let position = i64::try_from(ms).unwrap() + 1;
            tail.take(vec![changed("a", position)], position, now);
            for held in tail.due(now) {
                tail.report("a", held.moved.position(), now);
                shown += 1;
            }
        }
        assert_eq!(shown, 4);
        let now = begin + Duration::from_millis(1_001);
        tail.take(vec![changed("a", 1_001)], 1_001, now);
        tail.hurry(&HashSet::from(["a".to_owned()]), now);
        assert_eq!(ids(&tail.due(now)), ["a"]);
    }

    #[tokio::test]
    async fn what_is_sent_beyond_a_held_back_change_does_not_count_as_sent() {
        let (mut tail, now) = (Tail::from(0), Instant::now());
        tail.take(vec![changed("a", 1)], 1, now);
        tail.report("a", 1, now);
        tail.take(vec![changed("a", 2), changed("b", 3)], 3, now);
        assert_eq!(ids(&tail.due(now)), ["b"], "what just was shown waits");
        tail.report("b", 3, now);
        assert_eq!(tail.reported(), 1);
        tail.take(vec![changed("a", 4)], 4, now);
        let later = now + QUIET;
        assert_eq!(ids(&tail.due(later)), ["a"]);
        tail.report("a", 4, later);
        assert_eq!(tail.reported(), 4);
    }

    #[derive(Debug, Clone, Copy)]
    struct Row {
        position: i64,
        listed: bool,
        unlisted: i64,
        deleted: bool,
    }

    fn moved(id: &str, row: Row, after: i64) -> Moved {
        let Row { position, listed, unlisted, deleted } = row;
        let first = if !listed && unlisted > after { unlisted } else { position };
        let id = id.to_owned();
        if deleted {
            return Moved {
                first,
                now: Now::Deleted(Grave {
                    id,
                    position,
                    listed,
                    unlisted,
                    taken: 0,
                    holders: Holders::default(),
                }),
            };
        }
        let content = Content { id, ..Content::default() };
        let openness = if listed { Openness::Public } else { Openness::Private };
        let entry = Entry { content, rungs: Vec::new(), listed, openness, position, unlisted, taken: 0 };
        Moved { first, now: Now::There(Box::new(entry)) }
    }

    /// The state of the database, and what a stranger got of it: ids with the position of their notice.
    #[derive(Debug, Default)]
    struct Model {
        rows: BTreeMap<String, Row>,
        last: i64,
        shown: BTreeMap<String, i64>,
    }

    impl Model {
        fn write(&mut self, id: &str, change: Change) {
            self.last += 1;
            let row = self.rows.entry(id.to_owned()).or_insert(Row {
                position: 0,
                listed: false,
                unlisted: 0,
                deleted: false,
            });
            if row.deleted {
                return;
            }
            row.position = self.last;
            match change {
                Change::Touch => {}
                Change::List => row.listed = true,
                Change::Hide if row.listed => (row.listed, row.unlisted) = (false, self.last),
                Change::Hide => {}
                Change::Delete => row.deleted = true,
            }
        }

        /// The answer of the database.
        fn moved(&self, after: i64, upto: i64, limit: usize) -> (Vec<Moved>, i64) {
            let mut found: Vec<Moved> = self.rows.iter().map(|(id, row)| moved(id, *row, after)).collect();
            found.retain(|one| one.first > after && one.first <= upto);
            found.sort_by_key(|one| one.first);
            let reached = found.get(limit - 1).map_or(upto, |last| last.first);
            found.truncate(limit);
            (found, reached)
        }

        fn tell(shown: &mut BTreeMap<String, i64>, moved: &Moved) {
            match &moved.now {
                Now::There(entry) if entry.listed => {
                    shown.insert(moved.id().to_owned(), moved.position());
                }
                Now::Deleted(grave) if grave.listed => {
                    shown.remove(moved.id());
                }
                _ if moved.was_hidden() => {
                    shown.remove(moved.id());
                }
                _ => {}
            }
        }

        /// The state of a stranger who reconnects with its last position.
        fn after_coming_back(&self, told: i64) -> BTreeMap<String, i64> {
            let mut shown = self.shown.clone();
            for moved in self.moved(told, self.last, usize::MAX).0 {
                Self::tell(&mut shown, &moved);
            }
            shown
        }

        fn truth(&self) -> BTreeMap<String, i64> {
            let listed = self.rows.iter().filter(|(_, row)| row.listed && !row.deleted);
            listed.map(|(id, row)| (id.clone(), row.position)).collect()
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Change {
        Touch,
        List,
        Hide,
        Delete,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u8, Change),
        /// Up to so many before the last, so many at once.
        Read(i64, usize),
        /// At most so many of those due after so many milliseconds; whether `access` answers.
        Tell(usize, u64, bool),
        Hurry(BTreeSet<u8>),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let change = prop_oneof![
            4 => Just(Change::Touch),
            2 => Just(Change::List),
            2 => Just(Change::Hide),
            1 => Just(Change::Delete)
        ];
        prop_oneof![
            4 => (0..5u8, change).prop_map(|(id, change)| Step::Write(id, change)),
            3 => (0..3i64, 1..4usize).prop_map(|(back, limit)| Step::Read(back, limit)),
            3 => (1..4usize, 0..200u64, prop::bool::weighted(0.8)).prop_map(|(most, ms, says)| Step::Tell(most, ms, says)),
            1 => prop::collection::btree_set(0..5u8, 0..3).prop_map(Step::Hurry),
        ]
    }

    proptest! {
        #[test]
        fn whoever_comes_back_with_what_was_told_ends_up_with_what_there_is(
            steps in prop::collection::vec(any_step(), 1..60)
        ) {
            let (mut model, mut tail, mut now) = (Model::default(), Tail::from(0), Instant::now());
            let mut told = 0;
            for step in steps {
                match step {
                    Step::Write(id, change) => model.write(&id.to_string(), change),
                    Step::Read(back, limit) => {
                        let upto = model.last - back;
                        if upto > tail.read() {
                            let (moved, reached) = model.moved(tail.read(), upto, limit);
                            tail.take(moved, reached, now);
                        }
                    }
                    Step::Tell(most, ms, says) => {
                        now += Duration::from_millis(ms);
                        for held in tail.due(now).into_iter().take(most) {
                            let id = held.moved.id().to_owned();
                            if says {
                                tail.report(&id, held.moved.position(), now);
                                Model::tell(&mut model.shown, &held.moved);
                            } else {
                                tail.hold(&id, now + QUIET);
                            }
                        }
                    }
                    Step::Hurry(ids) => tail.hurry(&ids.iter().map(u8::to_string).collect(), now),
                }
                prop_assert!(tail.reported() >= told, "what was told stays told");
                told = tail.reported();
                prop_assert_eq!(model.after_coming_back(told), model.truth());
            }
        }
    }
}
