//! HTTP/2 clients that hold their streams: frames are written by hand, because no library would.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use streamgate_gateway::Settings;
use streamgate_plugin_api::settings::Duration as Time;
use support::{Gateway, Raw, settings, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// A received frame: its kind, flags, stream and payload (RFC 9113 §4.1).
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, mid, low] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![high, mid, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A client that sends exactly what the test writes.
struct Client(TcpStream);

impl Client {
    /// Begins a connection whose streams have a window of this size.
    async fn with_window(gateway: &Gateway, window: u32) -> Self {
        Self::over(TcpStream::connect(gateway.address).await.unwrap(), window).await
    }

    async fn over(tcp: TcpStream, window: u32) -> Self {
        let mut client = Self(tcp);
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let [a, b, c, d] = window.to_be_bytes();
        hello.extend(frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d]));
        client.0.write_all(&hello).await.unwrap();
        client
    }

    /// `GET /` on a stream; fields 2, 6 and 4 of HPACK's static table, and the authority.
    async fn get(&mut self, stream: u32) {
        let request = frame(HEADERS, 0x5, stream, &[0x82, 0x86, 0x84, 0x41, 1, b'h']);
        self.0.write_all(&request).await.unwrap();
    }

    async fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        let read = async {
            self.0.read_exact(&mut header).await.ok()?;
            let [high, mid, low, kind, flags, a, b, c, d] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, high, mid, low]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), payload })
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("no frame in 20 s")
    }

    /// The next frame of a kind; PINGs of the server are answered, as every client does.
    async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame_ = self.next().await.expect("the connection ended before the frame");
            if frame_.kind == kind {
                return frame_;
            }
            if frame_.kind == PING && frame_.flags == 0 {
                self.0.write_all(&frame(PING, 1, 0, &frame_.payload)).await.unwrap();
            }
        }
    }
}

fn served(settings: &Settings) -> Gateway {
    start(settings, [("/", Router::new().route("/", get(|| async { vec![7_u8; 100_000] })))])
}

#[tokio::test]
async fn a_stream_without_a_window_is_reset_and_its_connection_lives() {
    let gateway = served(&Settings { write_timeout: Time::millis(400), ..settings() });
    let mut client = Client::with_window(&gateway, 0).await;
    let began = Instant::now();
    client.get(1).await;
    let (mut reset, mut pings) = (None, 0);
    while reset.is_none() {
        client.0.write_all(&frame(PING, 0, 0, b"12345678")).await.unwrap();
        let frame = client.until(PING).await;
        pings += u32::from(frame.flags == 1);
        // As often as the busiest client would, and no flood.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if began.elapsed() > Duration::from_millis(400) {
            reset = Some(client.until(RST_STREAM).await);
        }
    }
    let reset = reset.unwrap();
    assert_eq!((reset.stream, &reset.payload[..]), (1, &8_u32.to_be_bytes()[..]), "CANCEL");
    assert!(pings > 0, "the connection itself is alive");
    // A stream whose client grants its window late is served to its end.
    client.get(3).await;
    client.until(HEADERS).await;
    let mut left = 100_000_u32;
    while left > 0 {
        client.0.write_all(&frame(WINDOW_UPDATE, 0, 3, &30_000_u32.to_be_bytes())).await.unwrap();
        client.0.write_all(&frame(WINDOW_UPDATE, 0, 0, &30_000_u32.to_be_bytes())).await.unwrap();
        left -= client.until(DATA).await.payload.len() as u32;
    }
}

