//! Captions and chapters through HTTP, and their objects in storage.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;

use common::*;
use serde_json::{Value, json};
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;
use streamgate_metadata::Settings;
use streamgate_plugin_api::settings::Duration;

const SRT: &str = "1\n00:00:01,000 --> 00:00:02,000\nHello\n";
const VTT: &str = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nHello\n";

struct Answer {
    status: u16,
    etag: String,
    location: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn ask(life: &Life, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let answer = life.send(method, &format!("/{ID}{path}"), headers, body).await;
    let header = |name: &str| {
        let value = answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let (status, etag, location) = (answer.status().as_u16(), header("etag"), header("location"));
    let body = answer.into_body().collect_bytes(1 << 20).await.unwrap();
    Answer { status, etag, location, text: String::from_utf8(body.to_vec()).unwrap() }
}

async fn send(life: &Life, method: &str, path: &str, body: &str) -> Answer {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ if path == "/chapters" => "application/json",
        _ => "text/plain",
    };
    let mut headers = CREATOR.to_vec();
    headers.push(("content-type", content_type));
    ask(life, method, path, &headers, body).await
}

/// Adds captions; their name.
async fn add(life: &Life, query: &str) -> String {
    let added = send(life, "POST", &format!("/captions{query}"), SRT).await;
    assert_eq!(added.status, 201, "{}", added.text);
    added.json()["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn captions_count_as_stored_and_are_refused_beyond_the_quota_of_the_owner() {
    let world = World::new();
    let life = world.live(Settings { replaced_captions: Duration::secs(0), ..Settings::default() }).await;
    let eves = CreateRequest { id: ID.into(), owner: "eve".into(), ..CreateRequest::default() };
    life.catalogue.clone().create(eves).await.unwrap();
    let used = async || {
        let request = UsageRequest { owner: "eve".into() };
        life.catalogue.clone().usage(request).await.unwrap().into_inner().bytes
    };
    let admin =
        [("x-streamgate-principal", "root"), ("x-streamgate-scopes", "content:read,content:write,admin")];
    let mut headers = admin.to_vec();
    headers.push(("content-type", "text/plain"));
    let long = format!("1\n00:00:01,000 --> 00:00:02,000\n{}\n", "x".repeat(500));
    let added = ask(&life, "POST", "/captions", &headers, &long).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let name = added.json()["name"].as_str().unwrap().to_owned();
    let bytes = added.json()["bytes"].as_u64().unwrap();
    assert_eq!(used().await, bytes);
    let over = ask(&life, "POST", "/captions", &headers, &long).await;
    assert_eq!((over.status, &over.json()["limit"]), (507, &json!(1_000)), "{}", over.text);
    assert_eq!((&over.json()["used"], used().await), (&json!(bytes), bytes));

    world.execute("UPDATE contents SET bytes = NULL, source_bytes = NULL").await;
    assert_eq!(used().await, bytes, "counted anew, it is the same");
    let removed = ask(&life, "DELETE", &format!("/captions/{name}"), &admin, "").await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    assert_eq!(used().await, 0);
}

async fn captions(life: &Life) -> Vec<Value> {
    let (_, content) = life.call("GET", &format!("/{ID}"), "").await;
    content["captions"].as_array().unwrap().clone()
}

async fn file_texts(life: &Life, names: &[&str], chapters: &[(u64, &str)]) -> Result<Content, tonic::Status> {
    let text = |name: &&str| TextTrack { name: (*name).to_owned(), version: 1, ..TextTrack::default() };
    let chapter = |(start_ms, title): &(u64, &str)| Chapter { start_ms: *start_ms, title: (*title).into() };
    let texts = names.iter().map(text).collect();
    let file = FileTexts { texts, chapters: chapters.iter().map(chapter).collect() };
    let update = UpdateRequest { id: ID.into(), file_texts: Some(file), ..UpdateRequest::default() };
    life.catalogue.clone().update(update).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn captions_that_are_added_are_stored_as_webvtt_and_shown_with_their_content() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    let query = "/captions?language=pt-br&label=Portugu%C3%AAs&default=true&hearing_impaired=true";
    let added = send(&life, "POST", query, SRT).await;
    let caption = added.json();
    let name = caption["name"].as_str().unwrap();
    let expected = json!({
        "name": name, "language": "pt-BR", "label": "Português", "default": true, "forced": false,
        "hearing_impaired": true, "commentary": false, "bytes": VTT.len(), "url": format!("/v/{ID}/{name}/1.vtt"),
    });
    assert_eq!((added.status, &caption), (201, &expected));
    assert_eq!(added.location, format!("/api/v1/contents/{ID}/captions/{name}"));
    assert_eq!(world.keys().await, [format!("{ID}/{name}/1.vtt")]);
    assert_eq!(captions(&life).await, std::slice::from_ref(&expected));
    let list = ask(&life, "GET", "/captions", &[], "").await;
    assert_eq!((list.json(), &list.etag), (json!({"items": [expected]}), &added.etag));
    let text = ask(&life, "GET", &format!("/captions/{name}"), &[], "").await;
    assert_eq!((text.status, text.text.as_str()), (200, VTT));

    // They exist after a restart, and are removed with the content.
    drop(life);
    let life = world.live(Settings::default()).await;
    assert_eq!(captions(&life).await.len(), 1);
    assert_eq!(life.call("DELETE", &format!("/{ID}"), "").await.0, 204);
    until("the sweep", async || world.keys().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn ttml_becomes_webvtt_in_the_language_that_it_says() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    let ttml = "<?xml version=\"1.0\"?><tt xmlns=\"http://www.w3.org/ns/ttml\" xml:lang=\"pt-br\"><body><div>\
        <p begin=\"1s\" end=\"2s\">Hello</p></div></body></tt>";
    let mut headers = CREATOR.to_vec();
    headers.push(("content-type", "application/ttml+xml"));
    for (query, language) in
        [("", json!("pt-BR")), ("?language=de", json!("de")), ("?language=", json!(null))]
    {
        let added = ask(&life, "POST", &format!("/captions{query}"), &headers, ttml).await;
        assert_eq!((added.status, &added.json()["language"]), (201, &language), "{}", added.text);
        let text = ask(&life, "GET", added.location.rsplit_once(ID).unwrap().1, &CREATOR, "").await;
        assert_eq!(text.text, VTT);
    }
    let pictures = ttml.replace("<p ", "<p backgroundImage=\"#a\" ");
    let refused = ask(&life, "POST", "/captions", &headers, &pictures).await;
    assert_eq!((refused.status, &refused.json()["line"]), (422, &json!(1)));
    assert_eq!(
        refused.json()["detail"],
        "line 1: this is a picture instead of text; only text is supported."
    );
}

/// No replaced version stays.
fn forgetful() -> Settings {
    Settings { replaced_captions: Duration::secs(0), ..Settings::default() }
}

#[tokio::test]
async fn a_text_that_is_replaced_has_another_address_and_nothing_of_the_old_one_need_be_left() {
    let world = World::new();
    let life = world.live(forgetful()).await;
    life.create(ID, "Film").await;
    let name = add(&life, "?language=de").await;
    // What a crash left of another attempt.
    world.put(&format!("{ID}/{name}/2.vtt")).await;
    let path = format!("/captions/{name}");
    let replaced = send(&life, "PUT", &path, &SRT.replace("Hello", "Bye")).await;
    let caption = replaced.json();
    assert_eq!((replaced.status, &caption["language"]), (200, &json!("de")));
    assert_eq!(caption["url"], format!("/v/{ID}/{name}/3.vtt"));
    assert_eq!(world.keys().await, [format!("{ID}/{name}/3.vtt")]);
    assert!(ask(&life, "GET", &path, &[], "").await.text.contains("Bye"));

    let deleted = send(&life, "DELETE", &path, "").await;
    assert_eq!(deleted.status, 204);
    assert!(world.keys().await.is_empty());
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let body = if method == "PATCH" { "{}" } else { SRT };
        let answer = send(&life, method, &path, body).await;
        assert_eq!((answer.status, &answer.json()["title"]), (404, &json!("Not found")));
    }
    assert!(world.keys().await.is_empty(), "what was refused is not stored");
    let other = add(&life, "").await;
    assert_ne!(other, name, "its address would show what was removed");
}

#[tokio::test]
async fn what_was_replaced_stays_for_a_while_and_then_goes_without_a_change_that_anybody_sees() {
    let world = World::new();
    let kept = Settings { replaced_captions: Duration::secs(3), ..Settings::default() };
    let life = world.live(kept).await;
    life.create(ID, "Film").await;
    let name = add(&life, "").await;
    let path = format!("/captions/{name}");
    let key = |version: u32| format!("{ID}/{name}/{version}.vtt");
    let replaced = send(&life, "PUT", &path, &SRT.replace("Hello", "Bye")).await;
    assert_eq!(world.keys().await, [key(1), key(2)]);
    let text = &life.timeline(ID, 0).await.content.unwrap().texts[0];
    assert_eq!((text.version, text.earlier.len()), (2, 1));
    assert_eq!((text.earlier[0].version, text.earlier[0].bytes as usize), (1, VTT.len()));

    // After a restart, too, and a client that saw it before may change it after.
    drop(life);
    let life = world.live(Settings::default()).await;
    let one = async || (world.keys().await == [key(2)]).then_some(());
    until("the end of what was replaced", one).await;
    let list = ask(&life, "GET", "/captions", &[], "").await;
    assert_eq!(list.etag, replaced.etag);

    for n in 0..12 {
        send(&life, "PUT", &path, &SRT.replace("Hello", &format!("Text {n}"))).await;
    }
    let mut expected: Vec<String> = (6..=14).map(key).collect();
    expected.sort();
    let mut keys = world.keys().await;
    keys.sort();
    assert_eq!(keys, expected, "the present one and the eight before it");
    assert_eq!(send(&life, "DELETE", &path, "").await.status, 204);
    assert!(world.keys().await.is_empty(), "who removes captions wants them gone");
}

#[tokio::test]
async fn texts_that_are_replaced_at_once_all_come_to_an_end_with_one_object() {
    let world = World::new();
    let life = world.live(forgetful()).await;
    life.create(ID, "Film").await;
    let name = add(&life, "").await;
    let path = format!("/captions/{name}");
    let texts: Vec<String> = (0..4).map(|n| SRT.replace("Hello", &format!("Text {n}"))).collect();
    let (a, b, c, d) = tokio::join!(
        send(&life, "PUT", &path, &texts[0]),
        send(&life, "PUT", &path, &texts[1]),
        send(&life, "PUT", &path, &texts[2]),
        send(&life, "PUT", &path, &texts[3]),
    );
    for answer in [a, b, c, d] {
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
    }
    let shown = &captions(&life).await[0];
    let keys = world.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(shown["url"], format!("/v/{}", keys[0]));
    let text = ask(&life, "GET", &path, &[], "").await.text;
    assert_eq!(shown["bytes"], text.len());
}

#[tokio::test]
async fn what_is_said_of_captions_can_be_changed_and_bound_to_what_was_seen() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    let (first, second) = (add(&life, "?default=true").await, add(&life, "").await);
    let path = format!("/captions/{second}");
    let patch = r#"{"language":"EN","label":" SDH ","default":true,"hearing_impaired":true}"#;
    let changed = send(&life, "PATCH", &path, patch).await;
    let caption = changed.json();
    assert_eq!((&caption["language"], &caption["label"]), (&json!("en"), &json!("SDH")));
    let defaults: Vec<Value> = captions(&life).await.iter().map(|it| it["default"].clone()).collect();
    assert_eq!(defaults, [false, true], "one of them at most");
    let cleared =
        send(&life, "PATCH", &path, r#"{"language":null,"label":null,"default":null}"#).await.json();
    assert_eq!((&cleared["language"], &cleared["default"]), (&Value::Null, &json!(false)));

    for (method, path, body) in [
        ("POST", "/captions", SRT),
        ("PUT", &format!("/captions/{first}"), SRT),
        ("PATCH", &format!("/captions/{first}"), "{}"),
        ("DELETE", &format!("/captions/{first}"), ""),
        ("PUT", "/chapters", "[]"),
    ] {
        let kind = if method == "PATCH" || path == "/chapters" { "application/json" } else { "text/vtt" };
        let bound = [("content-type", kind), ("if-match", &changed.etag)];
        assert_eq!(ask(&life, method, path, &bound, body).await.status, 412, "{method} {path}");
    }
    assert_eq!(world.keys().await.len(), 2, "what was refused is not stored");
    let tag = ask(&life, "GET", "/captions", &[], "").await.etag;
    let bound = [("content-type", "text/vtt"), ("if-match", &tag)];
    assert_eq!(ask(&life, "PUT", &format!("/captions/{first}"), &bound, VTT).await.status, 200);

    // Each change is in the audit log, with its author.
    until("the log", async || {
        let log = world.log.lock().unwrap().clone();
        let mine: Vec<_> = log.iter().filter(|it| it[0] == "content.change" && it[1] == "ann").collect();
        let said = |words: &str| mine.iter().any(|it| it[3].contains(words));
        (said("added") && said("(en, \"SDH\", default, for the hearing impaired) changed")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn wrong_requests_are_problems_that_name_what_is_wrong_and_store_nothing() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    for (path, body, status, detail) in [
        ("/captions?language=english!", SRT, 400, "`language` must be"),
        ("/captions?default=yes", SRT, 400, "`default` must be"),
        ("/captions?name=a", SRT, 400, "Known parameters"),
        ("/captions", "hello", 422, "this is not WebVTT"),
        ("/captions", "1\n00:00:05 --> 00:00:06,000\na", 422, "line 2: \"00:00:05\" is not a time"),
    ] {
        let answer = send(&life, "POST", path, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(detail), "{}", answer.text);
    }
    let line = &send(&life, "POST", "/captions", "a\n\n00:01,000 --> 00:02,000").await.json()["line"];
    assert_eq!(line, 1);
    let typed = [("content-type", "application/json")];
    assert_eq!(ask(&life, "POST", "/captions", &typed, SRT).await.status, 415);
    assert_eq!(send(&life, "POST", "/captions", &"a".repeat((10 << 20) + 1)).await.status, 413);
    let typed = [("content-type", "text/vtt")];
    let unknown = life.send("POST", "/0190163d-8694-739b-aea5-966c26f8ad92/captions", &typed, VTT).await;
    assert_eq!(unknown.status().as_u16(), 404);
    assert_eq!(send(&life, "DELETE", "/chapters", "").await.status, 405);
    world.broken.store(true, Ordering::SeqCst);
    assert_eq!(send(&life, "POST", "/captions", SRT).await.status, 503);
    world.broken.store(false, Ordering::SeqCst);
    assert!(world.keys().await.is_empty() && captions(&life).await.is_empty());
}

#[tokio::test]
async fn a_content_has_at_most_64_captions() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    for _ in 0..64 {
        add(&life, "").await;
    }
    let refused = send(&life, "POST", "/captions", SRT).await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("urn:streamgate:problem:limit-reached"))
    );
    assert_eq!(world.keys().await.len(), 64);
    let name = captions(&life).await[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(send(&life, "DELETE", &format!("/captions/{name}"), "").await.status, 204);
    add(&life, "").await;
}

#[tokio::test]
async fn captions_of_a_private_content_are_as_if_they_were_not_there() {
    let world = World::new();
    let life = world.live(Settings { gated: true, ..Settings::default() }).await;
    life.create(ID, "Film").await;
    let name = add(&life, "").await;
    for (method, path) in [("GET", "/captions".to_owned()), ("GET", format!("/captions/{name}"))] {
        assert_eq!(ask(&life, method, &path, &[], "").await.status, 404, "{path}");
        assert_eq!(ask(&life, method, &path, &CREATOR, "").await.status, 200, "{path}");
    }
    let typed = [("content-type", "text/vtt")];
    assert_eq!(ask(&life, "PUT", &format!("/captions/{name}"), &typed, VTT).await.status, 404);
}

#[tokio::test]
async fn seeing_a_gated_content_does_not_give_access_to_its_captions() {
    let world = World::new();
    let life = world.live(Settings { gated: true, ..Settings::default() }).await;
    world.policies.lock().unwrap().insert(ID.to_owned(), Openness::Gated);
    life.encode(ID).await;
    let name = add(&life, "").await;
    let list = ask(&life, "GET", "/captions", &[], "").await;
    assert_eq!((list.status, &list.json()["items"][0]["name"]), (200, &json!(name)));
    let path = format!("/captions/{name}");
    let refused = ask(&life, "GET", &path, &[], "").await;
    assert_eq!((refused.status, refused.text.contains("Hello")), (403, false));
    assert_eq!(ask(&life, "GET", &path, &CREATOR, "").await.text, VTT);
}

#[tokio::test]
async fn chapters_are_replaced_as_a_whole() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(ID, "Film").await;
    let list = r#"[{"start":0,"title":"Opening"},{"start":61.25,"title":""}]"#;
    let set = send(&life, "PUT", "/chapters", list).await;
    assert_eq!((set.status, set.json()["chapters"].to_string().len() > 2), (200, true));
    let expected = json!([{"start": 0.0, "title": "Opening"}, {"start": 61.25, "title": ""}]);
    assert_eq!(set.json()["chapters"], expected);
    for (body, status) in [
        ("{}", 400),
        ("[1]", 422),
        (r#"[{"start":2,"title":""},{"start":1,"title":""}]"#, 422),
        (&json!(vec![json!({"start": 0}); 1_001]).to_string(), 422),
    ] {
        let refused = send(&life, "PUT", "/chapters", body).await;
        assert_eq!(refused.status, status, "{}", refused.text);
    }
    let long: Vec<Value> =
        (0..1_000).map(|start| json!({"start": start, "title": "x".repeat(100)})).collect();
    let refused = send(&life, "PUT", "/chapters", &json!(long).to_string()).await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("urn:streamgate:problem:limit-reached"))
    );
    let (_, content) = life.call("GET", &format!("/{ID}"), "").await;
    assert_eq!(content["chapters"], expected);
    assert_eq!(send(&life, "PUT", "/chapters", "[]").await.json()["chapters"], json!([]));
}

#[tokio::test]
async fn the_texts_of_a_file_are_added_once_and_names_are_not_shared_with_renditions() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.encode(ID).await;
    let name = add(&life, "").await;
    for wrong in ["720p", "source", "captions-1", "a/b"] {
        let refused = file_texts(&life, &[wrong], &[]).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{wrong}");
    }
    let content = file_texts(&life, &["text-1", "text-2"], &[(0, "A")]).await.unwrap();
    assert!(content.texts_read && content.chapters.len() == 1);
    let names: Vec<&str> = content.texts.iter().map(|text| text.name.as_str()).collect();
    assert_eq!(names, ["text-1", "text-2", &name]);
    assert_eq!(send(&life, "DELETE", "/captions/text-1", "").await.status, 204);
    let again = file_texts(&life, &["text-1"], &[]).await.unwrap();
    assert_eq!(again.texts.len(), 2, "what was removed does not come back");

    let rendition = Rendition {
        name: "text-2".into(),
        kind: RenditionKind::Audio.into(),
        timescale: 48_000,
        ..Rendition::default()
    };
    let request = PutRenditionsRequest { id: ID.into(), renditions: vec![rendition], fence: 0 };
    let refused = life.catalogue.clone().put_renditions(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let timeline = life.timeline(ID, 0).await.content.unwrap();
    assert_eq!(timeline.texts, again.texts);
}
