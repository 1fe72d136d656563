//! Points between two durable steps where a test kills or holds the process. A release build has none.
//!
//! The variable `FAILPOINTS` names a directory. The file `POINT` in it arms a point: `kill` ends the process
//! the next time it gets there, `kill 3` the third time, `hold` stops it there. The point renames its file to
//! `POINT.reached` and so fires once, whatever is restarted. A held process continues when that file is
//! removed.

/// Kills or holds the process here if a test armed this point.
#[inline]
pub fn failpoint(point: &str) {
    #[cfg(debug_assertions)]
    armed::reach(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("FAILPOINTS").map(PathBuf::from));
    /// Held while a file is read and changed, so that each passage counts once.
    static TURN: Mutex<()> = Mutex::new(());

    #[derive(Debug, PartialEq)]
    pub(super) enum Action {
        Kill,
        Hold(PathBuf),
    }

    pub(super) fn reach(point: &str) {
        match DIRECTORY.as_deref().and_then(|directory| take(directory, point)) {
            None => {}
            // Like `kill -9`: nothing is unwound, dropped or flushed.
            Some(Action::Kill) => std::process::abort(),
            Some(Action::Hold(reached)) => {
                while reached.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    pub(super) fn take(directory: &Path, point: &str) -> Option<Action> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, reached) = (directory.join(point), directory.join(format!("{point}.reached")));
        let text = fs::read_to_string(&file).ok()?;
        let (action, count) = text.split_once(' ').unwrap_or((&text, "1"));
        let count: u32 = count.trim().parse().ok()?;
        if count > 1 {
            fs::write(&file, format!("{action} {}", count - 1)).ok()?;
            return None;
        }
        fs::rename(&file, &reached).ok()?;
        match action.trim() {
            "kill" => Some(Action::Kill),
            "hold" => Some(Action::Hold(reached)),
            _ => None,
        }
    }
}

#[cfg(all(test, debug_assertions))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::armed::{Action, take};

    #[test]
    fn an_armed_point_fires_once_at_the_passage_that_it_counts_to() {
        let folder = std::env::temp_dir().join(format!("streamgate-failpoint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a"), "kill 2\n").unwrap();
        fs::write(folder.join("b"), "hold").unwrap();
        assert_eq!(take(&folder, "c"), None);
        assert_eq!(take(&folder, "a"), None);
        assert_eq!(take(&folder, "a"), Some(Action::Kill));
        assert_eq!(take(&folder, "a"), None);
        assert_eq!(take(&folder, "b"), Some(Action::Hold(folder.join("b.reached"))));
        assert!(folder.join("a.reached").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
