//! The SQL of jobs. Every change is one statement that names the state (and the lease) it starts from, so
//! that exactly one of two concurrent callers succeeds. It decides nothing about waiting, events or time:
//! `now` is always given, in Unix milliseconds.

use bytes::Bytes;
use streamgate_contracts::audit::{self, By};
use streamgate_contracts::db::{Db, DbError, Migrations, Param, Row, Rows, params};
use streamgate_contracts::jobs::v1::{Job, JobState};
use streamgate_plugin_api::Client;

use crate::error::JobError;
use crate::identity::Identity;

/// Maximum rows that one sweeping statement changes.
pub(crate) const SWEEP: usize = 500;

/// How often a job that has lost its worker too often is leased once more, so that a worker of its kind can
/// record the failure.
pub(crate) const SET_ASIDE_TRIES: u32 = 3;

/// The columns of a job without a worker.
const NOBODY: &str = "worker = '', node = NULL, process = NULL, worker_process = NULL";

/// Whether the process has a job that this one must not run beside.
fn held_back(process: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM job AS beside WHERE beside.state = 'running' \
             AND beside.worker_process = {process} AND (beside.alone = 1 OR job.alone = 1))"
    )
}

const COLUMNS: &str = "id, queue, state, payload, dedupe_key, priority, attempt, max_attempts, progress, error, \
                       created_at, due_at, updated_at, worker, result, traceparent, fence, owner";

/// A new job.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) id: String,
    pub(crate) queue: String,
    pub(crate) payload: Bytes,
    pub(crate) dedupe_key: Option<String>,
    pub(crate) priority: i32,
    pub(crate) max_attempts: u32,
    pub(crate) due_at: i64,
    pub(crate) traceparent: String,
    /// A principal; empty: none.
    pub(crate) owner: String,
    /// The content that it is for; empty: none.
    pub(crate) content: String,
}

/// Who takes a lease.
#[derive(Debug, Clone)]
pub(crate) struct Lessee {
    pub(crate) worker: String,
    pub(crate) lease: String,
    pub(crate) lease_ms: i64,
    /// Set for a worker that ends with this process.
    pub(crate) home: Option<Identity>,
    /// Its process, if that is known and on this machine.
    pub(crate) process: Option<String>,
}

/// A worker's heartbeat about a job.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beat {
    pub(crate) progress: Option<f64>,
    pub(crate) stopping: bool,
    /// The total work time of its lease.
    pub(crate) worked_ms: u64,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    RetryAt(i64),
    Dead,
}

/// A job under a new lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leased {
    pub(crate) job: Job,
    /// How often it has crashed its worker.
    pub(crate) crashes: u32,
    /// How often it has lost its worker.
    pub(crate) interruptions: u32,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) queue: Option<String>,
    pub(crate) state: Option<JobState>,
    /// Only jobs older than this id.
    pub(crate) before: Option<String>,
}

/// A schedule as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleRow {
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) next_at: i64,
}

/// The jobs in the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

impl Store {
    pub(crate) async fn open(client: Client) -> Result<Self, DbError> {
        let migrations = Migrations::new(&[
            ("0001_init", include_str!("../migrations/0001_init.sql")),
            ("0002_crashes", include_str!("../migrations/0002_crashes.sql")),
            ("0003_audit", audit::TABLE),
            ("0004_fence", include_str!("../migrations/0004_fence.sql")),
            ("0005_owners", include_str!("../migrations/0005_owners.sql")),
            ("0006_spent", include_str!("../migrations/0006_spent.sql")),
            ("0007_content", include_str!("../migrations/0007_content.sql")),
        ]);
        Ok(Self { db: Db::open(client, "worker", migrations).await? })
    }

    /// Adds the job, unless an unfinished one of its queue has its dedupe key.
    pub(crate) async fn insert(&self, job: &NewJob, now: i64) -> Result<Option<Job>, DbError> {
        let (sql, params) = insertion(job, now);
        one_job(self.db.execute_returning(&sql, params).await?)
    }

