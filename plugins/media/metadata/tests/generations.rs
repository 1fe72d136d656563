//! Generations of renditions: which one is played, how long the previous one stays, and what is removed when.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use streamgate_contracts::catalogue::v1::{
    ContentState, PutRenditionsRequest, Rendition, RenditionKind, Turn,
};
use streamgate_metadata::Settings;
use streamgate_plugin_api::command::Line;
use streamgate_plugin_api::settings::Duration;

fn kept(seconds: u64) -> Settings {
    Settings { replaced_renditions: Duration::secs(seconds), ..Settings::default() }
}

async fn put(life: &Life, generation: u32) -> Result<(), tonic::Status> {
    let video = Rendition {
        name: "720p".into(),
        kind: RenditionKind::Video.into(),
        timescale: 90_000,
        generation,
        ..Rendition::default()
    };
    let audio = Rendition { name: "audio".into(), kind: RenditionKind::Audio.into(), ..video.clone() };
    let request = PutRenditionsRequest { id: ID.into(), renditions: vec![video, audio], fence: 0 };
    life.catalogue.clone().put_renditions(request).await.map(drop)
}

/// Folder, segments and turn of the video, by generation.
async fn rows(life: &Life) -> Vec<(String, usize, Option<Turn>)> {
    let rows = life.timeline(ID, 0).await.renditions.into_iter();
    let rows = rows.map(|row| (row.rendition.unwrap(), row.segments.len()));
    let pictures = rows.filter(|(rendition, _)| rendition.name == "720p");
    pictures.map(|(rendition, segments)| (rendition.folder(), segments, rendition.turn)).collect()
}

/// A playable content with three segments.
async fn playable(world: &World, life: &Life) {
    life.encode(ID).await;
    life.segments(ID, "720p", 0..3, true).await.unwrap();
    for object in
        ["source", "audio/init.mp4", "720p/init.mp4", "720p/0.m4s", "720p.1/init.mp4", "audio.1/init.mp4"]
    {
        world.put(&format!("{ID}/{object}")).await;
    }
}

async fn shown(life: &Life) -> u64 {
    let (_, content) = life.call("GET", &format!("/{ID}"), "").await;
    let renditions = content["renditions"].as_array().unwrap().clone();
    assert_eq!(renditions.len(), 2, "{renditions:#?}");
    renditions.iter().find(|it| it["name"] == "720p").unwrap()["segments"].as_u64().unwrap()
}

fn coming() -> Option<Turn> {
    Some(Turn { coming: true, until_ms: 0 })
}

