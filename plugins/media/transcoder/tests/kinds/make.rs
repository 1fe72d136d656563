//! Makes inputs with the system's ffmpeg from a source that ffmpeg itself draws: colour bars over which a box
//! moves. It flashes white at each whole second but the first, for one frame of 25 in a second, and beeps at
//! the same time.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::Kind;

/// No call takes longer on any machine, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The encoders that this machine's ffmpeg has.
pub(crate) struct Encoders(BTreeSet<String>);

impl Encoders {
    pub(crate) fn of_this_machine() -> Self {
        let listed = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let names = listed.unwrap_or_default();
        Self(names.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
    }

    /// The first encoder that an input needs and this machine lacks.
    pub(crate) fn lacks(&self, kind: &Kind) -> Option<String> {
        let words: Vec<_> = kind.make.iter().flat_map(|call| call.split_whitespace()).collect();
        let asked = words.windows(2).filter(|pair| matches!(pair[0], "-c:v" | "-c:a" | "-c:v:1"));
        let mut missing = asked.map(|pair| pair[1]).filter(|name| *name != "copy" && !self.0.contains(*name));
        missing.next().map(str::to_owned)
    }
}

/// The video of an input's source, as ffmpeg filters.
fn picture(kind: &Kind) -> String {
    let source = kind.source;
    let rate = format!("{}/{}", source.rate.0, source.rate.1);
    let (seconds, box_side) = (source.seconds, (source.height / 6).max(4));
    format!(
        "smptebars=size={}x{}:rate={rate}:duration={seconds}[bars];\
         color=white:size={box_side}x{box_side}:rate={rate}:duration={seconds}[box];\
         [bars][box]overlay=x='(W-w)*t/{seconds}':y=H/2,\
         drawbox=color=white:t=fill:enable='lt(abs(t-round(t)),max(0.5/({rate}),0.0199))*gt(t,0.5)'",
        source.width, source.height
    )
}

/// Its sound: the same in all channels.
fn sound(kind: &Kind) -> String {
    let source = kind.source;
    let (layout, channels) = source.layout;
    let beep = "if(gt(t,0.5)*lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t),0)";
    let all = vec![beep; channels].join("|");
    format!("aevalsrc='{all}':c={layout}:s={}:d={}", source.sample_rate, source.seconds)
}

/// The arguments of one call.
fn arguments(kind: &Kind, call: &str, is_last: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    if !call.split_whitespace().any(|word| word == "-i") {
        let sources = [(!kind.picture.is_empty(), "PICTURE"), (!kind.sound.is_empty(), "SOUND")];
        for (_, source) in sources.iter().filter(|(is_there, _)| *is_there) {
            words.extend(["-f", "lavfi", "-i", source].map(str::to_owned));
        }
    }
    words.extend(call.split_whitespace().map(str::to_owned));
    words.extend(is_last.then(|| kind.name.to_owned()));
    for word in &mut words {
        match word.as_str() {
            "PICTURE" => *word = picture(kind),
            "SOUND" => *word = sound(kind),
            _ => {}
        }
    }
    words
}

/// The calls that make an input, as one would type them.
pub(crate) fn words(kind: &Kind) -> Vec<String> {
    let quoted = |word: String| {
        if word.contains([' ', '\'', '(', '[', ';', '|']) { format!("\"{word}\"") } else { word }
    };
    let last = kind.make.len() - 1;
    let call = |(at, call): (usize, &&str)| {
        let words: Vec<_> = arguments(kind, call, at == last).into_iter().map(quoted).collect();
        format!("ffmpeg {}", words.join(" "))
    };
    kind.make.iter().enumerate().map(call).collect()
}

/// Makes the input in a folder.
pub(crate) fn file(kind: &Kind, folder: &Path) -> Result<PathBuf, String> {
    for (at, call) in kind.make.iter().enumerate() {
        ffmpeg(folder, &arguments(kind, call, at + 1 == kind.make.len()))?;
    }
    if let Some(patch) = kind.patch {
        patch(&folder.join(kind.name));
    }
    Ok(folder.join(kind.name))
}

/// Runs ffmpeg in a folder. `Err` contains its messages.
pub(crate) fn ffmpeg(folder: &Path, arguments: &[String]) -> Result<Output, String> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-nostats", "-y"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().map_err(|error| error.to_string())?;
                return Err(format!("it did not end within {PATIENCE:?}"));
            }
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    let output =
        Output { status, stdout: out.join().unwrap_or_default(), stderr: err.join().unwrap_or_default() };
    if output.status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<_> = complaint.lines().rev().take(6).collect();
    Err(lines.into_iter().rev().collect::<Vec<_>>().join("; "))
}

fn read(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut data = Vec::new();
        if let Some(mut pipe) = pipe {
            // Unreadable output shows as missing.
            let _ = pipe.read_to_end(&mut data);
        }
        data
    })
}
