//! The SQL of jobs. Every change is one statement that names the state (and the lease) it starts from, so
//! that exactly one of two concurrent callers succeeds. It decides nothing about waiting, events or time:
//! `now` is always given, in Unix milliseconds.

use bytes::Bytes;
use streamgate_contracts::audit::{self, By};
use streamgate_contracts::db::{Db, DbError, Migrations, Param, Row, Rows, params};
use streamgate_contracts::jobs::v1::{Job, JobState};
use streamgate_plugin_api::Client;

use crate::error::JobError;

pub(crate) mod leases;

pub(crate) use leases::{AfterFailure, Beat, Leased, Lessee};

/// Maximum rows that one sweeping statement changes.
pub(crate) const SWEEP: usize = 500;

/// What stands beside a job that nobody works on.
const NOBODY: &str = "worker = '', node = NULL, process = NULL, worker_process = NULL";

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

    /// Cancels a job that has not ended; a cancelled one is answered as it is.
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

    /// How many jobs have not ended, by queue and state, of at most a thousand queues.
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
