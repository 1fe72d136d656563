//! Our identity over restarts: the node, which lasts as long as its data directory, and the process, which
//! changes with every start. A lease that a worker of this node took in an earlier process is orphaned.

use std::io::Write;
use std::path::Path;

use streamgate_plugin_api::process;
use uuid::Uuid;

/// Node and process, as stored with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node: String,
    pub(crate) process: String,
}

impl Identity {
    /// Reads the node's name from the data directory, or creates one. Blocks.
    ///
    /// # Errors
    /// If the directory cannot be read or written.
    pub(crate) fn load(directory: &Path) -> std::io::Result<Self> {
        Ok(Self { node: node(directory)?, process: this_process() })
    }
}

fn node(directory: &Path) -> std::io::Result<String> {
    let path = directory.join("node");
    match std::fs::read_to_string(&path) {
        Ok(text) if Uuid::try_parse(text.trim()).is_ok() => return Ok(text.trim().to_owned()),
        // A torn or foreign file: earlier leases expire on their own.
        Ok(_) => tracing::warn!(path = %path.display(), "the node's name is damaged; a new one is created"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = Uuid::new_v4().to_string();
    let fresh = directory.join("node.new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    std::fs::File::open(directory)?.sync_all()?;
    Ok(name)
}

/// The same for every plugin instance in this process, and never reused: a swapped plugin must not free the
/// leases of workers that continue beside it.
fn this_process() -> String {
    process::own().unwrap_or_else(|| Uuid::new_v4().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_a_process_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let first = Identity::load(directory.path()).unwrap();
        assert_eq!(Identity::load(directory.path()).unwrap(), first);
        std::fs::write(directory.path().join("node"), "torn").unwrap();
        let renamed = Identity::load(directory.path()).unwrap();
        assert_ne!(renamed.node, first.node);
        assert_eq!(renamed.process, first.process);
    }
}
