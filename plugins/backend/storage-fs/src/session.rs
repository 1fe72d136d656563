//! Append sessions (after the IETF draft on resumable uploads): files that grow over several requests, even
//! across crashes, and become objects in one step.
//!
//! One request writes a session at a time. A new one asks its predecessor to end, which it does with
//! everything it has received: a client that lost its connection need not wait until the old one times out.
//! The file of a session is locked (`flock`) while it is written or removed, because a replaced run finishes
//! its requests beside the new one.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use streamgate_plugin_api::failpoint;
use streamgate_plugin_api::slots::{self, Slots};
use tokio::sync::{Notify, OwnedMutexGuard, mpsc};

use crate::block::Blocks;
use crate::error::Error;
use crate::key::Name;
use crate::object::{Objects, Version};
use crate::sink::{Piece, Sink};
use crate::tree::{Tree, absent};

/// How long a new request waits for its predecessor to put its bytes on disk.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a session that another run writes is checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Bodies announced as smaller than this are written through the page cache.
const DIRECT_MIN: u64 = 1 << 20;

/// The append sessions of a root.
#[derive(Debug)]
pub(crate) struct Sessions {
    tree: Tree,
    /// The directory that is locked for this process while it is open.
    _lock: Tree,
    direct: bool,
    /// Memory of the streams that bypass the page cache.
    pub(crate) blocks: Blocks,
    slots: Slots<Slot>,
}

/// Shared by the requests for one session.
#[derive(Debug, Default)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    signal: Arc<Signal>,
    /// How much of a session is on disk while it is written.
    durable: AtomicU64,
}

/// How waiting requests reach the writing one.
#[derive(Debug, Default)]
struct Signal {
    waiting: AtomicUsize,
    interrupt: Notify,
}

/// The right to write a session, until dropped.
pub(crate) struct Turn {
    // Released before the slot may be removed.
    _guard: OwnedMutexGuard<()>,
    slot: slots::Slot<Slot>,
}

/// A request to append to a session.
#[derive(Debug)]
pub(crate) struct Append {
    /// Where the body goes.
    pub(crate) offset: u64,
    /// The bytes of the body, if announced.
    pub(crate) length: Option<u64>,
    /// Whether the object is complete after this body.
    pub(crate) complete: bool,
}

/// A session that is ready to be written.
#[derive(Debug)]
pub(crate) struct Begun {
    file: File,
    direct: Option<OwnedFd>,
}

impl Begun {
    /// Whether it accepts blocks.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }
}

/// The result of an append.
#[derive(Debug)]
pub(crate) struct Appended {
    /// Everything before this is on disk.
    pub(crate) offset: u64,
    /// The object, once it is complete.
    pub(crate) object: Option<Version>,
}

/// Asks a writing request to end.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Signal>);

