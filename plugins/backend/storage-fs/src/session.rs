//! Append sessions (after the IETF draft on resumable uploads): files that grow over several requests, even across
//! crashes, and become objects in one step.
//!
//! One request writes a session at a time. A newcomer asks the one before it to end, which it does with all that came
//! to it: a client that lost its connection need not wait until the old one is noticed to be dead. The file of a
//! session is locked (`flock`) while it is written or removed, since a run that another one has replaced finishes its
//! requests beside it.

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

/// How long a newcomer waits for the request before it to put on the disk what came.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a session that another run writes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Announced bodies below this size are written the ordinary way.
const DIRECT_MIN: u64 = 1 << 20;

/// The append sessions of a root.
#[derive(Debug)]
pub(crate) struct Sessions {
    tree: Tree,
    /// The directory that is locked for this process while it is open.
    _lock: Tree,
    direct: bool,
    /// Memory of the streams that go past the page cache.
    pub(crate) blocks: Blocks,
    slots: Slots<Slot>,
}

/// What the requests for one session share.
#[derive(Debug, Default)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    signal: Arc<Signal>,
    /// What is on the disk of a session that is being written.
    durable: AtomicU64,
}

/// How those who wait reach the one who writes.
#[derive(Debug, Default)]
struct Signal {
    waiting: AtomicUsize,
    interrupt: Notify,
}

/// The right to write a session, until dropped.
pub(crate) struct Turn {
    // Given up before the slot may be forgotten.
    _guard: OwnedMutexGuard<()>,
    slot: slots::Slot<Slot>,
}

/// A session that was asked to be appended to.
#[derive(Debug)]
pub(crate) struct Append {
    /// Where the body goes.
    pub(crate) offset: u64,
    /// The bytes of the body, if announced.
    pub(crate) length: Option<u64>,
    /// Whether the object is whole after this body.
    pub(crate) complete: bool,
}

/// A session that is ready to be written.
#[derive(Debug)]
pub(crate) struct Begun {
    file: File,
    direct: Option<OwnedFd>,
}

impl Begun {
    /// Whether it takes blocks.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }
}

/// What became of an append.
#[derive(Debug)]
pub(crate) struct Appended {
    /// All before this is on the disk.
    pub(crate) offset: u64,
    /// The object, once it is whole.
    pub(crate) object: Option<Version>,
}

/// Asks a writing request to end.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Signal>);

impl Interrupt {
    /// Comes when somebody waits for the turn.
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
    /// What is asked of the holder of this turn.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt(self.slot.signal.clone())
    }
}

impl Sessions {
    /// Sessions in `tree`. `lock` is kept open as long as they are.
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

    /// How much of the session is on the disk. Blocks.
    pub(crate) fn offset(&self, name: &Name) -> Result<u64, Error> {
        let slot = self.slots.get(name.path());
        let Ok(_turn) = slot.turn.clone().try_lock_owned() else {
            return Ok(slot.durable.load(Ordering::Acquire));
        };
        let file = self.open(name)?;
        // Another run may be writing it: what is there before the sync is on the disk after it.
        let there = file.metadata().map_err(Error::Io)?.len();
        // Bytes may be there that nobody put on the disk for sure, after a crash.
        file.sync_all().map_err(Error::Io)?;
        Ok(there)
    }

    /// Opens a session by `open`, and locks it once no other run writes it. Blocks.
    fn locked(&self, name: &Name, open: impl Fn() -> Result<File, Error>) -> Result<File, Error> {
        let began = Instant::now();
        loop {
            let file = open()?;
            let locked = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => true,
                Err(Errno::WOULDBLOCK) => false,
                Err(error) => return Err(Error::Io(error.into())),
            };
            // Whoever had it may have made it an object, or removed it.
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

    /// Gets the session ready for bytes at `append.offset`: makes it at 0, and cuts off what is beyond. Blocks.
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

    /// Writes the body that comes as `pieces` and, if asked, makes the session an object. Blocks.
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
        // Nobody is to be waited for while the disk works.
        drop(pieces);
        let offset = sink.offset();
        if let Err(error) = sink.sync() {
            // What the disk refused is not there, whatever the page cache says.
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
                return Err(Error::Aborted { reason: "the sender gave up".into(), offset: Some(offset) });
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

    /// Drops the session. Blocks. True if there was one.
    pub(crate) fn remove(&self, _: &Turn, name: &Name) -> Result<bool, Error> {
        let _locked = match self.locked(name, || self.open(name)) {
            Err(Error::NoSession(_)) => return Ok(false),
            found => found?,
        };
        self.tree.remove(name.path()).map_err(|error| Error::of(error, name.path()))
    }
}

/// Counts a request that waits for its turn, and tells the one that has it.
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
