//! The SQL of what survives a content: tombstones, whose objects have to be swept, and retries, whose jobs
//! have to be enqueued.

use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::Content;
use streamgate_contracts::db::{Batch, DbError, params, places};
use streamgate_contracts::events::{ContentDeleted, TYPE_CONTENT_DELETED, content_deleted};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::time::now_ms;

use crate::positions::POSITION;
use crate::store::{ATTEMPTS, Store, StoreError};

/// A deleted content some of whose objects may still exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) id: String,
    pub(crate) sweeps: u32,
    pub(crate) failures: u32,
    pub(crate) clean: bool,
}

impl Store {
    /// Removes a content and leaves a tombstone. False: there was no such content. `may` can refuse; a
    /// content that has changed owner since is not removed.
    pub(crate) async fn bury(
        &self,
        id: &str,
        by: &By,
        may: impl Fn(&Content) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(content) = self.find(id).await? else { return Ok(false) };
            may(&content)?;
            if self.bury_as(&content, by).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    /// False: it has another owner, or does not exist any more.
    async fn bury_as(&self, content: &Content, by: &By) -> Result<bool, StoreError> {
        let (now, id) = (now_ms(), content.id.as_str());
        let sql = format!(
            "INSERT INTO tombstones (id, deleted_at_ms, due_at_ms, sweeps, failures, clean, listed, owner, \
             shares, unlisted_position, taken_position, position) \
             SELECT id, $2, $2, 0, 0, 0, listed, owner, shares, unlisted_position, taken_position, {POSITION} FROM contents WHERE id = $1 \
             ON CONFLICT (id) DO NOTHING"
        );
        let batch = self
            .change()
            .push(&sql, params![id, now])
            .push_expect("DELETE FROM contents WHERE id = $1 AND owner = $2", params![id, &content.owner], 1)
            .push("DELETE FROM shared WHERE content = $1", params![id])
            .push("DELETE FROM renditions WHERE content = $1", params![id])
            .push("DELETE FROM segments WHERE content = $1", params![id])
            .push("DELETE FROM retries WHERE id = $1", params![id])
            .frees_space();
        let deleted = ContentDeleted { id: id.to_owned() };
        let batch = batch.publish(Event::json(content_deleted(id), TYPE_CONTENT_DELETED, &deleted));
        let buried = by.note(batch, "content.delete", id, called(content)).run().await;
        match buried {
            Ok(_) => Ok(true),
            Err(DbError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Those of these contents that have a tombstone.
    pub(crate) async fn buried(&self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let mut buried = Vec::new();
        for some in ids.chunks(100) {
            let sql = format!("SELECT id FROM tombstones WHERE id IN ({})", places(some.len()));
            let rows = self.db.query(&sql, some.iter().flat_map(|id| params![id]).collect()).await?;
            for row in rows {
                buried.push(row.get("id")?);
            }
        }
        Ok(buried)
    }

    /// Tombstones that are due, the longest due first.
    pub(crate) async fn due_tombstones(&self, limit: u32) -> Result<Vec<Tombstone>, StoreError> {
        let sql = "SELECT id, sweeps, failures, clean FROM tombstones WHERE due_at_ms <= $1 \
            ORDER BY due_at_ms LIMIT $2";
        let mut due = Vec::new();
        for row in self.db.query(sql, params![now_ms(), limit]).await? {
            due.push(Tombstone {
                id: row.get("id")?,
                sweeps: row.get("sweeps")?,
                failures: row.get("failures")?,
                clean: row.get::<i64>("clean")? != 0,
            });
        }
        Ok(due)
    }

    /// When the next tombstone, text or rendition is due, if there is one.
    pub(crate) async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(due) AS due FROM (SELECT MIN(due_at_ms) AS due FROM tombstones \
            UNION ALL SELECT MIN(texts_due_at_ms) AS due FROM contents \
            UNION ALL SELECT MIN(until_ms) AS due FROM renditions) AS dues";
        Ok(self.db.query_one(sql, params![]).await?.get("due")?)
    }

    /// Records the result of a sweep and when the next one is due.
    pub(crate) async fn reschedule(&self, tombstone: &Tombstone, due_at_ms: i64) -> Result<(), StoreError> {
        let sql =
            "UPDATE tombstones SET due_at_ms = $2, sweeps = $3, failures = $4, clean = $5 WHERE id = $1";
        let Tombstone { id, sweeps, failures, clean } = tombstone;
        let values = params![id, due_at_ms, *sweeps, *failures, *clean];
        self.db.batch().push(sql, values).frees_space().run().await?;
        Ok(())
    }

    /// Removes a tombstone, and records that clients which missed the deletion cannot learn of it any more.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), StoreError> {
        let noted = "UPDATE positions SET forgotten = (SELECT position FROM tombstones WHERE id = $1) \
            WHERE forgotten < (SELECT position FROM tombstones WHERE id = $1)";
        let gone = "DELETE FROM tombstones WHERE id = $1";
        let batch = self.db.batch().push(noted, params![id]).push(gone, params![id]);
        batch.frees_space().run().await?;
        Ok(())
    }

    /// Contents whose job has to be enqueued, oldest first.
    pub(crate) async fn pending_retries(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM retries ORDER BY requested_at_ms LIMIT $1";
        let rows = self.db.query(sql, params![limit]).await?;
        rows.into_iter().map(|row| row.get("id").map_err(StoreError::from)).collect()
    }

    /// The job of a retry is enqueued.
    pub(crate) async fn retry_enqueued(&self, id: &str) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM retries WHERE id = $1", params![id]).await?;
        Ok(())
    }
}

/// Records, with the step back to `uploaded`, that a job has to be enqueued.
pub(crate) fn with_retry(batch: Batch, _before: &Content, after: &Content) -> Batch {
    batch.push(
        "INSERT INTO retries (id, requested_at_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        params![&after.id, now_ms()],
    )
}

/// Names of a deleted content for people.
fn called(content: &Content) -> String {
    let file = content.source.as_ref().map_or("", |source| source.filename.as_str());
    format!("title {:?}, file {file:?}", content.title)
}
