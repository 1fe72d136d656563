//! One direction of requests between the two processes: [`Peer`] sends them, [`answer`] passes a received one
//! to its service.

use std::future::Future;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_ffi::FutureExt;
use bytes::{Bytes, BytesMut};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use streamgate_plugin_api::trace::{CROSSINGS, TRACEPARENT, TraceContext, crossings};
use streamgate_plugin_api::{Problem, abi, problems};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::body::{Gone, Outgoing, is_of_one_request, to_abi};
use crate::head;
use crate::permits::{Denied, Permit, Permits};
use crate::wire::{
    CONNECTION_WINDOW, FRAME, HEADERS, MAX_MESSAGE, RESETS, SEND_BUFFER, STREAM_WINDOW, STREAMS,
};

/// The sending end.
pub(crate) struct Peer {
    sender: SendRequest<Outgoing>,
    /// Requests of plugins and their bodies.
    permits: Permits,
    open: Arc<Open>,
    obituary: Gone,
    /// The answering side, for people.
    name: String,
}

#[derive(Default)]
struct Open {
    count: AtomicUsize,
    idle: Notify,
}

/// One request in progress, its body included.
struct UnderWay(Arc<Open>, #[allow(dead_code)] Permit);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

fn io(socket: UnixStream) -> std::io::Result<TokioIo<tokio::net::UnixStream>> {
    socket.set_nonblocking(true)?;
    Ok(TokioIo::new(tokio::net::UnixStream::from_std(socket)?))
}

impl Peer {
    /// Opens the connection. The future drives the connection, and ends with it: with an error unless the
    /// other side closed it.
    pub(crate) async fn connect(
        socket: UnixStream,
        name: &str,
        obituary: Gone,
    ) -> Result<(Arc<Self>, impl Future<Output = Result<(), String>> + Send + 'static), String> {
        let io = io(socket).map_err(|error| error.to_string())?;
        let handshake = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS as usize)
            .max_frame_size(FRAME)
            .max_header_list_size(HEADERS)
            .max_send_buf_size(SEND_BUFFER)
            .max_local_error_reset_streams(None)
            .handshake(io);
        let (sender, connection) = handshake.await.map_err(|error| error.to_string())?;
        let peer =
            Self { sender, permits: Permits::new(), open: Arc::default(), obituary, name: name.to_owned() };
        Ok((Arc::new(peer), async move { connection.await.or_else(broke) }))
    }

    /// A service of the other side, as this side exposes it.
    pub(crate) fn service(
        self: &Arc<Self>,
        to: Authority,
        field: Option<header::HeaderValue>,
    ) -> abi::Service {
        abi::Service::new(Remote { peer: self.clone(), to, field })
    }

    /// Waits until no request of a plugin is in progress.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.open.idle.notified();
            if self.open.count.load(SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Nothing is sent from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    fn missing(&self, reason: &str) -> abi::Response {
        let name = &self.name;
        Problem::of(problems::PLUGIN_DOWN)
            .detail(format!("{name} {reason}."))
            .with("plugin", name.as_str())
            .header(header::RETRY_AFTER, "1")
            .into_abi()
    }

    fn busy(&self) -> abi::Response {
        let name = &self.name;
        Problem::of(problems::PLUGIN_BUSY)
            .detail(format!(
                "{name} has the maximum number of requests in progress, and none ended in time, or too many \
                 wait already. Try again in a moment."
            ))
            .with("plugin", name.as_str())
            .header(header::RETRY_AFTER, "1")
            .into_abi()
    }

    fn broken(&self, reason: &str) -> abi::Response {
        let name = &self.name;
        Problem::of(problems::PLUGIN_DIED)
            .detail(format!("{name} {reason} while it answered this request."))
            .with("plugin", name.as_str())
            .into_abi()
    }

    async fn call(
        self: Arc<Self>,
        to: Authority,
        field: Option<header::HeaderValue>,
        request: abi::Request,
    ) -> abi::Response {
        let mut parts = match request.head.decode() {
            Ok(parts) => parts,
            Err(error) => return garbled(&error.to_string()),
        };
        let crossings = crossings(&parts.headers);
        let permit = match self.permits.take(crossings).await {
            Ok(permit) => permit,
            Err(Denied::Busy) => return self.busy(),
            Err(Denied::Closed) => {
                let reason = self.obituary.known().unwrap_or_else(|| "has stopped".to_owned());
                return self.missing(&reason);
            }
        };
        self.open.count.fetch_add(1, SeqCst);
        let under_way = UnderWay(self.open.clone(), permit);
        parts.headers.insert(CROSSINGS, u16::from(crossings.saturating_add(1)).into());
        // The count travels with the trace from request to request.
        if !parts.headers.contains_key(TRACEPARENT) {
            parts.headers.insert(TRACEPARENT, TraceContext::random().to_header());
        }
        let is_stream = parts.method == Method::CONNECT;
        if let Err(reason) = head::request_out(&mut parts, &to) {
            return garbled(reason);
        }
        if let Some(field) = field {
            parts.headers.insert(crate::wire::MOUNT_FIELD, field);
        }
        let answered = CancellationToken::new();
        let body = match is_stream {
            false => Outgoing::crossed(request.body),
            true => Outgoing::until(request.body, answered.clone().cancelled_owned()),
        };
        let request = Request::from_parts(parts, body);
        let held = Box::new((under_way, answered.drop_guard()));
        match self.sender.clone().send_request(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                head::response_in(&mut parts);
                abi::Response {
                    head: abi::ResponseHead::encode(&parts),
                    body: to_abi(body, &self.obituary, Some(held)),
                }
            }
            // It was never sent.
            Err(error) if error.is_canceled() => self.missing(&self.obituary.wait().await),
            Err(error) if is_of_one_request(&error) => self.broken(&format!("was interrupted ({error})")),
            Err(_) => self.broken(&self.obituary.wait().await),
        }
    }

    /// A request to the other side itself, answered with a message. The error is its text, or how it ended.
    pub(crate) async fn ask(
        &self,
        to: &'static str,
        path: &'static str,
        body: Outgoing,
    ) -> Result<Bytes, String> {
        let response = self.open(to, path, body).await?;
        collect(response.into_body()).await
    }

    /// The same with a streaming response.
    pub(crate) async fn open(
        &self,
        to: &'static str,
        path: &'static str,
        body: Outgoing,
    ) -> Result<Response<Incoming>, String> {
        let uri = http::Uri::builder().scheme("http").authority(to).path_and_query(path).build();
        let uri = uri.map_err(|error| error.to_string())?;
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, uri);
        let response = match self.sender.clone().send_request(request).await {
            Ok(response) => response,
            Err(_) => return Err(format!("{} {}", self.name, self.obituary.wait().await)),
        };
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let text = collect(response.into_body()).await?;
        Err(String::from_utf8_lossy(&text).into_owned())
    }
}

