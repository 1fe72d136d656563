//! Odd and hostile files end in `ready`, or in `failed` with a readable reason, and the server keeps running.

use std::fs;
use std::path::{Path, PathBuf};

use streamgate_tests::api::Content;
use streamgate_tests::clips::{clip, picture, plain, tone};
use streamgate_tests::server::{Server, cache};
use streamgate_tests::{media, tus};

/// How a file must end.
enum Ends {
    /// Encoded, with picture (width x height of the top rendition), sound or both.
    Ready { picture: Option<(u32, u32)>, sound: bool },
    /// Refused for a reason.
    Failed,
    /// Shown as far as it can be recovered, or refused for a reason.
    Either,
}

fn ready(width: u32, height: u32) -> Ends {
    Ends::Ready { picture: Some((width, height)), sound: false }
}

/// `ffmpeg [inputs] [arguments] name`.
fn made(name: &str, inputs: &[Vec<String>], arguments: &str) -> PathBuf {
    let all: Vec<&str> =
        inputs.iter().flatten().map(String::as_str).chain(arguments.split_whitespace()).collect();
    clip(name, &all)
}

/// A file of these bytes.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = cache().join("odd");
    fs::create_dir_all(&dir).expect("the target folder can be written");
    let path = dir.join(name);
    fs::write(&path, bytes).expect("the target folder can be written");
    path
}

/// The first `part` of a file.
fn cut(name: &str, of: &Path, part: f64) -> PathBuf {
    let bytes = fs::read(of).expect("the clip");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let length = (bytes.len() as f64 * part) as usize;
    written(name, &bytes[..length])
}

/// States 10 hours in `mvhd`, `tkhd` and `mdhd` (ISO/IEC 14496-12 §8.2, §8.3, §8.4), version 0.
fn ten_hours(of: &Path) -> PathBuf {
    let mut bytes = fs::read(of).expect("the clip");
    let field =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let mut movie_scale = 0;
    for at in 4..bytes.len() - 32 {
        let (scale, duration_at) = match &bytes[at..at + 4] {
            b"mvhd" => {
                movie_scale = field(&bytes, at + 16);
                (movie_scale, at + 20)
            }
            b"mdhd" => (field(&bytes, at + 16), at + 20),
            b"tkhd" => (movie_scale, at + 24),
            _ => continue,
        };
        let duration = scale * 36_000;
        bytes[duration_at..duration_at + 4].copy_from_slice(&duration.to_be_bytes());
    }
    written("ten-hours.mp4", &bytes)
}

