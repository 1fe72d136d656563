//! Files that are damaged, unusual, or no media at all: each is refused with a reason or encoded whole.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use streamgate_transcoder::encode::Options;
use streamgate_transcoder::sink::Kind;
use support::{check_rules, clip, encode_file, frames, mp4, quick, refusal, silent, ticks, video};

const SMALL: &str = "width=320,height=180,framerate=25/1";

fn written(folder: &Path, name: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, data).unwrap();
    path
}

fn whole(source: &Path, count: i64) -> support::Encoded {
    let out = source.with_extension("out");
    let encoded = encode_file(source, &out, &quick()).unwrap();
    check_rules(&encoded);
    for (name, written) in &encoded.taken.renditions {
        if let Kind::Video { .. } = written.rendition.kind {
            let found = frames(&out, name) as i64;
            assert!((found - count).abs() <= 1, "{name}: {found} instead of {count}");
        }
    }
    encoded
}

fn size(encoded: &support::Encoded, name: &str) -> (u32, u32) {
    match encoded.taken.renditions[name].rendition.kind {
        Kind::Video { width, height, .. } => (width, height),
        Kind::Audio { .. } => panic!("{name} is no video"),
    }
}

#[test]
fn a_file_that_is_not_media_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let out = root.join("out");
    for (name, data, expected) in [
        ("empty.mp4", Vec::new(), "empty"),
        ("text.mp4", b"Dear diary, today I renamed a file.\n".repeat(30), "text file"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n".to_vec(), "text file"),
        ("noise.mp4", (0..70_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect(), ""),
    ] {
        let reason = refusal(&written(root, name, &data), &out, &quick());
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(reason.ends_with('.') && reason.len() > 15, "{name}: {reason}");
    }
    assert!(!out.exists(), "no output exists");
}

#[test]
fn an_mp4_without_its_index_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = std::fs::read(mp4(folder.path(), "whole.mp4", 50, SMALL, 2)).unwrap();
    let moov = data.windows(4).position(|window| window == b"moov").unwrap();
    let cut = written(folder.path(), "cut.mp4", &data[..moov - 4]);
    let reason = refusal(&cut, &folder.path().join("out"), &quick());
    assert!(reason.contains("index (moov)"), "{reason}");
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let front = format!(
        "{} ! queue ! mp4mux faststart=true name=mux {} ! queue ! mux. mux.",
        video(150, SMALL),
        ticks(6)
    );
    let data = std::fs::read(clip(folder.path(), "front.mp4", &front)).unwrap();
    let cut = written(folder.path(), "cut.mp4", &data[..data.len() * 6 / 10]);
    let encoded = encode_file(&cut, &folder.path().join("out"), &quick()).unwrap();
    check_rules(&encoded);
    let seconds = encoded.report.duration.as_secs_f64();
    assert!((1.0..5.9).contains(&seconds), "{seconds}");

    let stream =
        format!("{} ! h264parse ! mpegtsmux name=mux {} ! aacparse ! mux. mux.", video(150, SMALL), ticks(6));
    let data = std::fs::read(clip(folder.path(), "whole.ts", &stream)).unwrap();
    let cut = written(folder.path(), "cut.ts", &data[..data.len() / 2]);
    check_rules(&encode_file(&cut, &folder.path().join("ts"), &quick()).unwrap());
}

#[test]
fn a_still_picture_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let picture = clip(folder.path(), "still.mp4", "videotestsrc num-buffers=1 ! jpegenc");
    let reason = refusal(&picture, &folder.path().join("out"), &quick());
    assert!(reason.contains("still picture"), "{reason}");
}

#[test]
fn picture_alone_and_sound_alone_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let encoded = whole(&silent(folder.path(), "video.mp4", 50, SMALL), 50);
    assert_eq!(encoded.taken.renditions.len(), 1);
    let encoded = whole(&clip(folder.path(), "audio.mp4", &format!("{} ! mp4mux", ticks(5))), 0);
    let names: Vec<_> = encoded.taken.renditions.keys().cloned().collect();
    assert_eq!(names, ["audio-128k", "audio-64k"]);
    assert!((4.9..5.1).contains(&encoded.report.duration.as_secs_f64()));
    assert!(encoded.taken.images.is_empty());
}

