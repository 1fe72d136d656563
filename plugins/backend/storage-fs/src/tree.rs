//! A directory tree that names resolve below, and never outside: the only module that opens paths.
//!
//! Every path is resolved by the kernel relative to a directory that was opened once, with symbolic links
//! refused in every component, so that neither a hostile key nor a link planted on the disk leaves the tree.
//! What this module reports as done is durable: it fsyncs each directory whose entries it changed. All of it
//! blocks; call it from blocking threads (`open_cached` alone never waits for a disk).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use streamgate_plugin_api::failpoint;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
/// Maximum directories remembered as durable; beyond it the memory starts over.
const KNOWN_DIRECTORIES: usize = 16 * 1024;
/// How often a directory is created again after another run removed it because it was empty.
const TRIES: usize = 8;

/// A tree of files below one directory.
#[derive(Debug)]
pub(crate) struct Tree {
    base: OwnedFd,
    /// Directories whose own entry is known to be on disk.
    durable: Mutex<HashSet<String>>,
    /// Held for reading while entries are created, for writing while empty directories are removed, so that a
    /// directory is never removed between its creation and its first entry.
    structure: RwLock<()>,
}

/// One entry found by [`Tree::walk`].
#[derive(Debug)]
pub(crate) struct Entry {
    /// Path below the walked directory.
    pub(crate) path: String,
    /// `None` for a directory.
    pub(crate) stat: Option<rustix::fs::Stat>,
}

