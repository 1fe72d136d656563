//! The command line: arguments, output, and exit codes.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::Value;
use streamgate_config::{Problem, Sources, file_schema, suggest, take_options};
use streamgate_control::{
    Change, Control, ControlError, Controlled, DataDir, Journal, Refused, Signals, health_table,
    metrics_path, metrics_text, plugin_rights, plugins_table, text,
};
use streamgate_plugin_api::command::Line;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::VERSION;
use crate::child;
use crate::composition::Origin;
use crate::edition::{self, Edition};
use crate::kernel::Kernel;
use crate::loader::{self, Library};
use streamgate_log::Log;

const PROBLEMS: u8 = 1;
const MISUSED: u8 = 2;
const NOT_RUNNING: u8 = 3;
const REQUIRED_FAILED: u8 = 4;
const SYSTEM: u8 = 5;

const EXIT_CODES: &str = include_str!("help/exit-codes.txt");

const COMMANDS: &str = include_str!("help/commands.txt");

const CONFIGURATION: &str = include_str!("help/configuration.txt");

/// Runs plugins: every capability of StreamGate is a plugin, named in the configuration.
#[derive(Parser)]
#[command(name = "streamgate", version, max_term_width = 100, after_help = format!("{COMMANDS}\n{EXIT_CODES}"), after_long_help = format!("{COMMANDS}\n{CONFIGURATION}\n{EXIT_CODES}"))]
struct Cli {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Source {
    /// The configuration file [default: plugins.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, overriding file and environment; may be given many times
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl Source {
    fn file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new("plugins.toml"))
    }
}

