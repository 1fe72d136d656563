//! Segments, init segments and pictures from storage. Small immutable ones that are in demand stay in memory;
//! everything else streams through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use streamgate_contracts::storage::{Client, StorageError};
use streamgate_plugin_api::Body;

use crate::object::answer::{self, Entity};
use crate::object::path::ContentId;

/// Maximum concurrent loading into memory, in units of [`PERMIT`].
const PERMITS: usize = 1024;
const PERMIT: u64 = 64 << 10;

/// Request fields that are passed to storage for streamed objects.
const FORWARDED: [http::HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Why an object cannot be served.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("storage has no such object")]
    Missing,
    #[error("storage failed: {0}")]
    Unavailable(Arc<str>),
}

impl From<StorageError> for ObjectError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound(_) => Self::Missing,
            error => Self::unavailable(error),
        }
    }
}

impl ObjectError {
    fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable(reason.to_string().into())
    }
}

/// An object of bucket `media`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// `{id}/{rest of the path}`.
    pub(crate) key: &'a str,
    /// As stated by the catalogue; `None` if it does not state it, and if the bytes may change under the same
    /// name.
    pub(crate) bytes: Option<u32>,
    pub(crate) media_type: &'static str,
}

#[derive(Clone, Copy)]
struct ByBytes;

impl Weighter<String, Arc<Entity>> for ByBytes {
    fn weight(&self, key: &String, entity: &Arc<Entity>) -> u64 {
        // Header fields and bookkeeping take about half a kibibyte.
        (entity.body.len() + key.len() + 512) as u64
    }
}

/// Storage with the cache in front of it.
pub(crate) struct Objects {
    storage: Client,
    cache: Cache<String, Arc<Entity>, ByBytes>,
    /// Larger objects are not cached.
    max_object: u64,
    loads: tokio::sync::Semaphore,
    timeout: Duration,
}

impl Objects {
    pub(crate) fn new(
        storage: streamgate_plugin_api::Client,
        cache_bytes: u64,
        max_object: u64,
        timeout: Duration,
    ) -> Self {
        // Segments of half a mebibyte; few enough that a shard holds several large ones.
        let items = usize::try_from(cache_bytes >> 19).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self {
            storage: Client::new(storage).below("media/").within(timeout),
            cache: Cache::with_weighter(items, cache_bytes, ByBytes),
            max_object: max_object.min(cache_bytes / 8),
            loads: tokio::sync::Semaphore::new(PERMITS),
            timeout,
        }
    }

    /// The object, if it is in memory as the catalogue describes it.
    pub(crate) fn cached(&self, wanted: Wanted<'_>) -> Option<Arc<Entity>> {
        let bytes = wanted.bytes?;
        self.cache.get(wanted.key).filter(|entity| entity.body.len() as u64 == u64::from(bytes))
    }

    /// The answer to a GET or HEAD of this object.
    pub(crate) async fn answer(
        &self,
        wanted: Wanted<'_>,
        method: &Method,
        request: &HeaderMap,
    ) -> Result<Response<Body>, ObjectError> {
        match wanted.bytes {
            Some(bytes) if u64::from(bytes) <= self.max_object => {
                Ok(self.loaded(wanted, bytes).await?.answer(method, request))
            }
            _ => self.streamed(wanted, method, request).await,
        }
    }

    /// From memory, else from storage into memory; concurrent requests for the same object wait for one load.
    async fn loaded(&self, wanted: Wanted<'_>, bytes: u32) -> Result<Arc<Entity>, ObjectError> {
        let entity = self.cache.get_or_insert_async(wanted.key, self.load(wanted)).await?;
        if entity.body.len() as u64 == u64::from(bytes) {
            return Ok(entity);
        }
        // It was replaced after it had been loaded, or storage and catalogue differ.
        self.cache.remove(wanted.key);
        self.load(wanted).await
    }

    async fn load(&self, wanted: Wanted<'_>) -> Result<Arc<Entity>, ObjectError> {
        let permits = u64::from(wanted.bytes.unwrap_or_default()).div_ceil(PERMIT).clamp(1, PERMITS as u64);
        let loading = async {
            let _permit = self.loads.acquire_many(permits as u32).await.map_err(ObjectError::unavailable)?;
            let response = self.storage.fetch(&Method::GET, wanted.key, HeaderMap::new()).await?;
            let tag = response.headers().get(header::ETAG).cloned();
            let modified = response.headers().get(header::LAST_MODIFIED).cloned();
            let limit = usize::try_from(self.max_object).unwrap_or(usize::MAX);
            let body = response.into_body().collect_bytes(limit).await.map_err(ObjectError::unavailable)?;
            let tag = tag.filter(is_strong).unwrap_or_else(|| answer::etag_of(&body));
            let media_type = HeaderValue::from_static(wanted.media_type);
            Ok(Arc::new(Entity::new(body, media_type, answer::IMMUTABLE, tag).modified(modified)))
        };
        tokio::time::timeout(self.timeout, loading)
            .await
            .unwrap_or_else(|_| Err(ObjectError::unavailable(format!("not within {:?}", self.timeout))))
    }

    /// The whole of a small object that is not cached.
    pub(crate) async fn whole(&self, wanted: Wanted<'_>, limit: usize) -> Result<Bytes, ObjectError> {
        self.storage.get(wanted.key, limit).await?.ok_or(ObjectError::Missing)
    }

    /// Straight from storage, which applies ranges and preconditions itself.
    async fn streamed(
        &self,
        wanted: Wanted<'_>,
        method: &Method,
        request: &HeaderMap,
    ) -> Result<Response<Body>, ObjectError> {
        let mut fields = HeaderMap::new();
        for name in FORWARDED {
            let lines = request.get_all(&name).iter().map(HeaderValue::as_bytes);
            let lines = lines.collect::<Vec<_>>().join(&b", "[..]);
            // Storage takes one range; for several the whole object is sent, as from memory.
            let taken = !lines.is_empty() && (name != header::RANGE || !lines.contains(&b','));
            if let (true, Ok(value)) = (taken, HeaderValue::from_bytes(&lines)) {
                fields.insert(name, value);
            }
        }
        let response = self.storage.fetch(method, wanted.key, fields).await?;
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::PRECONDITION_FAILED {
            return Ok(answer::changed(parts.headers.get(header::ETAG)));
        }
        let mut head = HeaderMap::with_capacity(10);
        for name in answer::PASSED_ON {
            if let Some(value) = parts.headers.get(&name) {
                head.insert(name, value.clone());
            }
        }
        let cache_control = if wanted.bytes.is_some() { answer::IMMUTABLE } else { answer::PICTURE };
        head.insert(header::CACHE_CONTROL, cache_control);
        if parts.status.is_success() {
            head.insert(header::CONTENT_TYPE, HeaderValue::from_static(wanted.media_type));
        } else if let Some(value) = parts.headers.get(header::CONTENT_TYPE) {
            head.insert(header::CONTENT_TYPE, value.clone());
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        answer::allow_any_origin(&mut head);
        Ok(answer::respond(parts.status, head, body))
    }

    /// Drops every cached object of this content.
    pub(crate) fn forget(&self, id: ContentId) {
        let prefix = format!("{id}/");
        self.cache.retain(|key, _| !key.starts_with(&prefix));
    }
}

/// Ranges need a tag that identifies the exact bytes (RFC 9110 §8.8.1).
fn is_strong(tag: &HeaderValue) -> bool {
    tag.as_bytes().starts_with(b"\"")
}
