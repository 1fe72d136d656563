//! W3C Trace Context: the `traceparent` of the request being handled.
//!
//! The SDK sets it on every poll of a handler, [`Host::spawn`](crate::Host::spawn) carries it into tasks,
//! every [`Client`](crate::Client) call sends it on, and every log record has it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// The number of processes that a request has crossed into, in decimal digits; missing: none. A request made
/// while another one is handled continues its count. Clients cannot set it ([`crate::principal::PREFIX`]).
pub const CROSSINGS: HeaderName = HeaderName::from_static("x-streamgate-crossings");

/// A `traceparent` of version 00 (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    crossings: u8,
}

/// Why a `traceparent` was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00, such as 00-<32 hex digits>-<16 hex digits>-01")]
pub struct InvalidTraceparent;

impl TraceContext {
    /// A new trace, sampled.
    pub fn random() -> Self {
        let trace_id = *uuid::Uuid::new_v4().as_bytes();
        Self { trace_id, span_id: new_span_id(), flags: 1, crossings: 0 }
    }

    /// The same trace with a new span: what a node passes on for its own work.
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        hex(&self.trace_id)
    }

    /// 16 lower-case hex digits.
    pub fn span_id(&self) -> String {
        hex(&self.span_id)
    }

    /// The trace context of a request with these fields, if it has one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::of_head(headers, true)
    }

    /// The same, if these fields may have [`CROSSINGS`] or cannot.
    pub(crate) fn of_head(headers: &HeaderMap, crossed: bool) -> Option<Self> {
        let context = Self::from_bytes(headers.get(TRACEPARENT)?.as_bytes()).ok()?;
        let crossings = if crossed { crossings(headers) } else { 0 };
        Some(Self { crossings, ..context })
    }

    /// As a header's value.
    pub fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.to_bytes()).expect("hex digits and hyphens are a header value")
    }

    /// Sets it on a request that does not have one.
    pub(crate) fn put_on(self, headers: &mut HeaderMap) {
        if !headers.contains_key(TRACEPARENT) {
            headers.insert(TRACEPARENT, self.to_header());
        }
        if self.crossings > 0 && !headers.contains_key(CROSSINGS) {
            headers.insert(CROSSINGS, HeaderValue::from(u16::from(self.crossings)));
        }
    }

    fn to_bytes(self) -> [u8; 55] {
        let mut out = [b'-'; 55];
        out[..2].copy_from_slice(b"00");
        hex_into(&self.trace_id, &mut out[3..35]);
        hex_into(&self.span_id, &mut out[36..52]);
        hex_into(&[self.flags], &mut out[53..55]);
        out
    }

    /// Parses a header's value. Later versions are parsed as version 00, as section 3.2.1 requires.
    ///
    /// # Errors
    /// If it is not a `traceparent`, or one of its ids is zero.
    pub fn from_bytes(value: &[u8]) -> Result<Self, InvalidTraceparent> {
        let field = |range: std::ops::Range<usize>| value.get(range).ok_or(InvalidTraceparent);
        let dashes = [2, 35, 52].iter().all(|&at| value.get(at) == Some(&b'-'));
        let version = unhex::<1>(field(0..2)?)?[0];
        let length_fits =
            if version == 0 { value.len() == 55 } else { value.len() == 55 || value.get(55) == Some(&b'-') };
        let context = Self {
            trace_id: unhex(field(3..35)?)?,
            span_id: unhex(field(36..52)?)?,
            flags: unhex::<1>(field(53..55)?)?[0] & 1,
            crossings: 0,
        };
        let zero = context.trace_id == [0; 16] || context.span_id == [0; 8];
        if dashes && length_fits && version != 0xff && !zero { Ok(context) } else { Err(InvalidTraceparent) }
    }
}

/// The count of [`CROSSINGS`].
pub fn crossings(headers: &HeaderMap) -> u8 {
    let count = headers.get(CROSSINGS).and_then(|count| count.to_str().ok());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.flags)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex_into(bytes: &[u8], out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The value of each byte as a digit; `NO_DIGIT` for all others.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xff;

/// Parsed for every request, so without a branch for each digit.
fn unhex<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidTraceparent> {
    let (mut out, mut seen) = ([0; N], 0);
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    if seen > 15 { Err(InvalidTraceparent) } else { Ok(out) }
}

fn new_span_id() -> [u8; 8] {
    random().max(1).to_be_bytes()
}

/// For ids that must be unlikely to collide, not unguessable.
pub(crate) fn random() -> u64 {
    thread_local! {
        /// SplitMix64, seeded for each thread from the system's randomness: ids are created once per request
        /// or event.
        static STATE: Cell<u64> = Cell::new(u64::from_le_bytes(
            uuid::Uuid::new_v4().as_bytes()[8..].try_into().expect("16 bytes less 8 are 8"),
        ));
    }
    STATE.with(|state| {
        let mut z = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(z);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

thread_local! {
    static CURRENT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// The context of the current request or task.
pub fn current() -> Option<TraceContext> {
    CURRENT.get()
}

/// Restores the previous context on drop.
pub(crate) struct Entered(Option<TraceContext>);

pub(crate) fn enter(context: Option<TraceContext>) -> Entered {
    Entered(CURRENT.replace(context))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

pin_project_lite::pin_project! {
    /// A future that always runs in one trace context.
    pub struct InContext<F> {
        #[pin]
        inner: F,
        context: Option<TraceContext>,
    }
}

/// Runs `inner` in `context`, for work that one task does for another's request.
pub fn in_context<F: Future>(context: Option<TraceContext>, inner: F) -> InContext<F> {
    InContext { inner, context }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = enter(*this.context);
        this.inner.poll(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_recommendation_is_read_and_written_alike() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: TraceContext = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        assert_eq!(context.to_header(), text);
        assert_eq!(context.child().trace_id(), context.trace_id());
        assert_ne!(context.child().span_id(), context.span_id());
    }

    #[test]
    fn zero_ids_upper_case_and_version_ff_are_refused() {
        for text in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "",
        ] {
            assert!(text.parse::<TraceContext>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_within_another_continues_its_trace_and_its_count() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        headers.insert(CROSSINGS, HeaderValue::from_static("3"));
        assert_eq!(TraceContext::of(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_static(text));
        let mut within = HeaderMap::new();
        TraceContext::of(&headers).unwrap().put_on(&mut within);
        assert_eq!((within, crossings(&headers)), (headers.clone(), 3));
        for nonsense in ["", "-1", "256", "x"] {
            headers.insert(CROSSINGS, HeaderValue::from_static(nonsense));
            assert_eq!(crossings(&headers), 0, "{nonsense}");
        }
        // The request's own value counts.
        let mut own = HeaderMap::from_iter([(CROSSINGS, HeaderValue::from_static("1"))]);
        TraceContext { crossings: 7, ..TraceContext::random() }.put_on(&mut own);
        assert_eq!(crossings(&own), 1);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(bytes: Vec<u8>) {
            let _ = TraceContext::from_bytes(&bytes);
        }
    }
}
