//! [`Client`]: objects and append sessions of the provider of `storage`. It has no cache and decides nothing:
//! a result is a value or a [`StorageError`].
//!
//! ```no_run
//! use streamgate_contracts::storage::Client;
//!
//! # async fn example(host: streamgate_plugin_api::Host) -> Result<(), streamgate_contracts::storage::StorageError> {
//! let media = Client::new(host.service("storage")).below("media/").retrying();
//! media.put("note/text", "one".into()).await?;
//! assert_eq!(media.get("note/text", 1 << 10).await?.as_deref(), Some(&b"one"[..]));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde::Deserialize;
use streamgate_plugin_api::{Body, BoxError, Client as Service};

use crate::fence;

/// The offset of an append; in an answer the bytes on disk.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// `?1`: the appended bytes become an object.
pub const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

/// Default deadline of a call.
const DEADLINE: Duration = Duration::from_secs(60);
/// Attempts of a retrying client. The first pause; each further one is twice as long.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A page of 1,000 keys of at most 1,024 bytes, and its overhead.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// An answer without content.
const MAX_ANSWER_BYTES: usize = 1 << 16;

/// Why the storage failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("the storage has no object {0}")]
    NotFound(String),
    /// The append session is shorter than the offset.
    #[error("the storage has only {have} bytes of the upload")]
    Gap {
        /// Bytes on disk.
        have: u64,
    },
    /// An object of this name exists, or a later run of a job writes here.
    #[error("the storage refused to write {0}")]
    PreconditionFailed(String),
    /// There is no space left.
    #[error("the storage is full")]
    Full {
        /// Of an append: bytes on disk.
        kept: Option<u64>,
    },
    /// A retry will not succeed.
    #[error("the storage answered {status} to {request}")]
    Refused {
        /// Method and path.
        request: String,
        /// A client error.
        status: StatusCode,
    },
    /// A retry may succeed.
    #[error("the storage {why} ({request})")]
    Unavailable {
        /// Method and path.
        request: String,
        /// What happened.
        why: String,
    },
}

impl StorageError {
    fn unavailable<B>(request: &Request<B>, why: impl fmt::Display) -> Self {
        Self::Unavailable { request: described(request), why: why.to_string() }
    }
}

/// An object, or an append session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// Its key in the bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified_ms: i64,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Page {
    /// In the order of their keys.
    pub objects: Vec<Listed>,
    /// For a listing of folders: the common prefixes.
    pub prefixes: Vec<String>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<String>,
}

/// The parameters of a listing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing<'a> {
    /// The prefix of the keys.
    pub prefix: &'a str,
    /// After this key.
    pub after: &'a str,
    /// Append sessions instead of objects.
    pub incomplete: bool,
    /// Folders instead of their content.
    pub folders: bool,
    /// Maximum keys of a page; 0: the storage's maximum.
    pub limit: u32,
}

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    service: Service,
    root: &'static str,
    deadline: Duration,
    tries: u32,
    pause: Duration,
    fence: Option<HeaderValue>,
}

impl Client {
    /// For the service of the capability `storage`. It makes one attempt, with a deadline of a minute.
    pub fn new(service: Service) -> Self {
        Self { service, root: "", deadline: DEADLINE, tries: 1, pause: FIRST_PAUSE, fence: None }
    }

    /// All keys are below this bucket, `media/`.
    #[must_use]
    pub fn below(self, root: &'static str) -> Self {
        Self { root, ..self }
    }

    /// The deadline of a call; for [`open`](Self::open) and [`fetch`](Self::fetch) up to the body.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Calls with all their bytes in memory are attempted six times in three seconds.
    #[must_use]
    pub fn retrying(self) -> Self {
        Self { tries: TRIES, ..self }
    }

    /// Every write carries this fence of a directory; 0 means none.
    #[must_use]
    pub fn fenced(self, scope: &str, fence: u64) -> Self {
        let fence = (fence > 0).then(|| HeaderValue::try_from(format!("{scope}={fence}")).ok()).flatten();
        Self { fence, ..self }
    }

