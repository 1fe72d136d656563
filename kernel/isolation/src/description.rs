//! A child process's description of a cdylib, before the host opens it. For a plugin in its own process the
//! host knows only this: none of its code runs in the host.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_plugin_api::manifest::Manifest;
use streamgate_plugin_api::settings::SettingsProblem;

use crate::trial;

/// A child's answer about a cdylib.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is the plugin.
    Plugin(Box<Description>),
    /// The system cannot open it from this place.
    NotOpened(String),
    /// It is refused; the reason is for people.
    Refused(String),
    /// The problems of its settings.
    Checked(Vec<SettingsProblem>),
}

/// A plugin without its code.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    /// The manifest.
    pub manifest: Manifest,
    /// The version of the boundary it was built for.
    pub api: (u32, u32),
    /// The JSON Schema of its settings.
    pub schema: Value,
}

/// Has a child (`streamgate probe`) load the cdylib, to describe it or to check `settings`. It is opened as
/// `file`, and named `shown` in messages.
///
/// # Errors
/// How the child failed, for people.
pub fn ask(name: &str, file: &Path, shown: &Path, settings: Option<&str>) -> Result<Answer, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("probe").arg(name).arg(file).arg(shown);
    trial::ask(command, &settings)
}
