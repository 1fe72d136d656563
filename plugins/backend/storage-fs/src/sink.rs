//! Writes a stream of pieces to a file, in order and from one blocking thread, and makes it durable.
//!
//! Pieces come through a bounded channel, so the network is never ahead of the disk by more than a few of
//! them. Large streams bypass the page cache (O_DIRECT) where the file system supports it, in aligned blocks
//! that are filled where the bytes arrive and are still in the processor's cache; otherwise write-back begins
//! early, so that the final sync has little left to do. It never decides what happens to an incomplete file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use streamgate_plugin_api::failpoint;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::block::{ALIGN, Filled};
use crate::disk::Disk;

/// Pieces that may wait between the network and the disk.
const QUEUE: usize = 8;
/// Below this size, bypassing the page cache does not pay.
const DIRECT_MIN: usize = 64 << 10;
/// Bytes written before a background sync begins.
const SYNC_EVERY: u64 = 64 << 20;
/// Maximum pieces of one system call.
const BATCH: usize = 16;

/// A message of the sending side.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// The next bytes, collected for a direct write.
    Block(Filled),
    /// The end. A channel that closes without this is an interrupted stream.
    End,
}

/// A channel to a [`Sink`].
pub(crate) fn channel() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(QUEUE)
}

/// A file that is written from an offset on.
#[derive(Debug)]
pub(crate) struct Sink<'p> {
    disk: &'p Disk,
    file: File,
    /// The same file past the page cache.
    direct: Option<File>,
    /// Everything before this offset is in the file.
    offset: u64,
    /// Everything before this offset is on disk.
    durable: &'p AtomicU64,
    sync: Option<(u64, JoinHandle<io::Result<()>>)>,
}

impl<'p> Sink<'p> {
    /// Writes to `file` from `offset` on; everything before is already on disk. `direct` is the same file
    /// opened with O_DIRECT, for blocks. Every byte is first claimed from `disk`.
    pub(crate) fn new(
        disk: &'p Disk,
        file: File,
        direct: Option<OwnedFd>,
        offset: u64,
        durable: &'p AtomicU64,
    ) -> Self {
        durable.store(offset, Ordering::Release);
        Self { disk, file, direct: direct.map(Into::into), offset, durable, sync: None }
    }

