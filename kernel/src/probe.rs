//! Looks at a cdylib in a child process before it is opened here. Of a plugin that runs in a
//! process of its own the host knows only what such a child tells: none of its code runs here.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_plugin_api::manifest::Manifest;
use streamgate_plugin_api::settings::SettingsProblem;

use crate::loader::{Library, LoadError};

/// What a child tells of a cdylib.
#[derive(Serialize, Deserialize)]
pub(crate) enum Told {
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
#[derive(Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) manifest: Manifest,
    pub(crate) api: (u32, u32),
    pub(crate) schema: Value,
}

/// Has a child load the cdylib, to describe it or to check `settings`. It is opened as `file`, and
/// called `shown`. The error says how the child ended.
pub(crate) fn ask(name: &str, file: &Path, shown: &Path, settings: Option<&str>) -> Result<Told, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("probe").arg(name).arg(file).arg(shown);
    streamgate_isolation::ask(command, &settings)
}

/// The child.
pub(crate) fn child(name: &str, file: &Path, shown: &Path) -> ! {
    streamgate_isolation::tell(file, |file, settings: Option<String>| {
        match (Library::open_untried(name, file, shown), settings) {
            (Err(LoadError::Open { reason, .. }), _) => Told::NotOpened(reason),
            (Err(error), _) => Told::Refused(error.to_string()),
            (Ok(library), Some(settings)) => Told::Checked(library.check(&settings)),
            (Ok(library), None) => {
                let (schema, api, manifest) = (library.schema(), library.api, library.manifest);
                Told::Plugin(Box::new(Description { manifest, api, schema }))
            }
        }
    })
}
