//! A part of a file as a response body: read in large pieces on blocking threads, at most one piece ahead of
//! the network.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

/// The size of one blocking read.
const PIECE: u64 = 512 * 1024;

/// Reads `length` bytes at `offset` in one go.
pub(crate) fn read_exactly(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut data = Vec::with_capacity(length);
    while data.len() < length {
        let at = offset + data.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut data), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    data.truncate(length);
    Ok(data.into())
}

/// The body.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    /// What is left to send.
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// The bytes from `at` to `end`, exclusive.
    pub(crate) fn new(file: File, at: u64, end: u64) -> Self {
        let mut body = Self { file: Arc::new(file), at, end, reading: None };
        body.read_on(at);
        body
    }

    fn read_on(&mut self, at: u64) {
        let length = (self.end - at).min(PIECE) as usize;
        if length > 0 {
            let file = self.file.clone();
            self.reading = Some(tokio::task::spawn_blocking(move || read_exactly(&file, at, length)));
        }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let data = read.map_err(io::Error::other).flatten()?;
        self.at += data.len() as u64;
        let at = self.at;
        self.read_on(at);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}
