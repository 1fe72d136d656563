//! WebSockets of the example `chat`, whose handler is axum's own: with a real browser, and through a child process, a
//! swap and a stop.

use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use streamgate_tests::server::{Server, Setup, cache, repository};
use streamgate_tests::tools;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const SOON: Duration = Duration::from_secs(20);

fn with_chat(isolation: &str) -> Setup {
    tools::run(
        Command::new(env!("CARGO"))
            .args(["build", "--locked", "--manifest-path"])
            .arg(repository().join("examples/chat/Cargo.toml"))
            .arg("--target-dir")
            .arg(cache().join("third-party")),
    )
    .expect("the example builds");
    Setup::default()
        .plugins_in(cache().join("third-party/debug"))
        .set("plugins.chat.isolation", isolation)
        .set("plugins.chat.backlog", 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_own_origin_talk_until_they_sign_out_and_pages_of_another_one_cannot() {
    let dir = tools::node_project("tests/players").expect("the browser's tools can be installed from npm");
    // The address that the browser has is the server's own.
    let setup = with_chat("none").set("plugins.auth.public_url", "").set("plugins.auth.origins", "[]");
    let server = setup.start().await;
    let site = format!("http://localhost:{}", server.port());
    let link = server.setup_url().await;
    tools::run(Command::new("node").arg(dir.join("socket.mjs")).args([&site, &link]).current_dir(&dir))
        .expect("every step works");
}

async fn join(server: &Server) -> WebSocketStream<TcpStream> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = TcpStream::connect(("127.0.0.1", server.port())).await.expect("it listens");
    let token = server.admin_token().expect("the first admin has one");
    let head = format!(
        "GET /chat HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\nconnection: \
         upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(tcp.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(read).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    WebSocketStream::from_raw_socket(tcp, Role::Client, None).await
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    timeout(SOON, socket.next()).await.expect("in time").expect("open").expect("sound")
}

fn code(message: &Message) -> u16 {
    match message {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_of_a_plugin_in_its_own_process_is_closed_by_a_swap_and_by_the_stop() {
    let mut server = with_chat("process").start().await;
    let (mut one, mut other) = (join(&server).await, join(&server).await);
    let text = "x".repeat(50_000);
    for _ in 0..100 {
        one.send(Message::text(text.clone())).await.expect("sent");
        for socket in [&mut one, &mut other] {
            assert_eq!(next(socket).await, Message::text(text.clone()));
        }
    }
    server.control(&["swap", "chat"]).await;
    for mut socket in [one, other] {
        assert_eq!(code(&next(&mut socket).await), 1001);
    }
    let mut back = join(&server).await;
    back.send(Message::text("again")).await.expect("sent");
    assert_eq!(next(&mut back).await, Message::text("again"));
    let closed = tokio::spawn(async move { code(&next(&mut back).await) });
    assert_eq!(server.stop().await.code(), Some(0));
    assert_eq!(closed.await.expect("it ends"), 1001);
}
