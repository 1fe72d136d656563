//! The catalogue's use of `storage`: listings of `media/`, and the texts of contents. It writes only texts,
//! and removes only texts and replaced renditions.

use streamgate_contracts::catalogue::v1::TextTrack;
use streamgate_contracts::storage::{Client, Listed, Listing, StorageError};

/// Maximum size of a content's text: the index of the thumbnails of a day is smaller.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// The objects of contents: `media/{id}/…`.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) storage: Client,
}

impl Media {
    pub(crate) fn new(storage: streamgate_plugin_api::Client) -> Self {
        Self { storage: Client::new(storage).below("media/") }
    }

    /// An object, if there is any.
    pub(crate) async fn any(&self) -> Result<Option<String>, StorageError> {
        let page = self.storage.list(&Listing { limit: 1, ..Listing::default() }).await?;
        Ok(page.objects.into_iter().next().map(|object| object.key))
    }

    /// All objects of a content, or its append sessions; `take` is called for each page.
    pub(crate) async fn of_content(
        &self,
        id: &str,
        unfinished: bool,
        mut take: impl FnMut(Listed),
    ) -> Result<(), StorageError> {
        let (prefix, mut after) = (format!("{id}/"), String::new());
        loop {
            let listing =
                Listing { prefix: &prefix, after: &after, incomplete: unfinished, ..Listing::default() };
            let page = self.storage.list(&listing).await?;
            page.objects.into_iter().for_each(&mut take);
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// The text of a small object; `None` if it is missing, or not text.
    pub(crate) async fn text(&self, key: &str) -> Result<Option<String>, StorageError> {
        let text = self.storage.get(key, MAX_TEXT_BYTES).await?;
        Ok(text.and_then(|text| String::from_utf8(text.into()).ok()))
    }

    /// The first path segments of keys after one, in order; objects outside of a folder; and where the next
    /// page begins.
    pub(crate) async fn names(
        &self,
        after: &str,
    ) -> Result<(Vec<String>, Vec<Listed>, Option<String>), StorageError> {
        let page = self.storage.list(&Listing { after, folders: true, ..Listing::default() }).await?;
        // A storage without delimiters lists all keys.
        let (keys, loose): (Vec<Listed>, _) =
            page.objects.into_iter().partition(|object| object.key.contains('/'));
        let keys = keys.into_iter().map(|object| object.key);
        let mut names: Vec<String> = keys.chain(page.prefixes).collect();
        for name in &mut names {
            name.truncate(name.find('/').unwrap_or(name.len()));
        }
        names.sort_unstable();
        names.dedup();
        Ok((names, loose, page.next))
    }

    /// Removes an object without a row. If that fails, `fsck` reports it.
    pub(crate) async fn remove(&self, key: &str) {
        log(key, self.storage.delete(key).await);
    }

    /// Removes all versions of a text without a row.
    pub(crate) async fn remove_text(&self, id: &str, name: &str) {
        let prefix = format!("{id}/{name}/");
        log(&prefix, self.storage.delete_all(&prefix).await.map(drop));
    }

    /// Removes the earlier versions of a text, except those to keep; also leftovers of a crash.
    pub(crate) async fn remove_versions(&self, id: &str, text: &TextTrack) {
        let mut old = Vec::new();
        let folder = format!("{id}/{}", text.name);
        let version = |key: &str| -> Option<u32> {
            key.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix(".vtt")?.parse().ok()
        };
        let stays = |version: u32| text.earlier.iter().any(|earlier| earlier.version == version);
        let take = |object: Listed| {
            if version(&object.key).is_some_and(|version| version < text.version && !stays(version)) {
                old.push(object.key);
            }
        };
        if let Err(error) = self.of_content(&folder, false, take).await {
            tracing::warn!(folder, %error, "old versions of a text could not be removed");
        }
        for key in old {
            self.remove(&key).await;
        }
    }
}

fn log(what: &str, removed: Result<(), StorageError>) {
    if let Err(error) = removed {
        tracing::warn!(what, %error, "an object could not be removed");
    }
}
