//! How much one principal may store. `auth` states the quota, the catalogue the size of their contents; the
//! size of their uploads is counted here, in the statement that adds another one, so that two concurrent
//! uploads never both get the last space. An upload without a length reserves space piece by piece, before
//! the piece is written, and returns what it did not use. Without authentication there is no limit.

use streamgate_contracts::auth::v1::QuotaResponse;
use streamgate_contracts::db::{Batch, DbError, params};
use streamgate_plugin_api::time::now_ms;
use tonic::Status;

use crate::fault::Fault;
use crate::store::{Bounds, Store, UNFINISHED, Upload, principal_of};
use crate::transfer::Pump;
use crate::uploads::Uploads;

/// How often a smaller piece is tried after others took the space.
const TRIES: usize = 4;
/// Maximum time of a piece: `checkpoint_interval`, plus the time storage needs to settle.
const PIECE_MS: i64 = 600_000;

/// An owner's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes.
    pub(crate) limit: u64,
    /// The catalogue's count.
    pub(crate) contents: u64,
    /// When it was requested: uploads completed since then may be counted or not.
    pub(crate) since_ms: i64,
}

/// The limits of an owner's uploads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) bounds: Bounds,
    /// The setting or quota that `bounds.each` comes from.
    pub(crate) setting: &'static str,
    pub(crate) stored: Option<Stored>,
}

/// The bytes that uploads of the owner `owner` use or will use, besides `id` and what the catalogue counts
/// since `since`; each is a parameter.
pub(crate) fn reserved(owner: &str, id: &str, since: &str) -> String {
    let sum = "SELECT CAST(COALESCE(SUM(COALESCE(length, CASE WHEN ahead > received THEN ahead ELSE received END)), 0) \
               AS BIGINT) FROM uploads";
    format!(
        "(({sum} WHERE owner = {owner} AND id <> {id} AND {UNFINISHED}) \
         + ({sum} WHERE owner = {owner} AND id <> {id} AND state = 'done' AND kind = 'partial' AND used_by IS NULL) \
         + ({sum} WHERE owner = {owner} AND id <> {id} AND state = 'done' AND kind IN ('whole', 'final') \
            AND updated_at_ms >= {since}))"
    )
}

impl Stored {
    /// What an upload adds: a final one replaces its parts, which are counted.
    pub(crate) fn with(&self, upload: &Upload) -> u64 {
        let adds = if upload.parts.is_empty() { upload.length.unwrap_or(upload.received) } else { 0 };
        self.contents.saturating_add(adds)
    }

    /// The error when `used` leaves no space beyond `end` of an upload.
    fn over(&self, used: u64, end: u64) -> Fault {
        Fault::Stored { limit: self.limit, used, needed: end.saturating_add(1) }
    }
}

impl Store {
    /// Ends the deferral of an upload's length, if it fits. Idempotent.
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

