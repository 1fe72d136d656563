//! The uploaded file as the demuxer sees it: ranged reads of blocks, a small cache and
//! one block of read-ahead. It never holds more than a few blocks, and never writes.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// Random access to the bytes of a source. Calls block.
pub trait Source: Send + Sync + 'static {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// Exactly `length` bytes from `offset`; the range lies within the size.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// A file on the local disk.
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    size: u64,
}

impl FileSource {
    /// Opens `path` for reading.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        use std::os::unix::fs::FileExt;
        let mut buffer = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.freeze())
    }
}

const BLOCK: u64 = 1 << 20;
const BLOCKS_KEPT: usize = 6;

enum Slot {
    Loading,
    Ready(Bytes),
}

#[derive(Default)]
struct Cache {
    // Most recently used last.
    slots: VecDeque<(u64, Slot)>,
    last: Option<u64>,
    failure: Option<String>,
}

/// Blocks of a source, cached and read ahead.
pub(crate) struct Blocks {
    inner: Arc<Inner>,
    ahead: SyncSender<u64>,
}

struct Inner {
    source: Arc<dyn Source>,
    cache: Mutex<Cache>,
    loaded: Condvar,
}

impl Blocks {
    pub(crate) fn new(source: Arc<dyn Source>) -> io::Result<Self> {
        let inner = Arc::new(Inner { source, cache: Mutex::default(), loaded: Condvar::new() });
        let (ahead, wanted) = sync_channel::<u64>(1);
        let reader = Arc::clone(&inner);
        std::thread::Builder::new().name("read-ahead".to_owned()).spawn(move || {
            for block in wanted {
                // A failure occurs again, and is reported, when the block is needed.
                let _ = reader.load(block);
            }
        })?;
        Ok(Self { inner, ahead })
    }

    pub(crate) fn size(&self) -> u64 {
        self.inner.source.size()
    }

    /// The read error, if any.
    pub(crate) fn failure(&self) -> Option<String> {
        self.inner.lock().failure.clone()
    }

    /// The bytes from `offset`, as the parts of the blocks they are in; fewer than `length` at the end of the
    /// source.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<Bytes>> {
        let end = offset.saturating_add(length as u64).min(self.size());
        let mut parts = Vec::new();
        let mut at = offset;
        while at < end {
            let block = at / BLOCK;
            let data = self.inner.load(block)?;
            let from = (at - block * BLOCK) as usize;
            let to = ((end - block * BLOCK).min(BLOCK) as usize).min(data.len());
            if from >= to {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            parts.push(data.slice(from..to));
            at += (to - from) as u64;
            self.read_ahead(block);
        }
        Ok(parts)
    }

    fn read_ahead(&self, block: u64) {
        let mut cache = self.inner.lock();
        let sequential = cache.last.is_some_and(|last| last + 1 == block);
        cache.last = Some(block);
        drop(cache);
        if sequential && (block + 1) * BLOCK < self.size() {
            // A full queue means the reader is busy: the demuxer then reads directly.
            let _ = self.ahead.try_send(block + 1);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, block: u64) -> io::Result<Bytes> {
        let mut cache = self.lock();
        while let Some(at) = cache.slots.iter().position(|(index, _)| *index == block) {
            match &cache.slots[at].1 {
                Slot::Ready(data) => {
                    let data = data.clone();
                    if let Some(slot) = cache.slots.remove(at) {
                        cache.slots.push_back(slot);
                    }
                    return Ok(data);
                }
                Slot::Loading => {
                    cache = self.loaded.wait(cache).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        cache.slots.push_back((block, Slot::Loading));
        while cache.slots.len() > BLOCKS_KEPT {
            match cache.slots.iter().position(|(_, slot)| matches!(slot, Slot::Ready(_))) {
                Some(oldest) => cache.slots.remove(oldest),
                None => break,
            };
        }
        drop(cache);
        let offset = block * BLOCK;
        let length = BLOCK.min(self.source.size().saturating_sub(offset)) as usize;
        let result = self.source.read(offset, length);
        let mut cache = self.lock();
        let at = cache.slots.iter().position(|(index, _)| *index == block);
        match (&result, at) {
            (Ok(data), Some(at)) => cache.slots[at].1 = Slot::Ready(data.clone()),
            (Err(error), at) => {
                cache.failure.get_or_insert_with(|| error.to_string());
                at.map(|at| cache.slots.remove(at));
            }
            (Ok(_), None) => {}
        }
        drop(cache);
        self.loaded.notify_all();
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A file in memory.
    pub(crate) struct Memory(pub(crate) Bytes);

    impl Source for Memory {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
            Ok(self.0.slice(offset as usize..offset as usize + length))
        }
    }

    struct Counted {
        size: u64,
        reads: AtomicUsize,
        broken_after: u64,
    }

    impl Source for Counted {
        fn size(&self) -> u64 {
            self.size
        }

        fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if offset >= self.broken_after {
                return Err(io::Error::other("the disk is gone"));
            }
            Ok((offset..offset + length as u64).map(|at| (at % 251) as u8).collect::<Vec<_>>().into())
        }
    }

    fn blocks(size: u64, broken_after: u64) -> (Blocks, Arc<Counted>) {
        let source = Arc::new(Counted { size, reads: AtomicUsize::new(0), broken_after });
        (Blocks::new(Arc::clone(&source) as Arc<dyn Source>).unwrap(), source)
    }

    fn joined(parts: Vec<Bytes>) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn reads_across_blocks_are_exact_and_end_with_the_source() {
        let (blocks, _) = blocks(3 * BLOCK + 10, u64::MAX);
        for (offset, length) in
            [(0, 5), (BLOCK - 3, 7), (BLOCK + 1, 2 * BLOCK as usize), (3 * BLOCK + 4, 100)]
        {
            let expected: Vec<u8> =
                (offset..(offset + length as u64).min(blocks.size())).map(|at| (at % 251) as u8).collect();
            assert_eq!(joined(blocks.read(offset, length).unwrap()), expected);
        }
        assert!(blocks.read(4 * BLOCK, 5).unwrap().is_empty());
    }

    #[test]
    fn each_block_is_fetched_once_while_it_is_in_use() {
        let (blocks, source) = blocks(4 * BLOCK, u64::MAX);
        for offset in (0..4 * BLOCK).step_by(100_000) {
            blocks.read(offset, 1000).unwrap();
        }
        assert_eq!(source.reads.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_read_error_is_reported_and_remembered() {
        let (blocks, _) = blocks(4 * BLOCK, BLOCK);
        assert!(blocks.read(0, 10).is_ok());
        assert!(blocks.failure().is_none());
        assert!(blocks.read(BLOCK, 10).is_err());
        assert_eq!(blocks.failure().as_deref(), Some("the disk is gone"));
    }
}