    /// Everything before this offset is in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes what arrives until the stream ends: true if it ended cleanly, false if it was interrupted. The
    /// received bytes are in the file either way, and on disk only after [`Sink::sync`].
    pub(crate) fn drain(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> io::Result<bool> {
        let mut batch = VecDeque::with_capacity(BATCH);
        let mut next = pieces.blocking_recv();
        loop {
            match next {
                None => return Ok(false),
                Some(Piece::End) => return Ok(true),
                Some(Piece::Block(filled)) => {
                    self.write_block(filled.bytes())?;
                    self.sync_early()?;
                    drop(filled);
                    next = pieces.blocking_recv();
                }
                Some(Piece::Data(data)) => {
                    batch.push_back(data);
                    // Pieces that are already waiting go into the same system call.
                    let other = loop {
                        match pieces.try_recv() {
                            Ok(Piece::Data(data)) if batch.len() < BATCH => batch.push_back(data),
                            Ok(other) => break Some(other),
                            Err(_) => break None,
                        }
                    };
                    self.write(&mut batch)?;
                    next = match other {
                        Some(other) => Some(other),
                        None => pieces.blocking_recv(),
                    };
                }
            }
        }
    }

    /// Writes `batch` and empties it; if not all fits on the disk, as much as does.
    pub(crate) fn write(&mut self, batch: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !batch.is_empty() {
            let claim = self.disk.claim(batch.iter().take(BATCH).map(Bytes::len).sum())?;
            let mut room = claim.bytes();
            let fitting = batch.iter().take(BATCH).map(|piece| {
                let fits = piece.len().min(room);
                room -= fits;
                IoSlice::new(&piece[..fits])
            });
            let slices: Vec<IoSlice<'_>> = fitting.collect();
            let mut written = match rustix::io::pwritev(&self.file, &slices, self.offset) {
                Err(rustix::io::Errno::INTR) => continue,
                done => done?,
            };
            if written == 0 && batch.iter().any(|piece| !piece.is_empty()) {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.offset += written as u64;
            while let Some(first) = batch.front_mut() {
                if first.len() > written {
                    bytes::Buf::advance(first, written);
                    break;
                }
                written -= first.len();
                batch.pop_front();
            }
        }
        self.sync_early()
    }

    /// Writes an aligned block: as much as possible past the page cache, the rest through it. If not all fits
    /// on the disk, as much as does.
    fn write_block(&mut self, block: &[u8]) -> io::Result<()> {
        let claim = self.disk.claim(block.len())?;
        let (block, beyond) = block.split_at(claim.bytes());
        let whole = block.len() - block.len() % ALIGN;
        let mut rest = block;
        if let Some(direct) = &self.direct
            && whole >= DIRECT_MIN
            && self.offset.is_multiple_of(ALIGN as u64)
        {
            match direct.write_all_at(&block[..whole], self.offset) {
                Ok(()) => {
                    self.offset += whole as u64;
                    rest = &block[whole..];
                }
                // The file system refuses direct writes after all: through the page cache from here on.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                Err(error) => return Err(error),
            }
        }
        self.file.write_all_at(rest, self.offset)?;
        self.offset += rest.len() as u64;
        if beyond.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    /// Begins a background sync when enough arrived since the last one, and records the end of the last one.
    fn sync_early(&mut self) -> io::Result<()> {
        if self.sync.as_ref().is_some_and(|(_, running)| running.is_finished()) {
            self.await_sync()?;
        }
        let on_disk = self.durable.load(Ordering::Acquire);
        if self.sync.is_none() && self.offset.saturating_sub(on_disk) >= SYNC_EVERY {
            let file = self.file.try_clone()?;
            let upto = self.offset;
            self.sync = Some((upto, tokio::task::spawn_blocking(move || file.sync_data())));
        }
        Ok(())
    }

    /// The result of a background sync counts: the kernel reports a failed write-back only once.
    fn await_sync(&mut self) -> io::Result<()> {
        if let Some((upto, running)) = self.sync.take() {
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(running).map_err(io::Error::other)??;
            self.durable.fetch_max(upto, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Truncates what a failed write may have left after [`Sink::offset`], and syncs everything before it.
    pub(crate) fn sync(mut self) -> io::Result<File> {
        failpoint("storage-fs.written");
        if self.file.metadata()?.len() > self.offset {
            self.file.set_len(self.offset)?;
        }
        self.await_sync()?;
        self.file.sync_all()?;
        failpoint("storage-fs.synced");
        self.durable.store(self.offset, Ordering::Release);
        Ok(self.file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::block::{Blocks, Gather};
    use proptest::prelude::*;
    use std::os::unix::fs::OpenOptionsExt;

    fn direct(path: &std::path::Path) -> Option<OwnedFd> {
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path).ok().map(Into::into)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_pieces_at_any_offset_arrive_whole_and_in_order(
            start in prop_oneof![Just(0usize), 1usize..10_000],
            sizes in prop::collection::vec(prop_oneof![0usize..5000, 100_000usize..700_000], 0..10),
            past_the_cache in any::<bool>(),
            ends in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            let mut expected: Vec<u8> = (0..start).map(|i| i as u8).collect();
            std::fs::write(&path, &expected).unwrap();
            let pieces: Vec<Bytes> = sizes
                .iter()
                .enumerate()
                .map(|(index, size)| (0..*size).map(|i| (i / 7 + index) as u8).collect::<Vec<_>>().into())
                .collect();
            expected.extend(pieces.iter().flatten());
            let (send, mut receive) = channel();
            runtime.spawn(async move {
                let blocks = Blocks::default();
                let mut gather = Gather::new(&blocks, send.clone(), start as u64);
                for piece in pieces {
                    if past_the_cache {
                        gather.put(&piece).await.unwrap();
                    } else {
                        send.send(Piece::Data(piece)).await.unwrap();
                    }
                }
                if ends {
                    gather.flush().unwrap();
                    send.send(Piece::End).await.unwrap();
                }
            });
            let _inside = runtime.enter();
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let durable = AtomicU64::new(0);
            let disk = Disk::new(std::fs::File::open(directory.path()).unwrap().into(), 0).unwrap();
            let mut sink = Sink::new(&disk, file, past_the_cache.then(|| direct(&path)).flatten(), start as u64, &durable);
            prop_assert_eq!(sink.drain(&mut receive).unwrap(), ends);
            prop_assert_eq!(sink.offset(), expected.len() as u64);
            sink.sync().unwrap();
            prop_assert_eq!(durable.load(Ordering::Acquire), expected.len() as u64);
            prop_assert!(std::fs::read(&path).unwrap() == expected);
        }
    }
}
