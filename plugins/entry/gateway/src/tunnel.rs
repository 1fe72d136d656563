//! One open WebSocket: passes bytes both ways between a client and a plugin, as fast as the slower end of each direction
//! takes them, until one of them ends it or its time is over. It says to the client why, between two frames.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::BodyExt as _;
use streamgate_plugin_api::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::websocket::{Close, Frames, PING};

/// What is read of a client at once.
const READ: usize = 16 << 10;
/// How long the last bytes of one end are waited for once the other one has ended.
const LINGER: Duration = Duration::from_secs(1);

/// How long a client may do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Silent, before it is asked for a sign of life; and then again, before it counts as gone.
    pub(crate) ping: Duration,
    /// Take nothing of what it is sent.
    pub(crate) write: Duration,
}

/// What a client's bytes are put into, and the body in which a plugin finds them.
pub(crate) fn channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, mut pieces) = mpsc::channel(1);
    let pieces = stream::poll_fn(move |cx| pieces.poll_recv(cx)).map(Ok::<_, std::convert::Infallible>);
    (sender, Body::from_stream(pieces))
}

/// A WebSocket that a plugin has taken up.
pub(crate) struct Tunnel {
    pub(crate) to_plugin: mpsc::Sender<Bytes>,
    pub(crate) from_plugin: Body,
    /// Comes when neither end is to go on.
    pub(crate) ended: BoxFuture<'static, Close>,
    pub(crate) pace: Pace,
}

impl Tunnel {
    /// Passes bytes until it ends. `first` was read from the client already.
    pub(crate) async fn run(self, io: impl AsyncRead + AsyncWrite, first: Bytes) {
        let Self { to_plugin, from_plugin, ended, pace } = self;
        let (mut reader, mut writer) = tokio::io::split(io);
        let heard = Heard::new();
        let mut down = Down { body: from_plugin, frames: Frames::default(), writing: false, pace };
        let close = {
            let mut up = pin!(up(&mut reader, to_plugin, first, &heard));
            let mut down = pin!(down.run(&mut writer, &heard));
            tokio::select! {
                biased;
                close = &mut down => close,
                () = &mut up => timeout(LINGER, down).await.unwrap_or(None),
                close = ended => Some(close),
            }
        };
        let may_close = down.frames.is_between() && !down.writing;
        // The plugin hears of it now.
        drop(down);
        let last = async {
            if let Some(close) = close.filter(|_| may_close) {
                writer.write_all(&close.frame()).await?;
            }
            writer.shutdown().await?;
            // Closing with bytes unread would reset the connection before the client has read why.
            let mut sink = [0; 1 << 10];
            while reader.read(&mut sink).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _ = timeout(LINGER, last).await;
    }
}

/// When something came from the client last.
struct Heard {
    began: Instant,
    /// In milliseconds since it began.
    last: AtomicU64,
}

/// The plugin has to take what came before more is read.
const WAITS_FOR_THE_PLUGIN: u64 = u64::MAX;

impl Heard {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// From the client to the plugin.
async fn up(
    reader: &mut (impl AsyncRead + Unpin),
    to_plugin: mpsc::Sender<Bytes>,
    first: Bytes,
    heard: &Heard,
) {
    let mut buffer = BytesMut::new();
    let mut piece = first;
    loop {
        if !piece.is_empty() {
            heard.last.store(WAITS_FOR_THE_PLUGIN, Relaxed);
            // What a plugin does not want is thrown away: it may still have something to say.
            let _ = to_plugin.send(piece).await;
            heard.last.store(heard.now(), Relaxed);
        }
        if buffer.capacity() < READ / 4 {
            buffer.reserve(READ);
        }
        if !reader.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            return;
        }
        piece = buffer.split().freeze();
    }
}

/// From the plugin to the client.
struct Down {
    body: Body,
    frames: Frames,
    /// Some bytes of a piece were written, and some were not.
    writing: bool,
    pace: Pace,
}

impl Down {
    /// Answers what is left to say to the client.
    async fn run(&mut self, writer: &mut (impl AsyncWrite + Unpin), heard: &Heard) -> Option<Close> {
        let mut look = Instant::now() + self.pace.ping;
        let mut pinged = None;
        loop {
            match timeout_at(look, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.frames.pass(&data);
                    self.write(writer, data).await?;
                }
                Ok(None) => return (!self.frames.is_closed()).then_some(Close::GoingAway),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a plugin's WebSocket broke off");
                    return (!self.frames.is_closed()).then_some(Close::Internal);
                }
                Err(_) => {
                    let last = heard.last.load(Relaxed);
                    if pinged.is_some_and(|pinged| last < pinged) {
                        return None;
                    }
                    let silent = Duration::from_millis(heard.now().saturating_sub(last));
                    let left = self.pace.ping.saturating_sub(silent);
                    look = Instant::now() + if left.is_zero() { self.pace.ping } else { left };
                    pinged = None;
                    if left.is_zero() && self.frames.is_between() {
                        pinged = Some(heard.now());
                        self.write(writer, Bytes::from_static(PING)).await?;
                    }
                }
            }
        }
    }

    /// None: the client is gone, or takes nothing.
    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin), mut data: Bytes) -> Option<()> {
        self.writing = true;
        while data.has_remaining() {
            let written = timeout(self.pace.write, writer.write_buf(&mut data)).await;
            written.ok()?.ok().filter(|written| *written > 0)?;
        }
        self.writing = false;
        Some(())
    }
}
