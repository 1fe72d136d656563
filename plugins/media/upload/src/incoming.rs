//! The body of one request, cut into pieces that go to storage one after the other. Frames pass through
//! unchanged: nothing is copied, and nothing is held back except the rest of a frame beyond the end of a
//! piece.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use streamgate_plugin_api::{Body as AnyBody, BodyError};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::checksum::Checksum;

/// How a body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The client disconnected, or sent an invalid body.
    Broken(String),
    /// There is more than the upload accepts.
    TooLong,
}

#[derive(Debug)]
struct State {
    body: AnyBody,
    left: Bytes,
    /// What the upload still accepts.
    room: u64,
    end: Option<End>,
    checksum: Option<Checksum>,
}

/// The body of one request. Cheap to clone; all clones are the same body.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    state: Arc<Mutex<State>>,
    meter: Arc<Meter>,
}

/// The progress, readable at any time.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    passed: AtomicU64,
    waiting: AtomicBool,
}

impl Meter {
    /// Bytes passed on to storage.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    /// Whether the client is what everything waits for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }
}

impl Incoming {
    /// A body of which the upload accepts `room` bytes.
    pub(crate) fn new(body: AnyBody, room: u64, checksum: Option<Checksum>) -> Self {
        let end = body.is_end_stream().then_some(End::Whole);
        let state = State { body, left: Bytes::new(), room, end, checksum };
        Self { state: Arc::new(Mutex::new(state)), meter: Arc::default() }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How it ended, once it did.
    pub(crate) fn end(&self) -> Option<End> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end.clone().filter(|_| state.left.is_empty())
    }

    /// What the upload still accepts of it.
    pub(crate) fn room(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.room.saturating_add(state.left.len() as u64)
    }

    /// Limits the upload to `room` more bytes.
    pub(crate) fn narrow(&self, room: u64) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        match room.checked_sub(state.left.len() as u64) {
            Some(room) => state.room = state.room.min(room),
            None => {
                state.left.clear();
                state.end = Some(End::TooLong);
            }
        }
    }

    /// Whether its checksum matches everything that passed; true without one.
    pub(crate) fn checksum_holds(&self) -> bool {
        let taken = self.state.lock().unwrap_or_else(PoisonError::into_inner).checksum.take();
        taken.is_none_or(Checksum::holds)
    }

    /// The next at most `size` bytes, as a separate body that ends cleanly, also when the whole body ends, is
    /// interrupted, or `stop` is cancelled.
    pub(crate) fn piece(&self, size: u64, stop: CancellationToken) -> Piece {
        Piece { incoming: self.clone(), size, stopped: Box::pin(stop.clone().cancelled_owned()), stop }
    }

    fn poll_data(&self, cx: &mut Context<'_>, size: u64) -> Poll<Option<Bytes>> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        while state.left.is_empty() {
            if state.end.is_some() {
                return Poll::Ready(None);
            }
            match Pin::new(&mut state.body).poll_frame(cx) {
                Poll::Pending => {
                    self.meter.waiting.store(true, Ordering::Release);
                    return Poll::Pending;
                }
                Poll::Ready(None) => state.end = Some(End::Whole),
                Poll::Ready(Some(Err(error))) => state.end = Some(End::Broken(error.to_string())),
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if data.len() as u64 > state.room {
                        state.end = Some(End::TooLong);
                    } else {
                        state.room -= data.len() as u64;
                        state.left = data;
                    }
                }
            }
        }
        self.meter.waiting.store(false, Ordering::Release);
        let length = state.left.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        let data = state.left.split_to(length);
        if state.left.is_empty() && state.end.is_none() && state.body.is_end_stream() {
            state.end = Some(End::Whole);
        }
        if let Some(checksum) = &mut state.checksum {
            checksum.update(&data);
        }
        self.meter.passed.fetch_add(data.len() as u64, Ordering::AcqRel);
        Poll::Ready(Some(data))
    }
}

