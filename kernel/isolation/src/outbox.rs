//! What the child sends to its host without waiting for an answer: log records, health, panics.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use parking_lot::Mutex;
use streamgate_plugin_api::abi::LogRecord;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::body::Outgoing;
use crate::peer::Peer;
use crate::wire::{HOST, Message};

/// Maximum pending log records, and their bytes. Further ones are counted and dropped: logging never waits.
const RECORDS: usize = 8192;
const BYTES: usize = 8 << 20;
const BATCH: usize = 64 << 10;
/// Maximum length of a record's text.
const TEXT: usize = 64 << 10;
const FIELDS: usize = 256;
/// Maximum pending changes of health and panics.
const NOTICES: usize = 1024;
/// How long the end waits for pending messages.
const FLUSH: Duration = Duration::from_secs(1);

const WARN: u8 = 2;

pub(crate) struct Outbox {
    records: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
    left_out: Arc<AtomicU64>,
    notices: Mutex<VecDeque<Notice>>,
    bell: Notify,
    closing: CancellationToken,
    sent: CancellationToken,
    logged: CancellationToken,
}

struct Notice {
    path: &'static str,
    /// The component, for a message that replaces the previous one.
    key: Option<String>,
    message: Bytes,
}

impl Outbox {
    /// An outbox that sends on the current runtime.
    pub(crate) fn new(peer: Arc<Peer>) -> Arc<Self> {
        let (records, receiver) = mpsc::channel(RECORDS);
        let outbox = Arc::new(Self {
            records,
            waiting: Arc::default(),
            left_out: Arc::default(),
            notices: Mutex::default(),
            bell: Notify::new(),
            closing: CancellationToken::new(),
            sent: CancellationToken::new(),
            logged: CancellationToken::new(),
        });
        let closing = Box::pin(outbox.closing.clone().cancelled_owned());
        let (waiting, left_out) = (outbox.waiting.clone(), outbox.left_out.clone());
        let records = Records { receiver, waiting, left_out, closing };
        let (log, logged) = (peer.clone(), outbox.logged.clone());
        tokio::spawn(async move {
            let _logged = logged.drop_guard();
            let _ = log.ask(HOST, "/log", Outgoing::messages(records)).await;
        });
        tokio::spawn(outbox.clone().send_notices(peer));
        outbox
    }

    /// Queues a record, or counts it as dropped.
    pub(crate) fn log(&self, record: &LogRecord<'_>) {
        let mut message = Message::new()
            .number(u32::from(record.level))
            .text(&record.target)
            .text(cut(&record.message))
            .text(&record.trace_id)
            .text(&record.span_id)
            .number(record.fields.len().min(FIELDS) as u32);
        for field in record.fields.iter().take(FIELDS) {
            // A value is JSON, and half of it is not.
            let value = if field.value.len() > TEXT { "\"(too long)\"" } else { field.value.as_str() };
            message = message.text(&field.name).text(value);
        }
        let message = message.bytes(record.extra.as_bytes()).finish();
        let len = message.len();
        if self.waiting.fetch_add(len, Relaxed) > BYTES || self.records.try_send(message).is_err() {
            self.waiting.fetch_sub(len, Relaxed);
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    /// Queues a state of health or a panic. Of two states of one component the last one counts.
    pub(crate) fn notice(&self, path: &'static str, key: Option<String>, message: Message) {
        let notice = Notice { path, key, message: message.finish() };
        let mut notices = self.notices.lock();
        let same = notices.iter().position(|other| notice.key.is_some() && other.key == notice.key);
        match same {
            Some(place) => notices[place] = notice,
            None if notices.len() < NOTICES => notices.push_back(notice),
            None => {}
        }
        drop(notices);
        self.bell.notify_one();
    }

    async fn send_notices(self: Arc<Self>, peer: Arc<Peer>) {
        let _sent = self.sent.clone().drop_guard();
        loop {
            let next = self.notices.lock().pop_front();
            match next {
                Some(notice) => {
                    let _ = peer.ask(HOST, notice.path, Outgoing::full(notice.message)).await;
                }
                None if self.closing.is_cancelled() => return,
                None => tokio::select! {
                    () = self.bell.notified() => {}
                    () = self.closing.cancelled() => {}
                },
            }
        }
    }

    /// Sends what is pending, for a bounded time. Later messages are not sent.
    pub(crate) async fn flush(&self) {
        self.closing.cancel();
        let all = async {
            self.sent.cancelled().await;
            self.logged.cancelled().await;
        };
        let _ = tokio::time::timeout(FLUSH, all).await;
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

/// Records as the body of one request that lasts as long as the child.
struct Records {
    receiver: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    left_out: Arc<AtomicU64>,
    closing: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
}

impl http_body::Body for Records {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let mut batch = BytesMut::new();
        while batch.len() < BATCH {
            match self.receiver.poll_recv(cx) {
                Poll::Ready(Some(record)) => {
                    self.waiting.fetch_sub(record.len(), Relaxed);
                    batch.extend_from_slice(&record);
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let left_out = self.left_out.swap(0, Relaxed);
        if left_out > 0 {
            let text = format!("{left_out} log records were dropped: they came faster than they are written");
            let record = Message::new().number(u32::from(WARN)).text("streamgate").text(&text);
            batch.extend_from_slice(&record.text("").text("").number(0).finish());
        }
        if !batch.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(batch.freeze()))));
        }
        // What was queued before is sent by now.
        self.closing.as_mut().poll(cx).map(|()| None)
    }
}
