//! The SQL of leases: how a job gets one, keeps it and ends under it, and how one is freed that has run out or whose
//! process has ended.

use bytes::Bytes;
use streamgate_contracts::db::{DbError, Param, Row, Rows, params};
use streamgate_contracts::jobs::v1::{Job, JobState};

use super::{COLUMNS, Changed, NOBODY, SWEEP, Store, job, jobs, one_job};
use crate::error::JobError;
use crate::identity::Identity;

/// How often a job that has lost its worker too often is given out once more, to be recorded as failed
/// by whoever knows what it was for.
pub(crate) const SET_ASIDE_TRIES: u32 = 3;

/// Whether the process has a job that this one must not run beside.
fn held_back(process: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM job AS beside WHERE beside.state = 'running' \
             AND beside.worker_process = {process} AND (beside.alone = 1 OR job.alone = 1))"
    )
}

/// Who takes a lease.
#[derive(Debug, Clone)]
pub(crate) struct Lessee {
    pub(crate) worker: String,
    pub(crate) lease: String,
    pub(crate) lease_ms: i64,
    /// Set for a worker that ends with this process.
    pub(crate) home: Option<Identity>,
    /// The process that it lives in, if that is known and of this machine.
    pub(crate) process: Option<String>,
}

/// What a worker says of a job that it goes on with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beat {
    pub(crate) progress: Option<f64>,
    pub(crate) stopping: bool,
    /// What its lease has worked on, all in all.
    pub(crate) worked_ms: u64,
}

/// How a failed attempt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    RetryAt(i64),
    Dead,
}

/// A job under a new lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leased {
    pub(crate) job: Job,
    /// How often it has taken its worker down.
    pub(crate) crashes: u32,
    /// How often it has lost its worker.
    pub(crate) interruptions: u32,
}

impl Store {
    /// Leases the due job `id` of this owner, unless they have `most` running in its queue. One that has to be
    /// alone waits until the lessee's process has no other, and nothing overtakes it there. The lease's
    /// fence is larger than every one before, also where an older copy of this database was put back: that
    /// is why it follows the time, as far as that goes forwards.
    pub(crate) async fn lease(
        &self,
        (id, owner, most): (&str, &str, Option<u64>),
        lessee: &Lessee,
        now: i64,
    ) -> Result<Option<Leased>, DbError> {
        let fence = "UPDATE fencing SET last = CASE WHEN last < $1 THEN $1 ELSE last + 1 END";
        let sql = format!(
            "UPDATE job SET state = 'running', attempt = attempt + 1, worker = $3, lease = $4, lease_ms = $5, \
                 lease_until = $6, node = $7, process = $8, worker_process = $9, updated_at = $2, \
                 fence = (SELECT last FROM fencing), worked_ms = 0 \
             WHERE state = 'queued' AND id = $1 AND owner = $11 AND due_at <= $2 AND NOT {HELD_BACK} \
             AND ($10 IS NULL OR (SELECT COUNT(*) FROM job AS beside WHERE beside.queue = job.queue \
                 AND beside.state = 'running' AND beside.owner = job.owner) < $10) \
             RETURNING {COLUMNS}, crashes, interruptions",
            HELD_BACK = held_back("$9"),
        );
        let (node, process) = match &lessee.home {
            Some(home) => (Some(&home.node), Some(&home.process)),
            None => (None, None),
        };
        let until = now.saturating_add(lessee.lease_ms);
        let (worker, lease, in_process) = (&lessee.worker, &lessee.lease, lessee.process.as_deref());
        let params =
            params![id, now, worker, lease, lessee.lease_ms, until, node, process, in_process, most, owner];
        // The counter first: on a database with several writers its row makes them wait for one another.
        let batch = self.db.batch().push_expect(fence, params![now], 1).push_expect(&sql, params, 1);
        let rows = match batch.run().await {
            Ok(mut outcomes) => outcomes.pop().map(|outcome| outcome.rows),
            Err(DbError::Conflict { .. }) => None,
            Err(error) => return Err(error),
        };
        let leased = |row: &Row| {
            let (crashes, interruptions) = (row.get("crashes")?, row.get("interruptions")?);
            Ok(Leased { job: job(row)?, crashes, interruptions })
        };
        rows.and_then(|rows| rows.first()).map(|row| leased(&row)).transpose()
    }

    /// Whether a job waits that this process gets only when it has ended its others.
    pub(crate) async fn is_held_back(&self, id: &str, process: &str) -> Result<bool, DbError> {
        let sql = format!("SELECT id FROM job WHERE id = $1 AND state = 'queued' AND {}", held_back("$2"));
        Ok(!self.db.query(&sql, params![id, process]).await?.is_empty())
    }

