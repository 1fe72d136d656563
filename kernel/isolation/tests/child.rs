//! A plugin in a child process, against a fake host: content arrives unchanged, and every end of the child is
//! reported.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_ffi::FutureExt;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::ext::Protocol;
use parking_lot::Mutex;
use streamgate_isolation::{ChildSpec, Limits, Started, start};
use streamgate_plugin_api::abi::{
    Event, EventSource, Extra, FfiFuture, HealthState, HostApi, HostHandle, LogRecord, Mounts, RResult,
    RString, Service, StartArgs, SubscribeOptions, Subscription,
};
use streamgate_plugin_api::{Body, Client, HttpService, upgrade};
use tokio::sync::mpsc;

/// What the plugin has sent to its host, a line each.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    services: Mutex<Vec<(String, Service)>>,
    changed: tokio::sync::Notify,
}

impl Told {
    fn line(&self, line: String) {
        self.lines.lock().push(line);
        self.changed.notify_waiters();
    }

    async fn wait_for(&self, part: &str) -> String {
        let found = || self.lines.lock().iter().find(|line| line.contains(part)).cloned();
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(line) = found() {
                    return line;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        waited.unwrap_or_else(|_| panic!("no `{part}` in {:#?}", self.lines.lock()))
    }

    fn client(&self, name: &str) -> Client {
        let services = self.services.lock();
        Client::from_abi(services.iter().find(|(of, _)| of == name).unwrap().1.clone())
    }
}

struct TestHost {
    told: Arc<Told>,
    events: Mutex<Option<mpsc::Receiver<Event>>>,
}

struct Events(mpsc::Receiver<Event>);

impl EventSource for Events {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

impl HostApi for TestHost {
    fn log_enabled(&self, level: u8, _: &str) -> bool {
        level <= 3
    }

    fn log(&self, record: &LogRecord<'_>) {
        let fields: Vec<_> =
            record.fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect();
        self.told.line(format!("log {} {} {}", record.level, record.message, fields.join(" ")));
    }

    fn serve(&self, service: Service) {
        self.told.services.lock().push(("public".to_owned(), service));
    }

    fn provide(&self, name: &str, service: Service) -> Result<(), String> {
        self.told.services.lock().push((name.to_owned(), service));
        Ok(())
    }

    fn service(&self, name: &str) -> Service {
        if name == "nest" {
            let told = self.told.clone();
            let nest =
                move |depth: String| async move { ask(&told.client("public"), "/nest", &depth).await.1 };
            return HttpService::into_abi(axum::Router::new().route("/nest", axum::routing::post(nest)));
        }
        let name = name.to_owned();
        let router = axum::Router::new().route(
            "/ask",
            axum::routing::post(move |body: String| async move { format!("{name} heard {body}") }),
        );
        HttpService::into_abi(router)
    }

    fn next_mounts(&self, _: u64) -> FfiFuture<Mounts> {
        std::future::pending().into_ffi()
    }

    fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>> {
        let data = String::from_utf8_lossy(event.data.as_slice()).into_owned();
        self.told.line(format!("event {} {data}", event.subject));
        let refused = data == "refuse me";
        async move { if refused { RResult::RErr("not this one".into()) } else { RResult::ROk(()) } }
            .into_ffi()
    }

    fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String> {
        self.told.line(format!("subscribed {}", options.subject));
        Ok(Subscription::new(Events(self.events.lock().take().ok_or("one subscription")?)))
    }

    fn set_health(&self, component: &str, state: HealthState, reason: &str) {
        self.told.line(format!("health {component} {state:?} {reason}"));
    }

    fn report(&self) -> String {
        r#"{"host":"of the test"}"#.to_owned()
    }

    fn panicked(&self, message: &str, location: &str) {
        self.told.line(format!("panic {message} at {location}"));
    }
}

struct Scene {
    told: Arc<Told>,
    events: mpsc::Sender<Event>,
    dir: tempfile::TempDir,
    limits: Limits,
    mode: &'static str,
    grace: Duration,
}

fn scene() -> (Scene, TestHost) {
    let told = Arc::new(Told::default());
    let (events, receiver) = mpsc::channel(16);
    let host = TestHost { told: told.clone(), events: Mutex::new(Some(receiver)) };
    let (limits, grace) = (Limits::default(), Duration::from_secs(20));
    (Scene { told, events, dir: tempfile::TempDir::new().unwrap(), limits, mode: "", grace }, host)
}

impl Scene {
    async fn start(&self, host: TestHost) -> Result<Started, String> {
        let spec = ChildSpec {
            plugin: "subject".to_owned(),
            program: program(),
            args: Vec::new(),
            cdylib: None,
            log: "info".to_owned(),
            limits: self.limits.clone(),
            grace: self.grace,
        };
        let args = StartArgs {
            settings: serde_json::json!({ "mode": self.mode }).to_string().into(),
            name: "subject".into(),
            data_dir: self.dir.path().to_str().unwrap().into(),
            extra: Extra::default(),
        };
        start(spec, HostHandle::new(host), args).await
    }

