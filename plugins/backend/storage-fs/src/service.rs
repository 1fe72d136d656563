//! The capability `storage`: `GET`, `HEAD`, `PUT`, `PATCH` and `DELETE` on `http://storage/<bucket>/<key>`,
//! as a lean tower service. It interprets requests and builds responses; disk I/O happens elsewhere, on
//! blocking threads.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::conditional::{Validators, Verdict};
use streamgate_plugin_api::grants::{Access, Keeper};
use streamgate_plugin_api::range::Part;
use tokio::sync::{mpsc, oneshot};

use crate::block::Gather;
use crate::disk::Disk;
use crate::error::{Error, UPLOAD_OFFSET};
use crate::fence::{FENCE, Fence};
use crate::key::{Name, Target, check_bucket};
use crate::object::{self, Object, Objects, SMALL, Terms, Version};
use crate::session::{Append, Appended, Interrupt, Sessions};
use crate::sink::{self, Piece};
use crate::stream::{FileBody, read_exactly};

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_INCOMPLETE: HeaderName = HeaderName::from_static("upload-incomplete");
/// Bodies up to this size are buffered and written in one blocking call.
const SMALL_BODY: u64 = 1 << 20;
/// Objects of one page of a listing, maximum and default.
const PAGE: usize = 1000;

/// The storage contract on one root directory. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    objects: Arc<Objects>,
    sessions: Arc<Sessions>,
    disk: Arc<Disk>,
    keeper: Keeper,
}

impl Storage {
    pub(crate) fn new(
        objects: Arc<Objects>,
        sessions: Arc<Sessions>,
        disk: Arc<Disk>,
        keeper: Keeper,
    ) -> Self {
        Self { inner: Arc::new(Inner { objects, sessions, disk, keeper }) }
    }

    /// Answers one request of the storage contract; every failure is a problem (RFC 9457).
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        match self.inner.answer(request).await {
            Ok(response) => response,
            Err(error) => {
                let problem = error.problem();
                match error {
                    Error::Method(_) => problem.header(ALLOW, "GET, HEAD, PUT, PATCH, DELETE"),
                    _ => problem,
                }
                .into_http()
            }
        }
    }
}

impl tower::Service<Request<Body>> for Storage {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Objects in memory are answered at once, without a large future.
        if let Some(response) = self.inner.answer_from_memory(&request) {
            return Box::pin(std::future::ready(Ok(response)));
        }
        let storage = self.clone();
        Box::pin(async move { Ok(storage.handle(request).await) })
    }
}

impl Inner {
    /// A `GET` or `HEAD` of a small object in memory, checked against the file without waiting for a disk.
    fn answer_from_memory(&self, request: &Request<Body>) -> Option<Response<Body>> {
        if !self.objects.remembers()
            || !matches!(*request.method(), Method::GET)
            || request.headers().contains_key(UPLOAD_INCOMPLETE)
        {
            return None;
        }
        let Ok(Target::Object(name)) = Target::parse(request.uri().path()) else { return None };
        // An unauthorized caller is refused where all others are.
        self.keeper.ask(request.headers(), name.bucket(), Access::Read).ok()?;
        let object = self.objects.open_cached(&name)?;
        let data = self.objects.in_memory(&object.version)?;
        let (part, response) = head(request.method(), request.headers(), &object.version);
        Some(match part {
            Some((first, end)) => response.map(|()| data.slice(first as usize..end as usize).into()),
            None => response.map(|()| Body::empty()),
        })
    }

