//! The limits of a child, and its arguments.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The system resources of a child. Without a value no limit is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of private memory (`RLIMIT_DATA`). Beyond it allocations fail, which ends the child.
    pub memory: Option<u64>,
    /// Seconds of processor time of one run (`RLIMIT_CPU`). Beyond it the child is ended.
    pub cpu_seconds: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Whether it may use the network, and connect to sockets of any kind.
    pub network: bool,
    /// What it may read and execute, in addition to the system's directories, its cdylib and its data.
    pub read: Vec<PathBuf>,
    /// What it may change, in addition to its data.
    pub write: Vec<PathBuf>,
}

/// How to start a child.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// The plugin's name for people.
    pub plugin: String,
    /// The program whose `main` calls [`child`](crate::child()).
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The cdylib, opened by the child before it confines itself. It may be below the parent's
    /// `/proc/<pid>/fd`.
    pub cdylib: Option<PathBuf>,
    /// Which of the plugin's log records cross, in the form of `tracing_subscriber`'s `Targets`:
    /// `info,my_crate=debug`.
    pub log: String,
    /// Its limits.
    pub limits: Limits,
    /// How long `stop` waits for the child to end before it is killed. Shorter than the caller's deadline for
    /// `stop`.
    pub grace: Duration,
}
