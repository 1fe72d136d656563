//! The encoding half: raw frames and samples with final timestamps in, CMAF segments of all renditions out,
//! from one scaling chain (each rung is scaled from the next larger one). It never decodes, drops, repeats or
//! retimes.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::collect::{Collector, Made};
use crate::control::{Control, EncodeError};
use crate::h264::H264;
use crate::ladder::{AAC_FRAME, AUDIO_CHANNELS, AUDIO_RATE, AudioRung, Rate, Rung};
use crate::media;
use crate::sink::{Kind, Rendition, Sink};
use crate::timeline::first_unit;
use crate::tracks::About;

/// Raw frames queued between threads, for each of the chain's queues.
const FRAMES_QUEUED: u32 = 1;
/// Videos with at most this many lines are encoded by one thread.
const LINES_OF_ONE_THREAD: u32 = 360;
/// Encoded frames queued before a muxer.
const UNITS_QUEUED_BYTES: u64 = 1 << 20;
/// Raw samples queued before the audio encoders.
const AUDIO_QUEUED_BYTES: u64 = 1 << 20;

/// A rendition to encode, and where to continue it.
#[derive(Debug, Clone)]
pub(crate) struct Track<R> {
    pub(crate) rung: R,
    /// Segments below this number exist already: they are encoded but not written again.
    pub(crate) write_from: u32,
    /// The init segment of those segments.
    pub(crate) init: Option<Bytes>,
    /// Start and duration of the segment after them, if it exists and is short: the end of an earlier
    /// attempt.
    pub(crate) last: Option<(u64, u64)>,
}

impl<R> Track<R> {
    /// Continues after the result of an earlier pass.
    pub(crate) fn go_on(&mut self, made: Option<&Made>) {
        if let Some(made) = made {
            self.last = self.last.filter(|_| made.segments <= self.write_from);
            self.init.get_or_insert_with(|| made.init.clone());
            self.write_from = self.write_from.max(made.segments);
        }
    }
}

/// What to encode from which frames.
pub(crate) struct VideoPlan {
    /// Caps of the raw frames.
    pub(crate) caps: gst::Caps,
    /// Constant rate of the raw frames.
    pub(crate) rate: Rate,
    /// Smallest first.
    pub(crate) tracks: Vec<Track<Rung>>,
    /// Number of the segment that begins with the first frame.
    pub(crate) first_segment: u32,
    /// Only the segments below this number; they do not complete the renditions.
    pub(crate) lead: Option<u32>,
}

/// What to encode from the samples of one sound.
pub(crate) struct AudioPlan {
    pub(crate) tracks: Vec<Track<AudioRung>>,
    /// The sound's name for people.
    pub(crate) about: About,
    /// Segments a second.
    pub(crate) segment: Rate,
    /// Number of the first encoded segment.
    pub(crate) first_segment: u32,
    /// As [`VideoPlan::lead`].
    pub(crate) lead: Option<u32>,
}

/// Encoding options.
#[derive(Debug, Clone)]
pub(crate) struct Tuning {
    pub(crate) preset: String,
    pub(crate) quality: u32,
    pub(crate) threads: u32,
    pub(crate) nice: i32,
}

/// A running encoder. Dropping it stops its threads.
pub(crate) struct Encoder {
    pipeline: gst::Pipeline,
    pub(crate) video: Option<Feed>,
    /// One per sound.
    pub(crate) audio: Vec<Feed>,
    made: Arc<Mutex<HashMap<String, Made>>>,
}

/// The input for raw media.
#[derive(Clone)]
pub(crate) struct Feed {
    source: gst_app::AppSrc,
    room: Arc<(Mutex<()>, Condvar)>,
    limit: u64,
    control: Arc<Control>,
}

impl Feed {
    fn new(caps: Option<&gst::Caps>, limit: u64, control: &Arc<Control>) -> Self {
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .stream_type(gst_app::AppStreamType::Stream)
            .max_bytes(limit)
            .min_percent(60)
            .build();
        source.set_caps(caps);
        source.set_property("handle-segment-change", true);
        let room = Arc::new((Mutex::new(()), Condvar::new()));
        let wake = Arc::clone(&room);
        source.set_callbacks(
            gst_app::AppSrcCallbacks::builder().need_data(move |_, _| wake.1.notify_all()).build(),
        );
        Self { source, room, limit, control: Arc::clone(control) }
    }