#[tokio::test]
async fn answered_pings_keep_no_idle_connection() {
    let settings =
        Settings { keep_alive: Time::millis(300), header_timeout: Time::millis(300), ..settings() };
    let gateway = served(&settings);
    for requests in [0, 1] {
        let mut client = Client::with_window(&gateway, 1 << 20).await;
        for request in 0..requests {
            client.get(1 + 2 * request).await;
            client.until(HEADERS).await;
        }
        let goaway = async {
            loop {
                client.0.write_all(&frame(PING, 0, 0, b"12345678")).await.ok();
                match client.next().await {
                    Some(Frame { kind: GOAWAY, .. }) | None => return,
                    Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), goaway).await;
        assert!(ended.is_ok(), "after {requests} requests it lives as long as it is pinged");
    }
}

#[tokio::test]
async fn a_flood_of_control_frames_ends_with_goaway() {
    let gateway = served(&settings());
    for (kind, payload) in [
        (SETTINGS, &[][..]),
        (PING, b"12345678"),
        (PRIORITY, &[0, 0, 0, 0, 1]),
        (WINDOW_UPDATE, &[0, 0, 0, 1]),
        (0x42, b"unknown"),
    ] {
        let mut client = Client::with_window(&gateway, 1 << 20).await;
        let stream = if kind == PRIORITY { 1 } else { 0 };
        let flood: Vec<u8> = (0..2_000).flat_map(|_| frame(kind, 0, stream, payload)).collect();
        client.0.write_all(&flood).await.unwrap();
        client.until(GOAWAY).await;
    }
    // A client that downloads much sends many window updates.
    let mut client = Client::with_window(&gateway, 100_000).await;
    for request in 0..60 {
        client.get(1 + 2 * request).await;
        let mut left = 100_000;
        while left > 0 {
            let data = client.until(DATA).await;
            left -= data.payload.len();
            let update = frame(WINDOW_UPDATE, 0, 0, &(data.payload.len().max(1) as u32).to_be_bytes());
            client.0.write_all(&update).await.unwrap();
            client.0.write_all(&frame(PING, 1, 0, b"12345678").repeat(10)).await.unwrap();
        }
    }
}

/// A connection from its own address.
async fn from(gateway: &Gateway, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0))).unwrap();
    socket.connect(gateway.address).await.unwrap()
}

#[tokio::test]
async fn a_crowd_that_takes_all_streams_keeps_no_newcomer_out() {
    let gateway = served(&Settings { max_connections: 40, ..settings() });
    let mut crowd = Vec::new();
    for one in 1..=4 {
        let mut client = Client::over(from(&gateway, one).await, 0).await;
        for request in 0..10 {
            client.get(1 + 2 * request).await;
            client.until(HEADERS).await;
        }
        crowd.push(client);
    }
    // One of the many gets no eleventh stream. `:status: 503` is a literal, 200 is field 8 of HPACK's static
    // table.
    crowd[0].get(21).await;
    assert_ne!(crowd[0].until(HEADERS).await.payload[0], 0x88);
    let mut newcomer = Client::over(from(&gateway, 101).await, 0).await;
    newcomer.get(1).await;
    assert_eq!(newcomer.until(HEADERS).await.payload[0], 0x88, "200");
    let last = crowd.last_mut().unwrap();
    assert_eq!(last.until(RST_STREAM).await.stream, 1, "the oldest of the client with the most");
}

#[tokio::test]
async fn a_crowd_that_takes_all_connections_keeps_no_newcomer_out() {
    let gateway = served(&Settings { max_connections: 40, ..settings() });
    let from = async |last: u8| Raw::over(from(&gateway, last).await);
    let asks = async |client: &mut Raw| {
        client.tcp.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        client.answer().await.status
    };
    let mut crowd = Vec::new();
    for one in 1..=20 {
        for _ in 0..2 {
            let mut client = from(one).await;
            assert_eq!(asks(&mut client).await, 200);
            crowd.push(client);
        }
    }
    // One of the many gets no third slot, and a new address always gets a first.
    assert_eq!(asks(&mut from(1).await).await, 503);
    let mut newcomers = Vec::new();
    for one in 101..=110 {
        let mut client = from(one).await;
        assert_eq!(asks(&mut client).await, 200, "{one}");
        newcomers.push(client);
    }
    for client in &mut newcomers {
        assert_eq!(asks(client).await, 200, "who holds one keeps it");
    }
}
