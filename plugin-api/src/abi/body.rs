//! Bodies: nothing, one piece, or a stream of pieces that may end in trailers.

use std::pin::Pin;
use std::task::{Context, Poll};

use abi_stable::StableAbi;
use abi_stable::std_types::RString;
use async_ffi::{ContextExt, FfiContext, FfiPoll};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::head::{decode_fields, encode_fields};
use super::{FfiBytes, HeadError};

/// What polling a stream of frames answers.
#[repr(C, u8)]
#[derive(StableAbi)]
pub enum FfiFrame {
    /// Bytes of the body.
    Data(FfiBytes),
    /// The trailers, in the flat form of a head's fields.
    Trailers(FfiBytes),
    /// The body broke off; the text says why.
    Failed(RString),
    /// There is no more.
    End,
}

/// Where frames come from on the side that sends them. The SDK's implementation enters its
/// runtime and catches panics in every poll and in the drop.
pub trait FrameSource: Send + 'static {
    /// The next frame, `None` at the end, or why the body broke off.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>>;
}

/// A body on its way across: an optional first piece, then an optional stream of further frames.
#[repr(C)]
#[derive(StableAbi)]
pub struct Body {
    first: FfiBytes,
    has_first: bool,
    stream: *mut (),
    poll: Option<extern "C" fn(*mut (), &mut FfiContext<'_>) -> FfiPoll<FfiFrame>>,
    release: Option<extern "C" fn(*mut ())>,
    lower: u64,
    upper: u64,
    has_upper: bool,
}

// SAFETY: the stream behind the pointer is a `FrameSource`, which is `Send`, and is reached only
// through `&mut self` or by dropping the body.
unsafe impl Send for Body {}

extern "C" fn poll_source<S: FrameSource>(stream: *mut (), cx: &mut FfiContext<'_>) -> FfiPoll<FfiFrame> {
    // SAFETY: `stream` is the boxed `S` of `Body::stream`, pinned because it is never moved out
    // of its box, and the caller holds the only reference (`&mut Body`).
    let source = unsafe { Pin::new_unchecked(&mut *stream.cast::<S>()) };
    let polled = cx.with_context(|cx| source.poll_frame(cx));
    FfiPoll::from_poll(polled.map(|frame| match frame {
        None => FfiFrame::End,
        Some(Err(reason)) => FfiFrame::Failed(reason.into()),
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => FfiFrame::Data(data.into()),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => FfiFrame::Trailers(encode_fields(&trailers)),
                // `Frame` is data or trailers; anything newer is not for us.
                Err(_) => FfiFrame::Data(FfiBytes::empty()),
            },
        },
    }))
}

extern "C" fn release_source<S: FrameSource>(stream: *mut ()) {
    // SAFETY: `stream` came from `Box::into_raw` in `Body::stream` and is released once.
    drop(unsafe { Box::from_raw(stream.cast::<S>()) });
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self {
            first: FfiBytes::empty(),
            has_first: false,
            stream: std::ptr::null_mut(),
            poll: None,
            release: None,
            lower: 0,
            upper: 0,
            has_upper: true,
        }
    }

    /// A body of one piece.
    pub fn full(data: Bytes) -> Self {
        let len = data.len() as u64;
        Self { first: data.into(), has_first: len > 0, lower: len, upper: len, ..Self::empty() }
    }

    /// A stream, with the first piece if it is there already. `hint` is of the whole body.
    pub fn stream<S: FrameSource>(first: Option<Bytes>, source: S, hint: &SizeHint) -> Self {
        Self {
            has_first: first.is_some(),
            first: first.map_or(FfiBytes::empty(), FfiBytes::from),
            stream: Box::into_raw(Box::new(source)).cast(),
            poll: Some(poll_source::<S>),
            release: Some(release_source::<S>),
            lower: hint.lower(),
            upper: hint.upper().unwrap_or(0),
            has_upper: hint.upper().is_some(),
        }
    }

    /// How many bytes are still to come, as far as the sender knows.
    pub fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        // A sender's nonsense (upper < lower) must not panic here.
        hint.set_lower(self.lower);
        if self.has_upper {
            hint.set_upper(self.upper.max(self.lower));
        }
        hint
    }

    /// True when polling can only answer the end.
    pub fn is_end(&self) -> bool {
        !self.has_first && self.poll.is_none()
    }

    /// The next frame.
    ///
    /// # Errors
    /// The reason why the body broke off.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        if self.has_first {
            self.has_first = false;
            let data = Bytes::from(std::mem::replace(&mut self.first, FfiBytes::empty()));
            self.sent(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(poll) = self.poll else { return Poll::Ready(None) };
        let stream = self.stream;
        match cx.with_ffi_context(|cx| poll(stream, cx)) {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Panicked => self.end(Err("the sender of the body panicked".to_owned())),
            FfiPoll::Ready(FfiFrame::End) => {
                self.close();
                Poll::Ready(None)
            }
            FfiPoll::Ready(FfiFrame::Failed(reason)) => self.end(Err(reason.into())),
            FfiPoll::Ready(FfiFrame::Data(data)) => {
                let data = Bytes::from(data);
                self.sent(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            FfiPoll::Ready(FfiFrame::Trailers(fields)) => self.end(
                decode_fields(fields).map(Frame::trailers).map_err(|error: HeadError| error.to_string()),
            ),
        }
    }

    fn sent(&mut self, len: usize) {
        self.lower = self.lower.saturating_sub(len as u64);
        self.upper = self.upper.saturating_sub(len as u64);
    }

    fn end(&mut self, last: Result<Frame<Bytes>, String>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.close();
        Poll::Ready(Some(last))
    }

    fn close(&mut self) {
        self.poll = None;
        (self.lower, self.upper, self.has_upper) = (0, 0, true);
        if let Some(release) = self.release.take() {
            release(self.stream);
        }
    }

    /// The whole body, if it is one piece that is there already.
    pub fn take_full(&mut self) -> Option<Bytes> {
        if self.poll.is_some() {
            return None;
        }
        self.has_first = false;
        (self.lower, self.upper) = (0, 0);
        Some(std::mem::replace(&mut self.first, FfiBytes::empty()).into())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.close();
    }
}
