//! Encodes the frames of one rendition with x264, through libavcodec. x264 copies its input, so raw frames
//! are not kept for its lookahead; GStreamer's own element keeps them all. It never scales, drops or retimes.

use av::encoder::video::Encoder;
use av::{codec, encoder, frame};
use ffmpeg_next as av;
use gstreamer as gst;
use gstreamer_pbutils as gst_pbutils;
use gstreamer_video as gst_video;

use crate::ladder::{Rate, Rung};
use crate::media;
use crate::pipeline::{Feed, Tuning};

/// The encoder in libavcodec.
pub(crate) const NAME: &str = "libx264";
/// The start of presentations on the clock of the units: units are decoded up to some frames before they are
/// shown, and times must not be negative.
const BEGINNING: gst::ClockTime = gst::ClockTime::from_seconds(1000 * 3600);
/// Bytes of the length before each unit of H.264 (ISO/IEC 14496-15, 5.3.3).
const LENGTH: usize = 4;
/// Types of units of H.264 (ITU-T H.264, table 7-1).
const SUPPLEMENT: u8 = 6;
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;

/// The encoder of one rendition.
pub(crate) struct H264 {
    encoder: Encoder,
    rate: Rate,
    info: gst_video::VideoInfo,
    frame: frame::Video,
    /// The caps of the units, known from the first one.
    units: Option<(gst::Caps, gst::Segment)>,
    feed: Feed,
}

/// An encoded frame, without the one-time parameter sets.
struct Unit(av::Packet, usize);

impl AsRef<[u8]> for Unit {
    fn as_ref(&self) -> &[u8] {
        self.0.data().and_then(|data| data.get(self.1..)).unwrap_or_default()
    }
}

impl H264 {
    /// An encoder of frames with these caps, whose units go to `feed`. x264's threads have the niceness of
    /// the caller.
    pub(crate) fn open(
        caps: &gst::CapsRef,
        rung: &Rung,
        tuning: &Tuning,
        threads: u32,
        feed: Feed,
    ) -> Result<Self, String> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|error| error.to_string())?;
        let codec = encoder::find_by_name(NAME).ok_or("libavcodec has no libx264")?;
        let encoder = codec::Context::new_with_codec(codec).encoder().video();
        let mut encoder = encoder.map_err(|error| error.to_string())?;
        let rate = av::Rational(rung.rate.num as i32, rung.rate.den as i32);
        encoder.set_width(info.width());
        encoder.set_height(info.height());
        encoder.set_format(av::format::Pixel::YUV420P);
        encoder.set_aspect_ratio(av::Rational(1, 1));
        encoder.set_time_base(rate.invert());
        encoder.set_frame_rate(Some(rate));
        let mut options = av::Dictionary::new();
        for (name, value) in options_of(&info, rung, tuning, threads) {
            options.set(name, &value);
        }
        let encoder = encoder.open_with(options).map_err(|error| format!("x264: {error}"))?;
        let frame = frame::Video::new(av::format::Pixel::YUV420P, info.width(), info.height());
        Ok(Self { encoder, rate: rung.rate, info, frame, units: None, feed })
    }

    /// `false`: the encode has stopped.
    pub(crate) fn encode(&mut self, buffer: &gst::BufferRef) -> Result<bool, String> {
        let time = buffer.pts().ok_or("a frame has no time")?.nseconds();
        let source = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &self.info)
            .map_err(|error| error.to_string())?;
        for plane in 0..3 {
            let from = source.plane_data(plane).map_err(|error| error.to_string())?;
            let stride = self.info.stride()[plane as usize].unsigned_abs() as usize;
            let width = self.info.comp_width(plane as u8) as usize;
            let to = self.frame.stride(plane as usize);
            let target = self.frame.data_mut(plane as usize);
            media::copy_rows(
                (from, stride),
                (target, to),
                width,
                self.info.comp_height(plane as u8) as usize,
            );
        }
        self.frame.set_pts(Some(self.rate.index_at(time) as i64));
        self.encoder.send_frame(&self.frame).map_err(|error| format!("x264: {error}"))?;
        self.drain()
    }

    /// No more frames.
    pub(crate) fn finish(&mut self) -> Result<bool, String> {
        self.encoder.send_eof().map_err(|error| format!("x264: {error}"))?;
        self.drain()
    }

    fn drain(&mut self) -> Result<bool, String> {
        loop {
            let mut packet = av::Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(av::Error::Eof) => return Ok(true),
                Err(av::Error::Other { errno }) if errno == av::error::EAGAIN => return Ok(true),
                Err(error) => return Err(format!("x264: {error}")),
            }
            if !self.unit(packet)? {
                return Ok(false);
            }
        }
    }

    fn unit(&mut self, packet: av::Packet) -> Result<bool, String> {
        let data = packet.data().ok_or("x264 gave an empty unit")?;
        let (sets, begins) = parameter_sets(data);
        if self.units.is_none() {
            let caps = caps(&self.info, self.rate, &sets).ok_or("x264's first unit has no parameter sets")?;
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(BEGINNING);
            segment.set_time(gst::ClockTime::ZERO);
            self.units = Some((caps, segment.upcast()));
        }
        let (Some((caps, segment)), Some(shown)) = (&self.units, packet.pts()) else {
            return Err("x264 gave a unit without a time".to_owned());
        };
        let (shown, decoded) = (self.at(shown), self.at(packet.dts().unwrap_or(shown)));
        let key = packet.is_key();
        let mut buffer = gst::Buffer::from_slice(Unit(packet, begins));
        let unit = buffer.get_mut().ok_or("a new buffer has an owner already")?;
        unit.set_pts(shown);
        unit.set_dts(decoded);
        unit.set_duration(gst::ClockTime::from_nseconds(self.rate.time_ns(1)));
        unit.set_flags(if key { gst::BufferFlags::empty() } else { gst::BufferFlags::DELTA_UNIT });
        Ok(self.feed.push_sample(&gst::Sample::builder().buffer(&buffer).caps(caps).segment(segment).build()))
    }

    /// When frame `index` is shown, on the clock of the units.
    fn at(&self, index: i64) -> gst::ClockTime {
        let time = gst::ClockTime::from_nseconds(self.rate.time_ns(index.unsigned_abs()));
        if index < 0 { BEGINNING.saturating_sub(time) } else { BEGINNING.saturating_add(time) }
    }
}

