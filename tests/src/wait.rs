//! Waiting for a condition, with a limit. Tests never sleep for a guessed time.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks for repeated checks; the first comes at once.
#[must_use]
pub fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Calls `probe` until it returns `Some`, for at most `limit`.
///
/// # Panics
/// When the limit has passed; the message names `what`.
pub async fn eventually<T>(
    what: impl Display,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    let mut ticks = every(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        if let Some(value) = probe().await {
            return value;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
    }
}
