//! The cost of calling another plugin: two fixture plugins in the real server, against the same code linked
//! statically (`tests/boundary`).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::median;
use crate::server::{Server, Setup, repository};

/// Rounds, each of which measures every case in every variant, in turn.
const ROUNDS: usize = 3;

/// The maximum cost of an empty request through a child, in nanoseconds.
const CHILD: f64 = 40_000.0;

/// Which cost has a maximum in nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// The cost that the boundary adds to the linked code.
    Added(f64),
    /// The whole cost within the process.
    Whole(f64),
}

/// The cases by their names in `bench-driver`, with descriptions and targets.
const CASES: [(&str, &str, Option<Bound>); 10] = [
    ("empty", "empty request", Some(Bound::Added(1_000.0))),
    ("together", "the same, 32 at a time, each", None),
    ("fields", "empty request with a browser's 12 fields", None),
    ("1-kib", "1 KiB there and back", None),
    ("1-mib", "1 MiB there and back", None),
    ("piece", "stream, each piece of 1 KiB", None),
    ("tonic", "tonic call", Some(Bound::Added(2_000.0))),
    ("event", "event, made, published and heard", Some(Bound::Whole(1_000.0))),
    ("log-off", "log line that is off", Some(Bound::Whole(10.0))),
    ("log-on", "log line that is on", None),
];

/// The cost of one case, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Cost {
    what: &'static str,
    linked: f64,
    in_process: f64,
    child: f64,
    aim: Option<Bound>,
    child_aim: Option<f64>,
}

/// The whole cost.
#[derive(Debug, Clone)]
pub struct Costs {
    cases: Vec<Cost>,
    /// Of one byte between two processes, in nanoseconds.
    round_trip: f64,
}

impl Cost {
    /// The cost that the boundary adds.
    fn added(&self) -> f64 {
        self.in_process - self.linked
    }

    fn met(&self) -> bool {
        let in_process = match self.aim {
            None => true,
            Some(Bound::Added(most)) => self.added() <= most,
            Some(Bound::Whole(most)) => self.in_process <= most,
        };
        in_process && self.child_aim.is_none_or(|aim| self.child <= aim)
    }
}

/// A server with the two plugins; the called one optionally in a child process.
async fn server(isolation: &str) -> Result<Server> {
    let server = Setup::default()
        .config(repository().join("tests/boundary/plugins.toml"))
        .with_fixtures()
        .set("plugins.bench-target.isolation", isolation)
        .start()
        .await;
    let target = figure(&server, "crossed", "process").await?;
    let apart = target != f64::from(server.pid());
    ensure!(apart == (isolation == "process"), "bench-target runs in process {target}");
    Ok(server)
}

async fn figure(server: &Server, side: &str, case: &str) -> Result<f64> {
    let path = format!("/boundary/{side}/{case}");
    let answer = server.http().get(server.url(&path)).send().await?.error_for_status()?.text().await?;
    answer.parse().with_context(|| format!("{path}: {answer}"))
}

/// The round trip of a byte between two processes that sleep until it arrives: the minimum cost of a call of
/// a child, in nanoseconds.
fn round_trip() -> Result<f64> {
    const ROUND_TRIPS: u32 = 20_000;
    let (mut socket, peer) = UnixStream::pair()?;
    let (from, to) = (OwnedFd::from(peer.try_clone()?), OwnedFd::from(peer));
    let mut echo = Command::new("cat").stdin(from).stdout(to).spawn().context("cat")?;
    let begun = Instant::now();
    for _ in 0..ROUND_TRIPS {
        socket.write_all(&[1])?;
        socket.read_exact(&mut [0])?;
    }
    let all = begun.elapsed();
    socket.shutdown(Shutdown::Write)?;
    echo.wait()?;
    Ok(all.as_secs_f64() * 1e9 / f64::from(ROUND_TRIPS))
}

/// Every case in turn, linked, in the process and through a child.
///
/// # Errors
/// When the servers do not start, or do not answer.
pub async fn measure() -> Result<Costs> {
    let (inside, apart) = (server("none").await?, server("process").await?);
    let mut round_trips = Vec::new();
    let mut figures = CASES.map(|_| [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        round_trips.push(tokio::task::spawn_blocking(round_trip).await??);
        for ((case, ..), [linked, in_process, child]) in CASES.iter().zip(&mut figures) {
            linked.push(figure(&inside, "static", case).await?);
            in_process.push(figure(&inside, "crossed", case).await?);
            child.push(figure(&apart, "crossed", case).await?);
        }
    }
    let cases = CASES.into_iter().zip(figures).map(|((case, what, aim), [linked, in_process, child])| Cost {
        what,
        linked: median(linked),
        in_process: median(in_process),
        child: median(child),
        aim,
        child_aim: (case == "empty").then_some(CHILD),
    });
    Ok(Costs { cases: cases.collect(), round_trip: median(round_trips) })
}

/// Prints them as a table in Markdown and returns whether every target is met.
#[must_use]
pub fn print(costs: &Costs) -> bool {
    println!("| what, in ns | linked | in process | difference | child | aim | |");
    println!("| --- | ---: | ---: | ---: | ---: | --- | --- |");
    for cost in &costs.cases {
        let aim = cost.aim.map(|aim| match aim {
            Bound::Added(most) => format!("difference <= {most}"),
            Bound::Whole(most) => format!("in process <= {most}"),
        });
        let child = cost.child_aim.map(|most| format!("child <= {most}"));
        let aims = [aim, child].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let verdict = match (aims.is_empty(), cost.met()) {
            (true, _) => "",
            (false, true) => "met",
            (false, false) => "MISSED",
        };
        let [linked, in_process, added, child] =
            [cost.linked, cost.in_process, cost.added(), cost.child].map(rounded);
        println!("| {} | {linked} | {in_process} | {added} | {child} | {aims} | {verdict} |", cost.what);
    }
    println!("\nA byte there and back between two sleeping processes: {} ns.", rounded(costs.round_trip));
    costs.cases.iter().all(Cost::met)
}

fn rounded(nanoseconds: f64) -> String {
    if nanoseconds.abs() < 100.0 { format!("{nanoseconds:.1}") } else { format!("{nanoseconds:.0}") }
}
