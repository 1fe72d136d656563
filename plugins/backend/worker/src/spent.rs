//! The work time of an owner's jobs per day. It is counted in the transaction of the call that reports it,
//! and only the increase of each lease: a repeated call counts nothing, and a killed worker everything it
//! reported.

use streamgate_contracts::db::{Batch, DbError, Param, Rows, params};

use crate::store::Store;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Days that are kept, including the current one.
const KEPT_DAYS: i64 = 2;

/// The day of a time.
pub(crate) fn day(now: i64) -> i64 {
    now.div_euclid(DAY_MS)
}

/// The end of the day of a time.
pub(crate) fn day_ends(now: i64) -> i64 {
    (day(now) + 1).saturating_mul(DAY_MS)
}

/// Counts the total work time of an active lease.
fn count(batch: Batch, (id, lease): (&str, &str), worked_ms: u64, now: i64) -> Batch {
    let worked_ms = i64::try_from(worked_ms).unwrap_or(i64::MAX);
    batch
        .push(
            "INSERT INTO spent (owner, day, ms) SELECT owner, $3, $4 - worked_ms FROM job WHERE id = $1 AND lease = $2 \
             AND state = 'running' AND owner <> '' AND worked_ms < $4 \
             ON CONFLICT (owner, day) DO UPDATE SET ms = spent.ms + excluded.ms",
            params![id, lease, day(now), worked_ms],
        )
        .push(
            "UPDATE job SET worked_ms = $3 WHERE id = $1 AND lease = $2 AND state = 'running' AND worked_ms < $3",
            params![id, lease, worked_ms],
        )
}

impl Store {
    /// Updates the job of a lease, and counts its work time. `None`: the lease is not active.
    pub(crate) async fn change_counted(
        &self,
        held: (&str, &str),
        worked_ms: u64,
        now: i64,
        (sql, params): (&str, Vec<Param>),
    ) -> Result<Option<Rows>, DbError> {
        let batch = self.db.batch();
        let batch = if worked_ms == 0 { batch } else { count(batch, held, worked_ms, now) };
        match batch.push_expect(sql, params, 1).run().await {
            Ok(mut outcomes) => Ok(outcomes.pop().map(|outcome| outcome.rows)),
            Err(DbError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The work time of an owner's jobs today.
    pub(crate) async fn spent(&self, owner: &str, now: i64) -> Result<u64, DbError> {
        let sql = "SELECT ms FROM spent WHERE owner = $1 AND day = $2";
        let row = self.db.query_opt(sql, params![owner, day(now)]).await?;
        row.map_or(Ok(0), |row| row.get("ms"))
    }

    /// Removes the days before the last.
    pub(crate) async fn forget_spent(&self, now: i64) -> Result<(), DbError> {
        let sql = "DELETE FROM spent WHERE day <= $1";
        self.db.batch().push(sql, params![day(now) - KEPT_DAYS]).frees_space().run().await.map(drop)
    }
}
