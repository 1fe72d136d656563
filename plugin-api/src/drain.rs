//! The number of requests that one run is answering, bodies included: the host waits for it before it stops a
//! replaced plugin. Event streams and WebSockets never end on their own: they are ended when the drain begins.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::upgrade;

/// The media type of server-sent events (WHATWG HTML §9.2).
const EVENT_STREAM: &str = "text/event-stream";

/// The requests of one run.
#[derive(Debug)]
pub struct Requests {
    /// Cancelled when endless responses must end.
    pub(crate) draining: CancellationToken,
    open: AtomicUsize,
    /// How many callers wait for the last of them.
    waiting: AtomicUsize,
    idle: Notify,
}

/// Counts one request until it is dropped.
pub(crate) struct Open(Arc<Requests>);

impl Open {
    pub(crate) fn new(requests: &Arc<Requests>) -> Self {
        requests.open.fetch_add(1, SeqCst);
        Self(requests.clone())
    }

    /// All requests of the same run.
    pub(crate) fn requests(&self) -> &Requests {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, SeqCst) == 1 && self.0.waiting.load(SeqCst) > 0 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Counts a waiting caller until it is dropped.
struct Waiting<'a>(&'a Requests);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

pin_project_lite::pin_project! {
    /// An event stream, which ends between two of its pieces once its plugin is drained: its client
    /// reconnects, to the run that has taken over.
    pub(crate) struct Events<B> {
        #[pin]
        events: B,
        #[pin]
        draining: WaitForCancellationFutureOwned,
    }
}

impl<B: http_body::Body> http_body::Body for Events<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.draining.poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        this.events.poll_frame(cx)
    }
}

impl Requests {
    /// Event streams of an ended run, at the latest, with `shutdown`.
    pub(crate) fn new(shutdown: &CancellationToken) -> Self {
        let (open, waiting, idle) = Default::default();
        Self { draining: shutdown.child_token(), open, waiting, idle }
    }

    /// The body of a response with these headers, if it is an event stream.
    pub(crate) fn events<B>(&self, headers: &HeaderMap, body: B) -> Result<Events<B>, B> {
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let kind = kind.get(..EVENT_STREAM.len());
        if upgrade::is_taken_up(headers)
            || kind.is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM.as_bytes()))
        {
            return Ok(Events { events: body, draining: self.draining.clone().cancelled_owned() });
        }
        Err(body)
    }

    /// Waits until none is open.
    pub(crate) async fn idle(&self) {
        self.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(self);
        loop {
            let idle = self.idle.notified();
            if self.open.load(SeqCst) == 0 {
                return;
            }
            // Created before the count is checked, so that no change in between is missed.
            idle.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn endless() -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"data: first\n\n")))]);
        StreamBody::new(first.chain(stream::pending()))
    }

    fn of_kind(kind: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_stream_of_events_or_a_websocket_ends_when_the_drain_begins_or_the_run_does_and_nothing_else_is_touched()
     {
        for begins in ["drain", "shutdown"] {
            let shutdown = CancellationToken::new();
            let requests = Requests::new(&shutdown);
            let mut events = Vec::new();
            for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
                let Ok(body) = requests.events(&of_kind(kind), endless()) else { panic!("{kind}") };
                let mut body = Box::pin(body);
                assert!(body.frame().await.unwrap().unwrap().is_data());
                assert!(body.frame().now_or_never().is_none(), "it continues");
                events.push(body);
            }
            match begins {
                "drain" => requests.draining.cancel(),
                _ => shutdown.cancel(),
            }
            for mut body in events {
                assert!(body.frame().await.is_none(), "{begins}");
            }
            let socket = HeaderMap::from_iter([(upgrade::PROTOCOL, "websocket".parse().unwrap())]);
            let Ok(body) = requests.events(&socket, endless()) else { panic!("a WebSocket") };
            assert!(Box::pin(body).frame().await.is_none(), "{begins}");
            for kind in ["text/plain", "text/event", "video/mp4"] {
                assert!(requests.events(&of_kind(kind), endless()).is_err(), "{kind}");
            }
        }
    }
}
