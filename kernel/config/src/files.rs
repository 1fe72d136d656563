//! The locations and names of plugins' cdylibs. It looks only at names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::suggest;

const PREFIX: &str = "libstreamgate_";
const SUFFIX: &str = ".so";

/// The file name of a plugin's cdylib.
pub fn file_name(plugin: &str) -> String {
    format!("{PREFIX}{}{SUFFIX}", plugin.replace('-', "_"))
}

/// The cdylib of a plugin: `file` if that is a path, else the first file of that name, or of the plugin's
/// own, in the directories.
///
/// # Errors
/// There is none; the text is for people.
pub fn locate(plugin: &str, file: Option<&str>, dirs: &[PathBuf]) -> Result<PathBuf, String> {
    let wanted = file.map_or_else(|| file_name(plugin), str::to_owned);
    if wanted.contains('/') {
        let path = Some(PathBuf::from(&wanted)).filter(|path| path.is_file());
        return path.ok_or_else(|| format!("there is no {wanted}"));
    }
    dirs.iter().map(|dir| dir.join(&wanted)).find(|path| path.is_file()).ok_or_else(|| {
        let shown: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let hint = suggest(plugin, discover(dirs).keys().map(String::as_str), "plugins there");
        format!("unknown plugin: there is no {wanted} in {}{hint}", shown.join(", "))
    })
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