    /// Waits for room and passes a buffer on. `false`: the encode has stopped.
    pub(crate) fn push(&self, buffer: gst::Buffer) -> bool {
        self.has_room() && self.source.push_buffer(buffer).is_ok()
    }

    /// The same, with the buffer's kind and clock.
    pub(crate) fn push_sample(&self, sample: &gst::Sample) -> bool {
        self.has_room() && self.source.push_sample(sample).is_ok()
    }

    fn has_room(&self) -> bool {
        loop {
            if self.control.stopped() {
                return false;
            }
            if self.source.current_level_bytes() < self.limit {
                return true;
            }
            let (lock, room) = &*self.room;
            let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
            // The timeout covers a wake-up between the check and the wait.
            drop(room.wait_timeout(guard, Duration::from_millis(5)));
        }
    }

    pub(crate) fn set_caps(&self, caps: &gst::Caps) {
        self.source.set_caps(Some(caps));
    }

    pub(crate) fn end(&self) {
        if self.source.end_of_stream().is_err() {
            tracing::debug!("the encoder refuses the end of stream");
        }
    }
}

impl Encoder {
    /// Builds and starts the pipeline. `control` expects one completion per track.
    pub(crate) fn start(
        video: Option<&VideoPlan>,
        audio: &[AudioPlan],
        tuning: &Tuning,
        sink: &Arc<dyn Sink>,
        control: &Arc<Control>,
    ) -> Result<Self, EncodeError> {
        let pipeline = gst::Pipeline::new();
        let made = Arc::default();
        let builder = Builder { pipeline: &pipeline, tuning, sink, control, made: &made };
        let feeds = (|| {
            let video = video.map(|plan| builder.video(plan)).transpose()?;
            let audio = audio.iter().map(|plan| builder.audio(plan)).collect::<Result<_, _>>()?;
            Ok::<_, String>((video, audio))
        })();
        let (video_feed, audio_feed) = feeds.map_err(EncodeError::Engine)?;
        control.expect_tracks(
            video.map_or(0, |plan| plan.tracks.len())
                + audio.iter().map(|plan| plan.tracks.len()).sum::<usize>(),
        );
        let failing = Arc::clone(control);
        media::watch(&pipeline, Arc::clone(control), tuning.nice, move |detail| {
            failing.fail(EncodeError::Engine(detail))
        });
        let encoder = Self { pipeline, video: video_feed, audio: audio_feed, made };
        encoder
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| EncodeError::Engine("the encoding pipeline did not start".to_owned()))?;
        Ok(encoder)
    }

    /// The results so far, by rendition.
    pub(crate) fn made(&self) -> HashMap<String, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("an encoding pipeline did not stop");
        }
    }
}

struct Builder<'a> {
    pipeline: &'a gst::Pipeline,
    tuning: &'a Tuning,
    sink: &'a Arc<dyn Sink>,
    control: &'a Arc<Control>,
    made: &'a Arc<Mutex<HashMap<String, Made>>>,
}

