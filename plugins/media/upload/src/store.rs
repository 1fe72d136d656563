//! The SQL of uploads. A row only moves forward through its states, and each write names the state it starts
//! from: an upload that another request ended stays ended.

use streamgate_contracts::audit::{By, Entry};
use streamgate_contracts::db::{Batch, Db, DbError, Migrations, Param, Row, params};
use streamgate_contracts::events::{ContentUploaded, TYPE_CONTENT_UPLOADED, content_uploaded};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::fair::Holder;
use streamgate_plugin_api::time::now_ms;

use crate::audit;
use crate::fault::Fault;
use crate::metadata::FileFacts;
use crate::quota::{self, Stored};

const COLUMNS: &str = "id, kind, state, length, received, metadata, filename, filetype, title, concat, parts, \
    used_by, created_at_ms, updated_at_ms, expires_at_ms, owner, sender, sender_address";

/// Uploads that are neither handed over nor gone; the condition of the index `uploads_unfinished`.
pub(crate) const UNFINISHED: &str = "state IN ('creating', 'receiving', 'joining', 'finishing')";

/// An upload's role in the concatenation extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Partial,
    Final,
}

/// The state of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its content is not in the catalogue yet. It is unknown to clients.
    Creating,
    /// Accepts bytes.
    Receiving,
    /// A final upload whose parts are being joined.
    Joining,
    /// Has all its bytes; the other plugins are not notified yet.
    Finishing,
    /// Handed over.
    Done,
    /// Terminated, expired or deleted; its data is being removed.
    Ending,
    /// Only the row is left.
    Gone,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Final => "final",
        }
    }
}

impl State {
    const ALL: [Self; 7] = [
        Self::Creating,
        Self::Receiving,
        Self::Joining,
        Self::Finishing,
        Self::Done,
        Self::Ending,
        Self::Gone,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Receiving => "receiving",
            Self::Joining => "joining",
            Self::Finishing => "finishing",
            Self::Done => "done",
            Self::Ending => "ending",
            Self::Gone => "gone",
        }
    }
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// `None` while deferred.
    pub(crate) length: Option<u64>,
    /// The acknowledged bytes.
    pub(crate) received: u64,
    pub(crate) facts: FileFacts,
    /// The `Upload-Concat` header as received.
    pub(crate) concat: String,
    pub(crate) parts: Vec<String>,
    pub(crate) used_by: Option<String>,
    /// In the form of [`owner`].
    pub(crate) owner: String,
    /// Sender of the last request.
    pub(crate) sender: By,
    pub(crate) created_at_ms: i64,
    pub(crate) expires_at_ms: i64,
}

impl Upload {
    /// The storage path of its bytes.
    pub(crate) fn object(&self) -> String {
        match self.kind {
            Kind::Partial => format!("uploads/{}", self.id),
            Kind::Whole | Kind::Final => format!("media/{}/source", self.id),
        }
    }

    /// Its state after [`Store::advance`].
    pub(crate) fn recorded(self) -> Self {
        let state = if self.is_whole() { State::Finishing } else { self.state };
        Self { state, ..self }
    }

    /// Whether all its bytes have arrived.
    pub(crate) fn is_whole(&self) -> bool {
        self.length == Some(self.received)
    }
}

/// The migrations of the namespace `upload`.
pub(crate) fn migrations() -> Migrations {
    Migrations::new(&[
        ("0001_init", include_str!("../migrations/0001_init.sql")),
        ("0002_owner", include_str!("../migrations/0002_owner.sql")),
        ("0003_audit", streamgate_contracts::audit::TABLE),
        ("0004_sender", include_str!("../migrations/0004_sender.sql")),
        ("0005_outbox", streamgate_contracts::outbox::TABLE),
        ("0006_reserved", include_str!("../migrations/0006_reserved.sql")),
        ("0007_ahead", include_str!("../migrations/0007_ahead.sql")),
    ])
}

