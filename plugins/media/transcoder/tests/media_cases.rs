//! Small real-world inputs from the folder that `STREAMGATE_TEST_CASES` names. In most of them the video
//! flashes white for a frame at each whole second, and the audio beeps at the same time.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::path::{Path, PathBuf};

use support::{Encoded, check_rules, decoded, encode_file, joined, quick, samples, top};

/// Maximum distance of video and audio, in seconds: a frame, and sampling error.
const IN_STEP: f64 = 0.045;

struct Case {
    name: &'static str,
    /// Of the top rung.
    frames: u64,
    /// Seconds.
    sound: f64,
    /// Seconds at which the audio beeps, to the nearest whole.
    beeps: &'static [u64],
}

const CASES: &[Case] = &[
    Case { name: "aac_then_apac.mov", frames: 75, sound: 3.0, beeps: &[] },
    Case { name: "avi_b_frames.avi", frames: 100, sound: 4.0, beeps: &[1, 2, 3] },
    Case { name: "clock_wraps.ts", frames: 150, sound: 6.0, beeps: &[1, 2, 3, 4, 5] },
    Case { name: "flv_avc_aac.flv", frames: 100, sound: 4.0, beeps: &[1, 2, 3] },
    Case { name: "four_channels_no_layout.mov", frames: 25, sound: 1.0, beeps: &[] },
    Case { name: "late_sound.vob", frames: 225, sound: 9.0, beeps: &[6, 7, 8] },
    Case { name: "one_picture_30s.mp4", frames: 750, sound: 30.0, beeps: &[] },
    Case { name: "one_picture_no_duration.mkv", frames: 125, sound: 5.0, beeps: &[] },
    Case { name: "qt_animation.mov", frames: 15, sound: 0.6, beeps: &[] },
    Case { name: "recording_gap_320s.mkv", frames: 4860, sound: 324.0, beeps: &[1, 322, 323] },
    Case { name: "second_sound_is_default.mkv", frames: 75, sound: 3.0, beeps: &[] },
    Case { name: "sound_shorter.mp4", frames: 150, sound: 6.0, beeps: &[1] },
    Case { name: "trimmed_start.mp4", frames: 73, sound: 2.9, beeps: &[1, 2] },
    Case { name: "two_edits.mp4", frames: 100, sound: 4.0, beeps: &[1, 2, 3] },
    Case { name: "uncompressed_bgr.avi", frames: 5, sound: 0.2, beeps: &[] },
];

/// The folder of cases, if there is one.
fn folder() -> Option<PathBuf> {
    let Some(cases) = std::env::var_os("STREAMGATE_TEST_CASES") else {
        eprintln!("skipped: STREAMGATE_TEST_CASES names no folder of cases");
        return None;
    };
    Some(Path::new(&cases).join("media"))
}

fn encoded(name: &str, out: &Path) -> Option<Encoded> {
    let encoded = encode_file(&folder()?.join(name), &out.join(name), &quick()).unwrap();
    check_rules(&encoded);
    Some(encoded)
}

/// The time of each white frame, seconds, and the number of frames.
fn flashes(encoded: &Encoded) -> (Vec<f64>, u64) {
    let luma = "videoconvert ! video/x-raw,format=GRAY8 ! videoscale ! video/x-raw,width=16,height=16";
    let frames = decoded(&joined(&encoded.folder, top(encoded).0), luma);
    let is_white =
        |data: &[u8]| data.iter().map(|byte| u32::from(*byte)).sum::<u32>() > 150 * data.len() as u32;
    let white = frames.iter().filter(|(_, data)| is_white(data)).map(|(time, _)| time.as_secs_f64());
    (white.collect(), frames.len() as u64)
}

/// The start of each beep, seconds, and the length of the audio.
fn beeps(encoded: &Encoded) -> (Vec<f64>, f64) {
    let (mut found, mut last, mut at) = (Vec::new(), None, 0u64);
    for sample in samples(encoded, "audio-128k") {
        if sample.abs() > 0.05 {
            if last.is_none_or(|last| at - last > 9_600) {
                found.push(at as f64 / 48_000.0);
            }
            last = Some(at);
        }
        at += 1;
    }
    (found, at as f64 / 48_000.0)
}

