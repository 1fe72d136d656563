//! The SQL of the catalogue. Every write of a content is guarded by the revision that it was computed from,
//! so that a state transition, a new title and a progress report never overwrite each other: a concurrent
//! writer reads again. The event of a change is written with it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::{
    Content, ContentState, Rendition, RenditionTimeline, Source, Turn,
};
use streamgate_contracts::db::{Batch, Db, DbError, Migrations, Param, Row, params, places};
use streamgate_contracts::events::{
    ContentChanged, ContentStanding, TYPE_CONTENT_CHANGED, TYPE_CONTENT_STANDING, content_changed,
    content_standing,
};
use streamgate_plugin_api::time::{now_ms, rfc3339};
use streamgate_plugin_api::{BusError, Event};

use crate::cursor::title_key;
use crate::generations;
use crate::lifecycle::ForbiddenStep;
use crate::positions::POSITION;
use crate::rights::Holders;
use crate::search::search_text;
use crate::shares;
use crate::texts;
use crate::timeline::{self, BadSegments, Totals};
use crate::usage;

/// How often a write is recomputed after a concurrent one.
pub(crate) const ATTEMPTS: usize = 32;
/// How often a read of several tables is repeated to get one revision.
const READS: usize = 16;

pub(crate) const COLUMNS: &str = "id, title, description, tags, state, reason, progress, duration_ms, source, has_poster, \
    has_thumbnails, unusable, texts, created_at_ms, updated_at_ms, revision, fence, listed, owner, shares, openness, position, \
    unlisted_position, taken_position, poster_bytes, thumbnail_bytes";

/// Why the catalogue failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("there is no content `{0}`")]
    NotFound(String),
    #[error("the content `{0}` was deleted")]
    Deleted(String),
    #[error(transparent)]
    Forbidden(#[from] ForbiddenStep),
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    Invalid(String),
    #[error("there are no captions `{0}`")]
    NoText(String),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Full(String),
    /// Its owner has used up today's encoding quota.
    #[error(
        "the {minutes} minutes that may be encoded for its owner today are used up; try again at {}, or ask an admin for \
         more",
        rfc3339(*until_ms)
    )]
    Spent { minutes: u64, until_ms: i64 },
    #[error(
        "its owner has {used} of {limit} bytes, and this needs {needed}: they have to delete something, or an admin \
         has to raise their quota"
    )]
    NoRoom { limit: u64, used: u64, needed: u64 },
    #[error("the content `{0}` is being changed by too many concurrent calls; try again")]
    Busy(String),
    #[error("{0}")]
    Unavailable(String),
    #[error(
        "the fence {fence} is superseded for the content `{id}` by a later run of its job with {newest}; stop writing"
    )]
    Superseded { id: String, fence: u64, newest: u64 },
    #[error("`{0}` belongs to another user; its owner or an admin may do this")]
    NotYours(String),
    #[error("{0}")]
    NoPerson(String),
    #[error("not signed in")]
    NotSignedIn,
    #[error("the content is not shared with `{0}`")]
    NotShared(String),
    #[error("the content was changed in the meantime: it is at revision {current}")]
    Changed { current: u64 },
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<BadSegments> for StoreError {
    fn from(bad: BadSegments) -> Self {
        match bad {
            BadSegments::Segment { .. } => Self::Invalid(bad.to_string()),
            BadSegments::Gap { .. } => Self::Precondition(bad.to_string()),
            BadSegments::Damaged { .. } => Self::Db(DbError::Other { message: bad.to_string() }),
        }
    }
}

/// A rendition with the sums over its segments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rung {
    pub(crate) spec: Rendition,
    pub(crate) totals: Totals,
}

/// A content in the form of the REST API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) rungs: Vec<Rung>,
    /// The last known openness of its policy, see `policies.rs`.
    pub(crate) listed: bool,
    /// The same; unspecified: unknown.
    pub(crate) openness: Openness,
    /// Of its last change, see `positions.rs`.
    pub(crate) position: i64,
    /// Of the last time that lists stopped showing it to everyone; 0: they never did.
    pub(crate) unlisted: i64,
    /// Of the last change that took a share back; 0: none did.
    pub(crate) taken: i64,
}

