//! What the catalogue asks of `storage`: listings of `media/`. It writes nothing.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
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
