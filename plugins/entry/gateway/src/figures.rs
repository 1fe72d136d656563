//! What the gateway counts of the requests that it answers.

use std::time::Duration;

use http::StatusCode;
use streamgate_plugin_api::metrics::{Counter, Family, Histogram, LATENCY, Labels, Metrics};

/// Handles that all connections count in.
#[derive(Debug)]
pub struct Figures {
    /// By the first digit of the status.
    answered: [Counter; 5],
    seconds: Histogram,
}

impl Figures {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let answered: Family<Labels<1>, Counter> = metrics.register(
            "answers",
            "Requests that were answered, by the class of the status",
            Family::default(),
        );
        let class = |class| answered.get_or_create_owned(&[("class", format!("{class}xx"))]);
        Self {
            answered: [1, 2, 3, 4, 5].map(class),
            seconds: metrics.histogram(
                "answer_seconds",
                "Time from a request's head to its answer's, of requests without a body",
                LATENCY,
            ),
        }
    }

    /// Counts one answer. How long it took tells something only of a request without a body: an upload takes its time.
    pub(crate) fn answered(&self, status: StatusCode, took: Option<Duration>) {
        if let Some(class) = self.answered.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            class.inc();
        }
        if let Some(took) = took {
            self.seconds.observe(took.as_secs_f64());
        }
    }
}