#[tokio::test]
async fn a_generation_is_played_once_it_has_as_much_and_the_one_before_stays_for_its_time() {
    let world = World::new();
    let life = world.live(kept(3_600)).await;
    playable(&world, &life).await;
    put(&life, 1).await.unwrap();
    life.segments(ID, "720p.1", 0..2, false).await.unwrap();
    assert_eq!(rows(&life).await, [("720p".into(), 3, None), ("720p.1".into(), 2, coming())]);
    assert_eq!(shown(&life).await, 3);
    life.segments(ID, "720p.1", 2..4, false).await.unwrap();
    let after = rows(&life).await;
    assert_eq!(after[1], ("720p.1".into(), 4, None));
    let until_ms = after[0].2.unwrap().until_ms;
    assert!(until_ms > streamgate_plugin_api::time::now_ms() + 3_500_000);
    assert_eq!(shown(&life).await, 4);

    // What was replaced no longer counts.
    assert_eq!(put(&life, 0).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
    let refused = life.segments(ID, "720p", 3..4, false).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert_eq!(rows(&life).await, after);
}

#[tokio::test]
async fn with_ready_the_coming_generation_is_played_whatever_it_has() {
    let world = World::new();
    let life = world.live(kept(3_600)).await;
    playable(&world, &life).await;
    put(&life, 1).await.unwrap();
    life.segments(ID, "720p.1", 0..1, false).await.unwrap();
    life.step(ID, ContentState::Ready).await.unwrap();
    let after = rows(&life).await;
    assert_eq!(after[1], ("720p.1".into(), 1, None));
    assert!(after[0].2.is_some_and(|turn| !turn.coming && turn.until_ms > 0));
}

#[tokio::test]
async fn before_anybody_can_watch_the_next_generation_is_played_at_once() {
    let world = World::new();
    let life = world.live(kept(3_600)).await;
    life.encode(ID).await;
    life.segments(ID, "720p", 0..3, false).await.unwrap();
    put(&life, 1).await.unwrap();
    assert_eq!(rows(&life).await[1], ("720p.1".into(), 0, None));
}

#[tokio::test]
async fn objects_of_what_was_replaced_go_when_its_time_is_over_and_over_a_restart_too() {
    let world = World::new();
    let life = world.live(kept(2)).await;
    playable(&world, &life).await;
    put(&life, 1).await.unwrap();
    life.segments(ID, "720p.1", 0..3, false).await.unwrap();
    let old = |keys: Vec<String>| keys.iter().any(|key| key.starts_with(&format!("{ID}/720p/")));
    assert!(old(world.keys().await), "players may still ask for them");
    drop(life);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(old(world.keys().await));
    let life = world.live(kept(2)).await;
    until("the removal", async || (!old(world.keys().await)).then_some(())).await;
    until("the rows' removal", async || (rows(&life).await.len() == 1).then_some(())).await;
    assert!(world.keys().await.contains(&format!("{ID}/720p.1/init.mp4")));
    assert!(world.keys().await.contains(&format!("{ID}/audio.1/init.mp4")));
}

#[tokio::test]
async fn a_generation_that_was_never_played_goes_at_once_when_another_one_begins() {
    let world = World::new();
    let life = world.live(kept(3_600)).await;
    playable(&world, &life).await;
    put(&life, 1).await.unwrap();
    life.segments(ID, "720p.1", 0..1, false).await.unwrap();
    put(&life, 2).await.unwrap();
    let gone = async || (!world.keys().await.contains(&format!("{ID}/720p.1/init.mp4"))).then_some(());
    until("the removal of what was never played", gone).await;
    until("the rows' removal", async || (rows(&life).await.len() == 2).then_some(())).await;
    assert_eq!(rows(&life).await, [("720p".into(), 3, None), ("720p.2".into(), 0, coming())]);
    assert!(world.keys().await.contains(&format!("{ID}/720p/0.m4s")));
}

#[tokio::test]
async fn fsck_knows_what_was_replaced_and_reports_what_of_it_is_missing_before_its_time() {
    let world = World::new();
    let life = world.live(kept(3_600)).await;
    playable(&world, &life).await;
    for (folder, number) in
        [("720p", 0), ("720p", 1), ("720p", 2), ("720p.1", 0), ("720p.1", 1), ("720p.1", 2)]
    {
        world.put_bytes(&format!("{ID}/{folder}/{number}.m4s"), 250_000).await;
    }
    put(&life, 1).await.unwrap();
    life.segments(ID, "720p.1", 0..3, false).await.unwrap();
    life.step(ID, ContentState::Ready).await.unwrap();
    let check = async || streamgate_plugin_api::command::printed(life.metadata.fsck(), &[]).await;
    let lines = check().await;
    assert!(matches!(lines.last(), Some(Line::Exit(0))), "{lines:#?}");
    std::fs::remove_file(world.path().join(format!("objects/media/{ID}/720p/1.m4s"))).unwrap();
    let lines = check().await;
    assert!(matches!(lines.last(), Some(Line::Exit(6))), "{lines:#?}");
    world.execute("UPDATE renditions SET until_ms = 1 WHERE name = '720p'").await;
    let lines = check().await;
    assert!(matches!(lines.last(), Some(Line::Exit(0))), "what is being removed is no finding: {lines:#?}");
}
