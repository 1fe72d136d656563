//! Encodes a file into a folder and prints how long it took: what `make bench` compares
//! with ffmpeg. Run it in release mode:
//! `cargo run --release -p streamgate-transcoder --example encode -- INPUT OUTDIR`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use streamgate_transcoder::control::Control;
use streamgate_transcoder::encode::{Options, Passes, encode};
use streamgate_transcoder::sink::{DirectorySink, Earlier, Sink};
use streamgate_transcoder::source::{FileSource, Source};

const USAGE: &str = "\
Encodes INPUT into the ladder, as CMAF segments below OUTDIR.

usage: encode INPUT OUTDIR [--preset NAME] [--quality N] [--threads N] [--passes auto|one|two] [--nice N] [--repeat N]

  --preset   x264 speed preset (default veryfast)
  --quality  x264 constant rate factor (default 23)
  --threads  threads of each video encoder, 0 (default) shares the processors out
  --passes   two: the smallest watchable rung and the sound first
  --nice     niceness of the media threads (default 0 here)
  --repeat   so many times, to see what memory stays";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = Vec::new();
    let mut repeat = 1u32;
    let mut options = Options { nice: 0, ..Options::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n\n{USAGE}"));
        match argument.as_str() {
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            "--preset" => options.preset = value()?,
            "--quality" => options.quality = value()?.parse()?,
            "--threads" => options.threads = value()?.parse()?,
            "--repeat" => repeat = value()?.parse()?,
            "--nice" => options.nice = value()?.parse()?,
            "--passes" => {
                options.passes = match value()?.as_str() {
                    "auto" => Passes::Auto,
                    "one" => Passes::One,
                    "two" => Passes::Two,
                    other => return Err(format!("unknown passes {other:?}\n\n{USAGE}").into()),
                }
            }
            other if other.starts_with('-') => {
                return Err(format!("unknown option {other}\n\n{USAGE}").into());
            }
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let [input, output] = paths.as_slice() else { return Err(USAGE.into()) };

    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let started = Instant::now();
    streamgate_transcoder::media::start()?;
    println!("library started after {:.3} s", started.elapsed().as_secs_f64());
    let mut last = None;
    for _ in 0..repeat {
        let begun = Instant::now();
        let source: Arc<dyn Source> = Arc::new(FileSource::open(input)?);
        let directory = Arc::new(DirectorySink::new(output));
        let sink: Arc<dyn Sink> = Arc::clone(&directory) as Arc<dyn Sink>;
        let report = encode(&source, &options, Earlier::default(), &sink, &Control::new())?;
        println!("encoded in {:.3} s, {} afterwards", begun.elapsed().as_secs_f64(), resident());
        last = Some((directory, report));
    }
    let Some((directory, report)) = last else { return Ok(()) };
    let taken = directory.taken();
    println!("facts {:?}", taken.facts);
    for written in taken.renditions.values() {
        let rendition = &written.rendition;
        println!(
            "{:<12} {} {:?} {} b/s asked, {} segments",
            rendition.name,
            rendition.codec,
            rendition.kind,
            rendition.target_bitrate,
            written.segments.len()
        );
    }
    println!("images {}", taken.images.join(" "));
    if let Some(note) = &report.note {
        println!("note {note}");
    }
    if let Some(after) = taken.playable_after {
        println!("playable after {:.3} s", after.as_secs_f64());
    }
    println!("media duration {:.3} s, {} frames", report.duration.as_secs_f64(), report.frames);
    Ok(())
}

/// The resident memory of the process, as reported by the kernel.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or_else(|| "unknown memory".to_owned(), |line| format!("{} resident", line.trim()))
}
