//! How long to wait before something that failed is tried again. It decides from numbers alone: no clock, no chance.
//! Not the crate `backon`: its back-off is an iterator that owns its state, while failures here are often counted in
//! rows that outlive the process.

use std::time::Duration;

/// Exponential back-off: a step that doubles with each failure, up to the longest.
///
/// ```
/// use std::time::Duration;
/// use streamgate_plugin_api::backoff::Backoff;
///
/// let backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(60) };
/// assert_eq!(backoff.after(3), Duration::from_secs(1));
/// assert_eq!(backoff.after(u32::MAX), Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The step after the first failure.
    pub first: Duration,
    /// The maximum step.
    pub longest: Duration,
}

impl Backoff {
    /// The step after this many consecutive failures; that of the first after none.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// A delay from half the step to the whole of it, by a `chance` of 0 to 1: so that concurrent failures
    /// are not retried together.
    #[must_use]
    pub fn spread(self, failures: u32, chance: f64) -> Duration {
        let half = self.after(failures) / 2;
        half + half.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_at_least_half_and_at_most_the_whole_of_its_step(
            first in 1_u64..10_000, longest in 1_u64..1_000_000, failures: u32, chance in 0.0..=1.0_f64,
        ) {
            let longest = longest.max(first);
            let backoff =
                Backoff { first: Duration::from_millis(first), longest: Duration::from_millis(longest) };
            let step = (u128::from(first) << failures.saturating_sub(1).min(32)).min(u128::from(longest));
            let step = Duration::from_millis(u64::try_from(step).expect("the longest is 64 bits wide"));
            prop_assert_eq!(backoff.after(failures), step);
            let wait = backoff.spread(failures, chance);
            prop_assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
    }

    #[test]
    fn steps_only_grow_and_never_end() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
        let steps: Vec<Duration> = (0..100).map(|failures| backoff.after(failures)).collect();
        assert!(steps.is_sorted() && steps[0] == backoff.first && steps[99] == backoff.longest);
    }
}
