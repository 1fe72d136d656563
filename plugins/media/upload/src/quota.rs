//! How much one principal may store. `auth` says how much that is, the catalogue what their contents take; what
//! their uploads take is counted here, in the statement that adds another one, so that two at once never both get
//! the last room. Where nobody signs in there is no limit.

use streamgate_contracts::db::{Batch, DbError, params};
use streamgate_plugin_api::time::now_ms;
use tonic::Status;

use crate::fault::Fault;
use crate::store::{Bounds, Store, UNFINISHED, Upload, principal_of};
use crate::uploads::Uploads;

/// What an owner may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes.
    pub(crate) limit: u64,
    /// What the catalogue counts.
    pub(crate) contents: u64,
    /// When it was asked: uploads that are done since then may be in its count or not.
    pub(crate) since_ms: i64,
}

/// What bounds the uploads of an owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) bounds: Bounds,
    /// The setting or limit that `bounds.each` is.
    pub(crate) setting: &'static str,
    pub(crate) stored: Option<Stored>,
}

/// The bytes that uploads of the owner `owner` take or will take, besides `id` and what the catalogue counts since
/// `since`; each a place of a parameter.
pub(crate) fn reserved(owner: &str, id: &str, since: &str) -> String {
    let sum = "SELECT CAST(COALESCE(SUM(COALESCE(length, received)), 0) AS BIGINT) FROM uploads";
    format!(
        "(({sum} WHERE owner = {owner} AND id <> {id} AND {UNFINISHED}) \
         + ({sum} WHERE owner = {owner} AND id <> {id} AND state = 'done' AND kind = 'partial' AND used_by IS NULL) \
         + ({sum} WHERE owner = {owner} AND id <> {id} AND state = 'done' AND kind IN ('whole', 'final') \
            AND updated_at_ms >= {since}))"
    )
}

impl Stored {
    /// What an upload adds: a final one takes the place of its parts, which are counted.
    pub(crate) fn with(&self, upload: &Upload) -> u64 {
        let adds = if upload.parts.is_empty() { upload.length.unwrap_or(upload.received) } else { 0 };
        self.contents.saturating_add(adds)
    }
}

impl Store {
    /// Ends the deferral of an upload's length, if there is room for it. The same again is harmless.
    pub(crate) async fn declare(&self, upload: &Upload, stored: &Stored) -> Result<(), Fault> {
        let sql = format!(
            "UPDATE uploads SET length = $2, updated_at_ms = $3 WHERE id = $1 AND state = 'receiving' \
             AND (length IS NULL OR length = $2) AND {} + $6 <= $7",
            reserved("$4", "$1", "$5")
        );
        let values = params![
            &upload.id,
            upload.length,
            now_ms(),
            &upload.owner,
            stored.since_ms,
            stored.with(upload),
            stored.limit,
        ];
        let batch: Batch = self.db.batch().push_expect(&sql, values, 1);
        match batch.run().await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { .. }) => Err(self.over(upload, stored).await?.unwrap_or(Fault::Gone)),
            Err(error) => Err(error.into()),
        }
    }

    /// What is said of an upload for which there is no room; none if there is.
    pub(crate) async fn over(&self, upload: &Upload, stored: &Stored) -> Result<Option<Fault>, DbError> {
        let reserved = self.reserved(upload, stored).await?;
        if reserved.saturating_add(stored.with(upload)) <= stored.limit {
            return Ok(None);
        }
        let needed = upload.length.unwrap_or(upload.received);
        // The parts of a final one are not to be told twice.
        let parts = if upload.parts.is_empty() { 0 } else { needed };
        let used = reserved.saturating_add(stored.contents).saturating_sub(parts);
        Ok(Some(Fault::Stored { limit: stored.limit, used, needed }))
    }

    /// What the other uploads of its owner take.
    pub(crate) async fn reserved(&self, upload: &Upload, stored: &Stored) -> Result<u64, DbError> {
        self.reserved_beside(&upload.owner, &upload.id, stored.since_ms).await
    }

    /// What all uploads of an owner take.
    pub(crate) async fn reserved_by(&self, owner: &str, since_ms: i64) -> Result<u64, DbError> {
        self.reserved_beside(owner, "", since_ms).await
    }

    async fn reserved_beside(&self, owner: &str, id: &str, since_ms: i64) -> Result<u64, DbError> {
        let sql = format!("SELECT {} AS bytes", reserved("$1", "$2", "$3"));
        self.db.query_one(&sql, params![owner, id, since_ms]).await?.get("bytes")
    }
}

impl Uploads {
    /// What bounds the uploads of this owner.
    pub(crate) async fn share(&self, owner: &str) -> Result<Share, Fault> {
        let mut share = Share { bounds: self.unfinished, setting: "max_unfinished_per_caller", stored: None };
        let Some(principal) = principal_of(owner) else { return Ok(share) };
        let dependencies = &self.pump.dependencies;
        let quota = dependencies.quota(principal).await.map_err(|status| unknown("auth", &status))?;
        if let Some(each) = quota.unfinished_uploads {
            share.bounds.each = each;
            share.setting = "plugins.auth.quotas: unfinished_uploads";
        }
        if let Some(limit) = quota.stored {
            let since_ms = now_ms();
            let contents =
                dependencies.usage(principal).await.map_err(|status| unknown("the catalogue", &status))?;
            share.stored = Some(Stored { limit, contents, since_ms });
        }
        Ok(share)
    }

    /// Records the length of an upload that began without one, if its owner may store as much.
    pub(crate) async fn declare(&self, upload: &Upload) -> Result<(), Fault> {
        match self.share(&upload.owner).await?.stored {
            Some(stored) => self.pump.store.declare(upload, &stored).await,
            None => Ok(()),
        }
    }

    /// How large an upload without a length may get, and what to say of one that gets larger.
    pub(crate) async fn most(&self, upload: &Upload) -> Result<(u64, Fault), Fault> {
        let max = self.max_size();
        let Some(stored) = self.share(&upload.owner).await?.stored else {
            return Ok((max, Fault::TooLarge { max }));
        };
        let used = self.pump.store.reserved(upload, &stored).await?.saturating_add(stored.contents);
        let left = stored.limit.saturating_sub(used);
        if left >= max {
            return Ok((max, Fault::TooLarge { max }));
        }
        Ok((left, Fault::Stored { limit: stored.limit, used, needed: left.saturating_add(1) }))
    }
}

fn unknown(who: &str, status: &Status) -> Fault {
    Fault::Unavailable(format!("how much you may store is not known: {who} failed: {}", status.message()))
}