#[test]
fn each_case_is_whole_and_picture_and_sound_stay_together() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in CASES {
        let Some(encoded) = encoded(case.name, out.path()) else { return };
        let ((flashes, frames), (beeps, sound)) = (flashes(&encoded), beeps(&encoded));
        if frames.abs_diff(case.frames) > 1 {
            wrong.push(format!("{}: {frames} frames instead of {}", case.name, case.frames));
        }
        if (sound - case.sound).abs() > 0.1 {
            wrong.push(format!("{}: {sound} s of sound instead of {}", case.name, case.sound));
        }
        if let Some(note) = encoded.report.note.as_ref().filter(|_| case.name != "aac_then_apac.mov") {
            wrong.push(format!("{}: {note}", case.name));
        }
        for second in case.beeps {
            let near = |time: &&f64| (**time - *second as f64).abs() < 0.3;
            let (flash, beep) = (flashes.iter().find(near), beeps.iter().find(near));
            if !flash.zip(beep).is_some_and(|(flash, beep)| (flash - beep).abs() <= IN_STEP) {
                wrong.push(format!(
                    "{}: at {second} s it flashes at {flash:?} and beeps at {beep:?}",
                    case.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_sound_that_the_file_names_as_default_is_taken_and_it_is_the_same_one_each_time() {
    let out = tempfile::tempdir().unwrap();
    let Some(first) = encoded("two_languages.mp4", out.path()) else { return };
    // The head of a rendition contains its creation time.
    let bytes = |encoded: &Encoded| {
        let segment =
            |number: u32| std::fs::read(encoded.folder.join(format!("audio-128k/{number}.m4s"))).unwrap();
        (0..4).map(segment).collect::<Vec<_>>()
    };
    let expected = bytes(&first);
    for attempt in 0..20 {
        let again = encoded("two_languages.mp4", &out.path().join(attempt.to_string())).unwrap();
        assert!(bytes(&again) == expected, "attempt {attempt} has another sound");
    }
    // The first track of this one is silent.
    let default = encoded("second_sound_is_default.mkv", out.path()).unwrap();
    assert!(!beeps(&default).0.is_empty());
    // Of four channels without a layout, the first one beeps.
    assert!(!beeps(&encoded("four_channels_no_layout.mov", out.path()).unwrap()).0.is_empty());
}

#[test]
fn an_upright_phone_keeps_its_size_and_what_is_cut_off_says_so() {
    let out = tempfile::tempdir().unwrap();
    let Some(phone) = encoded("phone_720x1600.mp4", out.path()) else { return };
    assert_eq!(top(&phone), ("720p", 720, 1600));
    assert_eq!(top(&encoded("uncompressed_bgr.avi", out.path()).unwrap()), ("64p", 96, 64));
    let cut = encoded("cut_off_at_10_percent.mp4", out.path()).unwrap();
    let note = cut.report.note.unwrap();
    assert!(note.contains("damaged after 2.9 s"), "{note}");
}

#[test]
fn captions_in_the_picture_and_subtitles_beside_it_can_be_read_and_chapters_are_known() {
    let out = tempfile::tempdir().unwrap();
    let Some(captions) = encoded("captions_608.mp4", out.path()) else { return };
    let [text] = &captions.taken.texts[..] else { panic!("{:?}", captions.taken.texts) };
    assert_eq!((text.about.label.as_str(), text.about.hearing_impaired), ("CC1", true));
    let vtt = String::from_utf8(text.data.to_vec()).unwrap();
    assert!(vtt.contains("00:00:01.267 --> 00:00:04.0") && vtt.contains("\nHELLO CC\n"), "{vtt}");

    let subtitled = encoded("subtitles_chapters.mkv", out.path()).unwrap();
    let languages: Vec<_> = subtitled.taken.texts.iter().map(|text| text.about.language.as_str()).collect();
    assert_eq!(languages, ["en", "de"]);
    let chapters: Vec<_> =
        subtitled.taken.chapters.iter().map(|chapter| (chapter.start_ms, chapter.title.as_str())).collect();
    assert_eq!(chapters, [(0, "Intro"), (1500, "Main")]);
}

#[test]
fn an_undecodable_sound_is_left_out_by_name_and_takes_no_other_with_it() {
    let out = tempfile::tempdir().unwrap();
    let Some(encoded) = encoded("aac_then_apac.mov", out.path()) else { return };
    let note = "The second sound track, apac, was left out: this server cannot decode it.";
    assert_eq!(encoded.report.note.as_deref(), Some(note));
    assert!(!encoded.taken.renditions.contains_key("audio-2-128k"));
}
