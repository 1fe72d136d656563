//! Unix time in milliseconds, as plugins keep and pass it, and as people read it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last millisecond of the year 9999, as far as RFC 3339 goes.
const LAST: u64 = 253_402_300_799_999;

/// Tells the time: the system's, or what a test says.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::told_by(now_ms)
    }

    /// A clock that shows what `tell` says, in milliseconds since the Unix epoch.
    pub fn told_by(tell: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", rfc3339(self.now_ms()))
    }
}

/// How long ago the Unix epoch is by the system's clock. Nothing, when that clock is before it.
#[must_use]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since the Unix epoch by the system's clock.
#[must_use]
pub fn now_ms() -> i64 {
    millis(since_epoch())
}

/// Whole milliseconds, at most [`i64::MAX`].
#[must_use]
pub fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 section 5.6 in UTC with milliseconds: `2024-02-29T12:00:00.000Z`. What is before 1970
/// or after 9999 is shown as that bound.
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0).min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_207_999_999), "2024-02-29T11:59:59.999Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-5), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_clock_shows_what_it_is_told() {
        let clock = Clock::told_by(|| 1_500);
        assert_eq!(clock.now_ms(), 1_500);
        assert_eq!(format!("{clock:?}"), "Clock(1970-01-01T00:00:01.500Z)");
        assert!(Clock::system().now_ms() > 1_709_207_999_999);
    }
}
