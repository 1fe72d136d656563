//! Time as the plugin sees it, which tests set by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, whenever it is asked.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
pub fn system() -> Clock {
    Arc::new(|| millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// A length of time in milliseconds.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 §5.6 in UTC with milliseconds: `2024-02-29T12:00:00.000Z`.
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    // The year 9999 is as far as the format goes.
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0).min(253_402_300_799_999));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// A time as RFC 3339 §5.6 writes it, in milliseconds since the Unix epoch.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let sound = text.len() <= 40 && text.as_bytes().get(10) == Some(&b'T');
    let time = sound.then(|| chrono::DateTime::parse_from_rfc3339(text).ok()).flatten()?;
    Some(time.timestamp_millis()).filter(|ms| *ms >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_and_written_in_utc() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:01.5+01:00"), Some(1_500));
        assert_eq!(rfc3339(1_709_207_999_999), "2024-02-29T11:59:59.999Z");
        for text in ["1970-01-01 00:00:00Z", "1970-01-01T00:00:00", "1969-12-31T23:59:59Z", "soon", ""] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
