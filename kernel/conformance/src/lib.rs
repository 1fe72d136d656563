//! `streamgate conformance FILE.so`: checks a plugin, rule by rule, against the spec in
//! `docs/reference/plugin-rules.md`.
//!
//! Every rule is checked in its own process, in which the plugin meets a host that records its calls. So a
//! crash, an `exit` or a hang is only the result of the rule. Loading the cdylib is left to the caller, who
//! passes a function for it.

mod bench;
mod host;
mod process;
mod rules;

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamgate_config::{Sources, Table};
use streamgate_plugin_api::abi::{FfiFuture, HostHandle, StartArgs, StartResult};
use streamgate_plugin_api::{Manifest, SettingsProblem};

use crate::rules::{LOADS, RULES, STARTS, WITHOUT_START};

/// The arguments.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The plugin's cdylib; its settings come with --set key=value
    file: PathBuf,
    /// The plugin's name; default: from the file's name
    #[arg(long)]
    plugin: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// How many cycles of start and stop the leak check runs
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    cycles: u32,
    /// The deadline of each of its entries
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// Check this rule in this process, for the parent that started it
    #[arg(long, hide = true, requires = "dir")]
    rule: Option<String>,
    /// Where it writes
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

impl Options {
    fn name(&self) -> String {
        self.plugin.clone().unwrap_or_else(|| {
            let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
            stem.strip_prefix("libstreamgate_").unwrap_or(&stem).replace('_', "-")
        })
    }
}

/// Checks settings (JSON text).
pub type Check = Arc<dyn Fn(&str) -> Vec<SettingsProblem> + Send + Sync>;
/// Begins to start the plugin.
pub type Start = Arc<dyn Fn(HostHandle, StartArgs) -> FfiFuture<StartResult> + Send + Sync>;

/// A loaded plugin: its manifest and its entries.
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// The JSON Schema of its settings; `null` if there is none.
    pub schema: Box<dyn Fn() -> Value + Send + Sync>,
    /// Checks settings.
    pub check: Check,
    /// Starts it.
    pub start: Start,
}

/// The result of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Met,
    NotMet,
    NotShown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::NotShown => "not shown",
        })
    }
}

/// The finding of one rule.
#[derive(Debug, Serialize)]
struct Finding {
    rule: &'static str,
    outcome: Outcome,
    /// The observation, or why the rule failed or was not shown.
    detail: String,
}

/// Runs the command: checks the plugin and prints the findings. The exit code is 0 if no rule failed, else 1.
///
/// `load` gets the plugin's name and its file; it is called in a process for each rule. `sets` are the
/// plugin's settings, as `key=value`.
pub fn main(
    options: &Options,
    sets: &[String],
    load: impl FnOnce(&str, &Path) -> Result<Loaded, String>,
) -> ExitCode {
    if options.rule.is_some() {
        return process::prove_here(options, sets, load);
    }
    if !options.file.is_file() {
        let _ = writeln!(std::io::stderr(), "error: there is no file {}", options.file.display());
        return ExitCode::from(2);
    }
    let findings = judge(options, sets);
    let broken = findings.iter().filter(|finding| finding.outcome == Outcome::NotMet).count();
    let text = match options.json {
        true => {
            let report = json!({ "plugin": options.name(), "met": broken == 0, "rules": findings });
            serde_json::to_string_pretty(&report).unwrap_or_default()
        }
        false => table(&options.name(), &findings),
    };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::from(u8::from(broken > 0))
}

fn judge(options: &Options, sets: &[String]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for rule in RULES {
        let fails =
            |id| findings.iter().find(|finding| finding.rule == id && finding.outcome != Outcome::Met);
        let not_shown =
            |why: &str| Finding { rule: rule.id, outcome: Outcome::NotShown, detail: why.to_owned() };
        let finding = if fails(LOADS).is_some() {
            not_shown("it does not load")
        } else if let Some(start) = fails(STARTS).filter(|_| !WITHOUT_START.contains(&rule.id)) {
            not_shown(if start.outcome == Outcome::NotShown { &start.detail } else { "it does not start" })
        } else {
            process::prove(options, sets, rule.id)
        };
        findings.push(finding);
    }
    findings
}

/// A line for each rule, with the observation or the problem below it.
fn table(plugin: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    // There is nothing more to report about a plugin that does not load.
    let loads = findings.iter().any(|finding| finding.rule == LOADS && finding.outcome == Outcome::Met);
    for (finding, rule) in findings.iter().zip(RULES).filter(|(finding, _)| loads || finding.rule == LOADS) {
        let _ = writeln!(text, "{:9}  {:width$}  {}", finding.outcome, finding.rule, rule.says);
        for line in finding.detail.lines() {
            let _ = writeln!(text, "{:11}{:width$}  {line}", "", "");
        }
    }
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    let _ = write!(
        text,
        "\n{plugin}: {} met, {} not met, {} not shown",
        count(Outcome::Met),
        count(Outcome::NotMet),
        count(Outcome::NotShown)
    );
    text
}

/// The settings as JSON text, as they would come from the plugin's table.
fn settings(plugin: &str, sets: &[String], schema: &Value) -> Result<String, String> {
    let sets: Vec<_> = sets.iter().map(|set| format!("plugins.{plugin}.{set}")).collect();
    let (sources, problems) = Sources::read(Path::new("/dev/null"), [], &sets);
    if let Some(problem) = problems.first() {
        return Err(problem.to_string());
    }
    let values = sources.value()["plugins"][plugin].as_object().cloned().unwrap_or_default();
    Ok(Table { plugin: plugin.to_owned(), values, schema: schema.clone() }.settings())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_explains_every_rule_and_no_other() {
        let guide = include_str!("../../../docs/reference/plugin-rules.md");
        let explained: Vec<_> = guide
            .lines()
            .filter_map(|line| line.split_once(". **`")?.1.split_once('`'))
            .map(|(id, _)| id)
            .collect();
        assert_eq!(explained, RULES.iter().map(|rule| rule.id).collect::<Vec<_>>());
    }

    #[test]
    fn settings_are_read_as_those_of_a_table() {
        let object = json!({ "type": "object" });
        let sets = ["count=3", "name=\"x\"", "limits.size=\"1MiB\"", "required=true"].map(String::from);
        let settings = settings("some-plugin", &sets, &object).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&settings).unwrap(),
            json!({ "count": 3, "name": "x", "limits": { "size": "1MiB" } })
        );
        assert!(super::settings("x", &["nonsense".to_owned()], &object).is_err());
    }
}
