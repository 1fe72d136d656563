//! Whole objects: written atomically, read, listed, deleted. Everything here blocks, except for cache
//! lookups.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::disk::Disk;
use crate::error::Error;
use crate::fence::{Fence, Fences};
use crate::key::Name;
use crate::sink::{Piece, Sink};
use crate::stream::read_exactly;
use crate::tree::{Tree, absent};

/// Objects up to this size are read whole and kept in memory while they are in demand.
pub(crate) const SMALL: u64 = 2 << 20;

/// The identity of a file's bytes: they change only with one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    inode: u64,
    size: u64,
    modified_ns: u64,
}

impl Version {
    /// For a regular file; `None` for anything else.
    pub(crate) fn of(stat: &Stat) -> Option<Self> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let modified_ns = seconds.wrapping_mul(1_000_000_000).wrapping_add(stat.st_mtime_nsec);
        Some(Self { inode: stat.st_ino, size: u64::try_from(stat.st_size).unwrap_or(0), modified_ns })
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Milliseconds since 1970.
    pub(crate) fn modified_ms(&self) -> u64 {
        self.modified_ns / 1_000_000
    }

    /// A strong entity tag (RFC 9110 §8.8.3), with its quotes.
    pub(crate) fn etag(&self) -> String {
        format!("\"{:x}-{:x}-{:x}\"", self.inode, self.size, self.modified_ns)
    }
}

/// An object that is open for reading.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) file: File,
    pub(crate) version: Version,
}

/// The conditions for storing an object.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// An existing object stays.
    pub(crate) keep: bool,
    /// No larger fence below the directory.
    pub(crate) fence: Option<Fence>,
}

/// One line of a listing.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) key: String,
    size: u64,
    etag: String,
    modified_ms: u64,
}

/// A page of a listing.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Listed>,
    /// Common prefixes of keys up to a `/` after the prefix, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) prefixes: Vec<String>,
    /// Where the next page begins, `null` after the last.
    pub(crate) next: Option<String>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Version, Bytes> for ByBytes {
    fn weight(&self, _: &Version, data: &Bytes) -> u64 {
        data.len() as u64 + 128
    }
}

/// The objects of a root.
#[derive(Debug)]
pub(crate) struct Objects {
    tree: Tree,
    temporary: OwnedFd,
    fences: Fences,
    /// Prefix of this run's temporary files: another run may have some beside them.
    run: String,
    next_temporary: AtomicU64,
    disk: Arc<Disk>,
    cache: Option<quick_cache::sync::Cache<Version, Bytes, ByBytes>>,
}

impl Objects {
    /// Objects in `tree`; temporary files are in the directory `temporary` of the same file system, `disk`.
    pub(crate) fn new(tree: Tree, temporary: OwnedFd, fences: Fences, disk: Arc<Disk>, cache: u64) -> Self {
        // One entry per 64 KiB is only a first guess; the cache grows its tables as needed.
        let entries = (cache / (64 << 10)).max(16) as usize;
        let cache = (cache > 0).then(|| quick_cache::sync::Cache::with_weighter(entries, cache, ByBytes));
        let run = format!("{:x}-", crate::now_ns());
        Self { tree, temporary, fences, run, next_temporary: AtomicU64::new(0), disk, cache }
    }

