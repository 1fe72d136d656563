//! The media libraries: their one-time start, conversion of GStreamer's messages to failures, and the
//! priority of media threads. It never builds pipelines.

use std::sync::{Arc, OnceLock};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::control::Control;
use crate::h264;
use crate::ladder::{AUDIO_CHANNELS, AUDIO_RATE};

/// Elements that the engine builds its pipelines from, and their Debian packages.
const NEEDED: &[(&str, &str)] = &[
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("jpegenc", "gstreamer1.0-plugins-good"),
    ("videoconvertscale", "gstreamer1.0-plugins-base"),
];

/// Why media cannot be encoded on this machine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MediaError {
    /// The library did not start.
    #[error("GStreamer did not start: {0}")]
    Start(String),
    /// Parts of it are not installed.
    #[error("GStreamer or FFmpeg lacks {elements}; install the packages {packages}")]
    Missing {
        /// Names of elements and encoders.
        elements: String,
        /// Debian package names.
        packages: String,
    },
}

/// Starts GStreamer once for the process: loads its registry (the first time on a machine that takes seconds)
/// and registers the CMAF muxer. Blocks.
pub fn start() -> Result<(), MediaError> {
    static STARTED: OnceLock<Result<(), MediaError>> = OnceLock::new();
    STARTED.get_or_init(start_once).clone()
}

fn start_once() -> Result<(), MediaError> {
    // Complaints of the library and its plugins belong in the one stream of logs.
    gst::glib::log_set_default_handler(|domain, level, message| match level {
        gst::glib::LogLevel::Error | gst::glib::LogLevel::Critical | gst::glib::LogLevel::Warning => {
            tracing::warn!(domain, message, "GLib complains");
        }
        _ => tracing::debug!(domain, message, "GLib says"),
    });
    // It would write to the process's standard error; relevant messages are returned as errors.
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    gst::init().map_err(|error| MediaError::Start(error.to_string()))?;
    gstfmp4::plugin_register_static().map_err(|error| MediaError::Start(error.to_string()))?;
    let mut missing: Vec<_> =
        NEEDED.iter().filter(|(element, _)| gst::ElementFactory::find(element).is_none()).collect();
    if ffmpeg_next::encoder::find_by_name(h264::NAME).is_none() {
        missing.push(&(h264::NAME, "libavcodec59"));
    }
    if !missing.is_empty() {
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        let elements: Vec<_> = missing.iter().map(|(element, _)| *element).collect();
        return Err(MediaError::Missing { elements: elements.join(", "), packages: packages.join(" ") });
    }
    Ok(())
}

/// An element by name. `Err` names the missing one.
pub(crate) fn element(name: &str) -> Result<gst::Element, String> {
    gst::ElementFactory::make(name).build().map_err(|_| format!("the element {name} is not installed"))
}

/// Caps of the samples between decoding and encoding.
pub(crate) fn sound_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", AUDIO_RATE as i32)
        .field("channels", AUDIO_CHANNELS as i32)
        .field("channel-mask", gst::Bitmask::new(3))
        .build()
}

/// Copies `rows` rows of `width` bytes between planes; each plane with its stride.
pub(crate) fn copy_rows(from: (&[u8], usize), to: (&mut [u8], usize), width: usize, rows: usize) {
    let (from, to) = (from.0.chunks(from.1.max(1)), to.0.chunks_mut(to.1.max(1)));
    for (from, to) in from.zip(to).take(rows) {
        let width = width.min(from.len()).min(to.len());
        to[..width].copy_from_slice(&from[..width]);
    }
}

/// Why the reading of a source ended.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The library's message, for the log.
    pub(crate) detail: String,
    /// Kind of error.
    pub(crate) kind: FaultKind,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), kind }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No demuxer recognizes the file.
    UnknownType,
    /// No decoder for a stream, or the decoder refused it.
    Codec,
    /// A container or stream is broken.
    Damaged,
    /// Anything else.
    Other,
}

/// Watches a pipeline's bus from the threads that post to it: streaming threads set their own niceness as
/// they start, and errors go to `on_error` as text for the log. Nothing accumulates on the bus.
pub(crate) fn watch(
    pipeline: &gst::Pipeline,
    control: Arc<Control>,
    nice: i32,
    on_error: impl Fn(String) + Send + Sync + 'static,
) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                let path = message.src().map(|source| source.path_string().to_string()).unwrap_or_default();
                let debug = error.debug().unwrap_or_default().replace('\n', " ");
                on_error(format!("{} ({path}: {debug})", error.error()));
                control.alive();
            }
            gst::MessageView::Warning(warning) => {
                tracing::debug!(
                    warning = %warning.error(),
                    detail = warning.debug().unwrap_or_default().as_str(),
                    "GStreamer warns"
                );
            }
            gst::MessageView::StreamStatus(status) if status.type_() == gst::StreamStatusType::Enter => {
                set_niceness(nice);
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// Sets the niceness of the calling thread and of those it will start: how much they yield to the rest of the
/// machine.
pub(crate) fn set_niceness(nice: i32) {
    // A thread of the library's pool may have been lowered before; raising it again takes a privilege. If
    // either fails, encoding is slower or competes with serving, but is correct.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
