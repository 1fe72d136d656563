//! A source as libavformat reads it: its bytes, its streams, and which of them are selected. The selection
//! depends on the file alone.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ffmpeg_next as av;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, Packet, Stream, codec, media};

use crate::control::Control;
use crate::ladder::{Rate, is_near_usual, is_usual};
use crate::packets::Lane;
use crate::source::Blocks;
use crate::tracks::{About, TITLE_CHARS, clean, ordinal};

/// Allowed formats. Others refer to further files or addresses, or are not media that people upload.
const FORMATS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,av1,caf,dts,dv,eac3,flac,flv,gif,h264,hevc,ivf,\
    j2k_pipe,jpeg_pipe,jpegxl_pipe,bmp_pipe,m4v,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,\
    mpegvideo,mxf,nut,ogg,png_pipe,apng,rm,tiff_pipe,tta,voc,wav,w64,webp_pipe,wv,wtv,yuv4mpegpipe";
/// Streams of a container; one with more cannot be read.
const MOST_STREAMS: usize = 1_000;
/// Bytes read to find the streams of a format without an index.
const PROBED_BYTES: u64 = 64 << 20;
/// Microseconds of it, likewise.
const PROBED_MICROSECONDS: u64 = 120_000_000;
const READ_BUFFER: usize = 256 << 10;

/// A reader's view of a source.
#[derive(Debug)]
struct Extent {
    /// The reader's position.
    at: u64,
    /// The offset from that to the source.
    shift: i64,
    /// Where the source seems to end.
    end: u64,
}

/// The source as a tape: the consumer of the packets can end it early, and let it continue at another
/// position.
#[derive(Debug, Clone)]
pub(crate) struct Tape(Arc<Mutex<Extent>>);

impl Tape {
    fn of(part: Range<u64>) -> Self {
        let shift = i64::try_from(part.start).unwrap_or(i64::MAX);
        Self(Arc::new(Mutex::new(Extent { at: 0, shift, end: part.end })))
    }

    fn lock(&self) -> MutexGuard<'_, Extent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of a packet in the source, if its demuxer states it.
    pub(crate) fn position(&self, packet: &Packet) -> Option<i64> {
        let position = i64::try_from(packet.position()).ok().filter(|position| *position >= 0)?;
        position.checked_add(self.lock().shift)
    }

    /// The source appears to end here, so that the demuxer emits what it has buffered.
    pub(crate) fn close(&self) {
        self.lock().end = 0;
    }

    /// Continues from this position, up to `end`.
    pub(crate) fn go_on(&self, from: i64, end: u64) {
        let mut shown = self.lock();
        shown.shift = from.saturating_sub_unsigned(shown.at);
        shown.end = end;
    }
}

/// Reads a source sequentially and at any position.
struct Reader {
    blocks: Arc<Blocks>,
    control: Arc<Control>,
    tape: Tape,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _waiting = self.control.waiting();
        let (from, end) = {
            let shown = self.tape.lock();
            (shown.at.saturating_add_signed(shown.shift), shown.end)
        };
        let room = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX).min(buffer.len());
        let mut filled = 0;
        for part in self.blocks.read(from, room)? {
            buffer[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        self.tape.lock().at += filled as u64;
        Ok(filled)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut shown = self.tape.lock();
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => shown.at.checked_add_signed(by),
            SeekFrom::End(by) => shown
                .end
                .checked_add_signed(shown.shift.saturating_neg())
                .and_then(|end| end.checked_add_signed(by)),
        };
        shown.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(shown.at)
    }
}

/// Opens the container in a part of a source, and finds its streams.
pub(crate) fn open(
    blocks: &Arc<Blocks>,
    part: Range<u64>,
    control: &Arc<Control>,
) -> Result<(Input, Tape), av::Error> {
    let tape = Tape::of(part);
    let reader = Reader { blocks: Arc::clone(blocks), control: Arc::clone(control), tape: tape.clone() };
    let stream = StreamIo::from_read_seek_with_capacity(reader, READ_BUFFER)?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", FORMATS);
    // A file must not lead to another one.
    options.set("protocol_whitelist", "none");
    options.set("max_streams", &MOST_STREAMS.to_string());
    options.set("probesize", &PROBED_BYTES.to_string());
    options.set("analyzeduration", &PROBED_MICROSECONDS.to_string());
    let stopped = Arc::clone(control);
    let input =
        av::format::input_from_stream_with_interrupt(stream, None, Some(options), move || stopped.stopped())?;
    Ok((input, tape))
}

