//! The whole ladder of a 60 s 1080p clip: the server from the last uploaded byte to `ready`,
//! against one ffmpeg process with the same renditions, caps of bit rates, key
//! frames, x264 preset and rate factor.
//!
//! The server also makes a poster and thumbnails, and serves; ffmpeg does nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::process::{cpu_seconds, cpu_seconds_of_children, peak};
use super::{Aim, Row};
use crate::api::Rendition;
use crate::server::Setup;
use crate::{clips, tus};

const SECONDS: f64 = 60.0;
/// x264's, for both.
const PRESET: &str = "veryfast";
/// x264's constant rate factor, for both: the server's default.
const QUALITY: u32 = 23;

/// # Errors
/// When the server or ffmpeg refuses.
pub async fn measure() -> Result<Vec<Row>> {
    let clip = clips::detailed(SECONDS);
    let mut server = Setup::default()
        .set("plugins.transcoder.preset", PRESET)
        .set("plugins.transcoder.quality", QUALITY)
        // As ffmpeg runs.
        .set("plugins.transcoder.nice", 0)
        .start()
        .await;
    let id = tus::upload_file(&server, &clip).await?;
    let (begun, spent) = (Instant::now(), cpu_seconds(server.pid())?);
    server.watchable(&id).await;
    let first = begun.elapsed().as_secs_f64();
    let content = server.finished(&id).await;
    let ours = begun.elapsed().as_secs_f64();
    let our_cpu = cpu_seconds(server.pid())? - spent;
    let our_peak = peak(server.plugin_process("transcoder").await.as_raw_nonzero().get().unsigned_abs())?;
    server.stop().await;

    let home = TempDir::new()?;
    let (begun, spent) = (Instant::now(), cpu_seconds_of_children()?);
    let their_peak = ffmpeg(&clip, &content.renditions, home.path())?;
    let theirs = begun.elapsed().as_secs_f64();
    let their_cpu = cpu_seconds_of_children()? - spent;
    Ok(vec![
        Row {
            what: format!("ladder of {SECONDS} s of 1080p, preset {PRESET}, s"),
            ours,
            peer: Some(("ffmpeg", theirs)),
            aim: Some(Aim::AtMost(1.0)),
        },
        Row {
            what: "processor time of that ladder, s".to_owned(),
            ours: our_cpu,
            peer: Some(("ffmpeg", their_cpu)),
            aim: None,
        },
        Row {
            what: "memory at its peak, MB".to_owned(),
            ours: our_peak,
            peer: Some(("ffmpeg", their_peak)),
            aim: Some(Aim::AtMost(1.0)),
        },
        Row {
            what: "its first picture can be watched after, s".to_owned(),
            ours: first,
            peer: None,
            aim: Some(Aim::AtMost(2.0)),
        },
    ])
}

/// Its peak memory, in MB.
fn ffmpeg(clip: &Path, renditions: &[Rendition], home: &Path) -> Result<f64> {
    let videos: Vec<_> = renditions.iter().filter(|it| it.kind == "video").collect();
    let mut graph = format!("[0:v]split={}", videos.len());
    graph.extend((0..videos.len()).map(|at| format!("[s{at}]")));
    for (at, video) in videos.iter().enumerate() {
        let (width, height) = (video.width.context("a width")?, video.height.context("a height")?);
        let rate = video.fps.context("a frame rate")?;
        graph.push_str(&format!(";[s{at}]scale={width}:{height},fps={rate}[v{at}]"));
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"]).arg(clip);
    command.args(["-filter_complex", &graph]);
    for (at, video) in videos.iter().enumerate() {
        let rate = video.target_bitrate.context("a target bit rate")?;
        let fps = video.fps.context("a frame rate")?;
        let group = format!("{:.0}", fps * 2.0);
        command
            .args(["-map", &format!("[v{at}]"), "-c:v", "libx264", "-preset", PRESET])
            .args(["-profile:v", "high", "-pix_fmt", "yuv420p"])
            .args(["-crf", &QUALITY.to_string(), "-maxrate", &rate.to_string()])
            .args(["-bufsize", &rate.to_string(), "-g", &group, "-keyint_min", &group])
            .args(["-sc_threshold", "0"]);
        segments(&mut command, home, &video.name);
    }
    for audio in renditions.iter().filter(|it| it.kind == "audio") {
        let rate = audio.target_bitrate.context("a target bit rate")?;
        command.args(["-map", "0:a", "-c:a", "aac", "-ac", "2", "-ar", "48000"]);
        command.args(["-b:a", &rate.to_string()]);
        segments(&mut command, home, &audio.name);
    }
    let mut running =
        command.stdin(Stdio::null()).spawn().with_context(|| format!("starting {command:?}"))?;
    let mut most = 0.0;
    loop {
        // It disappears from /proc before the wait ends.
        most = peak(running.id()).unwrap_or(most);
        if let Some(status) = running.try_wait()? {
            ensure!(status.success(), "{command:?}: {status}");
            return Ok(most);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// CMAF segments of 2 s, as the server writes them.
fn segments(command: &mut Command, home: &Path, name: &str) {
    command
        .args(["-f", "hls", "-hls_time", "2", "-hls_list_size", "0", "-hls_segment_type", "fmp4"])
        .args(["-hls_fmp4_init_filename", &format!("{name}-init.mp4")])
        .arg("-hls_segment_filename")
        .arg(home.join(format!("{name}-%d.m4s")))
        .arg(home.join(format!("{name}.m3u8")));
}
