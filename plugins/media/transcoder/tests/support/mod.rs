//! Clips made with GStreamer's test sources, encodes into a folder, and analysis of the result with
//! GStreamer's own decoders.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use streamgate_transcoder::control::{Control, EncodeError};
use streamgate_transcoder::encode::{Options, Report, encode};
use streamgate_transcoder::sink::{DirectorySink, Earlier, Existing, Kind, Sink, Taken};
use streamgate_transcoder::source::{FileSource, Source};

/// Makes a file with a pipeline that ends in `filesink name=file`.
pub(crate) fn clip(folder: &Path, name: &str, pipeline: &str) -> PathBuf {
    streamgate_transcoder::media::start().unwrap();
    let path = folder.join(name);
    let pipeline = gst::parse::launch(&format!("{pipeline} ! filesink name=file")).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("file").unwrap().set_property("location", path.to_str().unwrap());
    run(&pipeline);
    path
}

fn run(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("the pipeline ends");
    if let gst::MessageView::Error(error) = message.view() {
        panic!("{} {:?}", error.error(), error.debug());
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

/// `frames` frames of moving test picture as H.264.
pub(crate) fn video(frames: u32, caps: &str) -> String {
    format!(
        "videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,{caps} ! x264enc speed-preset=ultrafast"
    )
}

/// `seconds` of ticks, one a second, as AAC.
pub(crate) fn ticks(seconds: u32) -> String {
    format!(
        "audiotestsrc wave=ticks num-buffers={} samplesperbuffer=441 ! audio/x-raw,rate=44100,channels=2 ! \
         audioconvert ! avenc_aac",
        seconds * 100
    )
}

/// An MP4 of `frames` frames with `caps` and as many seconds of ticks.
pub(crate) fn mp4(folder: &Path, name: &str, frames: u32, caps: &str, seconds: u32) -> PathBuf {
    let pipeline =
        format!("{} ! queue ! mp4mux name=mux {} ! queue ! mux. mux.", video(frames, caps), ticks(seconds));
    clip(folder, name, &pipeline)
}

/// An MP4 without sound.
pub(crate) fn silent(folder: &Path, name: &str, frames: u32, caps: &str) -> PathBuf {
    clip(folder, name, &format!("{} ! mp4mux", video(frames, caps)))
}

/// Makes a file with the system's ffmpeg.
pub(crate) fn ffmpeg(folder: &Path, arguments: &str, name: &str) -> PathBuf {
    let done = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(name)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    folder.join(name)
}

/// Quick settings for tests.
pub(crate) fn quick() -> Options {
    Options { preset: "ultrafast".to_owned(), nice: 0, ..Options::default() }
}

/// The result of an encode.
pub(crate) struct Encoded {
    pub(crate) report: Report,
    pub(crate) taken: Taken,
    pub(crate) folder: PathBuf,
}

/// Encodes a file into a folder.
pub(crate) fn encode_file(path: &Path, folder: &Path, options: &Options) -> Result<Encoded, EncodeError> {
    encode_into(path, &Arc::new(DirectorySink::new(folder)), folder, options, Earlier::default())
}

/// Encodes into a sink that may have received something before, continuing from `earlier`.
pub(crate) fn encode_into(
    path: &Path,
    directory: &Arc<DirectorySink>,
    folder: &Path,
    options: &Options,
    earlier: Earlier,
) -> Result<Encoded, EncodeError> {
    streamgate_transcoder::media::start().unwrap();
    let source: Arc<dyn Source> = Arc::new(FileSource::open(path).unwrap());
    let sink: Arc<dyn Sink> = Arc::clone(directory) as Arc<dyn Sink>;
    let report = encode(&source, options, earlier, &sink, &Control::new())?;
    Ok(Encoded { report, taken: directory.taken(), folder: folder.to_owned() })
}

/// The reason why a file is refused.
pub(crate) fn refusal(path: &Path, folder: &Path, options: &Options) -> String {
    match encode_file(path, folder, options) {
        Err(EncodeError::Input { reason, .. }) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(encoded) => panic!("{:?}", encoded.report),
    }
}

/// The content of a sink, as a later attempt finds it.
pub(crate) fn as_earlier(taken: &Taken) -> Earlier {
    let renditions = taken
        .renditions
        .values()
        .map(|written| Existing {
            rendition: written.rendition.clone(),
            init: written.init.clone(),
            segments: written.segments.iter().map(|segment| (segment.start, segment.duration)).collect(),
            complete: written.complete,
        })
        .collect();
    let has = |name: &str| taken.images.iter().any(|image| image == name);
    Earlier {
        renditions,
        poster: has("poster.jpg"),
        thumbnails: has("thumbnails.vtt"),
        texts: taken.texts_read,
    }
}

/// Init and all segments of a rendition in one file.
pub(crate) fn joined(folder: &Path, rendition: &str) -> PathBuf {
    let at = folder.join(rendition);
    let mut data = std::fs::read(at.join("init.mp4")).unwrap();
    for number in 0.. {
        match std::fs::read(at.join(format!("{number}.m4s"))) {
            Ok(segment) => data.extend(segment),
            Err(_) => break,
        }
    }
    let path = folder.join(format!("{rendition}.mp4"));
    std::fs::write(&path, data).unwrap();
    path
}

/// Buffers from decoding a file, as (time, bytes); fails on any decoding error.
pub(crate) fn decoded(path: &Path, raw: &str) -> Vec<(Duration, Bytes)> {
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! decodebin ! {raw} ! appsink name=sink sync=false",
        path.display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let found = Arc::new(std::sync::Mutex::new(Vec::new()));
    let taken = Arc::clone(&found);
    let sink = pipeline.by_name("sink").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
    sink.set_callbacks(
        gstreamer_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().unwrap();
                let time = Duration::from_nanos(buffer.pts().unwrap().nseconds());
                let data = Bytes::copy_from_slice(&buffer.map_readable().unwrap());
                taken.lock().unwrap().push((time, data));
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    run(&pipeline);
    std::mem::take(&mut found.lock().unwrap())
}

/// Frames decoded from a rendition.
pub(crate) fn frames(folder: &Path, rendition: &str) -> usize {
    decoded(
        &joined(folder, rendition),
        "videoconvert ! video/x-raw,format=GRAY8 ! videoscale ! video/x-raw,width=16,height=16",
    )
    .len()
}

/// Checks what must hold for every encode: numbers without gaps, times without gaps,
/// key frames, and common cuts of all video renditions.
pub(crate) fn check_rules(encoded: &Encoded) {
    let mut cuts: Option<Vec<f64>> = None;
    for (name, written) in &encoded.taken.renditions {
        assert!(written.complete, "{name} is complete");
        // Browsers refuse level 1b.
        assert_ne!(written.rendition.codec, "avc1.640009", "{name}");
        let scale = f64::from(written.rendition.timescale);
        let mut start = 0;
        for (at, segment) in written.segments.iter().enumerate() {
            assert_eq!(segment.number as usize, at, "{name}");
            assert_eq!(segment.start, start, "{name} has no gaps");
            start += segment.duration;
            let seconds = segment.duration as f64 / scale;
            assert!(seconds <= 2.5, "{name}/{at} lasts {seconds} s");
            let data = std::fs::read(encoded.folder.join(format!("{name}/{at}.m4s"))).unwrap();
            let parsed = streamgate_transcoder::segment::parse_fragment(&data).unwrap();
            assert_eq!((parsed.start, parsed.duration), (segment.start, segment.duration), "{name}/{at}");
            assert!(parsed.starts_with_sync);
            if let Some((offset, length)) = segment.key_frame {
                assert_eq!(offset as usize, parsed.moof);
                assert_eq!((offset + length) as usize, parsed.first_sample_end);
            }
        }
        if !name.starts_with("audio") {
            assert!(written.rendition.codec.starts_with("avc1."), "{}", written.rendition.codec);
            let own: Vec<f64> = written.segments.iter().map(|segment| segment.start as f64 / scale).collect();
            let common = cuts.get_or_insert_with(|| own.clone());
            assert_eq!(common.len(), own.len(), "{name} has as many segments as the others");
            for (a, b) in common.iter().zip(&own) {
                assert!((a - b).abs() < 1e-9, "{name} is cut where the others are");
            }
        } else {
            assert_eq!(written.rendition.codec, "mp4a.40.2");
        }
    }
    assert!(!encoded.taken.renditions.is_empty());
}

/// The largest video rendition, and its size.
pub(crate) fn top(encoded: &Encoded) -> (&str, u32, u32) {
    let sizes = encoded.taken.renditions.iter().filter_map(|(name, written)| match written.rendition.kind {
        Kind::Video { width, height, .. } => Some((name.as_str(), width, height)),
        Kind::Audio { .. } => None,
    });
    sizes.max_by_key(|(_, width, height)| width * height).unwrap()
}

/// The audio of a rendition as mono samples, 48,000 a second.
pub(crate) fn samples(encoded: &Encoded, rendition: &str) -> Vec<f32> {
    let mono = "audioconvert ! audio/x-raw,format=F32LE,channels=1,rate=48000";
    let runs = decoded(&joined(&encoded.folder, rendition), mono);
    let bytes = runs.iter().flat_map(|(_, data)| data.chunks_exact(4));
    bytes.map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect()
}
