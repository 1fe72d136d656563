//! WebSockets across the boundary: what one end sends the other gets, both ways at once; and however one end ends, the
//! other does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use http::{Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use streamgate_plugin_api::{Body, Client, upgrade};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::sync::PollSender;

const SOON: Duration = Duration::from_secs(10);

/// A service that does `work` with the stream of a request that it takes up.
fn taking_up<F>(
    work: impl FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> F + Clone + Send + Sync + 'static,
) -> Client
where
    F: Future<Output = ()> + Send + 'static,
{
    let handler = move |mut request: Request| async move {
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
        tokio::spawn(async move { work(TokioIo::new(on_upgrade.await.unwrap())).await });
    };
    Client::from_service(Router::new().route("/socket", any(handler)))
}

async fn connect(client: &Client, path: &str, body: Body) -> Response<Body> {
    let mut request = http::Request::builder().method("CONNECT").uri(format!("http://host{path}"));
    request.extensions_mut().unwrap().insert(Protocol::from_static("websocket"));
    client.send(request.body(body).unwrap()).await.unwrap()
}

/// The caller's end of a stream that was taken up: what it reads, and what it writes.
async fn open(client: &Client) -> (Body, mpsc::Sender<Bytes>) {
    let (sender, pieces) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(pieces, async |mut pieces| {
        pieces.recv().await.map(|piece: Bytes| (Ok::<_, std::io::Error>(piece), pieces))
    });
    let response = connect(client, "/socket", Body::from_stream(pieces)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(upgrade::is_taken_up(response.headers()));
    (response.into_body(), sender)
}

#[tokio::test]
async fn messages_cross_both_ways_at_once() {
    let client = taking_up(async |stream| {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let (sender, receiver) = socket.split();
        let _ = receiver.try_filter(|message| std::future::ready(message.is_binary())).forward(sender).await;
    });
    let (body, sender) = open(&client).await;
    let reader =
        StreamReader::new(axum::body::Body::new(body).into_data_stream().map_err(std::io::Error::other));
    let writer =
        SinkWriter::new(CopyToBytes::new(PollSender::new(sender).sink_map_err(std::io::Error::other)));
    let socket = WebSocketStream::from_raw_socket(tokio::io::join(reader, writer), Role::Client, None).await;
    let (mut sender, mut receiver) = socket.split();
    let sending = tokio::spawn(async move {
        for number in 0..160u8 {
            sender.send(Message::binary(vec![number; 64 << 10])).await.unwrap();
        }
        sender
    });
    for number in 0..160u8 {
        let message = timeout(SOON, receiver.next()).await.unwrap().unwrap().unwrap();
        assert!(message.len() == 64 << 10 && message.into_data().iter().all(|byte| *byte == number));
    }
    let mut sender = sending.await.unwrap();
    sender.close().await.unwrap();
    let last = timeout(SOON, receiver.next()).await.unwrap();
    assert!(matches!(last, Some(Ok(Message::Close(_))) | None), "{last:?}");
}

#[tokio::test]
async fn the_end_of_one_end_is_the_end_of_the_other() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let client = taking_up(async move |mut stream| {
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read).await;
        let _ = ended.send(read.len());
    });
    let (mut body, sender) = open(&client).await;
    sender.send(Bytes::from_static(b"abc")).await.unwrap();
    drop(sender);
    assert_eq!(timeout(SOON, ends.recv()).await.unwrap(), Some(3), "the caller has sent its last");
    let last = timeout(SOON, http_body_util::BodyExt::frame(&mut body)).await.unwrap();
    assert!(last.is_none(), "and the plugin its");

    let (body, sender) = open(&client).await;
    drop(body);
    assert_eq!(timeout(SOON, ends.recv()).await.unwrap(), Some(0), "the caller reads no more");
    timeout(SOON, sender.closed()).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_sent_a_bounded_number_of_bytes() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counting = sent.clone();
    let client = taking_up(async move |mut stream| {
        while stream.write_all(&[0; 16 << 10]).await.is_ok() {
            counting.fetch_add(16 << 10, Ordering::SeqCst);
        }
    });
    let (mut body, _sender) = open(&client).await;
    let mut last = 0;
    // Until nothing has moved for a while.
    while timeout(SOON, tokio::time::sleep(Duration::from_millis(100))).await.is_ok()
        && (last == 0 || sent.load(Ordering::SeqCst) != last)
    {
        last = sent.load(Ordering::SeqCst);
    }
    assert!((1..=512 << 10).contains(&last), "{last} bytes");
    for _ in 0..100 {
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    }
    assert!(sent.load(Ordering::SeqCst) > last);
}

#[tokio::test]
async fn what_does_not_take_a_request_up_answers_it_like_any_other() {
    let (failed, mut failures) = mpsc::unbounded_channel();
    let refusing = move |mut request: Request| async move {
        let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
        tokio::spawn(async move { failed.send(on_upgrade.await.is_err()) });
        (StatusCode::FORBIDDEN, "no")
    };
    let router = Router::new().route("/page", any(async || "page")).route("/get", get(async || "got"));
    let client = Client::from_service(router.route("/refusing", any(refusing)));
    for (path, status, text) in [
        // axum takes the body off a 2xx answer to CONNECT.
        ("/page", StatusCode::OK, ""),
        ("/get", StatusCode::METHOD_NOT_ALLOWED, ""),
        ("/refusing", StatusCode::FORBIDDEN, "no"),
    ] {
        let response = connect(&client, path, Body::empty()).await;
        assert_eq!(response.status(), status, "{path}");
        assert!(!upgrade::is_taken_up(response.headers()), "{path}");
        assert_eq!(response.into_body().collect_bytes(100).await.unwrap(), text);
    }
    assert_eq!(timeout(SOON, failures.recv()).await.unwrap(), Some(true), "there is no stream");
}
