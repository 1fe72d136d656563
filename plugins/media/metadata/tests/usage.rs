//! The storage use of an owner's contents.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use streamgate_contracts::catalogue::v1::*;
use streamgate_contracts::jobs::v1::ShareResponse;
use streamgate_metadata::Settings;

const OTHER: &str = "0190163d-8694-739b-aea5-966c26f8ad92";

async fn usage(life: &Life, owner: &str) -> (u64, u64) {
    let request = UsageRequest { owner: owner.into() };
    let UsageResponse { bytes, contents, .. } =
        life.catalogue.clone().usage(request).await.unwrap().into_inner();
    (bytes, contents)
}

async fn begin(life: &Life, id: &str, owner: &str, bytes: u64) {
    let source = Some(Source { bytes, ..Source::default() });
    let request = CreateRequest { id: id.into(), owner: owner.into(), source, ..CreateRequest::default() };
    life.catalogue.clone().create(request).await.unwrap();
}

async fn uploaded(life: &Life, id: &str, bytes: u64) {
    let request = UpdateRequest {
        id: id.into(),
        state: ContentState::Uploaded.into(),
        source: Some(Source { bytes, ..Source::default() }),
        ..UpdateRequest::default()
    };
    life.catalogue.clone().update(request).await.unwrap();
}

#[tokio::test]
async fn a_content_counts_its_file_once_it_is_uploaded_and_its_renditions_as_they_come() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    begin(&life, ID, "ann", 1_000).await;
    assert_eq!(usage(&life, "ann").await, (0, 1));
    uploaded(&life, ID, 1_000).await;
    assert_eq!(usage(&life, "ann").await, (1_000, 1));
    life.encode(ID).await;
    life.segments(ID, "720p", 0..3, true).await.unwrap();
    let with_renditions = 1_000 + 3 * u64::from(segment(0).bytes);
    assert_eq!(usage(&life, "ann").await.0, with_renditions);
    // A repeated segment is not counted twice.
    life.segments(ID, "720p", 0..3, false).await.unwrap();
    assert_eq!(usage(&life, "ann").await.0, with_renditions);
    // A content that fails after its upload still exists.
    life.step(ID, ContentState::Failed).await.unwrap();
    assert_eq!(usage(&life, "ann").await.0, with_renditions);
    assert_eq!(usage(&life, "bob").await, (0, 0));

    life.catalogue.clone().delete(DeleteRequest { id: ID.into() }).await.unwrap();
    assert_eq!(usage(&life, "ann").await, (0, 0));
}

#[tokio::test]
async fn pictures_count_as_they_are_made_and_go_with_the_content() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    begin(&life, ID, "ann", 1_000).await;
    uploaded(&life, ID, 1_000).await;
    life.encode(ID).await;
    let segments = 3 * u64::from(segment(0).bytes);
    let pictures = async |poster_bytes, thumbnail_bytes| {
        let update =
            UpdateRequest { id: ID.into(), poster_bytes, thumbnail_bytes, ..UpdateRequest::default() };
        life.catalogue.clone().update(update).await.unwrap();
        usage(&life, "ann").await.0
    };
    assert_eq!(pictures(Some(70), None).await, 1_070);
    life.segments(ID, "720p", 0..3, true).await.unwrap();
    assert_eq!(pictures(None, Some(500)).await, 1_570 + segments);
    // A picture that is made again takes the place of the one before.
    assert_eq!(pictures(Some(60), Some(500)).await, 1_560 + segments);
    life.step(ID, ContentState::Ready).await.unwrap();
    world.execute("UPDATE contents SET bytes = NULL, source_bytes = NULL").await;
    assert_eq!(usage(&life, "ann").await.0, 1_560 + segments);
    life.catalogue.clone().delete(DeleteRequest { id: ID.into() }).await.unwrap();
    assert_eq!(usage(&life, "ann").await, (0, 0));
}

#[tokio::test]
async fn an_upload_that_failed_takes_nothing() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    begin(&life, ID, "ann", 1_000).await;
    life.step(ID, ContentState::Failed).await.unwrap();
    let request = UpdateRequest { id: ID.into(), reason: Some("again".into()), ..UpdateRequest::default() };
    life.catalogue.clone().update(request).await.unwrap();
    assert_eq!(usage(&life, "ann").await, (0, 1));
}

#[tokio::test]
async fn contents_from_before_there_was_a_count_are_counted_on_request() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    for (id, bytes) in [(ID, 700), (OTHER, 50)] {
        begin(&life, id, "ann", bytes).await;
        uploaded(&life, id, bytes).await;
    }
    world.execute("UPDATE contents SET bytes = NULL, source_bytes = NULL").await;
    assert_eq!(usage(&life, "ann").await, (750, 2));
}

#[tokio::test]
async fn a_failed_content_is_not_retried_once_the_minutes_of_its_owner_are_used_up() {
    let world = World::new();
    let life = world.live(Settings { gated: false, ..Settings::default() }).await;
    begin(&life, ID, "ann", 1).await;
    world.put(&format!("{ID}/source")).await;
    uploaded(&life, ID, 1).await;
    life.step(ID, ContentState::Failed).await.unwrap();
    let until = 4_102_444_800_000;
    *world.share.lock().unwrap() = ShareResponse {
        worked_ms: 600_000,
        most_ms: Some(600_000),
        day_ends_at_ms: until,
        ..ShareResponse::default()
    };
    let path = format!("/{ID}/retry");
    let refused = life.send("POST", &path, &CREATOR, "").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let (_, problem) = life.as_creator("POST", &path, "").await;
    assert!(problem["type"].as_str().unwrap().ends_with(":quota-encode-minutes"), "{problem}");
    assert_eq!((&problem["limit"], &problem["until"]), (&10.into(), &"2100-01-01T00:00:00.000Z".into()));

    world.share.lock().unwrap().most_ms = Some(600_001);
    assert_eq!(life.as_creator("POST", &path, "").await.0, 202);
}
