//! The SQL of what everybody may know of: the catalogue's copy of what `access` says, by which lists
//! and searches are narrowed down. It is never the last word, see `policies.rs`.

use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::db::{Row, params};
use streamgate_plugin_api::time::now_ms;

use crate::cursor::{Order, title_key};
use crate::policies::{Sight, is_listed};
use crate::store::{Entry, Filter, Store, StoreError};

/// A content that some know of no more: it was deleted, or is not for everybody any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) id: String,
    pub(crate) at_ms: i64,
    pub(crate) owner: String,
}

impl Ended {
    /// From columns of these names.
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { id: row.get("id")?, at_ms: row.get("at_ms")?, owner: row.get("owner")? })
    }
}

impl Store {
    /// Notes what a content's policy says. The revision stays: nothing of the content changed.
    pub(crate) async fn note_openness(&self, id: &str, openness: Openness) -> Result<(), StoreError> {
        let sql = "UPDATE contents SET unlisted_at_ms = CASE WHEN listed = 1 AND $2 = 0 THEN $3 \
            ELSE unlisted_at_ms END, listed = $2, openness = $4 WHERE id = $1 AND openness <> $4";
        self.db.execute(sql, params![id, is_listed(openness), now_ms(), openness as i32]).await?;
        Ok(())
    }

    /// Contents that everybody could know of until a time at or after this one, and cannot any more.
    pub(crate) async fn unlisted_since(&self, since_ms: i64, limit: usize) -> Result<Vec<Ended>, StoreError> {
        let sql = "SELECT id, unlisted_at_ms AS at_ms, owner FROM contents WHERE unlisted_at_ms >= $1 \
            AND listed = 0 ORDER BY unlisted_at_ms, id LIMIT $2";
        let rows = self.db.query(sql, params![since_ms, limit]).await?;
        rows.into_iter().map(|row| Ended::of(&row)).collect()
    }

    /// What is noted of contents after an id, in the order of their ids.
    pub(crate) async fn noted_listings(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Openness)>, StoreError> {
        let sql = "SELECT id, openness FROM contents WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.db.query(sql, params![after, limit]).await?;
        let noted = |row: Row| {
            let openness = Openness::try_from(row.get::<i32>("openness")?).unwrap_or_default();
            Ok((row.get("id")?, openness))
        };
        rows.into_iter().map(noted).collect()
    }
}

impl Store {
    /// One page of what a sight lets be known of, as far as it is noted, and whether there is more. Each
    /// part of it is read by an index of its own: one condition for all of them would read every row.
    pub(crate) async fn list_for(
        &self,
        filter: &Filter,
        sight: &Sight,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        if sight.all || filter.owner.is_some() {
            return self.list(filter).await;
        }
        let (mut entries, mut more) = self.list(&Filter { listed: true, ..filter.clone() }).await?;
        for owner in sight.caller.owners() {
            let (theirs, more_of_them) = self.list(&Filter { owner: Some(owner), ..filter.clone() }).await?;
            more |= more_of_them;
            entries.extend(theirs);
        }
        entries.sort_by(|one, two| {
            let (one, two) = (&one.content, &two.content);
            let by_age = || (one.created_at_ms, &one.id).cmp(&(two.created_at_ms, &two.id));
            match filter.order {
                Order::Newest => by_age().reverse(),
                Order::Oldest => by_age(),
                Order::Title => (title_key(one), &one.id).cmp(&(title_key(two), &two.id)),
            }
        });
        entries.dedup_by(|one, two| one.content.id == two.content.id);
        more |= entries.len() > filter.limit;
        entries.truncate(filter.limit);
        Ok((entries, more))
    }
}
