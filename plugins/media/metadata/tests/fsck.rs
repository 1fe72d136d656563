//! The catalogue's report when rows and objects do not match any more.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::time::{Duration, SystemTime};

use common::*;
use serde_json::Value;
use streamgate_contracts::catalogue::v1::{ContentState, DeleteRequest, UpdateRequest};
use streamgate_metadata::Settings;
use streamgate_plugin_api::command::Line;

/// The standard output of `streamgate fsck`, and its exit code.
async fn fsck(life: &Life, words: &[&str]) -> (Vec<String>, u8) {
    let (mut out, mut code) = (Vec::new(), None);
    for line in streamgate_plugin_api::command::printed(life.metadata.fsck(), words).await {
        match line {
            Line::Out(text) => out.push(text),
            Line::Err(_) => {}
            Line::Exit(exit) => code = Some(exit),
        }
    }
    (out, code.unwrap())
}

/// The findings of `--json`: kind and content.
async fn findings(life: &Life, more: &[&str]) -> (Vec<(String, String)>, u8) {
    let (lines, code) = fsck(life, &[&["--json"], more].concat()).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = lines.filter(|line| line["finding"].is_string());
    (found.map(|line| (text(&line["finding"]), text(&line["content"]))).collect(), code)
}

/// A content that is playable, with all its objects.
async fn whole(world: &World, life: &Life) {
    life.encode(ID).await;
    life.segments(ID, "720p", 0..3, true).await.unwrap();
    world.put(&format!("{ID}/source")).await;
    for rendition in ["720p", "audio"] {
        world.put(&format!("{ID}/{rendition}/init.mp4")).await;
    }
    for number in 0..3 {
        world.put_bytes(&format!("{ID}/720p/{number}.m4s"), 250_000).await;
    }
}

#[tokio::test]
async fn a_whole_catalogue_is_clean_and_what_is_missing_or_damaged_is_reported_by_content() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    assert_eq!(findings(&life, &[]).await, (vec![], 0));
    whole(&world, &life).await;
    life.create("0190163d-8694-739b-aea5-966c26f8ad92", "Being uploaded").await;
    assert_eq!(findings(&life, &[]).await, (vec![], 0));

    let object = |name: &str| world.path().join(format!("objects/media/{ID}/{name}"));
    std::fs::remove_file(object("source")).unwrap();
    std::fs::remove_file(object("720p/1.m4s")).unwrap();
    File::options().write(true).open(object("720p/2.m4s")).unwrap().set_len(7).unwrap();
    let found = |kind: &str| (kind.to_owned(), ID.to_owned());
    assert_eq!(findings(&life, &[]).await, (vec![found("source-missing"), found("rendition-damaged")], 6));
    let (lines, code) = fsck(&life, &[]).await;
    assert_eq!(code, 6);
    assert!(lines[1].contains("2 of 4 objects of `720p`") && lines[1].contains("720p/1.m4s"), "{lines:#?}");
    assert!(
        lines[2] == "looked at 2 contents and 4 objects; contents with faults: 1, without a row: 0",
        "{lines:#?}"
    );
}

#[tokio::test]
async fn missing_rows_missing_pictures_and_objects_without_a_row_are_reported() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    whole(&world, &life).await;
    life.step(ID, ContentState::Ready).await.unwrap();
    let index = "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nthumbnails-0.jpg#xywh=0,0,160,90\n";
    world.put_text(&format!("{ID}/thumbnails.vtt"), index).await;
    let update = UpdateRequest { id: ID.into(), has_thumbnails: Some(true), ..UpdateRequest::default() };
    life.catalogue.clone().update(update).await.unwrap();
    let found = |kind: &str| (kind.to_owned(), ID.to_owned());
    assert_eq!(findings(&life, &[]).await, (vec![found("picture-missing")], 6));
    world.put(&format!("{ID}/thumbnails-0.jpg")).await;
    assert_eq!(findings(&life, &[]).await, (vec![], 0));

    // A new object may get its row in a moment.
    world.put(&format!("{ID}/1080p/0.m4s")).await;
    assert_eq!(findings(&life, &[]).await, (vec![], 0));
    age(&world, &format!("{ID}/1080p/0.m4s"));
    world.put("loose").await;
    let loose = ("objects-without-content".to_owned(), "loose".to_owned());
    assert_eq!(findings(&life, &[]).await, (vec![found("objects-without-row"), loose.clone()], 6));

    world.execute("DELETE FROM segments").await;
    let (told, _) = findings(&life, &[]).await;
    assert!(told.contains(&found("rows-missing")), "{told:?}");
    let (lines, _) = fsck(&life, &[]).await;
    assert!(lines[0].contains("3 of 3 segments of `720p`"), "{lines:#?}");
    world.execute("DELETE FROM renditions").await;
    let (lines, _) = fsck(&life, &[]).await;
    assert!(lines[0].contains("it is playable and has no rendition"), "{lines:#?}");
}

