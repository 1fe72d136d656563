//! Directories that survive a power loss. A directory's own entry is in its parent, and is on disk when that
//! was synced.

use std::fs::File;
use std::io;
use std::path::Path;

/// Creates a directory and its missing parents, and syncs the entries of all of them; also of existing ones,
/// because their creator may have been killed before it could. Blocks.
///
/// # Errors
/// The system's error. An existing directory that cannot be synced, such as a parent that belongs to another
/// user, is no error.
pub fn make_durable(path: &Path) -> io::Result<()> {
    let made = path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).count();
    std::fs::create_dir_all(path)?;
    sync_above(&path.canonicalize()?, made, |directory| File::open(directory)?.sync_all())
}

/// Syncs the directories above `path`, from its parent up; those above the lowest `made` ones are required.
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
    fn every_directory_above_is_synced_from_the_parent_up_even_an_existing_one() {
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
