//! The test `doomed` of a program, which runs in a separate process until it is killed.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use streamgate_tests::wait::eventually;

use crate::support::PATIENCE;
use crate::tampering::Liar;
use crate::world::World;

const TOLD: &str = "STREAMGATE_TEST_DOOMED";

/// Its task; nothing unless another test runs it.
pub fn told() -> Option<Value> {
    std::env::var(TOLD).ok().map(|text| serde_json::from_str(&text).unwrap())
}

/// Runs it over `liar` with these settings twelve times, and kills it after `calls` calls, twice as many, and
/// so on.
pub async fn kill_after(calls: usize, world: &World, liar: &Liar, more: Value) {
    let told = json!({ "folder": world.folder.path(), "endpoint": liar.url, "more": more });
    for round in 1..=12 {
        let before = liar.calls();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "doomed", "--ignored"])
            .env(TOLD, told.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("some calls", PATIENCE, async || (liar.calls() >= before + calls * round).then_some(()))
            .await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