fn cases() -> Vec<(&'static str, PathBuf, Ends)> {
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let small = || picture("640x360", "25", 3.0);
    let whole = plain("640x360", "25", 6.0);
    let front = made("front.mp4", &[small(), tone(3.0)], &format!("{x264} -c:a aac -movflags +faststart"));
    let upright = made("upright.mp4", &[small()], x264);
    let rotated = {
        let input = upright.to_str().expect("a plain path");
        clip("rotated.mp4", &["-i", input, "-c", "copy", "-metadata:s:v:0", "rotate=90"])
    };
    let second = made("second.mp4", &[picture("640x360", "25", 1.0), tone(1.0)], &format!("{x264} -c:a aac"));
    vec![
        (
            "text renamed to .mp4",
            written("text.mp4", "This is no video.\n".repeat(500).as_bytes()),
            Ends::Failed,
        ),
        ("an empty file", written("empty.mp4", b""), Ends::Failed),
        ("an mp4 whose moov is missing", cut("no-moov.mp4", &whole, 0.5), Ends::Failed),
        ("an mp4 cut in the middle", cut("half.mp4", &front, 0.6), Ends::Either),
        (
            "audio only",
            made("sound.m4a", &[tone(3.0)], "-c:a aac"),
            Ends::Ready { picture: None, sound: true },
        ),
        ("video only", upright.clone(), ready(640, 360)),
        (
            "an odd size in VP9 and Opus",
            made(
                "odd.webm",
                &[picture("641x361", "25", 2.0), tone(2.0)],
                "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p -c:a libopus",
            ),
            Ends::Ready { picture: Some((640, 360)), sound: true },
        ),
        (
            "an odd size in H.264",
            made(
                "odd.mp4",
                &[picture("641x361", "25", 2.0)],
                "-c:v libx264 -preset ultrafast -pix_fmt yuv444p",
            ),
            ready(640, 360),
        ),
        (
            "10 bits a sample",
            made("ten.mkv", &[small()], "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le"),
            ready(640, 360),
        ),
        (
            "4:4:4",
            made("full.mp4", &[small()], "-c:v libx264 -preset ultrafast -pix_fmt yuv444p"),
            ready(640, 360),
        ),
        ("rotated by metadata", rotated, ready(360, 640)),
        (
            "a variable frame rate",
            made(
                "vfr.mp4",
                &[picture("640x360", "30", 4.0)],
                &format!("-vf select='lt(n,40)+not(mod(n,3))' -vsync vfr {x264}"),
            ),
            ready(640, 360),
        ),
        (
            "interlaced",
            made(
                "interlaced.mpg",
                &[picture("720x576", "50", 3.0)],
                "-vf interlace -flags +ildct+ilme -c:v mpeg2video -b:v 4M -s 720x576",
            ),
            ready(720, 576),
        ),
        (
            "29.97 frames a second",
            made(
                "ntsc.mp4",
                &[picture("640x360", "30000/1001", 3.0), tone(3.0)],
                &format!("{x264} -c:a aac"),
            ),
            Ends::Ready { picture: Some((640, 360)), sound: true },
        ),
        (
            "59.94 frames a second",
            made("ntsc60.mp4", &[picture("1280x720", "60000/1001", 3.0)], x264),
            ready(1280, 720),
        ),
        (
            "5.1 sound",
            made("surround.mp4", &[small(), tone(3.0)], &format!("{x264} -c:a aac -ac 6")),
            Ends::Ready { picture: Some((640, 360)), sound: true },
        ),
        (
            "MPEG-2 with MP2 sound",
            made("two.mpg", &[small(), tone(3.0)], "-c:v mpeg2video -b:v 2M -c:a mp2"),
            Ends::Ready { picture: Some((640, 360)), sound: true },
        ),
        (
            "MKV with VP9 and Opus",
            made(
                "nine.mkv",
                &[small(), tone(3.0)],
                "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p -c:a libopus",
            ),
            Ends::Ready { picture: Some((640, 360)), sound: true },
        ),
        ("a 10-hour header on 1 s of data", ten_hours(&second), Ends::Either),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_input_ends_ready_or_failed_with_a_reason_and_the_server_keeps_running() {
    let cases = cases();
    let mut server = Server::start().await;
    let pid = server.pid();
    let mut waiting = Vec::new();
    for (what, file, ends) in cases {
        let id = tus::upload_file(&server, &file).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        waiting.push((what, id, ends));
    }
    let mut wrong = Vec::new();
    for (what, id, ends) in waiting {
        let content = server.settled(&id).await;
        eprintln!("{what}: {} {:?}", content.state, content.reason);
        if let Err(error) = judge(&server, &content, &ends).await {
            wrong.push(format!("{what}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(server.runs(), "the server went down");
    assert_eq!(server.pid(), pid);

    let id = tus::upload_file(&server, &plain("640x360", "25", 6.0)).await.expect("uploaded");
    server.finished(&id).await;
}

async fn judge(server: &Server, content: &Content, ends: &Ends) -> Result<(), String> {
    match (ends, content.state.as_str()) {
        (Ends::Ready { picture, sound }, "ready") => decoded(server, content, *picture, *sound).await,
        (Ends::Either, "ready") => {
            media::whole(server, content).await.map(drop).map_err(|error| format!("{error:#}"))
        }
        (Ends::Failed | Ends::Either, "failed") => understandable(content),
        _ => Err(format!("ended {} because of {:?}", content.state, content.reason)),
    }
}

async fn decoded(
    server: &Server,
    content: &Content,
    picture: Option<(u32, u32)>,
    sound: bool,
) -> Result<(), String> {
    let decoded = media::whole(server, content).await.map_err(|error| format!("{error:#}"))?;
    let heard = decoded.hls.iter().any(|stream| stream.codec_type == "audio");
    if sound && !heard {
        return Err("lost its sound".to_owned());
    }
    let top = decoded.hls.iter().filter_map(|stream| Some((stream.width?, stream.height?))).max();
    if top != picture {
        return Err(format!("shows {top:?}, not {picture:?}"));
    }
    if decoded.video_frames().contains(&0) {
        return Err("a rendition without frames".to_owned());
    }
    Ok(())
}

/// A reason is a sentence for the uploader, not internal output.
fn understandable(content: &Content) -> Result<(), String> {
    let reason = content.reason.as_deref().unwrap_or_default();
    let jargon = ["Error {", "gst", "GStreamer", "panicked", "::", "None", "Some("];
    if reason.len() < 10 || jargon.iter().any(|word| reason.contains(word)) {
        return Err(format!("failed with an unreadable reason: {reason:?}"));
    }
    if content.retryable {
        return Err("is said to be worth another try, of the same file".to_owned());
    }
    Ok(())
}