impl Builder<'_> {
    fn add(&self, name: &str) -> Result<gst::Element, String> {
        let element = media::element(name)?;
        self.pipeline.add(&element).map_err(|error| error.to_string())?;
        Ok(element)
    }

    fn queue(&self, buffers: u32) -> Result<gst::Element, String> {
        let queue = self.add("queue")?;
        queue.set_property("max-size-buffers", buffers);
        queue.set_property("max-size-bytes", 0u32);
        queue.set_property("max-size-time", 0u64);
        Ok(queue)
    }

    fn video(&self, plan: &VideoPlan) -> Result<Feed, String> {
        let frame_bytes = gstreamer_video::VideoInfo::from_caps(&plan.caps)
            .map_err(|error| error.to_string())?
            .size() as u64;
        let feed = Feed::new(Some(&plan.caps), frame_bytes.max(1) * 2, self.control);
        let source: gst::Element = feed.source.clone().upcast();
        self.pipeline.add(&source).map_err(|error| error.to_string())?;
        let colorimetry = colorimetry(&plan.caps);
        let mut above = source;
        let mut every = 1;
        for track in plan.tracks.iter().rev() {
            let rung = &track.rung;
            let queue = self.queue(FRAMES_QUEUED)?;
            link(&above, &queue)?;
            above = queue;
            if rung.every != every {
                let thin = self.add("videorate")?;
                thin.set_property("drop-only", true);
                thin.set_property("skip-to-first", true);
                link(&above, &thin)?;
                above = thin;
                every = rung.every;
            }
            let scale = self.add("videoconvertscale")?;
            scale.set_property_from_str("method", "bilinear");
            scale.set_property("add-borders", false);
            let size = self.add("capsfilter")?;
            let mut caps = gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", rung.width as i32)
                .field("height", rung.height as i32)
                .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                .field("framerate", gst::Fraction::new(rung.rate.num as i32, rung.rate.den as i32));
            if let Some(colorimetry) = &colorimetry {
                caps = caps.field("colorimetry", colorimetry.as_str());
            }
            size.set_property("caps", caps.build());
            let tee = self.add("tee")?;
            link(&above, &scale)?;
            link(&scale, &size)?;
            link(&size, &tee)?;
            let threads = self.threads(rung, plan);
            self.rung(&tee, track, plan, threads)?;
            above = tee;
        }
        Ok(feed)
    }

    /// The rungs are encoded side by side: each gets its share of the processors, because threads beyond that
    /// only cost synchronisation. x264 with several threads does not always choose the same bits, so quick
    /// rungs have one thread.
    fn threads(&self, rung: &Rung, plan: &VideoPlan) -> u32 {
        if rung.width.min(rung.height) <= LINES_OF_ONE_THREAD {
            return 1;
        }
        if self.tuning.threads > 0 {
            return self.tuning.threads;
        }
        let work = |rung: &Rung| f64::from(rung.width) * f64::from(rung.height) * rung.rate.fps();
        let all: f64 = plan.tracks.iter().map(|track| work(&track.rung)).sum();
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as f64;
        ((work(rung) / all.max(1.0) * processors).ceil() as u32).clamp(1, 16)
    }

    /// tee ! queue ! appsink, x264, appsrc ! cmafmux ! appsink
    fn rung(
        &self,
        tee: &gst::Element,
        track: &Track<Rung>,
        plan: &VideoPlan,
        threads: u32,
    ) -> Result<(), String> {
        let rung = &track.rung;
        let queue = self.queue(FRAMES_QUEUED)?;
        let frames = gst_app::AppSink::builder().sync(false).async_(false).max_buffers(1).build();
        frames.set_enable_last_sample(false);
        let units = Feed::new(None, UNITS_QUEUED_BYTES, self.control);
        self.encode(&frames, rung, threads, &units);
        let timescale = timescale(plan.rate);
        let ticks = ticks_per_frame(rung.rate, timescale);
        let mux = self.mux(timescale)?;
        let (frames, units): (gst::Element, gst::Element) = (frames.upcast(), units.source.clone().upcast());
        self.pipeline.add_many([&frames, &units]).map_err(|error| error.to_string())?;
        link(tee, &queue)?;
        link(&queue, &frames)?;
        link(&units, &mux)?;
        cut_video(&units)?;
        self.collect(
            &mux,
            Collector {
                rendition: Rendition {
                    name: rung.name.clone(),
                    codec: String::new(),
                    timescale,
                    kind: Kind::Video { width: rung.width, height: rung.height, rate: rung.rate },
                    target_bitrate: rung.bitrate,
                    track: 0,
                    about: About::default(),
                },
                next_number: plan.first_segment,
                next_start: u64::from(plan.first_segment) * u64::from(rung.gop) * ticks,
                sample_ticks: ticks,
                full_samples: Some(rung.gop),
                write_from: track.write_from,
                last: track.last,
                write_to: plan.lead,
                init: track.init.clone(),
                announced: false,
                made: Arc::clone(self.made),
                sink: Arc::clone(self.sink),
                control: Arc::clone(self.control),
            },
        )
    }

    /// Encodes what arrives at `frames`, in the thread that delivers it.
    fn encode(&self, frames: &gst_app::AppSink, rung: &Rung, threads: u32, units: &Feed) {
        let (rung, tuning, units) = (rung.clone(), self.tuning.clone(), units.clone());
        let (control, ending) = (Arc::clone(self.control), Arc::clone(self.control));
        let encoder: Arc<Mutex<Option<H264>>> = Arc::default();
        let last = (Arc::clone(&encoder), units.clone());
        let take = move |sample: &gst::Sample| {
            let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
            let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else { return Ok(true) };
            if encoder.is_none() {
                *encoder = Some(H264::open(caps, &rung, &tuning, threads, units.clone())?);
            }
            encoder.as_mut().map_or(Ok(true), |encoder| encoder.encode(buffer))
        };
        frames.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    match take(&sample) {
                        Ok(true) => Ok(gst::FlowSuccess::Ok),
                        Ok(false) => Err(gst::FlowError::Eos),
                        Err(detail) => {
                            control.fail(EncodeError::Engine(detail));
                            Err(gst::FlowError::Eos)
                        }
                    }
                })
                .eos(move |_| {
                    let (encoder, units) = &last;
                    let encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner).take();
                    match encoder.map_or(Ok(true), |mut encoder| encoder.finish()) {
                        Ok(_) => units.end(),
                        Err(detail) => ending.fail(EncodeError::Engine(detail)),
                    }
                })
                .build(),
        );
    }

    fn audio(&self, plan: &AudioPlan) -> Result<Feed, String> {
        let feed = Feed::new(Some(&media::sound_caps()), AUDIO_QUEUED_BYTES, self.control);
        let source: gst::Element = feed.source.clone().upcast();
        self.pipeline.add(&source).map_err(|error| error.to_string())?;
        let convert = self.add("audioconvert")?;
        let tee = self.add("tee")?;
        link(&source, &convert)?;
        link(&convert, &tee)?;
        let first_unit_made = first_unit(u64::from(plan.first_segment), plan.segment);
        for track in &plan.tracks {
            let queue = self.queue(8)?;
            let encoder = self.add("avenc_aac")?;
            encoder.set_property("bitrate", track.rung.bitrate as i32);
            encoder.set_property("perfect-timestamp", true);
            let mux = self.mux(AUDIO_RATE)?;
            link(&tee, &queue)?;
            link(&queue, &encoder)?;
            link(&encoder, &mux)?;
            cut_audio(&encoder, plan.segment, plan.first_segment)?;
            self.collect(
                &mux,
                Collector {
                    rendition: Rendition {
                        name: track.rung.name.clone(),
                        codec: String::new(),
                        timescale: AUDIO_RATE,
                        kind: Kind::Audio { sample_rate: AUDIO_RATE, channels: AUDIO_CHANNELS },
                        target_bitrate: track.rung.bitrate,
                        track: track.rung.track,
                        about: plan.about.clone(),
                    },
                    next_number: plan.first_segment,
                    next_start: first_unit_made * AAC_FRAME,
                    sample_ticks: AAC_FRAME,
                    full_samples: None,
                    write_from: track.write_from,
                    last: track.last,
                    write_to: plan.lead,
                    init: track.init.clone(),
                    announced: false,
                    made: Arc::clone(self.made),
                    sink: Arc::clone(self.sink),
                    control: Arc::clone(self.control),
                },
            )?;
        }
        Ok(feed)
    }

    fn mux(&self, timescale: u32) -> Result<gst::Element, String> {
        let mux = self.add("cmafmux")?;
        // Key frames come at the requested places; late requests for more would break the common cuts.
        mux.set_property("send-force-keyunit", false);
        // Its own rule joins short last segments to the previous one, so cuts are requested explicitly.
        mux.set_property("manual-split", true);
        mux.set_property("movie-timescale", timescale);
        let pad = mux.static_pad("sink").ok_or("cmafmux has no sink pad")?;
        pad.set_property("trak-timescale", timescale);
        Ok(mux)
    }

    fn collect(&self, mux: &gst::Element, mut collector: Collector) -> Result<(), String> {
        let sink =
            gst_app::AppSink::builder().sync(false).async_(false).max_buffers(2).buffer_list(true).build();
        sink.set_enable_last_sample(false);
        let (control, name) = (Arc::clone(self.control), collector.rendition.name.clone());
        let results = Arc::clone(self.sink);
        let completes = collector.write_to.is_none();
        sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if collector.control.stopped() {
                        return Err(gst::FlowError::Eos);
                    }
                    match collector.take(&sample) {
                        Ok(()) => Ok(gst::FlowSuccess::Ok),
                        Err(error) => {
                            collector.control.fail(error);
                            Err(gst::FlowError::Eos)
                        }
                    }
                })
                .eos(move |_| {
                    if control.stopped() {
                        return;
                    }
                    match if completes { results.complete(&name) } else { Ok(()) } {
                        Ok(()) => control.track_done(),
                        Err(error) => control.fail(EncodeError::Sink(error.to_string())),
                    }
                })
                .build(),
        );
        let sink: gst::Element = sink.upcast();
        self.pipeline.add(&sink).map_err(|error| error.to_string())?;
        link(mux, &sink)
    }
}

