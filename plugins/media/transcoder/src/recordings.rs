//! Consecutive recordings with other stream numbers: which stream continues which. A stream follows another
//! one of its kind if that one has ended when it begins; concurrent streams are beside each other.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ffmpeg_next as av;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::media::Type;

use crate::control::Control;
use crate::input::{self, nanoseconds};
use crate::source::Blocks;

/// Formats whose streams may come and go.
const ROWS: [&str; 2] = ["mpegts", "mpeg"];
/// Bytes at the beginning and at the end of a file that are read to find its concurrent streams.
const WINDOW: u64 = 8 << 20;
/// A stream without packets for this long after another one has begun is over: nanoseconds.
const OVER: i64 = 2_000_000_000;

/// Whether streams may come and go in this file.
pub(crate) fn may_differ(input: &Input) -> bool {
    ROWS.contains(&input.format().name())
}

/// A packet that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) stream: usize,
    /// Its position in the file.
    pub(crate) at: isize,
    /// Its decode time, nanoseconds.
    pub(crate) time: Option<i64>,
}

impl Seen {
    pub(crate) fn of(packet: &av::Packet, input: &Input) -> Self {
        let base = input.stream(packet.stream()).map(|stream| stream.time_base());
        let time = packet.dts().or(packet.pts()).zip(base).map(|(time, base)| nanoseconds(time, base));
        Self { stream: packet.stream(), at: packet.position(), time }
    }

    /// Whether this packet comes this much later in the stream of `first`.
    fn is_after(&self, first: &Self, time: i64) -> bool {
        let passed = self.time.zip(first.time).map(|(now, from)| now.saturating_sub(from));
        self.stream == first.stream && passed.is_some_and(|passed| passed >= time)
    }

    /// Whether enough was read, with this packet, to determine what the stream of `first` follows.
    pub(crate) fn is_enough(&self, first: &Self) -> bool {
        self.is_after(first, OVER)
    }
}

/// From the start of a stream to where this much time has passed in it; to the end, if it never has.
fn span(seen: &[Seen], stream: usize, time: i64) -> Option<Range<usize>> {
    let begins = seen.iter().position(|seen| seen.stream == stream)?;
    let passed = seen.iter().skip(begins).position(|now| now.is_after(&seen[begins], time));
    Some(begins..passed.map_or(seen.len(), |passed| begins + passed))
}

/// Whether enough was read of a stream that began at about the same time.
pub(crate) fn is_known(seen: &[Seen], stream: usize) -> bool {
    span(seen, stream, OVER / 2).is_some_and(|span| span.end < seen.len())
}

/// Whether a stream follows `other`, by packets in the order of the file. `None`: it has no packets here.
pub(crate) fn follows(seen: &[Seen], stream: usize, other: usize) -> Option<bool> {
    span(seen, stream, OVER).map(|span| seen[span].iter().all(|seen| seen.stream != other))
}

/// The streams of an opened file that do not belong to its first recording, by their indexes.
pub(crate) fn later(input: &Input, blocks: &Arc<Blocks>, control: &Arc<Control>) -> Vec<usize> {
    let mut later = Vec::new();
    if !may_differ(input) {
        return later;
    }
    let (size, head, tail) = (blocks.size(), OnceCell::new(), OnceCell::new());
    for kind in [Type::Video, Type::Audio] {
        let streams = input.streams().filter(|stream| stream.parameters().medium() == kind);
        let streams: Vec<_> = streams.map(|stream| stream.index()).collect();
        if streams.len() < 2 {
            continue;
        }
        let look = |part: Range<u64>| look(input, blocks, part, control);
        let head: &Vec<Seen> = head.get_or_init(|| look(0..size.min(WINDOW)));
        let Some(first) = head.iter().map(|seen| seen.stream).find(|stream| streams.contains(stream)) else {
            continue;
        };
        later.extend(streams.into_iter().filter(|stream| *stream != first).filter(|stream| {
            let in_tail =
                || follows(tail.get_or_init(|| look(size.saturating_sub(WINDOW)..size)), *stream, first);
            follows(head, *stream, first).or_else(in_tail).unwrap_or(false)
        }));
    }
    later
}

/// The packets in a part of a file, in its order. Empty, if the part cannot be read alone.
fn look(input: &Input, blocks: &Arc<Blocks>, part: Range<u64>, control: &Arc<Control>) -> Vec<Seen> {
    let Ok((mut part, _)) = input::open(blocks, part, control) else { return Vec::new() };
    let (mut seen, mut places) = (Vec::new(), HashMap::new());
    loop {
        let mut packet = av::Packet::empty();
        if packet.read(&mut part).is_err() {
            break;
        }
        // Their indexes may differ, their numbers do not.
        let number = part.stream(packet.stream()).map(|stream| stream.id());
        let Some(same) = input.streams().find(|stream| Some(stream.id()) == number) else { continue };
        let packet = Seen { stream: same.index(), ..Seen::of(&packet, &part) };
        // A packet that begins where another one does has no position of its own.
        let place = places.entry(packet.stream).or_insert(0);
        *place = if packet.at < 0 { *place } else { packet.at };
        seen.push(Seen { at: *place, ..packet });
    }
    // The last packets of a stream come at the very end.
    seen.sort_by_key(|seen| seen.at);
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet each 500 ms of the streams present, one digit each.
    fn seen(file: &[&str]) -> Vec<Seen> {
        let streams = |(at, streams): (usize, &&str)| {
            let digits: Vec<_> = streams.chars().filter_map(|digit| digit.to_digit(10)).collect();
            let time = Some(at as i64 * 500_000_000);
            digits.into_iter().map(move |stream| Seen { stream: stream as usize, at: at as isize, time })
        };
        file.iter().enumerate().flat_map(streams).collect()
    }

    #[test]
    fn a_stream_follows_one_of_which_nothing_comes_any_more() {
        let row = seen(&["01", "01", "01", "23", "23", "23", "23", "23", "01", "01"]);
        assert_eq!(follows(&row, 2, 0), Some(true), "the first one comes again, but later");
        assert_eq!(follows(&row, 3, 1), Some(true));
        assert!(is_known(&row, 2));
        assert_eq!(follows(&row, 4, 0), None);
    }

    #[test]
    fn streams_at_the_same_time_are_beside_each_other() {
        let beside = seen(&["01", "01", "012", "01", "0", "012", "02", "02"]);
        assert_eq!(follows(&beside, 2, 0), Some(false));
        assert_eq!(follows(&beside, 2, 1), Some(false));
        assert!(is_known(&beside, 2));
        assert!(!is_known(&beside[..5], 2), "one packet was seen");
    }
}
