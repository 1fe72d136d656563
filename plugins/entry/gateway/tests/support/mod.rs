//! A gateway over real TCP with services of this process behind it, and a client that sends raw bytes.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use serde_json::json;
use streamgate_gateway::{Figures, Filters, Report, Route, Server, Settings, Table};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) table: Arc<Table>,
    pub(crate) address: SocketAddr,
}

/// Settings for a free port and one thread.
pub(crate) fn settings() -> Settings {
    serde_json::from_value(json!({ "listen": "127.0.0.1:0", "threads": 1, "drain_timeout": "5s" })).unwrap()
}

pub(crate) fn start(
    settings: &Settings,
    routes: impl IntoIterator<Item = (&'static str, Router)>,
) -> Gateway {
    start_with(settings, routes, Arc::new(|| json!({ "status": "healthy", "ready": true, "plugins": [] })))
}

pub(crate) fn start_with(
    settings: &Settings,
    routes: impl IntoIterator<Item = (&'static str, Router)>,
    report: Report,
) -> Gateway {
    start_filtered(settings, routes, report, |_| Client::from_service(Router::new()))
}

pub(crate) fn start_filtered(
    settings: &Settings,
    routes: impl IntoIterator<Item = (&'static str, Router)>,
    report: Report,
    filters: impl Fn(&str) -> Client,
) -> Gateway {
    let table = Arc::new(Table::new(settings.unlimited_bodies.clone()));
    table.replace(
        routes
            .into_iter()
            .map(|(prefix, router)| Route { prefix: prefix.into(), service: Client::from_service(router) }),
    );
    let filters = Filters::new(settings, filters);
    let figures = Figures::new(&Metrics::new("gateway"));
    let server = Server::start(settings, table.clone(), filters, (report, figures), Vec::new()).unwrap();
    let address = server.addresses()[0];
    Gateway { server, table, address }
}

impl Gateway {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw::over(TcpStream::connect(self.address).await.unwrap())
    }
}

/// A client of raw bytes.
pub(crate) struct Raw {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
}

/// A received response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Raw {
    pub(crate) fn over(tcp: TcpStream) -> Self {
        Self { tcp, read: Vec::new() }
    }

    /// Whether something can be read without waiting.
    pub(crate) fn answered(&mut self) -> bool {
        let mut buffer = [0; 4 << 10];
        if let Ok(read) = self.tcp.try_read(&mut buffer) {
            self.read.extend_from_slice(&buffer[..read]);
        }
        !self.read.is_empty()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next response, with a body of its Content-Length or of chunks.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.more().await,
                "the connection ended before a head: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let head = String::from_utf8(self.read.drain(..end + 4).take(end).collect()).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        if method == "HEAD" || status == 304 || status == 204 || status < 200 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line().await;
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                let chunk = self.take(size + 2).await;
                answer.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer.header("content-length").unwrap().parse().unwrap();
        answer.body = self.take(length).await;
        answer
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.read.windows(2).position(|window| window == b"\r\n") {
                return String::from_utf8(self.read.drain(..at + 2).collect()).unwrap();
            }
            assert!(self.more().await, "the connection ended within a line");
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended within a body");
        }
        self.read.drain(..length).collect()
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let read = tokio::time::timeout(Duration::from_secs(20), self.tcp.read(&mut buffer))
            .await
            .expect("no answer in 20 s");
        let read = read.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Whether the gateway closed the connection without sending more.
    pub(crate) async fn ended(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }
}

/// Counts what a plugin holds open, such as streams, until the gateway drops it.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

/// One open stream.
pub(crate) struct Open(Count);

impl Count {
    pub(crate) fn open(&self) -> Open {
        self.0.fetch_add(1, Ordering::SeqCst);
        Open(self.clone())
    }

    /// Resolves when this many are open.
    pub(crate) async fn reaches(&self, many: usize) {
        let waited = async {
            while self.0.load(Ordering::SeqCst) != many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited).await.expect("it never came");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