fn link(from: &gst::Element, to: &gst::Element) -> Result<(), String> {
    from.link(to).map_err(|error| error.to_string())
}

/// Ticks a second in which every frame of `rate` lasts a whole number of ticks.
pub(crate) fn timescale(rate: Rate) -> u32 {
    rate.num.saturating_mul(10_000u32.div_ceil(rate.num))
}

/// The ticks of a frame.
fn ticks_per_frame(rate: Rate, timescale: u32) -> u64 {
    u64::from(timescale) * u64::from(rate.den) / u64::from(rate.num)
}

/// The target colours: `None` keeps the source's. Full range, HDR and colours that are not luma and chroma
/// become BT.709, which every player shows alike.
fn colorimetry(caps: &gst::Caps) -> Option<String> {
    let colorimetry = caps.structure(0).and_then(|structure| structure.get::<String>("colorimetry").ok());
    match colorimetry.as_deref() {
        Some(
            "bt601" | "bt709" | "smpte240m" | "2:4:5:1" | "2:3:5:1" | "2:4:16:4" | "2:4:16:3" | "2:4:5:4",
        ) => None,
        _ => Some("bt709".to_owned()),
    }
}

/// Tells the muxer to begin a segment with the next buffer.
fn split_now() -> gst::Event {
    gst::event::CustomDownstream::new(
        gst::Structure::builder("FMP4MuxSplitNow").field("chunk", false).build(),
    )
}

