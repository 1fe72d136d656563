//! Positions: changes of contents are numbered, and the order of the numbers is the order of the commits.
//!
//! Every batch that writes a content begins with [`Store::change`], which takes the next number in the one
//! row of `positions`, and writes [`POSITION`] into the content's row or its tombstone. A concurrent batch
//! waits for that row until the first is committed or rolled back, so a number is never readable before all
//! smaller ones. A batch that is rolled back returns its number. The clock is not involved.
//!
//! A row has only the number of its last change. It also has that of when lists stopped showing it to
//! everyone, because clients that knew of the content before have to be notified, whatever came after.

use std::collections::HashMap;

use streamgate_contracts::db::{Batch, DbError, Row, params};

use crate::rights::Holders;
use crate::store::{COLUMNS, Entry, Store, StoreError};

/// The number of the batch's change, in its SQL.
pub(crate) const POSITION: &str = "(SELECT last FROM positions)";

const GRAVE: &str = "id, listed, owner, shares, position, unlisted_position, taken_position";

/// The range of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Of the last change.
    pub(crate) last: i64,
    /// Changes after this are complete; of earlier deletions some are forgotten.
    pub(crate) forgotten: i64,
}

/// A content that was deleted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grave {
    pub(crate) id: String,
    pub(crate) position: i64,
    /// It was visible to everyone until the end.
    pub(crate) listed: bool,
    /// Of the last time that lists stopped showing it to everyone; 0: they never did.
    pub(crate) unlisted: i64,
    /// Of the last change that took a share back; 0: none did.
    pub(crate) taken: i64,
    pub(crate) holders: Holders,
}

/// The current state of a content.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Now {
    There(Box<Entry>),
    Deleted(Grave),
}

/// A content with changes that a client has not received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moved {
    /// The first of them that still matters: at or before the position of the last.
    pub(crate) first: i64,
    pub(crate) now: Now,
}

impl Now {
    /// Of the last change.
    pub(crate) fn position(&self) -> i64 {
        match self {
            Self::There(entry) => entry.position,
            Self::Deleted(grave) => grave.position,
        }
    }
}

impl Moved {
    pub(crate) fn id(&self) -> &str {
        match &self.now {
            Now::There(entry) => &entry.content.id,
            Now::Deleted(grave) => &grave.id,
        }
    }

    /// Of the last change.
    pub(crate) fn position(&self) -> i64 {
        self.now.position()
    }

    /// Whether lists stopped showing it to everyone with one of these changes.
    pub(crate) fn was_hidden(&self) -> bool {
        let (listed, unlisted) = match &self.now {
            Now::There(entry) => (entry.listed, entry.unlisted),
            Now::Deleted(grave) => (grave.listed, grave.unlisted),
        };
        !listed && unlisted >= self.first
    }
}

impl Store {
    /// Begins a batch that changes a content, with the number of the change.
    pub(crate) fn change(&self) -> Batch {
        self.db.batch().push_expect("UPDATE positions SET last = last + 1", params![], 1)
    }

    /// The current range of the numbers. All changes up to there can be read.
    pub(crate) async fn reach(&self) -> Result<Reach, DbError> {
        let row = self.db.query_one("SELECT last, forgotten FROM positions", params![]).await?;
        Ok(Reach { last: row.get("last")?, forgotten: row.get("forgotten")? })
    }

