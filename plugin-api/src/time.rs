//! Unix time in milliseconds, as plugins store and pass it, and as text.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last millisecond of the year 9999, as far as RFC 3339 goes.
const LAST: u64 = 253_402_300_799_999;

/// A clock: the system's, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::told_by(now_ms)
    }

    /// A clock that returns the value of `tell`, in milliseconds since the Unix epoch.
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

/// The time since the Unix epoch by the system's clock. Zero, if that clock is before it.
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

/// RFC 3339 section 5.6 in UTC with milliseconds: `2024-02-29T12:00:00.000Z`. Times before 1970 or after 9999
/// are clamped.
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0).min(LAST));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// The calendar repeats after 400 years; this is five times as long.
const CYCLES_MS: i64 = 5 * 146_097 * 86_400_000;

/// Parses RFC 3339 section 5.6, with any offset, to milliseconds since the Unix epoch, negative before it.
/// `T` and `Z` may be lower case.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (local, offset_ms) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, offset_ms(offset)?)
        }
    };
    let (seconds, fraction) = local.split_once('.').unwrap_or((local, "0"));
    if seconds.as_bytes().get(10) != Some(&b'T')
        || fraction.is_empty()
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let (year, rest) = seconds.split_at_checked(4)?;
    let year: u16 = year.bytes().all(|byte| byte.is_ascii_digit()).then(|| year.parse().ok()).flatten()?;
    // `humantime` does not parse years before 1970.
    let (year, cycles_ms) = if year < 1970 { (year + 2_000, CYCLES_MS) } else { (year, 0) };
    let since = humantime::parse_rfc3339(&format!("{year}{rest}Z")).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let fraction: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(millis(since) - cycles_ms + fraction - offset_ms)
}

/// `+01:00`.
fn offset_ms(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |text: &str, below: i64| -> Option<i64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten().filter(|number| *number < below)
    };
    Some(sign * (number(hours, 24)? * 60 + number(minutes, 60)?) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_in_the_spellings_of_the_standard() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_rfc3339("1970-01-01T01:00:01.5+01:00"), Some(1_500));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00-23:59"), Some(86_340_000));
        assert_eq!(parse_rfc3339("1970-01-01t00:00:01z"), Some(1_000));
        assert_eq!(parse_rfc3339(&format!("1970-01-01T00:00:01.{}Z", "5".repeat(60))), Some(1_555));
        assert_eq!(parse_rfc3339("2024-02-29T11:59:59.999Z"), Some(1_709_207_999_999));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00+01:00"), Some(-3_600_000));
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59.25Z"), Some(-750));
        assert_eq!(parse_rfc3339("0000-01-01T00:00:00Z"), Some(-62_167_219_200_000));
        for text in [
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T25:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.+1Z",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+01",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00ü1:00",
            "1900-02-29T00:00:00Z",
            "+197-01-01T00:00:00Z",
            "ü9-01-01T00:00:00Z",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "soon",
            "",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_207_999_999), "2024-02-29T11:59:59.999Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-5), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_clock_returns_the_value_it_is_given() {
        let clock = Clock::told_by(|| 1_500);
        assert_eq!(clock.now_ms(), 1_500);
        assert_eq!(format!("{clock:?}"), "Clock(1970-01-01T00:00:01.500Z)");
        assert!(Clock::system().now_ms() > 1_709_207_999_999);
    }
}
