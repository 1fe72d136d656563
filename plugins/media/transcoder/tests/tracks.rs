//! The sounds, texts and chapters of a file: which of them viewers can choose, and their names.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use streamgate_transcoder::encode::Options;
use streamgate_transcoder::sink::Rendition;
use streamgate_transcoder::tracks::About;
use support::{Encoded, check_rules, encode_file, ffmpeg, quick, samples};

const PICTURE: &str = "-f lavfi -i testsrc2=s=160x90:r=25:d=4";

fn encoded(path: &Path, options: &Options) -> Encoded {
    let out = path.with_extension("out");
    let encoded = encode_file(path, &out, options).unwrap();
    check_rules(&encoded);
    encoded
}

/// The better rendition of each sound, in the order in which players list them.
fn sounds(encoded: &Encoded) -> Vec<Rendition> {
    let all = encoded.taken.renditions.values().map(|written| written.rendition.clone());
    let mut sounds: Vec<_> = all
        .filter(|rendition| rendition.target_bitrate == 128_000 && rendition.codec.starts_with("mp4a"))
        .collect();
    sounds.sort_by_key(|rendition| rendition.track);
    sounds
}

/// How often the audio of a rendition crosses zero each second, which is twice its tone.
fn tone(encoded: &Encoded, rendition: &str) -> usize {
    let samples = samples(encoded, rendition);
    let second = &samples[48_000..96_000];
    second.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count() / 2
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const SUBRIP: &str =
    "1\n00:00:00,500 --> 00:00:01,500\nHello <i>you</i>\n\n2\n00:00:02,000 --> 00:00:03,000\nBye & off\n";

#[test]
fn every_sound_can_be_chosen_and_the_default_one_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let tones: Vec<_> =
        [300, 400, 500].iter().map(|tone| format!("-f lavfi -i sine=f={tone}:r=48000:d=4")).collect();
    let arguments = format!(
        "{PICTURE} {} -map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -c:a aac \
         -disposition:a:0 comment -disposition:a:1 default -disposition:a:2 visual_impaired \
         -metadata:s:a:0 language=eng -metadata:s:a:0 title=Director -metadata:s:a:1 language=ger \
         -metadata:s:a:2 language=eng",
        tones.join(" ")
    );
    let path = ffmpeg(folder.path(), &arguments, "three.mkv");
    let encoded = encoded(&path, &quick());
    let sounds = sounds(&encoded);
    let names: Vec<_> = sounds.iter().map(|sound| sound.name.as_str()).collect();
    assert_eq!(names, ["audio-128k", "audio-2-128k", "audio-3-128k"]);
    let tones: Vec<_> = names.iter().map(|name| tone(&encoded, name)).collect();
    for (tone, right) in tones.iter().zip([400, 300, 500]) {
        assert!(tone.abs_diff(right) <= 2, "{tones:?}");
    }
    assert_eq!((sounds[0].about.language.as_str(), sounds[0].about.commentary), ("de", false));
    assert_eq!((sounds[1].about.label.as_str(), sounds[1].about.commentary), ("Director", true));
    assert!(sounds[2].about.described && !sounds[2].about.commentary);
    // All are as long as the video.
    for written in encoded.taken.renditions.values() {
        let last = written.segments.last().unwrap();
        let end = (last.start + last.duration) as f64 / f64::from(written.rendition.timescale);
        assert!((end - 4.0).abs() < 0.05, "{}: {end} s", written.rendition.name);
    }
    assert_eq!(encoded.report.note, None);
}

#[test]
fn sounds_beyond_the_limit_are_left_out_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!(
        "{PICTURE} -f lavfi -i sine=d=4 -map 0 -map 1 -map 1 -map 1 -c:v libx264 -preset ultrafast -c:a aac"
    );
    let path = ffmpeg(folder.path(), &arguments, "three.mp4");
    let encoded = encoded(&path, &Options { max_sound_tracks: 2, ..quick() });
    assert_eq!(sounds(&encoded).len(), 2);
    let note = encoded.report.note.unwrap();
    assert_eq!(note, "Of its 3 sound tracks, 2 can be chosen; this server takes no more.");
}

