//! The decoders: packets in, raw frames (I420, progressive, upright) and samples (float, stereo, 48 kHz) out,
//! each with its time in the file. Never retimes anything.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use ffmpeg_next as av;
use ffmpeg_next::{codec, color, filter, format, frame};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;

use crate::decode::{Item, Shared};
use crate::input::{Chosen, nanoseconds};
use crate::ladder::AUDIO_RATE;
use crate::media::{self, Fault, FaultKind};
use crate::packets::Lane;
use crate::tonemap;

/// A stream with this many broken packets at its end was interrupted.
const BREAKS_OFF: u32 = 10;

/// Decodes the packets of a lane. `take` gets each frame, then `None`; it returns whether more is wanted.
/// True: the stream was interrupted.
fn run<F: DerefMut<Target = av::Frame>>(
    shared: &Shared,
    lane: Lane,
    mut decoding: Decoding,
    mut decoded: F,
    mut take: impl FnMut(Option<&mut F>) -> Result<bool, av::Error>,
) -> Result<bool, av::Error> {
    let mut decoder = decoding.opened()?;
    let mut broken = 0;
    loop {
        let packet = shared.packets.next(lane, &shared.control);
        // Another recording may have other streams, of other codecs.
        if let Some(stream) =
            packet.as_ref().map(|packet| packet.stream()).filter(|it| *it != decoding.stream)
            && let Some(parameters) = shared.follower(stream)
        {
            // Whatever happened in the previous recording, the next one continues.
            decoder.send_eof().ok();
            while decoder.receive_frame(&mut decoded).is_ok() {
                if !take(Some(&mut decoded))? {
                    return Ok(false);
                }
            }
            decoding = Decoding { stream, parameters, ..decoding };
            decoder = decoding.opened()?;
        }
        match &packet {
            Some(packet) => {
                if let Err(error) = decoder.send_packet(packet) {
                    // A broken packet is not the end of a stream.
                    tracing::debug!(%error, ?lane, "a packet cannot be decoded");
                    broken += 1;
                }
            }
            None if shared.control.stopped() => return Ok(false),
            None => decoder.send_eof()?,
        }
        while decoder.receive_frame(&mut decoded).is_ok() {
            if packet.is_some() {
                broken = 0;
            }
            if !take(Some(&mut decoded))? {
                return Ok(false);
            }
        }
        if packet.is_none() {
            return take(None).map(|_| broken >= BREAKS_OFF);
        }
    }
}

/// What a decoder is opened for.
struct Decoding {
    stream: usize,
    parameters: codec::Parameters,
    time_base: av::Rational,
    threads: usize,
}

impl Decoding {
    fn of(chosen: &Chosen, threads: usize) -> Self {
        let (stream, time_base) = (chosen.index, chosen.time_base);
        Self { stream, parameters: chosen.parameters.clone(), time_base, threads }
    }

    fn opened(&self) -> Result<codec::decoder::Opened, av::Error> {
        let mut context = codec::Context::from_parameters(self.parameters.clone())?;
        let threads = codec::threading::Config {
            count: self.threads,
            ..codec::threading::Config::kind(codec::threading::Type::Frame)
        };
        context.set_threading(threads);
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(self.time_base);
        let codec = codec::decoder::find(self.parameters.id()).ok_or(av::Error::DecoderNotFound)?;
        decoder.open_as(codec)
    }
}

/// As filters name it.
pub(crate) fn name_of(format: format::Pixel) -> &'static str {
    format.descriptor().map_or("none", |descriptor| descriptor.name())
}

/// The input properties of a filter graph.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    width: u32,
    height: u32,
    format: format::Pixel,
    aspect: (i32, i32),
    space: color::Space,
    range: color::Range,
    transfer: color::TransferCharacteristic,
    primaries: color::Primaries,
    interlaced: bool,
    /// For high dynamic range: the peak luminance, nits.
    peak: u32,
}

impl Shape {
    fn of(frame: &frame::Video) -> Self {
        let aspect = frame.aspect_ratio();
        let shape = Self {
            width: frame.width(),
            height: frame.height(),
            format: frame.format(),
            aspect: (aspect.numerator().max(1), aspect.denominator().max(1)),
            space: frame.color_space(),
            range: frame.color_range(),
            transfer: frame.color_transfer_characteristic(),
            primaries: frame.color_primaries(),
            interlaced: frame.is_interlaced(),
            peak: 0,
        };
        Self { peak: if shape.is_hdr() { tonemap::peak(frame) } else { 0 }, ..shape }
    }

