//! Inputs of many kinds, each made by the system's ffmpeg as the test runs: containers, codecs, layouts,
//! rates, sizes, times and colours, crossed. The expected results are in the tables of `kinds/`;
//! `docs/reference/media.md` lists them.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "kinds/mod.rs"]
mod kinds;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinds::make::Encoders;
use kinds::{Kind, all, judge, make, page};

/// At least this many have to be made, or the machine's ffmpeg is not enough for a verdict.
const LEAST: usize = 100;

/// The result of one input.
enum Outcome {
    Right,
    Skipped(String),
    Wrong(Vec<String>),
}

fn outcome(kind: &Kind, encoders: &Encoders, folder: &Path) -> Outcome {
    if let Some(encoder) = encoders.lacks(kind) {
        return Outcome::Skipped(encoder);
    }
    let folder = folder.join(kind.name);
    std::fs::create_dir_all(&folder).unwrap();
    let wrong = match make::file(kind, &folder) {
        Ok(path) => std::panic::catch_unwind(|| judge::differences(kind, &path, &folder.join("out")))
            .unwrap_or_else(|panic| vec![format!("a rule is broken: {}", words(panic.as_ref()))]),
        Err(problem) => vec![format!("ffmpeg does not make it: {problem}")],
    };
    std::fs::remove_dir_all(&folder).unwrap();
    if wrong.is_empty() { Outcome::Right } else { Outcome::Wrong(wrong) }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Runs all kinds side by side, as many concurrently as there are processors.
fn outcomes(wanted: &[Kind]) -> BTreeMap<&'static str, Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let encoders = Encoders::of_this_machine();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(kind) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = outcome(kind, &encoders, folder.path());
                    found.lock().unwrap().insert(kind.name, outcome);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn inputs_of_every_kind_become_whole_renditions_in_step_and_in_their_colours() {
    let only = std::env::var("STREAMGATE_TEST_ONLY").ok();
    let mut wanted = all();
    wanted.retain(|kind| only.as_deref().is_none_or(|part| kind.name.contains(part)));
    let outcomes = outcomes(&wanted);
    let (mut made, mut failed) = (0, 0);
    for kind in &wanted {
        let pending = kinds::PENDING.iter().find(|(name, _)| *name == kind.name).map(|(_, reason)| *reason);
        match (&outcomes[kind.name], pending) {
            (Outcome::Skipped(encoder), _) => {
                eprintln!("{} is skipped: there is no encoder {encoder}", kind.name);
                continue;
            }
            (Outcome::Right, None) => {}
            (Outcome::Right, Some(_)) => {
                failed += 1;
                eprintln!("{} is right now: take it out of the list of what is to be repaired", kind.name);
            }
            (Outcome::Wrong(differences), pending) => {
                failed += usize::from(pending.is_none());
                let known = pending.map_or(String::new(), |reason| format!(" (to be repaired: {reason})"));
                eprintln!("{}{known}\n  {}", kind.name, make::words(kind).join("\n  "));
                differences.iter().for_each(|difference| eprintln!("  - {difference}"));
            }
        }
        made += 1;
    }
    eprintln!("{made} inputs were made, {failed} of them are wrong");
    assert_eq!(failed, 0, "what differs stands above");
    assert!(only.is_some() || made >= LEAST, "only {made} inputs were made");
}

#[test]
fn every_input_has_a_name_of_its_own_and_what_is_to_be_repaired_is_one_of_them() {
    let kinds = all();
    let mut names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    for (name, reason) in kinds::PENDING {
        assert!(names.contains(name) && !reason.is_empty(), "{name}");
    }
}

#[test]
fn the_page_on_media_lists_what_is_tested_here_and_nothing_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/media.md");
    let there = std::fs::read_to_string(&path).unwrap();
    let right = page::with_table(&there, &all());
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &right).unwrap();
        return;
    }
    assert!(there == right, "docs/reference/media.md differs: INSTA_UPDATE=always writes it anew");
}
