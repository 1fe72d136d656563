//! Properties of containers that libav knows and its binding does not expose: names of sample entries, and
//! the pixel aspect ratio. Reads a few headers, bounded; it never reads media.

use std::ops::Range;
use std::sync::Arc;

use crate::source::Blocks;

/// Maximum boxes or elements read at one level.
const MOST: usize = 1000;

/// The properties of one track of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TrackFacts {
    /// The name of its sample entry, in MP4 and MOV.
    pub(crate) entry: Option<[u8; 4]>,
    /// Width and height of a pixel, if declared.
    pub(crate) aspect: Option<(u32, u32)>,
}

/// The tracks of a container by their index, if its `format` (libav's name of it) is read here.
pub(crate) fn tracks(blocks: &Arc<Blocks>, format: &str) -> Vec<TrackFacts> {
    let is = |wanted: &str| format.split(',').any(|name| name == wanted);
    match () {
        () if is("mov") => boxed(blocks),
        () if is("matroska") => matroska(blocks),
        () => Vec::new(),
    }
}

/// Whether an MP4 or MOV file has track headers at its top level.
pub(crate) fn has_tracks(blocks: &Arc<Blocks>) -> bool {
    boxes(blocks, 0..blocks.size()).any(|(kind, _)| &kind == b"moov" || &kind == b"moof")
}

/// The boxes in a range: the type of each, and the range of its content (ISO/IEC 14496-12 §4.2).
fn boxes(blocks: &Arc<Blocks>, within: Range<u64>) -> impl Iterator<Item = ([u8; 4], Range<u64>)> {
    let mut at = within.start;
    let next = move || {
        if at >= within.end {
            return None;
        }
        let header = blocks.read(at, 16).ok()?.concat();
        let (size, kind) = (header.first_chunk::<4>()?, *header.get(4..8)?.first_chunk::<4>()?);
        let (size, head) = match u32::from_be_bytes(*size) {
            0 => (within.end - at, 8),
            1 => (u64::from_be_bytes(*header.get(8..16)?.first_chunk::<8>()?), 16),
            size => (u64::from(size), 8),
        };
        let inside = at + head..at.checked_add(size).filter(|_| size >= head)?.min(within.end);
        at = inside.end;
        Some((kind, inside))
    };
    std::iter::from_fn(next).take(MOST)
}

fn boxed(blocks: &Arc<Blocks>) -> Vec<TrackFacts> {
    /// The fields of a visual sample entry before its boxes (§12.1.3).
    const VISUAL_SAMPLE_ENTRY: u64 = 78;
    let inside = |within: Range<u64>, kind: &'static [u8; 4]| {
        boxes(blocks, within).filter(move |found| &found.0 == kind).map(|(_, inside)| inside)
    };
    let track = |track: Range<u64>| {
        let mut place = Some(track);
        for kind in [b"mdia", b"minf", b"stbl", b"stsd"] {
            place = place.and_then(|within| inside(within, kind).next());
        }
        // Version, flags and the number of entries precede the first one (§8.5.2).
        let (kind, entry) = boxes(blocks, place.map(|stsd| stsd.start + 8..stsd.end)?).next()?;
        // §12.1.4.2
        let aspect = inside(entry.start + VISUAL_SAMPLE_ENTRY..entry.end, b"pasp").next().and_then(|pasp| {
            let said = blocks.read(pasp.start, 8).ok()?.concat();
            let number =
                |at: usize| said.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
            number(0).zip(number(4))
        });
        Some(TrackFacts {
            entry: Some(kind),
            aspect: aspect.filter(|(width, height)| *width > 0 && *height > 0),
        })
    };
    let movie = inside(0..blocks.size(), b"moov").next();
    movie
        .into_iter()
        .flat_map(|movie| inside(movie, b"trak"))
        .map(|place| track(place).unwrap_or_default())
        .collect()
}

