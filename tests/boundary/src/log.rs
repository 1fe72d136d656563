//! Log lines at enabled and disabled levels, written by the current subscriber.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::{cost, median, nanoseconds};

/// Lines per batch: as many as the host's queue holds without dropping any.
const BATCH: u32 = 1_000;
const BATCHES: usize = 9;
/// Time for the host to write them out.
const PAUSE: Duration = Duration::from_millis(20);

/// The cost of a disabled log line, in nanoseconds.
pub async fn off() -> f64 {
    const LINES: u32 = 1_000;
    let all = cost(async || {
        for line in 0..LINES {
            tracing::debug!(line = black_box(line), bytes = 1_073_741_824_u64, "this level is off");
        }
    });
    all.await / f64::from(LINES)
}

/// The cost of a log line to its caller, in nanoseconds.
pub async fn on() -> f64 {
    let mut costs = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for line in 0..BATCH {
            tracing::info!(line, bytes = 1_073_741_824_u64, "somebody may see this");
        }
        costs.push(nanoseconds(begun.elapsed()) / f64::from(BATCH));
        tokio::time::sleep(PAUSE).await;
    }
    median(costs)
}

/// Runs `work` under a subscriber of this library's own: discarded JSON lines.
pub fn linked<T>(work: impl FnOnce() -> T) -> T {
    let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
    let subscriber =
        tracing_subscriber::registry().with(Targets::new().with_default(Level::INFO)).with(lines);
    let result = tracing::subscriber::with_default(subscriber, work);
    tracing::callsite::rebuild_interest_cache();
    result
}
