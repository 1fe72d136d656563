//! One rule, one process: whatever the plugin does to it is the result of the rule.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, No};
use crate::rules::{KILLS, RULES, be_killed};
use crate::{Finding, Loaded, Options, Outcome, settings};

/// The first half of the rule about being killed.
const FIRST_HALF: &str = "kill.first";
const FOUND: &str = "found.json";
const PRINTED: &str = "printed";
/// How much longer than its deadlines a child may take.
const SLACK: Duration = Duration::from_secs(60);

/// The last output of a child.
#[derive(Serialize, Deserialize)]
struct Found {
    outcome: Outcome,
    detail: String,
}

/// Checks one rule in a child.
pub(crate) fn prove(options: &Options, sets: &[String], rule: &'static str) -> Finding {
    let found = tempfile::tempdir().map_err(|error| error.to_string()).and_then(|dir| {
        if rule == KILLS {
            let (ended, first) = child(options, sets, FIRST_HALF, dir.path())?;
            if ended.signal() != Some(Signal::KILL.as_raw()) {
                return Ok(first);
            }
        }
        Ok(child(options, sets, rule, dir.path())?.1)
    });
    match found {
        Ok(found) => Finding { rule, outcome: found.outcome, detail: found.detail },
        Err(error) => Finding {
            rule,
            outcome: Outcome::NotShown,
            detail: format!("its process cannot be started: {error}"),
        },
    }
}

fn child(options: &Options, sets: &[String], rule: &str, dir: &Path) -> Result<(ExitStatus, Found), String> {
    run(options, sets, rule, dir).map_err(|error| error.to_string())
}

fn run(options: &Options, sets: &[String], rule: &str, dir: &Path) -> std::io::Result<(ExitStatus, Found)> {
    let _ = std::fs::remove_file(dir.join(FOUND));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("conformance").arg(std::path::absolute(&options.file)?);
    command.args(["--plugin", &options.name(), "--rule", rule]).arg("--dir").arg(dir);
    command.arg("--deadline").arg(format!("{}ms", options.deadline.as_millis()));
    command.arg("--cycles").arg(options.cycles.to_string());
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let printed = File::create(dir.join(PRINTED))?;
    let child = command.stdin(Stdio::null()).stdout(printed).stderr(Stdio::null()).spawn()?;
    let cycles = match rule {
        "leak.none" => options.cycles,
        _ => 1,
    };
    let deadline = options.deadline * 4 + SLACK + Duration::from_secs(2) * cycles;
    let Some(status) = wait(child, deadline)? else {
        let detail = format!("it did not come to an end within {deadline:?}; its process was killed");
        return Ok((ExitStatus::from_raw(9), Found { outcome: Outcome::NotMet, detail }));
    };
    let found = std::fs::read(dir.join(FOUND)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut found: Found = found.unwrap_or_else(|| Found { outcome: Outcome::NotMet, detail: ended(status) });
    let printed = std::fs::metadata(dir.join(PRINTED))?.len();
    if rule == "log.bounded" && found.outcome == Outcome::Met && printed > 0 {
        found = Found {
            outcome: Outcome::NotMet,
            detail: format!("it prints: {printed} bytes on standard output; use tracing"),
        };
    }
    Ok((status, found))
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended its process, with exit code {code}"),
        (None, Some(signal)) => format!("its process was ended by {}", name(signal)),
        (None, None) => format!("its process ended: {status}"),
    }
}

fn name(signal: i32) -> String {
    match signal {
        6 => "SIGABRT, an abort".to_owned(),
        7 => "SIGBUS, a fault of memory".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV, a fault of memory".to_owned(),
        other => format!("signal {other}"),
    }
}

fn wait(mut child: Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The main function of the child.
pub(crate) fn prove_here(
    options: &Options,
    sets: &[String],
    load: impl FnOnce(&str, &Path) -> Result<Loaded, String>,
) -> ExitCode {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let (rule, dir) = (options.rule.as_deref().unwrap_or_default(), options.dir.clone().unwrap_or_default());
    let verdict = bench(options, sets, &dir, load).and_then(|bench| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = runtime.map_err(|error| No::Unshown(format!("threads cannot be started: {error}")))?;
        let verdict = match RULES.iter().find(|known| known.id == rule) {
            Some(rule) => tokio.block_on((rule.proof)(&bench)),
            None => tokio.block_on(be_killed(&bench)),
        };
        // Threads that the plugin blocks are not awaited.
        tokio.shutdown_background();
        std::mem::forget(bench);
        verdict
    });
    let (outcome, detail) = match verdict {
        Ok(detail) => (Outcome::Met, detail),
        Err(No::Broken(reason)) => (Outcome::NotMet, reason),
        Err(No::Unshown(reason)) => (Outcome::NotShown, reason),
    };
    let found = serde_json::to_vec(&Found { outcome, detail }).unwrap_or_default();
    let written = std::fs::write(dir.join(FOUND), found);
    std::process::exit(i32::from(written.is_err()))
}

fn bench(
    options: &Options,
    sets: &[String],
    dir: &Path,
    load: impl FnOnce(&str, &Path) -> Result<Loaded, String>,
) -> Result<Bench, No> {
    let loaded = load(&options.name(), &options.file).map_err(No::Broken)?;
    let schema = (loaded.schema)();
    let data_dir = dir.join("data");
    std::fs::create_dir_all(&data_dir).map_err(|error| No::Unshown(error.to_string()))?;
    Ok(Bench {
        manifest: Arc::new(loaded.manifest.clone()),
        settings: settings(&options.name(), sets, &schema).map_err(No::Unshown)?,
        schema,
        loaded,
        data_dir,
        deadline: options.deadline,
        cycles: options.cycles,
    })
}
