//! The gateway as clients see it, over real TCP.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use streamgate_plugin_api::settings::{ByteSize, Duration as Time};
use support::{settings, start, start_with};

const ETAG: &str = "\"one\"";

fn playlist() -> String {
    "#EXTM3U\n".to_owned() + &"#EXTINF:2.000,\n1.m4s\n".repeat(200)
}

/// A plugin that serves text and a file with ranges, as streaming does.
fn media() -> Router {
    Router::new()
        .route(
            "/v/index.m3u8",
            get(|headers: HeaderMap| async move {
                let known = headers
                    .get(header::IF_NONE_MATCH)
                    .is_some_and(|tag| tag.to_str().unwrap().contains(ETAG));
                if known {
                    return (StatusCode::NOT_MODIFIED, [(header::ETAG, ETAG)]).into_response();
                }
                ([(header::CONTENT_TYPE, "application/vnd.apple.mpegurl"), (header::ETAG, ETAG)], playlist())
                    .into_response()
            }),
        )
        .route(
            "/v/1.m4s",
            get(|headers: HeaderMap| async move {
                let data = vec![7u8; 1 << 20];
                let fields = [
                    (header::CONTENT_TYPE, "video/mp4"),
                    (header::ETAG, ETAG),
                    (header::ACCEPT_RANGES, "bytes"),
                ];
                if headers.get(header::RANGE).is_some_and(|range| range == "bytes=10-19") {
                    let range = [(header::CONTENT_RANGE, "bytes 10-19/1048576")];
                    return (StatusCode::PARTIAL_CONTENT, fields, range, data[10..20].to_vec())
                        .into_response();
                }
                (fields, data).into_response()
            }),
        )
        .route(
            "/v/echo",
            any(|request: Request| async move {
                let headers: Vec<_> = request
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect();
                headers.join("\n")
            }),
        )
}

fn sink() -> Router {
    Router::new().route(
        "/{*path}",
        any(|request: Request| async move {
            let mut length = 0;
            let mut body = request.into_body().into_data_stream();
            while let Some(data) = body.next().await {
                match data {
                    Ok(data) => length += data.len(),
                    Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()),
                }
            }
            (StatusCode::OK, length.to_string())
        }),
    )
}

