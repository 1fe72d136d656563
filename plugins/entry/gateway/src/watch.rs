//! The timeouts of one connection: slow heads, idle connections, clients that do not read. The hot path costs
//! a few relaxed atomics; a single lazy timer per connection checks them now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::streams::Progress;

/// A write of at least this size is part of a response; smaller ones may answer a PING, which any client can
/// send.
const OF_A_RESPONSE: usize = 1 << 10;
/// How long a response may be silent if its client has closed its sending side: the client may be gone.
const SILENCE: Duration = Duration::from_secs(3);

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) write: Duration,
}

impl Patience {
    /// How long a response may be silent if its client has closed its sending side.
    pub(crate) fn silence(&self) -> Duration {
        SILENCE.min(self.write)
    }
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No timeout; check again after this time.
    AskAgain(Duration),
    /// The head of a request takes too long. True if some of it arrived.
    SlowHead(bool),
    /// No request for too long.
    Idle,
    /// The client reads nothing of what it is sent.
    Stalled,
    /// The client has closed its side, and nothing is sent to it.
    Left,
    /// Too many frames that belong to no request.
    Flooded,
}

/// Milliseconds of the system's coarse clock: at most some milliseconds behind, and read three times a
/// request.
fn milliseconds() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// The state of one connection. Times are milliseconds since it began, plus one; 0 is never.
#[derive(Debug)]
pub(crate) struct Watch {
    began: u64,
    in_flight: AtomicU32,
    /// When the first bytes of an incomplete head arrived.
    head_since: AtomicU64,
    idle_since: AtomicU64,
    /// Since when the client reads nothing.
    stalled_since: AtomicU64,
    /// Bytes accepted by the system.
    written: AtomicU64,
    /// The last request has been answered, with HTTP/1.1.
    answered: AtomicBool,
    requests: AtomicU64,
    /// Bytes arrived since the last request began.
    read: AtomicBool,
    flooded: AtomicBool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            began: milliseconds(),
            in_flight: AtomicU32::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(1),
            stalled_since: AtomicU64::new(0),
            written: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            read: AtomicBool::new(true),
            flooded: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        milliseconds().saturating_sub(self.began) + 1
    }

    pub(crate) fn was_read(&self) {
        self.read.store(true, Relaxed);
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    pub(crate) fn was_written(&self, bytes: usize, frames: bool) {
        // The last bytes of a response are often sent after its body ended: the client is busy, not idle.
        if self.in_flight.load(Relaxed) == 0 && !(frames && bytes < OF_A_RESPONSE) {
            self.idle_since.store(self.now(), Relaxed);
        }
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn was_refused(&self) {
        if self.stalled_since.load(Relaxed) == 0 {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }

    /// Whether the last write was blocked.
    pub(crate) fn is_refused(&self) -> bool {
        self.stalled_since.load(Relaxed) != 0
    }

    /// The system accepts more: the client has read. Returns how long it did not.
    pub(crate) fn has_room(&self) -> Duration {
        let since = self.stalled_since.swap(0, Relaxed);
        Duration::from_millis(self.now().saturating_sub(since))
    }

    /// Total bytes accepted by the system.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether an HTTP/1.1 response is in progress.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_busy() && self.answered.load(Relaxed)
    }

    /// Whether an HTTP/1.1 response is in progress that has had nothing to send since this many bytes were
    /// written.
    pub(crate) fn is_silent_since(&self, written: u64) -> bool {
        self.is_answering() && !self.is_refused() && self.written() == written
    }

    /// A request began; it ends on drop.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let others = self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        self.answered.store(false, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        let alone = self.read.swap(false, Relaxed) && others == 0;
        InFlight { watch: self.clone(), progress: None, alone }
    }

    /// The client sent too many frames beside its requests.
    pub(crate) fn was_flooded(&self) {
        self.flooded.store(true, Relaxed);
    }

    /// Whether the client sent too many frames beside its requests.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Checks the timeouts. HTTP/2 has frames that belong to no request: `heads` is false there.
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
        if self.is_busy() {
            let silent = heads && self.is_answering();
            return Verdict::AskAgain(if silent { patience.silence() } else { patience.write });
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
    /// Whether its client sent it after the previous response, as clients without pipelining do.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// The same request, for as long as this lives too.
    pub(crate) fn also(&self) -> Self {
        self.watch.in_flight.fetch_add(1, Relaxed);
        Self { watch: self.watch.clone(), progress: self.progress.clone(), alone: false }
    }

    /// The same, with the clock of its stream.
    pub(crate) fn on(mut self, progress: Arc<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Its response begins.
    pub(crate) fn answered(&self) {
        self.watch.answered.store(true, Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    fn after(seconds: u64) -> Arc<Watch> {
        let began = milliseconds().checked_sub(seconds * 1000).expect("the machine is up for minutes");
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
        assert!(watch.has_room() >= Duration::from_secs(99));
        assert!(matches!(watch.judge(&PATIENCE, true), Verdict::AskAgain(_)));
    }

    #[test]
    fn only_a_response_that_has_nothing_to_send_is_silent() {
        let watch = after(100);
        let request = watch.begin();
        assert!(!watch.is_silent_since(0), "the plugin has not answered yet");
        request.answered();
        assert!(watch.is_silent_since(0));
        watch.was_refused();
        assert!(!watch.is_silent_since(0), "it is the client that does not read");
        watch.has_room();
        watch.was_written(1, false);
        assert!(!watch.is_silent_since(0) && watch.is_silent_since(1));
        drop(request);
        assert!(!watch.is_silent_since(1), "there is none");
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
