//! How much may still be written without going below `min_free`, across all writers.
//!
//! The file system is the record, and every write claims its bytes here in advance. Between two checks of the
//! file system, claims are subtracted from the last result; near the reserve each claim checks again, so that
//! other writers on the same disk count too. Never waits for anything but `statvfs`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// With less than this left above the reserve, each claim checks the file system.
const NEAR: u64 = 64 << 20;
/// Maximum claims per check: other processes write to the same disk meanwhile.
const LOOK_EVERY: u64 = 16 << 20;

/// Reads a file system's free bytes.
type Probe = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// The file system under the root.
pub(crate) struct Disk {
    probe: Probe,
    min_free: u64,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Free bytes at the last check.
    free: u64,
    /// Claimed since, and by writes in progress then.
    claimed: u64,
    /// Claimed by writes in progress: a check may have seen all of them, some or none.
    under_way: u64,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// Writes are accepted.
    Enough,
    /// Nothing is left above the setting `min_free`.
    Low {
        /// Free bytes.
        free: u64,
        /// The setting.
        min_free: u64,
    },
}

/// Bytes that may be written, until the write ends.
#[derive(Debug)]
pub(crate) struct Claim<'d> {
    disk: &'d Disk,
    bytes: u64,
}

impl Claim<'_> {
    /// The number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.disk.ledger().under_way -= self.bytes;
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("min_free", &self.min_free).finish_non_exhaustive()
    }
}

impl Disk {
    /// The file system that `root` is on. Makes the first check.
    pub(crate) fn new(root: OwnedFd, min_free: u64) -> io::Result<Self> {
        let free = move || {
            let stat = rustix::fs::fstatvfs(&root)?;
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
        };
        Self::probed(Box::new(free), min_free)
    }

    fn probed(probe: Probe, min_free: u64) -> io::Result<Self> {
        let disk = Self { probe, min_free, ledger: Mutex::default() };
        disk.look()?;
        Ok(disk)
    }

    /// Asks the file system.
    pub(crate) fn look(&self) -> io::Result<Room> {
        let mut ledger = self.ledger();
        self.look_into(&mut ledger)?;
        Ok(self.room_in(&ledger))
    }

    /// The last result minus the claims since.
    pub(crate) fn room(&self) -> Room {
        self.room_in(&self.ledger())
    }

    /// Whether the last check is enough to know that `bytes` more fit. Does not wait for `statvfs`.
    pub(crate) fn surely_has_room_for(&self, bytes: u64) -> bool {
        self.left(&self.ledger()) >= NEAR.saturating_add(bytes)
    }

    /// Whether `bytes` more fit above the reserve, without claiming them. Blocks.
    pub(crate) fn has_room_for(&self, bytes: u64) -> io::Result<bool> {
        let mut ledger = self.ledger();
        self.look_into(&mut ledger)?;
        let free = ledger.free.saturating_sub(ledger.claimed);
        Ok(free >= self.min_free.saturating_add(bytes))
    }

    /// Claims `bytes`, or as many as fit above the reserve, for one write. Blocks.
    ///
    /// # Errors
    /// `StorageFull` if none fit; the file system's error if it cannot be checked.
    pub(crate) fn claim(&self, bytes: usize) -> io::Result<Claim<'_>> {
        let bytes = bytes as u64;
        let mut ledger = self.ledger();
        self.freshen(&mut ledger, bytes)?;
        let granted = bytes.min(self.left(&ledger));
        if granted == 0 && bytes > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        ledger.claimed += granted;
        ledger.under_way += granted;
        Ok(Claim { disk: self, bytes: granted })
    }

    /// Checks when the last result may not be relied on for `bytes` more.
    fn freshen(&self, ledger: &mut Ledger, bytes: u64) -> io::Result<()> {
        let near = self.left(ledger) < NEAR.saturating_add(bytes);
        if near || ledger.claimed >= LOOK_EVERY { self.look_into(ledger) } else { Ok(()) }
    }

    fn look_into(&self, ledger: &mut Ledger) -> io::Result<()> {
        ledger.free = (self.probe)()?;
        ledger.claimed = ledger.under_way;
        Ok(())
    }

    fn left(&self, ledger: &Ledger) -> u64 {
        ledger.free.saturating_sub(ledger.claimed).saturating_sub(self.min_free)
    }

    fn room_in(&self, ledger: &Ledger) -> Room {
        let free = ledger.free.saturating_sub(ledger.claimed);
        if free < self.min_free { Room::Low { free, min_free: self.min_free } } else { Room::Enough }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const MIB: u64 = 1 << 20;

    /// A fake disk, whose free bytes the test sets.
    fn disk(free: u64, min_free: u64) -> (Arc<AtomicU64>, Disk) {
        let free = Arc::new(AtomicU64::new(free));
        let probed = free.clone();
        (free, Disk::probed(Box::new(move || Ok(probed.load(Ordering::SeqCst))), min_free).unwrap())
    }

    #[test]
    fn what_is_claimed_between_two_looks_never_reaches_into_the_reserve() {
        // The file system shows no writes, as if all of them happened between two checks.
        let (_, disk) = disk(300 * MIB, 256 * MIB);
        let mut claims = Vec::new();
        while let Ok(claim) = disk.claim(MIB as usize) {
            claims.push(claim);
        }
        assert_eq!(claims.iter().map(|claim| claim.bytes() as u64).sum::<u64>(), 44 * MIB);
        assert_eq!(disk.claim(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_last_write_is_granted_what_is_left_of_the_room() {
        let (_, disk) = disk(257 * MIB, 256 * MIB);
        assert_eq!(disk.claim(3 * MIB as usize).unwrap().bytes() as u64, MIB);
    }

    #[test]
    fn what_others_write_counts_and_what_they_remove_is_room_at_once() {
        let (free, disk) = disk(4096 * MIB, 256 * MIB);
        // Far from the reserve a check every so many bytes is enough.
        free.store(200 * MIB, Ordering::SeqCst);
        let mut granted = 0;
        while let Ok(claim) = disk.claim(MIB as usize) {
            granted += claim.bytes() as u64;
        }
        assert!(granted <= LOOK_EVERY, "{granted} bytes on the word of one look");
        assert!(!disk.has_room_for(0).unwrap());
        free.store(300 * MIB, Ordering::SeqCst);
        assert!(disk.has_room_for(44 * MIB).unwrap());
        assert!(disk.claim(MIB as usize).is_ok());
    }

    #[test]
    fn a_write_that_is_over_counts_no_longer_than_until_the_next_look() {
        let (free, disk) = disk(258 * MIB, 256 * MIB);
        for left in [257, 256] {
            let claim = disk.claim(MIB as usize).unwrap();
            free.store(left * MIB, Ordering::SeqCst);
            drop(claim);
        }
        assert!(disk.claim(1).is_err());
        free.store(257 * MIB, Ordering::SeqCst);
        assert_eq!(disk.claim(2 * MIB as usize).unwrap().bytes() as u64, MIB);
    }

    #[test]
    fn writers_at_the_same_moment_share_the_room_without_overdrawing_it() {
        let (free, disk) = disk(320 * MIB, 256 * MIB);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Ok(claim) = disk.claim(300_000) {
                        free.fetch_sub(claim.bytes() as u64, Ordering::SeqCst);
                        drop(claim);
                    }
                });
            }
        });
        assert_eq!(free.load(Ordering::SeqCst), 256 * MIB);
    }
}
