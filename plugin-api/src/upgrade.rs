//! Requests that become a stream of bytes both ways, such as a WebSocket, in the shape of RFC 8441: the method CONNECT
//! with a protocol. What the caller sends is the request's body, and what the plugin sends is the body of a 2xx answer.
//! Both flow at once; the end of the answer's body ends both.
//!
//! A handler finds what it finds on hyper's own server among the request's extensions: [`hyper::ext::Protocol`] and
//! [`hyper::upgrade::OnUpgrade`]. So `axum::extract::WebSocketUpgrade` works as it does elsewhere:
//!
//! ```ignore
//! async fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(async |mut socket| {
//!         while let Some(Ok(message)) = socket.recv().await {
//!             if socket.send(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     })
//! }
//! // `any`, since the method is CONNECT.
//! host.serve(Router::new().route("/echo", any(echo)));
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, request};
use http_body::{Body as _, Frame};
use hyper::ext::Protocol;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard, PollSender, WaitForCancellationFutureOwned};
use tower::{Service, ServiceExt};

use crate::{Body, BoxError, Problem, problems};

/// The protocol of a request, as the head carries it across the boundary, and of an answer that takes the request up. A
/// plugin that does not know the field answers without it, and its caller does not take that for a stream. Clients
/// cannot set it ([`crate::principal::PREFIX`]).
pub const PROTOCOL: HeaderName = HeaderName::from_static("x-streamgate-protocol");

/// Pieces on their way to the caller, and the most bytes of each.
const PIECES: usize = 4;
const PIECE: usize = 64 << 10;

/// What hyper is made to read, so that it makes an `OnUpgrade`, which has no other constructor.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: stream\r\n\r\n";
/// How what it writes before the stream begins ends.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Whether an answer with these fields takes a request up: its body is what the plugin sends.
pub fn is_taken_up(headers: &HeaderMap) -> bool {
    headers.contains_key(PROTOCOL)
}

/// Puts the protocol of a request that is sent into its head.
pub(crate) fn put_on(parts: &mut request::Parts) {
    if parts.method == Method::CONNECT
        && let Some(protocol) = parts.extensions.get::<Protocol>()
        && let Ok(value) = HeaderValue::from_bytes(protocol.as_ref())
    {
        parts.headers.insert(PROTOCOL, value);
    }
}

/// A service that answers such requests, and all others, with what `S` makes of them.
pub(crate) struct Upgrading<S>(pub(crate) Arc<S>);

impl<S> Clone for Upgrading<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, B> Service<http::Request<Body>> for Upgrading<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = S::clone(&self.0);
        Box::pin(answer(request, move |request| async move {
            match service.oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(never) => match never {},
            }
        }))
    }
}

/// Lets `handler` answer a request with an upgrade to a stream that is made of its body and the answer's. hyper's
/// connection is only there for that: it reads and writes one head, in memory, and hands the stream over.
async fn answer<F>(
    request: http::Request<Body>,
    handler: impl FnOnce(http::Request<Body>) -> F,
) -> Result<http::Response<Body>, Infallible>
where
    F: Future<Output = http::Response<Body>>,
{
    let (mut parts, incoming) = request.into_parts();
    let protocol = parts.headers.remove(PROTOCOL).filter(|_| parts.method == Method::CONNECT);
    let Some(protocol) = protocol else {
        return Ok(handler(http::Request::from_parts(parts, incoming)).await);
    };
    let (stream, outgoing) = Stream::new(incoming);
    let (offer, offered) = oneshot::channel();
    let (accept, accepted) = oneshot::channel::<()>();
    let once = Mutex::new(Some((offer, accepted)));
    let switch = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let once = once.lock().take();
        async move {
            if let Some((offer, accepted)) = once {
                let _ = offer.send(hyper::upgrade::on(&mut request));
                let _ = accepted.await;
            }
            let mut response = http::Response::new(http_body_util::Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new().header_read_timeout(None).serve_connection(stream, switch);
    let mut connection = pin!(connection.with_upgrades());
    let on_upgrade = tokio::select! {
        offered = offered => offered.ok(),
        _ = &mut connection => None,
    };
    let Some(on_upgrade) = on_upgrade else { return Ok(failed()) };
    parts.extensions.insert(on_upgrade);
    parts.extensions.insert(Protocol::from(protocol.to_str().unwrap_or_default()));
    // As what it is the shape of: extractors ask for the fields of HTTP/1.1 else.
    parts.version = Version::HTTP_2;
    let response = handler(http::Request::from_parts(parts, Body::empty())).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let _ = accept.send(());
    let _ = connection.await;
    // The handler let go of the upgrade: it has answered without knowing what it was.
    if outgoing.pieces.is_closed() && outgoing.pieces.is_empty() {
        return Ok(response);
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(PROTOCOL, protocol);
    Ok(http::Response::from_parts(parts, Body::new(outgoing)))
}

fn failed() -> http::Response<Body> {
    Problem::of(problems::INTERNAL_ERROR).detail("The request could not be made a stream.").into_http()
}

/// The plugin's end of the bytes.
struct Stream {
    /// What hyper has not read yet of its own.
    head: &'static [u8],
    /// hyper has written its own, and the stream has begun.
    open: bool,
    incoming: Body,
    /// What was not read yet of the last piece.
    left: Bytes,
    outgoing: PollSender<Bytes>,
    /// That the caller does not read the answer any more.
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The body of the answer.
struct Outgoing {
    pieces: mpsc::Receiver<Bytes>,
    _gone: DropGuard,
}

impl Stream {
    fn new(incoming: Body) -> (Self, Outgoing) {
        let (outgoing, pieces) = mpsc::channel(PIECES);
        let gone = CancellationToken::new();
        let stream = Self {
            head: REQUEST,
            open: false,
            incoming,
            left: Bytes::new(),
            outgoing: PollSender::new(outgoing),
            gone: Box::pin(gone.clone().cancelled_owned()),
        };
        (stream, Outgoing { pieces, _gone: gone.drop_guard() })
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.open {
            if this.head.is_empty() {
                // Nothing of the caller's before the stream has begun.
                return Poll::Pending;
            }
            let (now, later) = this.head.split_at(this.head.len().min(buf.remaining()));
            this.head = later;
            buf.put_slice(now);
            return Poll::Ready(Ok(()));
        }
        if this.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        while this.left.is_empty() {
            match ready!(Pin::new(&mut this.incoming).poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(frame)) => this.left = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let most = this.left.len().min(buf.remaining());
        buf.put_slice(&this.left[..most]);
        this.left.advance(most);
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.open {
            self.open = buf.ends_with(END_OF_HEAD);
            return Poll::Ready(Ok(buf.len()));
        }
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.outgoing.poll_reserve(cx)).map_err(gone)?;
        let piece = &buf[..buf.len().min(PIECE)];
        self.outgoing.send_item(Bytes::copy_from_slice(piece)).map_err(gone)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