    fn is_full_range(&self) -> bool {
        let name = name_of(self.format);
        self.range == color::Range::JPEG
            || self.range == color::Range::Unspecified && name.starts_with("yuvj")
    }

    fn is_hdr(&self) -> bool {
        use color::TransferCharacteristic::{ARIB_STD_B67, SMPTE2084};
        matches!(self.transfer, SMPTE2084 | ARIB_STD_B67)
    }

    /// Whether its primaries differ clearly from those of BT.709.
    fn is_wide(&self) -> bool {
        use color::Primaries::{BT2020, SMPTE431, SMPTE432};
        matches!(self.primaries, BT2020 | SMPTE431 | SMPTE432)
    }

    /// The matrix of the samples, as filters name it.
    fn matrix(&self) -> &'static str {
        match self.space {
            color::Space::BT709 => "bt709",
            color::Space::BT2020NCL | color::Space::BT2020CL => "bt2020nc",
            color::Space::SMPTE240M => "smpte240m",
            color::Space::Unspecified if self.height > 576 => "bt709",
            _ => "bt601",
        }
    }

    /// The filters that convert it to I420 of limited range, and the result in GStreamer's terms.
    fn colours(&self) -> (String, &'static str) {
        let name = name_of(self.format);
        let is_rgb = ["rgb", "bgr", "gbr", "pal8"].iter().any(|part| name.contains(part));
        let wanted = if self.height > 576 { "bt709" } else { "bt601" };
        if self.is_hdr() {
            let unsaid =
                self.space == color::Space::Unspecified || self.primaries == color::Primaries::Unspecified;
            let said = if unsaid { "setparams=color_primaries=bt2020:colorspace=bt2020nc," } else { "" };
            let filters = "zscale=matrix=gbr:range=full,format=gbrp16,format=rgb48[hdr];[hdr][table]haldclut=clut=first,\
                           format=gbrp12,setparams=color_primaries=bt709:color_trc=bt709,\
                           zscale=matrix=709:range=limited,format=yuv420p";
            return (format!("{said}{filters}"), "bt709");
        }
        if is_rgb {
            return (format!("scale=out_range=tv:out_color_matrix={wanted},format=yuv420p"), wanted);
        }
        let matrix = self.matrix();
        if self.is_wide() {
            let transfer = match self.transfer {
                color::TransferCharacteristic::Unspecified => "setparams=color_trc=bt709,",
                _ => "",
            };
            let space = match self.space {
                color::Space::Unspecified => "setparams=colorspace=bt2020nc,",
                _ => "",
            };
            let filters = "zscale=primaries=709:matrix=709:transfer=709:range=limited,format=yuv420p";
            return (format!("{transfer}{space}{filters}"), "bt709");
        }
        match matrix {
            "bt709" | "bt601" => {
                let range = if self.is_full_range() { "scale=in_range=pc:out_range=tv," } else { "" };
                (format!("{range}format=yuv420p"), matrix)
            }
            _ => {
                let range = if self.is_full_range() { "pc" } else { "tv" };
                let filter = format!(
                    "scale=in_range={range}:out_range=tv:in_color_matrix={matrix}:out_color_matrix=bt709,format=yuv420p"
                );
                (filter, "bt709")
            }
        }
    }
}

/// The filters between a decoder and its reader, and their input properties.
pub(crate) struct Filters<S> {
    graph: filter::Graph,
    made_for: S,
}

impl<S> Filters<S> {
    /// `ends` are the filters at which frames enter and leave, `arguments` those of the first. Filters may
    /// need a `table`, a constant picture.
    pub(crate) fn new(
        made_for: S,
        ends: [&str; 2],
        arguments: &str,
        between: &str,
        table: Option<frame::Video>,
    ) -> Result<Self, av::Error> {
        let mut graph = filter::Graph::new();
        let find = |name: &str| filter::find(name).ok_or(av::Error::FilterNotFound);
        graph.add(&find(ends[0])?, "in", arguments)?;
        graph.add(&find(ends[1])?, "out", "")?;
        if table.is_some() {
            graph.add(&find(ends[0])?, "table", &tonemap::table_arguments())?;
            graph.output("in", 0)?.output("table", 0)?.input("out", 0)?.parse(between)?;
        } else {
            graph.output("in", 0)?.input("out", 0)?.parse(between)?;
        }
        graph.validate()?;
        if let Some(mut table) = table {
            table.set_pts(Some(0));
            let mut source = graph.get("table").ok_or(av::Error::FilterNotFound)?;
            source.source().add(&table)?;
            source.source().flush()?;
        }
        Ok(Self { graph, made_for })
    }