/// A stream that is decoded.
pub(crate) struct Chosen {
    pub(crate) index: usize,
    pub(crate) parameters: codec::Parameters,
    pub(crate) time_base: av::Rational,
    /// Frames a second, as declared by the container.
    pub(crate) rate: av::Rational,
    /// The filters for the rotation of the picture.
    pub(crate) turn: Option<&'static str>,
    /// The pixel aspect ratio, if the container states it.
    pub(crate) aspect: Option<(u32, u32)>,
    /// The name of its sample entry, in MP4 and MOV.
    pub(crate) entry: Option<[u8; 4]>,
    /// Its name for people.
    pub(crate) about: About,
    /// Its position among the streams of its kind, from 1.
    pub(crate) place: usize,
}

impl Chosen {
    pub(crate) fn of(stream: &Stream<'_>) -> Self {
        let [average, base] = [stream.avg_frame_rate(), stream.rate()];
        Self {
            index: stream.index(),
            parameters: stream.parameters(),
            time_base: stream.time_base(),
            rate: if leaves_out(average, base) { base } else { average },
            turn: turn(stream),
            aspect: None,
            entry: None,
            about: About::of(stream),
            place: 1,
        }
    }

    /// The name of a sound for people: `second sound track, aac,`.
    pub(crate) fn sound_name(&self) -> String {
        format!("{} sound track, {},", ordinal(self.place), self.codec())
    }

    /// A short name of the codec: `h264`, `aac`.
    pub(crate) fn codec(&self) -> String {
        short_name(self.parameters.id()).to_owned()
    }
}

/// The name of a codec for people.
pub(crate) fn short_name(codec: codec::Id) -> &'static str {
    match codec.name() {
        "mpeg1video" => "mpeg1",
        "mpeg2video" => "mpeg2",
        name if name.starts_with("pcm_") => "pcm",
        name => name,
    }
}

/// Whether frames of a standard rate are missing here and there: then the average is meaningless, and the
/// base rate is right.
fn leaves_out(average: av::Rational, base: av::Rational) -> bool {
    let rate = |rate: av::Rational| {
        let (num, den) = (u32::try_from(rate.numerator()).ok()?, u32::try_from(rate.denominator()).ok()?);
        (num > 0 && den > 0).then(|| Rate::new(num, den))
    };
    match (rate(average), rate(base)) {
        (Some(average), Some(base)) => {
            is_usual(base) && base.fps() <= 2.0 * average.fps() && !is_near_usual(average.fps(), 0.01)
        }
        (None, _) => true,
        _ => false,
    }
}

/// All streams of a kind, in the order of the file, except for those of a later recording.
fn all(input: &Input, kind: media::Type, later: &[usize]) -> Vec<(Disposition, Chosen)> {
    let streams = input
        .streams()
        .filter(|stream| stream.parameters().medium() == kind && !later.contains(&stream.index()));
    streams
        .enumerate()
        .map(|(at, stream)| (stream.disposition(), Chosen { place: at + 1, ..Chosen::of(&stream) }))
        .collect()
}

/// The video: the default one, else the first; never a cover.
pub(crate) fn picture(input: &Input, later: &[usize]) -> Option<Chosen> {
    all(input, media::Type::Video, later)
        .into_iter()
        .filter(|(disposition, _)| !disposition.contains(Disposition::ATTACHED_PIC))
        .min_by_key(|(disposition, _)| !disposition.contains(Disposition::DEFAULT))
        .map(|(_, chosen)| chosen)
}

/// The indexes of further videos, which are not covers.
pub(crate) fn other_pictures(input: &Input, later: &[usize], taken: &[(usize, Lane)]) -> Vec<usize> {
    all(input, media::Type::Video, later)
        .into_iter()
        .filter(|(disposition, chosen)| {
            !disposition.contains(Disposition::ATTACHED_PIC)
                && !taken.iter().any(|(index, _)| *index == chosen.index)
        })
        .map(|(_, chosen)| chosen.index)
        .collect()
}

