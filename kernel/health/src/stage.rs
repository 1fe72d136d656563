//! Where a plugin is in its life, and why; and where the process is.

use std::time::SystemTime;

use serde::Serialize;

/// Where a plugin is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// For others to start.
    Waiting,
    /// It is being started for the first time.
    Starting,
    /// It answers.
    Running,
    /// It has failed while it ran, or somebody restarts it, and is started anew.
    Restarting,
    /// It is being stopped.
    Stopping,
    /// It has stopped.
    Stopped,
    /// It did not start, and is tried again; or it did not stop in time.
    Failed,
    /// Something it requires does not run.
    Blocked,
    /// It has failed too often, and waits for somebody to look, or for long.
    Quarantined,
}

/// A stage, and why it is not running if there is a reason.
#[derive(Debug, Clone)]
pub struct State {
    /// Where it is.
    pub stage: Stage,
    /// For people; empty without one.
    pub reason: String,
    /// When it got there.
    pub since: SystemTime,
}

impl State {
    /// One from now on.
    pub fn new(stage: Stage, reason: &str) -> Self {
        Self { stage, reason: reason.to_owned(), since: SystemTime::now() }
    }

    /// Whether it is still to be seen if it starts.
    pub fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Starting)
    }

    /// Whether a stop has nothing left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Stopped | Stage::Failed | Stage::Blocked | Stage::Quarantined)
    }
}

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Plugins start for the first time.
    Starting,
    /// Each has started or failed.
    Running,
    /// Plugins stop, and nothing is changed any more.
    Stopping,
}