    /// Adds a frame; `None` ends the stream.
    pub(crate) fn add(&mut self, frame: Option<&av::Frame>) -> Result<(), av::Error> {
        let mut source = self.graph.get("in").ok_or(av::Error::FilterNotFound)?;
        match frame {
            Some(frame) => source.source().add(frame),
            None => source.source().flush(),
        }
    }

    /// Takes a finished frame, and returns its time base.
    pub(crate) fn next(&mut self, frame: &mut av::Frame) -> Option<av::Rational> {
        let mut sink = self.graph.get("out")?;
        let mut sink = sink.sink();
        sink.frame(frame).ok()?;
        Some(sink.time_base())
    }
}

/// The filters for a picture of this format, and the resulting colours in GStreamer's terms.
fn filters_for(
    chosen: &Chosen,
    shape: Shape,
    canvas: Option<(u32, u32)>,
) -> Result<(Filters<Shape>, &'static str), av::Error> {
    let arguments = format!(
        "video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}",
        shape.width,
        shape.height,
        name_of(shape.format),
        chosen.time_base.numerator(),
        chosen.time_base.denominator(),
        shape.aspect.0,
        shape.aspect.1
    );
    let (colours, colorimetry) = shape.colours();
    let mut filters = Vec::new();
    if let Some((width, height)) = chosen.aspect {
        filters.push(format!("setsar={width}/{height}:max=65535"));
    }
    if shape.interlaced {
        // One frame per frame: fields are not shown as frames of their own.
        filters.push("bwdif=mode=send_frame:deint=interlaced".to_owned());
    }
    filters.extend(chosen.turn.map(str::to_owned));
    if chosen.parameters.id() == codec::Id::RAWVIDEO {
        // Its rows may be stored bottom-up, which the binding cannot read.
        filters.push("copy".to_owned());
    }
    filters.push(colours);
    if let Some((width, height)) = canvas {
        // Frames of another size keep their aspect ratio.
        filters.push(format!(
            "scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2,pad={width}:{height}:-1:-1,setsar=1"
        ));
    }
    let table = shape.is_hdr().then(|| tonemap::table(shape.transfer, shape.peak));
    let filters = Filters::new(shape, ["buffer", "buffersink"], &arguments, &filters.join(","), table)?;
    Ok((filters, colorimetry))
}

/// The thread that decodes the video.
pub(crate) struct Pictures {
    pub(crate) chosen: Chosen,
    pub(crate) items: SyncSender<Item>,
    pub(crate) shared: Arc<Shared>,
    filters: Option<Filters<Shape>>,
    colorimetry: &'static str,
    canvas: Option<(u32, u32)>,
    /// In units of the stream, once it is known.
    delay: Option<i64>,
    caps: Option<(gst::Caps, gst_video::VideoInfo, gst_video::VideoBufferPool)>,
    made: Option<(u32, u32, &'static str, (i32, i32))>,
}

impl Pictures {
    pub(crate) fn new(chosen: Chosen, items: SyncSender<Item>, shared: Arc<Shared>) -> Self {
        Self {
            chosen,
            items,
            shared,
            filters: None,
            colorimetry: "",
            canvas: None,
            delay: None,
            caps: None,
            made: None,
        }
    }

    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let decoding = Decoding::of(&self.chosen, 0);
        let done = run(&shared, Lane::Picture, decoding, frame::Video::empty(), |frame| match frame {
            Some(frame) => self.take(frame),
            None => self.end(),
        });
        shared.packets.close(Lane::Picture);
        match done {
            Ok(false) => {}
            Ok(true) => {
                shared.note("The picture breaks off: the rest of it could not be decoded.".to_owned())
            }
            Err(error) => shared.fault(Fault::new(FaultKind::Codec, format!("the picture: {error}"))),
        }
    }