/// The owner column of an upload.
pub(crate) fn owner(holder: &Holder) -> String {
    match holder {
        Holder::Principal(id) => format!("principal:{id}"),
        Holder::Address(network) => format!("address:{network}"),
        Holder::Unknown => String::new(),
    }
}

/// The principal of such a column, if it is one.
pub(crate) fn principal_of(owner: &str) -> Option<&str> {
    owner.strip_prefix("principal:")
}

/// Limits of unfinished uploads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In total.
    pub(crate) all: u64,
    /// Per owner.
    pub(crate) each: u64,
}

/// Why an upload was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdded {
    /// The limit of unfinished ones is reached.
    #[error("there are too many unfinished uploads")]
    All,
    /// The same of its owner.
    #[error("there are too many unfinished uploads of one owner")]
    Share,
    /// A part of a final one is incomplete, or in use.
    #[error("a part is not free")]
    Part,
    /// It exceeds its owner's quota.
    #[error("{0}")]
    Room(Fault),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The namespace of uploads. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Adds an upload, if the unfinished ones are below `bounds`, and its owner's quota allows it. A final
    /// one claims its parts, each of which must be complete and unused.
    pub(crate) async fn insert(
        &self,
        upload: &Upload,
        bounds: Bounds,
        stored: Option<&Stored>,
    ) -> Result<(), NotAdded> {
        let facts = &upload.facts;
        let room = stored.map_or_else(String::new, |_| {
            format!(" AND {} + $21 <= $22", quota::reserved("$15", "$1", "$20"))
        });
        // One statement, so that no concurrent upload comes between the count and the row.
        let sql = format!(
            "INSERT INTO uploads ({COLUMNS}) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, \
             $14, $15, $16, $17 WHERE (SELECT COUNT(*) FROM uploads WHERE {UNFINISHED}) < $18 \
             AND (SELECT COUNT(*) FROM uploads WHERE owner = $15 AND {UNFINISHED}) < $19{room}"
        );
        let mut values = params![
            &upload.id,
            upload.kind.name(),
            upload.state.name(),
            upload.length,
            upload.received,
            &facts.header,
            &facts.filename,
            &facts.filetype,
            &facts.title,
            &upload.concat,
            serde_json::Value::from(upload.parts.as_slice()).to_string(),
            upload.used_by.clone(),
            upload.created_at_ms,
            upload.expires_at_ms,
            &upload.owner,
            &upload.sender.principal,
            &upload.sender.address,
            bounds.all,
            bounds.each,
        ];
        values.extend(
            stored.into_iter().flat_map(|stored| params![stored.since_ms, stored.with(upload), stored.limit]),
        );
        let mut batch = self.db.batch().push_expect(&sql, values, 1);
        let mut claimed: Vec<&String> = upload.parts.iter().collect();
        claimed.sort_unstable();
        claimed.dedup();
        for part in claimed {
            batch = batch.push_expect(
                "UPDATE uploads SET used_by = $2 WHERE id = $1 AND kind = 'partial' AND state = 'done' \
                 AND used_by IS NULL",
                params![part, &upload.id],
                1,
            );
        }
        match audit::begun(upload, batch).run().await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { statement: 0, .. }) => {
                if self.unfinished(&upload.owner).await? >= bounds.each {
                    return Err(NotAdded::Share);
                }
                let over = match stored {
                    Some(stored) => self.over(upload, stored).await?,
                    None => None,
                };
                Err(over.map_or(NotAdded::All, NotAdded::Room))
            }
            Err(DbError::Conflict { .. }) => Err(NotAdded::Part),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Upload>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM uploads WHERE id = $1");
        self.db.query_opt(&sql, params![id]).await?.as_ref().map(upload_of).transpose()
    }

    /// The upload while clients may use it.
    pub(crate) async fn get(&self, id: &str) -> Result<Upload, Fault> {
        let upload = self.find(id).await?.ok_or(Fault::NotFound)?;
        let over = upload.expires_at_ms <= now_ms()
            && upload.state != State::Done
            && upload.state != State::Finishing;
        match upload.state {
            State::Creating => Err(Fault::NotFound),
            State::Ending | State::Gone => Err(Fault::Gone),
            State::Receiving if over => Err(Fault::Gone),
            _ => Ok(upload),
        }
    }

    /// Moves an upload from one state to another. `Conflict` if it is in neither.
    pub(crate) async fn step(
        &self,
        id: &str,
        from: State,
        to: State,
        expires_at_ms: i64,
    ) -> Result<(), DbError> {
        let sql = "UPDATE uploads SET state = $3, updated_at_ms = $4, expires_at_ms = $5 \
            WHERE id = $1 AND state IN ($2, $3)";
        let values = params![id, from.name(), to.name(), now_ms(), expires_at_ms];
        self.db.batch().push_expect(sql, values, 1).run().await.map(drop)
    }

    /// Records bytes that are on disk, and the length once it is known; the upload advances when it is
    /// complete. `Conflict`: it is in another state, or more has been recorded concurrently, for example by
    /// the successor of a run that is ending.
    pub(crate) async fn advance(&self, upload: &Upload, expires_at_ms: i64) -> Result<(), DbError> {
        self.set_received(upload, "received <= $3", None, expires_at_ms).await
    }

    /// Records that fewer bytes exist than the recorded `before`. `Conflict`: it is in another state, or
    /// something else was recorded since.
    pub(crate) async fn set_back(
        &self,
        upload: &Upload,
        before: u64,
        expires_at_ms: i64,
    ) -> Result<(), DbError> {
        self.set_received(upload, "received = $10", Some(before), expires_at_ms).await
    }

    async fn set_received(
        &self,
        upload: &Upload,
        guard: &str,
        before: Option<u64>,
        expires_at_ms: i64,
    ) -> Result<(), DbError> {
        let next = upload.clone().recorded().state;
        let sql = format!(
            "UPDATE uploads SET received = $3, length = $4, state = $5, updated_at_ms = $6, expires_at_ms = $7, \
             sender = $8, sender_address = $9 WHERE id = $1 AND state = $2 AND {guard}"
        );
        let mut values = params![
            &upload.id,
            upload.state.name(),
            upload.received,
            upload.length,
            next.name(),
            now_ms(),
            expires_at_ms,
            &upload.sender.principal,
            &upload.sender.address,
        ];
        values.extend(before.map(Param::from));
        self.db.batch().push_expect(&sql, values, 1).run().await.map(drop)
    }

    /// Ends an upload in any state, together with its audit entry. False if it had ended already.
    pub(crate) async fn end(&self, id: &str, entry: Option<&Entry>) -> Result<bool, DbError> {
        let sql = "UPDATE uploads SET state = 'ending', updated_at_ms = $2 \
            WHERE id = $1 AND state NOT IN ('ending', 'gone')";
        self.end_where((sql, params![id, now_ms()]), entry).await
    }

    /// The same for an expired upload, unless it continued since it was read: another run of the plugin, here
    /// or on another node, may be working on it.
    pub(crate) async fn end_unmoved(&self, seen: &Upload, entry: Option<&Entry>) -> Result<bool, DbError> {
        let sql = "UPDATE uploads SET state = 'ending', updated_at_ms = $2 \
            WHERE id = $1 AND state = $3 AND expires_at_ms = $4 AND used_by IS NULL";
        let values = params![&seen.id, now_ms(), seen.state.name(), seen.expires_at_ms];
        self.end_where((sql, values), entry).await
    }

    async fn end_where(
        &self,
        (sql, values): (&str, Vec<Param>),
        entry: Option<&Entry>,
    ) -> Result<bool, DbError> {
        let batch = self.db.batch().push_expect(sql, values, 1).frees_space();
        match noting(batch, entry).run().await {
            Ok(_) => Ok(true),
            Err(DbError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An upload has another owner.
    pub(crate) async fn give_to(&self, id: &str, owner: &str) -> Result<(), DbError> {
        self.db.execute("UPDATE uploads SET owner = $2 WHERE id = $1", params![id, owner]).await.map(drop)
    }

    /// An upload's data is removed. Parts it had claimed are unused again.
    pub(crate) async fn bury(&self, id: &str, forget_at_ms: i64) -> Result<(), DbError> {
        self.db
            .batch()
            .push(
                "UPDATE uploads SET state = 'gone', updated_at_ms = $2, expires_at_ms = $3 WHERE id = $1",
                params![id, now_ms(), forget_at_ms],
            )
            .push("UPDATE uploads SET used_by = NULL WHERE used_by = $1 AND state = 'done'", params![id])
            .frees_space()
            .run()
            .await
            .map(drop)
    }

    /// An upload is handed over. The parts of a final one are no longer needed; they remember what they were
    /// used for, so that a repeated request gets the same answer. An event is published if it became a
    /// content.
    pub(crate) async fn done(&self, upload: &Upload, expires_at_ms: i64) -> Result<(), DbError> {
        let (id, now) = (&upload.id, now_ms());
        let batch = self.db.batch().push_expect(
            "UPDATE uploads SET state = 'done', updated_at_ms = $2, expires_at_ms = $3 \
             WHERE id = $1 AND state IN ('finishing', 'done')",
            params![id, now, expires_at_ms],
            1,
        );
        let batch = batch.push(
            "UPDATE uploads SET state = 'ending', updated_at_ms = $2 WHERE used_by = $1 AND state = 'done'",
            params![id, now],
        );
        let batch = match upload.kind {
            Kind::Partial => batch,
            Kind::Whole | Kind::Final => {
                let payload = ContentUploaded { id: id.clone(), bytes: upload.received };
                batch.publish(Event::json(content_uploaded(id), TYPE_CONTENT_UPLOADED, &payload))
            }
        };
        audit::completed(upload, batch).run().await.map(drop)
    }

    /// The content of an upload that can never be completed has the reason.
    pub(crate) async fn fail(
        &self,
        upload: &Upload,
        expires_at_ms: i64,
        entry: Option<&Entry>,
    ) -> Result<(), DbError> {
        let sql = "UPDATE uploads SET state = 'done', updated_at_ms = $3, expires_at_ms = $4 \
            WHERE id = $1 AND state IN ($2, 'done')";
        let values = params![&upload.id, upload.state.name(), now_ms(), expires_at_ms];
        noting(self.db.batch().push_expect(sql, values, 1), entry).run().await.map(drop)
    }

    /// Removes an upload.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM uploads WHERE id = $1";
        self.db.batch().push(sql, params![id]).frees_space().run().await.map(drop)
    }

    /// Uploads of one owner that are neither handed over nor gone.
    pub(crate) async fn unfinished(&self, owner: &str) -> Result<u64, DbError> {
        let sql = format!("SELECT COUNT(*) AS n FROM uploads WHERE owner = $1 AND {UNFINISHED}");
        self.db.query_one(&sql, params![owner]).await?.get("n")
    }

    /// Uploads with work left, or expired, after `after` in order of id.
    pub(crate) async fn due(&self, after: &str, limit: u32) -> Result<Vec<Upload>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM uploads WHERE id > $1 AND (expires_at_ms <= $2 \
             OR state IN ('creating', 'joining', 'finishing', 'ending')) ORDER BY id LIMIT $3"
        );
        let rows = self.db.query(&sql, params![after, now_ms(), limit]).await?;
        rows.into_iter().map(|row| upload_of(&row)).collect()
    }
}

