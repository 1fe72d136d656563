//! The REST API and the live changes through HTTP, and the effects of a deletion.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use common::*;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamgate_contracts::catalogue::v1::*;
use streamgate_contracts::events::{ContentChanged, ContentDeleted};
use streamgate_metadata::Settings;
use streamgate_plugin_api::settings::Duration;
use streamgate_plugin_api::{Body, Event};

fn id(number: u32) -> String {
    format!("0190163d-8694-739b-aea5-{number:012x}")
}

fn titles(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps_while_contents_come_and_go() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    for number in 0..7 {
        life.create(&id(number), &format!("T{number}")).await;
    }
    let (status, first) = life.call("GET", "?limit=3", "").await;
    assert_eq!((status, titles(&first)), (200, vec!["T6".into(), "T5".into(), "T4".into()]));
    life.create(&id(9), "T9").await;
    life.call("DELETE", &format!("/{}", id(4)), "").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = life.call("GET", &format!("?limit=3&cursor={cursor}"), "").await;
    assert_eq!(titles(&second), ["T3", "T2", "T1"]);
    let cursor = second["next_cursor"].as_str().unwrap();
    let (_, last) = life.call("GET", &format!("?limit=3&cursor={cursor}"), "").await;
    assert_eq!((titles(&last), &last["next_cursor"]), (vec!["T0".to_owned()], &Value::Null));
}

#[tokio::test]
async fn lists_are_sorted_by_age_and_by_title_page_by_page() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    for (number, title) in ["bee", "Ant", "Über", "ant", "Cat"].iter().enumerate() {
        life.create(&id(number.try_into().unwrap()), title).await;
    }
    life.call("PATCH", &format!("/{}", id(0)), r#"{"title":"Zebra"}"#).await;
    for (sort, expected) in [
        ("", ["Cat", "ant", "Über", "Ant", "Zebra"]),
        ("newest", ["Cat", "ant", "Über", "Ant", "Zebra"]),
        ("oldest", ["Zebra", "Ant", "Über", "ant", "Cat"]),
        ("title", ["Ant", "ant", "Cat", "Zebra", "Über"]),
    ] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = life.call("GET", &format!("?limit=2&sort={sort}&cursor={cursor}"), "").await;
            assert_eq!(status, 200, "{page}");
            found.extend(titles(&page));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(found, expected, "{sort}");
    }
    let (_, page) = life.call("GET", "?limit=1&sort=title", "").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for wrong in ["?sort=size".to_owned(), format!("?sort=oldest&cursor={cursor}")] {
        let (status, problem) = life.call("GET", &wrong, "").await;
        assert_eq!(status, 400, "{problem}");
    }
}

#[tokio::test]
async fn lists_are_filtered_by_state_and_by_text_in_any_case() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(&id(1), "Über 100% Bunny_1").await;
    life.create(&id(2), "Other").await;
    life.step(&id(2), ContentState::Uploaded).await.unwrap();
    life.call("PATCH", &format!("/{}", id(2)), r#"{"tags":["Nature"]}"#).await;
    for (query, found) in [
        ("?q=%C3%BCBER", vec!["Über 100% Bunny_1"]),
        ("?q=100%25%20b", vec!["Über 100% Bunny_1"]),
        ("?q=%25", vec!["Über 100% Bunny_1"]),
        ("?q=nature", vec!["Other"]),
        ("?q=other.mp4", vec!["Other"]),
        ("?q=nothing", vec![]),
        ("?state=uploaded", vec!["Other"]),
        ("?state=uploading&q=bunny", vec!["Über 100% Bunny_1"]),
        ("?q=", vec!["Other", "Über 100% Bunny_1"]),
    ] {
        let (status, page) = life.call("GET", query, "").await;
        assert_eq!((status, titles(&page)), (200, found.into_iter().map(str::to_owned).collect()), "{query}");
    }
}