    /// Reserves space for an upload without a length up to `end`, if it fits.
    async fn set_aside(&self, upload: &Upload, end: u64, stored: &Stored) -> Result<bool, DbError> {
        let sql = format!(
            "UPDATE uploads SET ahead = $2, updated_at_ms = $3 WHERE id = $1 AND state = 'receiving' \
             AND length IS NULL AND {} + $6 <= $7",
            reserved("$4", "$1", "$5")
        );
        let takes = stored.contents.saturating_add(end);
        let values = params![&upload.id, end, now_ms(), &upload.owner, stored.since_ms, takes, stored.limit];
        match self.db.batch().push_expect(&sql, values, 1).run().await {
            Ok(_) => Ok(true),
            Err(DbError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns what an upload reserved and did not use.
    pub(crate) async fn give_back(&self, id: &str) -> Result<(), DbError> {
        let sql = "UPDATE uploads SET ahead = 0 WHERE id = $1 AND ahead > 0";
        self.db.batch().push(sql, params![id]).frees_space().run().await.map(drop)
    }

    /// The same for uploads whose transfer ended with its run.
    pub(crate) async fn free_ahead(&self) -> Result<(), DbError> {
        let which = "state = 'receiving' AND ahead > received AND updated_at_ms < $1";
        let before = now_ms() - PIECE_MS;
        let some = format!("SELECT id FROM uploads WHERE {which} LIMIT 1");
        if self.db.query(&some, params![before]).await?.is_empty() {
            return Ok(());
        }
        let sql = format!("UPDATE uploads SET ahead = 0 WHERE {which}");
        self.db.batch().push(&sql, params![before]).frees_space().run().await.map(drop)
    }

    /// The error for an upload that does not fit; `None` if it fits.
    pub(crate) async fn over(&self, upload: &Upload, stored: &Stored) -> Result<Option<Fault>, DbError> {
        let reserved = self.reserved(upload, stored).await?;
        if reserved.saturating_add(stored.with(upload)) <= stored.limit {
            return Ok(None);
        }
        let needed = upload.length.unwrap_or(upload.received);
        // The parts of a final one must not be counted twice.
        let parts = if upload.parts.is_empty() { 0 } else { needed };
        let used = reserved.saturating_add(stored.contents).saturating_sub(parts);
        Ok(Some(Fault::Stored { limit: stored.limit, used, needed }))
    }

    /// The bytes of the owner's other uploads.
    pub(crate) async fn reserved(&self, upload: &Upload, stored: &Stored) -> Result<u64, DbError> {
        self.reserved_beside(&upload.owner, &upload.id, stored.since_ms).await
    }

    /// The bytes of all the owner's uploads.
    pub(crate) async fn reserved_by(&self, owner: &str, since_ms: i64) -> Result<u64, DbError> {
        self.reserved_beside(owner, "", since_ms).await
    }

    async fn reserved_beside(&self, owner: &str, id: &str, since_ms: i64) -> Result<u64, DbError> {
        let sql = format!("SELECT {} AS bytes", reserved("$1", "$2", "$3"));
        self.db.query_one(&sql, params![owner, id, since_ms]).await?.get("bytes")
    }
}

impl Uploads {
    /// The limits of this owner's uploads.
    pub(crate) async fn share(&self, owner: &str) -> Result<Share, Fault> {
        let mut share = Share { bounds: self.unfinished, setting: "max_unfinished_per_caller", stored: None };
        let Some(principal) = principal_of(owner) else { return Ok(share) };
        let quota = self.pump.quota(principal).await?;
        if let Some(each) = quota.unfinished_uploads {
            share.bounds.each = each;
            share.setting = "plugins.auth.quotas: unfinished_uploads";
        }
        share.stored = self.pump.stored_of(principal, &quota).await?;
        Ok(share)
    }

    /// Records the length of an upload that began without one, if its owner may store as much.
    pub(crate) async fn declare(&self, upload: &Upload) -> Result<(), Fault> {
        match self.share(&upload.owner).await?.stored {
            Some(stored) => self.pump.store.declare(upload, &stored).await,
            None => Ok(()),
        }
    }
}

/// How much of a piece may be written, for an upload without a length.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// The end offset; at least the current one.
    pub(crate) end: u64,
    /// Why not more.
    pub(crate) over: Option<Fault>,
}

impl Pump {
    /// Reserves space for an upload without a length, up to `wanted`, within the quota of its current owner.
    pub(crate) async fn set_aside(&self, upload: &Upload, (from, wanted): (u64, u64)) -> Result<Room, Fault> {
        let upload = self.followed(upload.clone()).await?;
        let Some(stored) = self.stored(&upload.owner).await? else {
            return Ok(Room { end: wanted, over: None });
        };
        let mut end = wanted;
        for _ in 0..TRIES {
            if self.store.set_aside(&upload, end, &stored).await? {
                let over = (end < wanted).then(|| stored.over(stored.limit.saturating_sub(end), end));
                return Ok(Room { end, over });
            }
            let used = self.store.reserved(&upload, &stored).await?.saturating_add(stored.contents);
            let left = stored.limit.saturating_sub(used);
            if left >= end {
                return Err(Fault::Gone);
            }
            if left <= from {
                return Ok(Room { end: from, over: Some(stored.over(used, from)) });
            }
            end = left;
        }
        // Other uploads take the space as fast as it is found.
        Ok(Room { end: from, over: Some(stored.over(stored.limit.saturating_sub(from), from)) })
    }

    /// An owner's quota; `None`: unlimited.
    async fn stored(&self, owner: &str) -> Result<Option<Stored>, Fault> {
        match principal_of(owner) {
            Some(principal) => self.stored_of(principal, &self.quota(principal).await?).await,
            None => Ok(None),
        }
    }

    async fn stored_of(&self, principal: &str, quota: &QuotaResponse) -> Result<Option<Stored>, Fault> {
        let Some(limit) = quota.stored else { return Ok(None) };
        let since_ms = now_ms();
        let usage = self.dependencies.usage(principal).await;
        let contents = usage.map_err(|status| unknown("the catalogue", &status))?.bytes;
        Ok(Some(Stored { limit, contents, since_ms }))
    }

    async fn quota(&self, principal: &str) -> Result<QuotaResponse, Fault> {
        self.dependencies.quota(principal).await.map_err(|status| unknown("auth", &status))
    }
}

fn unknown(who: &str, status: &Status) -> Fault {
    Fault::Unavailable(format!("your storage quota is unknown: {who} failed: {}", status.message()))
}
