//! Requests across the boundary: content arrives unchanged, and failures stay on their side.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use streamgate_plugin_api::{Body, Client, deadline, trace};

fn get_request(path: &str) -> http::Request<Body> {
    http::Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_body_of_one_piece_crosses_without_a_copy() {
    let data = Bytes::from(vec![7u8; 1 << 20]);
    let start = data.as_ptr() as usize;
    let served = data.clone();
    let client = Client::from_service(Router::new().route("/", get(move || async move { served })));
    let response = client.send(get_request("/")).await.unwrap();
    let got = response.into_body().collect_bytes(1 << 20).await.unwrap();
    assert_eq!(got.as_ptr() as usize, start);
    assert_eq!(got, data);
}

#[tokio::test]
async fn a_stream_and_its_trailers_cross_both_ways() {
    let echo =
        Router::new().route("/", post(|request: Request| async move { AxumBody::new(request.into_body()) }));
    let client = Client::from_service(echo);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("42"));
    let frames = (0..100)
        .map(|n| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(format!("{n},")))))
        .chain([Ok(http_body::Frame::trailers(trailers.clone()))]);
    let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
    let response = client.send(http::Request::post("/").body(body).unwrap()).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    let text = (0..100).map(|n| format!("{n},")).collect::<String>();
    assert_eq!(collected.to_bytes(), text);
}

#[tokio::test]
async fn a_panicking_handler_is_a_500_and_the_next_request_is_answered() {
    let router = Router::new()
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/fine", get(|| async { "fine" }));
    let client = Client::from_service(router);
    let response = client.send(get_request("/panic")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.into_body().collect_bytes(4096).await.unwrap();
    assert!(
        !String::from_utf8_lossy(&body).contains("on purpose"),
        "the reason is for the log, not for clients"
    );
    assert_eq!(client.send(get_request("/fine")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_panic_half_way_through_a_stream_breaks_that_stream_off() {
    let router = Router::new().route(
        "/",
        get(|| async {
            AxumBody::from_stream(futures_util::stream::iter(0..3).map(|n| {
                assert!(n < 2, "on purpose");
                Ok::<_, std::io::Error>(Bytes::from_static(b"piece"))
            }))
        }),
    );
    use futures_util::StreamExt;
    let response = Client::from_service(router).send(get_request("/")).await.unwrap();
    let error = response.into_body().collect_bytes(1000).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[tokio::test]
async fn a_panic_in_a_drop_does_not_cross() {
    struct Bomb(Arc<AtomicBool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            panic!("on purpose");
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let seen = dropped.clone();
    let router = Router::new().route(
        "/",
        get(move || {
            let bomb = Bomb(seen.clone());
            async move {
                let _bomb = bomb;
                std::future::pending::<()>().await;
            }
        }),
    );
    let client = Client::from_service(router);
    let mut response = Box::pin(client.send(get_request("/")));
    assert!(futures_util::poll!(response.as_mut()).is_pending());
    drop(response);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_request_body_that_breaks_off_is_an_error_at_the_reader() {
    let router = Router::new().route(
        "/",
        post(|request: Request| async move {
            request.into_body().collect().await.map_or_else(|error| error.to_string(), |_| "whole".to_owned())
        }),
    );
    let frames = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("the client went away"))];
    let request =
        http::Request::post("/").body(Body::from_stream(futures_util::stream::iter(frames))).unwrap();
    let response = Client::from_service(router).send(request).await.unwrap();
    let body = response.into_body().collect_bytes(1000).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("the client went away"), "{body:?}");
}

#[tokio::test]
async fn a_call_carries_the_traceparent_of_the_request_being_handled() {
    let inner = Client::from_service(Router::new().route(
        "/",
        get(|| async { trace::current().map(|context| context.trace_id()).unwrap_or_default() }),
    ));
    let outer = Client::from_service(Router::new().route(
        "/",
        get(move || async move {
            let response = inner.send(get_request("/")).await.unwrap();
            response.into_body().collect_bytes(100).await.unwrap()
        }),
    ));
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = get_request("/");
    request.headers_mut().insert("traceparent", format!("00-{id}-00f067aa0ba902b7-01").parse().unwrap());
    let body = outer.send(request).await.unwrap().into_body().collect_bytes(100).await.unwrap();
    assert_eq!(body, id);
    assert_eq!(trace::current(), None);
}

#[tokio::test]
async fn a_known_size_stays_known() {
    let router =
        Router::new().route("/", get(|| async { AxumBody::new(Full::new(Bytes::from_static(b"12345"))) }));
    let response = Client::from_service(router).send(get_request("/")).await.unwrap();
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(5));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let error = Body::from(vec![0; 11]).collect_bytes(10).await.unwrap_err();
    assert_eq!(error.to_string(), "the body is longer than 10 bytes");
}

/// A service that calls another one, then never answers. `dropped` once it was dropped.
fn endless(dropped: Arc<AtomicBool>, nested: Client) -> Client {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    Client::from_service(Router::new().fallback(move || {
        let (dropped, nested) = (Dropped(dropped.clone()), nested.clone());
        async move {
            let _dropped = dropped;
            let _ = nested.send(get_request("http://nested/")).await;
            std::future::pending::<()>().await;
        }
    }))
}

#[tokio::test]
async fn a_request_past_its_deadline_is_answered_504_its_handler_is_dropped_and_what_it_calls_knows() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let nested = Client::from_service(Router::new().fallback(move |request: Request| async move {
        let _ = sender.send((deadline::current(), request.headers().get("grpc-timeout").cloned()));
    }));
    let dropped = Arc::new(AtomicBool::new(false));
    let client = endless(dropped.clone(), nested);
    let mut request = get_request("http://endless/");
    request.headers_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 504);
    let problem = response.into_body().collect_bytes(1 << 10).await.unwrap();
    assert!(String::from_utf8_lossy(&problem).contains("deadline-exceeded"));
    assert!(dropped.load(Ordering::SeqCst));
    let (current, header) = seen.recv().await.unwrap();
    assert!(current.unwrap().remaining() <= Duration::from_millis(50));
    assert!(header.unwrap().to_str().unwrap().ends_with('u'));
    assert_eq!(deadline::current(), None);
}

#[tokio::test]
async fn an_answer_before_the_deadline_streams_on_after_it() {
    let router = Router::new().route(
        "/",
        get(|| async {
            let late = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_millis(60)).await;
                assert_eq!(deadline::current(), None);
                Ok::<_, std::io::Error>("late")
            });
            AxumBody::from_stream(late)
        }),
    );
    let mut request = get_request("/");
    request.headers_mut().insert("grpc-timeout", "30m".parse().unwrap());
    let response = Client::from_service(router).send(request).await.unwrap();
    assert_eq!(response.into_body().collect_bytes(1 << 10).await.unwrap(), "late");
}

#[tokio::test]
async fn a_client_of_grpc_learns_that_the_outcome_is_unknown() {
    let client = endless(Arc::default(), Client::from_service(Router::new()));
    let mut request = get_request("http://endless/");
    request.headers_mut().insert("grpc-timeout", "10m".parse().unwrap());
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    assert_eq!(client.send(request).await.unwrap().headers()["grpc-status"], "2");
}