#[derive(Subcommand)]
enum Command {
    /// Start the plugins and run until SIGTERM or SIGINT
    ///
    /// Plugins start in the order of their dependencies, those that accept requests from outside last. The
    /// first SIGTERM or SIGINT stops them in reverse order: no new requests are accepted, and running ones
    /// are finished, within each plugin's stop_deadline. The second one ends the process at once.
    Run,
    /// Report every problem of the configuration at once
    ///
    /// Loads the plugins to read their manifests and to check their settings. Starts nothing and
    /// writes nothing.
    Check,
    /// List the plugins of the running streamgate, or show the permissions of one
    Plugins {
        /// The plugin
        name: Option<String>,
        /// As JSON, with versions, capabilities, components and the counters of the bus
        #[arg(long)]
        json: bool,
    },
    /// Show the health of the running streamgate
    Health {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the metrics of the running streamgate and its plugins, as OpenMetrics text
    Metrics {
        /// Only of this plugin
        name: Option<String>,
    },
    /// Replace a plugin of the running streamgate by a new build, without downtime
    ///
    /// Loads its file again, or FILE instead, and starts it beside the running one. Then it takes over in one
    /// step, and the old one finishes its requests. If it does not start, nothing changes.
    Swap {
        /// The plugin
        name: String,
        /// Its new cdylib; the next reload returns to the configured one
        file: Option<PathBuf>,
    },
    /// Apply the configuration to the running streamgate, without downtime
    ///
    /// Touches only what differs: starts, swaps and stops plugins, and passes on settings that can be applied
    /// while a plugin runs. If anything fails, nothing changes. SIGHUP does the same. It reads the file that
    /// the running streamgate was started with, with the --set of its start; another --config is refused, and
    /// --set serves only to find its data directory.
    Reload {
        /// Only show what would happen
        #[arg(long)]
        dry_run: bool,
        /// Only if nothing has changed since --dry-run printed this version
        #[arg(long, value_name = "VERSION", conflicts_with = "dry_run")]
        if_version: Option<u64>,
    },
    /// Restart a plugin of the running streamgate, also out of quarantine
    Restart {
        /// The plugin
        name: String,
    },
    /// Write the crate of a new plugin, with a test that runs it in a real server
    New {
        /// Its name: lower-case letters, digits and hyphens
        name: String,
        /// Depend on the plugin API in this folder, instead of that of this program's clone or repository
        #[arg(long, value_name = "FOLDER")]
        api: Option<PathBuf>,
    },
    /// Check a plugin's cdylib, rule by rule, against the rules for every plugin
    ///
    /// Each rule is checked in its own process, so nothing that runs is touched. The rules are those of
    /// docs/reference/plugin-rules.md. Exit code 1 if one fails.
    Conformance(streamgate_conformance::Options),
    /// Load a cdylib, describe it and end: a crash shows as the way it ends
    #[command(hide = true)]
    Probe { name: String, file: PathBuf, shown: PathBuf },
    /// Run one plugin for the host that started this process
    #[command(hide = true)]
    Isolated { name: String },
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// A command of a plugin of the running streamgate
    #[command(external_subcommand)]
    Plugin(Vec<String>),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema of the whole file, from every plugin in kernel.plugin_dirs
    ///
    /// Editors complete and check the file with it: save it, and put
    /// `#:schema ./streamgate.schema.json` into the file's first line.
    Schema,
    /// Print the effective settings, key by key, with their origin: default, file and line, variable or --set
    ///
    /// Secrets are hidden, as are the parts of URLs after their host.
    Show {
        /// Only this key and those below it, such as plugins.gateway
        #[arg(default_value = "", hide_default_value = true)]
        key: String,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let began = Instant::now();
    let Cli { mut source, mut command } = Cli::parse();
    match &mut command {
        Command::Probe { name, file, shown } => child::describe(name, file, shown),
        Command::Isolated { .. } => return child::run(),
        Command::Conformance(options) => return conformance(options, &source.sets),
        Command::Plugin(words) => {
            if let Err(reason) = take_options(words, &mut source.config, &mut source.sets) {
                return fail(MISUSED, reason);
            }
        }
        _ => {}
    }
    let (sources, problems) = Sources::read(source.file(), std::env::vars_os(), &source.sets);
    let data_dir = sources.kernel().data_dir;
    match command {
        Command::Run => run(source, &sources, problems, &data_dir, began),
        Command::Check => check_only(&source, &sources, problems),
        Command::Plugins { name, json } => {
            let code = ask(&data_dir, "/plugins", |report| match name {
                Some(name) => plugin_rights(report, &name, json),
                None => (if json { pretty(report) } else { plugins_table(report) }, true),
            });
            if code == ExitCode::from(NOT_RUNNING)
                && let Err(problems) = Edition::check(&sources, problems, None, Vec::new())
            {
                report_problems(&problems);
            }
            code
        }
        Command::Health { json } => ask(&data_dir, "/health", |report| {
            let text = if json { pretty(report) } else { health_table(report) };
            (text, report["status"] == "healthy")
        }),
        Command::Metrics { name } => ask(&data_dir, &metrics_path(name.as_deref()), metrics_text),
        Command::Swap { name, file } => {
            // The server may have another working directory.
            let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
            change(&source, &data_dir, &Change::Swap { name, file })
        }
        Command::Reload { dry_run: dry, if_version: version } => {
            change(&source, &data_dir, &Change::Reload { dry, version })
        }
        Command::Restart { name } => change(&source, &data_dir, &Change::Restart { name }),
        Command::Config(ConfigCommand::Schema) => schema(&sources),
        Command::Config(ConfigCommand::Show { key }) => {
            let (tables, faults) = edition::tables(&sources);
            let problems = [problems, faults].concat();
            tell("error", &problems);
            match streamgate_config::show(&sources, &tables, &key) {
                Ok(text) => out(&text),
                Err(reason) if problems.is_empty() => return fail(MISUSED, reason),
                // It may be unknown because its plugin does not load.
                Err(reason) => return fail(PROBLEMS, reason),
            }
            if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) }
        }
        Command::Plugin(words) => plugin_command(&data_dir, words),
        Command::New { name, api } => new(&name, api.as_deref()),
        Command::Probe { .. } | Command::Isolated { .. } | Command::Conformance(_) => {
            unreachable!("it has ended above")
        }
    }
}

