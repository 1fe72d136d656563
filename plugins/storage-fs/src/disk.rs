//! How much room the disk has, and whether writes are still taken. Never waits for anything but `statvfs`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file system under the root.
#[derive(Debug)]
pub(crate) struct Disk {
    root: OwnedFd,
    min_free: u64,
    /// Free bytes at the last look, less what was written since is not known: a look is taken every few seconds.
    free: AtomicU64,
}

/// What a look at the disk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// Writes are taken.
    Enough,
    /// Less than the setting `min_free` is left.
    Low {
        /// Free bytes.
        free: u64,
        /// The setting.
        min_free: u64,
    },
}

impl Disk {
    /// Takes the first look.
    pub(crate) fn new(root: OwnedFd, min_free: u64) -> io::Result<Self> {
        let disk = Self { root, min_free, free: AtomicU64::new(0) };
        disk.look()?;
        Ok(disk)
    }

    /// Asks the file system.
    pub(crate) fn look(&self) -> io::Result<Room> {
        let stat = rustix::fs::fstatvfs(&self.root)?;
        self.free.store(stat.f_bavail.saturating_mul(stat.f_frsize), Ordering::Relaxed);
        Ok(self.room())
    }

    /// What the last look found.
    pub(crate) fn room(&self) -> Room {
        let free = self.free.load(Ordering::Relaxed);
        if free < self.min_free { Room::Low { free, min_free: self.min_free } } else { Room::Enough }
    }

    /// Whether `bytes` more fit without going below `min_free`, as far as the last look knows.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.free.load(Ordering::Relaxed) >= self.min_free.saturating_add(bytes)
    }

    /// A write met a full disk: refuse others until the next look.
    pub(crate) fn is_full(&self) {
        self.free.store(0, Ordering::Relaxed);
    }
}
