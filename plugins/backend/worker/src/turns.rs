//! Scheduling: of the owners that wait in a queue, each with the first of its due jobs, those with fewer
//! running jobs come first. No owner exceeds its limit, or one running job once its work time of the day is
//! used up. Priority takes precedence over all of that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use streamgate_contracts::db::{DbError, Row, params};
use streamgate_contracts::jobs::v1::{Job, JobState, ShareResponse};
use streamgate_plugin_api::time::rfc3339;

use crate::error::JobError;
use crate::jobs::Jobs;
use crate::limits::Limit;
use crate::spent::{day, day_ends};
use crate::store::Store;

/// Owners of a queue that are considered for one job.
const MAX_OWNERS: u32 = 5_000;

/// The first due job of each owner of a queue, in scheduling order. Owners are found by skipping through an
/// index: many waiting jobs of one owner cost the others nothing.
const HEADS: &str = "WITH RECURSIVE waiting(owner) AS ( \
         SELECT MIN(owner) FROM job WHERE queue = $1 AND state = 'queued' \
         UNION ALL \
         SELECT (SELECT MIN(next.owner) FROM job AS next WHERE next.queue = $1 AND next.state = 'queued' \
                 AND next.owner > waiting.owner) \
         FROM waiting WHERE waiting.owner IS NOT NULL) \
     SELECT head.id, head.owner, head.content, (SELECT COUNT(*) FROM job AS beside WHERE beside.queue = $1 \
         AND beside.state = 'running' AND beside.owner = head.owner) AS running, \
         COALESCE((SELECT ms FROM spent WHERE spent.owner = head.owner AND spent.day = $4), 0) AS spent \
     FROM waiting JOIN job AS head ON head.id = ( \
         SELECT first.id FROM job AS first WHERE first.queue = $1 AND first.state = 'queued' \
         AND first.owner = waiting.owner AND first.due_at <= $2 \
         ORDER BY first.priority DESC, first.place, first.id LIMIT 1) \
     ORDER BY head.priority DESC, running, head.place, head.id LIMIT $3";

/// A candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) owner: String,
    /// The content that it is for; empty: none.
    pub(crate) content: String,
    pub(crate) running: u64,
    /// Their work time of today.
    pub(crate) spent_ms: u64,
}

/// The result of looking for a job in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This job, as long as its owner has fewer running ones than `most`.
    Of { head: Head, most: Option<u64> },
    /// Jobs are due, and their owners are at their limits.
    Blocked,
    /// No job is due.
    None,
}

impl Store {
    async fn heads(&self, queue: &str, now: i64) -> Result<Vec<Head>, DbError> {
        let rows = self.db.query(HEADS, params![queue, now, MAX_OWNERS, day(now)]).await?;
        let head = |row: Row| {
            Ok(Head {
                id: row.get("id")?,
                owner: row.get("owner")?,
                content: row.get("content")?,
                running: row.get("running")?,
                spent_ms: row.get("spent")?,
            })
        };
        rows.into_iter().map(head).collect()
    }

    /// The number of an owner's jobs of a queue in a state.
    async fn jobs_of(&self, queue: &str, owner: &str, state: JobState) -> Result<u64, DbError> {
        // Spelled out, so that the index of the state is used.
        let sql = format!(
            "SELECT COUNT(*) AS jobs FROM job WHERE queue = $1 AND owner = $2 AND state = '{}'",
            state.name()
        );
        self.db.query_one(&sql, params![queue, owner]).await?.get("jobs")
    }
}

impl Head {
    /// Why its owner may not have one more running job.
    fn wait(&self, limit: Limit, now: i64) -> Option<String> {
        if let Some(most) = limit.running.filter(|most| self.running >= *most) {
            let running = self.running;
            return Some(format!(
                "{running} of {most} jobs of its owner are running; it starts when one ends"
            ));
        }
        limit.day_ms.filter(|most| self.spent_ms >= *most).map(|most| {
            let minutes = most / 60_000;
            format!(
                "the {minutes} minutes of its owner for today are used up; it starts at {}",
                rfc3339(day_ends(now))
            )
        })
    }
}

impl Jobs {
    /// The job of a queue that is next.
    pub(crate) async fn turn(&self, queue: &str) -> Result<Turn, JobError> {
        let now = self.now();
        let heads = self.store().heads(queue, now).await?;
        let waits = !heads.is_empty();
        for head in heads {
            let limit = self.limits().of(&head.owner).await;
            if head.wait(limit, now).is_none() {
                return Ok(Turn::Of { head, most: limit.running });
            }
        }
        Ok(if waits { Turn::Blocked } else { Turn::None })
    }

    /// What an owner uses of a queue's workers, and its limits.
    pub(crate) async fn share(&self, queue: &str, owner: &str) -> Result<ShareResponse, JobError> {
        let (now, limit) = (self.now(), self.limits().of(owner).await);
        Ok(ShareResponse {
            running: self.store().jobs_of(queue, owner, JobState::Running).await?,
            waiting: self.store().jobs_of(queue, owner, JobState::Queued).await?,
            worked_ms: self.store().spent(owner, now).await?,
            most_running: limit.running,
            most_ms: limit.day_ms,
            day_ends_at_ms: day_ends(now),
        })
    }

    async fn wait_of(&self, job: &Job, now: i64) -> Result<Option<String>, JobError> {
        let head = Head {
            id: job.id.clone(),
            owner: job.owner.clone(),
            content: String::new(),
            running: self.store().jobs_of(&job.queue, &job.owner, JobState::Running).await?,
            spent_ms: self.store().spent(&job.owner, now).await?,
        };
        Ok(head.wait(self.limits().of(&job.owner).await, now))
    }

    /// What each of these jobs waits for, other than a worker, in words.
    pub(crate) async fn waits(&self, jobs: &[Job]) -> Result<Vec<Option<String>>, JobError> {
        let now = self.now();
        let mut known: HashMap<(&str, &str), Option<String>> = HashMap::new();
        let mut waits = Vec::with_capacity(jobs.len());
        for job in jobs {
            let is_due = job.state() == JobState::Queued && job.due_at_ms <= now && !job.owner.is_empty();
            if !is_due {
                waits.push(None);
                continue;
            }
            let wait = match known.entry((&job.queue, &job.owner)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.wait_of(job, now).await?),
            };
            waits.push(wait.clone());
        }
        Ok(waits)
    }
}
