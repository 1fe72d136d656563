//! Writes the crate of a new plugin: it builds, has a test that runs it in a real server, and its README
//! states the next steps. It changes nothing that exists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files, by their path in the crate.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../templates/Cargo.toml.txt")),
    ("README.md", include_str!("../templates/README.md.txt")),
    ("src/lib.rs", include_str!("../templates/lib.rs.txt")),
    ("tests/runs.rs", include_str!("../templates/runs.rs.txt")),
    (".gitignore", "/target\n"),
];

/// The source of the plugin API, if it is not on this machine.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Why the crate was not created.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// It is not a valid plugin name.
    #[error("`{0}` cannot be a plugin's name: lower-case letters, digits and hyphens, and a letter first")]
    Name(String),
    /// The path exists already.
    #[error("{0} exists already; choose another name or another folder")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{path} cannot be written: {error}")]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Writes the crate of a plugin `name` into a new folder of that name below `parent`, and returns the folder.
/// It depends on the plugin API at `api`; by default on that of the clone that this program was built in, and
/// without one on that of the repository, at `version`. No registry has the API, and a foreign package of
/// that name must never be used.
///
/// # Errors
/// If the name is invalid, the folder exists, or it cannot be written.
pub fn create(
    parent: &Path,
    name: &str,
    version: &str,
    api: Option<&Path>,
) -> Result<PathBuf, ScaffoldError> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(letters) || name.len() > 63 {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    if folder.exists() {
        return Err(ScaffoldError::Exists(folder));
    }
    let api = match api.map(Path::to_owned).or_else(|| beside(&std::env::current_exe().ok()?)) {
        Some(path) => format!("{{ path = {:?} }}", path.display().to_string()),
        None => format!("{{ git = {REPOSITORY:?}, version = {version:?} }}"),
    };
    let words = [("NAME", name), ("IDENT", &name.replace('-', "_")), ("TYPE", &camel(name)), ("API", &api)];
    for (place, template) in FILES {
        let path = folder.join(place);
        let text = words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value));
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|error| ScaffoldError::Write { path, error })?;
    }
    Ok(folder)
}

/// The plugin API in the clone that a program is in, at any depth of its build folder.
fn beside(program: &Path) -> Option<PathBuf> {
    let ours = |folder: &Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
        manifest.lines().any(|line| line.trim() == "name = \"streamgate-plugin-api\"").then_some(())
    };
    program.ancestors().map(|folder| folder.join("plugin-api")).find(|folder| ours(folder).is_some())
}

/// `my-plugin` as `MyPlugin`.
fn camel(name: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    name.split('-').filter(|part| !part.is_empty()).map(capital).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_new_crate_has_its_name_everywhere_and_little_code() {
        let dir = tempfile::tempdir().unwrap();
        let folder = create(dir.path(), "my-plugin-2", "0.1", Some(Path::new("/api"))).unwrap();
        let read = |place: &str| fs::read_to_string(folder.join(place)).unwrap();
        assert!(read("Cargo.toml").contains("name = \"streamgate_my_plugin_2\""));
        assert!(read("Cargo.toml").contains("streamgate-plugin-api = { path = \"/api\" }"));
        let code = read("src/lib.rs");
        assert!(code.contains(
            "MyPlugin2 { name: \"my-plugin-2\", description: \"Greets\", prefixes: [\"/my-plugin-2\"] }"
        ));
        assert!(code.lines().count() < 60, "{}", code.lines().count());
        for (place, _) in FILES {
            assert!(!read(place).contains("IDENT") && !read(place).contains("TYPE"), "{place}");
        }
        assert!(matches!(create(dir.path(), "my-plugin-2", "0.1", None), Err(ScaffoldError::Exists(_))));
    }

    #[test]
    fn an_unpublished_crate_is_never_requested_from_a_registry() {
        let dir = tempfile::tempdir().unwrap();
        let clone = dir.path().join("clone");
        let program = clone.join("target/release/streamgate");
        assert_eq!(beside(&program), None);
        fs::create_dir_all(clone.join("plugin-api")).unwrap();
        // A folder of that name alone may be unrelated.
        fs::write(clone.join("plugin-api/Cargo.toml"), "[package]\nname = \"other\"\n").unwrap();
        assert_eq!(beside(&program), None);
        fs::write(clone.join("plugin-api/Cargo.toml"), "[package]\nname = \"streamgate-plugin-api\"\n")
            .unwrap();
        assert_eq!(beside(&program), Some(clone.join("plugin-api")));

        let folder = create(dir.path(), "plain", "0.1", None).unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let line = manifest.lines().find(|line| line.starts_with("streamgate-plugin-api")).unwrap();
        assert!(line.contains("path = ") || line.contains(&format!("git = {REPOSITORY:?}")), "{line}");
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for name in ["", "9a", "A", "a_b", "a/b", "..", &"a".repeat(64)] {
            let error = create(Path::new("/nowhere"), name, "0.1", None);
            assert!(matches!(error, Err(ScaffoldError::Name(_))), "{name:?}");
        }
    }
}