impl Tree {
    /// Opens `path` as a tree; creates the directory, durably, if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        streamgate_plugin_api::dirs::make_durable(path)?;
        // The root itself may be a link created by the operator.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    fn new(base: OwnedFd) -> Self {
        Self { base, durable: Mutex::default(), structure: RwLock::default() }
    }

    /// The tree below the directory `name` of this one, created if it is missing.
    pub(crate) fn subtree(&self, name: &str) -> io::Result<Self> {
        let base = open_or_make(&self.base, name)?;
        rustix::fs::fsync(&self.base)?;
        Ok(Self::new(base))
    }

    /// The directory at the top.
    pub(crate) fn base(&self) -> &OwnedFd {
        &self.base
    }

    /// Opens the file at `path`; flags are added to close-on-exec and no-wait-for-pipes.
    pub(crate) fn file(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        match rustix::fs::openat2(&self.base, path, flags, Mode::empty(), BENEATH) {
            Err(Errno::NOSYS) => {
                let (parent, name) = self.parent(path)?;
                Ok(rustix::fs::openat(&parent, name, flags, Mode::empty())?)
            }
            done => Ok(done?),
        }
    }

    /// Whether something exists at `path`.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat2(&self.base, path, flags, Mode::empty(), BENEATH) {
            Err(Errno::NOSYS) => self.parent(path).is_ok_and(|(parent, name)| {
                rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
            }),
            found => found.is_ok(),
        }
    }

    /// Opens the file at `path` for reading if the kernel can do so without waiting for a disk.
    /// `None`: open it from a blocking thread instead.
    pub(crate) fn open_cached(&self, path: &str) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat2(&self.base, path, flags, Mode::empty(), BENEATH | ResolveFlags::CACHED).ok()
    }

    /// Opens the file at `path` for writing, and creates it and its directories if they are missing. The
    /// second value tells whether it was created; its entry is durable only after [`Tree::sync_entry`].
    pub(crate) fn open_or_create(&self, path: &str) -> io::Result<(OwnedFd, bool)> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let _making = self.structure.read().unwrap_or_else(PoisonError::into_inner);
        in_a_directory(|| {
            let (parent, name) = self.make_parent(path)?;
            match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {}
                done => return Ok((done?, false)),
            }
            let made = rustix::fs::openat(&parent, name, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR)?;
            Ok((made, true))
        })
    }

    /// Moves the file `name` of the directory `from` to `path`, replacing an existing file unless `keep`;
    /// durable on return. With `keep`, an existing file is the error `AlreadyExists`.
    pub(crate) fn adopt(&self, from: impl AsFd, name: &OsStr, path: &str, keep: bool) -> io::Result<()> {
        {
            let _making = self.structure.read().unwrap_or_else(PoisonError::into_inner);
            let flags = if keep { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
            in_a_directory(|| {
                let (parent, to) = self.make_parent(path)?;
                Ok(rustix::fs::renameat_with(&from, name, &parent, to, flags)?)
            })?;
        }
        failpoint("storage-fs.renamed");
        self.sync_entry(path)?;
        failpoint("storage-fs.entry-synced");
        Ok(())
    }

    /// Removes the file at `path` and the directories that become empty; durable on return. False if there
    /// was none.
    pub(crate) fn remove(&self, path: &str) -> io::Result<bool> {
        let removed = self.unlink(path)?;
        if removed {
            self.sync_removal(path)?;
        }
        Ok(removed)
    }

    /// Removes the file at `path` without making it durable: [`Tree::sync_removal`] once for many of a directory.
    pub(crate) fn unlink(&self, path: &str) -> io::Result<bool> {
        let (parent, name) = match self.parent(path) {
            Err(error) if absent(&error) => return Ok(false),
            found => found?,
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes removals in the directory of `path` durable, and removes it and those above while they are
    /// empty.
    pub(crate) fn sync_removal(&self, path: &str) -> io::Result<()> {
        match self.parent(path) {
            Ok((parent, _)) => rustix::fs::fsync(&parent)?,
            Err(error) if absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        let _removing = self.structure.write().unwrap_or_else(PoisonError::into_inner);
        let mut directory = path;
        while let Some((above, _)) = directory.rsplit_once('/') {
            directory = above;
            let Ok((parent, name)) = self.parent(directory) else { break };
            if rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).is_err() {
                break;
            }
            self.known().remove(directory);
        }
        Ok(())
    }

    /// Makes the entry of `path` durable: its directory, and every directory above whose entry may not be
    /// durable yet.
    pub(crate) fn sync_entry(&self, path: &str) -> io::Result<()> {
        let mut directory = path;
        let mut fresh = Vec::new();
        let mut first = true;
        loop {
            let (above, _) = directory.rsplit_once('/').unwrap_or(("", directory));
            if first || !self.known().contains(directory) {
                match above {
                    "" => rustix::fs::fsync(&self.base)?,
                    above => match self.directory(above) {
                        Ok(directory) => rustix::fs::fsync(&directory)?,
                        // Removed concurrently: nothing is left to be made durable.
                        Err(error) if absent(&error) => return Ok(()),
                        Err(error) => return Err(error),
                    },
                }
                if !first {
                    fresh.push(directory.to_owned());
                }
            }
            if above.is_empty() {
                break;
            }
            (directory, first) = (above, false);
        }
        if !fresh.is_empty() {
            // Only what still exists: a directory removed meanwhile must not be remembered.
            let _still = self.structure.read().unwrap_or_else(PoisonError::into_inner);
            fresh.retain(|directory| self.directory(directory).is_ok());
            let mut known = self.known();
            if known.len() + fresh.len() > KNOWN_DIRECTORIES {
                known.clear();
            }
            known.extend(fresh);
        }
        Ok(())
    }

    /// Calls `visit` for the files below `bucket` in byte order of their paths (relative to it), those after
    /// `after` whose path begins with `prefix`, until it returns false. With `shallow`, directories after the
    /// prefix are visited themselves, as `name/`, not their content.
    pub(crate) fn walk(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        shallow: bool,
        visit: &mut dyn FnMut(Entry) -> bool,
    ) -> io::Result<()> {
        // A directory named by the prefix is entered directly: it may have many siblings.
        let plain =
            |name: &str| !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains('\0');
        let begin = prefix.rsplit_once('/').map(|(begin, _)| begin);
        let begin = begin.filter(|begin| begin.split('/').all(plain));
        let mut at = begin.map(|begin| format!("{begin}/")).unwrap_or_default();
        match self.directory(format!("{bucket}/{at}").trim_end_matches('/')) {
            Ok(directory) => walk(directory, &mut at, (prefix, after, shallow), visit).map(drop),
            // Links are not part of the tree.
            Err(error) if absent(&error) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes all files directly in this tree's top directory, and all empty directories below it: the
    /// leftovers of a crash.
    pub(crate) fn tidy(&self, files: bool) -> io::Result<u64> {
        tidy(&self.base, files)
    }

    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        match rustix::fs::openat2(&self.base, path, DIR, Mode::empty(), BENEATH) {
            Err(Errno::NOSYS) => {
                let mut directory = None;
                for name in path.split('/') {
                    let above = directory.as_ref().unwrap_or(&self.base);
                    directory = Some(rustix::fs::openat(above, name, DIR, Mode::empty())?);
                }
                directory.ok_or_else(|| Errno::NOENT.into())
            }
            done => Ok(done?),
        }
    }

    /// The directory of `path` and its last name.
    pub(crate) fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        match path.rsplit_once('/') {
            Some((directory, name)) => Ok((self.directory(directory)?, name)),
            None => Ok((self.base.try_clone()?, path)),
        }
    }

    fn make_parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let (directories, name) = path.rsplit_once('/').expect("the top of the tree is always there");
        // If another run removed known directories, their entries have to be made durable again.
        let mut known = self.known();
        path.match_indices('/').for_each(|(end, _)| _ = known.remove(&path[..end]));
        drop(known);
        let mut directory = self.base.try_clone()?;
        for name in directories.split('/') {
            directory = open_or_make(&directory, name)?;
        }
        Ok((directory, name))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates an entry in a directory, again if another run removed the directory before it had one.
fn in_a_directory<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    make()
}

/// Whether `error` means that nothing exists at a path (including a file in the place of a directory).
pub(crate) fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn open_or_make(directory: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::openat(directory, name, DIR, Mode::empty()) {
        Err(Errno::NOENT) => {}
        done => return Ok(done?),
    }
    match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::openat(directory, name, DIR, Mode::empty())?)
}

fn tidy(directory: &OwnedFd, files: bool) -> io::Result<u64> {
    let mut removed = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::openat(directory, name, DIR, Mode::empty()) {
            Ok(below) => {
                removed += tidy(&below, false)?;
                // Refused while it is not empty.
                let _ = rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
            }
            Err(_) if files => {
                rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
                removed += 1;
            }
            Err(_) => {}
        }
    }
    Ok(removed)
}

