//! Cron expressions: when a scheduled job is due next, in UTC.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::errors::CronError;

/// Why an expression is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{expression}` is not a cron expression: {reason}; an example: `0 3 * * *` is every day at 03:00 UTC"
)]
pub(crate) struct InvalidCron {
    expression: String,
    reason: String,
}

/// Five fields, or six with seconds in front, or `@daily` and similar.
pub(crate) fn parse(expression: &str) -> Result<Cron, InvalidCron> {
    let invalid = |error: CronError| InvalidCron { expression: expression.into(), reason: error.to_string() };
    let cron: Cron = expression.parse().map_err(invalid)?;
    // An expression such as 30 February never occurs.
    cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false).map_err(invalid)?;
    Ok(cron)
}

/// The first time after `now`; both are Unix time in milliseconds. `None` if there is none.
pub(crate) fn next_after(cron: &Cron, now: i64) -> Option<i64> {
    let now = DateTime::<Utc>::from_timestamp_millis(now)?;
    let next = cron.find_next_occurrence(&now, false).ok()?;
    Some(next.timestamp_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    #[test]
    fn a_daily_schedule_comes_once_a_day_in_utc() {
        let cron = parse("0 3 * * *").unwrap();
        let first = next_after(&cron, 0).unwrap();
        assert_eq!(first, 3 * 3600 * 1000);
        assert_eq!(next_after(&cron, first).unwrap(), first + DAY);
        assert_eq!(next_after(&cron, first - 1).unwrap(), first);
    }

    #[test]
    fn seconds_and_names_work() {
        assert_eq!(next_after(&parse("*/10 * * * * *").unwrap(), 1).unwrap(), 10_000);
        assert_eq!(next_after(&parse("@daily").unwrap(), 1).unwrap(), DAY);
    }

    #[test]
    fn what_is_no_expression_or_never_comes_is_refused_with_an_example() {
        for bad in ["", "often", "61 * * * *", "0 0 30 2 *", "* * * * * * * *"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")) && error.contains("0 3 * * *"), "{error}");
        }
    }
}