    /// The unfinished job of a queue with this dedupe key.
    pub(crate) async fn unfinished(&self, queue: &str, dedupe_key: &str) -> Result<Option<Job>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE queue = $1 AND dedupe_key = $2 AND state IN ('queued', 'running')"
        );
        one_job(self.db.query(&sql, params![queue, dedupe_key]).await?)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Job, JobError> {
        let sql = format!("SELECT {COLUMNS} FROM job WHERE id = $1");
        one_job(self.db.query(&sql, params![id]).await?)?.ok_or_else(|| JobError::NotFound(id.into()))
    }

    /// When the next queued job of the queue is due, if there is one.
    pub(crate) async fn next_due(&self, queue: &str) -> Result<Option<i64>, DbError> {
        let sql = "SELECT min(due_at) AS due FROM job WHERE queue = $1 AND state = 'queued'";
        self.db.query_one(sql, params![queue]).await?.get("due")
    }

    /// Leases the due job `id` of this owner, unless they have `most` running in its queue. A job that must
    /// run alone waits until the lessee's process has no other, and no job overtakes it there. The lease's
    /// fence is larger than every earlier one, also after an older copy of this database was restored: so it
    /// follows the time, as far as that moves forward.
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

    /// Whether a job waits that this process gets only when its others have ended.
    pub(crate) async fn is_held_back(&self, id: &str, process: &str) -> Result<bool, DbError> {
        let sql = format!("SELECT id FROM job WHERE id = $1 AND state = 'queued' AND {}", held_back("$2"));
        Ok(!self.db.query(&sql, params![id, process]).await?.is_empty())
    }

    /// Extends the lease. True: the job was cancelled, and the caller held its lease. A process with a
    /// `stopping` job may end without counting as lost.
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

    /// Completes the job. A repeated call gets the same answer.
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

    /// The job, if this lease is active.
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

    /// Gives the job back as if it had not been leased, due at `due_at`; `reason` is recorded if there is
    /// one.
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

    /// Cancels an unfinished job; a cancelled one is returned unchanged.
    pub(crate) async fn cancel(&self, id: &str, by: &By, now: i64) -> Result<Changed, JobError> {
        // The lease stays, so that its holder learns of it.
        let sql = format!(
            "UPDATE job SET state = 'cancelled', updated_at = $2, ended_at = $2 \
             WHERE id = $1 AND state IN ('queued', 'running') RETURNING {COLUMNS}"
        );
        if let Some(job) = self.changed_by(&sql, params![id, now], (by, "job.cancel", id)).await? {
            return Ok(Changed { job, now: true });
        }
        let job = self.get(id).await?;
        match job.state() {
            JobState::Cancelled => Ok(Changed { job, now: false }),
            state => Err(JobError::WrongState {
                id: id.into(),
                state,
                wanted: "queued or running",
                verb: "cancelled",
            }),
        }
    }

    /// Makes a dead or cancelled job due again, as if it were new.
    pub(crate) async fn retry(&self, id: &str, by: &By, now: i64) -> Result<Job, JobError> {
        let sql = format!(
            "UPDATE job SET state = 'queued', attempt = 0, interruptions = 0, crashes = 0, alone = 0, place = id, \
                 progress = 0.0, updated_at = $2, \
                 due_at = $2, ended_at = NULL, lease = NULL, {NOBODY} \
             WHERE id = $1 AND state IN ('dead', 'cancelled') RETURNING {COLUMNS}"
        );
        let changed = match self.changed_by(&sql, params![id, now], (by, "job.retry", id)).await {
            Err(DbError::UniqueViolation { .. }) => {
                return Err(JobError::Taken { queue: self.get(id).await?.queue });
            }
            other => other?,
        };
        if let Some(job) = changed {
            return Ok(job);
        }
        let state = self.get(id).await?.state();
        Err(JobError::WrongState { id: id.into(), state, wanted: "dead or cancelled", verb: "retried" })
    }

    /// Changes one job together with its entry in the audit log. `None`: no change.
    async fn changed_by(
        &self,
        sql: &str,
        params: Vec<Param>,
        (by, action, id): (&By, &str, &str),
    ) -> Result<Option<Job>, DbError> {
        let batch = by.note(self.db.batch().push_expect(sql, params, 1), action, id, "");
        match batch.run().await {
            Ok(outcomes) => outcomes.into_iter().next().map_or(Ok(None), |outcome| one_job(outcome.rows)),
            Err(DbError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a lease has expired.
    pub(crate) async fn any_expired(&self, now: i64) -> Result<bool, DbError> {
        let sql = "SELECT id FROM job WHERE state = 'running' AND lease_until < $1 LIMIT 1";
        Ok(!self.db.query(sql, params![now]).await?.is_empty())
    }

    /// Frees up to [`SWEEP`] jobs whose lease has expired. Those interrupted too often are set aside by the
    /// next lessee, and are dead when that is interrupted too.
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

    /// The number of unfinished jobs by queue and state, of at most a thousand queues.
    pub(crate) async fn counts(&self) -> Result<Vec<(String, String, i64)>, DbError> {
        let of = |state| {
            format!(
                "SELECT queue, '{state}' AS state, count(*) AS jobs FROM job WHERE state = '{state}' GROUP BY queue"
            )
        };
        let sql = format!("{} UNION ALL {} LIMIT 1000", of("queued"), of("running"));
        let rows = self.db.query(&sql, params![]).await?;
        rows.into_iter().map(|row| Ok((row.get("queue")?, row.get("state")?, row.get("jobs")?))).collect()
    }

    /// The processes that work on jobs and end with this one at the latest, and the number of their jobs.
    pub(crate) async fn processes(&self, home: &Identity) -> Result<Vec<(String, u32)>, DbError> {
        let sql = "SELECT worker_process, count(*) AS jobs FROM job \
                   WHERE state = 'running' AND worker_process IS NOT NULL AND node = $1 AND process = $2 \
                   GROUP BY worker_process";
        let rows = self.db.query(sql, params![&home.node, &home.process]).await?;
        rows.into_iter().map(|row| Ok((row.get("worker_process")?, row.get("jobs")?))).collect()
    }

    /// Frees the jobs of a process that has ended. A job that ran there `alone` crashed it, and is dead past
    /// `max_crashes`; of several the cause is unknown, so each runs alone from now on. They queue behind
    /// those that wait already, except for a job whose end only has to be recorded.
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
        // On a full disk too, or the server could not start on one.
        let mut outcomes = self.db.batch().push(&sql, params).frees_space().run().await?;
        outcomes.pop().map_or(Ok(Vec::new()), |outcome| jobs(outcome.rows))
    }

    /// The newest first.
    pub(crate) async fn list(&self, filter: &Filter, limit: u32) -> Result<Vec<Job>, DbError> {
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut params: Vec<Param> = Vec::new();
        let state = filter.state.map(|state| state.name().to_owned());
        let wanted = [("queue =", &filter.queue), ("state =", &state), ("id <", &filter.before)];
        for (condition, value) in wanted {
            if let Some(value) = value {
                params.push(value.into());
                conditions.push(format!("{condition} ${}", params.len()));
            }
        }
        params.push(limit.into());
        let (conditions, last) = (conditions.join(" AND "), params.len());
        let sql = format!("SELECT {COLUMNS} FROM job WHERE {conditions} ORDER BY id DESC LIMIT ${last}");
        jobs(self.db.query(&sql, params).await?)
    }

    /// Removes up to [`SWEEP`] jobs of these states that ended before a time; returns the number.
    pub(crate) async fn forget(&self, states: &[JobState], before: i64) -> Result<u64, DbError> {
        let names: Vec<String> = states.iter().map(|state| format!("'{}'", state.name())).collect();
        let which = format!("state IN ({}) AND ended_at < $1", names.join(", "));
        let some =
            self.db.query(&format!("SELECT id FROM job WHERE {which} LIMIT 1"), params![before]).await?;
        if some.is_empty() {
            return Ok(0);
        }
        let sql = format!("DELETE FROM job WHERE id IN (SELECT id FROM job WHERE {which} LIMIT {SWEEP})");
        let outcomes = self.db.batch().push(&sql, params![before]).frees_space().run().await?;
        Ok(outcomes.first().map_or(0, |outcome| outcome.rows_affected))
    }

    pub(crate) async fn schedules(&self) -> Result<Vec<ScheduleRow>, DbError> {
        let rows = self.db.query("SELECT name, cron, next_at FROM schedule ORDER BY name", params![]).await?;
        let read = |row: Row| {
            Ok(ScheduleRow { name: row.get("name")?, cron: row.get("cron")?, next_at: row.get("next_at")? })
        };
        rows.into_iter().map(read).collect()
    }

    /// Stores a schedule, or its new state.
    pub(crate) async fn put_schedule(&self, row: &ScheduleRow) -> Result<(), DbError> {
        let sql = "INSERT INTO schedule (name, cron, next_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, next_at = excluded.next_at";
        self.db.execute(sql, params![&row.name, &row.cron, row.next_at]).await.map(drop)
    }

    pub(crate) async fn drop_schedule(&self, name: &str) -> Result<(), DbError> {
        let batch = self.db.batch().push("DELETE FROM schedule WHERE name = $1", params![name]);
        batch.frees_space().run().await.map(drop)
    }

    /// Enqueues the job of a schedule and advances the schedule, together. `None`: its last run has not
    /// ended, or another node was faster.
    pub(crate) async fn run_schedule(
        &self,
        row: &ScheduleRow,
        next_at: i64,
        job: &NewJob,
        now: i64,
    ) -> Result<Option<Job>, DbError> {
        let moved = "UPDATE schedule SET next_at = $3, last_at = $4 WHERE name = $1 AND next_at = $2";
        let (insert, values) = insertion(job, now);
        let batch = self.db.batch().push_expect(moved, params![&row.name, row.next_at, next_at, now], 1);
        match batch.push(&insert, values).run().await {
            Ok(mut outcomes) => outcomes.pop().map_or(Ok(None), |outcome| one_job(outcome.rows)),
            Err(DbError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The job, and whether this is its lease (current or last).
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

/// A job, and whether this call changed it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Changed {
    pub(crate) job: Job,
    pub(crate) now: bool,
}

fn insertion(job: &NewJob, now: i64) -> (String, Vec<Param>) {
    let sql = format!(
        "INSERT INTO job (id, queue, state, payload, dedupe_key, priority, attempt, max_attempts, interruptions, \
             progress, error, created_at, due_at, updated_at, lease_ms, lease_until, worker, result, traceparent, place, owner, \
             content) \
         VALUES ($1, $2, 'queued', $3, $4, $5, 0, $6, 0, 0.0, '', $7, $8, $7, 0, 0, '', $9, $10, $1, $11, $12) \
         ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
    );
    let params = params![
        &job.id,
        &job.queue,
        &job.payload,
        job.dedupe_key.as_deref(),
        job.priority,
        job.max_attempts,
        now,
        job.due_at.max(now),
        Bytes::new(),
        &job.traceparent,
        &job.owner,
        &job.content,
    ];
    (sql, params)
}

fn one_job(rows: Rows) -> Result<Option<Job>, DbError> {
    rows.first().as_ref().map(job).transpose()
}

fn jobs(rows: Rows) -> Result<Vec<Job>, DbError> {
    rows.into_iter().map(|row| job(&row)).collect()
}

fn job(row: &Row) -> Result<Job, DbError> {
    let name: String = row.get("state")?;
    let state = JobState::from_name(&name)
        .map_err(|error| DbError::Column { column: "state".into(), reason: error.to_string() })?;
    Ok(Job {
        id: row.get("id")?,
        queue: row.get("queue")?,
        state: state.into(),
        payload: row.get("payload")?,
        dedupe_key: row.get::<Option<String>>("dedupe_key")?.unwrap_or_default(),
        priority: row.get("priority")?,
        attempt: row.get("attempt")?,
        max_attempts: row.get("max_attempts")?,
        progress: row.get("progress")?,
        error: row.get("error")?,
        created_at_ms: row.get("created_at")?,
        due_at_ms: row.get("due_at")?,
        updated_at_ms: row.get("updated_at")?,
        worker: row.get("worker")?,
        result: row.get("result")?,
        traceparent: row.get("traceparent")?,
        fence: row.get("fence")?,
        owner: row.get("owner")?,
    })
}
