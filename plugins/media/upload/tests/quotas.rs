//! How much one principal may store.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use serde_json::Value;
use streamgate_auth::RoleQuota;
use streamgate_contracts::upload::v1::ReservedRequest;
use streamgate_contracts::upload::v1::upload_client::UploadClient;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_plugin_api::{Body, Client, Principal};
use streamgate_upload::Settings;

/// A setup where every signed-in principal has this quota, and ann is signed in.
async fn bounded(quota: RoleQuota) -> (World, Life) {
    let world = World::new().await;
    let quotas = BTreeMap::from([("viewer".to_owned(), quota)]);
    world.open_auth_with(streamgate_auth::Settings { quotas, ..streamgate_auth::Settings::default() }).await;
    let life = signed_in(world.live(Settings::default()).await, "ann");
    (world, life)
}

async fn of_bytes(bytes: u64) -> (World, Life) {
    bounded(RoleQuota { stored: Some(ByteSize::bytes(bytes)), ..RoleQuota::default() }).await
}

fn signed_in(mut life: Life, id: &str) -> Life {
    life.sender = Some(Principal { id: id.into(), ..Principal::default() });
    life
}

async fn create(life: &Life, length: usize) -> Response<Body> {
    life.send("POST", "/files", &[("Upload-Length", &length.to_string())], Body::empty()).await
}

async fn problem(answer: Response<Body>) -> Value {
    serde_json::from_slice(&answer.into_body().collect_bytes(1 << 16).await.unwrap()).unwrap()
}

