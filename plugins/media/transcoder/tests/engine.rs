//! The engine as a whole: clips in, segments out.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use streamgate_transcoder::control::{Control, EncodeError};
use streamgate_transcoder::encode::{Options, Passes, encode};
use streamgate_transcoder::ladder::Rate;
use streamgate_transcoder::sink::{
    Chapter, DirectorySink, Facts, Kind, Rendition, Segment, Sink, SinkError, Text,
};
use streamgate_transcoder::source::{FileSource, Source};
use support::{
    as_earlier, check_rules, clip, decoded, encode_file, encode_into, frames, joined, mp4, quick, silent,
};

const SMALL: &str = "width=640,height=360,framerate=25/1";

#[test]
fn a_clip_becomes_the_ladder_with_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let source = mp4(folder.path(), "clip.mp4", 126, SMALL, 5);
    let encoded = encode_file(&source, &folder.path().join("out"), &quick()).unwrap();
    check_rules(&encoded);
    let names: Vec<_> = encoded.taken.renditions.keys().cloned().collect();
    assert_eq!(names, ["234p", "360p", "audio-128k", "audio-64k"]);
    for name in ["234p", "360p"] {
        assert_eq!(frames(&encoded.folder, name), 126);
        assert_eq!(encoded.taken.renditions[name].segments.len(), 3);
    }
    let facts = &encoded.taken.facts;
    assert_eq!((facts.width, facts.height, facts.rate), (640, 360, Some(Rate { num: 25, den: 1 })));
    assert_eq!((facts.video_codec.as_str(), facts.audio_codec.as_str()), ("h264", "aac"));
    assert_eq!(encoded.report.duration.as_millis(), 5040);
    assert!(encoded.report.note.is_none());
}

#[test]
fn clips_around_the_length_of_a_segment_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    for count in [24, 49, 50, 51, 100] {
        let source = mp4(folder.path(), "clip.mp4", count, SMALL, 1);
        let encoded = encode_file(&source, &folder.path().join(format!("out-{count}")), &quick()).unwrap();
        check_rules(&encoded);
        assert_eq!(encoded.taken.renditions.len(), 4);
        for name in ["234p", "360p"] {
            // The sound and its encoder's padding last 1.045 s, and the last frame as long.
            assert_eq!(frames(&encoded.folder, name), count.max(26) as usize, "{name}");
        }
    }
}

/// Four slides full of letters, three seconds each, stored with few key frames.
fn slides(folder: &std::path::Path) -> std::path::PathBuf {
    const WIDTH: usize = 640;
    const HEIGHT: usize = 360;
    let mut random = 1u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) as usize
    };
    let mut frames = b"YUV4MPEG2 W640 H360 F10:1 Ip A1:1 C420jpeg\n".to_vec();
    for _ in 0..4 {
        let mut luma = vec![235u8; WIDTH * HEIGHT];
        for (row, column) in (0..HEIGHT / 12).flat_map(|row| (0..WIDTH / 8).map(move |column| (row, column)))
        {
            let (down, across, lies) = (next() % 6, next() % 3, next() % 2 == 0);
            let (height, width) = if lies { (1, 5) } else { (4, 1) };
            for line in row * 12 + down..row * 12 + down + height {
                luma[line * WIDTH + column * 8 + across..][..width].fill(16);
            }
        }
        for _ in 0..30 {
            frames.extend_from_slice(b"FRAME\n");
            frames.extend_from_slice(&luma);
            frames.resize(frames.len() + WIDTH * HEIGHT / 2, 128);
        }
    }
    let raw = folder.join("slides.y4m");
    std::fs::write(&raw, frames).unwrap();
    let pipeline = "y4mdec ! x264enc speed-preset=veryfast pass=qual quantizer=23 key-int-max=1000 ! mp4mux";
    clip(folder, "slides.mp4", &format!("filesrc location={} ! {pipeline}", raw.display()))
}

