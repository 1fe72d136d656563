//! The code that `make bench ONLY=boundary` measures: one plugin calls another, or the same code linked
//! statically.
//!
//! [`target`] is the called code, [`call`] the calls, [`event`] and [`log`] the rest of what crosses the
//! boundary. The plugin `bench-target` provides the target; `bench-driver` calls it, once through the host
//! and once as its own code, and answers with the cost. `tests/src/bench/boundary.rs` runs both in a real
//! server and prints the table.

pub mod call;
pub mod event;
pub mod log;
pub mod target;

use std::time::{Duration, Instant};

/// The number of batches of which a figure is the median, and their duration.
const BATCHES: usize = 25;
const BATCH: Duration = Duration::from_millis(2);

/// The cost of one call of `once`, in nanoseconds: the median of batches.
pub async fn cost(mut once: impl AsyncFnMut()) -> f64 {
    let mut calls = 1u32;
    let mut batch = async |calls| {
        let begun = Instant::now();
        for _ in 0..calls {
            once().await;
        }
        begun.elapsed()
    };
    while batch(calls).await < BATCH {
        calls *= 2;
    }
    let mut costs = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        costs.push(nanoseconds(batch(calls).await) / f64::from(calls));
    }
    median(costs)
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