#[test]
fn odd_sizes_and_pixels_become_even_and_square() {
    let folder = tempfile::tempdir().unwrap();
    let odd = clip(
        folder.path(),
        "odd.mkv",
        "videotestsrc num-buffers=50 ! video/x-raw,format=Y444,width=641,height=361,framerate=25/1 ! \
         x264enc speed-preset=ultrafast ! h264parse ! matroskamux",
    );
    let encoded = whole(&odd, 50);
    assert_eq!(size(&encoded, "360p"), (640, 360));
    let anamorphic = "width=360,height=288,framerate=25/1,pixel-aspect-ratio=16/15";
    let encoded = whole(&silent(folder.path(), "par.mp4", 50, anamorphic), 50);
    assert_eq!(size(&encoded, "288p"), (384, 288));
}

#[test]
fn deep_and_full_colour_become_what_every_player_shows() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["I420_10LE", "Y444", "Y42B", "Y444_10LE"] {
        let caps = format!("format={format},{SMALL}");
        let encoded = whole(&silent(folder.path(), &format!("{format}.mp4"), 50, &caps), 50);
        let codec = &encoded.taken.renditions["180p"].rendition.codec;
        assert!(codec.starts_with("avc1.64"), "{format}: {codec}");
    }
}

#[test]
fn rotation_by_metadata_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = std::fs::read(silent(folder.path(), "upright.mp4", 50, SMALL)).unwrap();
    let header = data.windows(4).position(|window| window == b"tkhd").unwrap();
    // The matrix of a quarter turn, ISO/IEC 14496-12 §8.3.2.
    let matrix: [i32; 9] = [0, 1 << 16, 0, -(1 << 16), 0, 0, 180 << 16, 0, 1 << 30];
    for (at, value) in matrix.iter().enumerate() {
        data[header + 44 + 4 * at..][..4].copy_from_slice(&value.to_be_bytes());
    }
    let rotated = written(folder.path(), "rotated.mp4", &data);
    let encoded = whole(&rotated, 50);
    assert_eq!((encoded.taken.facts.width, encoded.taken.facts.height), (180, 320));
    assert_eq!(size(&encoded, "180p"), (180, 320));
}

#[test]
fn a_variable_rate_becomes_constant_and_keeps_its_length() {
    let folder = tempfile::tempdir().unwrap();
    // A second at 25 frames a second, then two at 5.
    let raw = |count: u32, rate: u32| {
        format!(
            "videotestsrc num-buffers={count} ! video/x-raw,format=I420,width=320,height=180,framerate={rate}/1 ! capssetter caps=video/x-raw,framerate=0/1 ! queue ! c."
        )
    };
    let pipeline = format!(
        "{} {} concat name=c ! x264enc speed-preset=ultrafast ! h264parse ! matroskamux",
        raw(25, 25),
        raw(10, 5)
    );
    let thinned = clip(folder.path(), "vfr.mkv", &pipeline);
    let encoded = encode_file(&thinned, &folder.path().join("out"), &quick()).unwrap();
    check_rules(&encoded);
    let seconds = encoded.report.duration.as_secs_f64();
    assert!((2.7..3.1).contains(&seconds), "{seconds}");
    let rate = encoded.taken.facts.rate.unwrap().fps();
    assert_eq!(frames(&encoded.folder, "180p"), (seconds * rate).round() as usize);
}

#[test]
fn interlaced_pictures_keep_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let interlaced = clip(
        folder.path(),
        "interlaced.mkv",
        "videotestsrc num-buffers=150 pattern=ball ! video/x-raw,width=320,height=240,framerate=50/1 ! \
         interlace field-pattern=1:1 ! x264enc speed-preset=ultrafast interlaced=true ! h264parse ! matroskamux",
    );
    whole(&interlaced, 75);
}

