//! Counts the frames that an HTTP/2 client sends beside its requests (RFC 9113 §10.5). Nothing else limits
//! SETTINGS, PING, PRIORITY, WINDOW_UPDATE and unknown frames: each costs work here, and nothing for the
//! client.

use std::time::Instant;

/// Bytes of the client's preface, before the first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;
/// Control frames allowed at once, and per second.
const BURST: u64 = 1_000;
const PER_SECOND: u64 = 50;
/// Bytes of requests and responses that allow one more frame: a client with much traffic sends many window
/// updates.
const BYTES_FOR_ONE: u64 = 256;

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Frames {
    preface_left: usize,
    header: [u8; HEADER],
    filled: usize,
    payload_left: usize,
    left: u64,
    /// Towards the next control frame.
    bytes: u64,
    refilled: Instant,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            preface_left: PREFACE,
            header: [0; HEADER],
            filled: 0,
            payload_left: 0,
            left: BURST,
            bytes: 0,
            refilled: Instant::now(),
        }
    }

    /// Bytes of responses were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Bytes were received, split in any way. Returns whether they are within the limits.
    pub(crate) fn received(&mut self, mut bytes: &[u8]) -> bool {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            let payload = self.payload_left.min(bytes.len());
            self.payload_left -= payload;
            bytes = &bytes[payload..];
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                self.filled = 0;
                let [high, mid, low, kind, ..] = self.header;
                self.payload_left = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
                if !self.is_within_bounds(kind) {
                    return false;
                }
            }
        }
        true
    }

    fn is_within_bounds(&mut self, kind: u8) -> bool {
        // DATA with content, HEADERS and CONTINUATION are requests; the library limits those itself.
        let of_a_request = matches!(kind, 0x0 | 0x1 | 0x9) && self.payload_left > 0;
        if of_a_request {
            self.bytes += self.payload_left as u64;
            return true;
        }
        if self.left == 0 {
            self.refill();
        }
        let within = self.left > 0;
        self.left = self.left.saturating_sub(1);
        within
    }

    fn refill(&mut self) {
        let seconds = self.refilled.elapsed().as_secs();
        if seconds > 0 {
            self.refilled = Instant::now();
        }
        let more = seconds.saturating_mul(PER_SECOND) + self.bytes / BYTES_FOR_ONE;
        self.bytes %= BYTES_FOR_ONE;
        self.left = (self.left + more).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, mid, low] = (length as u32).to_be_bytes();
        let mut frame = vec![high, mid, low, kind, 0, 0, 0, 0, 0];
        frame.resize(HEADER + length, kind);
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        assert!(frames.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        frames
    }

    #[test]
    fn a_flood_of_any_kind_of_control_frame_is_seen() {
        // PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, an unknown one, and DATA without data.
        for (kind, length) in [(2, 5), (3, 4), (4, 0), (6, 8), (8, 4), (0x42, 0), (0x42, 900), (0, 0)] {
            let mut frames = begun();
            let flood = (0..BURST + 1).take_while(|_| frames.received(&frame(kind, length))).count();
            assert_eq!(flood as u64, BURST, "frames of kind {kind} with {length} bytes");
        }
    }

    #[test]
    fn a_client_with_much_traffic_may_send_many_window_updates() {
        let mut frames = begun();
        for _ in 0..20_000 {
            frames.sent(16 << 10);
            assert!((0..4).all(|_| frames.received(&frame(8, 4))));
        }
        for _ in 0..20_000 {
            assert!(frames.received(&frame(0, 1024)) && frames.received(&frame(6, 8)));
        }
    }

    proptest! {
        #[test]
        fn frames_are_counted_alike_however_they_are_cut(
            kinds in prop::collection::vec((0_u8..12, 0_usize..600), 0..40),
            cuts in prop::collection::vec(1_usize..700, 1..20),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(kinds.iter().flat_map(|(kind, length)| frame(*kind, *length)));
            let (mut whole, mut cut) = (Frames::new(), Frames::new());
            prop_assert!(whole.received(&bytes));
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let at = (*cuts.next().expect("a cycle")).min(rest.len());
                prop_assert!(cut.received(&rest[..at]));
                rest = &rest[at..];
            }
            prop_assert_eq!((whole.left, whole.bytes, whole.payload_left), (cut.left, cut.bytes, cut.payload_left));
        }
    }
}