impl Interrupt {
    /// Resolves when another request waits for the turn.
    pub(crate) async fn asked(&self) {
        loop {
            let notified = self.0.interrupt.notified();
            if self.0.waiting.load(Ordering::Acquire) > 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Turn {
    /// Requests to the holder of this turn.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt(self.slot.signal.clone())
    }
}

impl Sessions {
    /// Sessions in `tree`. `lock` is kept open as long as they live.
    pub(crate) fn new(tree: Tree, lock: Tree, direct: bool) -> Self {
        Self { tree, _lock: lock, direct, blocks: Blocks::default(), slots: Slots::default() }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The turn to write the session `name`, once the request that has it ended.
    pub(crate) async fn turn(&self, name: &Name) -> Result<Turn, Error> {
        let slot = self.slots.get(name.path());
        let turn = slot.turn.clone();
        let guard = match turn.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => {
                let _waiting = Waiting::new(&slot.signal);
                match tokio::time::timeout(PATIENCE, turn.lock_owned()).await {
                    Ok(guard) => guard,
                    Err(_) => return Err(Error::Busy(name.path().into())),
                }
            }
        };
        Ok(Turn { _guard: guard, slot })
    }

    /// How much of the session is on disk. Blocks.
    pub(crate) fn offset(&self, name: &Name) -> Result<u64, Error> {
        let slot = self.slots.get(name.path());
        let Ok(_turn) = slot.turn.clone().try_lock_owned() else {
            return Ok(slot.durable.load(Ordering::Acquire));
        };
        let file = self.open(name)?;
        // Another run may be writing it: everything present before the sync is on disk after it.
        let there = file.metadata().map_err(Error::Io)?.len();
        // After a crash there may be bytes that were never synced.
        file.sync_all().map_err(Error::Io)?;
        Ok(there)
    }

    /// Opens a session with `open`, and locks it once no other run writes it. Blocks.
    fn locked(&self, name: &Name, open: impl Fn() -> Result<File, Error>) -> Result<File, Error> {
        let began = Instant::now();
        loop {
            let file = open()?;
            let locked = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => true,
                Err(Errno::WOULDBLOCK) => false,
                Err(error) => return Err(Error::Io(error.into())),
            };
            // The previous holder may have made it an object, or removed it.
            if locked && self.is_at(name, &file)? {
                return Ok(file);
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Busy(name.path().into()));
            }
            if !locked {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn is_at(&self, name: &Name, file: &File) -> Result<bool, Error> {
        let there = match self.open(name) {
            Err(Error::NoSession(_)) => return Ok(false),
            found => found?.metadata().map_err(Error::Io)?,
        };
        let own = file.metadata().map_err(Error::Io)?;
        Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
    }

    fn open(&self, name: &Name) -> Result<File, Error> {
        match self.tree.file(name.path(), OFlags::RDWR) {
            Ok(file) => Ok(file.into()),
            Err(error) if absent(&error) => Err(Error::NoSession(name.path().into())),
            Err(error) => Err(Error::of(error, name.path())),
        }
    }

    /// Prepares the session for bytes at `append.offset`: creates it at 0, and truncates what is beyond.
    /// Blocks.
    pub(crate) fn begin(&self, _: &Turn, name: &Name, append: &Append) -> Result<Begun, Error> {
        let failed = |error| Error::of(error, name.path());
        let file = if append.offset == 0 {
            self.locked(name, || {
                let (file, made) = self.tree.open_or_create(name.path()).map_err(failed)?;
                if made {
                    failpoint("storage-fs.session-made");
                    self.tree.sync_entry(name.path()).map_err(failed)?;
                }
                Ok(file.into())
            })?
        } else {
            match self.locked(name, || self.open(name)) {
                Err(Error::NoSession(_)) => return Err(Error::Gap { have: 0, asked: append.offset }),
                found => found?,
            }
        };
        let have = file.metadata().map_err(failed)?.len();
        if append.offset > have {
            return Err(Error::Gap { have, asked: append.offset });
        }
        if append.offset < have {
            file.set_len(append.offset).map_err(failed)?;
        }
        let large = append.length.is_none_or(|length| length >= DIRECT_MIN);
        let direct = (self.direct && large)
            .then(|| self.tree.file(name.path(), OFlags::WRONLY | OFlags::DIRECT).ok())
            .flatten();
        Ok(Begun { file, direct })
    }

    /// Writes the body that arrives as `pieces` and, if requested, makes the session an object. Blocks.
    pub(crate) fn append(
        &self,
        turn: &Turn,
        objects: &Objects,
        name: &Name,
        begun: Begun,
        append: &Append,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<Appended, Error> {
        let durable = &turn.slot.durable;
        let Begun { file, direct } = begun;
        let keeper = file.try_clone().map_err(Error::Io)?;
        let mut sink = Sink::new(objects.disk(), file, direct, append.offset, durable);
        let drained = sink.drain(&mut pieces);
        // The disk's work must not wait for another request.
        drop(pieces);
        let offset = sink.offset();
        if let Err(error) = sink.sync() {
            // What the disk refused is lost, whatever the page cache shows.
            let _ = keeper.set_len(durable.load(Ordering::Acquire));
            return Err(Error::of(error, name.path()));
        }
        let whole = append.length.is_none_or(|length| offset - append.offset == length);
        match drained {
            Ok(true) if whole => {}
            Ok(true) => {
                let reason = "it is shorter or longer than announced".into();
                return Err(Error::Aborted { reason, offset: Some(offset) });
            }
            Ok(false) => {
                return Err(Error::Aborted {
                    reason: "the sender disconnected".into(),
                    offset: Some(offset),
                });
            }
            Err(error) => {
                return Err(match Error::of(error, name.path()) {
                    Error::Full { .. } => Error::Full { offset: Some(offset) },
                    other => other,
                });
            }
        }
        let object = if append.complete { Some(self.publish(objects, name, &keeper)?) } else { None };
        Ok(Appended { offset, object })
    }

    fn publish(&self, objects: &Objects, name: &Name, file: &File) -> Result<Version, Error> {
        let failed = |error| Error::of(error, name.path());
        let stat = rustix::fs::fstat(file).map_err(|error| failed(error.into()))?;
        let version = Version::of(&stat).ok_or_else(|| Error::NoSession(name.path().into()))?;
        let (directory, last) = self.tree.parent(name.path()).map_err(failed)?;
        objects.tree().adopt(&directory, last.as_ref(), name.path(), false).map_err(failed)?;
        self.tree.sync_removal(name.path()).map_err(failed)?;
        Ok(version)
    }

    /// Removes the session. Blocks. True if there was one.
    pub(crate) fn remove(&self, _: &Turn, name: &Name) -> Result<bool, Error> {
        let _locked = match self.locked(name, || self.open(name)) {
            Err(Error::NoSession(_)) => return Ok(false),
            found => found?,
        };
        self.tree.remove(name.path()).map_err(|error| Error::of(error, name.path()))
    }
}

/// Counts a request that waits for its turn, and notifies the one that has it.
struct Waiting<'s>(&'s Signal);

impl<'s> Waiting<'s> {
    fn new(signal: &'s Signal) -> Self {
        signal.waiting.fetch_add(1, Ordering::AcqRel);
        signal.interrupt.notify_waiters();
        Self(signal)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