/// The sounds: first the default one, which is the one flagged so, else the first that is neither commentary
/// nor description; then the others in the order of the file.
pub(crate) fn sounds(input: &Input, later: &[usize]) -> Vec<Chosen> {
    let mut sounds = all(input, media::Type::Audio, later);
    let first = (0..sounds.len()).min_by_key(|at| {
        let (disposition, sound) = &sounds[*at];
        let aside = sound.about.commentary
            || disposition.intersects(Disposition::VISUAL_IMPAIRED | Disposition::HEARING_IMPAIRED);
        match () {
            () if disposition.contains(Disposition::DEFAULT) => 0,
            () if !aside => 1,
            () => 2,
        }
    });
    if let Some(first) = first {
        sounds[..=first].rotate_right(1);
    }
    sounds.into_iter().map(|(_, sound)| sound).collect()
}

/// The texts, in the order of the file; also those whose format libav does not know.
pub(crate) fn texts(input: &Input, is_text: impl Fn(usize) -> bool) -> Vec<Chosen> {
    let streams = input
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Subtitle || is_text(stream.index()));
    streams.enumerate().map(|(at, stream)| Chosen { place: at + 1, ..Chosen::of(&stream) }).collect()
}

/// The start of each chapter, nanoseconds by the file's own clock, and its title.
pub(crate) fn chapters(input: &Input) -> Vec<(i64, String)> {
    input
        .chapters()
        .map(|chapter| {
            let title = chapter
                .metadata()
                .get("title")
                .map(|title| String::from_utf8_lossy(title.as_bytes()).into_owned());
            (
                nanoseconds(chapter.start(), chapter.time_base()),
                // One more shows whether it is too long.
                clean(&title.unwrap_or_default(), TITLE_CHARS + 1),
            )
        })
        .collect()
}

/// The nanoseconds of a timestamp.
pub(crate) fn nanoseconds(time: i64, base: av::Rational) -> i64 {
    let scaled = i128::from(time) * i128::from(base.numerator()) * 1_000_000_000;
    let time = scaled.div_euclid(i128::from(base.denominator().max(1)));
    time.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

/// The duration that the container declares.
pub(crate) fn duration(input: &Input) -> Option<Duration> {
    u64::try_from(input.duration()).ok().filter(|time| *time > 0).map(Duration::from_micros)
}

/// The filters for the display matrix of a picture (ISO/IEC 14496-12 §8.3.2).
fn turn(stream: &Stream<'_>) -> Option<&'static str> {
    let data = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix)?;
    let numbers: Vec<i32> = data
        .data()
        .chunks_exact(4)
        .filter_map(|bytes| bytes.first_chunk::<4>())
        .map(|bytes| i32::from_ne_bytes(*bytes))
        .collect();
    let [a, b, _, c, d, ..] = numbers[..] else { return None };
    let (across, down) = (a.unsigned_abs().max(d.unsigned_abs()), b.unsigned_abs().max(c.unsigned_abs()));
    match (across >= down, a < 0, d < 0, b < 0, c < 0) {
        (true, false, false, ..) => None,
        (true, true, false, ..) => Some("hflip"),
        (true, false, true, ..) => Some("vflip,copy"),
        (true, true, true, ..) => Some("hflip,vflip,copy"),
        (false, _, _, false, true) => Some("transpose=clock"),
        (false, _, _, true, false) => Some("transpose=cclock"),
        (false, _, _, false, false) => Some("transpose=cclock_flip"),
        (false, _, _, true, true) => Some("transpose=clock_flip"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_counts_unless_frames_of_a_usual_rate_are_missing() {
        let rate = |num: i32, den: i32| av::Rational::new(num, den);
        for (average, base, missing) in [
            (rate(25, 1), rate(25, 1), false),
            (rate(31, 2), rate(25, 1), true),
            (rate(75, 4), rate(25, 1), true),
            (rate(2_990, 100), rate(60, 1), false),
            (rate(249, 10), rate(50, 1), false),
            (rate(13, 1), rate(600, 1), false),
            (rate(0, 1), rate(30, 1), true),
        ] {
            assert_eq!(leaves_out(average, base), missing, "{average:?} of {base:?}");
        }
    }
}
