//! WebSockets through the gateway, of HTTP/1.1 and of HTTP/2 alike: opened by one handshake that the filters judge,
//! closed when either end, the credential, the gateway or the time of a silent client ends.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use streamgate_gateway::Settings;
use streamgate_plugin_api::Client;
use streamgate_plugin_api::settings::Duration as Time;
use support::{Gateway, settings, start, start_filtered};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const SOON: Duration = Duration::from_secs(10);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Socket = WebSocketStream<Box<dyn Io>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Http {
    One,
    Two,
}

const BOTH: [Http; 2] = [Http::One, Http::Two];

/// An answer to a handshake, and the bytes behind it.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    io: Option<Box<dyn Io>>,
    body: Vec<u8>,
}

impl Answer {
    async fn socket(self) -> Socket {
        let io =
            self.io.unwrap_or_else(|| panic!("{}: {}", self.status, String::from_utf8_lossy(&self.body)));
        WebSocketStream::from_raw_socket(io, Role::Client, None).await
    }

    fn problem(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

fn key() -> String {
    base64::engine::general_purpose::STANDARD.encode([7; 16])
}

/// Shakes hands over a connection of its own.
async fn shake(gateway: &Gateway, http: Http, path: &str, fields: &[(&str, &str)]) -> Answer {
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    match http {
        Http::One => {
            let key = key();
            let all = [
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", &key),
            ];
            let all = all.iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
            switch(tcp, path, all.chain(fields).copied()).await
        }
        Http::Two => extended(tcp, "websocket", path, fields).await,
    }
}

async fn switch<'a>(
    mut tcp: TcpStream,
    path: &str,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Answer {
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: h\r\n");
    fields.for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    tcp.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(tcp.read_u8().await.unwrap());
    }
    let head = String::from_utf8(read).unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HeaderMap = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    if status == 101 {
        return Answer {
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers,
            io: Some(Box::new(tcp)),
            body: Vec::new(),
        };
    }
    let mut body = vec![0; headers["content-length"].to_str().unwrap().parse().unwrap()];
    tcp.read_exact(&mut body).await.unwrap();
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, io: None, body }
}

