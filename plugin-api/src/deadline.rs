//! The deadline of a request, in the form of gRPC: `grpc-timeout`, the time left, so that clocks need not
//! agree.
//!
//! The SDK reads it from every incoming request: after it the handler is dropped and the answer is 504. Calls
//! that the handler makes meanwhile carry the time left, or less if they state less. Bodies that stream on
//! after the head, and spawned tasks, have no deadline.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::Problem;

/// The field name ("Timeout" in gRPC's protocol over HTTP/2).
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The maximum number of digits of a timeout.
const DIGITS: usize = 8;

/// An instant of this process's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

thread_local! {
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// The deadline of the request being handled.
pub fn current() -> Option<Deadline> {
    CURRENT.get()
}

impl Deadline {
    /// This long from now.
    pub fn within(time: Duration) -> Self {
        let now = Instant::now();
        // An overflow is effectively never: longer than eight digits of hours.
        Self(now.checked_add(time).unwrap_or(now + Duration::from_secs(u32::MAX.into())))
    }

    /// The deadline of a request with these fields, if it has one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        read(headers.get(GRPC_TIMEOUT)?.as_bytes()).map(Self::within)
    }

    /// The time left; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Sets it on a request, unless that has an earlier one; returns the effective one.
    pub fn put_on(self, headers: &mut HeaderMap) -> Self {
        if let Some(own) = Self::of(headers).filter(|own| *own <= self) {
            return own;
        }
        headers.insert(GRPC_TIMEOUT, written(self.remaining()));
        self
    }

    /// Sets the deadline of the current request on one that is made for it; returns the effective one.
    pub(crate) fn pass_on(headers: &mut HeaderMap) -> Option<Self> {
        match current() {
            Some(current) => Some(current.put_on(headers)),
            None => Self::of(headers),
        }
    }
}

/// A number of at most eight digits and its unit; `None` for anything else.
fn read(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// In the finest unit that fits.
fn written(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let (number, unit) = match (time.as_micros(), time.as_millis(), time.as_secs()) {
        (micros @ ..=MOST, ..) => (micros, 'u'),
        (_, millis @ ..=MOST, _) => (millis, 'm'),
        (.., seconds) if u128::from(seconds) <= MOST => (seconds.into(), 'S'),
        (.., seconds) => ((u128::from(seconds) / 3600).min(MOST), 'H'),
    };
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter are a header value")
}

/// Waits for a deadline. Most answers are ready before the second poll: only then it creates a timer.
pub(crate) enum Timer {
    Never,
    At(Deadline),
    Running(Pin<Box<Sleep>>),
}

impl Timer {
    pub(crate) fn new(deadline: Option<Deadline>) -> Self {
        deadline.map_or(Self::Never, Self::At)
    }

    /// Makes its deadline the current one, until the returned guard is dropped.
    pub(crate) fn enter(&self) -> Option<Entered> {
        let deadline = match self {
            Self::Never => return None,
            Self::At(deadline) => *deadline,
            Self::Running(sleep) => Deadline(sleep.deadline().into_std()),
        };
        Some(Entered(CURRENT.replace(Some(deadline))))
    }

    /// Ready once it has passed. Without a runtime there is no timer, and it never is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::At(deadline) = *self
            && Handle::try_current().is_ok()
        {
            *self = Self::Running(Box::pin(tokio::time::sleep_until(deadline.0.into())));
        }
        match self {
            Self::Running(sleep) => sleep.as_mut().poll(cx),
            Self::Never | Self::At(_) => Poll::Pending,
        }
    }
}

/// Restores the previous deadline on drop.
pub(crate) struct Entered(Option<Deadline>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The answer to a request whose deadline has passed.
pub(crate) fn exceeded() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", "Gateway timeout").detail(
        "The deadline of the request passed before its answer was ready. Whether it took effect is unknown.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_grpc_says_is_read_and_anything_else_is_no_deadline() {
        for (text, time) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("30S", Duration::from_secs(30)),
            ("250m", Duration::from_millis(250)),
            ("0u", Duration::ZERO),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ] {
            assert_eq!(read(text.as_bytes()), Some(time), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789m", "1 S"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_smaller_of_two_deadlines_is_passed_on() {
        let timer = Timer::new(Some(Deadline::within(Duration::from_secs(10))));
        let _entered = timer.enter();
        for (own, most) in [(None, 10), (Some("1H"), 10), (Some("5S"), 5), (Some("nonsense"), 10)] {
            let mut headers = HeaderMap::new();
            headers.extend(own.map(|own| (GRPC_TIMEOUT, HeaderValue::from_static(own))));
            let counts = Deadline::pass_on(&mut headers).unwrap().remaining();
            let sent = Deadline::of(&headers).unwrap().remaining();
            for time in [counts, sent] {
                assert!(time <= Duration::from_secs(most) && time > Duration::from_secs(most - 1), "{own:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_nearly_as_much(seconds in 0u64..200_000_000, nanos in 0u32..1_000_000_000) {
            let time = Duration::new(seconds, nanos);
            let back = read(written(time).as_bytes()).unwrap();
            prop_assert!(back <= time);
            prop_assert!(time - back <= Duration::from_micros(1).max(time / 10_000).max(Duration::from_secs(3600) * u32::from(seconds > 99_999_999)));
        }
    }
}
