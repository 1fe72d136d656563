//! The stage of a plugin, with its reason; and the phase of the process.

use std::time::SystemTime;

use serde::Serialize;

/// The stage of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for others to start.
    Waiting,
    /// It is being started for the first time.
    Starting,
    /// Running.
    Running,
    /// Being restarted, after a failure or on request.
    Restarting,
    /// It is being stopped.
    Stopping,
    /// It has stopped.
    Stopped,
    /// It did not start, and is retried; or it did not stop in time.
    Failed,
    /// A required plugin does not run.
    Blocked,
    /// It has failed too often, and waits for an operator, or for a long time.
    Quarantined,
}

/// A stage, and the reason if it is not running.
#[derive(Debug, Clone)]
pub struct State {
    /// The stage.
    pub stage: Stage,
    /// For people; may be empty.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
}

impl State {
    /// A new stage from now on.
    pub fn new(stage: Stage, reason: &str) -> Self {
        Self { stage, reason: reason.to_owned(), since: SystemTime::now() }
    }

    /// Whether the outcome of its start is still open.
    pub fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Starting)
    }

    /// Whether a stop has nothing left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Stopped | Stage::Failed | Stage::Blocked | Stage::Quarantined)
    }
}

/// The phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Plugins start for the first time.
    Starting,
    /// Each has started or failed.
    Running,
    /// Plugins stop, and changes are refused.
    Stopping,
}
