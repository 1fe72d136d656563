//! Reads and restamps the CMAF boxes (ISO/IEC 14496-12, 23000-19) that the muxer makes: the properties of an
//! init segment, and of a segment its exact times and its key frame. Bytes are untrusted: every length is
//! checked and nothing here panics. It never decodes media and never builds boxes.

use std::ops::Range;

/// Why bytes are not the box structure they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// A length points outside of its parent, or a field is truncated.
    #[error("box `{0}` is cut off or too long")]
    Truncated(String),
    /// A required box is missing.
    #[error("box `{0}` is missing")]
    Missing(&'static str),
    /// A value this code does not handle.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// The facts of an init segment with one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// RFC 6381: `avc1.64001f`, `mp4a.40.2`.
    pub codec: String,
    /// Ticks a second of the track.
    pub timescale: u32,
    /// The range of the sample description; equal bytes mean interchangeable segments.
    pub sample_description: Range<usize>,
}

/// The facts of a segment: one `moof` and its `mdat`, perhaps after a `styp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Decode time of the first sample, ticks.
    pub start: u64,
    /// Sum of the sample durations, ticks.
    pub duration: u64,
    /// Number of samples.
    pub samples: u32,
    /// Where the `moof` starts.
    pub moof: usize,
    /// Where the first sample's data ends.
    pub first_sample_end: usize,
    /// Whether the first sample is a sync sample.
    pub starts_with_sync: bool,
    sequence_at: usize,
    start_at: usize,
    start_is_64_bits: bool,
}

struct BoxAt {
    kind: [u8; 4],
    start: usize,
    body: Range<usize>,
}

fn name(kind: [u8; 4]) -> String {
    kind.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect()
}

/// Walks the boxes within `range`, stopping at the first that is malformed.
fn boxes(data: &[u8], range: Range<usize>) -> impl Iterator<Item = Result<BoxAt, BoxError>> + '_ {
    let end = range.end.min(data.len());
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        match box_at(data, at, end) {
            Ok(found) => {
                at = found.body.end;
                Some(Ok(found))
            }
            Err(error) => {
                at = end;
                Some(Err(error))
            }
        }
    })
}

/// The complete boxes of some bytes: the type of each, and its content.
pub(crate) fn insides(data: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let whole = boxes(data, 0..data.len()).map_while(Result::ok);
    whole.map(|found| (found.kind, data.get(found.body).unwrap_or_default()))
}

fn box_at(data: &[u8], at: usize, end: usize) -> Result<BoxAt, BoxError> {
    let header = data.get(at..end).unwrap_or_default();
    let short = || BoxError::Truncated("header".to_owned());
    let size = be32(header, 0).ok_or_else(short)?;
    let kind: [u8; 4] = header.get(4..8).and_then(|b| b.try_into().ok()).ok_or_else(short)?;
    let truncated = || BoxError::Truncated(name(kind));
    let (head, size) = match size {
        0 => (8, header.len()),
        1 => (16, usize::try_from(be64(header, 8).ok_or_else(truncated)?).map_err(|_| truncated())?),
        size => (8, size as usize),
    };
    if size < head || size > header.len() {
        return Err(truncated());
    }
    Ok(BoxAt { kind, start: at, body: at + head..at + size })
}

fn find(data: &[u8], range: Range<usize>, kind: &'static str) -> Result<BoxAt, BoxError> {
    for found in boxes(data, range) {
        let found = found?;
        if found.kind == kind.as_bytes() {
            return Ok(found);
        }
    }
    Err(BoxError::Missing(kind))
}