    async fn answer(self: &Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Error> {
        let target = Target::parse(request.uri().path())?;
        let (parts, body) = request.into_parts();
        let bucket = match &target {
            Target::Object(name) => name.bucket(),
            Target::Bucket(bucket) => bucket,
        };
        let fenced = match target {
            Target::Object(_) => matches!(parts.method, Method::PUT | Method::DELETE),
            Target::Bucket(_) => parts.method == Method::PUT,
        };
        if !fenced && parts.headers.contains_key(FENCE) {
            return Err(Error::Malformed("x-streamgate-fence is only for PUT and DELETE of an object"));
        }
        let access = if parts.method.is_safe() { Access::Read } else { Access::Write };
        self.keeper.ask(&parts.headers, bucket, access).map_err(Error::NotGranted)?;
        match (&parts.method, target) {
            (&Method::GET, Target::Object(name)) => self.get(name, &parts.method, &parts.headers).await,
            (&Method::HEAD, Target::Object(name)) if parts.headers.contains_key(UPLOAD_INCOMPLETE) => {
                let sessions = self.sessions.clone();
                let offset = blocking(move || sessions.offset(&name)).await?;
                Ok(appended(offset, None))
            }
            (&Method::HEAD, Target::Object(name)) => self.get(name, &parts.method, &parts.headers).await,
            (&Method::PUT, Target::Object(name)) => self.put(name, &parts.headers, body).await,
            (&Method::PATCH, Target::Object(name)) => self.patch(name, &parts.headers, body).await,
            (&Method::DELETE, Target::Object(name)) => self.delete(name, &parts.headers).await,
            (&Method::PUT, Target::Bucket(bucket)) => self.raise(bucket, &parts.headers).await,
            (&Method::GET, Target::Bucket(bucket)) => {
                self.list(bucket, parts.uri.query().unwrap_or_default()).await
            }
            (&Method::DELETE, Target::Bucket(bucket)) => {
                self.delete_below(bucket, parts.uri.query().unwrap_or_default()).await
            }
            (method, _) => Err(Error::Method(method.to_string())),
        }
    }

    async fn get(&self, name: Name, method: &Method, headers: &HeaderMap) -> Result<Response<Body>, Error> {
        let object = match self.objects.open_cached(&name) {
            Some(object) => object,
            None => {
                let objects = self.objects.clone();
                blocking(move || objects.open(&name)).await?
            }
        };
        let (part, response) = head(method, headers, &object.version);
        let body = match part {
            Some((first, end)) => self.read(object, first, end).await?,
            None => Body::empty(),
        };
        Ok(response.map(|()| body))
    }

    /// The bytes from `first` to `end`, exclusive.
    async fn read(&self, object: Object, first: u64, end: u64) -> Result<Body, Error> {
        if first == end {
            return Ok(Body::empty());
        }
        if object.version.size() <= SMALL && self.objects.remembers() {
            let objects = self.objects.clone();
            let data = match self.objects.in_memory(&object.version) {
                Some(data) => data,
                None => blocking(move || objects.read_whole(&object).map_err(Error::Io)).await?,
            };
            return Ok(data.slice(first as usize..end as usize).into());
        }
        if end - first <= SMALL_BODY {
            let read = move || read_exactly(&object.file, first, (end - first) as usize).map_err(Error::Io);
            return Ok(blocking(read).await?.into());
        }
        Ok(Body::new(FileBody::new(object.file, first, end)))
    }

    async fn put(&self, name: Name, headers: &HeaderMap, body: Body) -> Result<Response<Body>, Error> {
        let keep = match headers.get(IF_NONE_MATCH) {
            None => false,
            Some(value) if value == "*" => true,
            Some(_) => return Err(Error::Malformed("If-None-Match of a PUT must be '*' or absent")),
        };
        let terms = Terms { keep, fence: Fence::above(headers, &name)? };
        let length = announced(headers, &body)?;
        self.demand_room(length).await?;
        let objects = self.objects.clone();
        let (version, new) = if length.is_some_and(|length| length <= SMALL_BODY) {
            let data = collect(body, length.unwrap_or_default()).await?;
            blocking(move || objects.put(&name, data, &terms)).await?
        } else {
            let (send, receive) = sink::channel();
            let written = blocking(move || objects.put_stream(&name, receive, length, &terms));
            let (sent, written) = tokio::join!(pump(body, send, None, None), written);
            match (sent, written) {
                (Err(reason), Err(Error::Aborted { .. })) => {
                    return Err(Error::Aborted { reason, offset: None });
                }
                (_, written) => written?,
            }
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = if new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        response.headers_mut().insert(ETAG, etag(&version));
        Ok(response)
    }

    async fn patch(&self, name: Name, headers: &HeaderMap, body: Body) -> Result<Response<Body>, Error> {
        let offset = headers
            .get(UPLOAD_OFFSET)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .ok_or(Error::Malformed("PATCH needs Upload-Offset, the offset of its first byte"))?;
        let complete = match headers.get(UPLOAD_COMPLETE).map(HeaderValue::as_bytes) {
            None | Some(b"?0") => false,
            Some(b"?1") => true,
            Some(_) => return Err(Error::Malformed("Upload-Complete must be ?1 or ?0")),
        };
        let length = announced(headers, &body)?;
        self.demand_room(length).await?;
        let turn = self.sessions.turn(&name).await?;
        let interrupt = turn.interrupt();
        let (send, receive) = sink::channel();
        let (ready, begun) = oneshot::channel();
        let (sessions, objects) = (self.sessions.clone(), self.objects.clone());
        // One blocking job that owns the turn, so that a disconnecting caller leaves no partial change.
        let written = blocking(move || {
            let append = Append { offset, length, complete };
            let begun = sessions.begin(&turn, &name, &append)?;
            let _ = ready.send(begun.is_direct());
            sessions.append(&turn, &objects, &name, begun, &append, receive)
        });
        // The body is requested only once the offset is known to be right.
        let sent = async {
            match begun.await {
                Ok(true) => {
                    let gather = Gather::new(&self.sessions.blocks, send.clone(), offset);
                    pump(body, send, Some(gather), Some(interrupt)).await
                }
                Ok(false) => pump(body, send, None, Some(interrupt)).await,
                Err(_) => Ok(()),
            }
        };
        let (sent, written) = tokio::join!(sent, written);
        match (sent, written) {
            (Err(reason), Err(Error::Aborted { offset, .. })) => Err(Error::Aborted { reason, offset }),
            (_, Err(error)) => Err(error),
            (_, Ok(Appended { offset, object })) => Ok(appended(offset, object)),
        }
    }

    async fn delete(&self, name: Name, headers: &HeaderMap) -> Result<Response<Body>, Error> {
        let fence = Fence::above(headers, &name)?;
        let turn = self.sessions.turn(&name).await?;
        let (sessions, objects) = (self.sessions.clone(), self.objects.clone());
        blocking(move || {
            let _passed = fence.map(|fence| objects.fences().pass(&fence)).transpose()?;
            sessions.remove(&turn, &name)?;
            objects.tree().remove(name.path()).map_err(|error| Error::of(error, name.path()))
        })
        .await?;
        Ok(appended_nothing())
    }

    /// Puts a fence into force before anything is read or written under it.
    async fn raise(&self, bucket: String, headers: &HeaderMap) -> Result<Response<Body>, Error> {
        check_bucket(&bucket)?;
        let fence = Fence::of(headers, &bucket)?;
        let fence = fence.ok_or(Error::Malformed("PUT of a bucket needs x-streamgate-fence"))?;
        let objects = self.objects.clone();
        blocking(move || objects.fences().pass(&fence).map(drop)).await?;
        Ok(appended_nothing())
    }

    async fn list(&self, bucket: String, query: &str) -> Result<Response<Body>, Error> {
        check_bucket(&bucket)?;
        let prefix = parameter(query, "prefix").unwrap_or_default();
        let after = parameter(query, "after").unwrap_or_default();
        let limit = match parameter(query, "limit") {
            None => PAGE,
            Some(limit) => {
                limit.parse().map_err(|_| Error::Malformed("limit must be a number from 1 to 1000"))?
            }
        };
        let incomplete = parameter(query, "incomplete").is_some_and(|value| value == "true");
        let delimited = match parameter(query, "delimiter").as_deref() {
            None => false,
            Some("/") => true,
            Some(_) => return Err(Error::Malformed("delimiter is /")),
        };
        let (sessions, objects) = (self.sessions.clone(), self.objects.clone());
        let listing = blocking(move || {
            let tree = if incomplete { sessions.tree() } else { objects.tree() };
            object::list_as(tree, &bucket, &prefix, &after, limit.clamp(1, PAGE), delimited)
        })
        .await?;
        Ok(json(&listing))
    }

    async fn delete_below(&self, bucket: String, query: &str) -> Result<Response<Body>, Error> {
        check_bucket(&bucket)?;
        let prefix = parameter(query, "prefix")
            .ok_or(Error::Malformed("DELETE of a bucket needs prefix=; an empty one means all of it"))?;
        let mut deleted = 0;
        loop {
            let (sessions, bucket_, prefix_) = (self.sessions.clone(), bucket.clone(), prefix.clone());
            let page = blocking(move || object::list(sessions.tree(), &bucket_, &prefix_, "", PAGE)).await?;
            if page.objects.is_empty() {
                break;
            }
            for listed in page.objects {
                let name = Name::new(&bucket, &listed.key)?;
                let turn = self.sessions.turn(&name).await?;
                let sessions = self.sessions.clone();
                deleted += u64::from(blocking(move || sessions.remove(&turn, &name)).await?);
            }
        }
        let objects = self.objects.clone();
        deleted += blocking(move || {
            let deleted = object::delete_below(objects.tree(), &bucket, &prefix)?;
            // They have no objects any more.
            object::delete_below(objects.fences().tree(), &bucket, &prefix)?;
            Ok(deleted)
        })
        .await?;
        Ok(json(&serde_json::json!({ "deleted": deleted })))
    }

    /// Refuses a body that is known not to fit.
    async fn demand_room(&self, length: Option<u64>) -> Result<(), Error> {
        let length = length.unwrap_or(0);
        let disk = self.disk.clone();
        let fits = self.disk.surely_has_room_for(length)
            || blocking(move || disk.has_room_for(length).map_err(Error::Io)).await?;
        if fits { Ok(()) } else { Err(Error::Full { offset: None }) }
    }
}

/// The length of the body, if it is known.
fn announced(headers: &HeaderMap, body: &Body) -> Result<Option<u64>, Error> {
    let announced = match headers.get(CONTENT_LENGTH) {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|value| value.parse::<u64>().ok())
                .ok_or(Error::Malformed("Content-Length is not a number"))?,
        ),
    };
    Ok(announced.or_else(|| body.size_hint().exact()))
}

