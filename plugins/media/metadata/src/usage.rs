//! The storage use of each owner's contents. Each content's row has its own bytes, recounted in the
//! transaction that changes them, so that the sum of an owner is read from one index and never drifts. The
//! queue counts what was encoded for them.

use std::time::Duration;

use streamgate_contracts::auth::v1::QuotaRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::catalogue::v1::{Content, ContentState, TextTrack, UsageResponse};
use streamgate_contracts::db::{Batch, params};
use streamgate_contracts::jobs::v1::ShareRequest;
use streamgate_contracts::upload::v1::ReservedRequest;
use streamgate_contracts::upload::v1::upload_client::UploadClient;

use crate::catalogue::Catalogue;
use crate::dependencies::{TRANSCODE, answered};
use crate::store::{COLUMNS, Store, StoreError, content_of};

/// Contents older than the count that are counted at once.
const COUNTED: u32 = 500;
/// How many times one call does it; the next call continues.
const ROUNDS: usize = 8;
/// How long the queue may take to answer.
const QUEUE_DEADLINE: Duration = Duration::from_secs(2);

/// Writes, with the rest of a change and after it, the storage use of a content.
pub(crate) fn count(batch: Batch, before: Option<&Content>, after: &Content) -> Batch {
    push(batch, before, after, "")
}

/// The same for an otherwise unchanged content.
pub(crate) fn recount(batch: Batch, id: &str) -> Batch {
    let nothing: Option<u64> = None;
    batch.push(&counting(""), params![id, nothing, 0_i64])
}

/// The same without a changed rendition.
pub(crate) fn count_file(batch: Batch, before: &Content, after: &Content) -> Batch {
    let same = before.state == after.state
        && before.source == after.source
        && side_bytes(before) == side_bytes(after);
    if same { batch } else { count(batch, Some(before), after) }
}

/// Lets a batch that gave a content this owner pass only if all contents of the owner fit the limit.
pub(crate) fn fits(batch: Batch, id: &str, owner: &str, limit: u64) -> Batch {
    let sql = "UPDATE contents SET bytes = bytes WHERE id = $1 AND (SELECT \
               CAST(COALESCE(SUM(c.bytes), 0) AS BIGINT) FROM contents c WHERE c.owner = $2) <= $3";
    batch.push_expect(sql, params![id, owner, limit.min(i64::MAX as u64)], 1)
}

fn push(batch: Batch, before: Option<&Content>, after: &Content, guard: &str) -> Batch {
    let side = side_bytes(after);
    let more = side - before.map_or(0, side_bytes);
    let own =
        file_bytes(before, after).map(|file| i64::try_from(file).unwrap_or(i64::MAX).saturating_add(side));
    batch.push(&counting(guard), params![&after.id, own, more])
}

fn counting(guard: &str) -> String {
    format!(
        "UPDATE contents SET source_bytes = COALESCE($2, source_bytes + $3), bytes = COALESCE($2, source_bytes + $3) \
         + COALESCE((SELECT CAST(SUM(r.bytes) AS BIGINT) FROM renditions r WHERE r.content = $1), 0) \
         WHERE id = $1{guard}"
    )
}

/// The bytes of a content's file; `None`: those counted before. An unfinished upload is counted by `upload`,
/// and a failed upload leaves nothing.
fn file_bytes(before: Option<&Content>, after: &Content) -> Option<u64> {
    let was = before.map_or(ContentState::Uploading, Content::state);
    match (was, after.state()) {
        (_, ContentState::Uploading) | (ContentState::Uploading, ContentState::Failed) => Some(0),
        (ContentState::Failed, ContentState::Failed) => None,
        _ => Some(after.source.as_ref().map_or(0, |source| source.bytes.min(i64::MAX as u64))),
    }
}

/// The bytes of all captions, those that were replaced and are still there too, and of the pictures.
fn side_bytes(content: &Content) -> i64 {
    let earlier = |text: &TextTrack| text.earlier.iter().map(|it| i64::from(it.bytes)).sum::<i64>();
    let texts: i64 = content.texts.iter().map(|text| i64::from(text.bytes) + earlier(text)).sum();
    let pictures = content.poster_bytes.saturating_add(content.thumbnail_bytes);
    texts.saturating_add(i64::try_from(pictures).unwrap_or(i64::MAX))
}