fn descend(data: &[u8], path: &[&'static str]) -> Result<BoxAt, BoxError> {
    let mut found = BoxAt { kind: *b"file", start: 0, body: 0..data.len() };
    for kind in path {
        found = find(data, found.body, kind)?;
    }
    Ok(found)
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn be64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(data.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Reads an init segment.
pub fn parse_init(data: &[u8]) -> Result<Init, BoxError> {
    let media = descend(data, &["moov", "trak", "mdia"])?;
    let mdhd = find(data, media.body.clone(), "mdhd")?;
    let header = data.get(mdhd.body.clone()).unwrap_or_default();
    let timescale_at = if header.first() == Some(&1) { 20 } else { 12 };
    let timescale = be32(header, timescale_at)
        .filter(|scale| *scale > 0)
        .ok_or_else(|| BoxError::Truncated("mdhd".to_owned()))?;
    let minf = find(data, media.body, "minf")?;
    let stbl = find(data, minf.body, "stbl")?;
    let stsd = find(data, stbl.body, "stsd")?;
    let entries = stsd.body.start.saturating_add(8)..stsd.body.end;
    let entry = boxes(data, entries).next().ok_or(BoxError::Missing("sample entry"))??;
    let codec = match &entry.kind {
        b"avc1" | b"avc3" => avc_codec(data, &entry)?,
        b"mp4a" => aac_codec(data, &entry)?,
        _ => return Err(BoxError::Unsupported("the sample entry is neither AVC nor AAC")),
    };
    Ok(Init { codec, timescale, sample_description: stsd.start..stsd.body.end })
}

/// Zeroes the creation and modification times of an init segment's boxes (ISO/IEC 14496-12 §8.2.2, §8.3.2,
/// §8.4.2), so that the same media has the same bytes.
pub fn clear_times(data: &mut [u8]) -> Result<(), BoxError> {
    for path in [&["moov", "mvhd"][..], &["moov", "trak", "tkhd"], &["moov", "trak", "mdia", "mdhd"]] {
        let found = descend(data, path)?;
        let body = data.get_mut(found.body).unwrap_or_default();
        let length = if body.first() == Some(&1) { 16 } else { 8 };
        let times = body.get_mut(4..4 + length).ok_or_else(|| BoxError::Truncated(name(found.kind)))?;
        times.fill(0);
    }
    Ok(())
}

/// `avc1.PPCCLL` from the `avcC` box (ISO/IEC 14496-15, RFC 6381 §3.3).
fn avc_codec(data: &[u8], entry: &BoxAt) -> Result<String, BoxError> {
    const VISUAL_SAMPLE_ENTRY: usize = 78;
    let children = entry.body.start.saturating_add(VISUAL_SAMPLE_ENTRY)..entry.body.end;
    let config = find(data, children, "avcC")?;
    match data.get(config.body).unwrap_or_default() {
        [_, profile, constraints, level, ..] => {
            Ok(format!("{}.{profile:02x}{constraints:02x}{level:02x}", name(entry.kind)))
        }
        _ => Err(BoxError::Truncated("avcC".to_owned())),
    }
}

/// `mp4a.40.N` from the `esds` box (ISO/IEC 14496-14, RFC 6381 §3.3).
fn aac_codec(data: &[u8], entry: &BoxAt) -> Result<String, BoxError> {
    const AUDIO_SAMPLE_ENTRY: usize = 28;
    let children = entry.body.start.saturating_add(AUDIO_SAMPLE_ENTRY)..entry.body.end;
    let esds = find(data, children, "esds")?;
    let truncated = || BoxError::Truncated("esds".to_owned());
    let bytes = data.get(esds.body).and_then(|body| body.get(4..)).ok_or_else(truncated)?;
    let (tag, es) = descriptor(bytes).ok_or_else(truncated)?;
    let flags = *es.get(2).ok_or_else(truncated)?;
    if tag != 3 || flags & 0b1110_0000 != 0 {
        return Err(BoxError::Unsupported("the elementary stream descriptor has optional fields"));
    }
    let (_, config) = descriptor(es.get(3..).unwrap_or_default()).ok_or_else(truncated)?;
    let object_type = *config.first().ok_or_else(truncated)?;
    let (_, specific) = descriptor(config.get(13..).unwrap_or_default()).ok_or_else(truncated)?;
    let audio_object_type = specific.first().ok_or_else(truncated)? >> 3;
    Ok(format!("mp4a.{object_type:x}.{audio_object_type}"))
}

/// The tag and the payload of an MPEG-4 descriptor (ISO/IEC 14496-1 §8.3.3).
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let tag = *bytes.first()?;
    let mut length = 0usize;
    for at in 1..=4 {
        let byte = *bytes.get(at)?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((tag, bytes.get(at + 1..(at + 1).checked_add(length)?)?));
        }
    }
    None
}

const TFHD_BASE_DATA_OFFSET: u32 = 0x1;
const TFHD_DESCRIPTION_INDEX: u32 = 0x2;
const TFHD_DURATION: u32 = 0x8;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TRUN_DATA_OFFSET: u32 = 0x1;
const TRUN_FIRST_FLAGS: u32 = 0x4;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION: u32 = 0x800;
const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// Reads full-box fields one after the other.
struct Fields<'a> {
    data: &'a [u8],
    at: usize,
    kind: &'static str,
}

impl Fields<'_> {
    fn next(&mut self) -> Result<u32, BoxError> {
        let value = be32(self.data, self.at).ok_or_else(|| BoxError::Truncated(self.kind.to_owned()))?;
        self.at += 4;
        Ok(value)
    }

    fn optional(&mut self, present: bool) -> Result<Option<u32>, BoxError> {
        if present { self.next().map(Some) } else { Ok(None) }
    }
}

fn fields<'a>(data: &'a [u8], found: &BoxAt, kind: &'static str) -> Fields<'a> {
    Fields { data: data.get(..found.body.end).unwrap_or(data), at: found.body.start, kind }
}

