//! What a child process says of a cdylib before the host opens it. Of a plugin that runs in a
//! process of its own the host knows only this: none of its code runs in the host.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_plugin_api::manifest::Manifest;
use streamgate_plugin_api::settings::SettingsProblem;

use crate::trial;

/// What a child answers about a cdylib.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is the plugin.
    Plugin(Box<Description>),
    /// The system does not open it from this place.
    NotOpened(String),
    /// It is refused; why, for people.
    Refused(String),
    /// What is wrong with its settings.
    Checked(Vec<SettingsProblem>),
}

/// A plugin without its code.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The version of the boundary it was built for.
    pub api: (u32, u32),
    /// The JSON Schema of its settings.
    pub schema: Value,
}

/// Has a child (`streamgate probe`) load the cdylib, to describe it or to check `settings`. It is
/// opened as `file`, and called `shown`.
///
/// # Errors
/// How the child ended instead, for people.
pub fn ask(name: &str, file: &Path, shown: &Path, settings: Option<&str>) -> Result<Answer, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("probe").arg(name).arg(file).arg(shown);
    trial::ask(command, &settings)
}