/// A part of an upload with all its bytes; its path.
async fn part(life: &Life, length: usize) -> String {
    let headers = [
        ("Upload-Length", &*length.to_string()),
        ("Upload-Concat", "partial"),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    let answer = life.send("POST", "/files", &headers, bytes(length)).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    header(&answer, "location").unwrap()
}

async fn deferred(life: &Life) -> String {
    let answer = life.send("POST", "/files", &[("Upload-Defer-Length", "1")], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    header(&answer, "location").unwrap()
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_what_is_taken_until_there_is_room() {
    let (_world, life) = of_bytes(1_000).await;
    let first = life.create(600).await;
    let over = create(&life, 500).await;
    assert_eq!(over.status(), StatusCode::INSUFFICIENT_STORAGE);
    let over = problem(over).await;
    assert!(over["type"].as_str().unwrap().ends_with(":quota-stored"), "{over}");
    assert_eq!((&over["limit"], &over["used"], &over["needed"]), (&1_000.into(), &600.into(), &500.into()));
    assert!(over["detail"].as_str().unwrap().contains("delete a content or an unfinished upload"), "{over}");

    let ended = life.send("DELETE", &first, &[], Body::empty()).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let second = life.create(500).await;
    assert_eq!(life.patch(&second, 0, bytes(500), &[]).await.status(), StatusCode::NO_CONTENT);
    // Now the catalogue counts it.
    let over = problem(create(&life, 501).await).await;
    assert!(over["used"].as_u64().unwrap() >= 500, "{over}");
    let fits = async || (create(&life, 500).await.status() == StatusCode::CREATED).then_some(());
    until("the room that is left", fits).await;
}

#[tokio::test]
async fn one_owner_takes_nothing_of_another_and_uploads_without_an_owner_have_no_limit() {
    let (world, life) = of_bytes(1_000).await;
    life.create(1_000).await;
    assert_eq!(create(&life, 1).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    let life = signed_in(life, "bob");
    life.create(1_000).await;
    drop(life);
    world.live(Settings::default()).await.create(5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_at_once_only_those_pass_that_fit_together() {
    let (_world, life) = of_bytes(1_000).await;
    let answers = join_all((0..20).map(|_| create(&life, 300))).await;
    let made = answers.iter().filter(|answer| answer.status() == StatusCode::CREATED).count();
    assert_eq!(made, 3);
    let refused = answers.iter().filter(|answer| answer.status() == StatusCode::INSUFFICIENT_STORAGE).count();
    assert_eq!(refused, 17);
}

#[tokio::test]
async fn a_final_upload_takes_the_place_of_its_parts() {
    let (_world, life) = of_bytes(1_000).await;
    let (one, two) = (part(&life, 400).await, part(&life, 400).await);
    // Parts count until they are joined.
    assert_eq!(create(&life, 300).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    let concat = format!("final;{one} {two}");
    let joined = life.send("POST", "/files", &[("Upload-Concat", &concat)], Body::empty()).await;
    assert_eq!(joined.status(), StatusCode::CREATED, "{:?}", problem(joined).await);
    assert_eq!(create(&life, 300).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    let fits = async || (create(&life, 200).await.status() == StatusCode::CREATED).then_some(());
    until("the room that is left", fits).await;
}

#[tokio::test]
async fn a_length_that_is_sent_later_is_checked_then() {
    let (_world, life) = of_bytes(1_000).await;
    let path = deferred(&life).await;
    let over = life.patch(&path, 0, bytes(10), &[("Upload-Length", "1001")]).await;
    assert_eq!(over.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(problem(over).await["needed"], 1_001);
    let fits = life.patch(&path, 0, bytes(10), &[("Upload-Length", "1000")]).await;
    assert_eq!(fits.status(), StatusCode::NO_CONTENT);
    assert_eq!(create(&life, 1).await.status(), StatusCode::INSUFFICIENT_STORAGE);
}

#[tokio::test]
async fn an_upload_without_a_length_gets_no_larger_than_there_is_room() {
    let (_world, life) = of_bytes(1_000).await;
    life.create(300).await;
    let path = deferred(&life).await;
    let over = life.patch(&path, 0, bytes(900), &[]).await;
    assert_eq!(over.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(life.offset(&path).await.unwrap() <= 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_without_a_length_do_not_exceed_the_quota() {
    let (_world, life) = of_bytes(100_000).await;
    let mut paths = Vec::new();
    for _ in 0..10 {
        paths.push(deferred(&life).await);
    }
    let frames = || {
        let frames = (0..90).map(|_| Ok::<_, std::io::Error>(bytes(1_000)));
        Body::from_stream(futures_util::stream::iter(frames))
    };
    let answers = join_all(paths.iter().map(|path| life.patch(path, 0, frames(), &[]))).await;
    let taken = answers.iter().filter(|answer| answer.status() == StatusCode::NO_CONTENT).count();
    assert!(taken <= 1, "{taken} of 90,000 bytes each were taken");
    for answer in answers.into_iter().filter(|answer| answer.status() != StatusCode::NO_CONTENT) {
        assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE, "{:?}", problem(answer).await);
    }
    let mut stored = 0;
    for path in &paths {
        stored += life.offset(path).await.unwrap();
    }
    assert!(stored <= 100_000, "{stored} bytes");

    // Nothing stays reserved: the rest can be used.
    let (left, path) = (100_000 - stored, deferred(&life).await);
    assert_eq!(life.patch(&path, 0, bytes(left), &[]).await.status(), StatusCode::NO_CONTENT);
    let over = life.patch(&path, left, bytes(1), &[]).await;
    assert_eq!(over.status(), StatusCode::INSUFFICIENT_STORAGE);
    let over = problem(over).await;
    assert_eq!(over["limit"], 100_000, "{over}");
    let view = life.raw("GET", "/api/v1/quota", &[], Body::empty()).await;
    assert_eq!(problem(view).await["stored"]["used"], 100_000);
}

#[tokio::test]
async fn what_is_handed_over_is_its_new_owners_to_go_on_with_and_counts_as_theirs() {
    let (world, ann) = of_bytes(1_000).await;
    let bob = signed_in(world.live(Settings::default()).await, "bob");
    let (known, open) = (ann.create(600).await, deferred(&ann).await);
    assert_eq!(ann.patch(&open, 0, bytes(300), &[]).await.status(), StatusCode::NO_CONTENT);
    for path in [&known, &open] {
        world.hand_over(&id_of(path), "bob").await;
        for method in ["HEAD", "DELETE"] {
            assert_eq!(ann.send(method, path, &[], Body::empty()).await.status(), 404, "{method}");
        }
        assert_eq!(ann.patch(path, 0, bytes(1), &[]).await.status(), StatusCode::NOT_FOUND);
        assert!(bob.offset(path).await.is_some());
    }
    // All of the known length belongs to bob, and what arrives of the other one.
    assert_eq!(bob.patch(&open, 300, bytes(101), &[]).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(bob.patch(&open, 300, bytes(100), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(create(&bob, 1).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    ann.create(1_000).await;

    // Whole or not: only bob can end it.
    assert_eq!(bob.patch(&known, 0, bytes(600), &[]).await.status(), StatusCode::NO_CONTENT);
    let state = async || (world.content(&id_of(&known)).await?["state"] == "uploaded").then_some(());
    until("an uploaded content", state).await;
    assert_eq!(ann.send("DELETE", &known, &[], Body::empty()).await.status(), StatusCode::NOT_FOUND);
    assert!(world.object(&format!("media/{}/source", id_of(&known))).await.is_some());
    for path in [known, open] {
        assert_eq!(bob.send("DELETE", &path, &[], Body::empty()).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(world.content(&id_of(&path)).await, None);
    }
}

#[tokio::test]
async fn a_hand_over_that_is_heard_of_ends_what_its_former_owner_sends() {
    let (world, ann) = of_bytes(1_000).await;
    let path = ann.create(10).await;
    let silent = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let sending = ann.patch(&path, 0, silent, &[]);
    let handing = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        // An event alone changes nothing.
        ann.upload.on_standing(&id_of(&path)).await;
        world.hand_over(&id_of(&path), "bob").await;
        ann.upload.on_standing(&id_of(&path)).await;
    };
    let (answer, ()) = tokio::join!(sending, handing);
    assert_eq!(answer.status(), StatusCode::LOCKED);
    assert_eq!(ann.offset(&path).await, None);
}

#[tokio::test]
async fn while_the_quota_is_unknown_no_upload_begins() {
    let world = World::new().await;
    *world.auth.lock().unwrap() = Client::from_service(tower::service_fn(|_| async {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, std::convert::Infallible>(answer)
    }));
    let life = signed_in(world.live(Settings::default()).await, "ann");
    let answer = create(&life, 1).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&answer, "retry-after").is_some());
    assert!(problem(answer).await["detail"].as_str().unwrap().contains("your storage quota is unknown"));
}

#[tokio::test]
async fn the_share_of_unfinished_uploads_is_that_of_the_quota() {
    let (_world, life) = bounded(RoleQuota { unfinished_uploads: Some(2), ..RoleQuota::default() }).await;
    life.create(1).await;
    life.create(1).await;
    let over = create(&life, 1).await;
    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem(over).await["limit"], 2);
}

#[tokio::test]
async fn usage_is_visible_to_its_principal_and_admins_and_a_part_without_an_answer_is_left_out() {
    let (world, mut life) = of_bytes(1_000).await;
    world.add_principal("ann").await;
    let path = life.create(600).await;
    life.create(100).await;
    assert_eq!(life.patch(&path, 0, bytes(600), &[]).await.status(), StatusCode::NO_CONTENT);
    let ask = async |life: &Life, query: &str| {
        let answer = life.raw("GET", &format!("/api/v1/quota{query}"), &[], Body::empty()).await;
        (answer.status().as_u16(), problem(answer).await)
    };
    let known = async || {
        let (status, view) = ask(&life, "").await;
        assert_eq!(status, 200, "{view}");
        (view["stored"]["used"] == 700 && view["unfinished_uploads"]["used"] == 1).then_some(view)
    };
    let view = until("what the catalogue counts", known).await;
    assert_eq!(view["principal"], "ann");
    assert_eq!(view["stored"]["limit"], 1_000);
    assert_eq!(view["api_keys"], serde_json::json!({ "limit": 50, "used": 0 }));
    assert_eq!(view["event_streams"], serde_json::json!({ "limit": 50, "used": 0 }));
    assert_eq!(view["challenges"], serde_json::json!({ "limit": 300, "used": 0 }));
    // The queue of these tests knows no owners.
    assert!(view.get("encodes").is_none() && view.get("encode_minutes").is_none(), "{view}");

    assert_eq!(ask(&life, "?principal=bob").await.0, 403);
    assert_eq!(ask(&life, "?other=1").await.0, 400);
    let scopes = vec!["admin".to_owned()];
    life.sender = Some(Principal { id: "root".into(), scopes, ..Principal::default() });
    let (status, view) = ask(&life, "?principal=ann").await;
    assert_eq!((status, &view["stored"]["used"]), (200, &700.into()));
    assert!(view.get("challenges").is_none(), "where ann is, an admin does not know: {view}");
    assert_eq!(ask(&life, "?principal=gone").await.0, 404);
    life.sender = None;
    assert_eq!(ask(&life, "").await.0, 401);
}

#[tokio::test]
async fn the_catalogue_learns_what_the_uploads_of_a_principal_take() {
    let (_world, ann) = of_bytes(1_000).await;
    let reserved = async |principal: &str| {
        let upload = UploadClient::new(Client::from_service(ann.upload.internal()));
        let request = ReservedRequest { principal: principal.into() };
        upload.clone().reserved(request).await.unwrap().into_inner().bytes
    };
    ann.create(600).await;
    let open = deferred(&ann).await;
    assert_eq!(ann.patch(&open, 0, bytes(50), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((reserved("ann").await, reserved("bob").await), (650, 0));
}
