//! The objects of one content in storage: the source as ranged reads, and what is
//! written next to it. Transient failures are retried here; nothing is cached.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use streamgate_contracts::fence;
use streamgate_plugin_api::{Body, Client};
use tokio::runtime::Handle;

use crate::source::Source;

/// How often a request is tried, with growing pauses between.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// One request may take this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// There is no such object.
    #[error("the object {0} does not exist")]
    Missing(String),
    /// A later run of the job writes here; says which object was refused.
    #[error("the storage refused to write {0}")]
    Superseded(String),
    /// The storage has no such request.
    #[error("the storage does not know {0}")]
    Unknown(Method),
    /// The storage is full.
    #[error("the storage is full")]
    Full,
    /// Anything else, after all tries.
    #[error("{method} {key}: {why}")]
    Failed {
        /// HTTP method.
        method: Method,
        /// Key within the bucket.
        key: String,
        /// Status or error.
        why: String,
    },
}

/// Objects below `media/{id}/`. Every write has the fence of the lease.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    storage: Client,
    content: String,
    /// 0: the queue gives none.
    fence: u64,
}

impl Objects {
    pub(crate) fn new(storage: Client, content: &str, fence: u64) -> Self {
        Self { storage, content: content.to_owned(), fence }
    }

    /// Makes the storage refuse earlier runs, before anything is read that they might still change.
    pub(crate) async fn take_over(&self) -> Result<(), ObjectError> {
        if self.fence == 0 {
            return Ok(());
        }
        let name = format!("anything below {}", self.content);
        match self.request(Method::PUT, "/media/", &name, None, Bytes::new(), 1 << 16).await {
            // The one of a build before, until it is swapped too.
            Err(ObjectError::Unknown(_)) => {
                tracing::warn!(
                    "the storage knows no fences: nothing stops an earlier run of a job from writing"
                );
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Bytes of the source.
    pub(crate) async fn source_size(&self) -> Result<u64, ObjectError> {
        let (parts, _) = self.send(Method::HEAD, "source", None, Bytes::new(), 0).await?;
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        length.ok_or_else(|| ObjectError::Failed {
            method: Method::HEAD,
            key: "source".to_owned(),
            why: "no Content-Length".to_owned(),
        })
    }

    /// A whole small object.
    pub(crate) async fn get(&self, name: &str) -> Result<Bytes, ObjectError> {
        Ok(self.send(Method::GET, name, None, Bytes::new(), 1 << 20).await?.1)
    }

    /// Writes or replaces an object.
    pub(crate) async fn put(&self, name: &str, data: Bytes) -> Result<(), ObjectError> {
        self.send(Method::PUT, name, None, data, 1 << 16).await.map(drop)
    }

    /// Removes an object.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ObjectError> {
        match self.send(Method::DELETE, name, None, Bytes::new(), 1 << 16).await {
            Ok(_) | Err(ObjectError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes every object of a content that is gone, and with them what is remembered of its fence.
    pub(crate) async fn remove_all(&self) -> Result<(), ObjectError> {
        let prefix = format!("/media/?prefix={}/", self.content);
        self.request(Method::DELETE, &prefix, "", None, Bytes::new(), 1 << 16).await.map(drop)
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes, ObjectError> {
        let range = format!("bytes={offset}-{}", offset + length as u64 - 1);
        Ok(self.send(Method::GET, "source", Some(range), Bytes::new(), length).await?.1)
    }

    async fn send(
        &self,
        method: Method,
        name: &str,
        range: Option<String>,
        data: Bytes,
        limit: usize,
    ) -> Result<(http::response::Parts, Bytes), ObjectError> {
        let path = format!("/media/{}/{name}", self.content);
        self.request(method, &path, name, range, data, limit).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        name: &str,
        range: Option<String>,
        data: Bytes,
        limit: usize,
    ) -> Result<(http::response::Parts, Bytes), ObjectError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let attempt = self.once(&method, path, range.as_deref(), data.clone(), limit);
            let result =
                tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_| Err("no answer".to_owned()));
            let why = match result {
                Ok((parts, body)) if parts.status.is_success() => return Ok((parts, body)),
                Ok((parts, _)) if parts.status == StatusCode::NOT_FOUND => {
                    return Err(ObjectError::Missing(name.to_owned()));
                }
                Ok((parts, _)) if parts.status == StatusCode::PRECONDITION_FAILED => {
                    return Err(ObjectError::Superseded(name.to_owned()));
                }
                Ok((parts, _)) if parts.status == StatusCode::METHOD_NOT_ALLOWED => {
                    return Err(ObjectError::Unknown(method));
                }
                // A full disk does not empty itself within a retry.
                Ok((parts, _)) if parts.status == StatusCode::INSUFFICIENT_STORAGE => {
                    return Err(ObjectError::Full);
                }
                Ok((parts, _)) => {
                    let status = parts.status;
                    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                        tries = TRIES;
                    }
                    format!("status {status}")
                }
                Err(why) => why,
            };
            if tries >= TRIES {
                return Err(ObjectError::Failed { method, key: name.to_owned(), why });
            }
            tries += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        range: Option<&str>,
        data: Bytes,
        limit: usize,
    ) -> Result<(http::response::Parts, Bytes), String> {
        let mut request = Request::builder().method(method).uri(format!("http://storage{path}"));
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        if *method == Method::PUT {
            request = request.header(header::CONTENT_LENGTH, data.len());
        }
        // Not with the removal of all that is below: of what is gone nobody has a run.
        if self.fence > 0 && !method.is_safe() && !path.contains('?') {
            request = request.header(fence::HEADER, format!("{}={}", self.content, self.fence));
        }
        let request = request.body(Body::from(data)).map_err(|error| error.to_string())?;
        let response = self.storage.send(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        if !parts.status.is_success() {
            return Ok((parts, Bytes::new()));
        }
        if range.is_some() && parts.status != StatusCode::PARTIAL_CONTENT {
            return Err(format!("status {} for a range", parts.status));
        }
        let body = body.collect_bytes(limit).await.map_err(|error| error.to_string())?;
        if range.is_some() && body.len() != limit {
            return Err(format!("{} bytes instead of {limit}", body.len()));
        }
        Ok((parts, body))
    }
}

/// The source of a content, for the engine's threads.
pub(crate) struct StoredSource {
    objects: Objects,
    size: u64,
    runtime: Handle,
}

impl StoredSource {
    /// `runtime` drives the requests; reads must come from threads that are not its own.
    pub(crate) fn new(objects: Objects, size: u64, runtime: Handle) -> Self {
        Self { objects, size, runtime }
    }
}

impl Source for StoredSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        self.runtime.block_on(self.objects.read(offset, length)).map_err(io::Error::other)
    }
}
