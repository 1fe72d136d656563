//! Watches one connection's clock: slow heads, idle connections, clients that take nothing. The hot path pays a few
//! relaxed atomics; a single lazy timer per connection asks for a verdict now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::frames::Frames;
use crate::streams::Progress;

/// Written at once, so many bytes are of a response; fewer may be an answer to a PING, which anybody can ask for.
const OF_A_RESPONSE: usize = 1 << 10;

/// How long a connection may do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) write: Duration,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well; ask again after this time.
    AskAgain(Duration),
    /// The head of a request takes too long. True if some of it came.
    SlowHead(bool),
    /// No request for too long.
    Idle,
    /// The client takes nothing of what it is sent.
    Stalled,
    /// Too many frames that belong to no request.
    Flooded,
}

/// What happens on one connection. Times are milliseconds since it began, plus one; 0 is never.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    in_flight: AtomicU32,
    /// When the first bytes of a head came that is not whole yet.
    head_since: AtomicU64,
    idle_since: AtomicU64,
    /// Since when the client takes nothing.
    stalled_since: AtomicU64,
    requests: AtomicU64,
    /// Bytes came since the last request began.
    read: AtomicBool,
    flooded: AtomicBool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            in_flight: AtomicU32::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(1),
            stalled_since: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            read: AtomicBool::new(true),
            flooded: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    fn was_read(&self) {
        self.read.store(true, Relaxed);
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    fn was_written(&self, bytes: usize, frames: bool) {
        // The last bytes of a response are often sent after its body ended: the client is busy, not idle.
        if self.in_flight.load(Relaxed) == 0 && !(frames && bytes < OF_A_RESPONSE) {
            self.idle_since.store(self.now(), Relaxed);
        }
        if self.stalled_since.load(Relaxed) != 0 {
            self.stalled_since.store(0, Relaxed);
        }
    }

    fn was_refused(&self) {
        if self.stalled_since.load(Relaxed) == 0 {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }

    /// A request began; it ends with the drop.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let others = self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        let alone = self.read.swap(false, Relaxed) && others == 0;
        InFlight { watch: self.clone(), progress: None, alone }
    }

    /// Whether the client sent too many frames that belong to no request.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Judges the connection. HTTP/2 has frames that belong to no request: `heads` is false there.
    pub(crate) fn judge(&self, patience: &Patience, heads: bool) -> Verdict {
        let now = self.now();
        let overdue = |since: u64, allowed: Duration| {
            let passed = Duration::from_millis(now.saturating_sub(since));
            allowed.checked_sub(passed).filter(|left| !left.is_zero())
        };
        if self.is_flooded() {
            return Verdict::Flooded;
        }
        let stalled = self.stalled_since.load(Relaxed);
        if stalled != 0 {
            return overdue(stalled, patience.write).map_or(Verdict::Stalled, Verdict::AskAgain);
        }
        if self.in_flight.load(Relaxed) > 0 {
            return Verdict::AskAgain(patience.write);
        }
        let head = self.head_since.load(Relaxed);
        if head != 0 && heads {
            return overdue(head, patience.header).map_or(Verdict::SlowHead(true), Verdict::AskAgain);
        }
        let idle = self.idle_since.load(Relaxed);
        if self.requests.load(Relaxed) == 0 {
            return overdue(idle, patience.header).map_or(Verdict::SlowHead(false), Verdict::AskAgain);
        }
        overdue(idle, patience.keep_alive)
            .map_or(Verdict::Idle, |left| Verdict::AskAgain(left.min(patience.header)))
    }
}

/// One request, from its head to the last byte of its response.
#[derive(Debug)]
pub(crate) struct InFlight {
    watch: Arc<Watch>,
    /// Of a stream of HTTP/2.
    progress: Option<Arc<Progress>>,
    alone: bool,
}

impl InFlight {
    /// Whether its client sent it after the answer to the one before, as clients do that wait.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// The same, with the clock of its stream.
    pub(crate) fn on(mut self, progress: Arc<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The clock of its stream, if it has one of its own.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.watch.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.watch.idle_since.store(self.watch.now(), Relaxed);
        }
    }
}

/// The socket, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    tcp: TcpStream,
    watch: Arc<Watch>,
    /// Of HTTP/2.
    frames: Option<Frames>,
}