/// Runs `work` on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io(std::io::Error::other(error)))?
}

/// Sends a body to a sink, in blocks if there is a `gather`, until it ends, is interrupted (the text says
/// why) or another request wants the sink.
async fn pump(
    mut body: Body,
    send: mpsc::Sender<Piece>,
    mut gather: Option<Gather>,
    interrupt: Option<Interrupt>,
) -> Result<(), String> {
    let interrupted = async {
        match interrupt {
            Some(interrupt) => interrupt.asked().await,
            None => std::future::pending().await,
        }
    };
    let sending = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
            let taken = match &mut gather {
                _ if data.is_empty() => continue,
                Some(gather) => gather.put(&data).await.is_ok(),
                None => send.send(Piece::Data(data)).await.is_ok(),
            };
            if !taken {
                // The sink failed, and has the reason.
                return Ok(());
            }
        }
        if let Some(gather) = &mut gather {
            let _ = gather.flush();
        }
        let _ = send.send(Piece::End).await;
        Ok(())
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = interrupted => Err("another request took over".into()),
    }
}

/// A body of exactly `length` bytes, which are few.
async fn collect(mut body: Body, length: u64) -> Result<VecDeque<Bytes>, Error> {
    let aborted = |reason: String| Error::Aborted { reason, offset: None };
    let mut pieces = VecDeque::new();
    let mut came = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| aborted(error.to_string()))?.into_data() else { continue };
        came += data.len() as u64;
        if came > length {
            break;
        }
        pieces.push_back(data);
    }
    if came == length {
        Ok(pieces)
    } else {
        Err(aborted(format!("{came} bytes arrived, but {length} were announced")))
    }
}

