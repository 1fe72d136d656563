//! What the catalogue asks of `storage`: listings of `media/`, and the texts of contents. It writes nothing but texts,
//! and removes nothing but texts and renditions that were replaced.

use streamgate_contracts::catalogue::v1::TextTrack;
use streamgate_contracts::storage::{Client, Listed, Listing, StorageError};

/// A text of a content: the index of the thumbnails of a day has less.
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

    /// All objects of a content, or its append sessions; for each page `take`.
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

    /// A small object's text; none if it is not there, or no text.
    pub(crate) async fn text(&self, key: &str) -> Result<Option<String>, StorageError> {
        let text = self.storage.get(key, MAX_TEXT_BYTES).await?;
        Ok(text.and_then(|text| String::from_utf8(text.into()).ok()))
    }

    /// The first names of keys after one, in order; objects that are in no folder; and where the next page
    /// goes on.
    pub(crate) async fn names(
        &self,
        after: &str,
    ) -> Result<(Vec<String>, Vec<Listed>, Option<String>), StorageError> {
        let page = self.storage.list(&Listing { after, folders: true, ..Listing::default() }).await?;
        // A storage that knows no delimiter lists all keys.
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

    /// Removes an object that no row names. It is told of by `fsck` if that fails.
    pub(crate) async fn remove(&self, key: &str) {
        log(key, self.storage.delete(key).await);
    }

    /// Removes all versions of a text that no row names any more.
    pub(crate) async fn remove_text(&self, id: &str, name: &str) {
        let prefix = format!("{id}/{name}/");
        log(&prefix, self.storage.delete_all(&prefix).await.map(drop));
    }

    /// Removes the versions of a text before the present one, but for those that it says are to stay; also such as a
    /// crash left over.
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
            tracing::warn!(folder, %error, "old versions of a text are still there");
        }
        for key in old {
            self.remove(&key).await;
        }
    }
}

fn log(what: &str, removed: Result<(), StorageError>) {
    if let Err(error) = removed {
        tracing::warn!(what, %error, "an object is still there");
    }
}