fn noting(batch: Batch, entry: Option<&Entry>) -> Batch {
    match entry {
        Some(entry) => entry.push(batch),
        None => batch,
    }
}

fn upload_of(row: &Row) -> Result<Upload, DbError> {
    let unknown = |column: &str, value: &str| DbError::Column {
        column: column.to_owned(),
        reason: format!("`{value}` is not known to this version"),
    };
    let kind: String = row.get("kind")?;
    let state: String = row.get("state")?;
    let parts: String = row.get("parts")?;
    Ok(Upload {
        id: row.get("id")?,
        kind: [Kind::Whole, Kind::Partial, Kind::Final]
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| unknown("kind", &kind))?,
        state: State::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| unknown("state", &state))?,
        length: row.get("length")?,
        received: row.get("received")?,
        facts: FileFacts {
            header: row.get("metadata")?,
            filename: row.get("filename")?,
            filetype: row.get("filetype")?,
            title: row.get("title")?,
        },
        concat: row.get("concat")?,
        parts: serde_json::from_str(&parts).map_err(|_| unknown("parts", &parts))?,
        used_by: row.get("used_by")?,
        owner: row.get("owner")?,
        sender: By { principal: row.get("sender")?, address: row.get("sender_address")? },
        created_at_ms: row.get("created_at_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamgate_plugin_api::Client;
    use streamgate_sqlite::{Engine, Settings};

    const MANY: Bounds = Bounds { all: 10, each: 10 };

    fn upload() -> Upload {
        Upload {
            id: "0190163d-8694-739b-aea5-966c26f8ad91".into(),
            kind: Kind::Whole,
            state: State::Receiving,
            length: Some(100),
            received: 0,
            facts: FileFacts::default(),
            concat: String::new(),
            parts: Vec::new(),
            used_by: None,
            owner: String::new(),
            sender: By::default(),
            created_at_ms: 0,
            expires_at_ms: i64::MAX,
        }
    }

    async fn store_in(folder: &std::path::Path) -> Store {
        let engine = Engine::new(folder, Settings::default());
        Store::new(Db::open(Client::from_service(engine.router()), "upload", migrations()).await.unwrap())
    }

    #[tokio::test]
    async fn what_went_on_since_a_sweeper_saw_it_is_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let seen = Upload { state: State::Creating, expires_at_ms: 1, ..upload() };
        store.insert(&seen, MANY, None).await.unwrap();
        // The run that creates it finishes after another one has read the row.
        store.step(&seen.id, State::Creating, State::Receiving, 2).await.unwrap();
        assert!(!store.end_unmoved(&seen, None).await.unwrap());
        let begun = Upload { state: State::Receiving, expires_at_ms: 2, ..seen };
        store.advance(&Upload { received: 10, ..begun.clone() }, 3).await.unwrap();
        assert!(!store.end_unmoved(&begun, None).await.unwrap());
        assert!(store.end_unmoved(&Upload { expires_at_ms: 3, ..begun }, None).await.unwrap());
    }

    #[tokio::test]
    async fn what_was_received_never_goes_back_because_of_a_run_that_was_overtaken() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let begun = upload();
        store.insert(&begun, MANY, None).await.unwrap();
        let at = |received| Upload { received, ..begun.clone() };
        let received = async || store.find(&begun.id).await.unwrap().unwrap().received;

        store.advance(&at(60), i64::MAX).await.unwrap();
        let stale = store.advance(&at(40), i64::MAX).await;
        assert!(matches!(stale, Err(DbError::Conflict { .. })), "{stale:?}");
        assert_eq!(received().await, 60);
        store.advance(&at(60), i64::MAX).await.unwrap();
        // The storage has lost some, according to the last recorder.
        let stale = store.set_back(&at(10), 40, i64::MAX).await;
        assert!(matches!(stale, Err(DbError::Conflict { .. })), "{stale:?}");
        store.set_back(&at(10), 60, i64::MAX).await.unwrap();
        assert_eq!(received().await, 10);
    }
}
