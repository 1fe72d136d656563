//! The gateway's request metrics.

use std::time::Duration;

use http::StatusCode;
use streamgate_plugin_api::metrics::{Counter, Family, Histogram, LATENCY, Labels, Metrics};

/// Handles shared by all connections.
#[derive(Debug)]
pub struct Figures {
    /// By the first digit of the status.
    answered: [Counter; 5],
    seconds: Histogram,
}

impl Figures {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let answered: Family<Labels<1>, Counter> =
            metrics.register("answers", "Answered requests, by status class", Family::default());
        let class = |class| answered.get_or_create_owned(&[("class", format!("{class}xx"))]);
        Self {
            answered: [1, 2, 3, 4, 5].map(class),
            seconds: metrics.histogram(
                "answer_seconds",
                "Time from the request head to the response head, for requests without a body",
                LATENCY,
            ),
        }
    }

    /// Counts one response. Its time is meaningful only for a request without a body: an upload takes as long
    /// as its client needs.
    pub(crate) fn answered(&self, status: StatusCode, took: Option<Duration>) {
        if let Some(class) = self.answered.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            class.inc();
        }
        if let Some(took) = took {
            self.seconds.observe(took.as_secs_f64());
        }
    }
}