/// Begins a segment with every key frame.
fn cut_video(units: &gst::Element) -> Result<(), String> {
    let pad = units.static_pad("src").ok_or("appsrc has no src pad")?;
    let begun = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let key = info.buffer().is_some_and(|buffer| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        if key && begun.swap(true, Ordering::Relaxed) {
            pad.push_event(split_now());
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Numbers the encoder's access units, drops those before the first segment (including the encoder's delay: a
/// unit decodes to the input of one unit earlier) and tells the muxer where segments begin.
fn cut_audio(encoder: &gst::Element, segment: Rate, first_segment: u32) -> Result<(), String> {
    let pad = encoder.static_pad("src").ok_or("avenc_aac has no src pad")?;
    let first_wanted = first_unit(u64::from(first_segment), segment);
    let mut made = audio_lead_in(first_wanted) as i64 - 1;
    let mut number = u64::from(first_segment);
    let mut boundary = first_wanted;
    let state = Mutex::new(move |pad: &gst::Pad, buffer: &mut gst::BufferRef| {
        let unit = made;
        made += 1;
        if unit < first_wanted as i64 {
            return gst::PadProbeReturn::Drop;
        }
        let unit = unit as u64;
        if unit >= boundary {
            if unit > first_wanted {
                pad.push_event(split_now());
            }
            number += 1;
            boundary = first_unit(number, segment);
        }
        let rate = Rate { num: AUDIO_RATE, den: AAC_FRAME as u32 };
        let (start, end) = (rate.time_ns(unit), rate.time_ns(unit + 1));
        buffer.set_pts(gst::ClockTime::from_nseconds(start));
        buffer.set_dts(gst::ClockTime::NONE);
        buffer.set_duration(gst::ClockTime::from_nseconds(end - start));
        gst::PadProbeReturn::Ok
    });
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        (state.lock().unwrap_or_else(PoisonError::into_inner))(pad, buffer.make_mut())
    });
    Ok(())
}

/// The first access unit's worth of samples to feed for an encode whose first wanted unit is `first`: two
/// earlier ones let the encoder and its filters settle.
pub(crate) fn audio_lead_in(first: u64) -> u64 {
    first.saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_lasts_whole_ticks() {
        for (num, den, scale, ticks) in [
            (25, 1, 10_000, 400),
            (30_000, 1_001, 30_000, 1_001),
            (60_000, 1_001, 60_000, 1_001),
            (15, 2, 10_005, 1_334),
        ] {
            let rate = Rate::new(num, den);
            assert_eq!(timescale(rate), scale);
            assert_eq!(ticks_per_frame(rate, scale), ticks);
            assert_eq!(u64::from(scale) * u64::from(rate.den) % u64::from(rate.num), 0);
        }
    }
}