#[test]
fn a_second_sound_that_begins_late_and_ends_early_is_silent_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!(
        "{PICTURE} -f lavfi -i sine=f=300:d=4 -itsoffset 2 -f lavfi -i sine=f=500:d=1 -map 0 -map 1 -map 2 \
         -c:v libx264 -preset ultrafast -c:a aac"
    );
    let encoded = encoded(&ffmpeg(folder.path(), &arguments, "late.mkv"), &quick());
    let loud: Vec<bool> = samples(&encoded, "audio-2-128k")
        .chunks(4800)
        .map(|run| run.iter().any(|sample| sample.abs() > 0.03))
        .collect();
    let first = loud.iter().position(|loud| *loud).unwrap();
    let last = loud.iter().rposition(|loud| *loud).unwrap();
    assert!((19..=20).contains(&first) && (29..=30).contains(&last), "{first} to {last} of {}", loud.len());
}

#[test]
fn texts_of_every_form_become_web_vtt_with_their_language_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    file(
        at,
        "b.ass",
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n\n\
         [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
         Dialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,{\\an8}Oben\\N{\\i1}schr\u{e4}g{\\i0}\n",
    );
    file(at, "c.vtt", "WEBVTT\n\n00:00.500 --> 00:01.500 align:left\n<v Ann>Hej\n");
    let arguments = format!(
        "{PICTURE} -i a.srt -i b.ass -i c.vtt -map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -c:s copy \
         -metadata:s:s:0 language=eng -metadata:s:s:1 language=deu -metadata:s:s:1 title=Schilder \
         -metadata:s:s:2 language=swe -disposition:s:0 default -disposition:s:1 forced -disposition:s:2 hearing_impaired"
    );
    let encoded = encoded(&ffmpeg(at, &arguments, "texts.mkv"), &quick());
    let texts = &encoded.taken.texts;
    let names: Vec<_> = texts.iter().map(|text| text.name.as_str()).collect();
    assert_eq!(names, ["text-1", "text-2", "text-3"]);
    let vtt: Vec<_> = texts.iter().map(|text| String::from_utf8(text.data.to_vec()).unwrap()).collect();
    assert_eq!(
        vtt[0],
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello <i>you</i>\n\n00:00:02.000 --> 00:00:03.000\nBye &amp; off\n"
    );
    assert!(vtt[1].contains("--> 00:00:01.500 line:0\nOben\n<i>schr\u{e4}g</i>\n"), "{}", vtt[1]);
    assert!(vtt[2].contains("--> 00:00:01.500 align:left\n<v Ann>Hej\n"), "{}", vtt[2]);
    let about = |language: &str| About { language: language.to_owned(), ..About::default() };
    assert_eq!(texts[0].about, About { default: true, ..about("en") });
    assert_eq!(texts[1].about, About { forced: true, label: "Schilder".to_owned(), ..about("de") });
    assert_eq!(texts[2].about, About { hearing_impaired: true, ..about("sv") });
    assert_eq!(encoded.report.note, None);
}

#[test]
fn timed_text_of_mp4_and_its_chapters_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    file(
        at,
        "chapters.txt",
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=Intro\n[CHAPTER]\nTIMEBASE=1/1000\n\
         START=1500\nEND=4000\ntitle=Main & more\n",
    );
    let arguments = format!(
        "{PICTURE} -i a.srt -i chapters.txt -map 0 -map 1 -map_metadata 2 -c:v libx264 -preset ultrafast \
         -c:s mov_text -metadata:s:s:0 language=fra"
    );
    let encoded = encoded(&ffmpeg(at, &arguments, "text.mp4"), &quick());
    let [text] = &encoded.taken.texts[..] else { panic!("{:?}", encoded.taken.texts) };
    assert_eq!(text.about.language, "fr");
    let vtt = String::from_utf8(text.data.to_vec()).unwrap();
    assert_eq!(
        vtt,
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello <i>you</i>\n\n00:00:02.000 --> 00:00:03.000\nBye &amp; off\n"
    );
    let chapters: Vec<_> =
        encoded.taken.chapters.iter().map(|chapter| (chapter.start_ms, chapter.title.as_str())).collect();
    assert_eq!(chapters, [(0, "Intro"), (1500, "Main & more")]);
}