#[tokio::test]
async fn wrong_queries_and_patches_are_problems_that_name_what_is_wrong() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    for (query, parameter) in [
        ("?limit=0", "limit"),
        ("?limit=x", "limit"),
        ("?limit=101", "limit"),
        ("?cursor=x", "cursor"),
        ("?state=done", "state"),
        ("?other=1", ""),
        ("?limit=1&limit=2", ""),
    ] {
        let (status, problem) = life.call("GET", query, "").await;
        assert_eq!((status, &problem["parameter"]), (400, &json!(parameter)), "{query}");
    }
    let path = format!("/{ID}");
    for (body, status) in [
        ("{", 400),
        ("[]", 400),
        (r#"{"title":1}"#, 422),
        (r#"{"title":"a\u0000"}"#, 422),
        (r#"{"state":"ready"}"#, 422),
    ] {
        let (got, problem) = life.call("PATCH", &path, body).await;
        assert_eq!(got, status, "{body}");
        assert!(problem["type"].as_str().unwrap().starts_with("urn:streamgate:problem:"));
    }
    assert_eq!(
        life.send("PATCH", &path, &[("Content-Type", "text/plain")], "{}").await.status().as_u16(),
        415
    );
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(300_000));
    assert_eq!(life.call("PATCH", &path, &large).await.0, 413);
    assert_eq!(life.call("GET", "/not-an-id", "").await.0, 404);
    assert_eq!(life.call("PUT", &path, "").await.0, 405);
}

#[tokio::test]
async fn a_patch_is_merged_and_can_be_bound_to_what_was_seen() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    let path = format!("/{ID}");
    until("its visibility is known", async || {
        let (_, content) = life.call("GET", &path, "").await;
        content["visibility"].is_string().then_some(())
    })
    .await;
    let answer = life.send("GET", &path, &[], "").await;
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(life.send("GET", &path, &[("If-None-Match", &tag)], "").await.status().as_u16(), 304);
    let (status, content) = life.call("PATCH", &path, r#"{"title":"New","tags":["a"]}"#).await;
    assert_eq!((status, &content["title"], &content["tags"]), (200, &json!("New"), &json!(["a"])));
    let bound = [("Content-Type", "application/merge-patch+json"), ("If-Match", &*tag)];
    assert_eq!(life.send("PATCH", &path, &bound, r#"{"title":"Late"}"#).await.status().as_u16(), 412);
    let (_, content) = life.call("PATCH", &path, r#"{"title":null,"tags":null}"#).await;
    assert_eq!((&content["title"], &content["tags"]), (&json!("Film"), &json!([])));
}

#[tokio::test]
async fn a_deleted_content_is_gone_at_once_and_its_objects_for_certain() {
    let world = World::new();
    let settings = Settings { sweep_grace: Duration::millis(100), ..Settings::default() };
    let life = world.live(settings.clone()).await;
    life.encode(ID).await;
    let other = id(1);
    for key in [format!("{ID}/source"), format!("{ID}/720p/0.m4s"), format!("{other}/source")] {
        world.put(&key).await;
    }
    world.broken.store(true, Ordering::SeqCst);
    assert_eq!(life.call("DELETE", &format!("/{ID}"), "").await.0, 204);
    assert_eq!(life.call("GET", &format!("/{ID}"), "").await.0, 404);
    assert_eq!(life.call("DELETE", &format!("/{ID}"), "").await.0, 404);
    assert_eq!(life.segments(ID, "720p", 0..1, false).await.unwrap_err().code(), tonic::Code::NotFound);
    let deletions = || {
        let events = world.events.lock().unwrap();
        let deletion = |e: &&Event| e.parse::<ContentDeleted>().is_ok() && e.subject.ends_with("deleted");
        // After a restart it is published again.
        events.iter().filter(deletion).map(|event| event.id.clone()).collect::<BTreeSet<_>>().len()
    };
    // Events are published after the answer, by a task that ends with the process.
    until("the event", || async { (deletions() == 1).then_some(()) }).await;
    drop(life);

    // The storage comes back only after a restart, and a writer was still active.
    world.broken.store(false, Ordering::SeqCst);
    let life = world.live(settings).await;
    until("the first sweep", || async { (world.keys().await == [format!("{other}/source")]).then_some(()) })
        .await;
    world.put(&format!("{ID}/720p/1.m4s")).await;
    until("the second sweep", || async { (world.keys().await == [format!("{other}/source")]).then_some(()) })
        .await;
    let again = CreateRequest { id: ID.into(), ..CreateRequest::default() };
    assert_eq!(life.catalogue.clone().create(again).await.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(deletions(), 1);
}

#[tokio::test]
async fn a_failed_content_is_retried_once_its_source_is_there() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let path = format!("/{ID}/retry");
    assert_eq!(life.call("POST", &path, "").await.0, 409);
    life.step(ID, ContentState::Failed).await.unwrap();
    assert_eq!(life.call("POST", &path, "").await.0, 409);
    for unusable in [true, false] {
        let update = UpdateRequest { id: ID.into(), unusable: Some(unusable), ..UpdateRequest::default() };
        life.catalogue.clone().update(update).await.unwrap();
        let (_, content) = life.call("GET", &format!("/{ID}"), "").await;
        assert_eq!(content["retryable"], json!(!unusable));
    }
    world.put(&format!("{ID}/source")).await;
    let (status, content) = life.call("POST", &path, "").await;
    assert_eq!((status, &content["state"]), (202, &json!("uploaded")));
    until("the job", || async { (*world.enqueued.lock().unwrap() == [ID]).then_some(()) }).await;
}

#[tokio::test]
async fn every_change_is_an_event_on_the_bus_with_the_latest_state() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let last = life.segments(ID, "720p", 0..2, true).await.unwrap();
    until("the last change", || async {
        let events = world.events.lock().unwrap();
        let last_seen = events.last()?.parse::<ContentChanged>().ok()?;
        (last_seen.revision == last.revision && last_seen.state == "playable").then_some(())
    })
    .await;
    assert!(
        world.events.lock().unwrap().iter().all(|event| event.subject == format!("content.{ID}.changed"))
    );
}

/// A client of the live changes.
struct Stream {
    body: Body,
    buffer: String,
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    event: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(life: &Life, path: &str, headers: &[(&str, &str)]) -> Self {
        let answer = life.send("GET", path, headers, "").await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), buffer: String::new() }
    }

    /// The next event; none at the end of the stream. Comments are skipped.
    async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let mut seen = Seen::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", event)) => seen.event = event.into(),
                        Some(("id", id)) => seen.id = id.into(),
                        Some(("data", data)) => seen.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                self.buffer = rest.to_owned();
                if !seen.event.is_empty() {
                    return Some(seen);
                }
                continue;
            }
            let data = self.body.frame().await?.unwrap().into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn until_title(&mut self, title: &str) -> Seen {
        loop {
            let seen = self.next().await.unwrap();
            if seen.data["title"] == title {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_shows_every_change_and_one_that_comes_back_what_it_missed() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    let mut all = Stream::open(&life, "/events", &[]).await;
    life.create(ID, "One").await;
    let seen = all.until_title("One").await;
    assert_eq!((seen.event.as_str(), &seen.data["state"]), ("changed", &json!("uploading")));
    drop(all);
    life.create(&id(1), "Two").await;
    life.create(&id(2), "Three").await;
    life.call("DELETE", &format!("/{}", id(2)), "").await;
    drop(life);

    let life = world.live(Settings::default()).await;
    let mut all = Stream::open(&life, "/events", &[("Last-Event-ID", &seen.id)]).await;
    // Storing the openness is a change as well: so either one is the later.
    let (mut two, mut gone) = (false, false);
    while !two || !gone {
        let seen = all.next().await.unwrap();
        two |= seen.data["title"] == "Two";
        gone |= seen.event == "deleted" && seen.data == json!({ "id": id(2) });
    }
    // A time, as ids once were; a position of a database that was replaced by its backup; and an invalid one.
    for id in ["1760000000000", "999", "-1", "yesterday"] {
        let mut late = Stream::open(&life, "/events", &[("Last-Event-ID", id)]).await;
        let reset = late.next().await.unwrap();
        assert_eq!(reset.event, "reset", "{id}");
        let mut back = Stream::open(&life, "/events", &[("Last-Event-ID", &reset.id)]).await;
        life.call("PATCH", &format!("/{ID}"), &format!(r#"{{"title":"After {id}"}}"#)).await;
        let seen = back.next().await.unwrap();
        assert_eq!((seen.event.as_str(), &seen.data["title"]), ("changed", &json!(format!("After {id}"))));
    }
}

#[tokio::test]
async fn the_stream_of_one_content_begins_with_how_it_is_and_ends_with_its_deletion() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "One").await;
    let mut one = Stream::open(&life, &format!("/{ID}/events"), &[]).await;
    assert_eq!(one.next().await.unwrap().data["title"], "One");
    life.create(&id(1), "Other").await;
    life.call("PATCH", &format!("/{ID}"), r#"{"title":"Two"}"#).await;
    one.until_title("Two").await;
    life.call("DELETE", &format!("/{ID}"), "").await;
    assert_eq!(one.next().await.unwrap().event, "deleted");
    assert_eq!(one.next().await, None);
    assert_eq!(life.send("GET", &format!("/{ID}/events"), &[], "").await.status().as_u16(), 404);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_costs_the_others_nothing() {
    let world = World::new();
    let life = world.live(Settings { event_backlog: 16, ..Settings::default() }).await;
    life.create(ID, "T0").await;
    let mut slow = Stream::open(&life, "/events", &[]).await;
    let mut quick = Stream::open(&life, "/events", &[]).await;
    for number in 1..40 {
        life.call("PATCH", &format!("/{ID}"), &format!("{{\"title\":\"T{number}\"}}")).await;
        quick.until_title(&format!("T{number}")).await;
    }
    while slow.next().await.is_some() {}
}

#[tokio::test]
async fn streams_are_bounded_and_end_when_the_server_stops() {
    let world = World::new();
    let life = world.live(Settings { max_event_clients: 1, ..Settings::default() }).await;
    let mut first = Stream::open(&life, "/events", &[]).await;
    let refused = life.send("GET", "/events", &[], "").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "10"));
    life.shutdown.cancel();
    assert_eq!(first.next().await, None);
    drop(first);
    assert_eq!(life.send("GET", "/events", &[], "").await.status().as_u16(), 200);
}