#[tokio::test]
async fn objects_without_a_content_are_reported_and_removed_only_on_request_and_when_old_enough() {
    const LEFT: &str = "0190163d-8694-739b-aea5-966c26f8ad99";
    let world = World::new();
    let life = world.live(Settings::default()).await;
    whole(&world, &life).await;
    for key in ["source", "720p/0.m4s"] {
        world.put(&format!("{LEFT}/{key}")).await;
    }
    world.put("not a content's/a%20%C3%A9".replace(' ', "%20").as_str()).await;
    let found = |id: &str| ("objects-without-content".to_owned(), id.to_owned());
    let both = vec![found(LEFT), found("not a content's")];
    assert_eq!(findings(&life, &[]).await, (both.clone(), 6));
    assert_eq!(findings(&life, &["--repair"]).await, (both.clone(), 6));
    let keys = world.keys().await.len();

    for key in ["source", "720p/0.m4s"] {
        age(&world, &format!("{LEFT}/{key}"));
    }
    assert_eq!(findings(&life, &[]).await, (both.clone(), 6));
    assert_eq!(world.keys().await.len(), keys, "without --repair nothing is removed");
    assert_eq!(findings(&life, &["--repair"]).await, (both, 6));
    until("the sweep", async || (world.keys().await.len() == keys - 2).then_some(())).await;
    assert_eq!(findings(&life, &[]).await, (vec![found("not a content's")], 6));
    // What is swept already is no finding.
    world.put(&format!("{ID}/late")).await;
    life.catalogue.clone().delete(DeleteRequest { id: ID.into() }).await.unwrap();
    assert_eq!(findings(&life, &[]).await, (vec![found("not a content's")], 6));
}

#[tokio::test]
async fn a_storage_that_does_not_answer_is_not_taken_for_an_empty_one() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    whole(&world, &life).await;
    world.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(findings(&life, &["--repair"]).await, (vec![], 1));
    for words in [&["--fix"][..], &["x"]] {
        assert_eq!(fsck(&life, words).await.1, 2);
    }
    assert!(fsck(&life, &["--help"]).await.0[0].contains("--repair"));
}

#[tokio::test]
async fn a_new_catalogue_beside_objects_of_contents_does_not_start_without_an_explicit_setting() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    world.put(&format!("{ID}/source")).await;
    drop(life);
    let lost = World::new();
    let (from, to) = (world.path().join("objects/media"), lost.path().join("objects/media"));
    std::fs::rename(from, to).unwrap();
    let error = lost.open(Settings::default()).await.unwrap_err().to_string();
    for words in [ID, "restore the folder `sqlite`", "begin_anew = true"] {
        assert!(error.contains(words), "{error}");
    }
    lost.open(Settings { begin_anew: true, ..Settings::default() }).await.unwrap();
    lost.open(Settings::default()).await.unwrap();
    // A known one stays known, although it is empty.
    let world = World::new();
    let life = world.live(Settings::default()).await;
    world.put(&format!("{ID}/source")).await;
    drop(life);
    world.open(Settings::default()).await.unwrap();
    let settings = Settings::default();
    let unknown = World::new();
    unknown.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(unknown.open(settings).await.unwrap_err().to_string().contains("it is unknown whether"));
}

const VTT: [(&str, &str); 1] = [("content-type", "text/vtt")];
const CAPTIONS: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\na\n";

/// A whole content with captions, and the key of their object.
async fn captioned(world: &World) -> (Life, String) {
    let life = world.live(Settings::default()).await;
    whole(world, &life).await;
    life.step(ID, ContentState::Ready).await.unwrap();
    let added = life.send("POST", &format!("/{ID}/captions"), &VTT, CAPTIONS).await;
    assert_eq!(added.status().as_u16(), 201);
    let key = world.keys().await.into_iter().find(|key| key.ends_with("/1.vtt")).unwrap();
    (life, key)
}

/// The object is old enough not to be in use by a writer.
fn age(world: &World, key: &str) {
    let old = SystemTime::now() - Duration::from_secs(7_200);
    let object = world.path().join(format!("objects/media/{key}"));
    File::options().write(true).open(object).unwrap().set_modified(old).unwrap();
}

#[tokio::test]
async fn captions_are_no_strays_and_missing_or_leftover_ones_are_reported() {
    let world = World::new();
    let (life, key) = captioned(&world).await;
    age(&world, &key);
    assert_eq!(findings(&life, &[]).await, (vec![], 0));
    let found = |kind: &str| (kind.to_owned(), ID.to_owned());
    let left = key.replace("/1.vtt", "/2.vtt");
    world.put(&left).await;
    age(&world, &left);
    assert_eq!(findings(&life, &[]).await, (vec![found("objects-without-row")], 6));
    std::fs::remove_file(world.path().join(format!("objects/media/{left}"))).unwrap();
    std::fs::remove_file(world.path().join(format!("objects/media/{key}"))).unwrap();
    assert_eq!(findings(&life, &[]).await, (vec![found("captions-damaged")], 6));
}

#[tokio::test]
async fn what_captions_were_before_they_were_replaced_is_looked_after_too() {
    let world = World::new();
    let (life, key) = captioned(&world).await;
    let name = key.split('/').nth(1).unwrap();
    let replaced = life.send("PUT", &format!("/{ID}/captions/{name}"), &VTT, CAPTIONS).await;
    assert_eq!(replaced.status().as_u16(), 200);
    age(&world, &key);
    assert_eq!(findings(&life, &[]).await, (vec![], 0), "it is no stray");
    std::fs::remove_file(world.path().join(format!("objects/media/{key}"))).unwrap();
    assert_eq!(findings(&life, &[]).await, (vec![("captions-damaged".to_owned(), ID.to_owned())], 6));
}
