//! The cover that a file of sound carries becomes its poster.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use streamgate_transcoder::encode::Options;
use support::{Encoded, as_earlier, check_rules, encode_file, ffmpeg, quick};

const SOUND: &str = "-f lavfi -i sine=d=2";

/// Left half red, right half blue.
fn cover(folder: &Path, name: &str, size: (u32, u32), colours: [&str; 2]) {
    let half = (size.0 / 2, size.1);
    let inputs = colours.map(|colour| format!("-f lavfi -i color={colour}:s={}x{}:d=1", half.0, half.1));
    let arguments =
        format!("{} -filter_complex hstack -frames:v 1 -pix_fmt {}", inputs.join(" "), pixels(name));
    ffmpeg(folder, &arguments, name);
}

fn pixels(name: &str) -> &'static str {
    match name.rsplit_once('.').unwrap().1 {
        "jpg" => "yuvj420p",
        "bmp" => "bgr24",
        _ => "rgb24",
    }
}

fn encoded(path: &Path, options: &Options) -> Encoded {
    let encoded = encode_file(path, &path.with_extension("out"), options).unwrap();
    check_rules(&encoded);
    encoded
}

/// The size of the poster, and the colours in the middle of its halves.
fn poster(encoded: &Encoded) -> ((usize, usize), [[u8; 3]; 2]) {
    assert_eq!(encoded.taken.images, ["poster.jpg"], "there is a poster, and no thumbnails");
    assert!(encoded.report.poster && !encoded.report.thumbnails);
    let file = encoded.folder.join("poster.jpg");
    let size = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
        .arg(&file)
        .output()
        .unwrap();
    let size = String::from_utf8(size.stdout).unwrap();
    let (width, height) = size.trim().split_once(',').unwrap();
    let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
    let raw = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&file)
        .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    let pixel = |x: usize| {
        let at = (height / 2 * width + x) * 3;
        [raw.stdout[at], raw.stdout[at + 1], raw.stdout[at + 2]]
    };
    ((width, height), [pixel(width / 4), pixel(width * 3 / 4)])
}

fn is(colours: [[u8; 3]; 2], wanted: [[u8; 3]; 2]) -> bool {
    let near = |(one, other): (&u8, &u8)| one.abs_diff(*other) <= 12;
    colours.as_flattened().iter().zip(wanted.as_flattened()).all(near)
}

const RED_BLUE: [[u8; 3]; 2] = [[255, 0, 0], [0, 0, 255]];

#[test]
fn the_cover_of_every_kind_of_file_is_its_poster() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["cover.png", "cover.jpg", "cover.bmp"] {
        cover(at, name, (1_600, 800), ["red", "blue"]);
    }
    let beside = "-map 0 -map 1 -c:v copy -disposition:v attached_pic";
    let attach = "-attach cover.png -metadata:s:t mimetype=image/png -metadata:s:t filename=cover.png";
    for (name, arguments) in [
        ("png.mp3", format!("{SOUND} -i cover.png {beside} -c:a libmp3lame")),
        ("jpg.mp3", format!("{SOUND} -i cover.jpg {beside} -c:a libmp3lame")),
        ("png.m4a", format!("{SOUND} -i cover.png {beside} -c:a aac")),
        ("jpg.m4a", format!("{SOUND} -i cover.jpg {beside} -c:a aac")),
        ("bmp.m4a", format!("{SOUND} -i cover.bmp {beside} -c:a aac")),
        ("png.flac", format!("{SOUND} -i cover.png {beside} -c:a flac")),
        ("png.mka", format!("{SOUND} {attach} -c:a libopus")),
    ] {
        let encoded = encoded(&ffmpeg(at, &arguments, name), &quick());
        let (size, colours) = poster(&encoded);
        assert_eq!(size, (1_280, 640), "{name}");
        assert!(is(colours, RED_BLUE), "{name}: {colours:?}");
        assert_eq!(encoded.report.note, None, "{name}");
    }
}

#[test]
fn the_picture_block_of_ogg_is_a_cover() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cover(at, "cover.png", (320, 320), ["red", "blue"]);
    let picture = std::fs::read(at.join("cover.png")).unwrap();
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    // Its kind (3: front cover), its type, an empty description, its size, and its properties (RFC 9639
    // §8.8).
    let block = [
        &number(3)[..],
        &number(9),
        b"image/png",
        &number(0),
        &number(320),
        &number(320),
        &number(24),
        &number(0),
        &number(picture.len()),
        &picture,
    ]
    .concat();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "sine=d=2", "-c:a", "libvorbis", "-metadata:s:a:0"])
        .arg(format!("METADATA_BLOCK_PICTURE={}", base64(&block)))
        .arg("sound.ogg")
        .current_dir(at)
        .status();
    assert!(made.unwrap().success());
    let (size, colours) = poster(&encoded(&at.join("sound.ogg"), &quick()));
    assert_eq!(size, (320, 320), "it is not made larger");
    assert!(is(colours, RED_BLUE), "{colours:?}");
}