/// Reads a segment: the first `moof` with exactly one `traf`, and its `mdat`.
pub fn parse_fragment(data: &[u8]) -> Result<Fragment, BoxError> {
    let moof = find(data, 0..data.len(), "moof")?;
    let mfhd = find(data, moof.body.clone(), "mfhd")?;
    let sequence_at = mfhd.body.start + 4;
    be32(data.get(..mfhd.body.end).unwrap_or_default(), sequence_at)
        .ok_or_else(|| BoxError::Truncated("mfhd".to_owned()))?;
    let traf = find(data, moof.body.clone(), "traf")?;

    let tfhd = find(data, traf.body.clone(), "tfhd")?;
    let mut fields_of_tfhd = fields(data, &tfhd, "tfhd");
    let flags = fields_of_tfhd.next()? & 0x00ff_ffff;
    fields_of_tfhd.next()?; // track
    if flags & TFHD_BASE_DATA_OFFSET != 0 {
        return Err(BoxError::Unsupported("a base data offset is not CMAF"));
    }
    fields_of_tfhd.optional(flags & TFHD_DESCRIPTION_INDEX != 0)?;
    let default_duration = fields_of_tfhd.optional(flags & TFHD_DURATION != 0)?.unwrap_or(0);
    let default_size = fields_of_tfhd.optional(flags & TFHD_SIZE != 0)?.unwrap_or(0);
    let default_flags = fields_of_tfhd.optional(flags & TFHD_FLAGS != 0)?.unwrap_or(0);

    let tfdt = find(data, traf.body.clone(), "tfdt")?;
    let start_is_64_bits = data.get(tfdt.body.start) == Some(&1);
    let start_at = tfdt.body.start + 4;
    let within = data.get(..tfdt.body.end).unwrap_or_default();
    let start = if start_is_64_bits { be64(within, start_at) } else { be32(within, start_at).map(u64::from) };
    let start = start.ok_or_else(|| BoxError::Truncated("tfdt".to_owned()))?;

    let mut duration = 0u64;
    let mut samples = 0u32;
    let mut first: Option<(usize, bool)> = None;
    for trun in boxes(data, traf.body) {
        let trun = trun?;
        if &trun.kind != b"trun" {
            continue;
        }
        let mut run = fields(data, &trun, "trun");
        let flags = run.next()? & 0x00ff_ffff;
        let count = run.next()?;
        let offset = run.optional(flags & TRUN_DATA_OFFSET != 0)?.unwrap_or(0);
        let first_flags = run.optional(flags & TRUN_FIRST_FLAGS != 0)?;
        let per_sample = [TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_COMPOSITION]
            .iter()
            .filter(|flag| flags & **flag != 0)
            .count();
        if per_sample > 0 && count as usize > data.len() / (4 * per_sample) {
            return Err(BoxError::Truncated("trun".to_owned()));
        }
        if per_sample == 0 {
            duration = duration.saturating_add(u64::from(count) * u64::from(default_duration));
        }
        for index in 0..if per_sample == 0 { count.min(1) } else { count } {
            let sample_duration = run.optional(flags & TRUN_DURATION != 0)?.unwrap_or(default_duration);
            let size = run.optional(flags & TRUN_SIZE != 0)?.unwrap_or(default_size);
            let own_flags = run.optional(flags & TRUN_FLAGS != 0)?;
            run.optional(flags & TRUN_COMPOSITION != 0)?;
            if per_sample > 0 {
                duration = duration.saturating_add(u64::from(sample_duration));
            }
            if index == 0 && first.is_none() {
                let sample_flags = first_flags.or(own_flags).unwrap_or(default_flags);
                let data_start = moof.start.saturating_add(offset as usize);
                let end = data_start.saturating_add(size as usize);
                if end > data.len() {
                    return Err(BoxError::Truncated("mdat".to_owned()));
                }
                first = Some((end, sample_flags & SAMPLE_IS_NON_SYNC == 0));
            }
        }
        samples = samples.saturating_add(count);
    }
    let (first_sample_end, starts_with_sync) = first.ok_or(BoxError::Missing("trun"))?;
    find(data, moof.body.end..data.len(), "mdat")?;
    Ok(Fragment {
        start,
        duration,
        samples,
        moof: moof.start,
        first_sample_end,
        starts_with_sync,
        sequence_at,
        start_at,
        start_is_64_bits,
    })
}

