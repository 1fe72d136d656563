//! Disk space reserved for deletions: a file that occupies it in advance.
//!
//! To delete, a database has to write first: the log grows, a tombstone is a row. So that a full disk can
//! still be emptied, a batch that frees space and meets `SQLITE_FULL` gets space from this file, step by
//! step, so that other writers cannot take all of it at once. Until the file is whole again, ordinary batches
//! are refused: they would use what the next deletion needs.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::{Class, SqlError};
use crate::files;

/// Its file in the directory of the databases.
const FILE: &str = "reserve";
/// What stays free when the reserve is created: directory entries and the like.
const MARGIN: u64 = 1 << 20;
/// How much is released at once.
const STEP: u64 = 1 << 20;
/// How much is written at once where a file system cannot preallocate.
const ZEROS: usize = 1 << 20;

/// The reserve of one directory.
#[derive(Debug)]
pub(crate) struct Reserve {
    directory: PathBuf,
    /// 0: no reserve.
    bytes: u64,
    /// Whether its file is known to be whole. Locked while it grows or shrinks.
    held: Mutex<bool>,
}

impl Reserve {
    pub(crate) fn new(directory: &Path, bytes: u64) -> Self {
        Self { directory: directory.to_owned(), bytes, held: Mutex::new(false) }
    }

    /// Ensures that the reserve is whole; `Full` if there is no space for it. Blocks.
    pub(crate) fn hold(&self) -> Result<(), SqlError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !*held && self.bytes > 0 {
            self.make().map_err(|error| self.refusal(&error))?;
            *held = true;
        }
        Ok(())
    }

    /// Releases one step of its space. False: nothing was left. Blocks.
    pub(crate) fn release(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = std::mem::replace(&mut *held, false);
        if whole {
            tracing::warn!("the disk is full: the reserve for deletions is in use");
        }
        let Ok(file) = File::options().write(true).open(self.path()) else { return false };
        let length = file.metadata().map_or(0, |there| there.len());
        length > 0 && file.set_len(length.saturating_sub(STEP)).is_ok()
    }

    fn make(&self) -> io::Result<()> {
        let path = self.path();
        let there = path.metadata().map_or(0, |there| there.len().min(there.blocks() * 512));
        let missing = self.bytes.saturating_sub(there);
        if missing == 0 {
            return Ok(());
        }
        let stat = rustix::fs::statvfs(&self.directory)?;
        if stat.f_bavail.saturating_mul(stat.f_frsize) < missing.saturating_add(MARGIN) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        files::make_private(&path)?;
        fill(&path, self.bytes)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn refusal(&self, error: &io::Error) -> SqlError {
        if error.kind() == io::ErrorKind::StorageFull {
            let mib = self.bytes >> 20;
            return SqlError::new(
                Class::Full,
                format!(
                    "the disk has no room left but what `reserve` ({mib} MiB) keeps back for deletions; delete \
                     contents, or make room"
                ),
            );
        }
        SqlError::new(Class::Broken, format!("cannot set {} aside: {error}", self.path().display()))
    }
}

/// Preallocates `bytes` for the file.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let zeros = vec![0; ZEROS];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(ZEROS as u64);
        file.write_all(&zeros[..now as usize])?;
        left -= now;
    }
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_its_room_in_advance_and_gives_it_step_by_step() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(directory.path(), 2 << 20);
        reserve.hold().unwrap();
        let there = directory.path().join(FILE).metadata().unwrap();
        assert!(there.blocks() * 512 >= 2 << 20 && there.mode() & 0o777 == files::PRIVATE);
        assert!(reserve.release());
        // A later run finds the rest.
        let reserve = Reserve::new(directory.path(), 2 << 20);
        assert!(reserve.release() && !reserve.release());
        reserve.hold().unwrap();
        assert!(reserve.release());
    }

    #[test]
    fn a_reserve_that_does_not_fit_says_what_is_missing_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let error = Reserve::new(directory.path(), u64::MAX / 2).hold().unwrap_err();
        assert_eq!(error.class, Class::Full);
        assert!(error.message.contains("`reserve`"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_reserve_is_kept_where_none_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(directory.path(), 0);
        reserve.hold().unwrap();
        assert!(!reserve.release());
    }
}