async fn extended(tcp: TcpStream, protocol: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    let mut connection = Box::pin(connection);
    // The server's settings allow it.
    while !connection.is_extended_connect_protocol_enabled() {
        tokio::select! {
            _ = &mut connection => panic!("the connection ended"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    tokio::spawn(connection);
    let mut request = http::Request::connect(format!("http://h{path}")).version(http::Version::HTTP_2);
    request.extensions_mut().unwrap().insert(Protocol::from(protocol));
    if !fields.iter().any(|(name, _)| *name == "sec-websocket-version") {
        request = request.header("sec-websocket-version", "13");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut response =
        sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    if status == 200 {
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        return Answer { status, headers, io: Some(Box::new(TokioIo::new(upgraded))), body: Vec::new() };
    }
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, io: None, body }
}

/// Does `work` with each WebSocket.
fn sockets<F>(
    work: impl Fn(TokioIo<hyper::upgrade::Upgraded>, HeaderMap) -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = ()> + Send + 'static,
{
    let handler = move |mut request: Request| async move {
        let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
        let headers = request.headers().clone();
        tokio::spawn(async move { work(TokioIo::new(on_upgrade.await.unwrap()), headers).await });
        [("sec-websocket-protocol", "chat")]
    };
    let router = Router::new().route("/ws", any(handler));
    router.route("/ws/page", any(async || "page")).route("/ws/get", get(async || "got"))
}

/// Sends back what comes, and says when it has ended.
fn echo() -> (Router, mpsc::UnboundedReceiver<()>) {
    let (ended, ends) = mpsc::unbounded_channel();
    let router = sockets(move |io, _| {
        let ended = ended.clone();
        async move {
            let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_binary() || message.is_text()) && socket.send(message).await.is_err() {
                    break;
                }
            }
            let _ = ended.send(());
        }
    });
    (router, ends)
}

async fn says(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    let said = timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(said, Message::text(text));
}

/// Why it was closed.
async fn closed(socket: &mut Socket) -> CloseCode {
    loop {
        match timeout(SOON, socket.next()).await.expect("it stays open") {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code,
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn both_handshakes_are_one_request_and_megabytes_pass_both_ways() {
    let (router, mut ends) = echo();
    let gateway = start(&settings(), [("/ws", router)]);
    for http in BOTH {
        let answer = shake(&gateway, http, "/ws?a=b", &[("sec-websocket-protocol", "chat")]).await;
        assert_eq!(answer.status, if http == Http::One { 101 } else { 200 });
        assert_eq!(answer.headers["sec-websocket-protocol"], "chat");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("x-streamgate-")));
        let (mut sender, mut receiver) = answer.socket().await.split();
        let sending = tokio::spawn(async move {
            for number in 0..160u8 {
                sender.send(Message::binary(vec![number; 64 << 10])).await.unwrap();
            }
            sender
        });
        for number in 0..160u8 {
            let message = timeout(SOON, receiver.next()).await.unwrap().unwrap().unwrap();
            assert!(message.len() == 64 << 10 && message.into_data().iter().all(|byte| *byte == number));
        }
        let mut sender = sending.await.unwrap();
        sender.send(Message::Close(None)).await.unwrap();
        assert!(matches!(timeout(SOON, receiver.next()).await.unwrap(), Some(Ok(Message::Close(None)))));
        assert!(timeout(SOON, receiver.next()).await.unwrap().is_none(), "{http:?}");
        timeout(SOON, ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_handshake_or_has_no_websocket_is_a_problem_and_the_connection_goes_on() {
    let gateway = start(&settings(), [("/ws", echo().0)]);
    for http in BOTH {
        for (path, fields, status, problem) in [
            ("/ws", &[("sec-websocket-version", "8")][..], 426, "websocket-version"),
            ("/ws/page", &[], 501, "no-websocket"),
            ("/ws/get", &[], 405, "method-not-allowed"),
            ("/nowhere", &[], 404, "no-route"),
        ] {
            let answer = shake(&gateway, http, path, fields).await;
            assert_eq!((answer.status.as_u16(), &*answer.problem()), (status, problem), "{http:?} {path}");
            let asked = status == 426;
            assert_eq!(answer.headers.contains_key("sec-websocket-version"), asked);
        }
    }
    let answer = shake(&gateway, Http::One, "/ws", &[("sec-websocket-key", "short")]).await;
    assert_eq!((answer.status.as_u16(), &*answer.problem()), (400, "invalid-handshake"));
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let answer = extended(tcp, "connect-udp", "/ws", &[]).await;
    assert_eq!((answer.status.as_u16(), &*answer.problem()), (501, "protocol-not-implemented"));
    let mut raw = gateway.connect().await;
    for _ in 0..2 {
        let key = key();
        raw.send(format!(
            "GET /ws/page HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: \
             13\r\nsec-websocket-key: {key}\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.answer().await.status, 501);
        // What clients of HTTP/2 offer with any request.
        raw.send("GET /ws/get HTTP/1.1\r\nhost: h\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n").await;
        assert_eq!(raw.answer().await.text(), "got");
    }
}

/// A gateway that lets in whom the field `authorization` names, as `session:` and that name, while `open`.
fn guarded(settings: Settings, open: Arc<AtomicBool>) -> Gateway {
    let settings = Settings {
        filters: serde_json::from_value(json!(["authenticate", "authorize"])).unwrap(),
        own_authentication: Vec::new(),
        ..settings
    };
    let report = Arc::new(|| json!({ "status": "healthy", "ready": true, "plugins": [] }));
    start_filtered(&settings, [("/ws", echo().0)], report, move |stage| {
        let (stage, open) = (stage.to_owned(), open.clone());
        Client::from_service(Router::new().fallback(move |request: Request| async move {
            let headers = request.headers();
            assert_eq!(headers["x-filter-method"], "CONNECT", "a WebSocket counts as a change");
            let name = headers.get("authorization").map_or("", |name| name.to_str().unwrap());
            if stage == "authorize" && (name.is_empty() || !open.load(Ordering::SeqCst)) {
                return Err(StatusCode::UNAUTHORIZED);
            }
            let credential = format!("session:{name}");
            Ok([("x-streamgate-principal", name.to_owned()), ("x-streamgate-credential", credential)])
        }))
    })
}

#[tokio::test]
async fn the_filters_judge_the_handshake_and_the_end_of_a_credential_closes_its_websockets() {
    let gateway = guarded(settings(), Arc::new(AtomicBool::new(true)));
    for http in BOTH {
        assert_eq!(shake(&gateway, http, "/ws", &[]).await.status, 401);
        let mut ann = shake(&gateway, http, "/ws", &[("authorization", "ann")]).await.socket().await;
        let mut bob = shake(&gateway, http, "/ws", &[("authorization", "bob")]).await.socket().await;
        says(&mut ann, "one").await;
        gateway.server.endings().end("session:ann");
        assert_eq!(closed(&mut ann).await, CloseCode::Policy, "{http:?}");
        says(&mut bob, "two").await;
    }
}

#[tokio::test]
async fn a_credential_that_is_not_good_any_more_closes_its_websockets_without_being_announced() {
    let open = Arc::new(AtomicBool::new(true));
    let recheck = Time::millis(100);
    let gateway = guarded(Settings { socket_recheck: recheck, ..settings() }, open.clone());
    let mut sockets = Vec::new();
    for http in BOTH {
        sockets.push(shake(&gateway, http, "/ws", &[("authorization", "ann")]).await.socket().await);
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    for socket in &mut sockets {
        says(socket, "still good").await;
    }
    open.store(false, Ordering::SeqCst);
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, CloseCode::Policy);
    }
}

#[tokio::test]
async fn one_caller_has_a_share_of_the_websockets_and_room_again_when_one_ends() {
    let (router, mut ends) = echo();
    let gateway = start(&Settings { sockets_per_client: 2, ..settings() }, [("/ws", router)]);
    let mut first = shake(&gateway, Http::One, "/ws", &[]).await.socket().await;
    let _second = shake(&gateway, Http::Two, "/ws", &[]).await.socket().await;
    for http in BOTH {
        let answer = shake(&gateway, http, "/ws", &[]).await;
        assert_eq!((answer.status.as_u16(), &*answer.problem()), (429, "too-many-sockets"));
    }
    first.close(None).await.unwrap();
    timeout(SOON, ends.recv()).await.unwrap();
    drop(first);
    let began = Instant::now();
    while shake(&gateway, Http::One, "/ws", &[]).await.status != 101 {
        assert!(began.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_does_not_answer_is_gone() {
    let (router, mut ends) = echo();
    let gateway = start(&Settings { socket_ping: Time::millis(200), ..settings() }, [("/ws", router)]);
    for http in BOTH {
        let mut alive = shake(&gateway, http, "/ws", &[]).await.socket().await;
        for _ in 0..3 {
            let ping = timeout(SOON, alive.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(ping, Message::Ping(Vec::new().into()));
            alive.flush().await.unwrap();
        }
        says(&mut alive, "alive").await;
        // Nothing answers the pings of this one.
        drop(alive);
        timeout(SOON, ends.recv()).await.unwrap();
        let silent = shake(&gateway, http, "/ws", &[]).await;
        timeout(SOON, ends.recv()).await.unwrap();
        drop(silent);
    }
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_to_open_websockets_and_does_not_wait_for_them() {
    let gateway = start(&settings(), [("/ws", echo().0)]);
    let mut sockets = Vec::new();
    for http in BOTH {
        sockets.push(shake(&gateway, http, "/ws", &[]).await.socket().await);
    }
    let began = Instant::now();
    let stopping = tokio::spawn(gateway.server.stop());
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, CloseCode::Away);
        let _ = socket.close(None).await;
    }
    drop(sockets);
    stopping.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "less than its drain timeout: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_plugin_that_ends_without_a_word_is_said_to_have_gone_away() {
    let router = sockets(|mut io, _| async move {
        // The end of a frame, and half of the next one.
        let half = io.read_u8().await.is_ok_and(|first| first == b'h');
        let _ = io.write_all(if half { &[0x82, 3, 1, 2] } else { &[0x82, 1, 1] }).await;
    });
    let gateway = start(&settings(), [("/ws", router)]);
    for http in BOTH {
        let mut answer = shake(&gateway, http, "/ws", &[]).await;
        answer.io.as_mut().unwrap().write_all(b"w").await.unwrap();
        let mut socket = answer.socket().await;
        assert_eq!(timeout(SOON, socket.next()).await.unwrap().unwrap().unwrap().len(), 1);
        assert_eq!(closed(&mut socket).await, CloseCode::Away);

        let mut answer = shake(&gateway, http, "/ws", &[]).await;
        let io = answer.io.as_mut().unwrap();
        io.write_all(b"h").await.unwrap();
        let mut read = Vec::new();
        timeout(SOON, io.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, [0x82, 3, 1, 2], "nothing is put into a frame");
    }
}