/// Status and fields of the response to a `GET` or `HEAD`, and its bytes.
fn head(method: &Method, headers: &HeaderMap, version: &Version) -> (Option<(u64, u64)>, Response<()>) {
    let etag = etag(version);
    let size = version.size();
    let modified = UNIX_EPOCH + Duration::from_secs(version.modified_ms() / 1000);
    let validators = Validators { etag: Some(&etag), modified: Some(modified) };
    let mut response = Response::new(());
    let (status, length, carried) = match validators.judge(headers) {
        Verdict::NotModified => (StatusCode::NOT_MODIFIED, None, None),
        Verdict::Failed => (StatusCode::PRECONDITION_FAILED, Some(0), None),
        Verdict::Holds => {
            let part = Part::of(method, headers, &validators, size);
            response.headers_mut().extend(part.content_range(size).map(|range| (CONTENT_RANGE, range)));
            match part {
                Part::Whole => (StatusCode::OK, Some(size), Some((0, size))),
                Part::Slice(first, end) => {
                    (StatusCode::PARTIAL_CONTENT, Some(end - first), Some((first, end)))
                }
                Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, Some(0), None),
            }
        }
    };
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.extend(length.map(|length| (CONTENT_LENGTH, length.into())));
    fields.insert(ETAG, etag);
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(LAST_MODIFIED, value(httpdate::fmt_http_date(modified)));
    (carried.filter(|_| method == Method::GET), response)
}

fn etag(version: &Version) -> HeaderValue {
    value(version.etag())
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and punctuation are a field value")
}

fn appended(offset: u64, object: Option<Version>) -> Response<Body> {
    let mut response = appended_nothing();
    response.headers_mut().insert(UPLOAD_OFFSET, offset.into());
    if let Some(version) = object {
        response.headers_mut().insert(ETAG, etag(&version));
    }
    response
}

fn appended_nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let (_, value) =
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}