#[test]
fn chapters_beyond_the_limit_are_left_out_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let chapter =
        |n: u32| format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle=Part {n}\n", 3 * n, 3 * n + 3);
    let all: String = (0..1_200).map(chapter).collect();
    file(at, "chapters.txt", &format!(";FFMETADATA1\n{all}"));
    let arguments =
        format!("{PICTURE} -i chapters.txt -map 0 -map_metadata 1 -c:v libx264 -preset ultrafast");
    let encoded = encoded(&ffmpeg(at, &arguments, "chapters.mkv"), &quick());
    let chapters = &encoded.taken.chapters;
    assert_eq!((chapters.len(), chapters[999].title.as_str()), (1_000, "Part 999"));
    let note = "The last 200 of its 1200 chapters were left out: this server takes no more than 1000.";
    assert_eq!(encoded.report.note.as_deref(), Some(note));
}

#[test]
fn ttml_in_mp4_is_read_and_is_named_where_it_has_pictures_or_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    let arguments = format!(
        "{PICTURE} -i a.srt -map 0 -map 1 -c:v libx264 -preset ultrafast -c:s ttml -metadata:s:s:0 language=eng"
    );
    let path = ffmpeg(at, &arguments, "ttml.mp4");
    let whole = encoded(&path, &quick());
    let [text] = &whole.taken.texts[..] else { panic!("{:?}", whole.taken.texts) };
    assert_eq!(text.about.language, "en");
    let vtt = String::from_utf8(text.data.to_vec()).unwrap();
    // ffmpeg writes no italics.
    assert_eq!(
        vtt,
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello you\n\n00:00:02.000 --> 00:00:03.000\nBye &amp; off\n"
    );
    assert_eq!(whole.report.note, None);
    let bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(6).position(|part| part == b"<span ").unwrap();
    for (instead, why) in [
        ("<image src='a.png'/>", "it consists of pictures, not of text"),
        ("<br begin='then'/> ", "what it has to show cannot be read (line "),
    ] {
        let mut changed = bytes.clone();
        changed[place..place + 39].fill(b' ');
        changed[place..place + instead.len()].copy_from_slice(instead.as_bytes());
        let path = at.join("changed.mp4");
        std::fs::write(&path, changed).unwrap();
        let encoded = encoded(&path, &quick());
        let note = encoded.report.note.unwrap();
        assert!(note.starts_with(&format!("The first subtitle track, stpp, was left out: {why}")), "{note}");
        assert!(encoded.taken.texts.is_empty());
    }
}

#[test]
fn text_in_mp4_that_is_web_vtt_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    // As ISO/IEC 14496-30 has it: timed text whose samples are boxes, which ffmpeg does not write.
    let timed = format!("{PICTURE} -i a.srt -map 0 -map 1 -c:v libx264 -preset ultrafast -c:s mov_text");
    let path = ffmpeg(at, &timed, "wvtt.mp4");
    let mut bytes = std::fs::read(&path).unwrap();
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|part| part == what).unwrap();
    let entry = find(&bytes, b"tx3g");
    bytes[entry..entry + 4].copy_from_slice(b"wvtt");
    // The sample of the first cue, with its style, becomes a cue with a payload.
    let sample = find(&bytes, b"\0\x09Hello you");
    bytes[sample..sample + 33].copy_from_slice(b"\0\0\0\x21vttc\0\0\0\x19paylHello you, my Ann");
    std::fs::write(&path, bytes).unwrap();
    let encoded = encoded(&path, &quick());
    let vtt = String::from_utf8(encoded.taken.texts[0].data.to_vec()).unwrap();
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello you, my Ann\n"), "{vtt}");
    assert_eq!(encoded.report.note, None);
}

