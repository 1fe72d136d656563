//! Swaps of the storage and the database under load: a slow reader or writer delays no other client, and is
//! not cut off.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::wait::eventually;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// More than all buffers between the disk and a client that does not read.
const LARGE: usize = 48 << 20;

async fn server() -> (Server, TempDir) {
    let (setup, folder) = Setup::of_text(
        "[plugins.gateway]\n[plugins.sqlite]\n[plugins.storage-fs]\n[plugins.fixture-ledger]\n",
    );
    let setup = setup.with_fixtures().set("plugins.gateway.max_body", "1GiB");
    (setup.start().await, folder)
}

/// Clients that repeatedly write rows, and write, read and delete objects; none may fail.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    /// Microseconds: the longest wait of a request since the last reset.
    longest: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(server: &Server) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let longest = Arc::new(AtomicU64::new(0));
        let clients = (0..6).map(|client| {
            let (http, base) = (server.client(), server.url(""));
            let (stop, answered, longest) = (stop.clone(), answered.clone(), longest.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let object = format!("{base}/ledger-objects/small/{client}/{number}");
                    let request = match (client % 2, number % 3) {
                        (0, _) => http.post(format!("{base}/ledger/{client}-{number}")),
                        (_, 0) => http.put(&object).body(vec![7_u8; 100_000]),
                        (_, 1) => http.get(format!("{base}/ledger-objects/small/{client}/{}", number - 1)),
                        _ => http.delete(format!("{base}/ledger-objects/small/{client}/{}", number - 2)),
                    };
                    let began = Instant::now();
                    let answer = request.send().await.expect("an answer");
                    let status = answer.status();
                    let text = answer.bytes().await.expect("a whole answer");
                    longest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                    assert!(status.is_success(), "{client} {number}: {status} {text:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { stop, answered, longest, clients }
    }

    /// Waits until each client had some more answers, within the time of a drain.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more answers", Duration::from_secs(20), async || {
            let broken = self.clients.iter().any(JoinHandle::is_finished);
            (broken || self.answered.load(Ordering::Relaxed) > before + 60).then_some(())
        })
        .await;
    }

    /// The longest wait of any of them since the last call.
    fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.swap(0, Ordering::Relaxed))
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}

/// A client that requested an object and read only the beginning of the response.
struct SlowReader(TcpStream, Vec<u8>);

impl SlowReader {
    fn begin(server: &Server, path: &str) -> Self {
        let url = server.url("");
        let mut socket = TcpStream::connect(url.trim_start_matches("http://")).expect("connected");
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut head = vec![0; 1000];
        socket.read_exact(&mut head).expect("a beginning");
        Self(socket, head)
    }

    fn reads_to_the_end(mut self) -> Vec<u8> {
        self.0.read_to_end(&mut self.1).expect("it is not cut");
        let head = self.1.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        self.1.split_off(head)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_of_storage_and_database_waits_for_no_slow_reader_or_writer_and_cuts_none() {
    let (mut server, _config) = server().await;
    let large: Bytes = (0..LARGE).map(|at| (at / 999) as u8).collect();
    let url = server.url("/ledger-objects/large");
    let stored = server.http().put(&url).body(large.clone()).send().await.expect("an answer");
    assert_eq!(stored.status(), 201);

    let readers: Vec<_> = (0..2).map(|_| SlowReader::begin(&server, "/ledger-objects/large")).collect();
    let (parts, mut rest) = mpsc::channel::<Bytes>(1);
    let body = stream::poll_fn(move |context| rest.poll_recv(context)).map(Ok::<_, std::convert::Infallible>);
    let sending =
        server.http().put(server.url("/ledger-objects/slow")).body(reqwest::Body::wrap_stream(body)).send();
    let sending = tokio::spawn(sending);
    let mut pieces = large.chunks(1 << 20).map(Bytes::copy_from_slice);
    parts.send(pieces.next().expect("a piece")).await.expect("it is taken");

    let load = Load::begin(&server);
    load.goes_on().await;
    let mut longest = load.longest();
    eprintln!("without a swap a request waited {longest:?}");
    for round in 0..6 {
        let name = ["storage-fs", "sqlite"][round % 2];
        let began = Instant::now();
        assert_eq!(server.control(&["swap", name]).await, format!("{name} is swapped"));
        let took = began.elapsed();
        load.goes_on().await;
        let waited = load.longest();
        eprintln!("the swap of {name} took {took:?}, and a request waited {waited:?}");
        longest = longest.max(waited);
        parts.send(pieces.next().expect("a piece")).await.expect("it is taken");
    }
    load.end().await;
    // Far less than a drain may take; how far depends on the machine.
    assert!(longest < Duration::from_secs(10), "a request waited {longest:?}");

    drop(parts);
    assert_eq!(sending.await.expect("no panic").expect("an answer").status(), 201);
    let sent = server.http().get(server.url("/ledger-objects/slow")).send().await.expect("an answer");
    assert!(sent.bytes().await.expect("whole") == large[..7 << 20]);
    for reader in readers {
        assert!(reader.reads_to_the_end() == large, "another object than was stored");
    }
    assert_eq!(server.stop().await.code(), Some(0));
}