fn garbled(reason: &str) -> abi::Response {
    Problem::of(problems::BOUNDARY).detail(format!("The request was invalid: {reason}")).into_abi()
}

/// The whole of a message between the two sides, of bounded length.
pub(crate) async fn collect(mut body: Incoming) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > MAX_MESSAGE {
                return Err("the message is longer than 16 MiB".to_owned());
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

struct Remote {
    peer: Arc<Peer>,
    to: Authority,
    field: Option<header::HeaderValue>,
}

impl abi::CallService for Remote {
    fn call(&self, request: abi::Request) -> abi::FfiFuture<abi::Response> {
        self.peer.clone().call(self.to.clone(), self.field.clone(), request).into_ffi()
    }
}

/// The receiving end: answers requests until the connection ends.
pub(crate) async fn serve<H, F>(socket: UnixStream, handler: H) -> Result<(), String>
where
    H: Fn(Authority, request::Parts, Incoming) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Outgoing>> + Send + 'static,
{
    let io = io(socket).map_err(|error| error.to_string())?;
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(None)
        .auto_date_header(false)
        .serve_connection(
            io,
            service_fn(move |request: Request<Incoming>| {
                let (mut parts, body) = request.into_parts();
                let answer = head::request_in(&mut parts).map(|to| handler(to, parts, body));
                async move {
                    let response = match answer {
                        Some(answer) => answer.await,
                        None => refused(StatusCode::BAD_REQUEST, "the request has no addressee"),
                    };
                    Ok::<_, std::convert::Infallible>(response)
                }
            }),
        );
    connection.await.or_else(broke)
}

/// Why a connection failed that neither side closed.
fn broke(error: hyper::Error) -> Result<(), String> {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>().filter(|error| !error.is_io()) {
            return Err(error.to_string());
        }
        cause = error.source();
    }
    Ok(())
}

/// Calls a service of this side.
pub(crate) async fn answer(
    service: abi::Service,
    parts: request::Parts,
    body: Incoming,
    gone: &Gone,
) -> Response<Outgoing> {
    let request = abi::Request { head: abi::RequestHead::encode(&parts), body: to_abi(body, gone, None) };
    let response = service.call(request).await;
    match response.head.decode() {
        Ok(mut parts) if parts.status.as_u16() >= 200 => {
            head::response_out(&mut parts);
            Response::from_parts(parts, Outgoing::crossed(response.body))
        }
        Ok(parts) => problem(
            Problem::of(problems::BOUNDARY.with_status(StatusCode::BAD_GATEWAY))
                .detail(format!("{} does not end an exchange between processes.", parts.status)),
        ),
        Err(error) => {
            problem(Problem::of(problems::BOUNDARY).detail(format!("The response was invalid: {error}")))
        }
    }
}

pub(crate) fn problem(problem: Problem) -> Response<Outgoing> {
    let response = problem.into_abi();
    match response.head.decode() {
        Ok(parts) => Response::from_parts(parts, Outgoing::crossed(response.body)),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Our own error message.
pub(crate) fn refused(status: StatusCode, reason: &str) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::full(reason.to_owned()));
    *response.status_mut() = status;
    response
}

/// The result of one of our own requests.
pub(crate) fn reply(result: Result<Bytes, String>) -> Response<Outgoing> {
    match result {
        Ok(answer) => Response::new(Outgoing::full(answer)),
        Err(reason) => refused(StatusCode::UNPROCESSABLE_ENTITY, &reason),
    }
}

/// The authority of a capability.
pub(crate) fn capability(name: &str) -> Result<Authority, String> {
    format!("{name}{}", crate::wire::CAPABILITY)
        .parse()
        .map_err(|_| format!("`{name}` is not the name of a capability"))
}