#[test]
fn slides_stay_legible_though_their_source_has_few_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (slides(folder.path()), folder.path().join("out"));
    let encoded = encode_file(&source, &out, &Options { preset: "veryfast".to_owned(), ..quick() }).unwrap();
    check_rules(&encoded);
    let luma = "videoconvert ! video/x-raw,format=GRAY8,width=640,height=360";
    let (before, after) = (decoded(&source, luma), decoded(&joined(&out, "360p"), luma));
    assert_eq!((before.len(), after.len()), (120, 120));
    for (at, ((_, before), (_, after))) in before.iter().zip(&after).enumerate() {
        let errors = before.iter().zip(after).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>();
        let psnr = 10.0 * (255.0f64.powi(2) / (errors / before.len() as f64)).log10();
        assert!(psnr >= 35.0, "frame {at}: {psnr:.1} dB")
    }
}

#[test]
fn poster_and_thumbnails_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let source = silent(folder.path(), "clip.mp4", 75, SMALL);
    let encoded = encode_file(&source, &folder.path().join("out"), &quick()).unwrap();
    let mut images = encoded.taken.images.clone();
    images.sort();
    assert_eq!(images, ["poster.jpg", "thumbnails-0.jpg", "thumbnails.vtt"]);
    for image in ["poster.jpg", "thumbnails-0.jpg"] {
        assert_eq!(std::fs::read(encoded.folder.join(image)).unwrap()[..3], [0xff, 0xd8, 0xff]);
    }
    let index = std::fs::read_to_string(encoded.folder.join("thumbnails.vtt")).unwrap();
    assert_eq!(index.matches("thumbnails-0.jpg#xywh=").count(), 3);
}

#[test]
fn sound_stays_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    // Uncompressed sound: an encoder of the source would add a delay of its own.
    let ticks = "audiotestsrc wave=ticks num-buffers=400 samplesperbuffer=441 ! \
                 audio/x-raw,format=S16LE,rate=44100,channels=2 ! matroskamux";
    let source = clip(folder.path(), "clip.mkv", ticks);
    let encoded = encode_file(&source, &folder.path().join("out"), &quick()).unwrap();
    let (before, after) = (ticks_of(&source, 4), ticks_of(&joined(&encoded.folder, "audio-128k"), 4));
    assert_eq!((before.len(), after.len()), (3, 3));
    for (before, after) in before.iter().zip(&after) {
        assert!(before.abs_diff(*after) < 48, "a tick at sample {before} is now at {after}");
    }
}

/// The first loud sample around each full second.
fn ticks_of(path: &std::path::Path, seconds: usize) -> Vec<usize> {
    let raw = "audioconvert ! audioresample ! audio/x-raw,format=F32LE,channels=1,rate=48000";
    let runs = decoded(path, raw);
    let data: Vec<u8> = runs.into_iter().flat_map(|(_, data)| data).collect();
    let samples: Vec<f32> =
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    (1..seconds)
        .filter_map(|second| {
            let around = second * 48_000 - 4800..second * 48_000 + 4800;
            around.into_iter().find(|at| samples[*at].abs() > 0.15)
        })
        .collect()
}

#[test]
fn ntsc_rates_are_cut_every_sixty_frames_and_small_rungs_take_half_of_sixty() {
    let folder = tempfile::tempdir().unwrap();
    let source = silent(folder.path(), "a.mp4", 150, "width=320,height=180,framerate=30000/1001");
    let encoded = encode_file(&source, &folder.path().join("a"), &quick()).unwrap();
    check_rules(&encoded);
    let written = &encoded.taken.renditions["180p"];
    assert_eq!(written.rendition.timescale, 30_000);
    assert_eq!(written.segments[1].start, 60 * 1001);
    assert_eq!(frames(&encoded.folder, "180p"), 150);

    let source = silent(folder.path(), "b.mp4", 301, "width=960,height=540,framerate=60000/1001");
    let encoded = encode_file(&source, &folder.path().join("b"), &quick()).unwrap();
    check_rules(&encoded);
    assert_eq!(frames(&encoded.folder, "540p"), 301);
    assert!((150..=151).contains(&frames(&encoded.folder, "360p")));
}

#[test]
fn two_passes_give_what_one_gives_with_the_watchable_rung_first() {
    let folder = tempfile::tempdir().unwrap();
    let source = mp4(folder.path(), "clip.mp4", 126, SMALL, 5);
    let options = streamgate_transcoder::encode::Options { passes: Passes::Two, ..quick() };
    let encoded = encode_file(&source, &folder.path().join("out"), &options).unwrap();
    check_rules(&encoded);
    assert_eq!(encoded.taken.renditions.len(), 4);
    assert_eq!(frames(&encoded.folder, "234p"), 126);
    assert_eq!(frames(&encoded.folder, "360p"), 126);
}