impl Watched {
    pub(crate) fn new(tcp: TcpStream, watch: Arc<Watch>) -> Self {
        Self { tcp, watch, frames: None }
    }

    /// The same for a connection of HTTP/2, whose frames are counted.
    pub(crate) fn with_frames(tcp: TcpStream, watch: Arc<Watch>) -> Self {
        Self { tcp, watch, frames: Some(Frames::new()) }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.tcp
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(written) => {
                let bytes = *written.as_ref().unwrap_or(&0);
                self.watch.was_written(bytes, self.frames.is_some());
                if let Some(frames) = &mut self.frames {
                    frames.sent(bytes);
                }
            }
            Poll::Pending => self.watch.was_refused(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.is_flooded() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.tcp).poll_read(cx, buf);
        if polled.is_ready() && buf.filled().len() > before {
            this.watch.was_read();
            if let Some(frames) = &mut this.frames
                && !frames.received(&buf.filled()[before..])
            {
                // Nothing more is read. The connection looks at the flag and says goodbye.
                this.watch.flooded.store(true, Relaxed);
                buf.set_filled(before);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    fn after(seconds: u64) -> Arc<Watch> {
        let began =
            Instant::now().checked_sub(Duration::from_secs(seconds)).expect("the machine is up for minutes");
        Arc::new(Watch { began, ..Watch::new() })
    }

    #[test]
    fn a_connection_that_sends_nothing_is_given_the_time_of_a_head() {
        assert!(matches!(after(9).judge(&PATIENCE, true), Verdict::AskAgain(_)));
        assert_eq!(after(11).judge(&PATIENCE, true), Verdict::SlowHead(false));
    }

    #[test]
    fn a_head_that_dribbles_is_slow_and_frames_between_requests_are_not() {
        let watch = after(100);
        watch.head_since.store(100_000 - 11_000, Relaxed);
        assert_eq!(watch.judge(&PATIENCE, true), Verdict::SlowHead(true));
        drop(watch.begin());
        watch.was_read();
        watch.head_since.store(1, Relaxed);
        assert!(matches!(watch.judge(&PATIENCE, false), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_request_that_came_with_another_is_not_alone() {
        let watch = after(0);
        watch.was_read();
        assert!(watch.begin().is_alone());
        assert!(!watch.begin().is_alone(), "pipelined: nothing was read since");
        watch.was_read();
        let first = watch.begin();
        watch.was_read();
        assert!(first.is_alone() && !watch.begin().is_alone(), "two streams");
    }

    #[test]
    fn idle_counts_from_the_end_of_the_last_response() {
        let watch = after(1000);
        let request = watch.begin();
        assert!(matches!(watch.judge(&PATIENCE, true), Verdict::AskAgain(_)));
        drop(request);
        assert!(matches!(watch.judge(&PATIENCE, true), Verdict::AskAgain(_)));
        watch.idle_since.store(1, Relaxed);
        assert_eq!(watch.judge(&PATIENCE, true), Verdict::Idle);
    }

    #[test]
    fn a_client_that_takes_nothing_is_stalled_until_it_takes_something() {
        let watch = after(100);
        let _request = watch.begin();
        watch.stalled_since.store(1, Relaxed);
        assert_eq!(watch.judge(&PATIENCE, true), Verdict::Stalled);
        watch.was_written(1, true);
        assert!(matches!(watch.judge(&PATIENCE, true), Verdict::AskAgain(_)));
    }

    #[test]
    fn an_answer_to_a_ping_makes_no_idle_connection_busy() {
        let watch = after(1000);
        drop(watch.begin());
        watch.idle_since.store(1, Relaxed);
        watch.was_written(17, true);
        assert_eq!(watch.judge(&PATIENCE, false), Verdict::Idle);
        watch.was_written(OF_A_RESPONSE, true);
        assert!(matches!(watch.judge(&PATIENCE, false), Verdict::AskAgain(_)), "the end of a response");
        watch.idle_since.store(1, Relaxed);
        watch.was_written(17, false);
        assert!(matches!(watch.judge(&PATIENCE, true), Verdict::AskAgain(_)), "HTTP/1.1 has no PING");
    }
}
