//! The streams of a source as the parser finds them: which are taken, and the decoders and
//! converters behind them. It never waits for data.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::decode::{Opening, Shared, TIMES_KEPT};
use crate::ladder::AUDIO_RATE;
use crate::media::{self, Fault, FaultKind};

/// Compressed data queued before a decoder.
const QUEUE_BYTES: u32 = 4 << 20;
/// Raw frames queued behind the video decoder.
const FRAMES_QUEUED: usize = 3;
/// Raw sample runs queued behind the audio decoder.
const RUNS_QUEUED: usize = 32;

/// Connects a parsed stream: to a decoder if it is the first of its kind and wanted, else
/// to nothing.
pub(crate) fn attach(pipeline: &gst::Pipeline, pad: &gst::Pad, shared: &Arc<Shared>) -> Result<(), String> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let kind = caps.structure(0).map(|structure| structure.name().as_str().to_owned()).unwrap_or_default();
    let mut state = shared.lock();
    state.streams += 1;
    let streams = state.streams;
    let is_video = kind.starts_with("video/") || kind.starts_with("image/");
    let is_audio = kind.starts_with("audio/");
    let video = is_video && shared.want.video && state.video.is_none();
    let audio = is_audio && shared.want.audio && state.audio.is_none();
    drop(state);
    shared.control.alive();
    announce_flow(pad, shared);
    if !(video || audio) || streams > shared.want.max_streams {
        ignore(pad);
        return Ok(());
    }
    if video && let Some(reason) = too_big(&caps, shared.want.max_pixels) {
        shared.lock().too_big = Some(reason);
        shared.changed.notify_all();
        ignore(pad);
        return Ok(());
    }

    if from_program_stream(shared) {
        open_segment(pad);
    }
    let times = Arc::new(Mutex::new(Vec::new()));
    if video {
        let log = Arc::clone(&times);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(time) = info.buffer().and_then(|buffer| buffer.pts().or(buffer.dts())) else {
                return gst::PadProbeReturn::Ok;
            };
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() >= TIMES_KEPT {
                return gst::PadProbeReturn::Remove;
            }
            log.push(time.nseconds());
            gst::PadProbeReturn::Ok
        });
    }
    let (items, receiver) = sync_channel(if video { FRAMES_QUEUED } else { RUNS_QUEUED });
    let bin = if video { video_branch(shared, items)? } else { audio_branch(shared, items)? };
    pipeline.add(&bin).map_err(|error| error.to_string())?;
    bin.sync_state_with_parent().map_err(|error| error.to_string())?;
    let sink = bin.static_pad("sink").ok_or("a branch has no sink pad")?;
    let opening = Opening { compressed: caps, times, items: receiver };
    let mut state = shared.lock();
    if video {
        state.video = Some(opening);
    } else {
        state.audio = Some(opening);
    }
    drop(state);
    pad.link(&sink).map_err(|error| error.to_string())?;
    Ok(())
}

/// parsebin adds the pads of all streams before any data flows (and does not say that
/// they are all): the first data means that every stream is known.
fn announce_flow(pad: &gst::Pad, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let flow = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(flow, move |_, info| {
        let ends = info.event().is_some_and(|event| event.type_() == gst::EventType::Eos);
        if info.buffer().is_none() && !ends {
            return gst::PadProbeReturn::Ok;
        }
        shared.lock().all_streams_known = true;
        shared.changed.notify_all();
        gst::PadProbeReturn::Remove
    });
}

fn too_big(caps: &gst::Caps, max_pixels: u64) -> Option<String> {
    let structure = caps.structure(0)?;
    let width = structure.get::<i32>("width").ok()?;
    let height = structure.get::<i32>("height").ok()?;
    let pixels = u64::from(width.unsigned_abs()) * u64::from(height.unsigned_abs());
    (pixels > max_pixels).then(|| {
        format!("The picture is too large: {width}x{height}; this server takes up to {max_pixels} pixels.")
    })
}

fn from_program_stream(shared: &Arc<Shared>) -> bool {
    let state = shared.lock();
    let structure = state.container.as_ref().and_then(|caps| caps.structure(0));
    structure.is_some_and(|structure| structure.name() == "video/mpeg" && structure.has_field("systemstream"))
}

/// The demuxer of MPEG program streams guesses where they start, sometimes too late, and
/// decoders would throw away what comes before: lets the segment begin at zero.
fn open_segment(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data
            && event.type_() == gst::EventType::Segment
        {
            let open = gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new());
            info.data = Some(gst::PadProbeData::Event(open));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Lets a stream's data fall on the floor, undecoded.
fn ignore(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, |_, _| {
        gst::PadProbeReturn::Drop
    });
}

fn video_branch(shared: &Arc<Shared>, items: SyncSender<gst::Sample>) -> Result<gst::Bin, String> {
    let convert = media::element("videoconvertscale")?;
    let eight_bit = media::element("capsfilter")?;
    eight_bit.set_property("caps", gst::Caps::builder("video/x-raw").field("format", "I420").build());
    let deinterlace = media::element("deinterlace")?;
    deinterlace.set_property_from_str("mode", "auto");
    // yadif has better edges, but in 1.22 it gives the first and the last frames wrong times.
    deinterlace.set_property_from_str("method", "greedyh");
    // One frame per frame: fields are not shown as frames of their own.
    deinterlace.set_property_from_str("fields", "top");
    let flip = media::element("videoflip")?;
    flip.set_property_from_str("video-direction", "auto");
    branch("video", shared, items, &[convert, eight_bit, deinterlace, flip])
}

