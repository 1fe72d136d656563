//! Whose turn it is: of the owners that wait in a queue, each with the first of its due jobs, those with fewer
//! running jobs come first, and none has more of them than its limit. A priority goes before all of that.

use streamgate_contracts::db::{DbError, params, places};
use streamgate_contracts::jobs::v1::{Job, JobState};

use crate::error::JobError;
use crate::jobs::Jobs;
use crate::store::Store;

/// Owners of a queue that are looked at for one job.
const MAX_OWNERS: u32 = 5_000;

/// The due jobs of a queue that are first among those of their owners, in turn. Owners are found by leaps in an
/// index: the jobs that one of them has waiting cost the others nothing.
const HEADS: &str = "WITH RECURSIVE waiting(owner) AS ( \
         SELECT MIN(owner) FROM job WHERE queue = $1 AND state = 'queued' \
         UNION ALL \
         SELECT (SELECT MIN(next.owner) FROM job AS next WHERE next.queue = $1 AND next.state = 'queued' \
                 AND next.owner > waiting.owner) \
         FROM waiting WHERE waiting.owner IS NOT NULL) \
     SELECT head.id, head.owner, (SELECT COUNT(*) FROM job AS beside WHERE beside.queue = $1 \
         AND beside.state = 'running' AND beside.owner = head.owner) AS running \
     FROM waiting JOIN job AS head ON head.id = ( \
         SELECT first.id FROM job AS first WHERE first.queue = $1 AND first.state = 'queued' \
         AND first.owner = waiting.owner AND first.due_at <= $2 \
         ORDER BY first.priority DESC, first.place, first.id LIMIT 1) \
     ORDER BY head.priority DESC, running, head.place, head.id LIMIT $3";

/// A job whose turn it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) running: u64,
}

/// What a look at a queue finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This job's, as long as its owner has fewer running ones than `most`.
    Of { id: String, most: Option<u64> },
    /// Jobs are due, and their owners have as many running as they may.
    Blocked,
    /// No job is due.
    None,
}

impl Store {
    async fn heads(&self, queue: &str, now: i64) -> Result<Vec<Head>, DbError> {
        let rows = self.db.query(HEADS, params![queue, now, MAX_OWNERS]).await?;
        let head = |row: streamgate_contracts::db::Row| {
            Ok(Head { id: row.get("id")?, owner: row.get("owner")?, running: row.get("running")? })
        };
        rows.into_iter().map(head).collect()
    }

    /// How many jobs of a queue these owners have running, of those that have some.
    async fn running(&self, queue: &str, owners: &[String]) -> Result<Vec<(String, u64)>, DbError> {
        let sql = format!(
            "SELECT owner, COUNT(*) AS running FROM job WHERE state = 'running' AND owner IN ({}) AND queue = ${} \
             GROUP BY owner",
            places(owners.len()),
            owners.len() + 1
        );
        let values = owners.iter().chain([&queue.to_owned()]).flat_map(|text| params![text]).collect();
        let rows = self.db.query(&sql, values).await?;
        rows.into_iter().map(|row| Ok((row.get("owner")?, row.get("running")?))).collect()
    }
}

impl Jobs {
    /// The job of a queue whose turn it is.
    pub(crate) async fn turn(&self, queue: &str) -> Result<Turn, JobError> {
        let heads = self.store().heads(queue, self.now()).await?;
        let waits = !heads.is_empty();
        for head in heads {
            let most = self.limits().of(&head.owner).await.running;
            if most.is_none_or(|most| head.running < most) {
                return Ok(Turn::Of { id: head.id, most });
            }
        }
        Ok(if waits { Turn::Blocked } else { Turn::None })
    }

    /// What each of these jobs waits for besides a worker, in words.
    pub(crate) async fn waits(&self, jobs: &[Job]) -> Result<Vec<Option<String>>, JobError> {
        let now = self.now();
        let mut waits = vec![None; jobs.len()];
        let is_due =
            |job: &Job| job.state() == JobState::Queued && job.due_at_ms <= now && !job.owner.is_empty();
        let mut queues: Vec<&str> =
            jobs.iter().filter(|job| is_due(job)).map(|job| job.queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            let of_queue = |job: &&Job| is_due(job) && job.queue == queue;
            let mut owners: Vec<String> = jobs.iter().filter(of_queue).map(|job| job.owner.clone()).collect();
            owners.sort_unstable();
            owners.dedup();
            for (owner, running) in self.store().running(queue, &owners).await? {
                let Some(most) = self.limits().of(&owner).await.running.filter(|most| running >= *most)
                else {
                    continue;
                };
                let wait = format!("{running} of {most} of its owner are running; it starts when one ends");
                for (job, place) in jobs.iter().zip(&mut waits) {
                    if of_queue(&job) && job.owner == owner {
                        *place = Some(wait.clone());
                    }
                }
            }
        }
        Ok(waits)
    }
}
