//! The kernel's own keys: its table `[kernel]`, and those that it reserves in the table of every plugin.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::settings::{ByteSize, Duration};

const LOG_LEVEL: &str =
    "^([^=,]+=)?(off|error|warn|info|debug|trace)(,([^=,]+=)?(off|error|warn|info|debug|trace))*$";

/// The kernel's own settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KernelSettings {
    /// Where all persistent data is stored: a folder per plugin, the control socket, the lock.
    pub data_dir: PathBuf,
    /// Folders that are searched for plugins (`libstreamgate_<plugin>.so`), in this order. Default:
    /// the folder of the executable, then `../lib/streamgate` beside it.
    pub plugin_dirs: Option<Vec<PathBuf>>,
    /// Log level and format.
    pub log: LogSettings,
    /// How long a plugin may take to start, unless its own table says otherwise.
    pub start_deadline: Duration,
    /// How long a plugin may take to finish its work when it is stopped, unless its own table
    /// says otherwise.
    pub stop_deadline: Duration,
    /// How often each plugin is pinged.
    pub ping_interval: Duration,
    /// How long a plugin may take to answer a ping before it counts as unhealthy.
    pub ping_deadline: Duration,
    /// How long running requests may continue in a plugin that was replaced.
    pub drain_deadline: Duration,
    /// How many panics a plugin may have within a minute. One more restarts it. A panic in a
    /// request ends that request, and counts only while the plugin is unhealthy.
    pub panic_budget: u32,
    /// How often a plugin may be restarted within ten minutes. One more quarantines it: it answers
    /// 503 until someone runs `streamgate restart NAME`, or, in its own process, until `quarantine`
    /// is over.
    pub restart_budget: u32,
    /// The pause before a plugin is restarted; it doubles each time, up to a minute.
    pub restart_pause: Duration,
    /// How long a plugin in its own process is quarantined. It doubles with each quarantine within
    /// a day, up to six hours.
    pub quarantine: Duration,
}

/// Log level and format.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`; per target after commas: `info,hyper=warn`.
    #[schemars(extend("pattern" = LOG_LEVEL, "examples" = ["info", "warn,hyper=debug"]))]
    pub level: String,
    /// `auto` is `pretty` on a terminal and `json` otherwise.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LogFormat {
    /// One or the other.
    Auto,
    /// For people.
    Pretty,
    /// An object a line.
    Json,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            plugin_dirs: None,
            log: LogSettings::default(),
            start_deadline: Duration::secs(30),
            stop_deadline: Duration::secs(30),
            ping_interval: Duration::secs(5),
            ping_deadline: Duration::secs(5),
            drain_deadline: Duration::secs(60),
            panic_budget: 10,
            restart_budget: 5,
            restart_pause: Duration::secs(1),
            quarantine: Duration::secs(10 * 60),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl KernelSettings {
    /// Where plugins are looked for.
    pub fn plugin_dirs(&self) -> Vec<PathBuf> {
        if let Some(dirs) = &self.plugin_dirs {
            return dirs.clone();
        }
        let Some(beside) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
        else {
            return Vec::new();
        };
        let installed = beside.join("../lib/streamgate");
        vec![beside, installed]
    }
}

/// The keys that the kernel reserves in every plugin's table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginKeys {
    /// Whether the plugin is loaded.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// The cdylib, if it is not `libstreamgate_<plugin>.so`: a path, or a file name in
    /// `kernel.plugin_dirs`.
    pub file: Option<PathBuf>,
    /// The SHA-256 of the cdylib in hexadecimal digits; another build is refused.
    #[schemars(extend("pattern" = "^[0-9A-Fa-f]{64}$"))]
    pub sha256: Option<String>,
    /// Whether the process ends if this plugin does not start.
    pub required: bool,
    /// Log level of this plugin, in the form of `kernel.log.level`.
    #[schemars(extend("pattern" = LOG_LEVEL, "examples" = ["debug", "warn,hyper=debug"]))]
    pub log: Option<String>,
    /// How long it may take to start, instead of `kernel.start_deadline`.
    pub start_deadline: Option<Duration>,
    /// How long it may take to stop, instead of `kernel.stop_deadline`.
    pub stop_deadline: Option<Duration>,
    /// Where the plugin runs: in this process, or in its own child process, which may crash.
    /// Default: as its author chose.
    pub isolation: Option<Isolation>,
    /// Permissions of the child process, with `isolation = "process"`.
    pub process: ProcessKeys,
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Isolation {
    /// In this process.
    None,
    /// In a child process.
    Process,
}

/// Permissions of a plugin's child process. It can always read and write its own data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct ProcessKeys {
    /// Private memory. Beyond it an allocation fails, which ends the child. Default: unlimited.
    pub memory: Option<ByteSize>,
    /// Processor time of one run, in whole seconds. Beyond it the child is ended. Default:
    /// unlimited.
    pub cpu_time: Option<Duration>,
    /// Open files. Default: the host's limit.
    #[schemars(range(min = 32))]
    pub open_files: Option<u64>,
    /// Whether it may open connections and listen.
    pub network: bool,
    /// Files and folders that it may read and execute, in addition to the system's.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may change.
    pub write: Vec<PathBuf>,
}
