//! The layout of a rendition's segments in rows: 64 to a chunk, each chunk one protobuf message. Pure: it
//! never touches the database.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use streamgate_contracts::catalogue::v1::{RenditionSegments, Segment};

use crate::limits;

/// Segments of one row.
pub(crate) const CHUNK: u32 = 64;

/// Segments that do not match the existing ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSegments {
    #[error("segment {number} of `{rendition}` would leave a gap: {next} is the next one")]
    Gap { rendition: String, number: u32, next: u32 },
    #[error("segment {number} of `{rendition}` {problem}")]
    Segment { rendition: String, number: u32, problem: &'static str },
    #[error("chunk {chunk} of `{rendition}` is damaged in the database")]
    Damaged { rendition: String, chunk: u32 },
}

/// Sums over the segments of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) segments: u32,
    pub(crate) bytes: u64,
    pub(crate) ticks: u64,
}

impl Totals {
    /// Measured bits a second; `None` before there is a segment with a duration.
    pub(crate) fn bitrate(&self, timescale: u32) -> Option<u64> {
        let bits = u128::from(self.bytes) * 8 * u128::from(timescale);
        let rate = bits.checked_div(u128::from(self.ticks))?;
        u64::try_from(rate).ok()
    }
}

/// The chunks of these segments.
pub(crate) fn chunks_of(segments: &[Segment]) -> Vec<u32> {
    let mut chunks: Vec<u32> = segments.iter().map(|segment| segment.number / CHUNK).collect();
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

/// What a call adds to one rendition: the new totals and the chunks to write.
#[derive(Debug, PartialEq)]
pub(crate) struct Merged {
    pub(crate) totals: Totals,
    pub(crate) chunks: Vec<(u32, Bytes)>,
}

/// Merges `added` into the existing chunks (`stored`: those of [`chunks_of`] that exist). Segments of the
/// same number replace each other. No gap may remain between 0 and the last number.
pub(crate) fn merge(
    rendition: &str,
    totals: Totals,
    stored: Vec<(u32, Bytes)>,
    mut added: Vec<Segment>,
) -> Result<Merged, BadSegments> {
    let mut chunks: BTreeMap<u32, BTreeMap<u32, Segment>> = BTreeMap::new();
    for (chunk, data) in stored {
        let segments = decode(rendition, chunk, &data)?;
        chunks.insert(chunk, segments.into_iter().map(|segment| (segment.number, segment)).collect());
    }
    let mut after = totals;
    added.sort_by_key(|segment| segment.number);
    for segment in added {
        check(rendition, &segment)?;
        let number = segment.number;
        if number > after.segments {
            return Err(BadSegments::Gap { rendition: rendition.into(), number, next: after.segments });
        }
        let (bytes, ticks) = (u64::from(segment.bytes), segment.duration);
        match chunks.entry(number / CHUNK).or_default().insert(number, segment) {
            Some(old) => {
                after.bytes = after.bytes.saturating_sub(u64::from(old.bytes));
                after.ticks = after.ticks.saturating_sub(old.duration);
            }
            None => after.segments = after.segments.max(number + 1),
        }
        after.bytes = after.bytes.saturating_add(bytes);
        after.ticks = after.ticks.saturating_add(ticks);
    }
    let chunks = chunks.into_iter().map(|(chunk, segments)| (chunk, encode(segments))).collect();
    Ok(Merged { totals: after, chunks })
}

fn check(rendition: &str, segment: &Segment) -> Result<(), BadSegments> {
    let ends = segment.start.checked_add(segment.duration);
    let ascending = segment.sync_points.windows(2).all(|pair| pair[0].time < pair[1].time);
    let within = segment
        .sync_points
        .iter()
        .all(|point| point.offset.checked_add(point.length).is_some_and(|end| end <= segment.bytes));
    let problem = if segment.number >= limits::SEGMENTS {
        "is beyond the limit of 40,000"
    } else if segment.duration == 0 {
        "has no duration"
    } else if segment.bytes == 0 {
        "has no bytes"
    } else if ends.is_none_or(|end| end > i64::MAX as u64) {
        "ends beyond the largest time"
    } else if segment.sync_points.len() > limits::SYNC_POINTS {
        "has more than 1,024 sync points"
    } else if !ascending {
        "has sync points that are not in ascending order"
    } else if !within {
        "has a sync point beyond its end"
    } else {
        return Ok(());
    };
    Err(BadSegments::Segment { rendition: rendition.into(), number: segment.number, problem })
}

fn encode(segments: BTreeMap<u32, Segment>) -> Bytes {
    RenditionSegments { rendition: String::new(), segments: segments.into_values().collect() }
        .encode_to_vec()
        .into()
}

/// The segments of one stored chunk, in ascending order.
pub(crate) fn decode(rendition: &str, chunk: u32, data: &Bytes) -> Result<Vec<Segment>, BadSegments> {
    RenditionSegments::decode(data.clone())
        .map(|message| message.segments)
        .map_err(|_| BadSegments::Damaged { rendition: rendition.into(), chunk })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use streamgate_contracts::catalogue::v1::SyncPoint;

    fn segment(number: u32, bytes: u32) -> Segment {
        let sync_points = vec![SyncPoint { time: u64::from(number) * 180_000, offset: 0, length: bytes }];
        Segment { number, start: u64::from(number) * 180_000, duration: 180_000, bytes, sync_points }
    }

    /// A table of chunks, as stored.
    #[derive(Default)]
    struct Table {
        totals: Totals,
        chunks: BTreeMap<u32, Bytes>,
    }

    impl Table {
        fn put(&mut self, added: Vec<Segment>) -> Result<(), BadSegments> {
            let touched = chunks_of(&added);
            let stored = touched.iter().filter_map(|chunk| Some((*chunk, self.chunks.get(chunk)?.clone())));
            let merged = merge("720p", self.totals, stored.collect(), added)?;
            self.totals = merged.totals;
            self.chunks.extend(merged.chunks);
            Ok(())
        }

        fn segments(&self) -> Vec<Segment> {
            let chunks = self.chunks.iter();
            chunks.flat_map(|(chunk, data)| decode("720p", *chunk, data).unwrap()).collect()
        }
    }

    #[test]
    fn a_gap_is_refused_and_says_what_comes_next() {
        let mut table = Table::default();
        table.put(vec![segment(0, 10), segment(1, 10)]).unwrap();
        let error = table.put(vec![segment(3, 10)]).unwrap_err();
        assert_eq!(error.to_string(), "segment 3 of `720p` would leave a gap: 2 is the next one");
    }

    #[test]
    fn a_replaced_segment_counts_once() {
        let mut table = Table::default();
        table.put((0..200).map(|number| segment(number, 100)).collect()).unwrap();
        table.put(vec![segment(70, 50)]).unwrap();
        assert_eq!(table.totals, Totals { segments: 200, bytes: 19_950, ticks: 200 * 180_000 });
        assert_eq!(table.chunks.len(), 4);
        assert_eq!(table.segments()[70].bytes, 50);
    }

    #[test]
    fn the_measured_bitrate_is_bits_over_time() {
        let totals = Totals { segments: 2, bytes: 500_000, ticks: 360_000 };
        assert_eq!(totals.bitrate(90_000), Some(1_000_000));
        assert_eq!(Totals::default().bitrate(90_000), None);
    }

    #[test]
    fn impossible_segments_are_refused() {
        let good = segment(0, 10);
        let late = SyncPoint { time: 1, offset: 5, length: 6 };
        for bad in [
            Segment { duration: 0, ..good.clone() },
            Segment { bytes: 0, ..good.clone() },
            Segment { start: u64::MAX, ..good.clone() },
            Segment { sync_points: vec![late], ..good.clone() },
            Segment { sync_points: vec![late, SyncPoint { time: 0, ..late }], ..good.clone() },
        ] {
            assert!(Table::default().put(vec![bad.clone()]).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn chunks_hold_what_a_plain_map_would(
            calls in prop::collection::vec(prop::collection::vec((0u32..150, 1u32..1000), 1..40), 1..12)
        ) {
            let mut table = Table::default();
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for call in calls {
                let mut next: BTreeMap<u32, u32> = model.clone();
                next.extend(call.iter().copied());
                let whole = next.keys().copied().eq(0..next.len() as u32);
                let added = call.iter().map(|(number, bytes)| segment(*number, *bytes)).collect();
                prop_assert_eq!(table.put(added).is_ok(), whole);
                if whole {
                    model = next;
                }
                let held: BTreeMap<u32, u32> =
                    table.segments().iter().map(|segment| (segment.number, segment.bytes)).collect();
                prop_assert_eq!(&held, &model);
                prop_assert_eq!(table.totals.segments as usize, model.len());
                prop_assert_eq!(table.totals.bytes, model.values().map(|bytes| u64::from(*bytes)).sum::<u64>());
            }
        }
    }
}