/// The instructions that x264 may use. With AVX-512 its block weighting reads uninitialized memory if the
/// number of blocks in a row is not a multiple of eight, so that the same frames yield different bits;
/// without it x264 is as fast, and the output is the same on all processors.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return ":asm=AVX2,FMA3,LZCNT,BMI2";
    }
    ""
}

/// Constant quality, but never above the rung's rates: the decoder's buffer fills at the average rate, and is
/// large enough for a segment of two seconds to reach the maximum.
fn options_of(
    info: &gst_video::VideoInfo,
    rung: &Rung,
    tuning: &Tuning,
    threads: u32,
) -> [(&'static str, String); 11] {
    let average = rung.bitrate.div_ceil(1000);
    let held = 2000 * u64::from(rung.max_bitrate - rung.bitrate) / u64::from(rung.bitrate.max(1));
    let colours = info.colorimetry();
    [
        ("preset", tuning.preset.clone()),
        ("crf", tuning.quality.to_string()),
        ("maxrate", (average * 1000).to_string()),
        ("bufsize", (u64::from(average) * held.clamp(500, 10_000)).to_string()),
        ("g", rung.gop.to_string()),
        ("threads", threads.to_string()),
        ("color_range", "tv".to_owned()),
        ("colorspace", colours.matrix().to_iso().to_string()),
        ("color_primaries", colours.primaries().to_iso().to_string()),
        ("color_trc", colours.transfer().to_iso().to_string()),
        (
            "x264-params",
            format!(
                "annexb=0:scenecut=0:open-gop=0:min-keyint={}:force-cfr=1:cabac=1:8x8dct=1:aud=0{}",
                rung.gop,
                instructions()
            ),
        ),
    ]
}

fn kind_of(unit: &[u8]) -> Option<u8> {
    unit.first().map(|head| head & 0x1f)
}

/// The parameter sets before a frame, and where the frame begins.
fn parameter_sets(data: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut sets, mut at) = (Vec::new(), 0);
    while let Some((length, rest)) = data.get(at..).and_then(<[u8]>::split_first_chunk::<LENGTH>) {
        let Some(unit) = rest.get(..u32::from_be_bytes(*length) as usize) else { break };
        match kind_of(unit) {
            Some(SEQUENCE | PICTURE) => sets.push(unit),
            Some(SUPPLEMENT) => {}
            _ => break,
        }
        at += LENGTH + unit.len();
    }
    (sets, at)
}

fn caps(info: &gst_video::VideoInfo, rate: Rate, sets: &[&[u8]]) -> Option<gst::Caps> {
    let set = |kind| sets.iter().copied().find(|set| kind_of(set) == Some(kind));
    let (sequence, picture) = (set(SEQUENCE)?, set(PICTURE)?);
    let record = decoder_configuration(sequence, picture)?;
    let mut caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(record))
        .field("width", info.width() as i32)
        .field("height", info.height() as i32)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("framerate", gst::Fraction::new(rate.num as i32, rate.den as i32))
        .field("interlace-mode", "progressive")
        .field("colorimetry", info.colorimetry().to_string())
        .build();
    // The muxer derives CMAF's brand from profile and level.
    gst_pbutils::codec_utils_h264_caps_set_level_and_profile(caps.get_mut()?, sequence.get(1..)?).ok()?;
    Some(caps)
}

/// ISO/IEC 14496-15, 5.3.3.1, for one sequence and one picture parameter set.
fn decoder_configuration(sequence: &[u8], picture: &[u8]) -> Option<Vec<u8>> {
    let mut record = vec![1];
    record.extend_from_slice(sequence.get(1..4)?);
    record.extend_from_slice(&[0xfc | (LENGTH as u8 - 1), 0xe0 | 1]);
    record.extend_from_slice(&u16::try_from(sequence.len()).ok()?.to_be_bytes());
    record.extend_from_slice(sequence);
    record.push(1);
    record.extend_from_slice(&u16::try_from(picture.len()).ok()?.to_be_bytes());
    record.extend_from_slice(picture);
    Some(record)
}
