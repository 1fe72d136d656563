//! Takes a stream of pieces to a file, in order and from one blocking thread, and makes it durable.
//!
//! Pieces come through a bounded channel, so that the network is never ahead of the disk by more than a few of them.
//! Large streams go past the page cache (O_DIRECT) where the file system can; otherwise write-back is begun early,
//! so that the sync at the end finds little left to do. It never decides what a half-written file is worth.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces that may wait between the network and the disk.
const QUEUE: usize = 8;
/// What one direct write takes to the disk.
const BLOCK: usize = 1 << 20;
/// Alignment of memory, offset and length that every block device accepts for direct writes.
const ALIGN: usize = 4096;
/// What is written before a sync in the background is begun.
const SYNC_EVERY: u64 = 64 << 20;
/// Most pieces that one system call takes.
const BATCH: usize = 16;

/// What the sending side says.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The next bytes.
    Data(Bytes),
    /// That was all. A channel that closes without this is a stream that broke off.
    End,
}

/// A channel to a [`Sink`].
pub(crate) fn channel() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(QUEUE)
}

/// A file that is written from an offset on.
#[derive(Debug)]
pub(crate) struct Sink<'p> {
    file: File,
    direct: Option<Direct>,
    /// Everything before this offset is in the file.
    offset: u64,
    /// Everything before this offset is on the disk.
    durable: &'p AtomicU64,
    sync: Option<(u64, JoinHandle<io::Result<()>>)>,
}

/// The way past the page cache: a second descriptor and one aligned block that is being filled.
#[derive(Debug)]
struct Direct {
    file: File,
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl<'p> Sink<'p> {
    /// Writes to `file` from `offset` on, what is before it being on the disk already. `direct` is the same file
    /// opened with O_DIRECT.
    pub(crate) fn new(file: File, direct: Option<OwnedFd>, offset: u64, durable: &'p AtomicU64) -> Self {
        durable.store(offset, Ordering::Release);
        let direct = direct.map(|file| Direct { file: file.into(), memory: Vec::new(), start: 0, filled: 0 });
        Self { file, direct, offset, durable, sync: None }
    }

    /// Everything before this offset is in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes what comes until the stream ends: true if it ended cleanly, false if it broke off. What came is in the
    /// file either way, and on the disk only after [`Sink::sync`].
    pub(crate) fn drain(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> io::Result<bool> {
        let mut batch = VecDeque::with_capacity(BATCH);
        let ended = loop {
            let ended = match pieces.blocking_recv() {
                Some(Piece::Data(data)) => {
                    batch.push_back(data);
                    None
                }
                Some(Piece::End) => Some(true),
                None => Some(false),
            };
            if let Some(ended) = ended {
                break ended;
            }
            let mut end = None;
            while self.direct.is_none() && end.is_none() && batch.len() < BATCH {
                match pieces.try_recv() {
                    Ok(Piece::Data(data)) => batch.push_back(data),
                    Ok(Piece::End) => end = Some(true),
                    Err(_) => break,
                }
            }
            self.write(&mut batch)?;
            if let Some(ended) = end {
                break ended;
            }
        };
        self.flush()?;
        Ok(ended)
    }

    /// Writes `batch` and empties it.
    pub(crate) fn write(&mut self, batch: &mut VecDeque<Bytes>) -> io::Result<()> {
        if self.direct.is_some() {
            for piece in batch.drain(..) {
                self.write_direct(&piece)?;
            }
        } else {
            self.write_buffered(batch)?;
        }
        self.sync_early()
    }

    fn write_buffered(&mut self, batch: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !batch.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                batch.iter().take(BATCH).map(|piece| IoSlice::new(piece)).collect();
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
        Ok(())
    }

    fn write_direct(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let Some(direct) = &mut self.direct else {
                self.file.write_all_at(data, self.offset)?;
                self.offset += data.len() as u64;
                return Ok(());
            };
            let odd = (self.offset % ALIGN as u64) as usize;
            if direct.filled == 0 && odd != 0 {
                // Up to the next boundary the ordinary way.
                let (head, rest) = data.split_at(data.len().min(ALIGN - odd));
                self.file.write_all_at(head, self.offset)?;
                self.offset += head.len() as u64;
                data = rest;
                continue;
            }
            let (now, rest) = data.split_at(data.len().min(BLOCK - direct.filled));
            direct.push(now);
            data = rest;
            if direct.filled == BLOCK {
                match direct.write(self.offset) {
                    Ok(()) => {
                        self.offset += BLOCK as u64;
                        direct.filled = 0;
                    }
                    // The file system has second thoughts: the ordinary way from here on.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.flush()?,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Writes what is left of a block and goes on the ordinary way.
    fn flush(&mut self) -> io::Result<()> {
        if let Some(direct) = self.direct.take() {
            self.file.write_all_at(direct.block(), self.offset)?;
            self.offset += direct.filled as u64;
        }
        Ok(())
    }

    /// Begins a sync in the background when enough came since the last one, and notes the end of the last one.
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

    /// The result of a sync in the background counts: the kernel reports a failed write-back only once.
    fn await_sync(&mut self) -> io::Result<()> {
        if let Some((upto, running)) = self.sync.take() {
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(running).map_err(io::Error::other)??;
            self.durable.fetch_max(upto, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Cuts off what a failed write may have left behind [`Sink::offset`], and puts all before it on the disk.
    pub(crate) fn sync(mut self) -> io::Result<File> {
        if self.file.metadata()?.len() > self.offset {
            self.file.set_len(self.offset)?;
        }
        self.await_sync()?;
        self.file.sync_all()?;
        self.durable.store(self.offset, Ordering::Release);
        Ok(self.file)
    }
}

impl Direct {
    fn push(&mut self, data: &[u8]) {
        if self.memory.is_empty() {
            self.memory = vec![0; BLOCK + ALIGN];
            self.start = self.memory.as_ptr().align_offset(ALIGN);
        }
        let at = self.start + self.filled;
        self.memory[at..at + data.len()].copy_from_slice(data);
        self.filled += data.len();
    }

    fn block(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.filled]
    }

    fn write(&self, offset: u64) -> io::Result<()> {
        self.file.write_all_at(self.block(), offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
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
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _inside = runtime.enter();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            let mut expected: Vec<u8> = (0..start).map(|i| i as u8).collect();
            std::fs::write(&path, &expected).unwrap();
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let durable = AtomicU64::new(0);
            let direct = past_the_cache.then(|| direct(&path)).flatten();
            let mut sink = Sink::new(file, direct, start as u64, &durable);
            let (send, mut receive) = mpsc::channel(64);
            for (index, size) in sizes.iter().enumerate() {
                let piece: Vec<u8> = (0..*size).map(|i| (i / 7 + index) as u8).collect();
                expected.extend_from_slice(&piece);
                send.try_send(Piece::Data(piece.into())).unwrap();
            }
            send.try_send(Piece::End).unwrap();
            prop_assert!(sink.drain(&mut receive).unwrap());
            prop_assert_eq!(sink.offset(), expected.len() as u64);
            sink.sync().unwrap();
            prop_assert_eq!(durable.load(Ordering::Acquire), expected.len() as u64);
            prop_assert!(std::fs::read(&path).unwrap() == expected);
        }
    }
}
