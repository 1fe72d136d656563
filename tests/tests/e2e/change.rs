//! Swaps and reloads of a busy server: uploads, downloads and requests do not notice them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use streamgate_tests::server::{Server, Setup, repository};
use streamgate_tests::tus::{Upload, upload_file};
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, media};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Requests an address repeatedly, as eight clients, until stopped.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(server: &Server, path: &str) -> Self {
        let url = server.url(path);
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..8).map(|_| {
            let (http, url) = (server.client(), url.clone());
            let (stop, answered) = (stop.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = http.get(&url).send().await.expect("an answer");
                    assert_eq!(answer.status(), 200, "{url}");
                    answer.bytes().await.expect("a whole answer");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { stop, answered, clients }
    }

    /// Waits for some more answers.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more answers", Duration::from_secs(20), async || {
            let broken = self.clients.iter().any(JoinHandle::is_finished);
            (broken || self.answered.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}

/// A copy of the repository's configuration that can be changed.
struct Config(TempDir);

impl Config {
    fn new() -> Self {
        let config = Self(TempDir::new().expect("a temporary folder"));
        config.write("");
        config
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("plugins.toml")
    }

    /// With these lines in the table of `metadata`.
    fn write(&self, lines: &str) {
        let text = std::fs::read_to_string(repository().join("plugins.toml")).expect("readable");
        let changed = text.replacen("[plugins.metadata]\n", &format!("[plugins.metadata]\n{lines}\n"), 1);
        assert_ne!(text, changed);
        std::fs::write(self.path(), changed).expect("written");
    }
}

/// The gateway looks for a predecessor while it starts, which is itself on a restart.
#[tokio::test(flavor = "multi_thread")]
async fn every_plugin_of_the_default_edition_restarts_on_request() {
    let mut server = Server::start().await;
    let plugins: Value = serde_json::from_str(&server.control(&["plugins", "--json"]).await).expect("JSON");
    let names: Vec<_> = plugins["plugins"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert!(names.iter().any(|name| *name == "gateway"), "{plugins:#}");
    for name in names.iter().filter_map(|name| name.as_str()) {
        assert_eq!(server.control(&["restart", name]).await, format!("{name} runs"));
    }
    server.ready().await;
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_another_configuration_file_changes_nothing_and_names_the_servers_file() {
    let (config, other) = (Config::new(), Config::new());
    let mut server = Setup::default().config(config.path()).start().await;
    let own = config.path().display().to_string();
    let (_, nothing, note) = server.try_control(&["reload"]).await;
    assert_eq!((nothing.as_str(), note), ("nothing differs", format!("the running streamgate reads {own}")));
    config.write("log = \"debug\"");
    let other = other.path().display().to_string();
    for words in [&["reload"][..], &["reload", "--dry-run"], &["swap", "metadata"], &["restart", "metadata"]]
    {
        let (code, output, error) = server.try_control(&[words, &["--config", &other]].concat()).await;
        assert_eq!((code, output.as_str()), (Some(1), ""), "{words:?}: {error}");
        assert!(error.contains(&format!("reads {own},")) && error.contains(&other), "{error}");
    }
    assert_eq!(server.control(&["reload", "--config", &own]).await, "swapped metadata");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_swaps_and_twenty_reloads_under_load_fail_no_request_and_cut_no_stream() {
    let config = Config::new();
    let mut server: Server = Setup::default().config(config.path()).start().await;
    let id = upload_file(&server, &clips::plain("1280x720", "25", 11.0)).await.expect("uploaded");
    let content = server.finished(&id).await;
    let hls = content.hls.as_deref().expect("an address");
    let playlists = media::hls(&server, hls).await.expect("playlists");

    // Downloads that have begun and are only read at the end, and a half-sent upload.
    let mut downloads = Vec::new();
    for playlist in &playlists {
        let Some((url, _)) = playlist.segments.first() else { continue };
        let mut answer = server.http().get(url.clone()).send().await.expect("an answer");
        let promised = answer.content_length().expect("a length");
        let begun = answer.chunk().await.expect("a first part").map_or(0, |part| part.len());
        downloads.push((answer, promised, begun as u64));
    }
    let data = Bytes::from(vec![7_u8; 1 << 20]);
    let upload = Upload::create(&server, data.len() as u64, &[]).await.expect("created");
    let (parts, mut rest) = mpsc::channel::<Bytes>(4);
    parts.send(data.slice(..1 << 19)).await.expect("the request takes it");
    let body = stream::poll_fn(move |context| rest.poll_recv(context)).map(Ok::<_, std::convert::Infallible>);
    let sending = {
        let upload = upload.clone();
        tokio::spawn(async move { upload.patch(0, reqwest::Body::wrap_stream(body)).await })
    };

    // A stalled body is ended, and this may take long.
    let mut sent = 1 << 19;
    let mut pieces = async || {
        let piece = data.slice(sent..sent + (8 << 10));
        sent += piece.len();
        parts.send(piece).await.expect("the request continues");
    };

    let loads = [Load::begin(&server, "/api/v1/contents"), Load::begin(&server, hls)];
    for round in 0..20 {
        pieces().await;
        let name = ["metadata", "gateway", "streaming", "worker", "transcoder", "auth"][round % 6];
        assert_eq!(server.control(&["swap", name]).await, format!("{name} is swapped"));
        for load in &loads {
            load.goes_on().await;
        }
    }
    for round in 0..20 {
        pieces().await;
        config.write(if round % 2 == 0 { "log = \"debug\"" } else { "" });
        assert_eq!(server.control(&["reload"]).await, "swapped metadata");
        for load in &loads {
            load.goes_on().await;
        }
    }
    for load in loads {
        load.end().await;
    }
    for (mut answer, promised, mut got) in downloads {
        while let Some(part) = answer.chunk().await.expect("not cut off") {
            got += part.len() as u64;
        }
        assert_eq!(got, promised);
    }
    parts.send(data.slice(sent..)).await.expect("the request continues");
    drop(parts);
    assert_eq!(sending.await.expect("no panic").expect("not cut off"), 1 << 20);
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_and_database_are_exchanged_while_requests_wait() {
    let mut server = Server::start().await;
    let id = upload_file(&server, &clips::plain("640x360", "25", 4.0)).await.expect("uploaded");
    let content = server.finished(&id).await;
    let hls = content.hls.as_deref().expect("an address");
    let loads = [Load::begin(&server, "/api/v1/contents"), Load::begin(&server, hls)];
    for name in ["sqlite", "storage-fs", "sqlite", "storage-fs"] {
        assert_eq!(server.control(&["swap", name]).await, format!("{name} is swapped"));
        for load in &loads {
            load.goes_on().await;
        }
    }
    for load in loads {
        load.end().await;
    }
    let again = upload_file(&server, &clips::plain("640x360", "25", 4.0)).await.expect("uploaded");
    server.finished(&again).await;
    assert_eq!(server.stop().await.code(), Some(0));
}

/// A stream of events, as a client reads it.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(server: &Server, last: Option<&str>) -> Self {
        let mut request = server.http().get(server.url("/api/v1/contents/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        Self { answer, text: String::new() }
    }

    /// Reads until this text appears, or to the end.
    async fn read_to(&mut self, wanted: Option<&str>) {
        let reading = async {
            while !wanted.is_some_and(|wanted| self.text.contains(wanted)) {
                match self.answer.chunk().await.expect("not cut off") {
                    Some(piece) => self.text.push_str(&String::from_utf8_lossy(&piece)),
                    None => return assert_eq!(wanted, None, "it ended: {}", self.text),
                }
            }
        };
        // Far less than the kernel's `drain_deadline`.
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        read.unwrap_or_else(|_| panic!("{wanted:?} did not come: {}", self.text));
    }

    /// Of the last event.
    fn id(&self) -> &str {
        let id = self.text.lines().rev().find_map(|line| line.strip_prefix("id: "));
        id.expect("an event with an id")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_live_changes_moves_to_the_new_run_and_misses_none() {
    let mut server = Server::start().await;
    let upload = Upload::create(&server, 1 << 20, &[("filename", "one.mp4")]).await.expect("created");
    let name = async |title: &str| {
        let url = server.url(&format!("/api/v1/contents/{}", upload.id));
        let answer = server.http().patch(url).json(&serde_json::json!({ "title": title })).send();
        assert_eq!(answer.await.expect("an answer").status(), 200, "{title}");
    };
    let mut events = Events::open(&server, None).await;
    events.read_to(Some("open")).await;
    name("before the swap").await;
    events.read_to(Some("before the swap")).await;
    for round in 1..=2 {
        assert_eq!(server.control(&["swap", "metadata"]).await, "metadata is swapped");
        events.read_to(None).await;
        let meanwhile = format!("while nobody listened, {round}");
        name(&meanwhile).await;
        events = Events::open(&server, Some(events.id())).await;
        events.read_to(Some(&meanwhile)).await;
        let afterwards = format!("afterwards, {round}");
        name(&afterwards).await;
        events.read_to(Some(&afterwards)).await;
    }
    assert_eq!(server.stop().await.code(), Some(0));
}