    /// Puts the fence into force before anything is read or written under it.
    ///
    /// # Errors
    /// [`StorageError::Refused`] with status 405 if the storage does not support fences.
    pub async fn raise_fence(&self) -> Result<(), StorageError> {
        match &self.fence {
            Some(_) => self.done(self.request(Method::PUT, "", "", Bytes::new())?).await,
            None => Ok(()),
        }
    }

    /// The size of an object; `None` if there is no such object.
    ///
    /// # Errors
    /// If the storage does not state it.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StorageError> {
        let request = self.request(Method::HEAD, key, "", Bytes::new())?;
        let Some(answer) = found(self.whole(&request, 0).await)? else { return Ok(None) };
        let size = number(answer.headers(), &header::CONTENT_LENGTH);
        size.map(Some).ok_or_else(|| StorageError::unavailable(&request, "did not say an object's size"))
    }

    /// The whole of a small object; `None` if there is no such object.
    ///
    /// # Errors
    /// If the storage does not deliver it, or it has more than `most` bytes.
    pub async fn get(&self, key: &str, most: usize) -> Result<Option<Bytes>, StorageError> {
        let request = self.request(Method::GET, key, "", Bytes::new())?;
        Ok(found(self.whole(&request, most).await)?.map(Response::into_body))
    }

    /// An exact range of an object.
    ///
    /// # Errors
    /// If the storage does not deliver all of it.
    pub async fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Bytes, StorageError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut request = self.request(Method::GET, key, "", Bytes::new())?;
        set_range(&mut request, &format!("bytes={offset}-{}", offset + length as u64 - 1));
        Ok(self.whole(&request, length).await?.into_body())
    }

    /// The bytes of an object from an offset on, as a stream; `None` if there is no such object.
    ///
    /// # Errors
    /// If the storage does not answer.
    pub async fn open(&self, key: &str, from: u64) -> Result<Option<Body>, StorageError> {
        let mut request = self.request(Method::GET, key, "", Body::empty())?;
        if from > 0 {
            set_range(&mut request, &format!("bytes={from}-"));
        }
        let about = described(&request);
        let Some(answer) = found(self.soon(request).await)? else { return Ok(None) };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(Some(answer.into_body())),
            status if from == 0 && status.is_success() => Ok(Some(answer.into_body())),
            status => Err(StorageError::Unavailable { request: about, why: format!("answered {status}") }),
        }
    }

    /// The answer to a `GET` or `HEAD` with the ranges and preconditions of `fields`, with any of these
    /// statuses: 200, 206, 304, 412 or 416. `key` is as in a URI.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], and if the storage does not answer.
    pub async fn fetch(
        &self,
        method: &Method,
        key: &str,
        fields: HeaderMap,
    ) -> Result<Response<Body>, StorageError> {
        let mut request = self.request(method.clone(), key, "", Body::empty())?;
        *request.headers_mut() = fields;
        self.soon(request).await
    }

    /// Writes or replaces an object.
    ///
    /// # Errors
    /// [`StorageError::PreconditionFailed`] if a later fence is in force.
    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), StorageError> {
        self.done(self.request(Method::PUT, key, "", data)?).await
    }

    /// Writes an object that must not exist.
    ///
    /// # Errors
    /// [`StorageError::PreconditionFailed`] if it exists.
    pub async fn put_new(&self, key: &str, data: Bytes) -> Result<(), StorageError> {
        let mut request = self.request(Method::PUT, key, "", data)?;
        request.headers_mut().insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        self.done(request).await
    }

    /// Removes an object and an append session of the same key. Missing ones are no error.
    ///
    /// # Errors
    /// If they may still exist.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        found(self.done(self.request(Method::DELETE, key, "", Bytes::new())?).await).map(drop)
    }

    /// Removes everything with a prefix, and returns the number. Not fenced: nothing runs for deleted
    /// contents.
    ///
    /// # Errors
    /// If something may still exist.
    pub async fn delete_all(&self, prefix: &str) -> Result<u64, StorageError> {
        let query = format!("?prefix={}", Encoded(prefix));
        let request = self.request(Method::DELETE, "", &query, Bytes::new())?;
        let answer = found(self.whole(&request, MAX_ANSWER_BYTES).await)?.map(Response::into_body);
        let answer: serde_json::Value =
            serde_json::from_slice(&answer.unwrap_or_default()).unwrap_or_default();
        Ok(answer["deleted"].as_u64().unwrap_or(0))
    }

    /// A page of keys, in order.
    ///
    /// # Errors
    /// If the storage does not list them.
    pub async fn list(&self, listing: &Listing<'_>) -> Result<Page, StorageError> {
        let mut query = format!("?prefix={}&after={}", Encoded(listing.prefix), Encoded(listing.after));
        if listing.incomplete {
            query.push_str("&incomplete=true");
        }
        if listing.folders {
            query.push_str("&delimiter=/");
        }
        if listing.limit > 0 {
            query.push_str(&format!("&limit={}", listing.limit));
        }
        let request = self.request(Method::GET, "", &query, Bytes::new())?;
        match found(self.whole(&request, MAX_PAGE_BYTES).await)? {
            Some(page) => serde_json::from_slice(page.body())
                .map_err(|error| StorageError::unavailable(&request, format!("sent no listing: {error}"))),
            None => Ok(Page::default()),
        }
    }

    /// Appends a body at `offset` and truncates what was beyond; returns the offset up to which everything is
    /// on disk. It takes as long as the body does: the caller ends the body, or drops this.
    ///
    /// # Errors
    /// [`StorageError::Gap`] if the session is not at `offset` yet.
    pub async fn append<B>(&self, key: &str, offset: u64, body: B) -> Result<u64, StorageError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = self.request(Method::PATCH, key, "", body)?;
        request.headers_mut().insert(UPLOAD_OFFSET, offset.into());
        let about = described(&request);
        let answer = self.send(request).await?;
        let offset = number(answer.headers(), &UPLOAD_OFFSET);
        offset.ok_or(StorageError::Unavailable { request: about, why: "did not say its offset".into() })
    }

    /// Makes the appended bytes, which are `offset` in number, an object.
    ///
    /// # Errors
    /// [`StorageError::Gap`] if there are fewer.
    pub async fn complete(&self, key: &str, offset: u64) -> Result<(), StorageError> {
        let mut request = self.request(Method::PATCH, key, "", Body::empty())?;
        request.headers_mut().insert(UPLOAD_OFFSET, offset.into());
        request.headers_mut().insert(UPLOAD_COMPLETE, HeaderValue::from_static("?1"));
        self.soon(request).await.map(drop)
    }

    fn request<B>(
        &self,
        method: Method,
        key: &str,
        query: &str,
        body: B,
    ) -> Result<Request<B>, StorageError> {
        let uri = format!("http://storage/{}{}{query}", self.root, Encoded(key));
        let writes = matches!(method, Method::PUT | Method::DELETE) && query.is_empty();
        let fence = self.fence.clone().filter(|_| writes);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            Uri::try_from(uri).map_err(|error| StorageError::unavailable(&request, error))?;
        if let Some(fence) = fence {
            request.headers_mut().insert(fence::HEADER, fence);
        }
        Ok(request)
    }

    async fn done(&self, request: Request<Bytes>) -> Result<(), StorageError> {
        self.whole(&request, MAX_ANSWER_BYTES).await.map(drop)
    }

    /// Sends a request until it is answered, and reads the whole body of the answer.
    async fn whole(&self, request: &Request<Bytes>, most: usize) -> Result<Response<Bytes>, StorageError> {
        let (mut pause, mut left) = (self.pause, self.tries);
        loop {
            left = left.saturating_sub(1);
            let late = |_| Err(StorageError::unavailable(request, "does not answer"));
            match tokio::time::timeout(self.deadline, self.once(request, most)).await.unwrap_or_else(late) {
                Err(StorageError::Unavailable { .. }) if left > 0 => tokio::time::sleep(pause).await,
                done => return done,
            }
            pause *= 2;
        }
    }

    async fn once(&self, request: &Request<Bytes>, most: usize) -> Result<Response<Bytes>, StorageError> {
        let mut sent = request.clone().map(Body::from);
        if request.method() == Method::PUT {
            sent.headers_mut().insert(header::CONTENT_LENGTH, request.body().len().into());
        }
        let broken = |why: String| StorageError::unavailable(request, why);
        let (parts, body) = self.send(sent).await?.into_parts();
        let body =
            body.collect_bytes(most).await.map_err(|error| broken(format!("was interrupted: {error}")))?;
        if request.headers().contains_key(header::RANGE)
            && (parts.status != StatusCode::PARTIAL_CONTENT || body.len() != most)
        {
            return Err(broken(format!("answered {} with {} bytes of {most}", parts.status, body.len())));
        }
        Ok(Response::from_parts(parts, body))
    }

    async fn soon(&self, request: Request<Body>) -> Result<Response<Body>, StorageError> {
        let about = (request.method().clone(), request.uri().clone());
        let answer = tokio::time::timeout(self.deadline, self.send(request)).await;
        answer.unwrap_or_else(|_| {
            let why = format!("does not answer within {:?}", self.deadline);
            Err(StorageError::Unavailable { request: named(&about.0, &about.1), why })
        })
    }

    async fn send<B>(&self, request: Request<B>) -> Result<Response<Body>, StorageError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.service.send(request).await;
        let answer = answer.map_err(|error| StorageError::Unavailable {
            request: named(&method, &uri),
            why: format!("is not available: {error}"),
        })?;
        judged(&method, &uri, answer)
    }
}