    /// Extends the lease. True: the job was cancelled, and whoever asks held its lease. Of one that
    /// is `stopping` the process may end without being missed.
    pub(crate) async fn heartbeat(
        &self,
        id: &str,
        lease: &str,
        Beat { progress, stopping, worked_ms }: Beat,
        now: i64,
    ) -> Result<bool, JobError> {
        let sql = "UPDATE job SET lease_until = $3 + lease_ms, updated_at = $3, \
                       progress = CASE WHEN $5 = 1 THEN $4 ELSE progress END, \
                       worker_process = CASE WHEN $6 = 1 THEN NULL ELSE worker_process END \
                   WHERE id = $1 AND lease = $2 AND state = 'running'";
        let params = params![id, lease, now, progress.unwrap_or(0.0), progress.is_some(), stopping];
        if self.change_counted((id, lease), worked_ms, now, (sql, params)).await?.is_some() {
            return Ok(false);
        }
        let (job, held) = self.held(id, lease).await?;
        match job.state() {
            JobState::Cancelled if held => Ok(true),
            state => Err(JobError::LeaseLost { id: id.into(), state }),
        }
    }

    /// Ends the job as completed. The same call again answers the same.
    pub(crate) async fn complete(
        &self,
        id: &str,
        lease: &str,
        (result, worked_ms): (Bytes, u64),
        now: i64,
    ) -> Result<Changed, JobError> {
        let sql = format!(
            "UPDATE job SET state = 'completed', progress = 1.0, result = $3, error = '', updated_at = $4, ended_at = $4 \
             WHERE id = $1 AND lease = $2 AND state = 'running' RETURNING {COLUMNS}"
        );
        let change = (&*sql, params![id, lease, result, now]);
        if let Some(rows) = self.change_counted((id, lease), worked_ms, now, change).await?
            && let Some(job) = one_job(rows)?
        {
            return Ok(Changed { job, now: true });
        }
        let (job, held) = self.held(id, lease).await?;
        match job.state() {
            JobState::Completed if held => Ok(Changed { job, now: false }),
            state => Err(JobError::LeaseLost { id: id.into(), state }),
        }
    }

    /// The job, if this lease is in force.
    pub(crate) async fn under_lease(&self, id: &str, lease: &str) -> Result<Job, JobError> {
        let (job, held) = self.held(id, lease).await?;
        match job.state() {
            JobState::Running if held => Ok(job),
            state => Err(JobError::LeaseLost { id: id.into(), state }),
        }
    }

    /// Ends the attempt of this lease.
    pub(crate) async fn fail(
        &self,
        id: &str,
        lease: &str,
        (error, after): (&str, AfterFailure),
        worked_ms: u64,
        now: i64,
    ) -> Result<Job, JobError> {
        let (sql, params) = match after {
            AfterFailure::RetryAt(due_at) => {
                let sql = format!(
                    "UPDATE job SET state = 'queued', error = $3, updated_at = $4, due_at = $5, lease = NULL, \
                         {NOBODY} \
                     WHERE id = $1 AND lease = $2 AND state = 'running' RETURNING {COLUMNS}"
                );
                (sql, params![id, lease, error, now, due_at])
            }
            AfterFailure::Dead => {
                let sql = format!(
                    "UPDATE job SET state = 'dead', error = $3, updated_at = $4, ended_at = $4 \
                     WHERE id = $1 AND lease = $2 AND state = 'running' RETURNING {COLUMNS}"
                );
                (sql, params![id, lease, error, now])
            }
        };
        let changed = self.change_counted((id, lease), worked_ms, now, (&sql, params)).await?;
        self.changed_or_lost(changed, id).await
    }

    /// Gives the job back as if it had not been leased, due at `due_at`; `reason` is told if there is one.
    pub(crate) async fn release(
        &self,
        id: &str,
        lease: &str,
        (reason, due_at): (&str, i64),
        worked_ms: u64,
        now: i64,
    ) -> Result<Job, JobError> {
        let sql = format!(
            "UPDATE job SET state = 'queued', attempt = attempt - 1, updated_at = $3, due_at = $4, lease = NULL, \
                 error = CASE WHEN $5 = '' THEN error ELSE $5 END, {NOBODY} \
             WHERE id = $1 AND lease = $2 AND state = 'running' RETURNING {COLUMNS}"
        );
        let change = (&*sql, params![id, lease, now, due_at, reason]);
        let changed = self.change_counted((id, lease), worked_ms, now, change).await?;
        self.changed_or_lost(changed, id).await
    }

    /// Whether a lease has run out.
    pub(crate) async fn any_expired(&self, now: i64) -> Result<bool, DbError> {
        let sql = "SELECT id FROM job WHERE state = 'running' AND lease_until < $1 LIMIT 1";
        Ok(!self.db.query(sql, params![now]).await?.is_empty())
    }

