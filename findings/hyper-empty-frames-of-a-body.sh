#!/bin/sh
# A hyper server sends a frame without bytes of a response's body as an empty DATA frame, which RFC 9113 section 6.1
# allows anywhere. hyper's own client counts these over the life of a connection, not of a stream: after 100 of them,
# one in each answer, it ends the connection with ENHANCE_YOUR_CALM, and every request on it fails. Bodies that are
# passed on from another HTTP/2 connection have such frames, when the end of the stream came as a frame of its own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name empty_frames .
cat >> Cargo.toml <<'TOML'
bytes = "=1.12.1"
h2 = "=0.4.20"
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http2", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "rt"] }
TOML
cat > src/main.rs <<'RUST'
use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Frame;
use hyper::{Request, Response, client, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};

struct Frames(Vec<&'static str>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.pop().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

async fn answers(frames: &'static [&'static str]) -> (usize, String) {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(
        TokioIo::new(far),
        service_fn(move |_: Request<_>| async move {
            Ok::<_, Infallible>(Response::new(Frames(frames.iter().rev().copied().collect())))
        }),
    ));
    let builder = client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(near)).await.unwrap();
    let connection = tokio::spawn(connection);
    for count in 0..1_000 {
        let request = Request::get("http://a/").body(Empty::<Bytes>::new()).unwrap();
        let Ok(answer) = sender.send_request(request).await else { return (count, why(connection).await) };
        match answer.into_body().collect().await {
            Ok(body) => assert_eq!(body.to_bytes(), "x"),
            Err(_) => return (count, why(connection).await),
        }
    }
    (1_000, "no error".to_owned())
}

async fn why(connection: tokio::task::JoinHandle<hyper::Result<()>>) -> String {
    let error = connection.await.unwrap().unwrap_err();
    error.source().map_or(error.to_string(), |source| source.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (without, fine) = answers(&["x"]).await;
    let (with, error) = answers(&["", "x"]).await;
    println!("answers of one frame: {without}, then {fine}");
    println!("answers with an empty frame before it: {with}, then {error}");
    std::process::exit(if (without, with) == (1_000, 100) { 0 } else { 1 });
}
RUST
cargo --version
cargo tree --quiet --depth 1 --prefix none | tail -n +2 | cut -d ' ' -f 1,2
cargo run --quiet || { echo "this has changed" >&2; exit 1; }
