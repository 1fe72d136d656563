//! Many callers, few slots: which get one, which give way, and what they are answered.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use streamgate_plugin_api::settings::{ByteSize, Duration as Setting};
use streamgate_plugin_api::{Body, Principal};
use streamgate_upload::Settings;
use tokio::task::JoinHandle;

/// As the gateway passes it on.
fn from(caller: &str, method: &str, path: &str) -> http::request::Builder {
    let mut request = Request::builder().method(method).uri(path).header("Tus-Resumable", "1.0.0");
    if let Some(headers) = request.headers_mut() {
        Principal { id: caller.into(), ..Principal::default() }.put_on(headers);
    }
    request
}

async fn send(life: &Life, request: http::request::Builder, body: Body) -> Response<Body> {
    let response = tower::ServiceExt::oneshot(life.upload.public(), request.body(body).unwrap()).await;
    response.unwrap().map(Body::new)
}

async fn create(life: &Life, caller: &str) -> Response<Body> {
    send(life, from(caller, "POST", "/files").header("Upload-Length", "1000000"), Body::empty()).await
}

async fn offset(life: &Life, caller: &str, path: &str) -> usize {
    let answer = send(life, from(caller, "HEAD", path), Body::empty()).await;
    header(&answer, "upload-offset").unwrap().parse().unwrap()
}

fn patch(caller: &str, path: &str, offset: usize) -> http::request::Builder {
    let request = from(caller, "PATCH", path).header("Content-Type", "application/offset+octet-stream");
    request.header("Upload-Offset", offset.to_string())
}

/// A transfer of a byte, and then one each `pause` forever. Returns its path and how it ended.
async fn trickle(life: &Life, caller: &str, pause: Duration) -> (String, JoinHandle<(StatusCode, String)>) {
    let path = header(&create(life, caller).await, "location").unwrap();
    let (came, taken) = tokio::sync::oneshot::channel();
    let mut ticks = tokio::time::interval(pause);
    let mut came = Some(came);
    let body = stream::poll_fn(move |cx| {
        ticks.poll_tick(cx).map(|_| {
            came.take().map(|came| came.send(()));
            Some(Ok::<_, std::io::Error>(Bytes::from_static(b"x")))
        })
    });
    let (router, request) = (life.upload.public(), patch(caller, &path, 0));
    let running = tokio::spawn(async move {
        let request = request.body(Body::from_stream(body.boxed())).unwrap();
        let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
        (answer.status(), problem(answer.map(Body::new)).await)
    });
    taken.await.unwrap();
    (path, running)
}

/// The end of a problem's type.
async fn problem(answer: Response<Body>) -> String {
    let body = answer.into_body().collect_bytes(1 << 16).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    problem["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn one_caller_has_a_share_of_the_transfers_and_gives_way_to_callers_with_fewer() {
    let world = World::new().await;
    let settings = Settings { max_transfers: 4, max_transfers_per_caller: 3, ..Settings::default() };
    let life = world.live(settings).await;
    let pause = Duration::from_millis(20);
    let mut greedy = Vec::new();
    for _ in 0..3 {
        greedy.push(trickle(&life, "greedy", pause).await);
    }
    let fourth = header(&create(&life, "greedy").await, "location").unwrap();
    let answer = send(&life, patch("greedy", &fourth, 0), "x".into()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&answer, "retry-after").unwrap(), "10");
    assert_eq!(problem(answer).await, "upload-share");

    // The last free slot, and then one that has to be given up.
    let (_, first) = trickle(&life, "ann", pause).await;
    let (_, second) = trickle(&life, "bob", pause).await;
    let (path, oldest) = greedy.remove(0);
    assert_eq!(oldest.await.unwrap(), (StatusCode::TOO_MANY_REQUESTS, "upload-displaced".into()));
    assert!(offset(&life, "greedy", &path).await > 0, "what came is kept");
    assert!(!first.is_finished() && !second.is_finished());
    assert!(greedy.iter().all(|(_, running)| !running.is_finished()));
    life.upload.settle().await;
    for (_, running) in greedy {
        assert_eq!(running.await.unwrap().0, StatusCode::LOCKED);
    }
}

#[tokio::test]
async fn a_transfer_that_only_drips_loses_its_place_and_keeps_what_came() {
    let world = World::new().await;
    let settings = Settings {
        idle_timeout: Setting::secs(1),
        min_rate: ByteSize::kib(1),
        max_transfers: 1,
        ..Settings::default()
    };
    let life = world.live(settings).await;
    let (path, dripping) = trickle(&life, "drip", Duration::from_millis(50)).await;
    assert_eq!(dripping.await.unwrap(), (StatusCode::REQUEST_TIMEOUT, "too-slow".into()));
    let kept = offset(&life, "drip", &path).await;
    assert!(kept > 0);
    // Its slot is free, and the rest may come at once.
    let rest = bytes(1_000_000).slice(kept..);
    assert_eq!(send(&life, patch("drip", &path, kept), rest.into()).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn one_caller_has_a_share_of_the_unfinished_uploads_however_they_are_created() {
    let world = World::new().await;
    let settings = Settings { max_unfinished: 6, max_unfinished_per_caller: 4, ..Settings::default() };
    let life = world.live(settings).await;
    // All at once, so that a separate count and insert would let too many through.
    let creations = (0..20).map(|_| create(&life, "greedy"));
    let answers = futures_util::future::join_all(creations).await;
    let made: Vec<_> = answers.iter().filter_map(|answer| header(answer, "location")).collect();
    assert_eq!(made.len(), 4);
    for answer in answers {
        if answer.status() != StatusCode::CREATED {
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            assert!(header(&answer, "retry-after").is_some());
            assert_eq!(problem(answer).await, "upload-share");
        }
    }
    for _ in 0..2 {
        assert_eq!(create(&life, "ann").await.status(), StatusCode::CREATED);
    }
    assert_eq!(create(&life, "ann").await.status(), StatusCode::SERVICE_UNAVAILABLE, "all are taken");
    // A terminated upload no longer counts.
    let removed = send(&life, from("greedy", "DELETE", &made[0]), Body::empty()).await;
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(create(&life, "greedy").await.status(), StatusCode::CREATED);
}
