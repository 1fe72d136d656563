//! A flood of connections beyond the limit, in its own process, because its descriptors are counted.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use futures_util::future::join_all;
use support::{settings, start};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const FLOOD: usize = 400;
/// Refused clients that are given time to read the reason.
const LINGERING: usize = 64;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn clients_that_are_turned_away_and_do_not_leave_hold_few_descriptors() {
    let gateway = start(&streamgate_gateway::Settings { max_connections: 2, ..settings() }, []);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut one = gateway.connect().await;
        one.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(one.answer().await.status, 200);
        held.push(one);
    }
    let before = descriptors();
    let flood = join_all((0..FLOOD).map(|_| async {
        let mut tcp = TcpStream::connect(gateway.address).await.unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        (tcp, answer)
    }))
    .await;
    let of_the_gateway = descriptors() - before - FLOOD;
    assert!(of_the_gateway <= LINGERING, "{of_the_gateway} connections are held for clients without a place");
    let told = flood.iter().filter(|(_, answer)| answer.starts_with(b"HTTP/1.1 503 ")).count();
    assert!(told >= LINGERING, "only {told} clients were told why");
    // A connection with a slot keeps it.
    for one in &mut held {
        one.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(one.answer().await.status, 200);
    }
}
