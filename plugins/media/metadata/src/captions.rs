//! Captions that people add, replace and remove. The object of a text is in storage before its row names it,
//! and the row is removed before its object: a crash can only leave an object without a row, which `fsck`
//! reports. A replaced text stays at its address for a while: players may have begun with it.

use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::{Chapter, Content, Right, TextTrack};
use streamgate_contracts::db::{DbError, params};
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::time::now_ms;

use crate::catalogue::{Catalogue, unchanged};
use crate::objects::Media;
use crate::positions::POSITION;
use crate::rights::Caller;
use crate::store::{Entry, Store, StoreError};
use crate::texts::{self, About, object};
use crate::usage;

/// How often a write is retried after a concurrent one.
const ATTEMPTS: u32 = 4;
/// Versions that are tried: some may be left by a crash.
const VERSIONS: u32 = 16;

/// The author of a change, and the state it is based on.
#[derive(Debug, Clone)]
pub(crate) struct Editor {
    pub(crate) by: By,
    pub(crate) caller: Caller,
    /// The revision that they saw, if they stated one.
    pub(crate) expected: Option<u64>,
}

impl Editor {
    /// Repeats, in each attempt of a write, the checks of the content: the right, and the revision.
    pub(crate) fn may(&self, right: Right, content: &Content) -> Result<(), StoreError> {
        if !self.caller.may(right, content) {
            return Err(StoreError::NotYours(content.id.clone()));
        }
        unchanged(content, self.expected)
    }
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full { .. } => Self::Full("there is no space left in storage".into()),
            StorageError::Unavailable { why, .. } => {
                Self::Unavailable(format!("the text cannot be stored: the storage {why}; try again"))
            }
            _ => Self::Unavailable(format!("the text cannot be stored: {error}; try again")),
        }
    }
}

impl Catalogue {
    fn media(&self) -> Media {
        Media::new(self.dependencies.storage.clone())
    }

    /// The limit for an owner's text, if there is a quota and it has room for both.
    async fn room_without(&self, owner: &str, vtt: &str) -> Result<Option<u64>, StoreError> {
        let bytes = vtt.len() as u64;
        Ok(self.room_for(owner, bytes).await?.map(|limit| limit.saturating_sub(bytes)))
    }

    /// Adds a text, which is WebVTT. Returns the content and the name of the text.
    pub(crate) async fn add_text(
        &self,
        id: &str,
        about: &About,
        vtt: String,
        editor: &Editor,
    ) -> Result<(Content, String), StoreError> {
        let name = texts::fresh_name();
        let text = TextTrack { name: name.clone(), version: 1, bytes: size(&vtt), ..TextTrack::default() };
        let apply = |content: &mut Content| {
            editor.may(Right::Edit, content)?;
            content.texts.push(text.clone());
            about.apply(content, &name)?;
            texts::fits(content)
        };
        // A text that will be refused need not be stored.
        let mut before = self.get(id).await?;
        apply(&mut before)?;
        let room = self.room_without(&before.owner, &vtt).await?;
        let media = self.media();
        let key = object(id, &name, 1);
        media.storage.put_new(&key, vtt.into()).await?;
        let added = |_: &Content, after: &Content| describe("added", after, &name);
        let content = self.edit(id, editor, (apply, room), ("content.change", added)).await;
        if content.as_ref().is_err_and(is_certain) {
            media.remove(&key).await;
        }
        Ok((content?, name))
    }

