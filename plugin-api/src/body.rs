//! Bodies of requests and responses on this side of the boundary.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};

use crate::drain::Open;
use crate::trace::TraceContext;
use crate::{abi, guard, panics};

/// Any error, for bounds.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a body was interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    reason: String,
    too_long: bool,
}

impl BodyError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), too_long: false }
    }

    /// Whether it exceeds the limit of [`Body::collect_bytes`]; otherwise its sender interrupted it, or
    /// violated its framing.
    pub fn is_too_long(&self) -> bool {
        self.too_long
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for BodyError {}

/// A body: empty, in one piece, or streaming, from this side or the other.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Full(Bytes),
    Crossed(abi::Body),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// Any other body.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        if let Some(same) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return same.take().unwrap_or_default();
        }
        match slot {
            None => Self::empty(),
            Some(body) => {
                Self(Inner::Boxed(Box::pin(body.map_err(|error| BodyError::new(describe(error.into()))))))
            }
        }
    }

    /// A body of the pieces of a stream.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::new(StreamBody::new(
            stream.map_ok(Frame::data).map_err(|error| BodyError::new(describe(error.into()))),
        ))
    }

    /// The whole body, if it has at most `limit` bytes. Trailers are dropped.
    ///
    /// # Errors
    /// If it is longer, or is interrupted.
    pub async fn collect_bytes(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let too_long =
            || BodyError { reason: format!("the body is longer than {limit} bytes"), too_long: true };
        if self.size_hint().lower() > limit as u64 {
            return Err(too_long());
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if first.len() + rest.len() + data.len() > limit {
                return Err(too_long());
            }
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&std::mem::take(&mut first));
                }
                rest.extend_from_slice(&data);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }

    pub(crate) fn crossed(body: abi::Body) -> Self {
        Self(Inner::Crossed(body))
    }
}

/// The whole chain of causes; the other side sees only text.
pub(crate) fn describe(error: BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Prepares a body to cross. Bytes in memory cross as one piece, without a stream; a stream keeps `open`
/// until its end.
pub(crate) fn to_abi<B>(body: B, context: Option<TraceContext>, open: Option<Open>) -> abi::Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut slot = Some(body);
    if let Some(own) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Body>>() {
        match own.take().unwrap_or_default().0 {
            Inner::Empty => return abi::Body::empty(),
            Inner::Full(data) => return abi::Body::full(data),
            // It is passed on to a third side unchanged; this side need not be in between.
            Inner::Crossed(body) => return body,
            boxed @ Inner::Boxed(_) => return boxed_to_abi(Body(boxed), context, open),
        }
    }
    match slot {
        None => abi::Body::empty(),
        Some(body) => boxed_to_abi(body, context, open),
    }
}

fn boxed_to_abi<B>(body: B, context: Option<TraceContext>, open: Option<Open>) -> abi::Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return abi::Body::empty();
    }
    let hint = body.size_hint();
    if hint.exact().is_none() {
        return abi::Body::stream(None, Source { inner: Some(body), context, _open: open }, &hint);
    }
    let mut slot = Some(body);
    // The usual types of handlers need no further box to be polled.
    if let Some(own) = (&mut slot as &mut dyn Any).downcast_mut::<Option<axum::body::Body>>()
        && let Some(body) = own.take()
    {
        return sized_to_abi(body, &hint, context, open);
    }
    slot.map_or(abi::Body::empty(), |body| sized_to_abi(Box::pin(body), &hint, context, open))
}

/// A body with a known length often has its bytes in memory. The reader of the stream polls it again with its
/// own waker, so polling once without one loses nothing.
fn sized_to_abi<B>(
    mut body: B,
    hint: &SizeHint,
    context: Option<TraceContext>,
    open: Option<Open>,
) -> abi::Body
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) if body.is_end_stream() => abi::Body::full(data),
            Ok(data) => {
                abi::Body::stream(Some(data), Source { inner: Some(body), context, _open: open }, hint)
            }
            Err(frame) => {
                let trailers = futures_util::stream::iter([Ok::<_, BodyError>(frame)]);
                abi::Body::stream(
                    None,
                    Source { inner: Some(StreamBody::new(trailers)), context, _open: open },
                    hint,
                )
            }
        },
        Poll::Ready(None) => abi::Body::empty(),
        Poll::Ready(Some(Err(error))) => {
            let failed =
                futures_util::stream::iter([Err::<Frame<Bytes>, _>(BodyError::new(describe(error.into())))]);
            abi::Body::stream(
                None,
                Source { inner: Some(StreamBody::new(failed)), context, _open: open },
                hint,
            )
        }
        Poll::Pending => abi::Body::stream(None, Source { inner: Some(body), context, _open: open }, hint),
    }
}

pin_project_lite::pin_project! {
    /// The sending end of a stream that the other side polls and drops.
    struct Source<B> where B: http_body::Body {
        #[pin]
        inner: Option<B>,
        context: Option<TraceContext>,
        _open: Option<Open>,
    }
    impl<B> PinnedDrop for Source<B> where B: http_body::Body {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.inner.is_some() {
                let _ = guard::run(*this.context, || this.inner.set(None));
            }
        }
    }
}

impl<B> abi::FrameSource for Source<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let mut this = self.project();
        let polled = guard::run(*this.context, || {
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            let polled = panics::of_request(|| inner.poll_frame(cx));
            if let Poll::Ready(None | Some(Err(_))) = polled {
                this.inner.set(None);
            }
            polled.map(|frame| frame.map(|frame| frame.map_err(|error| describe(error.into()))))
        });
        polled.unwrap_or_else(|panic| {
            let _ = guard::run(None, || this.inner.set(None));
            Poll::Ready(Some(Err(format!("the sender of the body panicked: {panic}"))))
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(data) => {
                let data = std::mem::take(data);
                self.0 = Inner::Empty;
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
            Inner::Crossed(body) => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError::new)))
            }
            Inner::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(data) => data.is_empty(),
            Inner::Crossed(body) => body.is_end(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(data) => SizeHint::with_exact(data.len() as u64),
            Inner::Crossed(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        Self(if data.is_empty() { Inner::Empty } else { Inner::Full(data) })
    }
}

impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Self {
        Bytes::from(data).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Self {
        Self::new(body)
    }
}
