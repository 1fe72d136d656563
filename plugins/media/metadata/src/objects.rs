//! What the catalogue asks of `storage`: listings of `media/`, and the texts of contents. It writes nothing but texts,
//! and removes nothing but texts and renditions that were replaced.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde::Deserialize;
use streamgate_contracts::catalogue::v1::TextTrack;
use streamgate_plugin_api::{Body, Client};

/// How long a page may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// A page of 1,000 keys of at most 1,024 bytes, and what stands around them.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// A text of a content: the index of the thumbnails of a day has less.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// Why a listing cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the storage cannot be listed: {0}")]
pub(crate) struct Unlisted(String);

/// Why objects are not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the storage removes nothing: {0}")]
pub(crate) struct Unremoved(String);

/// Why an object is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    #[error("there is an object of this name")]
    There,
    #[error("there is no space left in storage")]
    Full,
    #[error("the text cannot be stored: {0}; try again")]
    Unavailable(String),
}

/// An object, or an append session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified_ms: i64,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    prefixes: Vec<String>,
    next: Option<String>,
}

/// The objects of contents: `media/{id}/…`.
#[derive(Debug, Clone)]
pub(crate) struct Media(Client);

impl Media {
    pub(crate) fn new(storage: Client) -> Self {
        Self(storage)
    }

    /// An object, if there is any.
    pub(crate) async fn any(&self) -> Result<Option<String>, Unlisted> {
        Ok(self.page("limit=1").await?.objects.into_iter().next().map(|object| object.key))
    }

    /// All objects of a content, or its append sessions; for each page `take`.
    pub(crate) async fn of_content(
        &self,
        id: &str,
        unfinished: bool,
        mut take: impl FnMut(Listed),
    ) -> Result<(), Unlisted> {
        let mut after = String::new();
        loop {
            let page =
                self.page(&format!("prefix={}/&after={after}&incomplete={unfinished}", encoded(id))).await?;
            page.objects.into_iter().for_each(&mut take);
            match page.next {
                Some(next) => after = encoded(&next),
                None => return Ok(()),
            }
        }
    }

    /// A small object's text; none if it is not there, or no text.
    pub(crate) async fn text(&self, key: &str) -> Result<Option<String>, Unlisted> {
        let request = Request::get(format!("http://storage/media/{}", encoded(key))).body(Body::empty());
        match self.answer(request, MAX_TEXT_BYTES).await? {
            Some(text) => Ok(String::from_utf8(text.into()).ok()),
            None => Ok(None),
        }
    }

    /// The first names of keys after one, in order; objects that are in no folder; and where the next page
    /// goes on.
    pub(crate) async fn names(
        &self,
        after: &str,
    ) -> Result<(Vec<String>, Vec<Listed>, Option<String>), Unlisted> {
        let page = self.page(&format!("delimiter=/&after={}", encoded(after))).await?;
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

    /// Writes an object that is not there yet.
    pub(crate) async fn put_new(&self, key: &str, data: Bytes) -> Result<(), Unwritten> {
        let failed = |error: &dyn std::fmt::Display| Unwritten::Unavailable(error.to_string());
        let request = Request::put(format!("http://storage/media/{}", encoded(key)))
            .header(header::IF_NONE_MATCH, "*")
            .header(header::CONTENT_LENGTH, data.len())
            .body(Body::from(data))
            .map_err(|error| failed(&error))?;
        let answer = tokio::time::timeout(DEADLINE, self.0.send(request)).await;
        let answer = answer.map_err(|_| failed(&"the storage does not answer"))?;
        match answer.map_err(|error| failed(&error))?.status() {
            StatusCode::PRECONDITION_FAILED => Err(Unwritten::There),
            StatusCode::INSUFFICIENT_STORAGE => Err(Unwritten::Full),
            status if status.is_success() => Ok(()),
            status => Err(failed(&status)),
        }
    }

    /// An object's bytes as they come; none: it is not there.
    pub(crate) async fn open(&self, key: &str) -> Result<Option<Body>, Unlisted> {
        let words = |error: &dyn std::fmt::Display| Unlisted(error.to_string());
        let request = Request::get(format!("http://storage/media/{}", encoded(key))).body(Body::empty());
        let request = request.map_err(|error| words(&error))?;
        let answer = tokio::time::timeout(DEADLINE, self.0.send(request)).await;
        let answer = answer.map_err(|_| words(&"it does not answer"))?.map_err(|error| words(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.into_body())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(words(&status)),
        }
    }

    /// Removes an object that no row names. It is told of by `fsck` if that fails.
    pub(crate) async fn remove(&self, key: &str) {
        self.delete(&encoded(key)).await;
    }

    /// Removes all versions of a text that no row names any more.
    pub(crate) async fn remove_text(&self, id: &str, name: &str) {
        self.delete(&format!("?prefix={}/", encoded(&format!("{id}/{name}")))).await;
    }

    /// Removes all objects in the folder of a rendition.
    pub(crate) async fn remove_folder(&self, id: &str, folder: &str) -> Result<(), Unremoved> {
        self.try_delete(&format!("?prefix={}/", encoded(&format!("{id}/{folder}")))).await
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

    async fn delete(&self, what: &str) {
        if let Err(error) = self.try_delete(what).await {
            tracing::warn!(what, %error, "an object is still there");
        }
    }

    async fn try_delete(&self, what: &str) -> Result<(), Unremoved> {
        let words = |error: &dyn std::fmt::Display| Unremoved(error.to_string());
        let request = Request::delete(format!("http://storage/media/{what}")).body(Body::empty());
        let request = request.map_err(|error| words(&error))?;
        let answer = tokio::time::timeout(DEADLINE, self.0.send(request)).await;
        let answer = answer.map_err(|_| words(&"it does not answer"))?.map_err(|error| words(&error))?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(words(&format!("it answered {status}"))),
        }
    }

    async fn page(&self, query: &str) -> Result<Page, Unlisted> {
        let request = Request::get(format!("http://storage/media/?{query}")).body(Body::empty());
        match self.answer(request, MAX_PAGE_BYTES).await? {
            Some(page) => serde_json::from_slice(&page).map_err(|error| Unlisted(error.to_string())),
            None => Ok(Page::default()),
        }
    }

    /// The body of a 200; none: it is not there.
    async fn answer(
        &self,
        request: Result<Request<Body>, http::Error>,
        most: usize,
    ) -> Result<Option<Bytes>, Unlisted> {
        let words = |error: &dyn std::fmt::Display| Unlisted(error.to_string());
        let request = request.map_err(|error| words(&error))?;
        let asking = async {
            let answer = self.0.send(request).await.map_err(|error| words(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect_bytes(most).await.map_err(|error| words(&error))?;
            match status {
                StatusCode::OK => Ok(Some(body)),
                StatusCode::NOT_FOUND => Ok(None),
                status => Err(words(&status)),
            }
        };
        let answer = tokio::time::timeout(DEADLINE, asking).await;
        answer.map_err(|_| Unlisted("it does not answer".into()))?
    }
}

/// A key as a query has it.
fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    key.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
