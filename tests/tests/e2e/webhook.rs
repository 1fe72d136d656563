//! `examples/webhook`: events reach third-party receivers, signed and at least once. The receivers check
//! signatures with the code of the example's README.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, binaries, cache, command, repository};
use streamgate_tests::tools::run;
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=";
const OTHER_SECRET: &str = "whsec_bmV2ZXJuZXZlcm5ldmVybmV2ZXJuZXZlcm5ldmVy";

const PATIENCE: Duration = Duration::from_secs(30);

/// The part of the default edition that the tests need.
const EDITION: &str = "[plugins.gateway]\n[plugins.storage-fs]\n[plugins.sqlite]\n[plugins.metadata]\n\
                       [plugins.worker]\n[plugins.upload]\n";

/// Builds the example, and returns the path of its cdylib.
fn built() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| cargo("build"));
    cache().join("third-party").join("debug")
}

fn cargo(command: &str) {
    run(Command::new(env!("CARGO"))
        .args([command, "--locked", "--manifest-path"])
        .arg(repository().join("examples/webhook/Cargo.toml"))
        .arg("--target-dir")
        .arg(cache().join("third-party")))
    .unwrap_or_else(|error| panic!("cargo {command} of the example: {error:#}"));
}

#[test]
fn the_example_passes_its_own_tests() {
    cargo("test");
}

/// A configuration with the plugin that can be changed.
struct Config(TempDir);

impl Config {
    fn new(webhook: &str) -> Self {
        let config = Self(TempDir::new().expect("a temporary folder"));
        config.write(webhook);
        config
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("plugins.toml")
    }

    fn write(&self, webhook: &str) {
        let quick =
            "timeout = \"3s\"\nconnect_timeout = \"1s\"\nbackoff = \"20ms\"\nmax_backoff = \"20ms\"\n";
        let text = format!("{EDITION}[plugins.webhook]\n{quick}{webhook}");
        fs::write(self.path(), text).expect("written");
    }

    async fn start(&self) -> Server {
        Setup::default().config(self.path()).plugins_in(built()).start().await
    }
}

/// The table of an endpoint.
fn endpoint(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[plugins.webhook.endpoints]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}\n"
    )
}

/// A request that a receiver got.
#[derive(Debug, Clone)]
struct Received {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Received {
    /// Checks the signature as the README describes.
    fn is_signed_with(&self, secret: &str) -> bool {
        let readme = fs::read_to_string(repository().join("examples/webhook/README.md")).expect("README.md");
        let (_, code) = readme.split_once("```python\n").expect("its code");
        let (code, _) = code.split_once("```").expect("the end of its code");
        let ask = "import json, sys\nverify(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3].encode())\n";
        let headers = serde_json::to_string(&self.headers).expect("JSON");
        run(Command::new("python3").args(["-c", &format!("{code}\n{ask}"), secret, &headers, &self.body]))
            .is_ok()
    }

    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

/// A third-party server on its own port.
struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    /// Status and headers of its answers; `None` while it does not answer.
    answer: Arc<Mutex<Option<String>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let receiver = Self { port, received: Arc::default(), answer: Arc::default() };
        receiver.answers("204 No Content");
        let (received, answer) = (receiver.received.clone(), receiver.answer.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, received.clone(), answer.clone()));
            }
        });
        receiver
    }

    /// Sets a status line and headers for further requests.
    fn answers(&self, head: &str) {
        *self.answer.lock().expect("no panic") = Some(head.to_owned());
    }

    /// Accepts further requests without answering.
    fn hangs(&self) {
        *self.answer.lock().expect("no panic") = None;
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic").clone()
    }

    async fn receives(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        eventually("a request", PATIENCE, async || self.received().into_iter().find(&wanted)).await
    }
}

