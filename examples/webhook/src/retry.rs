//! When to try again. It decides from numbers alone: no clock, no chance of its own.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// Exponential back-off with full jitter: anything from nothing to the whole of a step that
/// doubles with each try, so that deliveries which failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// The pause after the failure of try `tries` (from 1); `chance` is 0 to 1.
    pub(crate) fn after(self, tries: u32, chance: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.most);
        step.mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date, at most `most`.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime, most: Duration) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(most))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_is_at_most_its_step_and_never_more_than_the_most(
            first in 1_u64..10_000, most in 1_u64..1_000_000, tries: u32, chance in 0.0..=1.0_f64,
        ) {
            let most = most.max(first);
            let backoff = Backoff { first: Duration::from_millis(first), most: Duration::from_millis(most) };
            let step = (u128::from(first) << tries.saturating_sub(1).min(31)).min(u128::from(most));
            prop_assert!(backoff.after(tries, chance).as_millis() <= step);
            prop_assert_eq!(backoff.after(tries, 1.0).as_millis(), step);
            prop_assert_eq!(backoff.after(tries, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let most = Duration::from_secs(3600);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now, most)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("99999999999"), Some(most));
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now, most), None);
    }
}
