//! Who may use a root: the runs of one plugin side by side, so that a swap waits for nobody, and
//! nobody else.
//!
//! Each holds the root's directory of unfinished work with a shared `flock`; the file `owner` in it
//! says whose. Only who is there alone takes it exclusively, clears away what a crash left, says who
//! it is, and shares it from then on. Locks go with their process, however that ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::tree::Tree;

/// How long a start waits for another user of the root to go.
const HANDOVER: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const FILE: &str = "owner";
/// Longer owners are none of ours.
const LONGEST: usize = 256;

/// Whose runs may share a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner(String);

impl Owner {
    /// The plugin that has this data directory. The kernel locks it, so there is one.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Self> {
        let stat = data_dir.metadata()?;
        Ok(Self(format!("{:x}:{:x}", stat.dev(), stat.ino())))
    }

    /// One that shares with nobody.
    pub(crate) fn alone() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(format!("process {process} {number} {:x}", crate::now_ns()))
    }
}

/// Locks the directory for `owner`, as long as it stays open; `false`: somebody else has it. `first`
/// runs if nobody has it, before anybody else can. Blocks.
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
        // Between an exclusive lock and a shared one somebody else may have come: then it is theirs.
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
        // The new one has it still.
        let stranger = tree();
        assert!(!take(&stranger, &Owner::alone(), first).unwrap());
        drop(new);
        assert!(take(&stranger, &Owner::alone(), first).unwrap());
        assert_eq!(cleared.load(Ordering::SeqCst), 2);
    }
}
