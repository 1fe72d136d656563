//! Recovery of failed plugins: panics are counted against a budget; beyond it the plugin is restarted, with
//! increasing pauses; beyond a second budget it is quarantined. A failed start counts against neither, and is
//! retried indefinitely.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long panics, failures and quarantines count.
const PANICS_WITHIN: Duration = Duration::from_secs(60);
const FAILURES_WITHIN: Duration = Duration::from_secs(600);
const QUARANTINES_WITHIN: Duration = Duration::from_secs(24 * 3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_QUARANTINE: Duration = Duration::from_secs(6 * 3600);
/// Events beyond this number are not remembered.
const REMEMBERED: usize = 1_000;

/// A plugin's budgets before further measures.
#[derive(Debug, Clone, Copy)]
pub struct Budgets {
    /// How often it may fail within ten minutes.
    pub failures: u32,
    /// The pause before a restart; it doubles with each failure, up to a minute.
    pub pause: Duration,
    /// The length of a quarantine, if it ends automatically; it doubles with each quarantine within a day, up
    /// to six hours.
    pub quarantine: Option<Duration>,
}

/// The next measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Restart after a pause.
    Anew(Duration),
    /// Quarantine: for this long, or until an operator restarts it.
    Quarantine(Option<Duration>),
}

/// A plugin's failures, as far as they still count.
#[derive(Debug, Default)]
pub struct Record(Mutex<Faults>);

#[derive(Debug, Default)]
struct Faults {
    panics: VecDeque<Instant>,
    failures: VecDeque<Instant>,
    quarantines: VecDeque<Instant>,
    /// Consecutive failed starts.
    starts: u32,
}

/// Adds one to those that still count, and returns their number.
fn count(recent: &mut VecDeque<Instant>, within: Duration) -> u32 {
    recent.push_back(Instant::now());
    while recent.len() > REMEMBERED || recent.front().is_some_and(|at| at.elapsed() > within) {
        recent.pop_front();
    }
    recent.len() as u32
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

impl Record {
    /// Counts a panic, and returns the number within a minute.
    pub fn panicked(&self) -> u32 {
        count(&mut self.0.lock().panics, PANICS_WITHIN)
    }

    /// Counts a failure of a running plugin, which includes its panics.
    pub fn failed(&self, budgets: Budgets) -> Next {
        let mut faults = self.0.lock();
        faults.panics.clear();
        faults.starts = 0;
        let failures = count(&mut faults.failures, FAILURES_WITHIN);
        if failures <= budgets.failures {
            return Next::Anew(doubled(budgets.pause, failures - 1, LONGEST_PAUSE));
        }
        faults.failures.clear();
        let quarantines = count(&mut faults.quarantines, QUARANTINES_WITHIN);
        let time = |first| doubled(first, quarantines - 1, LONGEST_QUARANTINE);
        Next::Quarantine(budgets.quarantine.map(time))
    }

    /// Counts a failed start, and returns the pause before the next one.
    pub fn not_started(&self, budgets: Budgets) -> Duration {
        let mut faults = self.0.lock();
        faults.starts = faults.starts.saturating_add(1);
        doubled(budgets.pause, faults.starts - 1, LONGEST_PAUSE)
    }

    /// It runs.
    pub fn started(&self) {
        self.0.lock().starts = 0;
    }

    /// Resets everything: an operator has intervened.
    pub fn clear(&self) {
        *self.0.lock() = Faults::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn budgets(quarantine: Option<Duration>) -> Budgets {
        Budgets { failures: 2, pause: PAUSE, quarantine }
    }

    #[test]
    fn a_plugin_that_fails_waits_longer_each_time_and_is_quarantined_past_its_budget() {
        let record = Record::default();
        let next: Vec<_> = (0..3).map(|_| record.failed(budgets(None))).collect();
        assert_eq!(next, [Next::Anew(PAUSE), Next::Anew(2 * PAUSE), Next::Quarantine(None)]);
        record.clear();
        assert_eq!(record.failed(budgets(None)), Next::Anew(PAUSE));
    }

    #[test]
    fn a_quarantine_that_ends_automatically_is_followed_by_a_full_budget_and_a_longer_one() {
        let record = Record::default();
        let quarantine = Duration::from_secs(600);
        for times in 0..8 {
            for _ in 0..2 {
                assert!(matches!(record.failed(budgets(Some(quarantine))), Next::Anew(_)));
            }
            let expected = (quarantine * (1 << times)).min(LONGEST_QUARANTINE);
            assert_eq!(record.failed(budgets(Some(quarantine))), Next::Quarantine(Some(expected)));
        }
    }

    #[test]
    fn a_start_that_fails_is_tried_again_for_ever_and_uses_up_no_budget() {
        let record = Record::default();
        for times in 0..100 {
            let expected = (PAUSE * (1 << times.min(16))).min(LONGEST_PAUSE);
            assert_eq!(record.not_started(budgets(None)), expected);
        }
        assert_eq!(record.failed(budgets(None)), Next::Anew(PAUSE));
        assert_eq!(record.not_started(budgets(None)), PAUSE);
    }
}
