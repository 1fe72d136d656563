//! Test clips, made by ffmpeg from its test sources and kept under the target folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::{env, fs};

use crate::server::cache;

/// The file `name`, made by `ffmpeg ARGUMENTS FILE` unless an earlier run made it.
///
/// # Panics
/// When ffmpeg is missing or refuses.
#[must_use]
pub fn clip(name: &str, arguments: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|broken| broken.into_inner());

    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let dir = cache().join("clips").join(format!("{:016x}", hasher.finish()));
    let file = dir.join(name);
    if file.exists() {
        return file;
    }
    fs::create_dir_all(&dir).expect("the target folder can be written");
    let part = dir.join(format!("part-{}-{name}", std::process::id()));
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments)
        .arg(&part)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg is installed (scripts/system-packages test)");
    assert!(status.success(), "ffmpeg {arguments:?}: {status}");
    fs::rename(&part, &file).expect("the target folder can be written");
    file
}

/// A moving test picture with a running clock: `size` such as `1280x720`, `rate` such as `25` or
/// `30000/1001`.
#[must_use]
pub fn picture(size: &str, rate: &str, seconds: f64) -> Vec<String> {
    ["-f", "lavfi", "-i"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("testsrc2=size={size}:rate={rate}:duration={seconds}")])
        .collect()
}

/// A tone.
#[must_use]
pub fn tone(seconds: f64) -> Vec<String> {
    ["-f", "lavfi", "-i"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("sine=frequency=440:sample_rate=48000:duration={seconds}")])
        .collect()
}

/// A plain H.264 and AAC clip.
#[must_use]
pub fn plain(size: &str, rate: &str, seconds: f64) -> PathBuf {
    let mut arguments = picture(size, rate, seconds);
    arguments.extend(tone(seconds));
    arguments.extend(
        ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"]
            .map(str::to_owned),
    );
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    clip("plain.mp4", &arguments)
}

/// A 1080p clip with as much detail and movement as camera footage: a repeated real clip if
/// `STREAMGATE_TEST_MEDIA` has one, else a test picture with film grain.
#[must_use]
pub fn detailed(seconds: f64) -> PathBuf {
    let seconds = seconds.to_string();
    let encode = [
        "-t",
        seconds.as_str(),
        "-r",
        "25",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-b:v",
        "8M",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-ac",
        "2",
        "-ar",
        "48000",
    ];
    let real = real();
    let footage = real.iter().find(|clip| clip.extension().is_some_and(|kind| kind == "mp4"));
    let mut arguments = Vec::new();
    if let Some(footage) = footage.and_then(|footage| footage.to_str()) {
        arguments.extend(["-stream_loop", "-1", "-i", footage, "-vf", "scale=1920:1080"]);
        arguments.extend(encode);
        return clip("detailed.mp4", &arguments);
    }
    arguments.extend(["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25,noise=alls=12:allf=t"]);
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    arguments.extend(encode);
    clip("detailed.mp4", &arguments)
}

/// Real clips: those of the folder that `STREAMGATE_TEST_MEDIA` names, in order of name.
#[must_use]
pub fn real() -> Vec<PathBuf> {
    let Some(dir) = env::var_os("STREAMGATE_TEST_MEDIA") else {
        return Vec::new();
    };
    let mut clips: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("STREAMGATE_TEST_MEDIA={}: {error}", dir.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_media(path))
        .collect();
    clips.sort();
    clips
}

fn is_media(path: &Path) -> bool {
    const KNOWN: [&str; 9] = ["mp4", "mpg", "mkv", "webm", "mov", "avi", "ts", "m4a", "mp3"];
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| KNOWN.contains(&extension))
}
