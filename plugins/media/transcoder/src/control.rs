//! Shared by the threads of one encode: stop requests, the first failure, signs of life and the finished
//! tracks. It never blocks a media thread.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why an encode failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EncodeError {
    /// The file itself is the reason; a retry will not help.
    #[error("{reason}")]
    Input {
        /// One sentence for the person who uploaded it.
        reason: String,
        /// The media library's message, for the log.
        detail: String,
    },
    /// The bytes of the source could not be read.
    #[error("the source could not be read: {0}")]
    Source(String),
    /// The result could not be stored.
    #[error("the result could not be stored: {0}")]
    Sink(String),
    /// The media library failed for a reason of its own.
    #[error("the encoder failed: {0}")]
    Engine(String),
    /// The segments of an earlier attempt cannot be continued: start over.
    #[error("the segments of an earlier attempt were made differently")]
    Changed,
    /// [`Control::cancel`] was called.
    #[error("stopped")]
    Cancelled,
}

impl EncodeError {
    /// An [`EncodeError::Input`].
    pub fn input(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Input { reason: reason.into(), detail: detail.into() }
    }
}

#[derive(Debug, Default)]
struct State {
    failure: Option<EncodeError>,
    tracks_left: usize,
}

/// Shared by all threads of one encode, and its owners who may stop it.
#[derive(Debug, Default)]
pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    life: AtomicU64,
    waiting: AtomicUsize,
}

/// While it lives, a media thread waits for the source or the sink.
pub(crate) struct Waiting<'a>(&'a Control);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.alive();
    }
}

impl Control {
    /// A new one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Stops the encode soon; it ends with [`EncodeError::Cancelled`].
    pub fn cancel(&self) {
        self.fail(EncodeError::Cancelled);
    }

    /// Records the first failure and stops everything.
    pub(crate) fn fail(&self, error: EncodeError) {
        self.lock().failure.get_or_insert(error);
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<EncodeError> {
        self.lock().failure.clone()
    }

    /// Progress was made: the watchdog restarts.
    pub(crate) fn alive(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }

    /// Until the guard is dropped, other limits apply: the watchdog waits.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }

    pub(crate) fn expect_tracks(&self, count: usize) {
        self.lock().tracks_left = count;
    }

    pub(crate) fn track_done(&self) {
        let mut state = self.lock();
        state.tracks_left = state.tracks_left.saturating_sub(1);
        drop(state);
        self.alive();
        self.changed.notify_all();
    }

    /// Waits until all expected tracks are done. Errors: the first failure, no progress for `stall`, or
    /// `deadline` passed.
    pub(crate) fn wait(&self, stall: Duration, deadline: Instant) -> Result<(), EncodeError> {
        let mut watch = Watchdog::new(self, stall);
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.tracks_left == 0 {
                return Ok(());
            }
            watch.check(self)?;
            over(deadline)?;
            state = self
                .changed
                .wait_timeout(state, Duration::from_millis(250))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error once `deadline` has passed.
pub(crate) fn over(deadline: Instant) -> Result<(), EncodeError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(EncodeError::input(
        "Encoding this file takes longer than this server allows.",
        "the wall time limit (setting max_wall_time) was reached",
    ))
}

/// Notices a lack of progress.
pub(crate) struct Watchdog {
    life: u64,
    since: Instant,
    stall: Duration,
}

impl Watchdog {
    pub(crate) fn new(control: &Control, stall: Duration) -> Self {
        Self { life: control.life(), since: Instant::now(), stall }
    }

    pub(crate) fn check(&mut self, control: &Control) -> Result<(), EncodeError> {
        let life = control.life();
        if life != self.life || control.waiting.load(Ordering::Relaxed) > 0 {
            *self = Self { life, since: Instant::now(), stall: self.stall };
        }
        if self.since.elapsed() < self.stall {
            return Ok(());
        }
        Err(EncodeError::input(
            format!(
                "The file stopped giving pictures or sound: nothing came for {} s.",
                self.stall.as_secs()
            ),
            "the watchdog (setting stall_timeout) fired",
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn waiting_ends_when_all_tracks_are_done() {
        let control = Control::new();
        control.expect_tracks(2);
        control.track_done();
        let other = Arc::clone(&control);
        let thread = std::thread::spawn(move || other.track_done());
        control.wait(Duration::from_secs(20), soon()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn the_first_failure_wins() {
        let control = Control::new();
        control.expect_tracks(1);
        control.fail(EncodeError::Engine("first".to_owned()));
        control.cancel();
        assert!(matches!(control.wait(Duration::from_secs(20), soon()), Err(EncodeError::Engine(_))));
    }

    #[test]
    fn waiting_for_source_or_sink_is_no_silence() {
        let control = Control::new();
        let mut watch = Watchdog::new(&control, Duration::ZERO);
        let waiting = control.waiting();
        watch.stall = Duration::from_secs(20);
        watch.check(&control).unwrap();
        drop(waiting);
        watch.stall = Duration::ZERO;
        assert!(watch.check(&control).is_err());
    }

    #[test]
    fn silence_ends_with_a_reason() {
        let control = Control::new();
        control.expect_tracks(1);
        let error = control.wait(Duration::ZERO, soon()).unwrap_err();
        assert!(error.to_string().contains("stopped giving"), "{error}");
        let error = control.wait(Duration::from_secs(20), Instant::now()).unwrap_err();
        assert!(error.to_string().contains("longer than this server allows"), "{error}");
    }
}