    /// Replaces a text with another one, which is WebVTT.
    pub(crate) async fn replace_text(
        &self,
        id: &str,
        name: &str,
        vtt: String,
        editor: &Editor,
    ) -> Result<Content, StoreError> {
        let media = self.media();
        for _ in 0..ATTEMPTS {
            let content = self.get(id).await?;
            editor.may(Right::Edit, &content)?;
            let room = self.room_without(&content.owner, &vtt).await?;
            let version = self.claim(&content, name, &vtt).await?;
            let apply = |content: &mut Content| {
                editor.may(Right::Edit, content)?;
                let text = texts::find_mut(content, name)?;
                // Versions only grow: an address never has another text.
                if text.version >= version {
                    return Err(StoreError::Busy(id.to_owned()));
                }
                let (now_ms, keep) =
                    (now_ms(), i64::try_from(self.replaced_captions.as_millis()).unwrap_or(0));
                texts::replace(text, version, size(&vtt), now_ms, now_ms.saturating_add(keep));
                Ok(())
            };
            let replaced = |_: &Content, after: &Content| describe("replaced", after, name);
            match self.edit(id, editor, (apply, room), ("content.change", replaced)).await {
                Ok(content) => {
                    if let Ok(text) = texts::find(&content, name) {
                        media.remove_versions(id, text).await;
                    }
                    return Ok(content);
                }
                Err(error) => {
                    if is_certain(&error) {
                        media.remove(&object(id, name, version)).await;
                    }
                    if !matches!(error, StoreError::Busy(_)) {
                        return Err(error);
                    }
                }
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    /// Removes expired earlier versions of texts. No event is published: the content is unchanged for its
    /// readers.
    pub(crate) async fn expire_texts(&self, limit: u32) -> Result<(), StoreError> {
        let now_ms = now_ms();
        for id in self.store.due_texts(now_ms, limit).await? {
            for text in self.store.expire_texts(&id, now_ms).await? {
                self.media().remove_versions(&id, &text).await;
            }
        }
        Ok(())
    }

    /// Stores a text under the next free version, and returns that version.
    async fn claim(&self, content: &Content, name: &str, vtt: &str) -> Result<u32, StoreError> {
        let mut version = texts::find(content, name)?.version;
        for _ in 0..VERSIONS {
            version = version.checked_add(1).ok_or_else(|| {
                StoreError::Limit(format!("`{name}` was replaced too often; remove it, and add another one"))
            })?;
            match self
                .media()
                .storage
                .put_new(&object(&content.id, name, version), vtt.to_owned().into())
                .await
            {
                Err(StorageError::PreconditionFailed(_)) => {}
                put => return Ok(put.map(|()| version)?),
            }
        }
        Err(StoreError::Busy(content.id.clone()))
    }

    /// Changes the properties of a text.
    pub(crate) async fn change_text(
        &self,
        id: &str,
        name: &str,
        about: &About,
        editor: &Editor,
    ) -> Result<Content, StoreError> {
        let apply = |content: &mut Content| {
            editor.may(Right::Edit, content)?;
            about.apply(content, name)?;
            texts::fits(content)
        };
        self.edit(id, editor, (apply, None), ("content.change", |_, after| describe("changed", after, name)))
            .await
    }

    /// Removes a text.
    pub(crate) async fn remove_text(&self, id: &str, name: &str, editor: &Editor) -> Result<(), StoreError> {
        let apply = |content: &mut Content| {
            editor.may(Right::Edit, content)?;
            texts::find(content, name)?;
            content.texts.retain(|text| text.name != name);
            Ok(())
        };
        self.edit(
            id,
            editor,
            (apply, None),
            ("content.change", |before, _| describe("removed", before, name)),
        )
        .await?;
        self.media().remove_text(id, name).await;
        Ok(())
    }

    /// Replaces the chapters.
    pub(crate) async fn set_chapters(
        &self,
        id: &str,
        chapters: &[Chapter],
        editor: &Editor,
    ) -> Result<Entry, StoreError> {
        let apply = |content: &mut Content| {
            editor.may(Right::Edit, content)?;
            content.chapters = chapters.to_vec();
            texts::fits(content)
        };
        self.edit(
            id,
            editor,
            (apply, None),
            ("content.change", |_, after| format!("chapters to {}", after.chapters.len())),
        )
        .await?;
        self.entry(id).await
    }

    /// The current text, with its content.
    pub(crate) async fn text(&self, id: &str, name: &str) -> Result<(Content, Body), StoreError> {
        // It may be replaced between the reads of its row and its object.
        for _ in 0..ATTEMPTS {
            let content = self.get(id).await?;
            let key = object(id, name, texts::find(&content, name)?.version);
            let opened = self.media().storage.open(&key, 0).await;
            if let Some(body) = opened.map_err(|error| StoreError::Unavailable(error.to_string()))? {
                return Ok((content, body));
            }
        }
        tracing::error!(content = id, text = name, "the object of a text is missing");
        Err(StoreError::Unavailable(format!("the text of `{name}` is missing in storage")))
    }
}

/// Whether an error means that no row was written.
fn is_certain(error: &StoreError) -> bool {
    !matches!(error, StoreError::Db(_))
}

/// For the audit log: `captions "captions-1" (de, "Deutsch") added`.
fn describe(what: &str, content: &Content, name: &str) -> String {
    let text = content.texts.iter().find(|text| text.name == name).cloned().unwrap_or_default();
    let TextTrack { language, label, .. } = &text;
    let flags: String = [
        (text.default, ", default"),
        (text.forced, ", forced"),
        (text.hearing_impaired, ", for the hearing impaired"),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .collect();
    let language = if language.is_empty() { "no language" } else { language };
    format!("captions \"{name}\" ({language}, \"{label}\"{flags}) {what}")
}

/// Files are limited far below 4 GiB.
fn size(vtt: &str) -> u32 {
    u32::try_from(vtt.len()).unwrap_or(u32::MAX)
}

impl Store {
    /// Contents with texts that are due for removal, the longest due first.
    async fn due_texts(&self, now_ms: i64, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM contents WHERE texts_due_at_ms <= $1 ORDER BY texts_due_at_ms LIMIT $2";
        let rows = self.db.query(sql, params![now_ms, limit]).await?;
        rows.into_iter().map(|row| row.get("id").map_err(StoreError::from)).collect()
    }

    /// Removes what is due, and returns the texts that had some. If a content changes concurrently, it waits
    /// for the next time.
    async fn expire_texts(&self, id: &str, now_ms: i64) -> Result<Vec<TextTrack>, StoreError> {
        let Some(before) = self.find(id).await? else { return Ok(Vec::new()) };
        let mut content = before.clone();
        let changed = texts::expire(&mut content, now_ms);
        let sql = format!(
            "UPDATE contents SET texts = $3, texts_due_at_ms = $4, position = {POSITION} \
             WHERE id = $1 AND revision = $2"
        );
        let values = params![id, content.revision, texts::packed(&content), texts::due_at_ms(&content)];
        let batch = self.change().push_expect(&sql, values, 1);
        match usage::count_file(batch, &before, &content).frees_space().run().await {
            Ok(_) => Ok(changed),
            Err(DbError::Conflict { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
