//! What is acknowledged survives `kill -9`, and batches are atomic over it.
//!
//! The child is this test binary itself: the test function becomes the child when the
//! variable below is set.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::TABLE;
use streamgate_contracts::db::{Db, Migrations, params};
use streamgate_plugin_api::Client;
use streamgate_sqlite::{Engine, Settings};

const DIRECTORY: &str = "STREAMGATE_TEST_KILLED_WRITER";
const WRITERS: i64 = 8;

async fn open(directory: &std::path::Path) -> Db {
    let engine = Engine::new(directory, Settings::default());
    let migrations = Migrations::new(&[("0001_item", TABLE)]);
    Db::open(Client::from_service(engine.router()), "test", migrations).await.unwrap()
}

/// Writes pairs (n, -n) as fast as it can from several tasks, and prints each n once it is
/// acknowledged. Ends when it is killed.
async fn write_until_killed(directory: PathBuf) {
    let db = open(&directory).await;
    let start: i64 = db
        .query_one("SELECT coalesce(max(id), 0) AS n FROM item", params![])
        .await
        .unwrap()
        .get("n")
        .unwrap();
    let tasks: Vec<_> = (1..=WRITERS)
        .map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut number = start + writer;
                let insert = "INSERT INTO item (id) VALUES ($1)";
                let pair =
                    |number: i64| db.batch().push(insert, params![number]).push(insert, params![-number]);
                while pair(number).run().await.is_ok() {
                    println!("acknowledged {number}");
                    number += WRITERS;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_batch_is_there_after_kill_9_and_none_by_half() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_until_killed(directory.into()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "every_acknowledged_batch_is_there_after_kill_9_and_none_by_half",
                "--nocapture",
            ])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The test harness of the child prints lines of its own.
        let mut numbers = lines.filter_map(|line| {
            line.split_once("acknowledged ").map(|(_, number)| number.parse::<i64>().unwrap())
        });
        // A different number of batches in each round, so that the kill meets another moment.
        let wanted = acknowledged.len() + 40 * round + round * round;
        acknowledged.extend(numbers.by_ref().take(40 * round + round * round));
        assert_eq!(acknowledged.len(), wanted, "round {round}: the child exited early");
        child.kill().unwrap();
        child.wait().unwrap();
        // What was printed before the kill counts too. A line is one write: none is cut.
        acknowledged.extend(numbers);
        let db = open(directory.path()).await;
        let mut there = HashSet::new();
        let mut after = i64::MIN;
        loop {
            let sql = "SELECT id FROM item WHERE id > $1 ORDER BY id LIMIT 5000";
            let rows = db.query(sql, params![after]).await.unwrap();
            if rows.is_empty() {
                break;
            }
            for row in rows {
                after = row.get("id").unwrap();
                there.insert(after);
            }
        }
        let lost: Vec<_> = acknowledged.iter().filter(|number| !there.contains(number)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        let halves: Vec<_> = there.iter().filter(|number| !there.contains(&-**number)).collect();
        assert!(halves.is_empty(), "round {round}: half a batch: {halves:?}");
    }
}