/// The catalogue's namespace of the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
    /// How long replaced renditions stay.
    replaced_renditions: Duration,
}

/// The migrations of the namespace `metadata`.
pub(crate) fn migrations() -> Migrations {
    Migrations::new(&[
        ("0001_init", include_str!("../migrations/0001_init.sql")),
        ("0002_listing", include_str!("../migrations/0002_listing.sql")),
        ("0003_audit", streamgate_contracts::audit::TABLE),
        ("0004_unusable", include_str!("../migrations/0004_unusable.sql")),
        ("0005_begun", include_str!("../migrations/0005_begun.sql")),
        ("0006_title_key", include_str!("../migrations/0006_title_key.sql")),
        ("0007_texts", include_str!("../migrations/0007_texts.sql")),
        ("0008_earlier_texts", include_str!("../migrations/0008_earlier_texts.sql")),
        ("0009_outbox", streamgate_contracts::outbox::TABLE),
        ("0010_owners", include_str!("../migrations/0010_owners.sql")),
        ("0011_fence", include_str!("../migrations/0011_fence.sql")),
        ("0012_positions", include_str!("../migrations/0012_positions.sql")),
        ("0013_generations", include_str!("../migrations/0013_generations.sql")),
        ("0014_usage", include_str!("../migrations/0014_usage.sql")),
        ("0015_shares", include_str!("../migrations/0015_shares.sql")),
        ("0016_texts_count", include_str!("../migrations/0016_texts_count.sql")),
        ("0017_pictures", include_str!("../migrations/0017_pictures.sql")),
        ("0018_taken", include_str!("../migrations/0018_taken.sql")),
    ])
}

impl Store {
    pub(crate) fn new(db: Db, replaced_renditions: Duration) -> Self {
        Self { db, replaced_renditions }
    }

    /// Until when something replaced now is served.
    pub(crate) fn until_ms(&self) -> i64 {
        now_ms().saturating_add(i64::try_from(self.replaced_renditions.as_millis()).unwrap_or(i64::MAX))
    }

    /// Adds a content, or returns the one of this id (`false`: it existed).
    pub(crate) async fn create(&self, mut content: Content) -> Result<(Content, bool), StoreError> {
        let now = now_ms();
        content.created_at_ms = now;
        content.updated_at_ms = now;
        content.revision = 1;
        let id = content.id.clone();
        let sql = format!(
            "INSERT INTO contents (id, title, description, tags, state, reason, progress, duration_ms, source, \
             has_poster, has_thumbnails, search, created_at_ms, updated_at_ms, revision, title_key, owner, position) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, {POSITION} \
             WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE id = $1) ON CONFLICT (id) DO NOTHING"
        );
        let batch = self.change().push_expect(
            &sql,
            params![
                &id,
                &content.title,
                &content.description,
                tags_json(&content.tags),
                content.state,
                &content.reason,
                content.progress,
                content.duration_ms,
                source_bytes(&content),
                content.has_poster,
                content.has_thumbnails,
                search_text(&content),
                content.created_at_ms,
                content.updated_at_ms,
                content.revision,
                title_key(&content),
                &content.owner,
            ],
            1,
        );
        let batch = usage::count(batch, None, &content).publish(news_of(&content));
        match batch.run().await {
            Ok(_) => return Ok((content, true)),
            Err(DbError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.find(&id).await? {
            Some(content) => Ok((content, false)),
            None => Err(StoreError::Deleted(id)),
        }
    }

    /// The content of this id, if there is one.
    pub(crate) async fn find(&self, id: &str) -> Result<Option<Content>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM contents WHERE id = $1");
        let row = self.db.query_opt(&sql, params![id]).await?;
        row.as_ref().map(content_of).transpose().map_err(StoreError::from)
    }

    /// The content of this id.
    pub(crate) async fn get(&self, id: &str) -> Result<Content, StoreError> {
        self.find(id).await?.ok_or_else(|| StoreError::NotFound(id.to_owned()))
    }

    /// The content of this id with its renditions.
    pub(crate) async fn entry(&self, id: &str) -> Result<Entry, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM contents WHERE id = $1");
        let entry = self.entries(&sql, params![id]).await?.pop();
        entry.ok_or_else(|| StoreError::NotFound(id.to_owned()))
    }

