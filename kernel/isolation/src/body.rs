//! Bodies between the boundary and HTTP/2. Nothing is buffered: what one side does not read, the other does
//! not send.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use streamgate_plugin_api::abi;

/// The trailer that ends an interrupted body. HTTP/2 itself carries no reason.
const BROKEN: HeaderName = HeaderName::from_static("streamgate-broken");
const REASON: usize = 1024;

/// A body being sent over HTTP/2.
pub(crate) struct Outgoing(Inner);

enum Inner {
    Crossed(abi::Body),
    /// Messages, one after the other.
    Messages(Pin<Box<dyn http_body::Body<Data = Bytes, Error = String> + Send>>),
}

impl Outgoing {
    pub(crate) fn crossed(body: abi::Body) -> Self {
        Self(Inner::Crossed(body))
    }

    /// One direction of a stream: it ends once the other one has.
    pub(crate) fn until(mut body: abi::Body, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::messages(StreamBody::new(stream::poll_fn(move |cx| body.poll_frame(cx)).take_until(end)))
    }

    pub(crate) fn full(data: impl Into<Bytes>) -> Self {
        Self::crossed(abi::Body::full(data.into()))
    }

    pub(crate) fn messages(
        messages: impl http_body::Body<Data = Bytes, Error = String> + Send + 'static,
    ) -> Self {
        Self(Inner::Messages(Box::pin(messages)))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = match &mut self.0 {
            Inner::Crossed(body) => body.poll_frame(cx),
            Inner::Messages(body) => body.as_mut().poll_frame(cx),
        };
        polled.map(|frame| {
            frame.map(|frame| {
                Ok(frame.unwrap_or_else(|reason| {
                    self.0 = Inner::Crossed(abi::Body::empty());
                    broken(&reason)
                }))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Crossed(body) => body.is_end(),
            Inner::Messages(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Crossed(body) => body.size_hint(),
            Inner::Messages(_) => SizeHint::new(),
        }
    }
}

/// If the body had a length the receiver notices that it is shorter, whatever the trailers are.
fn broken(reason: &str) -> Frame<Bytes> {
    let reason: String =
        reason.chars().take(REASON).map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    let value = HeaderValue::from_str(&reason).unwrap_or(HeaderValue::from_static("it was interrupted"));
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(BROKEN, value);
    Frame::trailers(trailers)
}

/// A body received over HTTP/2, crossing the boundary. It keeps `held` until its end.
pub(crate) struct Source {
    body: Option<Incoming>,
    gone: Gone,
    /// Waits for the reason why the other process ended.
    hearing: Option<BoxFuture<'static, String>>,
    held: Option<Box<dyn Any + Send>>,
}

/// What is known about the other process after its connection ended.
pub(crate) trait Obituary: Send + Sync + 'static {
    /// How it ended, as soon as that is known. A process without a connection ends soon.
    fn wait(&self) -> BoxFuture<'static, String>;
    /// How it ended, if that is known already.
    fn known(&self) -> Option<String>;
}

pub(crate) type Gone = Arc<dyn Obituary>;

/// Whether only this one request has failed, and the connection continues.
pub(crate) fn is_of_one_request(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset();
        }
        cause = error.source();
    }
    false
}

impl Source {
    fn end(&mut self) {
        self.body = None;
        self.held = None;
    }
}

impl abi::FrameSource for Source {
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        if let Some(hearing) = &mut self.hearing {
            let reason = std::task::ready!(hearing.as_mut().poll(cx));
            (self.hearing, self.held) = (None, None);
            return Poll::Ready(Some(Err(reason)));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        Poll::Ready(match frame {
            None => {
                self.end();
                None
            }
            Some(Err(error)) if is_of_one_request(&error) => {
                self.end();
                Some(Err(error.to_string()))
            }
            Some(Err(_)) => {
                self.body = None;
                self.hearing = Some(self.gone.wait());
                return self.poll_frame(cx);
            }
            Some(Ok(frame)) => {
                let reason = frame.trailers_ref().and_then(|trailers| trailers.get(BROKEN));
                match reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned()) {
                    None => Some(Ok(frame)),
                    Some(reason) => {
                        self.end();
                        Some(Err(reason))
                    }
                }
            }
        })
    }
}

/// Prepares a body received over HTTP/2 to cross.
pub(crate) fn to_abi(body: Incoming, gone: &Gone, held: Option<Box<dyn Any + Send>>) -> abi::Body {
    if body.is_end_stream() {
        return abi::Body::empty();
    }
    let hint = body.size_hint();
    abi::Body::stream(None, Source { body: Some(body), gone: gone.clone(), hearing: None, held }, &hint)
}
