//! Bodies in transit: request bodies are limited in size and pace, response bodies report their end. Neither
//! copies a byte.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use streamgate_plugin_api::tempo::Tempo;
use streamgate_plugin_api::{Body, BoxError};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::access_log::Ending;
use crate::compress::Gzip;
use crate::watch::InFlight;

/// Why a request's body was cut off, for the final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    TooLarge,
    TooSlow,
    Malformed,
}

/// Shared by a request's body and its handler.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cuts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicU8,
    /// How many pieces of the body were read.
    pieces: AtomicU64,
}

impl Cuts {
    fn set(&self, cut: Cut) {
        self.0.cut.store(1 + cut as u8, Ordering::Release);
    }

    /// Grows while the body is read.
    pub(crate) fn pieces(&self) -> u64 {
        self.0.pieces.load(Ordering::Relaxed)
    }

    /// Whether the body was cut, and why.
    pub(crate) fn get(&self) -> Option<Cut> {
        match self.0.cut.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cut::TooLarge),
            2 => Some(Cut::TooSlow),
            _ => Some(Cut::Malformed),
        }
    }
}

/// The minimum pace of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long it may stall, and the period over which its rate is averaged.
    pub(crate) patience: Duration,
    /// Bytes per second of waiting for the client; 0: any.
    pub(crate) rate: u64,
}

/// A client's body, limited in size, stall time and pace.
pub(crate) struct RequestBody {
    inner: Incoming,
    left: u64,
    /// How long it may stall.
    patience: Duration,
    tempo: Tempo,
    moved: Instant,
    /// When waiting for the client began.
    waits_since: Option<Instant>,
    came: u64,
    timer: Option<Pin<Box<Sleep>>>,
    cuts: Cuts,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, limit: u64, pace: Pace, cuts: Cuts) -> Self {
        Self {
            inner,
            left: limit,
            patience: pace.patience,
            tempo: Tempo::new(pace.rate, pace.patience),
            moved: Instant::now(),
            waits_since: None,
            came: 0,
            timer: None,
            cuts,
        }
    }

    /// Whether the client keeps the pace: only the time spent waiting for it counts, not the time in which
    /// the plugin did not read.
    fn keeps_pace(&mut self, bytes: u64) -> bool {
        self.came += bytes;
        let waited = self.waits_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        !self.tempo.is_too_slow(self.came, waited)
    }

    fn too_slow(&self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.cuts.set(Cut::TooSlow);
        Poll::Ready(Some(Err("the body came too slowly".into())))
    }

    /// Resolves when the body stalled for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.moved + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            // Set once and checked rarely: bytes that came meanwhile count now.
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        self.cuts.set(Cut::TooLarge);
                        return Poll::Ready(Some(Err("the body is larger than allowed".into())));
                    };
                    self.left = left;
                    let bytes = data.len() as u64;
                    if !self.keeps_pace(bytes) {
                        return self.too_slow();
                    }
                    self.cuts.0.pieces.fetch_add(1, Ordering::Relaxed);
                    self.moved = Instant::now();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if is_malformed(&error) {
                    self.cuts.set(Cut::Malformed);
                }
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.waits_since.get_or_insert_with(Instant::now);
                ready!(self.poll_timer(cx));
                self.too_slow()
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// Never exact, even if the length is known: a reader that knows it would read at once, and reading is
    /// what sends `100 Continue` to the client.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.inner.size_hint().lower());
        hint
    }
}

/// Whether the client's framing is wrong, not its connection.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let kind = cause.map(std::io::Error::kind);
    error.is_parse()
        || matches!(kind, Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData))
}

/// The content of a response.
pub(crate) enum Content {
    Plain(Body),
    Whole(Bytes),
    Gzip(Box<Gzip>),
}

/// A response body, which counts as in flight until it is sent or dropped.
pub(crate) struct ResponseBody {
    content: Content,
    /// Ends an endless stream (server-sent events) cleanly when the gateway stops.
    until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ending: Option<Box<Ending>>,
    in_flight: InFlight,
}

impl ResponseBody {
    pub(crate) fn new(content: Content, in_flight: InFlight) -> Self {
        match in_flight.progress() {
            Some(progress) => progress.offered(0),
            None => in_flight.answered(),
        }
        Self { content, until: None, ending: None, in_flight }
    }

    /// Ends the body when `stop` is cancelled.
    pub(crate) fn until(&mut self, stop: WaitForCancellationFutureOwned) {
        self.until = Some(Box::pin(stop));
    }

    /// Reports to `ending` what was sent.
    pub(crate) fn report_to(&mut self, ending: Ending) {
        self.ending = Some(Box::new(ending));
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Plain(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Content::Whole(data) => {
                let data = std::mem::take(data);
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
            Content::Gzip(gzip) => gzip.poll_frame(cx),
        };
        if let Some(progress) = this.in_flight.progress() {
            match &frame {
                Poll::Pending => progress.waits_for_the_plugin(),
                Poll::Ready(Some(Ok(frame))) => progress.offered(frame.data_ref().map_or(0, Bytes::len)),
                Poll::Ready(_) => progress.offered(0),
            }
        }
        if let Some(ending) = &mut this.ending
            && let Poll::Ready(frame) = &frame
        {
            ending.note(frame.as_ref());
        }
        if frame.is_pending()
            && let Some(until) = &mut this.until
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Plain(body) => body.is_end_stream(),
            Content::Whole(data) => data.is_empty(),
            Content::Gzip(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Plain(body) => body.size_hint(),
            Content::Whole(data) => SizeHint::with_exact(data.len() as u64),
            Content::Gzip(_) => SizeHint::new(),
        }
    }
}