    /// The current state of a content; `None`: it is unknown, or its deletion is forgotten.
    pub(crate) async fn now(&self, id: &str) -> Result<Option<Now>, StoreError> {
        match self.entry(id).await {
            Ok(entry) => return Ok(Some(Now::There(Box::new(entry)))),
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let sql = format!("SELECT {GRAVE} FROM tombstones WHERE id = $1");
        let row = self.db.query_opt(&sql, params![id]).await?;
        row.as_ref().map(|row| Ok(Now::Deleted(Grave::of(row)?))).transpose()
    }

    /// Contents that changed after one position and not after another, in the order of the first change that
    /// matters, and up to where the result is complete. `only`: of the deleted ones those that were visible
    /// to everyone, that belonged to these owners, or that were shared with anyone.
    pub(crate) async fn moved(
        &self,
        after: i64,
        upto: i64,
        only: Option<&[String]>,
        limit: usize,
    ) -> Result<(Vec<Moved>, i64), StoreError> {
        // Contents before deletions: one that is deleted in between is found twice, and never missed.
        let mut found = self.moved_contents(after, upto, limit).await?;
        found.extend(self.moved_graves(after, upto, only, limit).await?);
        found.sort_by_key(|one| (one.first, one.position()));
        // Each part has its own first ones, so the first of all are among them.
        let reached = limit.checked_sub(1).and_then(|last| found.get(last)).map_or(upto, |last| last.first);
        found.retain(|one| one.first <= reached);
        let mut moved: HashMap<String, Moved> = HashMap::with_capacity(found.len());
        for mut one in found {
            match moved.get_mut(one.id()) {
                Some(other) => {
                    one.first = one.first.min(other.first);
                    if other.position() < one.position() {
                        *other = one;
                    }
                }
                None => {
                    moved.insert(one.id().to_owned(), one);
                }
            }
        }
        let mut moved: Vec<Moved> = moved.into_values().collect();
        moved.sort_by_key(|one| (one.first, one.position()));
        Ok((moved, reached))
    }

    async fn moved_contents(&self, after: i64, upto: i64, limit: usize) -> Result<Vec<Moved>, StoreError> {
        let sql = moved_rows("contents", COLUMNS, "");
        let entries = self.entries(&sql, params![after, upto, limit]).await?;
        let moved = |entry: Entry| {
            let first = first(entry.listed, entry.unlisted, entry.position, after);
            Moved { first, now: Now::There(Box::new(entry)) }
        };
        Ok(entries.into_iter().map(moved).collect())
    }

    async fn moved_graves(
        &self,
        after: i64,
        upto: i64,
        only: Option<&[String]>,
        limit: usize,
    ) -> Result<Vec<Moved>, StoreError> {
        let mut values = params![after, upto, limit];
        let mut narrowed = String::new();
        if let Some(owners) = only {
            narrowed = "AND (listed = 1 OR unlisted_position > $1 OR shares IS NOT NULL".into();
            for owner in owners {
                values.extend(params![owner]);
                narrowed.push_str(&format!(" OR owner = ${}", values.len()));
            }
            narrowed.push(')');
        }
        let sql = moved_rows("tombstones", GRAVE, &narrowed);
        let moved = |row: Row| {
            let grave = Grave::of(&row)?;
            let first = first(grave.listed, grave.unlisted, grave.position, after);
            Ok(Moved { first, now: Now::Deleted(grave) })
        };
        self.db.query(&sql, values).await?.into_iter().map(moved).collect()
    }
}

impl Grave {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            position: row.get("position")?,
            listed: row.get::<i64>("listed")? != 0,
            unlisted: row.get("unlisted_position")?,
            taken: row.get("taken_position")?,
            holders: Holders::from_row(row)?,
        })
    }
}

/// The first change of a row after a position that still matters.
fn first(listed: bool, unlisted: i64, position: i64, after: i64) -> i64 {
    if !listed && unlisted > after { unlisted } else { position }
}

/// Rows whose first change that matters is after `$1` and not after `$2`, at most `$3` that were hidden and
/// as many others. Each part is read by its own index.
fn moved_rows(table: &str, columns: &str, narrowed: &str) -> String {
    format!(
        "SELECT * FROM (SELECT {columns} FROM {table} WHERE unlisted_position > $1 AND unlisted_position <= $2 \
         AND listed = 0 {narrowed} ORDER BY unlisted_position LIMIT $3) AS hidden UNION ALL \
         SELECT * FROM (SELECT {columns} FROM {table} WHERE position > $1 AND position <= $2 \
         AND NOT (listed = 0 AND unlisted_position > $1) {narrowed} ORDER BY position LIMIT $3) AS moved"
    )
}
