//! The plugin's metrics: queued and running jobs of each queue, and how jobs ended.

use std::time::Duration;

use streamgate_contracts::jobs::v1::Job;
use streamgate_plugin_api::metrics::{Counter, Family, Gauge, Labels, Metrics};
use tokio_util::sync::CancellationToken;

use crate::jobs::Jobs;

/// Between two counts, which read the indexes of all unfinished jobs.
const INTERVAL: Duration = Duration::from_secs(15);

/// The counters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// By queue and state.
    jobs: Family<Labels<2>, Gauge>,
    /// By state alone: plugins name queues, and a counter would keep each name forever.
    changes: Family<Labels<1>, Counter>,
}

fn labels(queue: &str, state: &str) -> Labels<2> {
    [("queue", queue.to_owned()), ("state", state.to_owned())]
}

impl Figures {
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register("jobs", "Unfinished jobs", self.jobs.clone());
        metrics.register("job_changes", "Changes of jobs, by resulting state", self.changes.clone());
    }

    pub(crate) fn changed(&self, job: &Job) {
        self.changes.get_or_create(&[("state", job.state().name().to_owned())]).inc();
    }
}

/// Counts jobs until the token is cancelled.
pub(crate) async fn count(jobs: Jobs, shutdown: CancellationToken) {
    let counting = async {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            match jobs.store().counts().await {
                Ok(counts) => {
                    let gauges = &jobs.figures().jobs;
                    gauges.clear();
                    for (queue, state, count) in counts {
                        gauges.get_or_create(&labels(&queue, &state)).set(count);
                    }
                }
                // The sweep reports a database that does not answer.
                Err(error) => tracing::debug!(%error, "jobs cannot be counted"),
            }
        }
    };
    shutdown.run_until_cancelled(counting).await;
}
