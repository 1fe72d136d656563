//! Bodies: empty, one piece, or a stream of pieces that may end in trailers.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use abi_stable::StableAbi;
use abi_stable::prefix_type::WithMetadata;
use async_ffi::{ContextExt, FfiContext, FfiPoll};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::head::{decode_fields, encode_fields};
use super::{FfiBytes, HeadError};

/// The result of polling a stream of frames. Not an enum, which could not gain variants: an unknown kind ends
/// the body with an error.
#[repr(C)]
#[derive(StableAbi)]
struct FfiFrame {
    kind: u8,
    bytes: FfiBytes,
}

/// Bytes of the body.
const DATA: u8 = 0;
/// The trailers, in the flat form of a head's fields.
const TRAILERS: u8 = 1;
/// The body was interrupted; the text states the reason.
const FAILED: u8 = 2;
/// End of the body.
const END: u8 = 3;

/// The source of frames on the sending side. The SDK's implementation enters its runtime and catches panics
/// in every poll and in the drop.
pub trait FrameSource: Send + 'static {
    /// The next frame, `None` at the end, or the reason of an interruption.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>>;
}

/// A body that crosses: an optional first piece, then an optional stream of further frames.
#[repr(C)]
#[derive(StableAbi)]
pub struct Body {
    first: FfiBytes,
    has_first: bool,
    stream: *mut (),
    poll: Option<extern "C" fn(*mut (), &mut FfiContext<'_>) -> FfiPoll<FfiFrame>>,
    vtable: Option<BodyVtableRef>,
    lower: u64,
    upper: u64,
    has_upper: bool,
}

/// New functions are appended; a body of an older side does not have them.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = BodyVtableRef)))]
#[sabi(missing_field(option))]
struct BodyVtable {
    #[sabi(last_prefix_field)]
    release: extern "C" fn(*mut ()),
    #[cfg(feature = "next")]
    next: extern "C" fn() -> u64,
}

/// The table of one type.
struct TableOf<S>(PhantomData<S>);

impl<S: FrameSource> TableOf<S> {
    const TABLE: &'static WithMetadata<BodyVtable> = &WithMetadata::new(BodyVtable {
        release: release_source::<S>,
        #[cfg(feature = "next")]
        next: super::next::entry,
    });
}

// SAFETY: the stream behind the pointer is a `FrameSource`, which is `Send`, and is reached only
// through `&mut self` or by dropping the body.
unsafe impl Send for Body {}

extern "C" fn poll_source<S: FrameSource>(stream: *mut (), cx: &mut FfiContext<'_>) -> FfiPoll<FfiFrame> {
    // SAFETY: `stream` is the boxed `S` of `Body::stream`, pinned because it is never moved out
    // of its box, and the caller holds the only reference (`&mut Body`).
    let source = unsafe { Pin::new_unchecked(&mut *stream.cast::<S>()) };
    let polled = cx.with_context(|cx| source.poll_frame(cx));
    FfiPoll::from_poll(polled.map(|frame| {
        let (kind, bytes) = match frame {
            None => (END, FfiBytes::empty()),
            Some(Err(reason)) => (FAILED, reason.into_bytes().into()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => (DATA, data.into()),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => (TRAILERS, encode_fields(&trailers)),
                    // `Frame` is data or trailers; anything newer is ignored.
                    Err(_) => (DATA, FfiBytes::empty()),
                },
            },
        };
        FfiFrame { kind, bytes }
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
            vtable: None,
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

    /// A stream, with the first piece if it is available already. `hint` is of the whole body.
    pub fn stream<S: FrameSource>(first: Option<Bytes>, source: S, hint: &SizeHint) -> Self {
        Self {
            has_first: first.is_some(),
            first: first.map_or(FfiBytes::empty(), FfiBytes::from),
            stream: Box::into_raw(Box::new(source)).cast(),
            poll: Some(poll_source::<S>),
            vtable: Some(BodyVtableRef(TableOf::<S>::TABLE.static_as_prefix())),
            lower: hint.lower(),
            upper: hint.upper().unwrap_or(0),
            has_upper: hint.upper().is_some(),
        }
    }

    /// The remaining size, as far as the sender knows.
    pub fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        // A sender's invalid hint (upper < lower) must not panic here.
        hint.set_lower(self.lower);
        if self.has_upper {
            hint.set_upper(self.upper.max(self.lower));
        }
        hint
    }

    /// True when polling can only return the end.
    pub fn is_end(&self) -> bool {
        !self.has_first && self.poll.is_none()
    }

    /// The next frame. Data frames without bytes are skipped: HTTP/2 peers count them as an attack (`h2` ends
    /// a connection after a hundred).
    ///
    /// # Errors
    /// Why the body was interrupted.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        if self.has_first {
            self.has_first = false;
            let data = Bytes::from(std::mem::replace(&mut self.first, FfiBytes::empty()));
            if !data.is_empty() {
                self.sent(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        let Some(poll) = self.poll else { return Poll::Ready(None) };
        #[cfg(feature = "next")]
        super::next::check_entry(self.vtable.and_then(|vtable| vtable.next()));
        let stream = self.stream;
        let frame = match cx.with_ffi_context(|cx| poll(stream, cx)) {
            FfiPoll::Ready(frame) => frame,
            FfiPoll::Pending => return Poll::Pending,
            FfiPoll::Panicked => return self.end(Err("the sender of the body panicked".to_owned())),
        };
        match frame.kind {
            DATA => {
                let data = Bytes::from(frame.bytes);
                if data.is_empty() {
                    // Not in a loop: a sender of only empty frames would block the thread.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.sent(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            TRAILERS => self.end(
                decode_fields(frame.bytes)
                    .map(Frame::trailers)
                    .map_err(|error: HeadError| error.to_string()),
            ),
            END => {
                self.close();
                Poll::Ready(None)
            }
            FAILED => self.end(Err(String::from_utf8_lossy(frame.bytes.as_slice()).into_owned())),
            kind => self.end(Err(format!(
                "its sender uses a later version of the plugin API: a frame of the kind {kind} is unknown here"
            ))),
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
        if let Some(vtable) = self.vtable.take() {
            vtable.release()(self.stream);
        }
    }

    /// The whole body, if it is one piece in memory.
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
