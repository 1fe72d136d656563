//! Clients that close their sending side, or disconnect: for the system both look the same.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use streamgate_gateway::Settings;
use streamgate_plugin_api::settings::Duration as Time;
use support::{Count, Raw, settings, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Streams that send one event and then nothing more, and how many are open.
fn events() -> (Router, Count) {
    let count = Count::default();
    let counted = count.clone();
    let router = Router::new().route(
        "/events",
        get(move || async move {
            let open = counted.open();
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"data: 1\n\n"))]);
            Body::from_stream(first.chain(stream::pending()).inspect(move |_| {
                let _ = &open;
            }))
        }),
    );
    (router, count)
}

/// Reads until the event arrived. Disconnecting with unread bytes would reset the connection instead of
/// closing it.
async fn hears(client: &mut Raw) {
    let mut heard = Vec::new();
    while !heard.windows(7).any(|window| window == b"data: 1") {
        assert!(client.tcp.read_buf(&mut heard).await.unwrap() > 0, "the connection ended before the event");
    }
}

fn quick() -> Settings {
    Settings { write_timeout: Time::millis(300), ..settings() }
}

#[tokio::test]
async fn a_silent_stream_ends_soon_after_its_client_has_gone() {
    let (router, open) = events();
    let gateway = start(&Settings { max_connections: 20, ..quick() }, [("/", router)]);
    for _ in 0..3 {
        let mut clients = Vec::new();
        for number in 1..=10 {
            let mut client = gateway.connect().await;
            client.send("GET /events HTTP/1.1\r\nhost: h\r\n\r\n").await;
            hears(&mut client).await;
            open.reaches(number).await;
            clients.push(client);
        }
        drop(clients);
        open.reaches(0).await;
    }
}

#[tokio::test]
async fn a_silent_stream_lives_as_long_as_its_client_stays() {
    let (router, open) = events();
    let gateway = start(&quick(), [("/", router)]);
    let (mut stays, mut goes) = (gateway.connect().await, gateway.connect().await);
    stays.send("GET /events HTTP/1.1\r\nhost: h\r\n\r\n").await;
    open.reaches(1).await;
    // Each of these is ended for its silence, and the earlier one is not.
    for _ in 0..3 {
        goes.send("GET /events HTTP/1.1\r\nhost: h\r\n\r\n").await;
        hears(&mut goes).await;
        open.reaches(2).await;
        goes = gateway.connect().await;
        open.reaches(1).await;
    }
}

#[tokio::test]
async fn over_http2_it_ends_with_the_connection() {
    let (router, open) = events();
    let gateway = start(&settings(), [("/", router)]);
    let mut client = gateway.connect().await;
    // The preface, SETTINGS and HEADERS of stream 1 with the fields 2, 6, 4 and 1 of HPACK's static table.
    let fields = [&[0x82, 0x86, 0x44, 7][..], b"/events", &[0x41, 1, b'h']].concat();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    client.send([&[0, 0, fields.len() as u8, 1, 5, 0, 0, 0, 1][..], &fields].concat()).await;
    hears(&mut client).await;
    open.reaches(1).await;
    drop(client);
    open.reaches(0).await;
}

#[tokio::test]
async fn a_client_that_only_closes_its_side_gets_its_answers() {
    let slow = Router::new()
        .route(
            "/late",
            get(async || {
                tokio::time::sleep(Duration::from_secs(1)).await;
                "late"
            }),
        )
        .route("/large", get(async || vec![7_u8; 4 << 20]));
    let gateway = start(&quick(), [("/", slow)]);
    let mut client = gateway.connect().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
    client.send([get("/late"), get("/large"), get("/late")].concat()).await;
    client.tcp.shutdown().await.unwrap();
    assert_eq!(client.answer().await.text(), "late");
    assert_eq!(client.answer().await.body.len(), 4 << 20);
    assert_eq!(client.answer().await.text(), "late");
    assert!(client.ended().await);
}