#[test]
fn six_channels_become_two() {
    let folder = tempfile::tempdir().unwrap();
    let surround = clip(
        folder.path(),
        "surround.mkv",
        &format!(
            "{} ! h264parse ! matroskamux name=mux audiotestsrc num-buffers=100 ! \
             audio/x-raw,channels=6,rate=48000,channel-mask=(bitmask)0x3f ! audioconvert ! avenc_aac ! mux. mux.",
            video(50, SMALL)
        ),
    );
    // The audio lasts 2.15 s, and the last frame as long.
    let encoded = whole(&surround, 54);
    assert_eq!(encoded.taken.facts.audio_channels, 6);
    assert!(matches!(
        encoded.taken.renditions["audio-64k"].rendition.kind,
        Kind::Audio { sample_rate: 48_000, channels: 2 }
    ));
}

#[test]
fn other_containers_and_codecs_work() {
    let folder = tempfile::tempdir().unwrap();
    let raw = "videotestsrc num-buffers=50 ! video/x-raw,width=320,height=180,framerate=25/1";
    let tone = "audiotestsrc num-buffers=94 ! audio/x-raw,rate=48000,channels=2 ! audioconvert";
    for (name, pipeline) in [
        ("vp8.webm", format!("{raw} ! vp8enc deadline=1 ! webmmux name=mux {tone} ! vorbisenc ! mux. mux.")),
        (
            "opus.mkv",
            format!("{raw} ! vp9enc deadline=1 ! matroskamux name=mux {tone} ! opusenc ! mux. mux."),
        ),
        (
            "mpeg.avi",
            format!(
                "{raw} ! avenc_mpeg4 ! mpeg4videoparse ! avimux name=mux {tone} ! lamemp3enc ! mux. mux."
            ),
        ),
        ("mpeg2.mpg", format!("{raw} ! mpeg2enc ! mpegvideoparse ! mpegpsmux")),
        (
            "two.mkv",
            format!(
                "{raw} ! vp8enc deadline=1 ! matroskamux name=mux {tone} ! opusenc ! mux. {tone} ! opusenc ! mux. mux."
            ),
        ),
    ] {
        whole(&clip(folder.path(), name, &pipeline), 50);
    }
}

/// Makes every duration in the headers of an MP4 ten hours.
fn ten_hours(data: &mut [u8]) {
    let mut patch = |kind: &[u8], scale_at: usize, duration_at: usize| {
        let at = data.windows(4).position(|window| window == kind).unwrap();
        let read = |data: &[u8], at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        let scale = if scale_at == 0 { 1000 } else { read(data, at + scale_at) };
        data[at + duration_at..at + duration_at + 4]
            .copy_from_slice(&scale.saturating_mul(36_000).to_be_bytes());
    };
    patch(b"mvhd", 16, 20);
    patch(b"mdhd", 16, 20);
    patch(b"elst", 0, 12);
}

#[test]
fn a_header_of_ten_hours_on_a_second_of_data_is_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = std::fs::read(silent(folder.path(), "one.mp4", 25, SMALL)).unwrap();
    ten_hours(&mut data);
    let encoded = whole(&written(folder.path(), "long.mp4", &data), 25);
    assert!(encoded.report.duration < Duration::from_secs(2), "{:?}", encoded.report.duration);
    let options = Options { max_duration: Duration::from_secs(3600), ..quick() };
    encode_file(&folder.path().join("long.mp4"), &folder.path().join("limited"), &options).unwrap();
}

#[test]
fn limits_are_kept_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let source = mp4(folder.path(), "clip.mp4", 100, SMALL, 4);
    let out = folder.path().join("out");
    let limits = [
        (Options { max_pixels: 320 * 100, ..quick() }, "too large: 320x180"),
        (Options { max_bytes: 1000, ..quick() }, "too large"),
        (Options { max_duration: Duration::from_secs(2), ..quick() }, "too long"),
        (Options { max_wall_time: Duration::ZERO, ..quick() }, "longer than this server allows"),
    ];
    for (options, expected) in limits {
        let reason = refusal(&source, &out, &options);
        assert!(reason.contains(expected), "{reason}");
    }
}