fn audio_branch(shared: &Arc<Shared>, items: SyncSender<gst::Sample>) -> Result<gst::Bin, String> {
    let convert = media::element("audioconvert")?;
    let resample = media::element("audioresample")?;
    let stereo = media::element("capsfilter")?;
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", AUDIO_RATE as i32)
        .field("channels", 2i32)
        .build();
    stereo.set_property("caps", caps);
    branch("audio", shared, items, &[convert, resample, stereo])
}

/// Hands out what arrives at a pad, before the pad's element sees it. Who waits for the reader
/// inside of a sink holds up its changes of state, and those of the whole pipeline; and the
/// reader may be waiting for another stream, which waits for the pipeline to play.
fn hand_out(pad: &gst::Pad, items: SyncSender<gst::Sample>, shared: &Arc<Shared>) {
    // The queue of samples ends when its only sender does.
    let sender = Mutex::new(Some(items));
    let shared = Arc::clone(shared);
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(types, move |pad, info| {
        if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
            sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            shared.changed.notify_all();
        }
        if info.buffer().is_none() {
            return gst::PadProbeReturn::Ok;
        }
        let Some(gst::PadProbeData::Buffer(buffer)) = info.data.take() else {
            return gst::PadProbeReturn::Drop;
        };
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = sender.filter(|_| !shared.closed.load(Ordering::Acquire)).is_some_and(|sender| {
            let caps = pad.current_caps();
            let sample = gst::Sample::builder().buffer(&buffer).caps_if_some(caps.as_ref());
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let sample = match &segment {
                Some(segment) => sample.segment(segment.segment()),
                None => sample,
            };
            let sample = sample.build();
            drop(buffer);
            sender.send(sample).is_ok()
        });
        info.flow_res = if sent { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) };
        gst::PadProbeReturn::Handled
    });
}

/// queue ! decodebin ! `raw`… ! fakesink, with a ghost pad `sink`.
fn branch(
    name: &str,
    shared: &Arc<Shared>,
    items: SyncSender<gst::Sample>,
    raw: &[gst::Element],
) -> Result<gst::Bin, String> {
    let bin = gst::Bin::with_name(name);
    let queue = media::element("queue")?;
    queue.set_property("max-size-bytes", QUEUE_BYTES);
    queue.set_property("max-size-buffers", 0u32);
    queue.set_property("max-size-time", 0u64);
    let decode = media::element("decodebin")?;
    let sink = media::element("fakesink")?;
    sink.set_property("async", false);
    sink.set_property("sync", false);
    hand_out(&sink.static_pad("sink").ok_or("a sink has no sink pad")?, items, shared);
    bin.add_many([&queue, &decode, &sink]).map_err(|error| error.to_string())?;
    bin.add_many(raw).map_err(|error| error.to_string())?;
    queue.link(&decode).map_err(|error| error.to_string())?;
    let mut chain: Vec<&gst::Element> = raw.iter().collect();
    chain.push(&sink);
    gst::Element::link_many(chain).map_err(|error| error.to_string())?;
    let target =
        raw.first().and_then(|first| first.static_pad("sink")).ok_or("an element has no sink pad")?;
    // Frames that a decoder still refers to would be copied into memory of their own; this
    // way they are copied once, into buffers that are used again.
    decode.connect("element-added", false, |values| {
        let element = values.get(1)?.get::<gst::Element>().ok()?;
        if element.has_property("direct-rendering") {
            element.set_property("direct-rendering", false);
        }
        None
    });
    let (target, limit) = (target.downgrade(), Arc::clone(shared));
    decode.connect_pad_added(move |_, pad| {
        let Some(target) = target.upgrade() else { return };
        if target.is_linked() {
            return;
        }
        // Decoders learn the true size from the stream itself, not from the container.
        let watched = Arc::clone(&limit);
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(event) = info.event()
                && let gst::EventView::Caps(caps) = event.view()
                && let Some(reason) = too_big(&caps.caps_owned(), watched.want.max_pixels)
            {
                watched.lock().too_big = Some(reason.clone());
                watched.fault(Fault { path: String::new(), detail: reason, kind: FaultKind::Other });
            }
            gst::PadProbeReturn::Ok
        });
        if let Err(error) = pad.link(&target) {
            let detail = format!("a decoded stream does not fit: {error}");
            limit.fault(Fault { path: format!(":{}/", target.name()), detail, kind: FaultKind::Codec });
        }
    });
    let entry = queue.static_pad("sink").ok_or("queue has no sink pad")?;
    let ghost = gst::GhostPad::with_target(&entry).map_err(|error| error.to_string())?;
    ghost.set_property("name", "sink");
    bin.add_pad(&ghost).map_err(|error| error.to_string())?;
    Ok(bin)
}
