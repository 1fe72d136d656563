//! Publishes changes of jobs on the bus. A publisher may have to wait for a slow subscriber; calls about jobs
//! do not: events pass through a bounded queue, and are dropped (and counted) when it is full. An event is
//! only a hint, so no job is lost.

use streamgate_contracts::events::{self, JobChanged};
use streamgate_contracts::jobs::v1::{Job, JobState};
use streamgate_plugin_api::{Event, Host};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

const QUEUE: usize = 4096;

/// The sender of changes of jobs.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    changes: Sender<JobChanged>,
}

impl Announcer {
    /// An announcer, and the queue to publish from.
    pub(crate) fn new() -> (Self, Receiver<JobChanged>) {
        let (changes, queue) = channel(QUEUE);
        (Self { changes }, queue)
    }

    /// The job's state has changed.
    pub(crate) fn changed(&self, job: &Job) {
        let change =
            JobChanged { id: job.id.clone(), queue: job.queue.clone(), state: job.state().name().to_owned() };
        if self.changes.try_send(change).is_err() {
            tracing::warn!(job = job.id, "an event about a job was dropped: the bus is too slow");
        }
    }
}

/// Publishes until the token is cancelled and the queue is empty, or all announcers are dropped.
pub(crate) async fn publish(host: Host, mut queue: Receiver<JobChanged>, shutdown: CancellationToken) {
    loop {
        let change = tokio::select! {
            biased;
            change = queue.recv() => change,
            () = shutdown.cancelled() => None,
        };
        let Some(change) = change else { return };
        tell(&host, &change).await;
    }
}

async fn tell(host: &Host, change: &JobChanged) {
    let mut subjects = vec![(events::job_changed(&change.queue), events::TYPE_JOB_CHANGED)];
    if change.state == JobState::Queued.name() {
        subjects.push((events::job_enqueued(&change.queue), events::TYPE_JOB_ENQUEUED));
    }
    for (subject, kind) in subjects {
        let published = match Event::json(subject, kind, change) {
            Ok(event) => host.publish(event).await,
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            tracing::warn!(%error, job = change.id, "an event about a job was not published");
        }
    }
}