/// Stops the encode, like a crash, after this many segments.
struct Breaking {
    inner: Arc<DirectorySink>,
    control: Arc<Control>,
    left: Mutex<usize>,
}

impl Sink for Breaking {
    fn planned(&self, facts: &Facts, watch: &[String]) -> Result<(), SinkError> {
        self.inner.planned(facts, watch)
    }
    fn rendition(&self, rendition: &Rendition, init: Bytes) -> Result<(), SinkError> {
        self.inner.rendition(rendition, init)
    }
    fn segment(&self, rendition: &str, segment: Segment, data: Bytes) -> Result<(), SinkError> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            self.control.cancel();
            return Err("crashed".into());
        }
        *left -= 1;
        self.inner.segment(rendition, segment, data)
    }
    fn complete(&self, rendition: &str) -> Result<(), SinkError> {
        self.inner.complete(rendition)
    }
    fn image(&self, name: &str, data: Bytes) -> Result<(), SinkError> {
        self.inner.image(name, data)
    }
    fn texts(&self, texts: Vec<Text>, chapters: Vec<Chapter>) -> Result<(), SinkError> {
        self.inner.texts(texts, chapters)
    }
    fn progress(&self, progress: f64) {
        self.inner.progress(progress);
    }
}

#[test]
fn an_interrupted_encode_continues_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let source = mp4(folder.path(), "clip.mp4", 260, SMALL, 10);
    let whole = encode_file(&source, &folder.path().join("whole"), &quick()).unwrap();
    for after in [0, 1, 5, 9, 14, 22, 23] {
        let out = folder.path().join(format!("out-{after}"));
        let directory = Arc::new(DirectorySink::new(&out));
        let control = Control::new();
        let sink: Arc<dyn Sink> = Arc::new(Breaking {
            inner: Arc::clone(&directory),
            control: Arc::clone(&control),
            left: Mutex::new(after),
        });
        let bytes: Arc<dyn Source> = Arc::new(FileSource::open(&source).unwrap());
        encode(&bytes, &quick(), Default::default(), &sink, &control).unwrap_err();

        let before = directory.taken();
        let rest = encode_into(&source, &directory, &out, &quick(), as_earlier(&before)).unwrap();
        check_rules(&rest);
        assert_eq!(rest.report.duration, whole.report.duration);
        for (name, expected) in &whole.taken.renditions {
            let found = &rest.taken.renditions[name];
            let times =
                |of: &[Segment]| of.iter().map(|s| (s.number, s.start, s.duration)).collect::<Vec<_>>();
            assert_eq!(times(&found.segments), times(&expected.segments), "{name} after {after}");
            // Segments of the first attempt are the very ones it wrote, including the short one at the end.
            for segment in before.renditions.get(name).map_or(&[][..], |written| &written.segments) {
                assert_eq!(found.segments[segment.number as usize], *segment, "{name} after {after}");
            }
        }
        for name in ["234p", "360p"] {
            assert_eq!(frames(&out, name), 260, "after {after}");
        }
    }
}

#[test]
fn a_long_encode_continues_in_the_middle_with_the_same_pictures_and_sound() {
    let picture = "videotestsrc num-buffers=400 pattern=ball ! video/x-raw,width=160,height=90,framerate=10/1 ! \
                   x264enc speed-preset=veryfast bframes=2 key-int-max=70 ! h264parse";
    let sound = "audiotestsrc wave=ticks num-buffers=4000 samplesperbuffer=441 ! \
                 audio/x-raw,format=S16LE,rate=44100,channels=2";
    goes_on_in_the_middle("clip.mkv", &format!("{picture} ! mux. {sound} ! matroskamux name=mux"));
    let encoded = "audioconvert ! avenc_aac ! queue ! mp4mux name=mux";
    goes_on_in_the_middle("clip.mp4", &format!("{picture} ! queue ! mux. {sound} ! {encoded}"));
}

