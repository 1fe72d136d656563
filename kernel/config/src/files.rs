//! Where the cdylibs of plugins are, and what they are called. It looks at names alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PREFIX: &str = "libstreamgate_";
const SUFFIX: &str = ".so";

/// The file name that a plugin's cdylib has.
pub fn file_name(plugin: &str) -> String {
    format!("{PREFIX}{}{SUFFIX}", plugin.replace('-', "_"))
}

/// The first file of this name in the directories.
pub fn find(file: &Path, dirs: &[PathBuf]) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(file)).find(|path| path.is_file())
}

/// The names of all plugins whose cdylibs are in the directories, with the first file of each.
pub fn discover(dirs: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let entries = dirs.iter().rev().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let plugin = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        Some((name.replace('_', "-"), path))
    };
    entries.filter_map(|entry| plugin(entry.path())).collect()
}
