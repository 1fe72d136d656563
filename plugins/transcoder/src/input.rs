//! A source as libavformat reads it: its bytes, its streams, and which of them are taken. What there is and what is
//! chosen depends on the file alone.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use ffmpeg_next as av;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, Stream, codec, media};

use crate::control::Control;
use crate::source::Blocks;

/// Formats that are read. Others name further files or addresses, or are no media that people upload.
const FORMATS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,av1,caf,dts,dv,eac3,flac,flv,gif,h264,hevc,ivf,\
    j2k_pipe,jpeg_pipe,jpegxl_pipe,bmp_pipe,m4v,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,\
    mpegvideo,mxf,nut,ogg,png_pipe,apng,rm,tiff_pipe,tta,voc,wav,w64,webp_pipe,wv,wtv,yuv4mpegpipe";
/// Bytes that are looked at to find the streams of a format without an index.
const PROBED_BYTES: u64 = 64 << 20;
/// Microseconds of it, likewise.
const PROBED_MICROSECONDS: u64 = 120_000_000;
const READ_BUFFER: usize = 256 << 10;

/// Reads a source in order and at any place.
struct Reader {
    blocks: Arc<Blocks>,
    control: Arc<Control>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _outside = self.control.outside();
        let mut filled = 0;
        for part in self.blocks.read(self.at, buffer.len())? {
            buffer[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        self.at += filled as u64;
        Ok(filled)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.blocks.size().checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Opens the container and finds its streams.
pub(crate) fn open(
    blocks: &Arc<Blocks>,
    max_streams: usize,
    control: &Arc<Control>,
) -> Result<Input, av::Error> {
    let reader = Reader { blocks: Arc::clone(blocks), control: Arc::clone(control), at: 0 };
    let stream = StreamIo::from_read_seek_with_capacity(reader, READ_BUFFER)?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", FORMATS);
    // No file leads to another one.
    options.set("protocol_whitelist", "none");
    options.set("max_streams", &max_streams.max(1).to_string());
    options.set("probesize", &PROBED_BYTES.to_string());
    options.set("analyzeduration", &PROBED_MICROSECONDS.to_string());
    let stopped = Arc::clone(control);
    av::format::input_from_stream_with_interrupt(stream, None, Some(options), move || stopped.stopped())
}

/// One stream that is decoded.
pub(crate) struct Chosen {
    pub(crate) index: usize,
    pub(crate) parameters: codec::Parameters,
    pub(crate) time_base: av::Rational,
    /// Frames a second, as the container says.
    pub(crate) rate: av::Rational,
    /// How the picture is turned to be shown: filters.
    pub(crate) turn: Option<&'static str>,
}

impl Chosen {
    fn of(stream: &Stream<'_>) -> Self {
        let average = stream.avg_frame_rate();
        Self {
            index: stream.index(),
            parameters: stream.parameters(),
            time_base: stream.time_base(),
            rate: if average.numerator() > 0 { average } else { stream.rate() },
            turn: turn(stream),
        }
    }

    /// A short name of the codec: `h264`, `aac`.
    pub(crate) fn codec(&self) -> String {
        let name = self.parameters.id().name();
        match name {
            "mpeg1video" => "mpeg1",
            "mpeg2video" => "mpeg2",
            _ if name.starts_with("pcm_") => "pcm",
            _ => name,
        }
        .to_owned()
    }
}

/// The picture: the default one, else the first; never the cover of a record.
pub(crate) fn picture(input: &Input) -> Option<Chosen> {
    choose(input, media::Type::Video, |stream| {
        let disposition = stream.disposition();
        (!disposition.contains(Disposition::ATTACHED_PIC))
            .then(|| u8::from(!disposition.contains(Disposition::DEFAULT)))
    })
}

/// The sound: the default one, else the first that is no commentary and no description.
pub(crate) fn sound(input: &Input, left_out: &[usize]) -> Option<Chosen> {
    choose(input, media::Type::Audio, |stream| {
        let disposition = stream.disposition();
        let aside = Disposition::COMMENT | Disposition::VISUAL_IMPAIRED | Disposition::HEARING_IMPAIRED;
        let rank = match () {
            () if disposition.contains(Disposition::DEFAULT) => 0,
            () if !disposition.intersects(aside) => 1,
            () => 2,
        };
        (!left_out.contains(&stream.index())).then_some(rank)
    })
}

/// The first stream of the lowest rank.
fn choose(input: &Input, kind: media::Type, rank: impl Fn(&Stream<'_>) -> Option<u8>) -> Option<Chosen> {
    input
        .streams()
        .filter(|stream| stream.parameters().medium() == kind)
        .filter_map(|stream| Some((rank(&stream)?, stream)))
        .min_by_key(|(rank, stream)| (*rank, stream.index()))
        .map(|(_, stream)| Chosen::of(&stream))
}

/// The duration that the container claims.
pub(crate) fn duration(input: &Input) -> Option<Duration> {
    u64::try_from(input.duration()).ok().filter(|time| *time > 0).map(Duration::from_micros)
}

/// The filters that turn a picture as its display matrix says (ISO/IEC 14496-12 §8.3.2).
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
        (true, false, true, ..) => Some("vflip"),
        (true, true, true, ..) => Some("hflip,vflip"),
        (false, _, _, false, true) => Some("transpose=clock"),
        (false, _, _, true, false) => Some("transpose=cclock"),
        (false, _, _, false, false) => Some("transpose=cclock_flip"),
        (false, _, _, true, true) => Some("transpose=clock_flip"),
    }
}