fn goes_on_in_the_middle(name: &str, pipeline: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = clip(folder.path(), name, pipeline);
    let whole = encode_file(&source, &folder.path().join("whole"), &quick()).unwrap();
    let mut earlier = as_earlier(&whole.taken);
    for existing in &mut earlier.renditions {
        existing.complete = false;
        existing.segments.truncate(14);
    }
    let out = folder.path().join("rest");
    let directory = Arc::new(DirectorySink::new(&out));
    let mut announced = whole.taken.renditions.clone();
    for written in announced.values_mut() {
        directory.rendition(&written.rendition, written.init.clone()).unwrap();
        for segment in written.segments.drain(..).take(14) {
            let name = &written.rendition.name;
            let data = std::fs::read(whole.folder.join(format!("{name}/{}.m4s", segment.number))).unwrap();
            directory.segment(name, segment, data.into()).unwrap();
        }
    }
    let rest = encode_into(&source, &directory, &out, &quick(), earlier).unwrap();
    check_rules(&rest);
    assert_eq!(rest.report.duration.as_millis().abs_diff(whole.report.duration.as_millis()) / 2, 0);

    let raw = "videoconvert ! video/x-raw,format=GRAY8 ! videoscale ! video/x-raw,width=32,height=32";
    let pictures = |folder: &std::path::Path| decoded(&joined(folder, "90p"), raw);
    let (before, after) = (pictures(&whole.folder), pictures(&out));
    assert_eq!((before.len(), after.len()), (400, 400));
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        let off: u64 = before.1.iter().zip(&after.1).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off < 32 * 32 * 4, "frame {at} is another picture: {off}");
    }
    let ticks = |folder: &std::path::Path| ticks_of(&joined(folder, "audio-128k"), 38);
    for (before, after) in ticks(&whole.folder).iter().zip(ticks(&out)) {
        assert!(before.abs_diff(after) < 48, "a tick at sample {before} is now at {after}");
    }
}

#[test]
fn segments_of_other_settings_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let source = silent(folder.path(), "clip.mp4", 130, "width=320,height=180,framerate=25/1");
    let first = encode_file(&source, &folder.path().join("out"), &quick()).unwrap();
    let mut earlier = as_earlier(&first.taken);
    for existing in &mut earlier.renditions {
        existing.complete = false;
        existing.segments.truncate(1);
    }
    let slower = streamgate_transcoder::encode::Options { preset: "slow".to_owned(), ..quick() };
    let out = folder.path().join("again");
    let directory = Arc::new(DirectorySink::new(&out));
    let error = encode_into(&source, &directory, &out, &slower, earlier).map(|_| ()).unwrap_err();
    assert!(matches!(error, EncodeError::Changed), "{error:?}");
}

#[test]
fn cancelling_stops_soon() {
    let folder = tempfile::tempdir().unwrap();
    let source = silent(folder.path(), "clip.mp4", 400, SMALL);
    let control = Control::new();
    let directory = Arc::new(DirectorySink::new(&folder.path().join("out")));
    let sink: Arc<dyn Sink> = Arc::new(Breaking {
        inner: Arc::clone(&directory),
        control: Arc::clone(&control),
        left: Mutex::new(1),
    });
    let bytes: Arc<dyn Source> = Arc::new(FileSource::open(&source).unwrap());
    let error = encode(&bytes, &quick(), Default::default(), &sink, &control).unwrap_err();
    assert!(matches!(error, EncodeError::Cancelled | EncodeError::Sink(_)), "{error:?}");
    assert!(directory.taken().renditions.values().all(|written| !written.complete));
}

#[test]
fn every_clip_of_the_test_media_is_encoded_whole() {
    let Some(media) = std::env::var_os("STREAMGATE_TEST_MEDIA") else { return };
    let clips = std::fs::read_dir(media).unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    for clip in clips.filter(|path| path.extension().is_some_and(|kind| kind != "md")) {
        let folder = tempfile::tempdir().unwrap();
        let encoded = encode_file(&clip, folder.path(), &quick()).unwrap();
        check_rules(&encoded);
        assert!(encoded.report.note.is_none(), "{:?}", encoded.report.note);
        for (name, written) in &encoded.taken.renditions {
            if let Kind::Video { .. } = written.rendition.kind {
                let found = frames(folder.path(), name) as i64;
                assert!(
                    (found - encoded.report.frames as i64).abs() <= 1,
                    "{name} of {}: {found}",
                    clip.display()
                );
            }
        }
    }
}
