//! This binary as the child of another: it describes a cdylib, or runs one plugin.

use std::path::Path;
use std::process::ExitCode;

use streamgate_isolation::{Answer, Description};

use crate::loader::{self, Library, LoadError};

/// Describes a cdylib, or checks settings with it, and ends.
pub(crate) fn describe(name: &str, file: &Path, shown: &Path) -> ! {
    streamgate_isolation::tell(file, |file, settings: Option<String>| {
        match (Library::open_untried(name, file, shown), settings) {
            (Err(LoadError::Open { reason, .. }), _) => Answer::NotOpened(reason),
            (Err(error), _) => Answer::Refused(error.to_string()),
            (Ok(library), Some(settings)) => Answer::Checked(library.check(&settings)),
            (Ok(library), None) => {
                let (schema, api, manifest) = (library.schema(), library.api, library.manifest);
                Answer::Plugin(Box::new(Description { manifest, api, schema }))
            }
        }
    })
}

/// Runs one plugin for as long as the host needs it.
pub(crate) fn run() -> ExitCode {
    loader::give_back_large_blocks();
    loader::let_faults_end_this();
    streamgate_isolation::child(|loading| {
        let path = loading.cdylib.ok_or("it has no cdylib")?;
        let library = Library::open_untried(loading.plugin, path, path).map_err(|error| error.to_string())?;
        Ok(move |host, args| library.start(host, args))
    })
}
