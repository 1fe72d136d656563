//! The operations on jobs: the store, the rules, the waiting calls and the events, together. The internal
//! contract and the HTTP API both use this.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamgate_contracts::audit::{By, Outbox};
use streamgate_contracts::db::DbError;
use streamgate_contracts::jobs::v1::{Job, JobState};
use streamgate_plugin_api::time::{Clock, millis};
use streamgate_plugin_api::{Client, failpoint, process};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::announce::Announcer;
use crate::error::JobError;
use crate::figures::Figures;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::owners::Owners;
use crate::policy::{chance, is_queue};
use crate::settings::Settings;
use crate::store::{AfterFailure, Beat, Filter, Leased, Lessee, NewJob, SWEEP, Store};
use crate::turns::{Head, Turn};
use crate::waiting::Waiting;

const MAX_NAME: usize = 256;
const MAX_ERROR: usize = 4096;
const MAX_ATTEMPTS: u32 = 10_000;
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long a worker waits before it checks again whether an owner may have one more running job.
const BLOCKED_WAIT: Duration = Duration::from_secs(1);
/// How often a call is retried after a concurrent change.
const TRIES: usize = 10;

/// The jobs of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    settings: Settings,
    home: Identity,
    waiting: Waiting,
    announcer: Announcer,
    shutdown: CancellationToken,
    now: Clock,
    limits: Limits,
    figures: Figures,
    owners: Owners,
    /// There are new entries for the audit log.
    noted: Notify,
}

/// The capabilities that state the owners of jobs and their limits.
#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    pub(crate) auth: Client,
    pub(crate) catalogue: Client,
}

/// A job to be enqueued.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enqueue {
    pub(crate) queue: String,
    pub(crate) payload: Bytes,
    pub(crate) dedupe_key: String,
    pub(crate) priority: i32,
    pub(crate) max_attempts: u32,
    pub(crate) due_at: i64,
    pub(crate) traceparent: String,
    pub(crate) owner: String,
    pub(crate) content: String,
}

/// A worker that requests a job, and for how long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Want {
    pub(crate) queue: String,
    pub(crate) worker: String,
    pub(crate) lease_ms: u32,
    pub(crate) wait: Duration,
    /// The worker is on another node, and continues when this process ends.
    pub(crate) remote: bool,
    /// Its process; empty: unknown.
    pub(crate) process: String,
}

/// A leased job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lease {
    pub(crate) job: Job,
    /// The proof of the lease.
    pub(crate) proof: String,
    /// Why the job must not be worked on any more, if so.
    pub(crate) set_aside: Option<String>,
}

