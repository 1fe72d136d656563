//! The SQL of what everybody may know of: the catalogue's copy of what `access` says, by which lists
//! and searches are narrowed down. It is never the last word, see `policies.rs`.

use streamgate_contracts::db::params;
use streamgate_plugin_api::time::now_ms;

use crate::store::{Store, StoreError};

impl Store {
    /// Notes what a content's policy says. The revision stays: nothing of the content changed.
    pub(crate) async fn set_listed(&self, id: &str, listed: bool) -> Result<(), StoreError> {
        let sql = "UPDATE contents SET unlisted_at_ms = CASE WHEN listed = 1 THEN $3 ELSE unlisted_at_ms END, \
            listed = $2 WHERE id = $1 AND listed <> $2";
        self.db.execute(sql, params![id, listed, now_ms()]).await?;
        Ok(())
    }

    /// Contents that everybody could know of until a time at or after this one, and cannot any more.
    pub(crate) async fn unlisted_since(
        &self,
        since_ms: i64,
        limit: usize,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT id, unlisted_at_ms FROM contents WHERE unlisted_at_ms >= $1 AND listed = 0 \
            ORDER BY unlisted_at_ms, id LIMIT $2";
        let rows = self.db.query(sql, params![since_ms, limit]).await?;
        rows.into_iter().map(|row| Ok((row.get("id")?, row.get("unlisted_at_ms")?))).collect()
    }

    /// What is noted of contents after an id, in the order of their ids.
    pub(crate) async fn noted_listings(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, bool)>, StoreError> {
        let sql = "SELECT id, listed FROM contents WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.db.query(sql, params![after, limit]).await?;
        rows.into_iter().map(|row| Ok((row.get("id")?, row.get::<i64>("listed")? != 0))).collect()
    }
}