/// RFC 4648 §4.
fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in data.chunks(3) {
        let bits =
            part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= part.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[test]
fn of_several_pictures_the_front_cover_is_the_poster() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cover(at, "back.png", (64, 64), ["white", "black"]);
    cover(at, "front.png", (64, 64), ["red", "blue"]);
    let arguments = format!(
        "{SOUND} -i back.png -i front.png -map 0 -map 1 -map 2 -c:a libmp3lame -c:v copy -disposition:v attached_pic"
    );
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .args([
            "-metadata:s:v:0",
            "comment=Cover (back)",
            "-metadata:s:v:1",
            "comment=Cover (front)",
            "a.mp3",
        ])
        .current_dir(at)
        .status();
    assert!(done.unwrap().success());
    let (_, colours) = poster(&encoded(&at.join("a.mp3"), &quick()));
    assert!(is(colours, RED_BLUE), "{colours:?}");
}

#[test]
fn a_video_has_a_poster_of_its_own_and_sound_without_a_cover_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cover(at, "cover.png", (160, 90), ["red", "blue"]);
    let arguments = "-f lavfi -i color=white:s=160x90:d=2 -i cover.png -map 0 -map 1 -c:v:0 libx264 -preset ultrafast \
                     -c:v:1 png -disposition:v:1 attached_pic";
    let film = encoded(&ffmpeg(at, arguments, "film.mp4"), &quick());
    assert!(film.taken.images.contains(&"thumbnails.vtt".to_owned()));
    let raw = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(film.folder.join("poster.jpg"))
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    assert!(raw.stdout.iter().all(|light| *light > 240), "the poster is a picture of the film");
    let bare = encoded(&ffmpeg(at, &format!("{SOUND} -c:a libmp3lame"), "bare.mp3"), &quick());
    assert!(bare.taken.images.is_empty() && !bare.report.poster && bare.report.note.is_none());
}

#[test]
fn a_cover_that_is_too_large_or_broken_is_named_and_the_sound_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cover(at, "cover.png", (640, 640), ["red", "blue"]);
    let beside = "-map 0 -map 1 -c:v copy -disposition:v attached_pic -c:a libmp3lame";
    let path = ffmpeg(at, &format!("{SOUND} -i cover.png {beside}"), "large.mp3");
    let note = "The cover, png, was left out: it cannot be decoded, or is larger than this server takes (100000 pixels).";
    let large = encoded(&path, &Options { max_pixels: 100_000, ..quick() });
    assert_eq!((large.report.note.as_deref(), large.taken.images.len()), (Some(note), 0));

    let mut bytes = std::fs::read(&path).unwrap();
    let header = bytes.windows(4).position(|part| part == b"IHDR").unwrap();
    // A picture of a few bytes that declares 60,000 times 60,000 pixels.
    bytes[header + 4..header + 12].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let lies = at.join("lies.mp3");
    std::fs::write(&lies, &bytes).unwrap();
    let lies = encoded(&lies, &quick());
    assert!(lies.report.note.unwrap().starts_with("The cover, png, was left out: "));
    assert!(lies.taken.images.is_empty() && lies.taken.renditions.len() == 2);
}

#[test]
fn a_cover_that_is_there_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cover(at, "cover.png", (64, 64), ["red", "blue"]);
    let beside = "-map 0 -map 1 -c:v copy -disposition:v attached_pic -c:a libmp3lame";
    let path = ffmpeg(at, &format!("{SOUND} -i cover.png {beside}"), "a.mp3");
    let first = encoded(&path, &quick());
    let directory = std::sync::Arc::new(streamgate_transcoder::sink::DirectorySink::new(&at.join("again")));
    let earlier = streamgate_transcoder::sink::Earlier { renditions: Vec::new(), ..as_earlier(&first.taken) };
    let again = support::encode_into(&path, &directory, &at.join("again"), &quick(), earlier).unwrap();
    assert!(again.report.poster && again.taken.images.is_empty());
}
