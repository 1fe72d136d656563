//! `kill -9` of a database that runs in its own process, at random moments under load and right before and
//! after a commit: acknowledged writes are there once, refused ones are not there, and no write is there
//! twice.
//!
//! `STREAMGATE_CRASH_ROUNDS` sets how often (default 4).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use streamgate_tests::failpoints::Failpoints;
use streamgate_tests::random::Chance;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::wait::eventually;
use tempfile::TempDir;

const WRITERS: usize = 8;

/// What a client knows of its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Done,
    Refused,
    Unknown,
}

fn rounds() -> usize {
    std::env::var("STREAMGATE_CRASH_ROUNDS")
        .map_or(4, |rounds| rounds.parse().expect("STREAMGATE_CRASH_ROUNDS is a number"))
}

async fn server() -> (Server, TempDir) {
    let (setup, folder) = setup();
    (setup.start().await, folder)
}

fn setup() -> (Setup, TempDir) {
    let (setup, folder) = Setup::of_text(
        "[plugins.gateway]\n[plugins.sqlite]\nisolation = \"process\"\n[plugins.storage-fs]\n[plugins.fixture-ledger]\n",
    );
    let setup =
        setup.with_fixtures().set("kernel.restart_budget", 100_000).set("kernel.restart_pause", "1ms");
    (setup, folder)
}

/// All labels and how often each is there, and the counter.
async fn held(server: &Server) -> (BTreeMap<String, i64>, i64) {
    let mut held = BTreeMap::new();
    loop {
        let after = held.last_key_value().map_or("", |(label, _): (&String, _)| label.as_str());
        let path = format!("/ledger?after={after}");
        let page = eventually("an answer", Duration::from_secs(60), async || server.json(&path).await.ok());
        let page = page.await;
        let entries = page["entries"].as_array().expect("entries");
        if entries.is_empty() {
            return (held, page["counter"].as_i64().expect("a counter"));
        }
        for entry in entries {
            let label = entry[0].as_str().expect("a label").to_owned();
            held.insert(label, entry[1].as_i64().expect("a count"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_killed_while_it_writes_loses_nothing_and_does_nothing_twice() {
    let (mut server, _config) = server().await;
    let told: Arc<Mutex<BTreeMap<String, Told>>> = Arc::default();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (http, url) = (server.client(), server.url("/ledger"));
            let (told, stop, done) = (told.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let label = format!("{writer}-{number:06}");
                    let outcome = write(&http, &url, &label).await;
                    told.lock().expect("no writer panicked").insert(label, outcome);
                    match outcome {
                        Told::Done => _ = done.fetch_add(1, Ordering::Relaxed),
                        // The server is down; a client that retries at once only fills the log.
                        _ => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            })
        })
        .collect();
    let mut chance = Chance::new();
    for round in 0..rounds() {
        let process = server.plugin_process("sqlite").await;
        let before = done.load(Ordering::Relaxed);
        eventually("more writes", Duration::from_secs(60), async || {
            (done.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
        tokio::time::sleep(chance.within(Duration::from_millis(60))).await;
        kill_process(process, Signal::KILL).expect("a process of ours");
        // At once, without the pauses that so many crashes would cause.
        server.control(&["restart", "sqlite"]).await;
        if round % 20 == 19 {
            eprintln!("{} kills, {} writes acknowledged", round + 1, done.load(Ordering::Relaxed));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("every answer is one that a client understands");
    }

    let (held, counter) = held(&server).await;
    let told = std::mem::take(&mut *told.lock().expect("no writer panicked"));
    let of = |kind| told.iter().filter(move |(_, told)| **told == kind).map(|(label, _)| label);
    let count = |kind| of(kind).count();
    eprintln!(
        "told done {}, refused {}, unknown {}; there are {}, counted {counter}",
        count(Told::Done),
        count(Told::Refused),
        count(Told::Unknown),
        held.len()
    );
    let twice: Vec<_> = held.iter().filter(|(_, times)| **times != 1).collect();
    let lost: Vec<_> = of(Told::Done).filter(|label| !held.contains_key(*label)).collect();
    let denied: Vec<_> = of(Told::Refused).filter(|label| held.contains_key(*label)).collect();
    assert!(twice.is_empty(), "there more than once: {twice:?}");
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    assert!(denied.is_empty(), "called refused and there: {denied:?}");
    assert_eq!(counter, i64::try_from(held.len()).expect("a small number"));
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Writes a label, and checks every answer.
async fn write(http: &reqwest::Client, url: &str, label: &str) -> Told {
    let answer = http.post(format!("{url}/{label}")).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a whole answer");
    match status {
        201 => Told::Done,
        503 => Told::Refused,
        500 if text.contains("outcome-unknown") => Told::Unknown,
        _ => panic!("{label}: {status} {text}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_killed_right_before_or_after_a_commit_has_what_it_acknowledged_once() {
    let failpoints = Failpoints::new();
    let (setup, _config) = setup();
    let setup = setup.with_failpoints(&failpoints);
    let setup = setup.set("plugins.sqlite.process.write", format!("{:?}", [failpoints.folder()]));
    let mut server = setup.start().await;
    let (http, url) = (server.client(), server.url("/ledger"));
    let mut expected = 0;
    for round in 0..rounds() {
        for (point, committed) in [("sqlite.before-commit", false), ("sqlite.committed", true)] {
            let label = format!("{point}-{round}");
            failpoints.arm(point, "kill");
            let told = write(&http, &url, &label).await;
            failpoints.reached(point).await;
            let times = held(&server).await.0.get(&label).copied().unwrap_or(0);
            eprintln!("{label}: {told:?}, there {times} times");
            assert!(times <= 1, "{label} is there {times} times");
            match told {
                Told::Done => assert_eq!(times, 1, "{label} was acknowledged"),
                Told::Refused => assert_eq!(times, 0, "{label} was called refused"),
                Told::Unknown => assert_eq!(times == 1, committed, "{label}"),
            }
            expected += times;
            server.control(&["restart", "sqlite"]).await;
        }
    }
    assert_eq!(held(&server).await.1, expected);
    assert_eq!(server.stop().await.code(), Some(0));
}