/// The elements in a range: the id of each, and the range of its content (RFC 8794 §4 to §6).
fn elements(blocks: &Arc<Blocks>, within: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> {
    let mut at = within.start;
    let next = move || {
        if at >= within.end {
            return None;
        }
        let header = blocks.read(at, 12).ok()?.concat();
        let (id, id_length) = number(&header, true)?;
        let (size, size_length) = number(header.get(id_length..)?, false)?;
        let start = at + (id_length + size_length) as u64;
        // All ones: unknown length.
        let unknown = size == (1 << (7 * size_length)) - 1;
        let end = if unknown { within.end } else { start.checked_add(size)?.min(within.end) };
        at = end;
        Some((id, start..end))
    };
    std::iter::from_fn(next).take(MOST)
}

/// A number of variable length, with its marker if it is an id, and its size in bytes.
fn number(data: &[u8], with_marker: bool) -> Option<(u64, usize)> {
    let first = *data.first()?;
    let length = first.leading_zeros() as usize + 1;
    let bytes = data.get(..length).filter(|_| length <= 8)?;
    let value = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    Some((if with_marker { value } else { value & ((1 << (7 * length)) - 1) }, length))
}

fn matroska(blocks: &Arc<Blocks>) -> Vec<TrackFacts> {
    const SEGMENT: u64 = 0x1853_8067;
    const TRACKS: u64 = 0x1654_AE6B;
    const TRACK_ENTRY: u64 = 0xAE;
    const VIDEO: u64 = 0xE0;
    // RFC 9559 §5.1.4.1.28
    const PIXELS: [u64; 2] = [0xB0, 0xBA];
    const DISPLAY: [u64; 2] = [0x54B0, 0x54BA];
    const DISPLAY_UNIT: u64 = 0x54B2;
    let inside = |within: Range<u64>, id: u64| {
        elements(blocks, within).find(|found| found.0 == id).map(|(_, inside)| inside)
    };
    let unsigned = |place: Range<u64>| {
        let length = usize::try_from(place.end - place.start).ok().filter(|length| *length <= 8)?;
        let bytes = blocks.read(place.start, length).ok()?.concat();
        Some(bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let track = |track: Range<u64>| {
        let video = inside(track, VIDEO)?;
        let said = |id: u64| inside(video.clone(), id).and_then(unsigned).filter(|number| *number > 0);
        // In an unknown unit they are meaningless.
        if said(DISPLAY_UNIT).is_some_and(|unit| unit > 3) {
            return None;
        }
        let (pixels, display) = (PIXELS.map(said), DISPLAY.map(said));
        let across = u128::from(display[0]?) * u128::from(pixels[1]?);
        let down = u128::from(display[1]?) * u128::from(pixels[0]?);
        let common = gcd(across, down);
        Some((u32::try_from(across / common).ok()?, u32::try_from(down / common).ok()?))
    };
    let tracks = inside(0..blocks.size(), SEGMENT).and_then(|segment| inside(segment, TRACKS));
    let entries = tracks.into_iter().flat_map(|tracks| elements(blocks, tracks));
    entries
        .filter(|(id, _)| *id == TRACK_ENTRY)
        .map(|(_, place)| TrackFacts { entry: None, aspect: track(place) })
        .collect()
}

fn gcd(one: u128, other: u128) -> u128 {
    if other == 0 { one.max(1) } else { gcd(other, one % other) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::segment::tests::bx;
    use crate::source::tests::Memory;
    use proptest::prelude::*;

    fn blocks(data: Vec<u8>) -> Arc<Blocks> {
        Arc::new(Blocks::new(Arc::new(Memory(data.into()))).unwrap())
    }

    fn track(kind: &[u8; 4], pixel: Option<(u32, u32)>) -> Vec<u8> {
        let pasp =
            |(width, height): (u32, u32)| bx(b"pasp", &[width.to_be_bytes(), height.to_be_bytes()].concat());
        let entry = bx(kind, &[vec![0; 78], pixel.map(pasp).unwrap_or_default()].concat());
        let stsd = bx(b"stsd", &[vec![0, 0, 0, 0, 0, 0, 0, 1], entry].concat());
        bx(b"trak", &bx(b"mdia", &bx(b"minf", &bx(b"stbl", &stsd))))
    }

    #[test]
    fn a_movie_says_what_its_sample_entries_are_called_and_how_its_pixels_are_shaped() {
        let tracks_of = [track(b"apcn", Some((4, 3))), track(b"apac", None)].concat();
        let file = [bx(b"ftyp", b"qt  "), bx(b"moov", &tracks_of)].concat();
        let found = tracks(&blocks(file), "mov,mp4,m4a,3gp,3g2,mj2");
        assert_eq!(found[0], TrackFacts { entry: Some(*b"apcn"), aspect: Some((4, 3)) });
        assert_eq!(found[1], TrackFacts { entry: Some(*b"apac"), aspect: None });
    }

    #[test]
    fn a_matroska_file_says_how_its_pixels_are_shaped_by_the_size_that_it_is_shown_in() {
        let element = |id: &[u8], body: &[u8]| [id, &[0x80 | body.len() as u8], body].concat();
        let video = [
            element(&[0xB0], &[120]),
            element(&[0xBA], &[90]),
            element(&[0x54, 0xB0], &[160]),
            element(&[0x54, 0xBA], &[90]),
        ]
        .concat();
        let entry = element(&[0xAE], &element(&[0xE0], &video));
        let tracks_of = element(&[0x16, 0x54, 0xAE, 0x6B], &entry);
        // A segment of unknown length.
        let file =
            [element(&[0x1A, 0x45, 0xDF, 0xA3], b""), vec![0x18, 0x53, 0x80, 0x67, 0xFF], tracks_of].concat();
        let found = tracks(&blocks(file), "matroska,webm");
        assert_eq!(found, [TrackFacts { entry: None, aspect: Some((4, 3)) }]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 1..400), magic in 0..3) {
            let head: &[u8] = [&b"\0\0\0\x08moov"[..], &[0x18, 0x53, 0x80, 0x67, 0xFF, 0x16, 0x54, 0xAE, 0x6B, 0xFF], b""]
                [magic as usize];
            let blocks = blocks([head, &data].concat());
            let _ = tracks(&blocks, "mov");
            let _ = tracks(&blocks, "matroska");
        }
    }
}