/// Depth first with directories sorted as `name/`, which is the byte order of whole paths.
fn walk(
    directory: OwnedFd,
    at: &mut String,
    (prefix, after, shallow): (&str, &str, bool),
    visit: &mut dyn FnMut(Entry) -> bool,
) -> io::Result<bool> {
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if matches!(name, "." | "..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        match kind {
            FileType::RegularFile => names.push(name.to_owned()),
            FileType::Directory => names.push(format!("{name}/")),
            _ => {}
        }
    }
    names.sort_unstable();
    let length = at.len();
    for name in names {
        at.truncate(length);
        at.push_str(&name);
        let wanted = if name.ends_with('/') {
            // Nothing below can match unless one is a prefix of the other; everything below sorts by this
            // prefix.
            (at.starts_with(prefix) || prefix.starts_with(at.as_str()))
                && (at.as_str() > after || (!shallow && after.starts_with(at.as_str())))
        } else {
            at.starts_with(prefix) && at.as_str() > after
        };
        if !wanted {
            continue;
        }
        let go_on = if shallow && name.ends_with('/') && at.starts_with(prefix) {
            visit(Entry { path: at.clone(), stat: None })
        } else if let Some(name) = name.strip_suffix('/') {
            match rustix::fs::openat(&directory, name, DIR, Mode::empty()) {
                Ok(below) => walk(below, at, (prefix, after, shallow), visit)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
                Err(error) => return Err(error.into()),
            }
        } else {
            match rustix::fs::statat(
                &directory,
                OsStr::from_bytes(name.as_bytes()),
                AtFlags::SYMLINK_NOFOLLOW,
            ) {
                Ok(stat) => visit(Entry { path: at.clone(), stat: Some(stat) }),
                Err(Errno::NOENT) => true,
                Err(error) => return Err(error.into()),
            }
        };
        if !go_on {
            return Ok(false);
        }
    }
    at.truncate(length);
    Ok(true)
}
