//! One connection from its first byte to its last: HTTP/1.1 or HTTP/2, recognized by the client's first
//! bytes; watched by one lazy timer; closed cleanly when the gateway stops.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use streamgate_plugin_api::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::body::{Content, ResponseBody};
use crate::gateway::{Gateway, busy, slow};
use crate::head::Peer;
use crate::socket::{Socket, Watched};
use crate::streams::{MAX_STREAMS, Streams};
use crate::tunnel::Tunnel;
use crate::turns::Turns;
use crate::watch::{InFlight, Patience, Verdict, Watch};

/// How a client of HTTP/2 with prior knowledge begins (RFC 9113 §3.4). No method of HTTP/1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The bytes of the preface that are enough to recognize it.
const TELLING: usize = 4;
/// How long remaining bytes of a client are read and discarded, so that it can read our last answer first.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection without a request is kept when the gateway stops: a request already on its way is
/// answered with `Connection: close`, while closing at once would cut it off.
const FAREWELL: Duration = Duration::from_millis(250);
/// Receive windows of one stream and of one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How connections are served.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    max_header_bytes: u32,
    patience: Patience,
}

impl Protocols {
    pub(crate) fn new(patience: Patience, max_header_bytes: usize) -> Self {
        let mut http1 = http1::Builder::new();
        // With `half_close`, a client that has closed its sending side still gets its answers. Heads larger
        // than the ones refused here with a reason are refused by hyper without one. `pipeline_flush` stays
        // off: it lifts hyper's bound on responses queued for a client that does not read.
        http1.half_close(true).header_read_timeout(None).max_header_size(2 * max_header_bytes).writev(true);
        Self { http1, max_header_bytes: max_header_bytes as u32, patience }
    }

    fn http2(&self, streams: Streams) -> http2::Builder<Streams> {
        let mut http2 = http2::Builder::new(streams);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(20)))
            // A PING waits behind what a slow client has not read yet.
            .keep_alive_timeout(2 * self.patience.write)
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(2 * self.max_header_bytes)
            .max_send_buf_size(1 << 20)
            .max_frame_size(64 << 10)
            .enable_connect_protocol();
        http2
    }

    /// Serves `tcp` until it ends, or `stop` comes and all requests are answered.
    pub(crate) async fn serve(
        &self,
        tcp: TcpStream,
        peer: Peer,
        gateway: Arc<Gateway>,
        turns: Turns,
        stop: CancellationToken,
    ) {
        let watch = Arc::new(Watch::new());
        let told = tokio::select! {
            biased;
            told = timeout(self.patience.header, is_http2(&tcp)) => told,
            () = farewell(&stop) => return,
        };
        let switched = Switched::default();
        let serve =
            Serve { gateway, peer: Arc::new(peer), watch: watch.clone(), turns, streams: None, switched };
        match told {
            Ok(Some(true)) => self.serve_http2(tcp, serve, stop).await,
            Ok(Some(false)) => self.serve_http1(tcp, serve, stop).await,
            Ok(None) | Err(_) => {}
        }
    }

    async fn serve_http1(&self, tcp: TcpStream, serve: Serve, stop: CancellationToken) {
        let (watch, gateway) = (serve.watch.clone(), serve.gateway.clone());
        let switched = serve.switched.clone();
        let socket = Socket::new(tcp);
        let io = TokioIo::new(Watched::new(socket.clone(), watch.clone()));
        let mut connection = self.http1.serve_connection(io, serve);
        let end = {
            let mut stopped = pin!(stop.cancelled());
            let mut left = pin!(farewell(&stop));
            let (mut told, mut stopping) = (false, false);
            let mut timer = pin!(sleep(self.patience.header.min(self.patience.write)));
            // Bytes written when the response in progress was last checked.
            let mut looked = None;
            poll_fn(|cx| {
                if connection.poll_without_shutdown(cx).is_ready() {
                    return Poll::Ready(None);
                }
                // Polled once to wake this task, and then only when the flag is set: it is checked after
                // every request.
                if !stopping && (!told || gateway.stopping.has_begun()) {
                    told = true;
                    let (stopped, left) = (stopped.as_mut().poll(cx), left.as_mut().poll(cx));
                    stopping = if watch.is_busy() { stopped } else { left }.is_ready();
                    if stopping {
                        Pin::new(&mut connection).graceful_shutdown();
                        if connection.poll_without_shutdown(cx).is_ready() {
                            return Poll::Ready(None);
                        }
                    }
                }
                loop {
                    while timer.as_mut().poll(cx).is_ready() {
                        if looked.take().is_some_and(|written| watch.is_silent_since(written))
                            && socket.is_half_closed()
                        {
                            return Poll::Ready(Some(Verdict::Left));
                        }
                        match watch.judge(&self.patience, true) {
                            Verdict::AskAgain(after) => timer.as_mut().reset(Instant::now() + after),
                            verdict => return Poll::Ready(Some(verdict)),
                        }
                    }
                    if looked.is_some() || !watch.is_answering() {
                        return Poll::Pending;
                    }
                    looked = Some(watch.written());
                    let soon = Instant::now() + self.patience.silence();
                    if timer.deadline() <= soon {
                        return Poll::Pending;
                    }
                    timer.as_mut().reset(soon);
                }
            })
            .await
        };
        if let Some(tunnel) = switched.take().filter(|_| end.is_none()) {
            let http1::Parts { io, read_buf, .. } = connection.into_parts();
            return tunnel.run(io.into_inner(), read_buf).await;
        }
        drop(connection);
        let Some(mut tcp) = socket.into_inner() else { return };
        match end {
            Some(Verdict::SlowHead(true)) => {
                let _ = timeout(
                    LINGER,
                    tcp.write_all(&plain(slow("The head of the request did not end in time."))),
                )
                .await;
                linger(tcp).await;
            }
            Some(Verdict::Stalled) => {
                self.tell_of_stall();
                reset(&tcp);
            }
            Some(_) => {}
            None => linger(tcp).await,
        }
    }

    async fn serve_http2(&self, tcp: TcpStream, serve: Serve, stop: CancellationToken) {
        let watch = serve.watch.clone();
        let io = TokioIo::new(Watched::with_frames(Socket::new(tcp), watch.clone()));
        let streams = Streams::new(self.patience.write, watch.clone());
        let serve = Serve { streams: Some(streams.clone()), ..serve };
        let mut connection = pin!(self.http2(streams).serve_connection(io, serve));
        let mut stopped = pin!(stop.cancelled());
        let mut stopping = false;
        let mut timer = pin!(sleep(self.patience.header.min(self.patience.write)));
        poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut leave = !stopping && stopped.as_mut().poll(cx).is_ready();
            if !stopping && !leave && watch.is_flooded() {
                leave = true;
                timer.as_mut().reset(Instant::now() + LINGER);
            }
            while timer.as_mut().poll(cx).is_ready() {
                match watch.judge(&self.patience, false) {
                    Verdict::AskAgain(after) => timer.as_mut().reset(Instant::now() + after),
                    Verdict::Idle | Verdict::SlowHead(_) if !stopping && !leave => {
                        leave = true;
                        timer.as_mut().reset(Instant::now() + LINGER);
                    }
                    Verdict::Stalled => {
                        self.tell_of_stall();
                        return Poll::Ready(());
                    }
                    _ => return Poll::Ready(()),
                }
            }
            if leave {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                return connection.as_mut().poll(cx).map(drop);
            }
            Poll::Pending
        })
        .await;
    }

    fn tell_of_stall(&self) {
        tracing::debug!(seconds = self.patience.write.as_secs(), "a client read nothing of what it was sent");
    }
}

