//! `make bench`: see `streamgate_tests::bench` and `docs/reference/benchmarks.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use streamgate_tests::bench::{before, boundary, encode, greed, list, memory, print, serve, start, upload};

/// Measures StreamGate against nginx, ffmpeg and @tus/server on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these parts; all of them by default.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cost of calling another plugin, against the same code linked statically.
    Boundary,
    /// Time until ready.
    Start,
    /// Resident memory, idle and during an upload.
    Memory,
    /// A segment and a playlist against nginx.
    Serve,
    /// A 1 GiB upload against @tus/server.
    Upload,
    /// The ladder against ffmpeg.
    Encode,
    /// Pages of a catalogue of 100,000 contents.
    List,
    /// A well-behaved client beside greedy ones.
    Greed,
    /// This build beside the one that `STREAMGATE_BENCH_BEFORE` names; only where it is set.
    Before,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (mut rows, mut costs) = (Vec::new(), None);
    for part in Part::value_variants() {
        if !arguments.parts.is_empty() && !arguments.parts.contains(part) {
            continue;
        }
        rows.extend(match part {
            Part::Boundary => {
                costs = Some(boundary::measure().await?);
                Vec::new()
            }
            Part::Start => start::measure().await?,
            Part::Memory => memory::measure().await?,
            Part::Serve => serve::measure().await?,
            Part::Upload => upload::measure().await?,
            Part::Encode => encode::measure().await?,
            Part::List => list::measure().await?,
            Part::Greed => greed::measure().await?,
            Part::Before if arguments.parts.is_empty() && std::env::var_os(before::VARIABLE).is_none() => {
                Vec::new()
            }
            Part::Before => before::measure().await?,
        });
    }
    let met = (rows.is_empty() || print(&rows)) & costs.as_ref().is_none_or(boundary::print);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