    /// Frees up to [`SWEEP`] jobs whose lease has run out. Those that were interrupted too often are set
    /// aside by whoever leases them next, and dead when that is interrupted too.
    pub(crate) async fn free_expired(&self, max_interruptions: u32, now: i64) -> Result<Vec<Job>, DbError> {
        let which = "lease_until < $1";
        let error = "the lease expired: the worker stopped responding";
        self.free(which, params![now, max_interruptions, error]).await
    }

    /// Frees up to [`SWEEP`] jobs that workers of this node leased in a process that has ended.
    pub(crate) async fn free_orphaned(
        &self,
        home: &Identity,
        max_interruptions: u32,
        now: i64,
    ) -> Result<Vec<Job>, DbError> {
        let which = "node = $4 AND process <> $5";
        let error = "the process that worked on it ended";
        self.free(which, params![now, max_interruptions, error, &home.node, &home.process]).await
    }

    /// The processes that work on jobs and end with this one at the latest, and how many jobs each has.
    pub(crate) async fn processes(&self, home: &Identity) -> Result<Vec<(String, u32)>, DbError> {
        let sql = "SELECT worker_process, count(*) AS jobs FROM job \
                   WHERE state = 'running' AND worker_process IS NOT NULL AND node = $1 AND process = $2 \
                   GROUP BY worker_process";
        let rows = self.db.query(sql, params![&home.node, &home.process]).await?;
        rows.into_iter().map(|row| Ok((row.get("worker_process")?, row.get("jobs")?))).collect()
    }

    /// Frees the jobs of a process that has ended. One that ran there `alone` took it down, and is
    /// dead past `max_crashes`; of several nobody knows which did, so each runs alone from now on.
    /// They go behind those that wait already, but for one whose end is only to be recorded.
    pub(crate) async fn free_crashed(
        &self,
        (process, alone): (&str, bool),
        place: &str,
        max_crashes: u32,
        now: i64,
    ) -> Result<Vec<Job>, DbError> {
        let sql = format!(
            "UPDATE job SET \
                 state = CASE WHEN crashes + $6 > $3 THEN 'dead' ELSE 'queued' END, \
                 attempt = CASE WHEN crashes + $6 > $3 THEN attempt ELSE attempt - 1 END, \
                 ended_at = CASE WHEN crashes + $6 > $3 THEN $4 ELSE NULL END, \
                 alone = CASE WHEN crashes + $6 >= $3 THEN 0 ELSE 1 END, \
                 place = CASE WHEN crashes + $6 >= $3 THEN '' ELSE $2 END, \
                 crashes = crashes + $6, error = $5, updated_at = $4, due_at = $4, lease = NULL, {NOBODY} \
             WHERE state = 'running' AND worker_process = $1 \
             RETURNING {COLUMNS}"
        );
        let error = "the process that worked on it ended";
        let params = params![process, place, max_crashes, now, error, u32::from(alone)];
        jobs(self.db.execute_returning(&sql, params).await?)
    }

    async fn free(&self, which: &str, params: Vec<Param>) -> Result<Vec<Job>, DbError> {
        let sql = format!(
            "UPDATE job SET \
                 state = CASE WHEN interruptions + 1 >= $2 + {SET_ASIDE_TRIES} THEN 'dead' ELSE 'queued' END, \
                 attempt = CASE WHEN interruptions + 1 >= $2 + {SET_ASIDE_TRIES} THEN attempt ELSE attempt - 1 END, \
                 ended_at = CASE WHEN interruptions + 1 >= $2 + {SET_ASIDE_TRIES} THEN $1 ELSE NULL END, \
                 interruptions = interruptions + 1, error = $3, updated_at = $1, due_at = $1, \
                 lease = NULL, {NOBODY} \
             WHERE state = 'running' AND id IN ( \
                 SELECT id FROM job WHERE state = 'running' AND {which} LIMIT {SWEEP}) \
             RETURNING {COLUMNS}"
        );
        // On a full disk, too, or the server could not start on one.
        let mut outcomes = self.db.batch().push(&sql, params).frees_space().run().await?;
        outcomes.pop().map_or(Ok(Vec::new()), |outcome| jobs(outcome.rows))
    }

    /// The job, and whether this is its lease (in force or the last one).
    async fn held(&self, id: &str, lease: &str) -> Result<(Job, bool), JobError> {
        let sql = format!("SELECT {COLUMNS}, lease FROM job WHERE id = $1");
        let row = self.db.query_opt(&sql, params![id]).await?.ok_or_else(|| JobError::NotFound(id.into()))?;
        let held = row.get::<Option<String>>("lease")?.is_some_and(|held| held == lease);
        Ok((job(&row)?, held))
    }

    async fn changed_or_lost(&self, changed: Option<Rows>, id: &str) -> Result<Job, JobError> {
        match changed.map_or(Ok(None), one_job)? {
            Some(job) => Ok(job),
            None => Err(JobError::LeaseLost { id: id.into(), state: self.get(id).await?.state() }),
        }
    }
}
