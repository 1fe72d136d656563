//! Directories that are still there after a loss of power. A directory's own entry lies in the one
//! above it, and is on the disk when that one was synced.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a directory and those above it, if they are not there, and puts the entries of all of them
/// on the disk; also of those that were there, since whoever made them may have been killed before
/// it came to that. Blocks.
///
/// # Errors
/// What the system refused. A directory that was there before and cannot be synced, as one above
/// that belongs to others, is none.
pub fn make_durable(path: &Path) -> io::Result<()> {
    let made = path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).count();
    std::fs::create_dir_all(path)?;
    sync_above(&path.canonicalize()?, made, |directory| File::open(directory)?.sync_all())
}

/// Syncs the directories above `path`, from its parent up, of which those above the lowest `made` ones have to be.
fn sync_above(path: &Path, made: usize, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for (level, above) in path.ancestors().skip(1).enumerate() {
        match sync(above) {
            Err(error) if level < made => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_above_is_synced_from_the_parent_up_whoever_made_it() {
        let mut synced = Vec::new();
        let path = Path::new("/a/b/c");
        let sync = |directory: &Path| {
            synced.push(directory.to_str().unwrap().to_owned());
            Ok(())
        };
        sync_above(path, 0, sync).unwrap();
        assert_eq!(synced, ["/a/b", "/a", "/"]);
    }

    #[test]
    fn only_what_was_made_now_has_to_be_synced() {
        let refuses = |refused: &'static str| {
            move |directory: &Path| match directory == Path::new(refused) {
                true => Err(io::ErrorKind::PermissionDenied.into()),
                false => Ok(()),
            }
        };
        let path = Path::new("/a/b/c");
        assert!(sync_above(path, 2, refuses("/a")).is_err());
        assert!(sync_above(path, 1, refuses("/a")).is_ok());
    }

    #[test]
    fn what_is_there_already_is_no_mistake() {
        let folder = std::env::temp_dir().join(format!("streamgate-dirs-{}", std::process::id()));
        for _ in 0..2 {
            make_durable(&folder.join("a/b")).unwrap();
        }
        assert!(folder.join("a/b").is_dir());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