impl Jobs {
    pub(crate) fn new(
        store: Store,
        settings: Settings,
        home: Identity,
        announcer: Announcer,
        shutdown: CancellationToken,
        now: Clock,
        dependencies: Dependencies,
    ) -> Self {
        let limits = Limits::new(dependencies.auth, settings.max_running_per_owner);
        let owners = Owners::new(dependencies.catalogue);
        let waiting = Waiting::default();
        let (noted, figures) = (Notify::new(), Figures::default());
        let shared = Shared {
            store,
            settings,
            home,
            waiting,
            announcer,
            shutdown,
            now,
            limits,
            owners,
            figures,
            noted,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Unix time in milliseconds.
    pub(crate) fn now(&self) -> i64 {
        self.shared.now.now_ms()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The limits of each owner.
    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The owners of contents that jobs belong to.
    pub(crate) fn owners(&self) -> &Owners {
        &self.shared.owners
    }

    /// Sends the audit log who changed jobs, until the plugin stops.
    pub(crate) async fn tell(self, auth: Client) {
        let outbox = Outbox::new(self.store().db.clone(), auth);
        tokio::select! {
            () = self.shared.shutdown.cancelled() => {}
            () = outbox.run(&self.shared.noted) => {}
        }
    }

    /// Makes the waiting calls of this queue check again.
    pub(crate) fn wake(&self, queue: &str) {
        self.shared.waiting.wake(queue);
    }

    /// The slot of the calls that wait for a queue.
    #[cfg(test)]
    pub(crate) fn slot_for_test(&self, queue: &str) -> Arc<tokio::sync::Notify> {
        self.shared.waiting.slot(queue)
    }

    /// Wakes the calls that wait for it, or for its end, and publishes the change.
    pub(crate) fn changed(&self, job: &Job) {
        if job.state() != JobState::Running {
            self.wake(&job.queue);
        }
        self.shared.figures.changed(job);
        self.shared.announcer.changed(job);
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    pub(crate) async fn enqueue(&self, wanted: Enqueue) -> Result<Job, JobError> {
        let settings = self.settings();
        check_queue(&wanted.queue)?;
        check_length("dedupe_key", &wanted.dedupe_key)?;
        check_length("traceparent", &wanted.traceparent)?;
        check_length("owner", &wanted.owner)?;
        check_length("content", &wanted.content)?;
        self.check_payload("payload", &wanted.payload)?;
        if wanted.max_attempts > MAX_ATTEMPTS {
            return Err(JobError::Invalid(format!("max_attempts is more than {MAX_ATTEMPTS}")));
        }
        let max_attempts = if wanted.max_attempts == 0 { settings.max_attempts } else { wanted.max_attempts };
        let job = NewJob {
            id: Uuid::now_v7().to_string(),
            queue: wanted.queue,
            payload: wanted.payload,
            dedupe_key: Some(wanted.dedupe_key).filter(|key| !key.is_empty()),
            priority: wanted.priority,
            max_attempts,
            due_at: wanted.due_at,
            traceparent: wanted.traceparent,
            owner: wanted.owner,
            content: wanted.content,
        };
        for _ in 0..TRIES {
            if let Some(job) = self.store().insert(&job, self.now()).await? {
                self.changed(&job);
                return Ok(job);
            }
            let key = job.dedupe_key.as_deref().unwrap_or_default();
            if let Some(there) = self.store().unfinished(&job.queue, key).await? {
                return Ok(there);
            }
            // The job with this key ended between the two statements: retry.
        }
        Err(JobError::Contended)
    }

    /// The next due job with its lease, waiting for one.
    pub(crate) async fn lease(&self, want: Want) -> Result<Option<Lease>, JobError> {
        check_queue(&want.queue)?;
        check_length("worker", &want.worker)?;
        check_length("process", &want.process)?;
        let settings = self.settings();
        let asked = Duration::from_millis(want.lease_ms.into());
        let length = if asked.is_zero() { settings.lease.get() } else { asked };
        if length < Duration::from_millis(100) || length > settings.max_lease.get() {
            let most = settings.max_lease;
            return Err(JobError::Invalid(format!("lease_ms is not between 100 and `max_lease` = {most}")));
        }
        let lessee = Lessee {
            worker: want.worker,
            lease: Uuid::new_v4().to_string(),
            lease_ms: millis(length),
            home: (!want.remote).then(|| self.shared.home.clone()),
            process: Some(want.process).filter(|process| !want.remote && !process.is_empty()),
        };
        let deadline = Instant::now() + want.wait.min(MAX_WAIT);
        let slot = self.shared.waiting.slot(&want.queue);
        loop {
            // Waits from before the check, so that no job is missed between check and wait.
            let mut woken = std::pin::pin!(slot.notified());
            woken.as_mut().enable();
            let due = self.store().next_due(&want.queue).await?;
            let wait = match due.map(|due| due.saturating_sub(self.now())) {
                Some(wait) if wait <= 0 => match self.turn(&want.queue).await? {
                    // Its owner has changed: start the turn again.
                    Turn::Of { head, .. } if self.moved(&head).await? => continue,
                    Turn::Of { head: Head { id, owner, .. }, most } => {
                        match self.take((&id, &owner, most), &lessee).await? {
                            Some(leased) => return Ok(Some(self.lease_of(leased, lessee.lease))),
                            // Its process has to finish a job first, which wakes it.
                            None if self.is_held_back(&id, &lessee).await? => MAX_WAIT,
                            // Another worker was faster; there may be a second job.
                            None => Duration::ZERO,
                        }
                    }
                    // A job that ends here wakes it; one that ends elsewhere, or another limit, does not.
                    Turn::Blocked => BLOCKED_WAIT,
                    Turn::None => Duration::ZERO,
                },
                Some(wait) => Duration::from_millis(wait.unsigned_abs()),
                None => MAX_WAIT,
            };
            if Instant::now() >= deadline || self.shared.shutdown.is_cancelled() {
                return Ok(None);
            }
            let until = deadline.min(Instant::now() + wait);
            tokio::select! {
                () = self.shared.shutdown.cancelled() => {}
                _ = timeout_at(until, woken) => {}
            }
        }
    }

    /// Leases a job that is due now. If the caller disconnects meanwhile, the job is given back.
    async fn take(
        &self,
        (id, owner, most): (&str, &str, Option<u64>),
        lessee: &Lessee,
    ) -> Result<Option<Leased>, JobError> {
        let (send, leased) = oneshot::channel();
        let (jobs, id, owner, lessee) = (self.clone(), id.to_owned(), owner.to_owned(), lessee.clone());
        tokio::spawn(async move {
            let taken = jobs.store().lease((&id, &owner, most), &lessee, jobs.now()).await;
            if let Ok(Some(leased)) = &taken {
                failpoint("worker.leased");
                jobs.shared.announcer.changed(&leased.job);
            }
            let Err(Ok(Some(Leased { job, .. }))) = send.send(taken) else { return };
            if let Err(error) = jobs.release(&job.id, &lessee.lease, (Duration::ZERO, ""), 0).await {
                tracing::warn!(%error, job = job.id, "a job whose caller disconnected could not be given back");
            }
        });
        Ok(leased.await.map_err(|_| JobError::Contended)??)
    }

    async fn is_held_back(&self, id: &str, lessee: &Lessee) -> Result<bool, JobError> {
        let Some(process) = &lessee.process else { return Ok(false) };
        Ok(self.store().is_held_back(id, process).await?)
    }

    fn lease_of(&self, leased: Leased, proof: String) -> Lease {
        let Leased { job, crashes, interruptions } = leased;
        let Settings { max_crashes, max_interruptions, .. } = self.settings();
        let set_aside = if crashes >= *max_crashes {
            Some(format!(
                "the process that worked on it alone ended {crashes} times (max_crashes = {max_crashes})"
            ))
        } else {
            (interruptions >= *max_interruptions).then(|| {
                format!("it lost its worker {interruptions} times (max_interruptions = {max_interruptions})")
            })
        };
        Lease { job, proof, set_aside }
    }

    pub(crate) async fn heartbeat(&self, id: &str, lease: &str, beat: Beat) -> Result<bool, JobError> {
        if beat.progress.is_some_and(|progress| !(0.0..=1.0).contains(&progress)) {
            return Err(JobError::Invalid("progress is not between 0 and 1".into()));
        }
        self.store().heartbeat(id, lease, beat, self.now()).await
    }

    /// `worked_ms` is the total work time of the lease.
    pub(crate) async fn complete(
        &self,
        id: &str,
        lease: &str,
        result: Bytes,
        worked_ms: u64,
    ) -> Result<Job, JobError> {
        self.check_payload("result", &result)?;
        let changed = self.store().complete(id, lease, (result, worked_ms), self.now()).await?;
        failpoint("worker.completed");
        if changed.now {
            self.changed(&changed.job);
        }
        Ok(changed.job)
    }

    pub(crate) async fn fail(
        &self,
        id: &str,
        lease: &str,
        (error, permanent): (&str, bool),
        worked_ms: u64,
    ) -> Result<Job, JobError> {
        let job = self.store().under_lease(id, lease).await?;
        let now = self.now();
        let after = if permanent || job.attempt >= job.max_attempts {
            AfterFailure::Dead
        } else {
            let wait = self.settings().backoff().spread(job.attempt, chance());
            AfterFailure::RetryAt(now.saturating_add(millis(wait)))
        };
        let job = self.store().fail(id, lease, (shortened(error), after), worked_ms, now).await?;
        if job.state() == JobState::Dead {
            tracing::warn!(
                job = job.id,
                queue = job.queue,
                attempt = job.attempt,
                error = job.error,
                "a job is dead"
            );
        }
        self.changed(&job);
        Ok(job)
    }

    pub(crate) async fn release(
        &self,
        id: &str,
        lease: &str,
        (delay, reason): (Duration, &str),
        worked_ms: u64,
    ) -> Result<Job, JobError> {
        let most = self.settings().max_backoff;
        if delay > most.get() {
            return Err(JobError::Invalid(format!("delay_ms is more than `max_backoff` = {most}")));
        }
        let now = self.now();
        let due_at = now.saturating_add(millis(delay));
        let job = self.store().release(id, lease, (shortened(reason), due_at), worked_ms, now).await?;
        self.changed(&job);
        Ok(job)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Job, JobError> {
        self.store().get(id).await
    }

    pub(crate) async fn cancel(&self, id: &str, by: &By) -> Result<Job, JobError> {
        let changed = self.store().cancel(id, by, self.now()).await?;
        if changed.now {
            self.shared.noted.notify_one();
            self.changed(&changed.job);
        }
        Ok(changed.job)
    }

    pub(crate) async fn retry(&self, id: &str, by: &By) -> Result<Job, JobError> {
        let job = self.store().retry(id, by, self.now()).await?;
        self.shared.noted.notify_one();
        self.changed(&job);
        Ok(job)
    }

    pub(crate) async fn list(&self, filter: &Filter, limit: u32) -> Result<Vec<Job>, JobError> {
        Ok(self.store().list(filter, limit).await?)
    }

    /// At start: the jobs of workers that ended with the previous process are due again at once.
    pub(crate) async fn free_orphaned(&self) -> Result<usize, DbError> {
        let mut freed = 0;
        loop {
            let most = self.settings().max_interruptions;
            let jobs = self.store().free_orphaned(&self.shared.home, most, self.now()).await?;
            freed += self.freed(&jobs);
            if jobs.len() < SWEEP {
                return Ok(freed);
            }
        }
    }

    /// Jobs of a worker process that ended, while this one continues, are due again at once.
    pub(crate) async fn free_crashed(&self) -> Result<usize, DbError> {
        let mut freed = 0;
        for (process, held) in self.store().processes(&self.shared.home).await? {
            if !process::is_gone(&process) {
                continue;
            }
            let (place, most) = (Uuid::now_v7().to_string(), self.settings().max_crashes);
            let jobs = self.store().free_crashed((&process, held == 1), &place, most, self.now()).await?;
            freed += self.freed(&jobs);
        }
        Ok(freed)
    }

    /// Jobs whose lease has expired are due again.
    pub(crate) async fn free_expired(&self) -> Result<usize, DbError> {
        let mut freed = 0;
        while self.store().any_expired(self.now()).await? {
            let jobs = self.store().free_expired(self.settings().max_interruptions, self.now()).await?;
            freed += self.freed(&jobs);
        }
        Ok(freed)
    }

    fn freed(&self, jobs: &[Job]) -> usize {
        for job in jobs {
            let (id, queue, state) = (&job.id, &job.queue, job.state().name());
            tracing::warn!(job = id, queue, state, reason = job.error, "a job lost its worker");
            self.changed(job);
        }
        jobs.len()
    }

    fn check_payload(&self, what: &str, bytes: &Bytes) -> Result<(), JobError> {
        let most = self.settings().max_payload;
        if bytes.len() as u64 <= most.get() {
            return Ok(());
        }
        Err(JobError::Invalid(format!("{what} has {} bytes; `max_payload` is {most}", bytes.len())))
    }
}

fn check_queue(queue: &str) -> Result<(), JobError> {
    if is_queue(queue) {
        return Ok(());
    }
    Err(JobError::Invalid(format!(
        "`{}` is not a valid queue name: use [a-z][a-z0-9-]{{0,62}}",
        queue.escape_default()
    )))
}

fn check_length(what: &str, text: &str) -> Result<(), JobError> {
    if text.len() <= MAX_NAME {
        return Ok(());
    }
    Err(JobError::Invalid(format!("{what} has {} bytes; {MAX_NAME} are allowed", text.len())))
}

fn shortened(error: &str) -> &str {
    &error[..error.floor_char_boundary(MAX_ERROR)]
}
