//! The files of the databases are private to their owner. SQLite gives the log and the shared memory the
//! permissions of the database, so it is enough to create the database with these.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Reading and writing for the owner.
pub(crate) const PRIVATE: u32 = 0o600;

/// Creates the file, empty and private, if it does not exist.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(path)?;
    tighten_file(path)
}

/// Removes the permissions of group and others on the directory and each file in it: earlier versions left
/// them to the umask.
pub(crate) fn tighten(directory: &Path) -> io::Result<()> {
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            tighten_file(&entry.path())?;
        }
    }
    Ok(())
}

fn tighten_file(path: &Path) -> io::Result<()> {
    if path.metadata()?.permissions().mode() & 0o7777 != PRIVATE {
        std::fs::set_permissions(path, Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}
