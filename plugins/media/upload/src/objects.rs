//! The `storage` capability as uploads need it: append sessions, and what comes of them.

use std::time::Duration;

use http::{HeaderName, Method, Request, Response, StatusCode, header};
use streamgate_plugin_api::{Body, Client};

use crate::fault::Fault;
use crate::protocol::UPLOAD_OFFSET;

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
/// For every call whose body is already at hand.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why storage did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageFault {
    #[error("the storage has only {have} bytes of the upload")]
    Gap { have: u64 },
    #[error("the storage is full")]
    Full { kept: Option<u64> },
    #[error("the storage {0}")]
    Unavailable(String),
}

impl From<StorageFault> for Fault {
    fn from(fault: StorageFault) -> Self {
        match fault {
            StorageFault::Full { .. } => Self::Full,
            StorageFault::Gap { .. } | StorageFault::Unavailable(_) => Self::Unavailable(fault.to_string()),
        }
    }
}

/// The storage. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    client: Client,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Appends a body at `offset`, cutting off what was beyond; answers up to where all is on
    /// disk. It waits as long as the body does: the caller ends the body, or drops this.
    pub(crate) async fn append<B>(&self, path: &str, offset: u64, body: B) -> Result<u64, StorageFault>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<streamgate_plugin_api::BoxError>,
    {
        let request = self.request(Method::PATCH, path).header(UPLOAD_OFFSET, offset);
        let answer = self.send(request.body(body)).await?;
        self.appended(&answer)
    }

    /// Makes an object of what was appended, all of which is there already.
    pub(crate) async fn complete(&self, path: &str, offset: u64) -> Result<(), StorageFault> {
        let request =
            self.request(Method::PATCH, path).header(UPLOAD_OFFSET, offset).header(UPLOAD_COMPLETE, "?1");
        let answer = self.soon(request.body(Body::empty())).await?;
        self.appended(&answer).map(drop)
    }

    /// The size of an object; none if there is no such object.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>, StorageFault> {
        let answer = self.soon(self.request(Method::HEAD, path).body(Body::empty())).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => match number(&answer, &header::CONTENT_LENGTH) {
                Some(size) => Ok(Some(size)),
                None => Err(StorageFault::Unavailable("did not tell an object's size".into())),
            },
            status => Err(unexpected(status)),
        }
    }

    /// The bytes of an object from an offset on; none if there is no such object.
    pub(crate) async fn read(&self, path: &str, from: u64) -> Result<Option<Body>, StorageFault> {
        let request = self.request(Method::GET, path).header(header::RANGE, format!("bytes={from}-"));
        let answer = self.soon(request.body(Body::empty())).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::PARTIAL_CONTENT => Ok(Some(answer.into_body())),
            StatusCode::OK if from == 0 => Ok(Some(answer.into_body())),
            status => Err(unexpected(status)),
        }
    }

    /// Removes an object and an unfinished one of the same path. Nothing there is no error.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), StorageFault> {
        let answer = self.soon(self.request(Method::DELETE, path).body(Body::empty())).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(unexpected(status)),
        }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://storage/{path}"))
    }

    async fn soon(&self, request: http::Result<Request<Body>>) -> Result<Response<Body>, StorageFault> {
        let answer = tokio::time::timeout(DEADLINE, self.send(request)).await;
        answer.map_err(|_| StorageFault::Unavailable("does not answer".into()))?
    }

    async fn send<B>(&self, request: http::Result<Request<B>>) -> Result<Response<Body>, StorageFault>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<streamgate_plugin_api::BoxError>,
    {
        let request =
            request.map_err(|error| StorageFault::Unavailable(format!("cannot be asked: {error}")))?;
        let answer = self.client.send(request).await;
        answer.map_err(|error| StorageFault::Unavailable(format!("is not available: {error}")))
    }

    fn appended(&self, answer: &Response<Body>) -> Result<u64, StorageFault> {
        let offset = number(answer, &UPLOAD_OFFSET);
        match answer.status() {
            status if status.is_success() => {
                offset.ok_or_else(|| StorageFault::Unavailable("did not tell its offset".into()))
            }
            StatusCode::CONFLICT => Err(StorageFault::Gap { have: offset.unwrap_or(0) }),
            StatusCode::INSUFFICIENT_STORAGE => Err(StorageFault::Full { kept: offset }),
            status => Err(unexpected(status)),
        }
    }
}

fn number(answer: &Response<Body>, name: &HeaderName) -> Option<u64> {
    answer.headers().get(name)?.to_str().ok()?.parse().ok()
}

fn unexpected(status: StatusCode) -> StorageFault {
    StorageFault::Unavailable(format!("answered {status}"))
}