/// A part of an [`Incoming`] body. See [`Incoming::piece`].
pub(crate) struct Piece {
    incoming: Incoming,
    size: u64,
    stop: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.size == 0 || self.stop.is_cancelled() {
            return Poll::Ready(None);
        }
        match self.incoming.poll_data(cx, self.size) {
            Poll::Ready(Some(data)) => {
                self.size -= data.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.stopped.as_mut().poll(cx).map(|()| None),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    fn body(frames: Vec<Vec<u8>>) -> AnyBody {
        AnyBody::from_stream(stream::iter(
            frames.into_iter().map(|frame| Ok::<_, std::io::Error>(Bytes::from(frame))),
        ))
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_stopped_piece_ends_cleanly_and_the_rest_is_still_there() {
        run(async {
            let incoming = Incoming::new(body(vec![b"hello".to_vec()]), 10, None);
            let stop = CancellationToken::new();
            stop.cancel();
            assert!(incoming.piece(5, stop).collect().await.unwrap().to_bytes().is_empty());
            let rest = incoming.piece(9, CancellationToken::new()).collect().await.unwrap().to_bytes();
            assert_eq!((&rest[..], incoming.end()), (&b"hello"[..], Some(End::Whole)));
        });
    }

    #[test]
    fn a_piece_that_waits_for_the_client_can_be_stopped() {
        run(async {
            let incoming = Incoming::new(
                AnyBody::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
                10,
                None,
            );
            let stop = CancellationToken::new();
            let piece = tokio::spawn(incoming.piece(5, stop.clone()).collect());
            while !incoming.meter().is_waiting() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
            assert!(piece.await.unwrap().unwrap().to_bytes().is_empty());
            assert_eq!(incoming.end(), None);
        });
    }

    #[test]
    fn a_body_that_breaks_off_gives_what_came_and_ends_cleanly() {
        run(async {
            let frames = vec![Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("reset"))];
            let incoming = Incoming::new(AnyBody::from_stream(stream::iter(frames)), 10, None);
            let got = incoming.piece(9, CancellationToken::new()).collect().await.unwrap().to_bytes();
            assert_eq!((&got[..], incoming.end()), (&b"ab"[..], Some(End::Broken("reset".into()))));
        });
    }

    #[test]
    fn what_is_narrowed_takes_what_there_is_room_for_and_not_a_byte_more() {
        run(async {
            let take = async |incoming: &Incoming| {
                incoming.piece(2, CancellationToken::new()).collect().await.unwrap().to_bytes()
            };
            let frames = vec![b"abc".to_vec(), b"de".to_vec()];
            let incoming = Incoming::new(body(frames.clone()), 10, None);
            assert_eq!((&take(&incoming).await[..], incoming.room()), (&b"ab"[..], 8));
            incoming.narrow(3);
            assert_eq!((&take(&incoming).await[..], incoming.room()), (&b"cd"[..], 1));
            assert_eq!((&take(&incoming).await[..], incoming.end()), (&b"e"[..], Some(End::Whole)));

            let incoming = Incoming::new(body(frames), 10, None);
            take(&incoming).await;
            // One byte of the first frame is available already.
            incoming.narrow(0);
            assert_eq!((take(&incoming).await.len(), incoming.end()), (0, Some(End::TooLong)));
        });
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_body_up_to_its_room(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            size in 1u64..70,
            room in 0u64..600,
        ) {
            let whole: Vec<u8> = frames.concat();
            let (got, end) = run(async {
                let incoming = Incoming::new(body(frames), room, None);
                let mut got = Vec::new();
                while incoming.end().is_none() {
                    let piece = incoming.piece(size, CancellationToken::new()).collect().await.unwrap().to_bytes();
                    assert!(piece.len() as u64 <= size);
                    got.extend_from_slice(&piece);
                }
                assert_eq!(incoming.meter().passed(), got.len() as u64);
                (got, incoming.end())
            });
            prop_assert!(whole.starts_with(&got));
            prop_assert!(got.len() as u64 <= room);
            let fits = whole.len() as u64 <= room;
            prop_assert_eq!(end, Some(if fits { End::Whole } else { End::TooLong }));
            prop_assert!(!fits || got == whole);
        }
    }
}
