//! Exclusive use of a root: only the runs of one plugin share it, so that a swap need not wait.
//!
//! Each run holds the root's directory of unfinished work with a shared `flock`; the file `owner` in it names
//! the plugin. A run without others takes the lock exclusively, removes what a crash left, writes its name,
//! and shares the lock from then on. Locks end with their process, however that ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::tree::Tree;

/// How long a start waits for another user of the root to leave.
const HANDOVER: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const FILE: &str = "owner";
/// Longer owners are not ours.
const LONGEST: usize = 256;

/// The plugin whose runs may share a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner(String);

impl Owner {
    /// The plugin with this data directory. The kernel locks it, so there is only one.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Self> {
        let stat = data_dir.metadata()?;
        Ok(Self(format!("{:x}:{:x}", stat.dev(), stat.ino())))
    }

    /// An owner that shares with no other.
    pub(crate) fn alone() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(format!("process {process} {number} {:x}", crate::now_ns()))
    }
}

/// Locks the directory for `owner`, as long as it stays open; `false`: it has another owner. `first` runs if
/// it has none, before any other user can lock it. Blocks.
pub(crate) fn take(directory: &Tree, owner: &Owner, first: impl Fn() -> io::Result<()>) -> io::Result<bool> {
    let lock = |operation| match rustix::fs::flock(directory.base(), operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(io::Error::from(error)),
    };
    let began = Instant::now();
    loop {
        if lock(FlockOperation::NonBlockingLockExclusive)? {
            write(directory.base(), owner)?;
            first()?;
        }
        // Between an exclusive lock and a shared one another user may have come: then it is theirs.
        if lock(FlockOperation::NonBlockingLockShared)? {
            if read(directory.base())? == *owner {
                return Ok(true);
            }
            lock(FlockOperation::Unlock)?;
        }
        if began.elapsed() > HANDOVER {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn write(directory: &OwnedFd, owner: &Owner) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory, FILE, flags, Mode::RUSR | Mode::WUSR)?;
    io::Write::write_all(&mut std::fs::File::from(file), owner.0.as_bytes())
}

fn read(directory: &OwnedFd) -> io::Result<Owner> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match rustix::fs::openat(directory, FILE, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT) => return Ok(Owner(String::new())),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST as u64), &mut text)?;
    Ok(Owner(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_owner_share_a_root_and_only_the_first_clears_it() {
        let root = tempfile::tempdir().unwrap();
        let (mine, cleared) = (Owner::of(root.path()).unwrap(), AtomicU64::new(0));
        let tree = || Tree::open(root.path()).unwrap();
        let first = || {
            cleared.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let (old, new) = (tree(), tree());
        assert!(take(&old, &mine, first).unwrap() && take(&new, &mine, first).unwrap());
        assert_eq!(cleared.load(Ordering::SeqCst), 1);
        drop(old);
        // The new one still has it.
        let stranger = tree();
        assert!(!take(&stranger, &Owner::alone(), first).unwrap());
        drop(new);
        assert!(take(&stranger, &Owner::alone(), first).unwrap());
        assert_eq!(cleared.load(Ordering::SeqCst), 2);
    }
}