/// When to close a connection without a request.
async fn farewell(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(FAREWELL).await;
}

/// Whether the client speaks HTTP/2; `None` if it disconnects before that is known.
async fn is_http2(tcp: &TcpStream) -> Option<bool> {
    let mut bytes = [0; TELLING];
    loop {
        match tcp.peek(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(read) if !PREFACE.starts_with(&bytes[..read]) => return Some(false),
            Ok(TELLING) => return Some(true),
            // The rest of the first packet; waiting for readiness would return at once.
            Ok(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A problem as a complete HTTP/1.1 response, for a connection that hyper has released.
pub(crate) fn plain(problem: Problem) -> Vec<u8> {
    let status = problem.status();
    let response = problem.into_http();
    let mut out = format!("HTTP/1.1 {status}\r\nconnection: close\r\nserver: streamgate\r\n").into_bytes();
    for (name, value) in response.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    use http_body::Body as _;
    let length = response.body().size_hint().exact().unwrap_or(0);
    out.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
    let mut body = pin!(response.into_body());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        out.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
    }
    out
}

/// Closes our side and discards what the client still sends: closing with unread bytes would reset the
/// connection, and the client might lose the answer.
pub(crate) async fn linger(mut tcp: TcpStream) {
    if tcp.shutdown().await.is_err() {
        return;
    }
    let mut sink = vec![0; 16 << 10];
    let _ = timeout(LINGER, async { while tcp.read(&mut sink).await.is_ok_and(|read| read > 0) {} }).await;
}

/// Closes at once, so that the system does not keep trying to deliver.
fn reset(tcp: &TcpStream) {
    let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// The WebSocket that a connection of HTTP/1.1 becomes with its last response.
#[derive(Clone, Default)]
pub(crate) struct Switched(Arc<Mutex<Option<Tunnel>>>);

impl Switched {
    fn lock(&self) -> MutexGuard<'_, Option<Tunnel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, tunnel: Tunnel) {
        *self.lock() = Some(tunnel);
    }

    fn take(&self) -> Option<Tunnel> {
        self.lock().take()
    }
}

/// Hands each request of a connection to the gateway.
#[derive(Clone)]
struct Serve {
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
    watch: Arc<Watch>,
    turns: Turns,
    /// Of HTTP/2.
    streams: Option<Streams>,
    /// Of HTTP/1.1.
    switched: Switched,
}

impl hyper::service::Service<Request<Incoming>> for Serve {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut in_flight: InFlight = self.watch.begin();
        let mut full = false;
        if let Some(streams) = &self.streams {
            let place = self.gateway.stream_place(&self.peer);
            full = place.is_err();
            in_flight = in_flight.on(streams.begin(place.ok().flatten()));
        }
        let (gateway, peer) = (self.gateway.clone(), self.peer.clone());
        if full {
            let busy = busy().into_http().map(Content::Plain);
            return Box::pin(async move { Ok(busy.map(|body| ResponseBody::new(body, in_flight))) });
        }
        let turns = (!in_flight.is_alone()).then(|| self.turns.clone());
        Box::pin(gateway.handle(request, peer, in_flight, turns, self.switched.clone()))
    }
}