impl Fragment {
    /// Puts the segment at `start` ticks and gives it the sequence number, in place.
    pub fn restamp(&mut self, data: &mut [u8], start: u64, sequence: u32) -> Result<(), BoxError> {
        put(data, self.sequence_at, &sequence.to_be_bytes()).ok_or(BoxError::Missing("mfhd"))?;
        if self.start_is_64_bits {
            put(data, self.start_at, &start.to_be_bytes())
        } else {
            let start = u32::try_from(start)
                .map_err(|_| BoxError::Unsupported("the time does not fit the 32 bits of the tfdt"))?;
            put(data, self.start_at, &start.to_be_bytes())
        }
        .ok_or(BoxError::Missing("tfdt"))?;
        self.start = start;
        Ok(())
    }
}

fn put(data: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    data.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn bx(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend(kind);
        out.extend(body);
        out
    }

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    fn fragment(start: u32) -> Vec<u8> {
        let tfhd = bx(b"tfhd", &words(&[0x02_0028, 1, 512, SAMPLE_IS_NON_SYNC]));
        let tfdt = bx(b"tfdt", &words(&[0, start]));
        let trun = |offset| {
            bx(
                b"trun",
                &words(&[TRUN_DATA_OFFSET | TRUN_FIRST_FLAGS | TRUN_SIZE, 3, offset, 0x0200_0000, 5, 2, 1]),
            )
        };
        let build = |offset| {
            let traf = bx(b"traf", &[tfhd.clone(), tfdt.clone(), trun(offset)].concat());
            bx(b"moof", &[bx(b"mfhd", &words(&[0, 9])), traf].concat())
        };
        let offset = build(0).len() as u32 + 8;
        [bx(b"styp", b"cmfs"), build(offset), bx(b"mdat", b"IIIIIPPB")].concat()
    }

    #[test]
    fn a_fragment_has_its_times_and_its_key_frame() {
        let data = fragment(1000);
        let found = parse_fragment(&data).unwrap();
        assert_eq!((found.start, found.duration, found.samples), (1000, 1536, 3));
        assert!(found.starts_with_sync);
        assert_eq!(found.moof, 12);
        assert_eq!(&data[found.first_sample_end - 5..found.first_sample_end], b"IIIII");
    }

    #[test]
    fn restamping_moves_a_fragment_and_nothing_else() {
        let mut data = fragment(1000);
        parse_fragment(&data).unwrap().restamp(&mut data, 77, 3).unwrap();
        let found = parse_fragment(&data).unwrap();
        assert_eq!((found.start, found.duration, found.samples), (77, 1536, 3));
        let mut expected = fragment(77);
        let sequence = found.sequence_at;
        expected[sequence..sequence + 4].copy_from_slice(&3u32.to_be_bytes());
        assert_eq!(data, expected);
    }

    #[test]
    fn an_init_segment_loses_when_it_was_made_and_nothing_else() {
        let init = |time: u32| {
            let header = |version: u32, rest: &[u32]| words(&[&[version << 24][..], rest].concat());
            let mdhd = bx(b"mdhd", &header(1, &[time, time, time, time, 90_000]));
            let trak = [bx(b"tkhd", &header(0, &[time, time, 1])), bx(b"mdia", &mdhd)].concat();
            bx(b"moov", &[bx(b"mvhd", &header(0, &[time, time, 1000])), bx(b"trak", &trak)].concat())
        };
        let mut data = init(0xe6_7a_31_00);
        clear_times(&mut data).unwrap();
        assert_eq!(data, init(0));
    }

    #[test]
    fn a_time_beyond_32_bits_is_refused_where_it_does_not_fit() {
        let mut data = fragment(0);
        let error = parse_fragment(&data).unwrap().restamp(&mut data, 1 << 40, 1).unwrap_err();
        assert!(matches!(error, BoxError::Unsupported(_)));
    }

    #[test]
    fn a_cut_fragment_is_an_error_at_every_length() {
        let data = fragment(0);
        for length in 0..data.len() {
            assert!(parse_fragment(&data[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_init(&data);
            let _ = parse_fragment(&data);
            let _ = clear_times(&mut data.clone());
        }

        #[test]
        fn damaged_fragments_never_panic(at in 0usize..200, value in any::<u8>(), time in any::<u64>()) {
            let mut data = fragment(5);
            let at = at % data.len();
            data[at] = value;
            let _ = parse_init(&data);
            if let Ok(mut found) = parse_fragment(&data) {
                let _ = found.restamp(&mut data, time, 1);
            }
        }

        #[test]
        fn huge_counts_end_quickly(count in any::<u32>(), flags in any::<u32>()) {
            let trun = bx(b"trun", &words(&[flags, count, 0, 0, 0]));
            let traf = [bx(b"tfhd", &words(&[0, 1])), bx(b"tfdt", &words(&[0, 0])), trun].concat();
            let moof = [bx(b"mfhd", &words(&[0, 1])), bx(b"traf", &traf)].concat();
            let _ = parse_fragment(&[bx(b"moof", &moof), bx(b"mdat", b"")].concat());
        }
    }
}