    /// Changes a content. `apply` may run several times; if it returns an error the content is unchanged. If
    /// it changes nothing, nothing is written.
    pub(crate) async fn update(
        &self,
        id: &str,
        apply: impl Fn(&mut Content) -> Result<(), StoreError>,
    ) -> Result<Content, StoreError> {
        self.update_with(id, apply, |batch, _, _| batch).await
    }

    /// As [`Store::update`], with more statements in the same transaction.
    pub(crate) async fn update_with(
        &self,
        id: &str,
        apply: impl Fn(&mut Content) -> Result<(), StoreError>,
        with: impl Fn(Batch, &Content, &Content) -> Batch,
    ) -> Result<Content, StoreError> {
        self.write(id, false, |content, _| apply(content), with).await
    }

    /// As [`Store::update`], with the content's renditions at the same revision.
    pub(crate) async fn update_beside(
        &self,
        id: &str,
        apply: impl Fn(&mut Content, &[Rung]) -> Result<(), StoreError>,
    ) -> Result<Content, StoreError> {
        self.write(id, true, apply, |batch, _, _| batch).await
    }

    async fn write(
        &self,
        id: &str,
        beside: bool,
        apply: impl Fn(&mut Content, &[Rung]) -> Result<(), StoreError>,
        with: impl Fn(Batch, &Content, &Content) -> Batch,
    ) -> Result<Content, StoreError> {
        for _ in 0..ATTEMPTS {
            let before = self.get(id).await?;
            let mut after = before.clone();
            // Read after the content: a concurrent change would have another revision.
            let rungs = if beside { self.rungs_of(&[id]).await?.remove(id) } else { None };
            apply(&mut after, &rungs.unwrap_or_default())?;
            if after == before {
                return Ok(before);
            }
            let mut batch = write_row(self.change(), &before, &mut after);
            if after.state() == ContentState::Ready && before.state() != ContentState::Ready {
                batch = generations::finish(batch, id, self.until_ms());
            }
            let batch = told_of_rights(with(batch, &before, &after), &before, &after);
            match usage::count_file(batch, &before, &after).publish(news_of(&after)).run().await {
                Ok(_) => return Ok(after),
                Err(DbError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    /// A content with all its renditions and segments, consistent with one revision; without them if
    /// `known_revision` is the current one.
    pub(crate) async fn timeline(
        &self,
        id: &str,
        known_revision: u64,
    ) -> Result<(Content, Option<Vec<RenditionTimeline>>), StoreError> {
        let mut content = self.get(id).await?;
        for _ in 0..READS {
            if content.revision == known_revision {
                return Ok((content, None));
            }
            // One statement sees one state of the database; its revision identifies it.
            let rows = self
                .db
                .query(
                    "SELECT c.revision, r.name, r.spec, r.coming, r.until_ms, s.chunk, s.data FROM contents c \
                     LEFT JOIN renditions r ON r.content = c.id \
                     LEFT JOIN segments s ON s.content = r.content AND s.rendition = r.name \
                     WHERE c.id = $1 ORDER BY r.name, s.chunk",
                    params![id],
                )
                .await?;
            let Some((revision, renditions)) = assemble(rows)? else {
                return Err(StoreError::NotFound(id.to_owned()));
            };
            if revision != content.revision {
                content = self.get(id).await?;
            }
            if revision == content.revision {
                return Ok((content, Some(renditions)));
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    /// Contents after an id, in the order of their ids.
    pub(crate) async fn page(
        &self,
        state: Option<ContentState>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Content>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM contents WHERE id > $1 AND ($2 IS NULL OR state = $2) ORDER BY id LIMIT $3"
        );
        let rows = self.db.query(&sql, params![after, state.map(|state| state as i32), limit]).await?;
        rows.into_iter().map(|row| content_of(&row).map_err(StoreError::from)).collect()
    }

    pub(crate) async fn entries(&self, sql: &str, values: Vec<Param>) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.bare_entries(sql, values).await?;
        self.add_rungs(&mut entries).await?;
        Ok(entries)
    }

    /// The same without their renditions.
    pub(crate) async fn bare_entries(&self, sql: &str, values: Vec<Param>) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for row in self.db.query(sql, values).await? {
            let listed = row.get::<i64>("listed")? != 0;
            let openness = Openness::try_from(row.get::<i32>("openness")?).unwrap_or_default();
            let (position, unlisted) = (row.get("position")?, row.get("unlisted_position")?);
            let taken = row.get("taken_position")?;
            let content = content_of(&row)?;
            entries.push(Entry { content, rungs: Vec::new(), listed, openness, position, unlisted, taken });
        }
        Ok(entries)
    }

    /// Reads the current renditions of contents that were read without them.
    pub(crate) async fn add_rungs(&self, entries: &mut [Entry]) -> Result<(), StoreError> {
        let ids: Vec<&str> = entries.iter().map(|entry| entry.content.id.as_str()).collect();
        let mut rungs = self.rungs_of(&ids).await?;
        for entry in entries {
            entry.rungs = rungs.remove(&entry.content.id).unwrap_or_default();
            entry.rungs.retain(|rung| rung.spec.turn.is_none());
        }
        Ok(())
    }

    /// Of all generations.
    pub(crate) async fn rungs_of(&self, ids: &[&str]) -> Result<HashMap<String, Vec<Rung>>, StoreError> {
        let mut all: HashMap<String, Vec<Rung>> = HashMap::new();
        for some in ids.chunks(100) {
            let sql = format!(
                "SELECT content, spec, coming, until_ms, segments, bytes, ticks FROM renditions \
                 WHERE content IN ({}) ORDER BY content",
                places(some.len())
            );
            let values = some.iter().flat_map(|id| params![*id]).collect();
            for row in self.db.query(&sql, values).await? {
                let totals = Totals {
                    segments: row.get("segments")?,
                    bytes: row.get("bytes")?,
                    ticks: row.get("ticks")?,
                };
                let rung = Rung { spec: rendition_of(&row)?, totals };
                all.entry(row.get("content")?).or_default().push(rung);
            }
        }
        all.values_mut().for_each(|rungs| rungs.sort_by(|one, two| order(&one.spec).cmp(&order(&two.spec))));
        Ok(all)
    }
}

/// The update of a content's row under the revision it was read at; sets the new revision and time in
/// `after`. The batch is one of [`Store::change`].
pub(crate) fn write_row(batch: Batch, before: &Content, after: &mut Content) -> Batch {
    after.revision = before.revision + 1;
    // It is shown to people: it never goes backwards for one content.
    after.updated_at_ms = now_ms().max(before.updated_at_ms);
    let sql = format!(
        "UPDATE contents SET title = $3, description = $4, tags = $5, state = $6, reason = $7, progress = $8, \
         duration_ms = $9, source = $10, has_poster = $11, has_thumbnails = $12, search = $13, \
         updated_at_ms = $14, revision = $15, unusable = $16, title_key = $17, texts = $18, \
         texts_due_at_ms = $19, fence = $20, owner = $21, shares = $22, poster_bytes = $23, \
         thumbnail_bytes = $24, \
         taken_position = CASE WHEN $25 = 1 THEN {POSITION} ELSE taken_position END, position = {POSITION} WHERE id = $1 AND revision = $2"
    );
    let batch = batch.push_expect(
        &sql,
        params![
            &before.id,
            before.revision,
            &after.title,
            &after.description,
            tags_json(&after.tags),
            after.state,
            &after.reason,
            after.progress,
            after.duration_ms,
            source_bytes(after),
            after.has_poster,
            after.has_thumbnails,
            search_text(after),
            after.updated_at_ms,
            after.revision,
            after.unusable,
            title_key(after),
            texts::packed(after),
            texts::due_at_ms(after),
            after.fence,
            &after.owner,
            shares::packed(&after.shares),
            after.poster_bytes,
            after.thumbnail_bytes,
            shares::takes(before, after),
        ],
        1,
    );
    shares::indexed(batch, before, after)
}

/// Publishes that rights on a content may have changed, if so.
fn told_of_rights(batch: Batch, before: &Content, after: &Content) -> Batch {
    if Holders::from(before) == Holders::from(after) {
        return batch;
    }
    let changed = ContentStanding { id: after.id.clone() };
    batch.publish(Event::json(content_standing(&after.id), TYPE_CONTENT_STANDING, &changed))
}

/// Publishes the new state of a content.
pub(crate) fn news_of(content: &Content) -> Result<Event, BusError> {
    let payload = ContentChanged {
        id: content.id.clone(),
        revision: content.revision,
        state: content.state().name().to_owned(),
        progress: content.progress,
    };
    Event::json(content_changed(&content.id), TYPE_CONTENT_CHANGED, &payload)
}

type Assembled = Option<(u64, Vec<RenditionTimeline>)>;

/// The order of renditions, whichever was added first: video, small ones first, then audio.
fn order(spec: &Rendition) -> impl Ord + '_ {
    (spec.kind, spec.height, spec.track, spec.target_bitrate, spec.name.as_str(), spec.generation)
}

fn assemble(rows: impl IntoIterator<Item = Row>) -> Result<Assembled, StoreError> {
    let mut all: Assembled = None;
    for row in rows {
        let (_, renditions) = all.get_or_insert((row.get("revision")?, Vec::new()));
        let Some(name) = row.get::<Option<String>>("name")? else { continue };
        let same =
            renditions.last().and_then(|last| last.rendition.as_ref()).is_some_and(|r| r.folder() == name);
        if !same {
            renditions.push(RenditionTimeline { rendition: Some(rendition_of(&row)?), segments: Vec::new() });
        }
        if let (Some(chunk), Some(last)) = (row.get::<Option<u32>>("chunk")?, renditions.last_mut()) {
            last.segments.extend(timeline::decode(&name, chunk, &row.get("data")?)?);
        }
    }
    if let Some((_, renditions)) = &mut all {
        renditions
            .sort_by(|one, two| one.rendition.as_ref().map(order).cmp(&two.rendition.as_ref().map(order)));
    }
    Ok(all)
}

pub(crate) fn content_of(row: &Row) -> Result<Content, DbError> {
    let damaged = |column: &str, error: &dyn std::fmt::Display| DbError::Column {
        column: column.to_owned(),
        reason: error.to_string(),
    };
    let tags: String = row.get("tags")?;
    let source: Bytes = row.get("source")?;
    let texts: Option<Bytes> = row.get("texts")?;
    let texts = Content::decode(texts.unwrap_or_default()).map_err(|error| damaged("texts", &error))?;
    let Holders { owner, shares, .. } = Holders::from_row(row)?;
    Ok(Content {
        id: row.get("id")?,
        title: row.get("title")?,
        description: row.get("description")?,
        tags: serde_json::from_str(&tags).map_err(|error| damaged("tags", &error))?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        progress: row.get("progress")?,
        duration_ms: row.get("duration_ms")?,
        source: Some(Source::decode(source).map_err(|error| damaged("source", &error))?),
        created_at_ms: row.get("created_at_ms")?,
        updated_at_ms: row.get("updated_at_ms")?,
        revision: row.get("revision")?,
        has_poster: row.get::<i64>("has_poster")? != 0,
        has_thumbnails: row.get::<i64>("has_thumbnails")? != 0,
        unusable: row.get::<i64>("unusable")? != 0,
        texts: texts.texts,
        chapters: texts.chapters,
        texts_read: texts.texts_read,
        fence: row.get("fence")?,
        poster_bytes: row.get("poster_bytes")?,
        thumbnail_bytes: row.get("thumbnail_bytes")?,
        owner,
        shares,
    })
}

fn rendition_of(row: &Row) -> Result<Rendition, DbError> {
    let spec: Bytes = row.get("spec")?;
    let spec = Rendition::decode(spec)
        .map_err(|error| DbError::Column { column: "spec".into(), reason: error.to_string() })?;
    let coming = row.get::<i64>("coming")? != 0;
    let until_ms: Option<i64> = row.get("until_ms")?;
    let turn = Turn { coming, until_ms: until_ms.unwrap_or(0) };
    Ok(Rendition { turn: (coming || until_ms.is_some()).then_some(turn), ..spec })
}

fn source_bytes(content: &Content) -> Bytes {
    content.source.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default().into()
}

fn tags_json(tags: &[String]) -> String {
    serde_json::Value::from(tags).to_string()
}