/// The error for the status of an answer.
fn judged(method: &Method, uri: &Uri, answer: Response<Body>) -> Result<Response<Body>, StorageError> {
    let offset = number(answer.headers(), &UPLOAD_OFFSET);
    let key = || uri.path().trim_start_matches('/').to_owned();
    Err(match answer.status() {
        status if status.is_success() => return Ok(answer),
        StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(answer),
        StatusCode::PRECONDITION_FAILED if method.is_safe() => return Ok(answer),
        StatusCode::PRECONDITION_FAILED => StorageError::PreconditionFailed(key()),
        StatusCode::NOT_FOUND => StorageError::NotFound(key()),
        StatusCode::CONFLICT if method == Method::PATCH => StorageError::Gap { have: offset.unwrap_or(0) },
        // A full disk does not become free within a retry.
        StatusCode::INSUFFICIENT_STORAGE => StorageError::Full { kept: offset },
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            StorageError::Refused { request: named(method, uri), status }
        }
        status => {
            StorageError::Unavailable { request: named(method, uri), why: format!("answered {status}") }
        }
    })
}

fn found<T>(result: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match result {
        Err(StorageError::NotFound(_)) => Ok(None),
        result => result.map(Some),
    }
}

fn set_range<B>(request: &mut Request<B>, range: &str) {
    request.headers_mut().extend(HeaderValue::from_str(range).map(|range| (header::RANGE, range)));
}

fn number(fields: &HeaderMap, name: &HeaderName) -> Option<u64> {
    fields.get(name)?.to_str().ok()?.parse().ok()
}

fn described<B>(request: &Request<B>) -> String {
    named(request.method(), request.uri())
}

fn named(method: &Method, uri: &Uri) -> String {
    format!("{method} {}", uri.path().trim_start_matches('/'))
}

/// A key in the form of a URI.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        self.0.bytes().try_for_each(|byte| match plain(byte) {
            true => fmt::Write::write_char(f, char::from(byte)),
            false => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests;