    fn take(&mut self, decoded: &mut frame::Video) -> Result<bool, av::Error> {
        let mut shape = Shape::of(decoded);
        // Once fields were seen the filter stays; it leaves whole frames unchanged.
        shape.interlaced |= self.filters.as_ref().is_some_and(|filters| filters.made_for.interlaced);
        if let Some(reason) = self.shared.too_big(shape.width, shape.height) {
            self.shared.lock().too_big = Some(reason.clone());
            self.shared.fault(Fault::new(FaultKind::Other, reason));
            return Ok(false);
        }
        let time = decoded.timestamp().or(decoded.pts()).map(|time| time - self.delay(time));
        if let Some(time) = time {
            let time = nanoseconds(time, self.chosen.time_base);
            self.shared.saw(time);
            if let Some(captions) = decoded.side_data(frame::side_data::Type::A53CC) {
                self.shared.captions(time, captions.data());
            }
        }
        if self.filters.as_ref().is_none_or(|filters| filters.made_for != shape) {
            if !self.end()? {
                return Ok(false);
            }
            let (filters, colorimetry) = filters_for(&self.chosen, shape, self.canvas)?;
            (self.filters, self.colorimetry) = (Some(filters), colorimetry);
        }
        decoded.set_pts(time);
        if let Some(filters) = &mut self.filters {
            filters.add(Some(decoded))?;
        }
        self.drain()
    }

    /// Where packets state only decode times, frames seem to be late by what the decoder holds back for
    /// reordering.
    fn delay(&mut self, first: i64) -> i64 {
        let begins = self.shared.decoding_begins();
        *self.delay.get_or_insert_with(|| begins.map_or(0, |begins| first.saturating_sub(begins).max(0)))
    }