    /// The space that all their bytes are claimed from, including unfinished ones.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn fences(&self) -> &Fences {
        &self.fences
    }

    /// Opens an object without waiting for a disk, if possible.
    pub(crate) fn open_cached(&self, name: &Name) -> Option<Object> {
        opened(self.tree.open_cached(name.path())?).ok().flatten()
    }

    /// Opens an object.
    pub(crate) fn open(&self, name: &Name) -> Result<Object, Error> {
        let missing = || Error::NoObject(name.path().into());
        match self.tree.file(name.path(), OFlags::RDONLY) {
            Ok(file) => opened(file).map_err(Error::Io)?.ok_or_else(missing),
            Err(error) if absent(&error) => Err(missing()),
            Err(error) => Err(Error::of(error, name.path())),
        }
    }

    /// The whole of a small object, if it is in memory.
    pub(crate) fn in_memory(&self, version: &Version) -> Option<Bytes> {
        self.cache.as_ref()?.get(version)
    }

    /// The whole of a small object, from disk into memory.
    pub(crate) fn read_whole(&self, object: &Object) -> io::Result<Bytes> {
        let data = read_exactly(&object.file, 0, object.version.size as usize)?;
        // Checked again after reading, so that a concurrently changed file is not cached.
        if let Some(cache) = &self.cache
            && Version::of(&rustix::fs::fstat(&object.file)?) == Some(object.version)
        {
            cache.insert(object.version, data.clone());
        }
        Ok(data)
    }

    /// Whether small objects are kept in memory.
    pub(crate) fn remembers(&self) -> bool {
        self.cache.is_some()
    }

    /// Stores an object from memory. True if there was none before.
    pub(crate) fn put(
        &self,
        name: &Name,
        data: VecDeque<Bytes>,
        terms: &Terms,
    ) -> Result<(Version, bool), Error> {
        self.write(name, terms, |sink| {
            let mut data = data;
            sink.write(&mut data).map(|()| None)
        })
    }

    /// Stores an object from a stream, which must end cleanly and have `length` bytes, if given.
    pub(crate) fn put_stream(
        &self,
        name: &Name,
        mut pieces: mpsc::Receiver<Piece>,
        length: Option<u64>,
        terms: &Terms,
    ) -> Result<(Version, bool), Error> {
        self.write(name, terms, |sink| {
            let ended = sink.drain(&mut pieces)?;
            let whole = length.is_none_or(|length| length == sink.offset());
            let reason = match (ended, whole) {
                (true, true) => return Ok(None),
                (false, _) => "the sender disconnected".to_owned(),
                (true, false) => format!("it has {} bytes, not the announced length", sink.offset()),
            };
            Ok(Some(Error::Aborted { reason, offset: None }))
        })
    }

    fn write(
        &self,
        name: &Name,
        terms: &Terms,
        fill: impl FnOnce(&mut Sink<'_>) -> io::Result<Option<Error>>,
    ) -> Result<(Version, bool), Error> {
        let failed = |error| Error::of(error, name.path());
        let existed = self.tree.exists(name.path());
        if terms.keep && existed {
            return Err(Error::Exists(name.path().into()));
        }
        let (file, mut temporary) = self.temporary().map_err(failed)?;
        let durable = AtomicU64::new(0);
        let mut sink = Sink::new(&self.disk, file, None, 0, &durable);
        if let Some(error) = fill(&mut sink).map_err(failed)? {
            return Err(error);
        }
        let file = sink.sync().map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        let version = Version::of(&stat).ok_or_else(|| Error::Io(io::ErrorKind::InvalidData.into()))?;
        let _passed = terms.fence.as_ref().map(|fence| self.fences.pass(fence)).transpose()?;
        self.tree.adopt(&self.temporary, &temporary.name, name.path(), terms.keep).map_err(failed)?;
        temporary.moved = true;
        Ok((version, !existed))
    }

    fn temporary(&self) -> io::Result<(File, Temporary<'_>)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{}{number}", self.run));
            match rustix::fs::openat(&self.temporary, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let temporary = Temporary { directory: &self.temporary, name, moved: false };
                    return Ok((file.into(), temporary));
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Up to `limit` files of `bucket` in `tree`, as the storage contract lists them.
pub(crate) fn list(
    tree: &Tree,
    bucket: &str,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Listing, Error> {
    list_as(tree, bucket, prefix, after, limit, false)
}

/// The same; with `delimited`, keys with a `/` after the prefix are listed once, by their beginning up to it.
pub(crate) fn list_as(
    tree: &Tree,
    bucket: &str,
    prefix: &str,
    after: &str,
    limit: usize,
    delimited: bool,
) -> Result<Listing, Error> {
    let mut objects: Vec<Listed> = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let (mut next, mut last) = (None, String::new());
    let walked = tree.walk(bucket, prefix, after, delimited, &mut |entry| {
        let version = match &entry.stat {
            None => None,
            Some(stat) => match Version::of(stat) {
                None => return true,
                version => version,
            },
        };
        if objects.len() + prefixes.len() == limit {
            next = Some(last.clone());
            return false;
        }
        last.clone_from(&entry.path);
        let Some(version) = version else {
            prefixes.push(entry.path);
            return true;
        };
        objects.push(Listed {
            key: entry.path,
            size: version.size,
            etag: version.etag(),
            modified_ms: version.modified_ms(),
        });
        true
    });
    walked.map_err(|error| Error::of(error, bucket))?;
    Ok(Listing { objects, prefixes, next })
}

/// Deletes all files of `bucket` in `tree` that begin with `prefix`; durable on return.
pub(crate) fn delete_below(tree: &Tree, bucket: &str, prefix: &str) -> Result<u64, Error> {
    let mut deleted = 0;
    loop {
        let page = list(tree, bucket, prefix, "", 1000)?;
        let mut directory: Option<String> = None;
        for object in &page.objects {
            let path = format!("{bucket}/{}", object.key);
            let failed = |error| Error::of(error, &path);
            deleted += u64::from(tree.unlink(&path).map_err(failed)?);
            // Keys come in order, so a directory is finished when another one begins.
            let above = path.rsplit_once('/').map(|(above, _)| above);
            if let Some(last) =
                directory.take_if(|last| last.rsplit_once('/').map(|(above, _)| above) != above)
            {
                tree.sync_removal(&last).map_err(failed)?;
            }
            directory = Some(path);
        }
        if let Some(last) = directory {
            tree.sync_removal(&last).map_err(|error| Error::of(error, bucket))?;
        }
        if page.next.is_none() {
            return Ok(deleted);
        }
    }
}

fn opened(file: OwnedFd) -> io::Result<Option<Object>> {
    let version = Version::of(&rustix::fs::fstat(&file)?);
    Ok(version.map(|version| Object { file: file.into(), version }))
}

/// A temporary file, removed unless it was moved to its place.
struct Temporary<'t> {
    directory: &'t OwnedFd,
    name: OsString,
    moved: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.moved {
            let _ = rustix::fs::unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}