    async fn ask(&self, path: &str, body: &str) -> (u16, String) {
        ask(&self.told.client("public"), path, body).await
    }
}

async fn ask(client: &Client, path: &str, body: &str) -> (u16, String) {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let body = Body::from(body.to_owned().into_bytes());
    let request = http::Request::builder().method(method).uri(path).body(body).unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect_bytes(1 << 20).await;
    (
        status,
        body.map_or_else(|error| format!("broken: {error}"), |body| String::from_utf8(body.into()).unwrap()),
    )
}

/// The child is an example of this package, in the directory beside the tests.
fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let program = exe.ancestors().nth(2).unwrap().join("examples/streamgate_isolation_child");
    assert!(program.is_file(), "{} is built with the tests", program.display());
    program
}

fn runs(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_the_boundary_crosses_to_another_process_too() {
    let (scene, host) = scene();
    let started = scene.start(host).await.unwrap();
    assert!(runs(started.pid));
    scene.told.wait_for("log 3 subject is there mode=").await;

    // A body streams both ways, with its trailers, without buffering.
    let (pieces, body) = pieces_of_a_body();
    let request = http::Request::post("/back").body(body).unwrap();
    let response = scene.told.client("thing").send(request).await.unwrap();
    let mut back = response.into_body();
    for n in 0..100 {
        pieces.try_send(Ok(http_body::Frame::data(Bytes::from(format!("{n},"))))).unwrap();
        let piece = back.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece, format!("{n},"));
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("42"));
    pieces.try_send(Ok(http_body::Frame::trailers(trailers.clone()))).unwrap();
    drop(pieces);
    assert_eq!(back.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);

    assert_eq!(scene.ask("/neighbour", "me").await, (200, "neighbour heard me".to_owned()));
    assert_eq!(scene.ask("/report", "").await.1, r#"{"host":"of the test"}"#);
    assert_eq!(scene.ask("/publish", "news").await.1, "published");
    scene.told.wait_for("event subject.said news").await;
    assert!(scene.ask("/publish", "refuse me").await.1.contains("not this one"));
    scene.events.send(event("host.says")).await.unwrap();
    scene.told.wait_for("health ear Degraded heard host.says").await;
    assert_eq!(scene.ask("/panic", "").await.0, 500);
    scene.told.wait_for("panic on purpose at ").await;

    started.instance.ping().await;
    let same = started.instance.reconfigure(r#"{"mode":""}"#).await.into_result();
    assert_eq!(same, Ok(true));
    assert_eq!(started.instance.reconfigure(r#"{"mode":"other"}"#).await.into_result(), Ok(false));
    started.instance.drain().await;
    started.instance.stop().await;
    let exit = started.exited.now().unwrap();
    assert!(exit.expected, "{exit:?}");
    assert_eq!(exit.code, Some(0));
    assert!(!runs(started.pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_both_directions_crosses_and_each_end_hears_of_the_others() {
    let (scene, host) = scene();
    let started = scene.start(host).await.unwrap();
    let open = async || {
        let (pieces, body) = pieces_of_a_body();
        let mut request = http::Request::connect("http://host/socket");
        request.extensions_mut().unwrap().insert(Protocol::from_static("websocket"));
        let request = request.body(body).unwrap();
        let response = scene.told.client("public").send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(upgrade::is_taken_up(response.headers()));
        (pieces, response.into_body())
    };
    let (pieces, mut back) = open().await;
    for n in 0..100_u8 {
        let sent = Bytes::from(vec![n; 100_000]);
        pieces.try_send(Ok(http_body::Frame::data(sent.clone()))).unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            got.extend(back.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, sent);
    }
    drop(pieces);
    assert!(back.frame().await.is_none(), "the plugin has ended too");
    scene.told.wait_for("log 3 the stream has ended bytes=10000000").await;

    let (pieces, back) = open().await;
    drop(back);
    scene.told.wait_for("log 3 the stream has ended bytes=0").await;
    drop(pieces);

    let (_pieces, mut back) = open().await;
    let (last, ()) = tokio::join!(back.frame(), started.instance.drain());
    assert!(last.is_none(), "a drain does not wait for it");
    started.instance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_and_what_a_plugin_counts_cross_to_another_process() {
    let (scene, host) = scene();
    let started = scene.start(host).await.unwrap();
    let ask = async |path: &str, timeout: &str| {
        let request = http::Request::get(path).header("grpc-timeout", timeout).body(Body::empty()).unwrap();
        scene.told.client("public").send(request).await.unwrap()
    };
    let left = ask("/left", "10S").await.into_body().collect_bytes(100).await.unwrap();
    let left: u64 = std::str::from_utf8(&left).unwrap().parse().unwrap();
    assert!((5_000..=10_000).contains(&left), "{left} ms");
    let began = std::time::Instant::now();
    assert_eq!(ask("/left/wait", "500m").await.status(), 504);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
    let metrics = started.instance.metrics().await;
    assert!(metrics.contains("subject_asked_total 2"), "{metrics}");
    started.instance.stop().await;
}

/// Like a body from another connection, whose end is a separate frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_thousands_of_bodies_with_frames_without_bytes() {
    let (scene, host) = scene();
    let started = scene.start(host).await.unwrap();
    let back = scene.told.client("thing");
    for n in 0..1_000 {
        let (pieces, body) = pieces_of_a_body();
        for piece in ["", "x", ""] {
            pieces.try_send(Ok(http_body::Frame::data(Bytes::from(piece)))).unwrap();
        }
        drop(pieces);
        let request = http::Request::post("/back").body(body).unwrap();
        let answer = back.send(request).await.unwrap().into_body().collect_bytes(16).await;
        assert_eq!(answer.unwrap(), "x", "the {n}th; {:?}", started.exited.now());
    }
    started.instance.stop().await;
}

fn event(subject: &str) -> Event {
    Event {
        id: "1".into(),
        source: "test".into(),
        kind: "said".into(),
        subject: subject.into(),
        time: "".into(),
        datacontenttype: "".into(),
        traceparent: "".into(),
        data: Bytes::new().into(),
        extra: Extra::default(),
    }
}

/// Many more than there are slots, each of which comes back into the child three times before it is answered.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_back_before_they_are_answered_do_not_wait_for_each_other() {
    const AT_ONCE: usize = 1_000;
    let (scene, host) = scene();
    let started = scene.start(host).await.unwrap();
    let client = scene.told.client("public");
    let requests = (0..AT_ONCE).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                let answer = ask(&client, "/nest", "3").await;
                if answer == (200, "0 in 1 in 2 in 3".to_owned()) {
                    return;
                }
                // On a slow machine, anywhere on its way: it stated when to retry.
                assert!(answer.1.contains("urn:streamgate:problem:plugin-busy"), "{answer:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    });
    let requests: Vec<_> = requests.collect();
    let all = async {
        for request in requests {
            request.await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("they wait for each other");
    started.instance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_the_queue_is_told_when_to_retry() {
    const AT_ONCE: usize = 2_000;
    let (scene, host) = scene();
    let _started = scene.start(host).await.unwrap();
    let client = scene.told.client("public");
    // All of them wait in the child until one more comes.
    let send = |path: &'static str| {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let client = client.clone();
        tokio::spawn(async move { client.send(request).await.unwrap() })
    };
    let mut waiting: Vec<_> = (0..AT_ONCE).map(|_| send("/wait")).collect();
    let refused = async {
        loop {
            if let Some(at) = waiting.iter().position(tokio::task::JoinHandle::is_finished) {
                return waiting.swap_remove(at).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await.expect("any number waits");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let text = refused.into_body().collect_bytes(1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("plugin-busy") && text.contains("subject"), "{text}");
}

type Piece = Result<http_body::Frame<Bytes>, std::io::Error>;

fn pieces_of_a_body() -> (mpsc::Sender<Piece>, Body) {
    let (sender, mut receiver) = mpsc::channel(256);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, Body::new(StreamBody::new(stream)))
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_child_dies_its_requests_are_answered_with_the_reason() {
    for (how, words) in
        [("segfault", "SIGSEGV (segmentation fault)"), ("abort", "SIGABRT"), ("exit", "exited with code 0")]
    {
        let (scene, host) = scene();
        let started = scene.start(host).await.unwrap();
        let (status, body) = scene.ask("/die", how).await;
        assert_eq!(status, 502, "{body}");
        assert!(body.contains(words), "{body}");
        let exit = started.exited.wait().await;
        assert!(!exit.expected && exit.reason.contains(words), "{exit:?}");
        let (status, body) = scene.ask("/neighbour", "again").await;
        assert_eq!(status, 503, "{body}");
        // A dead child is not awaited.
        started.instance.ping().await;
        started.instance.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_with_its_process_says_why() {
    let (scene, host) = scene();
    let _started = scene.start(host).await.unwrap();
    let (pieces, body) = pieces_of_a_body();
    let request = http::Request::post("/half").body(body).unwrap();
    let mut answer = scene.told.client("public").send(request).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "piece");
    pieces.send(Ok(http_body::Frame::data(Bytes::from("die")))).await.unwrap();
    let error = answer.frame().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("SIGSEGV"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_past_its_memory_or_its_time_is_ended_with_that_reason() {
    let (mut scene, host) = scene();
    scene.limits.memory = Some(1 << 30);
    let started = scene.start(host).await.unwrap();
    assert_eq!(scene.ask("/die", "memory").await.0, 502);
    assert!(started.exited.wait().await.reason.contains("run out of memory"), "{:?}", started.exited.now());

    let (mut scene, host) = self::scene();
    scene.limits.cpu_seconds = Some(1);
    let started = scene.start(host).await.unwrap();
    assert_eq!(scene.ask("/die", "time").await.0, 502);
    assert!(started.exited.wait().await.reason.contains("processor time"), "{:?}", started.exited.now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_reaches_only_its_own_data_unless_permitted() {
    let outside = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let secret = secret.to_str().unwrap();
    let (mut scene, host) = scene();
    scene.limits.open_files = Some(128);
    let _started = scene.start(host).await.unwrap();
    let (_, reach) = scene.ask("/reach", secret).await;
    let missing = scene.told.lines.lock().iter().any(|line| line.contains("cannot confine"));
    // If the system has no landlock the child reports it, and runs without.
    let outside_is = if missing { "yes" } else { "no" };
    let want = format!(
        "no new privileges: yes\nread outside: {outside_is}\nwrite outside: {outside_is}\nwrite its data: yes\n\
         connect: no\nlisten: no\nstart programs: yes\nmany files: no"
    );
    assert_eq!(reach, want);

    let (mut scene, host) = self::scene();
    scene.limits = Limits { network: true, write: vec![outside.path().to_owned()], ..Limits::default() };
    let _started = scene.start(host).await.unwrap();
    let (_, reach) = scene.ask("/reach", secret).await;
    let want = "no new privileges: yes\nread outside: yes\nwrite outside: yes\nwrite its data: yes\nconnect: yes\n\
                listen: yes\nstart programs: yes\nmany files: yes";
    assert_eq!(reach, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_start_is_reported_with_its_reason_and_leaves_no_process() {
    let (mut scene, host) = scene();
    scene.mode = "fail";
    assert_eq!(scene.start(host).await.err().unwrap(), "the disk is on fire");

    let (mut scene, host) = self::scene();
    scene.mode = "hang";
    let hanging = tokio::time::timeout(Duration::from_millis(500), scene.start(host)).await;
    assert!(hanging.is_err());
    let children = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let children =
            tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
        let mut children =
            children.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        children.any(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(scene.dir.path().to_str().unwrap())
        })
    };
    let gone = async {
        while children() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the child is killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_stop_is_killed_when_its_grace_is_over() {
    let (mut scene, host) = scene();
    (scene.mode, scene.grace) = ("hang-in-stop", Duration::from_millis(200));
    let started = scene.start(host).await.unwrap();
    started.instance.stop().await;
    let exit = started.exited.wait().await;
    assert!(exit.expected && exit.reason.contains("did not stop in time"), "{exit:?}");
    assert!(!runs(started.pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_instance_is_dropped_ends() {
    let (scene, host) = scene();
    let Started { instance, exited, pid } = scene.start(host).await.unwrap();
    drop(instance);
    assert!(exited.wait().await.expected);
    assert!(!runs(pid));
}
