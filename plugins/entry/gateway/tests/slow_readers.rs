//! Clients that read slowly: one that keeps reading is served, and one that only pretends is not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::stream;
use streamgate_gateway::Settings;
use streamgate_plugin_api::settings::Duration as Time;
use support::{Count, Gateway, settings, start};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const PATIENCE_MS: u64 = 2500;
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);

/// Segments of a megabyte, in pieces as storage gives them, and how many are being sent.
fn segments() -> (Gateway, Count) {
    let count = Count::default();
    let counted = count.clone();
    let segment = move || async move {
        let open = counted.open();
        let pieces = (0..2).map(move |_| {
            let _ = &open;
            Ok::<_, std::io::Error>(vec![7_u8; 512 << 10])
        });
        Body::from_stream(stream::iter(pieces))
    };
    let patience = Settings { write_timeout: Time::millis(PATIENCE_MS), ..settings() };
    (start(&patience, [("/", Router::new().route("/", get(segment)))]), count)
}

/// Reads this much every 50 ms, `bytes` in total unless the connection ends before. Returns how much it got.
async fn takes(tcp: &mut TcpStream, at_once: usize, bytes: usize) -> usize {
    let mut buffer = vec![0; at_once];
    let mut beats = tokio::time::interval(Duration::from_millis(50));
    let mut taken = 0;
    while taken < bytes {
        beats.tick().await;
        match tcp.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => taken += read,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                break;
            }
        }
    }
    taken
}

/// More than the system would buffer, so that the gateway waits.
const PIPELINED: usize = 40;
/// At 400 kB a second, this takes more than twice the patience.
const TAKEN: usize = 2_400_000;

#[tokio::test]
async fn a_client_that_reads_steadily_is_served_over_http1() {
    let (gateway, _) = segments();
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(PIPELINED)).await;
    let began = Instant::now();
    assert!(takes(&mut client.tcp, 20_000, TAKEN).await >= TAKEN, "cut after {:?}", began.elapsed());
    assert!(began.elapsed() > 2 * PATIENCE, "it was no slow client");
}

/// The preface, a window for each stream, one for the connection, and so many times `GET /` (RFC 9113 §3.4, §6).
fn hello(window: u32) -> Vec<u8> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04".to_vec();
    hello.extend(window.to_be_bytes());
    hello.extend(b"\0\0\x04\x08\0\0\0\0\0");
    hello.extend((1_u32 << 30).to_be_bytes());
    for request in 0..PIPELINED as u32 {
        hello.extend(b"\0\0\x06\x01\x05");
        hello.extend((1 + 2 * request).to_be_bytes());
        hello.extend([0x82, 0x86, 0x84, 0x41, 1, b'h']);
    }
    hello
}

#[tokio::test]
async fn a_client_that_reads_steadily_is_served_over_http2() {
    // With a small window the gateway holds most of each response, with a large one the library does.
    for window in [1 << 18, 1 << 30] {
        let (gateway, _) = segments();
        let mut client = gateway.connect().await;
        client.send(hello(window)).await;
        let began = Instant::now();
        let taken = takes(&mut client.tcp, 20_000, TAKEN).await;
        assert!(taken >= TAKEN, "window {window}: cut after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_client_that_takes_a_byte_now_and_then_is_cut() {
    let http1 = "GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(PIPELINED).into_bytes();
    for (greeting, at_once) in [(http1, 1), (hello(1 << 18), PIPELINED)] {
        let (gateway, open) = segments();
        let mut client = gateway.connect().await;
        let began = Instant::now();
        client.send(greeting).await;
        open.reaches(at_once).await;
        tokio::select! {
            _ = takes(&mut client.tcp, 1, usize::MAX) => open.reaches(0).await,
            () = open.reaches(0) => {}
        }
        assert!(began.elapsed() >= PATIENCE, "{:?}", began.elapsed());
    }
}
