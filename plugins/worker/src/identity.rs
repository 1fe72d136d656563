//! Who we are over restarts: the node, which lasts as long as its data directory, and the
//! process, which is another one after every start. A lease that a worker of this node took in
//! another process belongs to nobody any more.

use std::io::Write;
use std::path::Path;

use uuid::Uuid;

/// Node and process, as they stand beside a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node: String,
    pub(crate) process: String,
}

impl Identity {
    /// Reads the node from the data directory, or gives it one. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub(crate) fn load(directory: &Path) -> std::io::Result<Self> {
        Ok(Self { node: node(directory)?, process: process() })
    }
}

fn node(directory: &Path) -> std::io::Result<String> {
    let path = directory.join("node");
    match std::fs::read_to_string(&path) {
        Ok(text) if Uuid::try_parse(text.trim()).is_ok() => return Ok(text.trim().to_owned()),
        // A torn or foreign file: leases of before run out by themselves.
        Ok(_) => tracing::warn!(path = %path.display(), "the node's name is damaged; it gets another one"),
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

/// The same for every plugin instance in this process, and never the same again: a swapped
/// plugin must not free the leases of workers that live on beside it.
fn process() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let started = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| started_at(&stat));
    match (boot, started) {
        (Some(boot), Some(started)) => format!("{}/{}/{started}", boot.trim(), std::process::id()),
        _ => Uuid::new_v4().to_string(),
    }
}

/// Field 22 of proc_pid_stat(5), in clock ticks since boot. The second field, the name in
/// parentheses, may hold anything.
fn started_at(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
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

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(started_at(stat), Some(4711));
        assert_eq!(started_at("garbage"), None);
    }
}
