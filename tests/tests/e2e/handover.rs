//! A swap of the gateway as in a container whose processes may not inspect one another: the new run takes
//! over the listening sockets, and clients do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::{eventually, every};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const CLIENTS: usize = 8;
const SWAPS: usize = 10;
/// Bytes of an upload that continues over all swaps.
const UPLOAD: usize = 1 << 20;
const PIECE: usize = 8 << 10;

/// Clients that open a connection for each request.
struct Callers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Callers {
    fn begin(server: &Server) -> Self {
        let port = server.port();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..CLIENTS).map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            tokio::spawn(async move {
                // Some hundred connections per second each; more would use up the ports of the machine.
                let mut pace = every(Duration::from_millis(4));
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("not refused");
                    tcp.write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                        .await
                        .expect("not cut");
                    let mut answer = Vec::new();
                    tcp.read_to_end(&mut answer).await.expect("not cut");
                    let answer = String::from_utf8_lossy(&answer);
                    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('}'), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { stop, answered, clients }
    }

    async fn go_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more answers", Duration::from_secs(30), async || {
            let broken = self.clients.iter().any(JoinHandle::is_finished);
            (broken || self.answered.load(Ordering::Relaxed) > before + 5 * CLIENTS).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no connection failed");
        }
    }
}

async fn swaps_of_the_gateway_disturb_no_client(setup: Setup) {
    let mut server = setup.launched_by(env!("CARGO_BIN_EXE_contained")).start().await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert!(status.contains("Seccomp:\t2"), "the server is not confined: {status}");

    let upload = Upload::create(&server, UPLOAD as u64, &[]).await.expect("created");
    let (parts, mut rest) = mpsc::channel::<Bytes>(4);
    let body = stream::poll_fn(move |context| rest.poll_recv(context)).map(Ok::<_, std::convert::Infallible>);
    let sending = tokio::spawn(async move { upload.patch(0, reqwest::Body::wrap_stream(body)).await });
    let callers = Callers::begin(&server);
    for _ in 0..SWAPS {
        parts.send(Bytes::from(vec![7; PIECE])).await.expect("the request continues");
        assert_eq!(server.control(&["swap", "gateway"]).await, "gateway is swapped");
        callers.go_on().await;
    }
    callers.end().await;
    parts.send(Bytes::from(vec![7; UPLOAD - SWAPS * PIECE])).await.expect("the request continues");
    drop(parts);
    assert_eq!(sending.await.expect("no panic").expect("not cut off"), UPLOAD as u64);

    let left = std::fs::read_dir(server.data_dir().join("gateway")).expect("its directory");
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("handover")), "{left:?}");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_where_processes_may_not_look_into_one_another_refuse_and_cut_no_connection() {
    swaps_of_the_gateway_disturb_no_client(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_do_swaps_of_a_gateway_in_a_process_of_its_own() {
    let isolated = Setup::default().set("plugins.gateway.isolation", "process");
    swaps_of_the_gateway_disturb_no_client(isolated.set("plugins.gateway.process.network", true)).await;
}
