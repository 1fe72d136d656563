//! Ends or holds the server exactly between two durable steps, at the points that debug builds have
//! (`streamgate_plugin_api::failpoint`). This cannot tell which build runs: a point in a release build is
//! never reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::wait::eventually;

/// How long a point may take to be reached.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of armed points, for [`Setup::with_failpoints`](crate::server::Setup::with_failpoints).
#[derive(Debug)]
pub struct Failpoints(TempDir);

impl Failpoints {
    /// None is armed.
    ///
    /// # Panics
    /// When a folder cannot be created.
    #[must_use]
    pub fn new() -> Self {
        Self(TempDir::with_prefix("failpoints-").expect("a temporary folder"))
    }

    /// A confined plugin must be allowed to write here.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Arms a point once: `kill`, `kill 3` (at the third passage), `hold`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn arm(&self, point: &str, action: &str) {
        let _ = fs::remove_file(self.mark(point));
        // In one step: a point that is passed meanwhile reads all of it.
        let draft = self.0.path().join(".draft");
        fs::write(&draft, action).expect("written");
        fs::rename(draft, self.0.path().join(point)).expect("renamed");
    }

    /// Waits until a point has fired.
    ///
    /// # Panics
    /// When it does not.
    pub async fn reached(&self, point: &str) {
        let mark = self.mark(point);
        eventually(format!("the point {point}"), PATIENCE, async || mark.exists().then_some(())).await;
    }

    /// Lets a held process continue.
    ///
    /// # Panics
    /// When none is held at this point.
    pub fn go_on(&self, point: &str) {
        fs::remove_file(self.mark(point)).expect("a process is held there");
    }

    fn mark(&self, point: &str) -> PathBuf {
        self.0.path().join(format!("{point}.reached"))
    }
}

impl Default for Failpoints {
    fn default() -> Self {
        Self::new()
    }
}