fn out(text: &str) {
    // A closed pipe (`| head`) is no error.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn err(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints why something failed, with this exit code.
fn fail(code: u8, reason: impl std::fmt::Display) -> ExitCode {
    err(format_args!("error: {reason}"));
    ExitCode::from(code)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// `error` in red or `warning` in yellow, on a terminal.
fn tell(word: &str, problems: &[Problem]) {
    let color = if word == "error" { 31 } else { 33 };
    for problem in problems {
        match std::io::stderr().is_terminal() {
            true => err(format_args!("\x1b[1;{color}m{word}\x1b[0m: {problem}")),
            false => err(format_args!("{word}: {problem}")),
        }
    }
}

fn report_problems(problems: &[Problem]) -> ExitCode {
    tell("error", problems);
    let count = problems.len();
    err(format_args!("{count} problem{}; nothing was started", if count == 1 { "" } else { "s" }));
    ExitCode::from(PROBLEMS)
}

fn check_only(source: &Source, sources: &Sources, problems: Vec<Problem>) -> ExitCode {
    match Edition::check(sources, problems, None, Vec::new()) {
        Err(problems) => report_problems(&problems),
        Ok(edition) => {
            tell("warning", &edition.notices);
            let order = edition.graph.order();
            let names: Vec<_> = order.iter().map(|&index| edition.plugins[index].name.as_str()).collect();
            let count = names.len();
            let file = source.file().display();
            out(&format!(
                "{file}: no problems; {count} plugins, in the order of their start: {}",
                names.join(", ")
            ));
            ExitCode::SUCCESS
        }
    }
}

fn new(name: &str, api: Option<&Path>) -> ExitCode {
    let api = api.map(|api| std::path::absolute(api).unwrap_or_else(|_| api.to_owned()));
    match streamgate_scaffold::create(Path::new("."), name, VERSION, api.as_deref()) {
        Ok(_) => {
            out(&format!("{name}/ is there; {name}/README.md says how to build, test and run it"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(SYSTEM, error),
    }
}

fn conformance(options: &streamgate_conformance::Options, sets: &[String]) -> ExitCode {
    loader::let_faults_end_this();
    streamgate_conformance::main(options, sets, |name, path| {
        let library = Library::open_untried(name, path, path).map_err(|error| error.to_string())?;
        let library = std::sync::Arc::new(library);
        let (told, judge, starter) = (library.clone(), library.clone(), library.clone());
        Ok(streamgate_conformance::Loaded {
            manifest: library.manifest.clone(),
            schema: Box::new(move || told.schema()),
            check: std::sync::Arc::new(move |settings| judge.check(settings)),
            start: std::sync::Arc::new(move |host, args| starter.start(host, args)),
        })
    })
}

fn schema(sources: &Sources) -> ExitCode {
    let mut schemas = BTreeMap::new();
    let mut code = ExitCode::SUCCESS;
    for (name, path) in streamgate_config::discover(&sources.kernel().plugin_dirs()) {
        match Library::open(&name, &path, None, None, Some(true)) {
            Ok(library) => _ = schemas.insert(name, library.schema()),
            Err(error) => {
                err(format_args!("error: {name}: {error}"));
                code = ExitCode::from(PROBLEMS);
            }
        }
    }
    out(&pretty(&file_schema(&schemas)));
    code
}

/// Calls the running kernel and prints the result of `show`; `false` from it is exit code 1.
fn ask(data_dir: &Path, path: &str, show: impl FnOnce(&Value) -> (String, bool)) -> ExitCode {
    match streamgate_control::ask(data_dir, path) {
        Ok(report) => {
            let (text, good) = show(&report);
            out(&text);
            if good { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) }
        }
        Err(error) => no_answer(&error),
    }
}

fn no_answer(error: &ControlError) -> ExitCode {
    fail(if matches!(error, ControlError::NotRunning(_)) { NOT_RUNNING } else { SYSTEM }, error)
}

/// Has a plugin of the running kernel execute a command.
fn plugin_command(data_dir: &Path, mut words: Vec<String>) -> ExitCode {
    let name = words.remove(0);
    let own: Vec<_> = Cli::command().get_subcommands().map(|own| own.get_name().to_owned()).collect();
    let near = suggest(&name, own.iter().map(String::as_str), "");
    let print = |line| match line {
        Line::Out(text) => out(&text),
        Line::Err(text) => err(text),
        Line::Exit(_) => {}
    };
    let (code, reason) = match streamgate_control::command(data_dir, &name, words, print) {
        Ok(Ok(code)) => return ExitCode::from(code),
        Ok(Err(Refused::Failed(reason))) => (PROBLEMS, reason),
        Ok(Err(Refused::Unknown { known })) => {
            (MISUSED, format!("no such command `{name}`{near}; available commands: {known}"))
        }
        Err(_) if !near.is_empty() => (MISUSED, format!("no such command `{name}`{near}")),
        Err(error) => return no_answer(&error),
    };
    fail(code, reason)
}

/// Has the running kernel change something, unless the given file is not its own.
fn change(source: &Source, data_dir: &Path, change: &Change) -> ExitCode {
    let reads = |file: &str| err(format_args!("the running streamgate reads {file}"));
    match streamgate_control::request(data_dir, change, source.config.as_deref(), reads) {
        Ok(Ok(text)) => {
            out(&text);
            ExitCode::SUCCESS
        }
        Ok(Err(reason)) => fail(PROBLEMS, reason),
        Err(error) => no_answer(&error),
    }
}

fn run(
    source: Source,
    sources: &Sources,
    problems: Vec<Problem>,
    data_dir: &Path,
    began: Instant,
) -> ExitCode {
    let edition = match Edition::check(sources, problems, Some(data_dir), Vec::new()) {
        Ok(edition) => edition,
        Err(problems) => return report_problems(&problems),
    };
    let descriptors = streamgate_control::raise();
    loader::give_back_large_blocks();
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("kernel").enable_all().build();
    let taken =
        DataDir::take(data_dir).and_then(|taken| Ok((taken, runtime.map_err(ControlError::Threads)?)));
    let (data_dir, runtime) = match taken {
        Ok(taken) => taken,
        Err(error) => return fail(SYSTEM, error),
    };
    let log = Log::start(&edition.kernel.log);
    let origin = Origin { config: source.file().to_owned(), sets: source.sets };
    streamgate_log::log_panics();
    if let Some(limit) = descriptors.filter(|limit| *limit < streamgate_control::FEW) {
        tracing::warn!(limit, "few open files are allowed; raise the hard limit (ulimit -Hn, LimitNOFILE=)");
    }
    for notice in &edition.notices {
        tracing::warn!("{notice}");
    }
    let kernel = Kernel::new(edition, origin, log.clone(), began, runtime.handle().clone());
    let code = runtime.block_on(until_stopped(&kernel, &data_dir)).unwrap_or_else(|error| {
        tracing::error!(%error, "not started");
        ExitCode::from(SYSTEM)
    });
    drop(data_dir);
    log.flush();
    // Threads of plugins that did not stop in time are not awaited.
    runtime.shutdown_background();
    code
}

/// Starts, waits for a signal, stops.
async fn until_stopped(
    kernel: &std::sync::Arc<Kernel>,
    data_dir: &DataDir,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup())?;
    let journal = Journal::open(&kernel.parts.settings.load().data_dir);
    tokio::spawn(journal.clone().tell(kernel.parts.bus.clone()));
    let control = Control::new(kernel.clone(), journal, &kernel.composition.origin.config);
    tokio::spawn(control.clone().reload_on_hangup(hangups));
    tokio::spawn(control.serve(data_dir.listen()?));
    let started = tokio::select! {
        started = kernel.runs.start() => Some(started),
        number = signals.next() => {
            tracing::info!(signal = number, "stopping before all plugins have started");
            None
        }
    };
    let code = match started {
        Some(Err(error)) => {
            tracing::error!(%error, "stopping");
            ExitCode::from(REQUIRED_FAILED)
        }
        Some(Ok(())) => {
            let report = kernel.health_report();
            let (status, millis) = (text(&report["status"]), kernel.parts.began.elapsed().as_millis() as u64);
            match report["status"] == "healthy" {
                true => tracing::info!(status, millis, "ready"),
                false => tracing::warn!(status, millis, "started, but some plugins are not healthy"),
            }
            let number = signals.next().await;
            tracing::info!(signal = number, "stopping; a second signal ends the process at once");
            ExitCode::SUCCESS
        }
        None => ExitCode::SUCCESS,
    };
    let log = kernel.parts.log.clone();
    tokio::spawn(async move {
        let number = signals.next().await;
        tracing::error!(signal = number, "ended at once");
        log.flush();
        std::process::exit(128 + number);
    });
    kernel.changes.stop().await;
    tracing::info!("stopped");
    Ok(code)
}
