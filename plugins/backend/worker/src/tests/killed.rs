//! Jobs survive `kill -9` of the process that works on them, and end exactly once.
//!
//! The child is this test binary itself: the test function becomes the child when the
//! variable below is set.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use streamgate_contracts::jobs::v1::JobState;

use super::*;
use crate::store::Beat;
use crate::store::Filter;

const DIRECTORY: &str = "STREAMGATE_TEST_KILLED_WORKER";
const TEST: &str = "tests::killed::a_job_survives_kill_9_and_completes_exactly_once";
const JOBS: usize = 60;

/// Works on all jobs from several tasks, and prints each that it has completed.
async fn work_until_killed(directory: PathBuf, rest: bool) {
    let jobs = open_at(&directory, Settings::default()).await;
    jobs.free_orphaned().await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let jobs = jobs.clone();
            tokio::spawn(async move {
                while let Some((job, lease)) = jobs.leased(want("q")).await.unwrap() {
                    for step in 1..=3 {
                        let progress = Some(f64::from(step) / 4.0);
                        jobs.heartbeat(&job.id, &lease, Beat { progress, ..Beat::default() }).await.unwrap();
                    }
                    jobs.complete(&job.id, &lease, job.id.clone().into(), 0).await.unwrap();
                    if !rest {
                        println!("completed {}", job.id);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_survives_kill_9_and_completes_exactly_once() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return work_until_killed(directory.into(), false).await;
    }
    let directory = tempfile::tempdir().unwrap();
    {
        let jobs = open_at(directory.path(), Settings::default()).await;
        for _ in 0..JOBS {
            jobs.enqueue(job_for("q")).await.unwrap();
        }
    }
    let mut completed: HashMap<String, u32> = HashMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut ids =
            lines.filter_map(|line| line.split_once("completed ").map(|(_, id)| id.trim().to_owned()));
        let seen: Vec<String> = ids.by_ref().take(3 + round).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        for id in seen.into_iter().chain(ids) {
            *completed.entry(id).or_default() += 1;
        }
    }
    work_until_killed(directory.path().to_owned(), true).await;
    assert!(completed.values().all(|times| *times == 1), "completed twice: {completed:?}");
    let jobs = open_at(directory.path(), Settings::default()).await;
    let there = jobs.list(&Filter::default(), 1000).await.unwrap();
    assert_eq!(there.len(), JOBS);
    for job in there {
        assert_eq!((job.state(), job.attempt), (JobState::Completed, 1), "{job:?}");
        assert_eq!(job.result, job.id.as_bytes());
    }
}