#[test]
fn a_file_of_sound_alone_has_texts_and_chapters_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    let path = ffmpeg(at, "-f lavfi -i sine=d=4 -i a.srt -map 0 -map 1 -c:a libopus -c:s srt", "sound.mkv");
    let encoded = encoded(&path, &quick());
    assert_eq!(encoded.taken.texts.len(), 1);
}

#[test]
fn a_file_without_texts_reports_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = ffmpeg(folder.path(), &format!("{PICTURE} -c:v libx264 -preset ultrafast"), "bare.mp4");
    let encoded = encoded(&path, &quick());
    assert!(encoded.taken.texts_read && encoded.taken.texts.is_empty() && encoded.taken.chapters.is_empty());
}

#[test]
fn a_sound_that_breaks_off_is_silent_from_there_on_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!(
        "{PICTURE} -f lavfi -i sine=f=300:d=4 -f lavfi -i sine=f=500:d=4 -map 0 -map 1 -map 2 -c:v libx264 \
         -preset ultrafast -c:a aac"
    );
    let path = ffmpeg(folder.path(), &arguments, "broken.mp4");
    // Of the second sound nothing after two seconds is unchanged.
    let listed = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "a:1",
            "-show_entries",
            "packet=pts_time,size,pos",
            "-of",
            "csv=p=0",
        ])
        .arg(&path)
        .output()
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let fields: Vec<f64> = line.split(',').filter_map(|field| field.parse().ok()).collect();
        if let [time, size, place] = fields[..]
            && time > 2.0
        {
            bytes[place as usize..][..size as usize].fill(0xff);
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let encoded = encoded(&path, &quick());
    let note = encoded.report.note.clone().unwrap();
    assert_eq!(note, "The second sound track, aac, breaks off: the rest of it could not be decoded.");
    assert!(tone(&encoded, "audio-2-128k").abs_diff(500) <= 2, "what comes before is there");
    assert!(tone(&encoded, "audio-128k").abs_diff(300) <= 2);
}

#[test]
fn of_more_streams_than_are_looked_at_the_first_ones_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    file(at, "a.srt", SUBRIP);
    let texts = " -map 2".repeat(40);
    let arguments = format!(
        "{PICTURE} -f lavfi -i sine=d=4 -i a.srt -map 0 -map 1{texts} -c:v libx264 -preset ultrafast -c:a aac -c:s srt"
    );
    let path = ffmpeg(at, &arguments, "many.mkv");
    let encoded = encoded(&path, &Options { max_streams: 12, ..quick() });
    assert_eq!((encoded.report.frames, encoded.taken.texts.len()), (100, 10));
    assert_eq!(encoded.report.note.as_deref(), Some("Of its 42 streams, the first 12 were looked at."));
}

#[test]
fn a_second_picture_behind_the_first_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{PICTURE} -itsoffset 4 {PICTURE} -map 0 -map 1 -c:v libx264 -preset ultrafast");
    let path = ffmpeg(folder.path(), &arguments, "behind.mkv");
    let note = encoded(&path, &quick()).report.note.unwrap();
    assert_eq!(note, "Another picture comes behind the first one in this file; it was left out.");
}

#[test]
fn a_sound_of_a_second_recording_that_continues_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let make = |pid: u32, sounds: &str, name: &str| {
        let arguments = format!(
            "{PICTURE} -f lavfi -i sine=d=4 -map 0 {sounds} -c:v libx264 -preset ultrafast -c:a aac \
             -mpegts_start_pid {pid}"
        );
        std::fs::read(ffmpeg(folder.path(), &arguments, name)).unwrap()
    };
    let path = folder.path().join("joined.ts");
    let both = [make(256, "-map 1", "a.ts"), make(512, "-map 1 -map 1", "b.ts")];
    std::fs::write(&path, both.concat()).unwrap();
    let encoded = encoded(&path, &quick());
    assert!(encoded.report.frames.abs_diff(200) <= 2, "{}", encoded.report.frames);
    assert_eq!(sounds(&encoded).len(), 1);
    let note = encoded.report.note.unwrap();
    assert_eq!(note, "A sound track that begins in the middle of this file was left out.");
}
