//! Aligned memory blocks for writes past the page cache, filled where the bytes arrive. It knows nothing of
//! files.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::sink::Piece;

/// Alignment of memory, offset and length that every block device accepts for direct writes.
pub(crate) const ALIGN: usize = 4096;
/// The size of one direct write.
const BLOCK: usize = 1 << 20;
/// Blocks of one stream: one is filled, one waits, one is written.
const PER_STREAM: usize = 3;
/// Blocks that are kept for later streams.
const KEPT: usize = 6;

/// Memory for blocks, shared by all streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks {
    free: Arc<Mutex<Vec<Block>>>,
}

#[derive(Debug)]
struct Block {
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Blocks {
    fn take(&self) -> Block {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| {
            let memory = vec![0; BLOCK + ALIGN];
            let start = memory.as_ptr().align_offset(ALIGN);
            Block { memory, start, filled: 0 }
        })
    }

    fn give(&self, memory: Vec<u8>, start: usize) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(Block { memory, start, filled: 0 });
        }
    }
}

/// A block with content; its memory is returned on drop.
#[derive(Debug)]
pub(crate) struct Filled {
    block: Block,
    blocks: Blocks,
    _permit: OwnedSemaphorePermit,
}

impl Filled {
    /// The bytes, at an aligned address.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block.memory[self.block.start..self.block.start + self.block.filled]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.blocks.give(std::mem::take(&mut self.block.memory), self.block.start);
    }
}

/// The other side of a stream is gone; it knows the reason.
#[derive(Debug)]
pub(crate) struct Gone;

/// Collects the pieces of one stream into blocks. On drop the collected bytes are sent: a caller that
/// disconnects in the middle of a block loses nothing.
#[derive(Debug)]
pub(crate) struct Gather {
    blocks: Blocks,
    send: mpsc::Sender<Piece>,
    permits: Arc<Semaphore>,
    current: Option<Filled>,
    /// Where the next block ends: the first one may only reach the next aligned offset.
    room: usize,
}

impl Gather {
    /// Collects for a file that is written from `offset` on. At most [`PER_STREAM`] blocks are in transit, so
    /// that the channel, which holds more, always has room for one.
    pub(crate) fn new(blocks: &Blocks, send: mpsc::Sender<Piece>, offset: u64) -> Self {
        let odd = (offset % ALIGN as u64) as usize;
        let room = if odd == 0 { BLOCK } else { ALIGN - odd };
        let permits = Arc::new(Semaphore::new(PER_STREAM));
        Self { blocks: blocks.clone(), send, permits, current: None, room }
    }

    /// Adds `data`; waits for the disk when it is behind.
    pub(crate) async fn put(&mut self, mut data: &[u8]) -> Result<(), Gone> {
        while !data.is_empty() {
            if self.current.is_none() {
                let permit = self.permits.clone().acquire_owned().await.map_err(|_| Gone)?;
                self.current =
                    Some(Filled { block: self.blocks.take(), blocks: self.blocks.clone(), _permit: permit });
            }
            let Some(Filled { block, .. }) = &mut self.current else { continue };
            let (now, rest) = data.split_at(data.len().min(self.room - block.filled));
            let at = block.start + block.filled;
            block.memory[at..at + now.len()].copy_from_slice(now);
            block.filled += now.len();
            data = rest;
            if block.filled == self.room {
                self.flush()?;
                self.room = BLOCK;
            }
        }
        Ok(())
    }

    /// Sends the collected bytes.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        match self.current.take() {
            Some(filled) => self.send.try_send(Piece::Block(filled)).map_err(|_| Gone),
            None => Ok(()),
        }
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
