//! Greedy clients beside a well-behaved one: 500 of each kind from 200 loopback addresses, for
//! `STREAMGATE_GREED_SECONDS` (60). The result is the well-behaved client's share of good answers, its 99th
//! percentile compared to that without the others, and the server's memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::process::{forget_peak, peak};
use super::{Aim, Row};
use crate::server::{Server, client};
use crate::wait::every;

const CLIENTS: u32 = 500;
const ADDRESSES: u32 = 200;
/// The interval of a greedy client's actions.
const BEAT: Duration = Duration::from_millis(500);
/// The interval of the well-behaved client's requests.
const PACE: Duration = Duration::from_millis(20);

/// The action of a greedy client.
#[derive(Debug, Clone, Copy)]
enum Greed {
    IdleHttp2,
    NoWindow,
    SlowBodies,
    SlowReaders,
    EventStreams,
    Searches,
    Challenges,
}

impl Greed {
    const ALL: [(Self, &'static str); 7] = [
        (Self::IdleHttp2, "idle HTTP/2"),
        (Self::NoWindow, "HTTP/2 without a window"),
        (Self::SlowBodies, "slow bodies"),
        (Self::SlowReaders, "slow readers"),
        (Self::EventStreams, "event streams"),
        (Self::Searches, "searches"),
        (Self::Challenges, "challenges"),
    ];

    /// The bytes sent at once, and those at each interval.
    fn sends(self) -> (Vec<u8>, Vec<u8>) {
        let request = |head: &str| format!("{head}\r\nhost: h\r\n\r\n").into_bytes();
        match self {
            Self::IdleHttp2 => (hello(1 << 16), ping()),
            Self::NoWindow => {
                let requests = (0..100).flat_map(|number| get_frame(2 * number + 1));
                (hello(0).into_iter().chain(requests).collect(), ping())
            }
            Self::SlowBodies => (
                request(
                    "POST /api/v1/auth/sign-in HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked",
                ),
                b"1\r\n \r\n".to_vec(),
            ),
            Self::SlowReaders => (request("GET / HTTP/1.1").repeat(200), Vec::new()),
            Self::EventStreams => (request("GET /api/v1/contents/events HTTP/1.1"), Vec::new()),
            Self::Searches => (Vec::new(), request("GET /api/v1/contents?q=a HTTP/1.1")),
            Self::Challenges => {
                let body = r#"{"kind":"ethereum","chain_id":1}"#;
                let head =
                    "POST /api/v1/auth/challenge HTTP/1.1\r\nhost: h\r\ncontent-type: application/json";
                (Vec::new(), format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
            }
        }
    }

    /// The bytes read at each interval.
    fn reads(self) -> usize {
        if matches!(self, Self::SlowReaders) { 1 } else { 64 << 10 }
    }
}

/// The preface and SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §3.4, §6.5.2).
fn hello(window: u32) -> Vec<u8> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04".to_vec();
    hello.extend(window.to_be_bytes());
    hello
}

fn ping() -> Vec<u8> {
    b"\0\0\x08\x06\0\0\0\0\0greedy!!".to_vec()
}

/// `GET /` with END_STREAM and END_HEADERS.
fn get_frame(stream: u32) -> Vec<u8> {
    let mut frame = b"\0\0\x06\x01\x05".to_vec();
    frame.extend(stream.to_be_bytes());
    frame.extend([0x82, 0x86, 0x84, 0x41, 1, b'h']);
    frame
}

async fn connect(number: u32, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % ADDRESSES + 1).unwrap_or(u8::MAX);
    socket.bind(SocketAddr::from(([127, 0, 2, last], 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// One greedy client until `end`; if disconnected, it returns at the next interval.
async fn greedy(greed: Greed, number: u32, port: u16, end: Instant) {
    let (first, again) = greed.sends();
    let mut buffer = vec![0; greed.reads()];
    // The clients do not act in step.
    tokio::time::sleep(BEAT * number / CLIENTS).await;
    let mut beats = every(BEAT);
    while Instant::now() < end {
        beats.tick().await;
        let Ok(mut tcp) = connect(number, port).await else { continue };
        if tcp.write_all(&first).await.is_err() {
            continue;
        }
        while Instant::now() < end {
            beats.tick().await;
            if !again.is_empty() && tcp.write_all(&again).await.is_err() {
                break;
            }
            match tcp.try_read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        let _ = tcp.shutdown().await;
        let _ = tokio::time::timeout(BEAT, tcp.read(&mut buffer)).await;
    }
}

/// The results of the well-behaved client.
struct Seen {
    good: f64,
    p99: f64,
}

/// Reads the list, a page and a challenge in turn, every tenth time on a new connection.
async fn behave(server: &Server, time: Duration) -> Result<Seen> {
    let end = Instant::now() + time;
    let (good, all) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut times = Vec::new();
    let mut http = client();
    let mut pace = every(PACE);
    while Instant::now() < end {
        pace.tick().await;
        let number = all.fetch_add(1, Relaxed);
        if number % 10 == 0 {
            http = client();
        }
        let path = ["/api/v1/contents", "/", "/health/live"][(number % 3) as usize];
        let began = Instant::now();
        let answer = http.get(server.url(path)).timeout(Duration::from_secs(10)).send().await;
        if let Ok(answer) = answer
            && answer.status().is_success()
            && answer.bytes().await.is_ok()
        {
            good.fetch_add(1, Relaxed);
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[times.len() * 99 / 100];
    Ok(Seen { good: 100.0 * good.load(Relaxed) as f64 / all.load(Relaxed) as f64, p99 })
}

/// # Errors
/// When the server does not start.
pub async fn measure() -> Result<Vec<Row>> {
    let seconds = std::env::var("STREAMGATE_GREED_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(60));
    let server = Arc::new(Server::start().await);
    behave(&server, Duration::from_secs(3)).await?;
    let idle = behave(&server, time.min(Duration::from_secs(20))).await?;
    forget_peak(server.pid())?;
    let mut rows = Vec::new();
    for (greed, name) in Greed::ALL {
        let (port, end) = (server.port(), Instant::now() + time);
        let mut crowd: JoinSet<()> = (0..CLIENTS).map(|number| greedy(greed, number, port, end)).collect();
        let seen = behave(&server, time).await?;
        while crowd.join_next().await.is_some() {}
        rows.push(Row {
            what: format!("good answers beside {CLIENTS} greedy clients ({name}), %"),
            ours: seen.good,
            peer: None,
            aim: Some(Aim::AtLeast(100.0)),
        });
        rows.push(Row {
            what: format!("99th percentile beside them ({name}), ms"),
            ours: seen.p99,
            peer: Some(("alone", idle.p99)),
            aim: Some(Aim::AtMost(3.0)),
        });
    }
    rows.push(Row {
        what: "most resident memory of the server meanwhile, MB".to_owned(),
        ours: peak(server.pid())?,
        peer: None,
        aim: Some(Aim::AtMost(300.0)),
    });
    Ok(rows)
}
