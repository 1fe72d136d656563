//! The cases: small scripts, each about a kind of wallet, token or chain that once went wrong. They are in a
//! separate folder, named by `STREAMGATE_TEST_CASES`; each starts a server and a chain, prints `ok` or `NO`
//! for each attempt, and exits with 0 if everything is correct.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use streamgate_tests::server::{binaries, repository};
use streamgate_tests::{clips, tools};

/// A script that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_wallets_and_tokens_ends_as_it_should() {
    let Some(cases) = std::env::var_os("STREAMGATE_TEST_CASES").map(PathBuf::from) else {
        eprintln!("skipped: STREAMGATE_TEST_CASES names no folder of cases");
        return;
    };
    let dir =
        tools::node_scripts(&cases.join("web3")).expect("what the cases need can be installed from npm");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(cases.join("web3"))
        .expect("the folder of cases")
        .map(|entry| dir.join(entry.expect("an entry").file_name()))
        .filter(|path| path.to_string_lossy().ends_with(".mjs") && !path.ends_with("lib.mjs"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "{} holds no case", cases.display());
    let clip = clips::plain("320x180", "25", 6.0);
    let mut wrong = Vec::new();
    for script in scripts {
        let told = judge(&script, &clip).await;
        eprintln!("{told}");
        wrong.extend(told.lines().filter(|line| !line.starts_with("ok")).map(str::to_owned));
    }
    assert!(wrong.is_empty(), "not as they should be:\n{}", wrong.join("\n"));
}

/// Runs a case; each line of its output is an attempt, `ok` or not.
async fn judge(script: &Path, clip: &Path) -> String {
    let name = script.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut node = tokio::process::Command::from(Command::new("node"));
    node.arg(script)
        .env("SG_BIN", binaries().join("streamgate"))
        .env("SG_SRC", repository())
        .env("SG_CLIP", clip)
        .current_dir(script.parent().expect("a folder"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(PATIENCE, node.output()).await else {
        return format!("NO | {name} | not done within {} s", PATIENCE.as_secs());
    };
    let output = output.expect("Node.js is there");
    let tried = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<String> = tried
        .lines()
        .filter(|line| line.starts_with("ok") || line.starts_with("NO"))
        .map(|line| format!("{} | {name}{}", &line[..2], &line[2..]))
        .collect();
    let failed = lines.iter().any(|line| line.starts_with("NO"));
    if lines.is_empty() || output.status.success() == failed {
        let last = String::from_utf8_lossy(&output.stderr);
        lines.push(format!("NO | {name} | {} | {}", output.status, last.trim().replace('\n', " / ")));
    }
    lines.join("\n")
}