#[tokio::test]
async fn a_media_segment_goes_through_untouched_with_range_etag_and_head() {
    let gateway = start(&settings(), [("/v", media())]);
    let mut client = gateway.connect().await;
    client.send("GET /v/1.m4s HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip, br\r\n\r\n").await;
    let whole = client.answer().await;
    assert_eq!((whole.status, whole.body.len(), whole.header("etag")), (200, 1 << 20, Some(ETAG)));
    assert_eq!((whole.header("content-encoding"), whole.header("vary")), (None, None));
    assert_eq!(
        (whole.header("server"), whole.header("x-content-type-options")),
        (Some("streamgate"), Some("nosniff"))
    );
    client.send("GET /v/1.m4s HTTP/1.1\r\nhost: h\r\nrange: bytes=10-19\r\n\r\n").await;
    let part = client.answer().await;
    assert_eq!((part.status, part.body.len()), (206, 10));
    assert_eq!(part.header("content-range"), Some("bytes 10-19/1048576"));
    client.send("HEAD /v/1.m4s HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let head = client.answer_to("HEAD").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("1048576")));
}

#[tokio::test]
async fn text_is_compressed_as_accepted_and_still_validates() {
    let gateway = start(&settings(), [("/v", media())]);
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        for coding in ["gzip", "br"] {
            client
                .send(format!("GET /v/index.m3u8 HTTP/1.1\r\nhost: h\r\naccept-encoding: {coding}\r\n\r\n"))
                .await;
            let answer = client.answer().await;
            assert_eq!(answer.header("content-encoding"), Some(coding));
            assert_eq!(
                (answer.header("etag"), answer.header("vary")),
                (Some("W/\"one\""), Some("accept-encoding"))
            );
            let mut text = String::new();
            match coding {
                "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap(),
                _ => brotli::Decompressor::new(&answer.body[..], 4096).read_to_string(&mut text).unwrap(),
            };
            assert_eq!(text, playlist());
        }
    }
    client.send("GET /v/index.m3u8 HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\nif-none-match: W/\"one\"\r\n\r\n").await;
    let known = client.answer().await;
    assert_eq!((known.status, known.header("etag")), (304, Some("W/\"one\"")));
    client.send("GET /v/index.m3u8 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let plain = client.answer().await;
    assert_eq!((plain.text(), plain.header("etag")), (&playlist()[..], Some(ETAG)));
    assert_eq!(
        plain.header("vary"),
        Some("accept-encoding"),
        "caches must know that others get another coding"
    );
    client.send("HEAD /v/index.m3u8 HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\n\r\n").await;
    let head = client.answer_to("HEAD").await;
    assert_eq!((head.header("content-encoding"), head.header("etag")), (Some("gzip"), Some("W/\"one\"")));
}

#[tokio::test]
async fn a_stream_of_text_is_compressed_without_being_held_back() {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let receive = Arc::new(std::sync::Mutex::new(Some(receive)));
    let router = Router::new().route(
        "/",
        get(move || {
            let receive = receive.lock().unwrap().take().unwrap();
            async move {
                let stream = stream::unfold(receive, |mut receive| async {
                    receive.recv().await.map(|data| (Ok::<_, std::io::Error>(data), receive))
                });
                ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(stream))
            }
        }),
    );
    let gateway = start(&settings(), [("/", router)]);
    let mut response =
        reqwest::Client::new().get(gateway.url("/")).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for text in ["first ", "second ", "third"] {
        send.send(Bytes::from_static(text.as_bytes())).unwrap();
        while !decoder.get_ref().ends_with(text.as_bytes()) {
            use std::io::Write;
            decoder.write_all(&response.chunk().await.unwrap().unwrap()).unwrap();
            decoder.flush().unwrap();
        }
    }
    drop(send);
    while response.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_order() {
    let gateway = start(&settings(), [("/", sink())]);
    let mut client = gateway.connect().await;
    let mut packet = String::new();
    for length in 1..=20 {
        packet +=
            &format!("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
    }
    client.send(packet).await;
    for length in 1..=20 {
        assert_eq!(client.answer().await.text(), length.to_string());
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_carries_many_requests_at_once() {
    let gateway = start(&settings(), [("/v", media()), ("/files", sink())]);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let requests = (0..50).map(|_| async {
        let response = client.get(gateway.url("/v/1.m4s")).send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.bytes().await.unwrap().len(), 1 << 20);
    });
    futures_util::future::join_all(requests).await;
    let sent = client.post(gateway.url("/files/x")).body(vec![1; 3 << 20]).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), (3 << 20).to_string());
    let echo = client.get(gateway.url("/v/echo")).send().await.unwrap().text().await.unwrap();
    assert!(echo.contains(&format!("host: {}", gateway.address)), "{echo}");
}

#[tokio::test]
async fn the_peer_and_the_ids_of_a_request_reach_the_plugin_and_the_id_comes_back() {
    let gateway = start(&settings(), [("/v", media())]);
    let mut client = gateway.connect().await;
    let forged =
        "x-forwarded-for: 6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nconnection: keep-alive, x-drop\r\nx-drop: 1\r\n";
    client.send(format!("GET /v/echo HTTP/1.1\r\nhost: h\r\n{forged}x-request-id: mine\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    let seen = answer.text();
    for expected in
        ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-request-id: mine", "traceparent: 00-"]
    {
        assert!(seen.contains(expected), "{expected} is not in {seen}");
    }
    assert!(!seen.contains("6.6.6.6") && !seen.contains("x-drop") && !seen.contains("connection"), "{seen}");
    client.send("GET /v/echo HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.answer().await.header("x-request-id").unwrap().len(), 32);
}

#[tokio::test]
async fn refusals_are_problems() {
    let gateway = start(&settings(), [("/v", media())]);
    for (request, status, slug) in [
        ("GET /nothing HTTP/1.1\r\nhost: h\r\n\r\n", 404, "no-route"),
        ("GET /v/../v/echo HTTP/1.1\r\nhost: h\r\n\r\n", 400, "invalid-path"),
        ("GET /v/echo HTTP/1.1\r\n\r\n", 400, "invalid-host"),
        ("GET /v/echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "invalid-host"),
        ("TRACE /v/echo HTTP/1.1\r\nhost: h\r\n\r\n", 501, "method-not-implemented"),
        ("POST /v/echo HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999\r\n\r\n", 413, "body-too-large"),
        ("GET /v/unknown HTTP/1.1\r\nhost: h\r\n\r\n", 404, "not-found"),
        ("POST /v/1.m4s HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", 405, "method-not-allowed"),
        ("POST /health/live HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", 405, "method-not-allowed"),
    ] {
        let mut client = gateway.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.text().contains(&format!("urn:streamgate:problem:{slug}")), "{}", answer.text());
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_431() {
    let gateway = start(&settings(), [("/v", media())]);
    let many = "x: y\r\n".repeat(90);
    let large = format!("x: {}\r\n", "y".repeat(40_000));
    for fields in [many, large] {
        let mut client = gateway.connect().await;
        client.send(format!("GET /v/echo HTTP/1.1\r\nhost: h\r\n{fields}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 431);
        assert!(answer.text().contains("header-too-large"));
        assert!(client.ended().await);
    }
    let mut client = gateway.connect().await;
    client.send(format!("GET /v/echo HTTP/1.1\r\nhost: h\r\nx: {}", "y".repeat(200_000))).await;
    assert_eq!(client.answer().await.status, 431, "an endless head is refused before its end");
    assert!(client.ended().await);
}

#[tokio::test]
async fn smuggled_requests_are_refused_or_end_the_connection() {
    let gateway = start(&settings(), [("/", sink())]);
    for head in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: +3\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "content-length : 3\r\n",
        "x: a\r\n folded\r\n",
    ] {
        let mut client = gateway.connect().await;
        client
            .send(format!(
                "POST /a HTTP/1.1\r\nhost: h\r\n{head}\r\nabcGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{head}");
        assert!(client.ended().await, "{head}");
    }
    let mut client = gateway.connect().await;
    let both = "content-length: 6\r\ntransfer-encoding: chunked\r\n";
    client
        .send(format!("POST /a HTTP/1.1\r\nhost: h\r\n{both}\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.header("connection")), ("0", Some("close")));
    assert!(client.ended().await, "nothing after it is taken for a request");
}

#[tokio::test]
async fn bodies_are_limited_but_for_the_prefixes_that_limit_themselves() {
    let small = streamgate_gateway::Settings { max_body: ByteSize::kib(64), ..settings() };
    let gateway = start(&small, [("/", sink()), ("/files", sink())]);
    let client = reqwest::Client::new();
    let send = async |path: &str, chunked: bool| {
        let data = vec![5u8; 1 << 20];
        let body = if chunked {
            reqwest::Body::wrap_stream(stream::iter(
                data.chunks(10_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
            ))
        } else {
            data.into()
        };
        let response = client.post(gateway.url(path)).body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for chunked in [false, true] {
        assert_eq!(send("/files/x", chunked).await, (200, (1 << 20).to_string()));
        let (status, text) = send("/x", chunked).await;
        assert_eq!(status, 413);
        assert!(text.contains("body-too-large"), "{text}");
    }
}

#[tokio::test]
async fn a_client_gets_100_continue_only_when_its_body_is_needed() {
    let refusing = Router::new().route("/no", post(|| async { StatusCode::CONFLICT }));
    let gateway = start(&settings(), [("/", sink()), ("/no", refusing)]);
    let expect = "host: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let mut client = gateway.connect().await;
    client.send(format!("POST /yes HTTP/1.1\r\n{expect}")).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("abc").await;
    assert_eq!(client.answer().await.text(), "3");
    let mut client = gateway.connect().await;
    client.send(format!("POST /no HTTP/1.1\r\n{expect}")).await;
    assert_eq!(client.answer().await.status, 409);
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_ended() {
    let quick = streamgate_gateway::Settings {
        header_timeout: Time::millis(300),
        keep_alive: Time::millis(400),
        ..settings()
    };
    let gateway = start(&quick, [("/v", media())]);
    let mut dribbling = gateway.connect().await;
    dribbling.send("GET /v/echo HTTP/1.1\r\nho").await;
    let answer = dribbling.answer().await;
    assert_eq!(answer.status, 408);
    assert!(answer.text().contains("request-timeout"));
    assert!(dribbling.ended().await);
    let mut silent = gateway.connect().await;
    assert!(silent.ended().await);
    let mut idle = gateway.connect().await;
    idle.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    assert!(idle.ended().await);
    let mut second = gateway.connect().await;
    second.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(second.answer().await.status, 200);
    second.send("GET /health/li").await;
    assert_eq!(second.answer().await.status, 408, "a later head is timed like the first");
}

#[tokio::test]
async fn many_slowloris_connections_keep_no_other_client_out() {
    let gateway = start(&settings(), [("/v", media())]);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = gateway.connect().await;
        client.send("GET /v/echo HTTP/1.1\r\nx: ").await;
        slow.push(client);
    }
    let mut client = gateway.connect().await;
    client.send("GET /v/1.m4s HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.answer().await.body.len(), 1 << 20);
}

#[tokio::test]
async fn a_body_that_stands_still_is_408_and_one_that_moves_is_not() {
    let quick = streamgate_gateway::Settings {
        body_timeout: Time::millis(400),
        min_body_rate: ByteSize::bytes(0),
        ..settings()
    };
    let gateway = start(&quick, [("/files", sink())]);
    let mut stuck = gateway.connect().await;
    stuck.send("POST /files/a HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = stuck.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    let mut moving = gateway.connect().await;
    moving.send("POST /files/a HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\n").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    for _ in 0..8 {
        ticks.tick().await;
        moving.send("x").await;
    }
    assert_eq!(moving.answer().await.text(), "8");
}

#[tokio::test]
async fn a_plugin_that_does_not_begin_its_answer_is_504_and_one_that_still_reads_is_not() {
    let quick = streamgate_gateway::Settings { answer_timeout: Time::millis(400), ..settings() };
    let silent = Router::new().fallback(std::future::pending::<()>);
    let gateway = start(&quick, [("/silent", silent), ("/files", sink())]);
    let mut waiting = gateway.connect().await;
    waiting.send("GET /silent HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let answer = waiting.answer().await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("within 400ms"), "{}", answer.text());
    // The connection is still usable.
    waiting.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(waiting.answer().await.status, 200);
    let mut moving = gateway.connect().await;
    moving.send("POST /files/a HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\n").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    for _ in 0..8 {
        ticks.tick().await;
        moving.send("x").await;
    }
    assert_eq!(moving.answer().await.text(), "8");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    let endless = Router::new().route(
        "/",
        get(move || async move {
            let held = Dropped(seen);
            Body::from_stream(stream::repeat_with(move || {
                let _ = &held;
                Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65536]))
            }))
        }),
    );
    let quick = streamgate_gateway::Settings { write_timeout: Time::millis(300), ..settings() };
    let gateway = start(&quick, [("/", endless)]);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    tokio::time::timeout(Duration::from_secs(20), async {
        while !gone.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the plugin's stream was never dropped");
}

#[tokio::test]
async fn too_many_connections_get_an_error() {
    let few = streamgate_gateway::Settings { max_connections: 2, ..settings() };
    let gateway = start(&few, [("/v", media())]);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        client.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
        clients.push(client);
    }
    let mut third = gateway.connect().await;
    let answer = third.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(third.ended().await);
}

/// A service whose requests wait until they are released.
fn gate() -> (Router, tokio::sync::watch::Sender<bool>, Arc<AtomicUsize>) {
    let (open, opened) = tokio::sync::watch::channel(false);
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = waiting.clone();
    let router = Router::new().route(
        "/wait",
        any(move |request: Request| {
            let (mut opened, count) = (opened.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = opened.wait_for(|open| *open).await;
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                format!("done {}", body.len())
            }
        }),
    );
    (router, open, waiting)
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("it never came");
}

#[tokio::test]
async fn draining_cuts_no_request_in_flight_and_takes_no_new_connection() {
    let (router, open, waiting) = gate();
    let gateway = start(&settings(), [("/", router)]);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = gateway.connect().await;
        client.send("POST /wait HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nab").await;
        clients.push(client);
    }
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let over_h2 = tokio::spawn(h2.get(gateway.url("/wait")).send());
    let mut idle = gateway.connect().await;
    idle.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    idle.answer().await;
    until(|| waiting.load(Ordering::SeqCst) == 21).await;
    let address = gateway.address;
    let drained = tokio::spawn(gateway.server.stop());
    assert!(idle.ended().await, "an idle connection is ended soon");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "new connections are refused");
    open.send(true).unwrap();
    for mut client in clients {
        client.send("cd").await;
        let answer = client.answer().await;
        assert_eq!((answer.text(), answer.header("connection")), ("done 4", Some("close")));
    }
    assert_eq!(over_h2.await.unwrap().unwrap().text().await.unwrap(), "done 0");
    tokio::time::timeout(Duration::from_secs(5), drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn draining_under_load_loses_no_answer() {
    let gateway = start(&settings(), [("/v", media())]);
    let address = gateway.address;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let answered = answered.clone();
            tokio::spawn(async move {
                // Each request on a connection of its own: one that was accepted must be answered whole.
                loop {
                    let Ok(tcp) = tokio::net::TcpStream::connect(address).await else { return Ok(()) };
                    let mut tcp = tcp;
                    use tokio::io::{AsyncReadExt, AsyncWriteExt};
                    let request = b"GET /v/1.m4s HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
                    if tcp.write_all(request).await.is_err() {
                        continue;
                    }
                    let mut all = Vec::new();
                    match tcp.read_to_end(&mut all).await {
                        // Never accepted: the listener closed between the two.
                        Ok(0) | Err(_) if all.is_empty() => {}
                        Ok(read) if read > 1 << 20 => drop(answered.fetch_add(1, Ordering::SeqCst)),
                        other => return Err(format!("cut after {} bytes: {other:?}", all.len())),
                    }
                }
            })
        })
        .collect();
    until(|| answered.load(Ordering::SeqCst) > 50).await;
    gateway.server.stop().await;
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_request_that_was_on_its_way_when_the_gateway_stopped_is_answered() {
    let gateway = start(&settings(), [("/v", media())]);
    let mut used = gateway.connect().await;
    used.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    used.answer().await;
    let mut fresh = gateway.connect().await;
    let stopped = gateway.server.stopping();
    let drained = tokio::spawn(gateway.server.stop());
    stopped.cancelled().await;
    for client in [&mut used, &mut fresh] {
        client.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
    }
    for client in [&mut used, &mut fresh] {
        assert_eq!(client.answer().await.header("connection"), Some("close"));
    }
    tokio::time::timeout(Duration::from_secs(5), drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn draining_ends_event_streams_in_good_order() {
    let router = Router::new().route(
        "/events",
        get(|| async {
            let events = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"data: 1\n\n"))])
                .chain(stream::pending());
            ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
        }),
    );
    let gateway = start(&settings(), [("/", router)]);
    let mut response = reqwest::get(gateway.url("/events")).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    let drained = tokio::spawn(gateway.server.stop());
    assert_eq!(response.chunk().await.unwrap(), None, "the stream ends, it does not break");
    tokio::time::timeout(Duration::from_secs(4), drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn readiness_follows_the_report_and_liveness_does_not() {
    let ready = Arc::new(AtomicBool::new(false));
    let seen = ready.clone();
    let gateway = start_with(
        &settings(),
        [],
        Arc::new(move || {
            let ready = seen.load(Ordering::SeqCst);
            let plugin = json!({ "name": "upload", "status": "unhealthy", "reason": "starting", "file": "/secret/path" });
            json!({ "status": if ready { "healthy" } else { "unhealthy" }, "ready": ready, "plugins": [plugin] })
        }),
    );
    let unready = reqwest::get(gateway.url("/health/ready")).await.unwrap();
    assert_eq!(unready.status(), 503);
    assert_eq!(unready.text().await.unwrap(), r#"{"ready":false}"#);
    assert_eq!(reqwest::get(gateway.url("/health/live")).await.unwrap().status(), 200);
    ready.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(5), async {
        while reqwest::get(gateway.url("/health/ready")).await.unwrap().status() != 200 {}
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn routes_change_without_a_restart() {
    let gateway = start(&settings(), [("/v", media())]);
    assert_eq!(reqwest::get(gateway.url("/v/echo")).await.unwrap().status(), 200);
    gateway.table.replace([]);
    assert_eq!(reqwest::get(gateway.url("/v/echo")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let first = start(&settings(), []);
    let taken = streamgate_gateway::Settings {
        listen: streamgate_gateway::Listen(vec![first.address.to_string()]),
        ..settings()
    };
    let table = Arc::new(streamgate_gateway::Table::new(vec![]));
    let filters = streamgate_gateway::Filters::new(&taken, |_| unreachable!("there are none"));
    let figures = streamgate_gateway::Figures::new(&streamgate_plugin_api::metrics::Metrics::new("gateway"));
    let told = (Arc::new(|| json!({})) as streamgate_gateway::Report, figures);
    let error = streamgate_gateway::Server::start(&taken, table, filters, told, Vec::new()).unwrap_err();
    assert!(error.to_string().contains(&first.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_plugin_that_panics_is_a_500_and_the_connection_continues() {
    let router = Router::new().route(
        "/panic",
        get(|| async {
            if true {
                panic!("on purpose")
            }
        }),
    );
    let gateway = start(&settings(), [("/panic", router), ("/v", media())]);
    let mut client = gateway.connect().await;
    client.send("GET /panic HTTP/1.1\r\nhost: h\r\n\r\nGET /v/echo HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 500);
    assert_eq!(client.answer().await.status, 200);
}