/// One request per connection.
async fn serve(stream: TcpStream, received: Arc<Mutex<Vec<Received>>>, answer: Arc<Mutex<Option<String>>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
        return;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.expect("a head");
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    stream.read_exact(&mut body).await.expect("a body");
    let body = String::from_utf8(body).expect("text");
    received.lock().expect("no panic").push(Received { line, headers, body });
    let head = answer.lock().expect("no panic").clone();
    match head {
        None => std::future::pending().await,
        Some(head) => {
            let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            // A process that was killed meanwhile does not read it.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

const API: &str = "/api/v1/webhooks";

async fn ask(server: &Server, method: &str, path: &str) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let answer =
        server.http().request(method, server.url(&format!("{API}{path}"))).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a text");
    assert!(!text.contains("MfKQ"), "a secret is shown: {text}");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// Sends a test event; returns the id of its delivery.
async fn send_test(server: &Server, endpoint: &str) -> String {
    let (status, delivery) = ask(server, "POST", &format!("/endpoints/{endpoint}/test")).await;
    assert_eq!(status, 202, "{delivery}");
    delivery["id"].as_str().expect("an id").to_owned()
}

/// Waits until a delivery is in the wanted state.
async fn delivery_when(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(format!("delivery {id}"), PATIENCE, async || {
        let (_, delivery) = ask(server, "GET", &format!("/deliveries/{id}")).await;
        wanted(&delivery).then_some(delivery)
    })
    .await
}

async fn delivery_that_is(server: &Server, id: &str, state: &str) -> Value {
    delivery_when(server, id, |delivery| delivery["state"] == state).await
}

async fn retitle(server: &Server, id: &str, title: &str) {
    let request = server.http().patch(server.url(&format!("/api/v1/contents/{id}")));
    let request = request.header("content-type", "application/merge-patch+json");
    let answer = request.body(json!({ "title": title }).to_string()).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.expect("a text"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_content_arrives_as_a_signed_cloud_event_also_after_the_settings_changed() {
    let receiver = Receiver::start().await;
    let open = "allow_private_networks = true\n";
    let changes = format!("subjects = [\"content.*.changed\"]\nprevious_secret = \"{OLD_SECRET}\"");
    let plain = endpoint("plain", &receiver.url(), &changes);
    let config = Config::new(&format!("{open}{plain}"));
    let mut server = config.start().await;

    let id = Upload::create(&server, 10, &[("filename", "a.mp4")]).await.expect("created").id;
    retitle(&server, &id, "A new title").await;
    let got = receiver.receives(|got| got.headers["ce-subject"] == format!("content.{id}.changed")).await;
    assert_eq!(got.line.trim_end(), "POST /hook HTTP/1.1");
    assert_eq!(got.headers["ce-specversion"], "1.0");
    assert_eq!(got.headers["ce-type"], "streamgate.content.changed.v1");
    assert_eq!(got.headers["ce-source"], "streamgate/metadata");
    assert_eq!(got.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(body["id"], id);
    assert!(got.is_signed_with(SECRET) && got.is_signed_with(OLD_SECRET));
    assert!(!got.is_signed_with(OTHER_SECRET));
    let forged = Received { body: got.body.replace(&id, "another"), ..got.clone() };
    assert!(!forged.is_signed_with(SECRET));
    delivery_that_is(&server, got.id(), "delivered").await;

    // Applied while it runs: the same plugin continues, with one more endpoint.
    let pid = server.pid();
    let whole = endpoint("whole", &receiver.url(), "structured = true\nsubjects = [\"content.>\"]");
    config.write(&format!("{open}{plain}{whole}"));
    let said = server.control(&["reload"]).await;
    assert!(said.contains("gave webhook its new settings"), "{said}");
    retitle(&server, &id, "Another title").await;
    let got = receiver.receives(|got| got.headers["content-type"].contains("cloudevents")).await;
    assert!(got.is_signed_with(SECRET) && !got.is_signed_with(OLD_SECRET));
    let event: Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["subject"], format!("content.{id}.changed"));
    assert_eq!(event["data"]["id"], id);
    delivery_that_is(&server, got.id(), "delivered").await;

    // A new build takes over without a pause.
    assert_eq!(server.control(&["swap", "webhook"]).await, "webhook is swapped");
    let test = send_test(&server, "plain").await;
    delivery_that_is(&server, &test, "delivered").await;

    let (_, endpoints) = ask(&server, "GET", "/endpoints").await;
    let states: Vec<_> =
        endpoints["items"].as_array().expect("a list").iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["active", "active"], "{endpoints}");
    assert_eq!(server.pid(), pid);
    assert!(!server.log().contains("MfKQ"), "a secret is in the log");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_tried_again_then_dead_and_can_be_delivered_again() {
    let receiver = Receiver::start().await;
    let only = endpoint("only", &receiver.url(), "subjects = [\"nothing.at.all\"]");
    let config = Config::new(&format!("allow_private_networks = true\nmax_attempts = 3\n{only}"));
    let mut server = config.start().await;

    receiver.answers("500 Internal Server Error");
    let id = send_test(&server, "only").await;
    let dead = delivery_that_is(&server, &id, "dead").await;
    let attempts = dead["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 3, "{dead}");
    assert!(attempts.iter().all(|attempt| attempt["status"] == 500), "{dead}");
    assert_eq!(dead["reason"], "it answered 500 Internal Server Error");
    let report = server.control(&["plugins", "--json"]).await;
    assert!(report.contains("deliveries fail: it answered 500"), "{report}");
    let (_, failing) = ask(&server, "GET", "/endpoints/only").await;
    assert_eq!((&failing["state"], &failing["dead"]), (&json!("failing"), &json!(1)), "{failing}");

    receiver.answers("200 OK");
    assert_eq!(ask(&server, "POST", &format!("/deliveries/{id}/redeliver")).await.0, 200);
    let delivered = delivery_that_is(&server, &id, "delivered").await;
    assert_eq!(delivered["attempt_count"], 4, "{delivered}");
    let got = receiver.received();
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|got| got.id() == id && got.is_signed_with(SECRET)), "one id, however often");
    // Each attempt is its own span, in the trace of the request that caused the event.
    let (cause, span) = (&got[0].headers["ce-traceparent"], &got[0].headers["traceparent"]);
    assert!(cause[..35] == span[..35] && cause != span, "{cause} {span}");
    assert_eq!(ask(&server, "DELETE", &format!("/deliveries/{id}")).await.0, 409);

    // All dead ones of an endpoint at once; a redirect is not a success, and is not followed.
    receiver.answers(&format!("307 Temporary Redirect\r\nLocation: {}", server.url("/")));
    let more = [send_test(&server, "only").await, send_test(&server, "only").await];
    for id in &more {
        let dead = delivery_that_is(&server, id, "dead").await;
        assert!(dead["reason"].as_str().is_some_and(|reason| reason.contains("not followed")), "{dead}");
    }
    let (_, page) = ask(&server, "GET", "/deliveries?state=dead&limit=1").await;
    let next = page["next_cursor"].as_str().expect("another page");
    let (_, rest) = ask(&server, "GET", &format!("/deliveries?state=dead&limit=1&cursor={next}")).await;
    assert_eq!((&page["items"][0]["id"], &rest["items"][0]["id"]), (&json!(more[1]), &json!(more[0])));
    assert_eq!(rest["next_cursor"], Value::Null);
    receiver.answers("202 Accepted");
    let (_, done) = ask(&server, "POST", "/endpoints/only/redeliver").await;
    assert_eq!(done["redelivered"], 2);
    for id in &more {
        delivery_that_is(&server, id, "delivered").await;
    }

    // It may request a pause, which can be lifted; dead ones can be discarded.
    receiver.answers("429 Too Many Requests\r\nRetry-After: 3600");
    let id = send_test(&server, "only").await;
    let waiting = delivery_when(&server, &id, |delivery| delivery["attempt_count"] == 1).await;
    let (due, updated) = (waiting["due_at"].as_str(), waiting["updated_at"].as_str());
    let hour = |time: Option<&str>| time.and_then(|time| time.get(..13)).expect("a time").to_owned();
    assert_ne!(hour(due), hour(updated), "an hour later: {waiting}");
    let (_, paused) = ask(&server, "GET", "/endpoints/only").await;
    assert!(paused["paused_until"].is_string(), "{paused}");
    receiver.answers("200 OK");
    let (_, enabled) = ask(&server, "POST", "/endpoints/only/enable").await;
    assert_eq!(enabled["paused_until"], Value::Null);
    let id = send_test(&server, "only").await;
    delivery_that_is(&server, &id, "delivered").await;

    receiver.answers("400 Bad Request");
    let id = send_test(&server, "only").await;
    delivery_that_is(&server, &id, "dead").await;
    assert_eq!(ask(&server, "DELETE", "/deliveries?state=dead&endpoint=only").await.1["deleted"], 1);
    assert_eq!(ask(&server, "GET", &format!("/deliveries/{id}")).await.0, 404);
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_too_much_waits_the_oldest_are_dead_letters_and_publishers_go_on() {
    let receiver = Receiver::start().await;
    let only = endpoint("only", &receiver.url(), "subjects = [\"content.*.changed\"]");
    let bounds = "allow_private_networks = true\nmax_parallel = 1\nmax_waiting = 2\n";
    let config = Config::new(&format!("{bounds}{only}"));
    let mut server = config.start().await;
    receiver.hangs();
    let mut created = Vec::new();
    for _ in 0..6 {
        created.push(Upload::create(&server, 10, &[]).await.expect("created").id);
    }
    let dead = eventually("dead letters", PATIENCE, async || {
        let (_, page) = ask(&server, "GET", "/deliveries?state=dead").await;
        page["items"].as_array().filter(|items| items.len() >= 4).cloned()
    })
    .await;
    assert!(dead.iter().all(|it| it["reason"].as_str().is_some_and(|reason| reason.contains("max_waiting"))));
    let (_, full) = ask(&server, "GET", "/endpoints/only").await;
    assert!(full["waiting"].as_u64().is_some_and(|waiting| waiting <= 2), "{full}");
    let report = server.control(&["plugins", "--json"]).await;
    assert!(report.contains("the oldest go to the dead letters"), "{report}");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_taking_and_delivering_loses_nothing() {
    let receiver = Receiver::start().await;
    let only = endpoint("only", &receiver.url(), "subjects = [\"content.*.changed\"]");
    let config = Config::new(&format!("allow_private_networks = true\nmax_parallel = 2\n{only}"));
    let mut server = config.start().await;

    // Some are being sent and others are waiting when the process is killed.
    receiver.hangs();
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(Upload::create(&server, 10, &[]).await.expect("created").id);
    }
    for id in &created {
        retitle(&server, id, "Taken").await;
    }
    let taken = eventually("all changes in the table", PATIENCE, async || {
        let (_, page) = ask(&server, "GET", "/deliveries?state=waiting&limit=200").await;
        let items = page["items"].as_array()?.clone();
        let about =
            |id: &String| items.iter().any(|it| it["event"]["subject"] == format!("content.{id}.changed"));
        created.iter().all(about).then_some(items)
    })
    .await;
    receiver.receives(|_| true).await;
    server.kill().await;

    receiver.answers("204 No Content");
    server.restart().await;
    for item in &taken {
        let id = item["id"].as_str().expect("an id");
        delivery_that_is(&server, id, "delivered").await;
        receiver.receives(|got| got.id() == id && got.is_signed_with(SECRET)).await;
    }
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hands_back_what_is_under_way() {
    let receiver = Receiver::start().await;
    let only = endpoint("only", &receiver.url(), "");
    let config = Config::new(&format!("allow_private_networks = true\nstop_timeout = \"100ms\"\n{only}"));
    let mut server = config.start().await;
    receiver.hangs();
    let id = send_test(&server, "only").await;
    receiver.receives(|got| got.id() == id).await;
    assert_eq!(server.stop().await.code(), Some(0));
    assert!(server.log().contains("broken off, to be repeated"));

    receiver.answers("204 No Content");
    server.restart().await;
    delivery_that_is(&server, &id, "delivered").await;
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_public_are_refused_unless_the_settings_allow_them() {
    let receiver = Receiver::start().await;
    let dirs = [binaries(), built()];

    // In a literal address, it is found before anything runs.
    let config = Config::new(&endpoint("literal", &receiver.url(), ""));
    let home = TempDir::new().expect("a temporary folder");
    let path = config.path();
    let dirs_set = format!("kernel.plugin_dirs={dirs:?}");
    let data_set = format!("kernel.data_dir={}", home.path().display());
    let arguments =
        ["check", "--config", path.to_str().expect("plain"), "--set", &dirs_set, "--set", &data_set];
    let output = command(&arguments, home.path()).await.expect("streamgate starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("127.0.0.1 is a loopback address"), "{said}");
    assert!(said.contains("allow_private_networks") && !said.contains("MfKQ"), "{said}");

    // Behind a name, it is found when a connection is made.
    let url = receiver.url().replace("127.0.0.1", "localhost");
    config.write(&format!("max_attempts = 1\n{}", endpoint("name", &url, "")));
    let mut server = config.start().await;
    let id = send_test(&server, "name").await;
    let dead = delivery_that_is(&server, &id, "dead").await;
    let reason = dead["reason"].as_str().expect("a reason");
    assert!(reason.contains("a loopback address") && reason.contains("allow_private_networks"), "{reason}");
    assert!(receiver.received().is_empty());
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_gets_nothing_until_it_is_enabled() {
    let receiver = Receiver::start().await;
    let only = endpoint("only", &receiver.url(), "subjects = [\"nothing.at.all\"]");
    let config = Config::new(&format!("allow_private_networks = true\n{only}"));
    let mut server = config.start().await;
    receiver.answers("410 Gone");
    let id = send_test(&server, "only").await;
    delivery_that_is(&server, &id, "dead").await;

    // It survives a restart.
    assert_eq!(server.stop().await.code(), Some(0));
    receiver.answers("200 OK");
    server.restart().await;
    let (_, gone) = ask(&server, "GET", "/endpoints/only").await;
    assert_eq!(gone["state"], "gone", "{gone}");
    let (status, problem) = ask(&server, "POST", "/endpoints/only/test").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:streamgate:problem:endpoint-disabled")));
    assert_eq!(receiver.received().len(), 1);

    let (_, enabled) = ask(&server, "POST", "/endpoints/only/enable").await;
    assert_eq!(enabled["state"], "active", "{enabled}");
    assert_eq!(ask(&server, "POST", &format!("/deliveries/{id}/redeliver")).await.0, 200);
    delivery_that_is(&server, &id, "delivered").await;
    assert_eq!(server.stop().await.code(), Some(0));
}