impl Catalogue {
    /// Refuses what exceeds the owner's quota; returns the quota. `None`: unlimited.
    pub(crate) async fn room_for(&self, owner: &str, needed: u64) -> Result<Option<u64>, StoreError> {
        if owner.is_empty() {
            return Ok(None);
        }
        let request = QuotaRequest { principal: owner.to_owned(), ..QuotaRequest::default() };
        let quota = answered(AuthClient::new(self.dependencies.auth.clone()).quota(request)).await;
        let quota = quota.map_err(|reason| {
            StoreError::Unavailable(format!(
                "the storage quota is unknown: `auth` failed: {reason}; try again"
            ))
        })?;
        let Some(limit) = quota.stored else { return Ok(None) };
        // In this order: an upload that ends in between counts twice, and never not at all.
        let reserved = self.reserved(owner).await?;
        let used = self.store.usage(owner).await?.bytes.saturating_add(reserved);
        match used.saturating_add(needed) > limit {
            true => Err(StoreError::NoRoom { limit, used, needed }),
            false => Ok(Some(limit.saturating_sub(reserved))),
        }
    }

    /// The bytes that an owner's uploads take and the catalogue does not count yet.
    async fn reserved(&self, owner: &str) -> Result<u64, StoreError> {
        let Some(upload) = &self.dependencies.upload else { return Ok(0) };
        let request = ReservedRequest { principal: owner.to_owned() };
        let reserved = answered(UploadClient::new(upload.clone()).reserved(request)).await;
        let reserved = reserved.map_err(|reason| {
            StoreError::Unavailable(format!(
                "`upload` does not say what unfinished uploads take: {reason}; try again"
            ))
        })?;
        Ok(reserved.bytes)
    }

    /// Refuses if the owner's encoding quota of today is used up. If the queue does not answer, the job waits
    /// there: a retry loses nothing.
    pub(crate) async fn may_encode(&self, owner: &str) -> Result<(), StoreError> {
        if owner.is_empty() {
            return Ok(());
        }
        let request = ShareRequest { queue: TRANSCODE.into(), owner: owner.to_owned() };
        let mut jobs = self.dependencies.jobs.clone();
        let Ok(Ok(share)) = tokio::time::timeout(QUEUE_DEADLINE, jobs.share(request)).await else {
            return Ok(());
        };
        let share = share.into_inner();
        match share.most_ms {
            Some(most) if share.worked_ms >= most => {
                Err(StoreError::Spent { minutes: most / 60_000, until_ms: share.day_ends_at_ms })
            }
            _ => Ok(()),
        }
    }
}

impl Store {
    /// The storage use of an owner's contents.
    pub(crate) async fn usage(&self, owner: &str) -> Result<UsageResponse, StoreError> {
        for _ in 0..ROUNDS {
            let sql = "SELECT COUNT(*) AS contents, COUNT(bytes) AS counted, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) \
                       AS bytes FROM contents WHERE owner = $1";
            let row = self.db.query_one(sql, params![owner]).await?;
            let (contents, counted): (u64, u64) = (row.get("contents")?, row.get("counted")?);
            if contents == counted {
                return Ok(UsageResponse { bytes: row.get("bytes")?, contents, event_streams: 0 });
            }
            self.count_more(owner).await?;
        }
        Err(StoreError::Unavailable("earlier contents are being counted; try again".into()))
    }

    /// The storage use of another owner's content, now or once it is uploaded, as far as known; 0 for the
    /// owner's own contents.
    pub(crate) async fn stored_bytes(&self, id: &str, owner: &str) -> Result<u64, StoreError> {
        if let Some(content) = self.find(id).await?
            && content.state() == ContentState::Uploading
            && content.owner != owner
        {
            return Ok(content.source.map_or(0, |source| source.bytes));
        }
        let sql = "SELECT COALESCE(bytes, 0) AS bytes FROM contents WHERE id = $1 AND owner <> $2";
        let row = self.db.query_opt(sql, params![id, owner]).await?;
        Ok(row.map_or(Ok(0), |row| row.get("bytes"))?)
    }

    /// Counts some contents that existed before the count.
    async fn count_more(&self, owner: &str) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM contents WHERE owner = $1 AND bytes IS NULL LIMIT $2");
        let mut batch = self.db.batch();
        for row in self.db.query(&sql, params![owner, COUNTED]).await? {
            let content = content_of(&row)?;
            // A concurrent change has counted it. For a failed one the outcome is unknown: its file counts.
            let settled = Content { state: ContentState::Uploaded.into(), ..content.clone() };
            let now = if content.state() == ContentState::Failed { &settled } else { &content };
            batch = push(batch, None, now, " AND bytes IS NULL");
        }
        batch.run().await?;
        Ok(())
    }
}
