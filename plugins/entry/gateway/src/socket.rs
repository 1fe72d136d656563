//! One connection's socket: reports traffic to its watch, limits how much of a response the system buffers,
//! and knows whether the client has closed its sending side. Never decides when the connection ends.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::frames::Frames;
use crate::watch::Watch;

/// Bytes that the system may hold unsent (TCP_NOTSENT_LOWAT). It accepts more once half of them are sent, and
/// only then shows that a client reads: without a limit it holds megabytes, and a client that reads 25 kB per
/// second would seem to read nothing for a minute.
const UNSENT: u32 = 128 << 10;
/// The same for a client that reads at once: waking for each 64 KiB would cost throughput.
const UNSENT_TO_BRISK: u32 = 1 << 20;
/// A client that makes room sooner is fast.
const BRISK: Duration = Duration::from_millis(250);
/// A client that takes longer is no longer fast.
const SLOW: Duration = Duration::from_secs(1);

/// A socket that can be inspected while hyper owns it. Only one task ever locks it.
#[derive(Debug, Clone)]
pub(crate) struct Socket(Arc<Mutex<TcpStream>>);

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(tcp)))
    }

    fn lock(&self) -> MutexGuard<'_, TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has closed its sending side. It may still read: the system does not distinguish a
    /// client that is gone from one that only has nothing more to send.
    pub(crate) fn is_half_closed(&self) -> bool {
        let tcp = self.lock();
        let mut readiness = pin!(tcp.ready(Interest::READABLE));
        let polled = readiness.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// The socket, if it is not shared any more.
    pub(crate) fn into_inner(self) -> Option<TcpStream> {
        Some(Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The socket, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: Socket,
    watch: Arc<Watch>,
    /// Of HTTP/2.
    frames: Option<Frames>,
    unsent: u32,
}

impl Watched {
    /// For an HTTP/1.1 connection: whole responses go to the system at once until the client turns out to be
    /// slow.
    pub(crate) fn new(socket: Socket, watch: Arc<Watch>) -> Self {
        Self { socket, watch, frames: None, unsent: UNSENT_TO_BRISK }.bounded()
    }

    /// For an HTTP/2 connection, whose frames are counted. Each of its streams has a clock, and waits behind
    /// what the system holds for the others.
    pub(crate) fn with_frames(socket: Socket, watch: Arc<Watch>) -> Self {
        Self { socket, watch, frames: Some(Frames::new()), unsent: UNSENT }.bounded()
    }

    fn bounded(self) -> Self {
        // Where the system does not support it, slow clients are only noticed later.
        let _ = SockRef::from(&*self.socket.lock()).set_tcp_notsent_lowat(self.unsent);
        self
    }

    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut tcp = self.socket.lock();
        if self.watch.is_refused() {
            ready!(tcp.poll_write_ready(cx))?;
            let unsent = match self.watch.has_room() {
                waited if waited < BRISK => UNSENT_TO_BRISK,
                waited if waited > SLOW => UNSENT,
                _ => self.unsent,
            };
            if unsent != self.unsent {
                let _ = SockRef::from(&*tcp).set_tcp_notsent_lowat(unsent);
                self.unsent = unsent;
            }
        }
        let written = write(Pin::new(&mut *tcp), cx);
        match &written {
            Poll::Ready(written) => {
                let bytes = *written.as_ref().unwrap_or(&0);
                self.watch.was_written(bytes, self.frames.is_some());
                if let Some(frames) = &mut self.frames {
                    frames.sent(bytes);
                }
            }
            Poll::Pending => self.watch.was_refused(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.is_flooded() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut *this.socket.lock()).poll_read(cx, buf);
        if polled.is_ready() && buf.filled().len() > before {
            this.watch.was_read();
            if let Some(frames) = &mut this.frames
                && !frames.received(&buf.filled()[before..])
            {
                // Nothing more is read. The connection checks the flag and closes.
                this.watch.was_flooded();
                buf.set_filled(before);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.lock()).poll_shutdown(cx)
    }
}
