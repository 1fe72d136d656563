//! The rules of jobs that need no database: names, and how long to wait after a failure.

use std::time::Duration;

/// How long to wait before the next attempt: doubling, capped, with chance in the upper half so
/// that jobs which failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// The wait after the failure of `attempt` (from 1); `chance` is 0 to 1.
    pub(crate) fn after(self, attempt: u32, chance: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(32);
        let full = self.first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.most);
        full / 2 + (full / 2).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// A number from 0 to 1 that differs from process to process and call to call.
pub(crate) fn chance() -> f64 {
    let random = uuid::Uuid::new_v4().as_u64_pair().1 as u32;
    f64::from(random) / f64::from(u32::MAX)
}

/// `[a-z][a-z0-9-]{0,62}`: what a queue and a schedule may be called.
pub(crate) fn is_queue(name: &str) -> bool {
    name.len() <= 63
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_at_least_half_and_at_most_the_whole_of_its_step(
            first in 1_u64..10_000, most in 1_u64..1_000_000, attempt: u32, chance in 0.0..=1.0_f64,
        ) {
            let most = most.max(first);
            let backoff = Backoff { first: Duration::from_millis(first), most: Duration::from_millis(most) };
            let wait = backoff.after(attempt, chance);
            let step = (u128::from(first) << attempt.saturating_sub(1).min(32)).min(u128::from(most));
            let step = Duration::from_millis(u64::try_from(step).expect("most is 64 bits wide"));
            prop_assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
    }

    #[test]
    fn chance_stays_between_0_and_1_and_varies() {
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| *chance < 0.5) && drawn.iter().any(|chance| *chance > 0.5));
    }

    #[test]
    fn a_queue_is_a_word_that_fits_into_a_subject() {
        for good in ["transcode", "a", "a-1"] {
            assert!(is_queue(good), "{good}");
        }
        for bad in ["", "A", "1a", "a.b", "a*", "a>", "a b", &"a".repeat(64)] {
            assert!(!is_queue(bad), "{bad}");
        }
    }
}
