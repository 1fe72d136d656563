//! Invariants of the text parsers for any bytes; fuzz targets call it.

use crate::closed::Closed;
use crate::texts;

/// A packet of a text track, and triplets of closed captions.
pub fn texts(data: &[u8]) {
    texts::fuzz(data);
    let mut closed = Closed::new();
    for (at, triplets) in data.chunks(30).enumerate() {
        closed.take(40 * at as u64, triplets);
    }
    for channel in closed.finish(40 * data.len() as u64 + 1_000) {
        for pair in channel.cues.windows(2) {
            assert!(pair[0].end_ms <= pair[1].start_ms, "{pair:?}");
        }
        assert!(channel.cues.iter().all(|cue| cue.start_ms < cue.end_ms), "{:?}", channel.cues);
    }
}
