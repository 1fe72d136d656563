//! What a child may use, and what it is started with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a child may use of the system. Without a value there is no limit of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of private memory (`RLIMIT_DATA`). Past it allocations fail, which ends the child.
    pub memory: Option<u64>,
    /// Seconds of processor time of one run (`RLIMIT_CPU`). Past it the child is ended.
    pub cpu_seconds: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Whether it may use the network, and connect to sockets of any kind.
    pub network: bool,
    /// What it may read and execute besides the system's directories, its cdylib and its data.
    pub read: Vec<PathBuf>,
    /// What it may change besides its data.
    pub write: Vec<PathBuf>,
}

/// How to start a child.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// The plugin's name, as people know it.
    pub plugin: String,
    /// The program whose `main` calls [`child`](crate::child()).
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The cdylib, opened by the child before it confines itself. It may stand below the parent's
    /// `/proc/<pid>/fd`.
    pub cdylib: Option<PathBuf>,
    /// Which of the plugin's log records cross, in the form of `tracing_subscriber`'s `Targets`:
    /// `info,my_crate=debug`.
    pub log: String,
    /// What it may use.
    pub limits: Limits,
    /// How long `stop` waits for the child to end by itself before it is killed. Shorter than
    /// the deadline that whoever calls `stop` has.
    pub grace: Duration,
}