    /// No more frames for these filters.
    fn end(&mut self) -> Result<bool, av::Error> {
        let Some(filters) = &mut self.filters else { return Ok(true) };
        filters.add(None)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<bool, av::Error> {
        let mut filtered = frame::Video::empty();
        while let Some(base) = self.filters.as_mut().and_then(|filters| filters.next(&mut filtered)) {
            let time = filtered.pts().map(|time| nanoseconds(time, base));
            if self.shared.is_before_start(time) {
                continue;
            }
            let lasts = nanoseconds(filtered.packet().duration, self.chosen.time_base);
            let Some(sample) = self.sample(&filtered, lasts) else { return Ok(false) };
            if !self.shared.hand_over(&self.items, Item { sample, time }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies a frame into GStreamer memory.
    fn sample(&mut self, frame: &frame::Video, lasts: i64) -> Option<gst::Sample> {
        let colorimetry = self.colorimetry;
        let aspect = frame.aspect_ratio();
        let shape = (
            frame.width(),
            frame.height(),
            colorimetry,
            (aspect.numerator().max(1), aspect.denominator().max(1)),
        );
        self.canvas.get_or_insert((frame.width(), frame.height()));
        if self.made != Some(shape) {
            let rate = self.chosen.rate;
            let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, shape.0, shape.1)
                .par(gst::Fraction::new(shape.3.0, shape.3.1))
                .fps(gst::Fraction::new(rate.numerator().max(0), rate.denominator().max(1)))
                .colorimetry(&colorimetry.parse().ok()?)
                .build()
                .ok()?;
            let caps = info.to_caps().ok()?;
            let pool = gst_video::VideoBufferPool::new();
            let mut config = pool.config();
            config.set_params(Some(&caps), u32::try_from(info.size()).ok()?, 0, 0);
            pool.set_config(config).ok()?;
            pool.set_active(true).ok()?;
            (self.caps, self.made) = (Some((caps, info, pool)), Some(shape));
        }
        let (caps, info, pool) = self.caps.as_ref()?;
        let buffer = pool.acquire_buffer(None).ok()?;
        let mut writable = gst_video::VideoFrame::from_buffer_writable(buffer, info).ok()?;
        for plane in 0..3 {
            let (from, to) = (frame.stride(plane), usize::try_from(info.stride()[plane]).ok()?);
            // Rows in reverse order have a negative stride, which the binding turns into a very large one.
            i32::try_from(from).ok()?;
            let rows = frame.plane_height(plane) as usize;
            let width = frame.plane_width(plane) as usize;
            let (source, target) = (frame.data(plane), writable.plane_data_mut(plane as u32).ok()?);
            media::copy_rows((source, from), (target, to), width, rows);
        }
        let mut buffer = writable.into_buffer();
        if lasts > 0 {
            buffer.make_mut().set_duration(gst::ClockTime::from_nseconds(lasts.unsigned_abs()));
        }
        Some(gst::Sample::builder().buffer(&buffer).caps(caps).build())
    }
}

/// A thread that decodes audio.
pub(crate) struct Sounds {
    pub(crate) chosen: Chosen,
    lane: Lane,
    pub(crate) items: SyncSender<Item>,
    pub(crate) shared: Arc<Shared>,
    filters: Option<Filters<String>>,
    caps: gst::Caps,
    /// Something was decoded.
    sounded: bool,
    /// When the last frame ends, in units of the stream.
    ended: Option<i64>,
}

impl Sounds {
    pub(crate) fn new(chosen: Chosen, lane: Lane, items: SyncSender<Item>, shared: Arc<Shared>) -> Self {
        let caps = media::sound_caps();
        Self { chosen, lane, items, shared, filters: None, caps, sounded: false, ended: None }
    }

    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let decoding = Decoding::of(&self.chosen, 1);
        let done = run(&shared, self.lane, decoding, frame::Audio::empty(), |frame| match frame {
            Some(frame) => self.take(frame),
            None => self.end(),
        });
        shared.packets.close(self.lane);
        if !self.sounded && !shared.control.stopped() {
            let detail = done.map_or_else(|error| error.to_string(), |_| "no samples".to_owned());
            shared.sound_failed(&self.chosen, Fault::new(FaultKind::Codec, detail));
        } else if !done.is_ok_and(|breaks_off| !breaks_off) {
            shared.note(format!(
                "The {} breaks off: the rest of it could not be decoded.",
                self.chosen.sound_name()
            ));
        }
    }

    fn take(&mut self, decoded: &mut frame::Audio) -> Result<bool, av::Error> {
        self.sounded = true;
        let mut layout = decoded.channel_layout();
        if layout.is_empty() {
            // The channel layout is missing or unusual: use the default for the number of channels.
            layout = av::ChannelLayout::default(i32::from(decoded.channels()));
            decoded.set_channel_layout(layout);
        }
        let arguments = format!(
            "time_base={}/{}:sample_rate={}:sample_fmt={}:channel_layout=0x{:x}",
            self.chosen.time_base.numerator(),
            self.chosen.time_base.denominator(),
            decoded.rate(),
            decoded.format().name(),
            layout.bits()
        );
        // In streams that begin in the middle of a file, not every packet states its time.
        let time = decoded.timestamp().or(decoded.pts()).or(self.ended);
        self.ended = time.map(|time| time.saturating_add(self.lasts(decoded)));
        if self.filters.as_ref().is_none_or(|filters| filters.made_for != arguments) {
            if !self.end()? {
                return Ok(false);
            }
            let between = format!("aresample={AUDIO_RATE},aformat=sample_fmts=flt:channel_layouts=stereo");
            let ends = ["abuffer", "abuffersink"];
            self.filters = Some(Filters::new(arguments.clone(), ends, &arguments, &between, None)?);
        }
        decoded.set_pts(time);
        if let Some(filters) = &mut self.filters {
            filters.add(Some(decoded))?;
        }
        self.drain()
    }

    /// The duration of a frame, in units of the stream.
    fn lasts(&self, decoded: &frame::Audio) -> i64 {
        let samples = i64::try_from(decoded.samples()).unwrap_or(0);
        let base = self.chosen.time_base;
        let second = i64::from(decoded.rate().max(1)) * i64::from(base.numerator().max(1));
        samples * i64::from(base.denominator()) / second
    }

    /// No more frames for these filters.
    fn end(&mut self) -> Result<bool, av::Error> {
        let Some(filters) = &mut self.filters else { return Ok(true) };
        filters.add(None)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<bool, av::Error> {
        let mut filtered = frame::Audio::empty();
        while let Some(base) = self.filters.as_mut().and_then(|filters| filters.next(&mut filtered)) {
            let time = filtered.pts().map(|time| nanoseconds(time, base));
            if self.shared.is_before_start(time) {
                continue;
            }
            let bytes = filtered.samples() * 2 * size_of::<f32>();
            let Some(data) = filtered.data(0).get(..bytes) else { continue };
            let buffer = gst::Buffer::from_slice(data.to_vec());
            let sample = gst::Sample::builder().buffer(&buffer).caps(&self.caps).build();
            if !self.shared.hand_over(&self.items, Item { sample, time }) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
