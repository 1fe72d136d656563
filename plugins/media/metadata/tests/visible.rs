//! The visibility of contents: in lists, by id, in searches and in the live changes; and how the slots of
//! live changes are shared.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;

use common::*;
use http_body_util::BodyExt as _;
use serde_json::Value;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;
use streamgate_contracts::events;
use streamgate_metadata::Settings;
use streamgate_plugin_api::Event;

fn id(number: u32) -> String {
    format!("0190163d-8694-739b-aea5-{number:012x}")
}

fn gated() -> Settings {
    Settings { gated: true, ..Settings::default() }
}

fn titles(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect()
}

/// Of the last event of a stream that has one.
fn last_id(events: &str) -> String {
    events.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
}

/// Contents 1 to 3 are public, gated and private and uploaded, 4 is public and uploading, 5 public and
/// failed.
async fn some(world: &World, life: &Life) {
    for (number, title, openness) in [
        (1, "Open", Openness::Public),
        (2, "Token", Openness::Gated),
        (3, "Secret merger", Openness::Private),
        (4, "Coming", Openness::Public),
        (5, "Broken", Openness::Public),
    ] {
        world.policies.lock().unwrap().insert(id(number), openness);
        life.create(&id(number), title).await;
        if number != 4 {
            let state = if number == 5 { ContentState::Failed } else { ContentState::Uploaded };
            life.step(&id(number), state).await.unwrap();
        }
    }
    until("the contents that are for everybody", async || {
        let (_, page) = life.call("GET", "", "").await;
        (page["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_content_is_hidden_from_those_who_may_not_play_it() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    let (_, page) = life.call("GET", "", "").await;
    assert_eq!(titles(&page), ["Token", "Open"]);
    for query in ["?q=merger", "?q=secret.merger", "?state=failed", "?state=uploading"] {
        let (status, page) = life.call("GET", query, "").await;
        assert_eq!((status, titles(&page).len()), (200, 0), "{query}");
    }
    let (_, absent) = life.call("GET", &format!("/{}", id(77)), "").await;
    for number in [3, 4, 5] {
        for path in [format!("/{}", id(number)), format!("/{}/events", id(number))] {
            let (status, problem) = life.call("GET", &path, "").await;
            assert_eq!(status, 404, "{path}");
            assert_eq!(problem["type"], absent["type"]);
            let words =
                |problem: &Value, number| problem["detail"].as_str().unwrap().replace(&id(number), "");
            assert_eq!(words(&problem, number), words(&absent, 77), "as of one that is not there");
        }
    }
    for method in ["DELETE", "PATCH"] {
        assert_eq!(life.call(method, &format!("/{}", id(3)), "{}").await.0, 404, "{method}");
    }
    let (_, page) = life.as_creator("GET", "", "").await;
    assert_eq!(titles(&page), ["Broken", "Coming", "Secret merger", "Token", "Open"]);
    assert_eq!(life.as_creator("GET", &format!("/{}", id(3)), "").await.0, 200);
}

#[tokio::test]
async fn a_page_costs_one_call_of_access_and_the_next_time_none() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    drop(life);
    let life = world.live(gated()).await;
    let before = world.calls.load(Ordering::SeqCst);
    for _ in 0..2 {
        let (_, page) = life.call("GET", "", "").await;
        assert_eq!(titles(&page), ["Token", "Open"]);
        assert_eq!(world.calls.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test]
async fn nothing_is_shown_to_strangers_while_access_does_not_answer() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    drop(life);
    world.dumb.store(true, Ordering::SeqCst);
    let life = world.live(gated()).await;
    let (status, problem) = life.call("GET", "", "").await;
    assert_eq!((status, problem["type"].as_str().unwrap()), (503, "urn:streamgate:problem:unavailable"));
    assert_eq!(life.call("GET", &format!("/{}", id(1)), "").await.0, 503);
    assert_eq!(life.as_creator("GET", &format!("/{}", id(1)), "").await.0, 200);
}

#[tokio::test]
async fn a_policy_that_changes_without_an_event_is_found_in_the_end() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    drop(life);
    // Both events are lost.
    world.policies.lock().unwrap().extend([(id(1), Openness::Private), (id(3), Openness::Public)]);
    let life = world.live(gated()).await;
    let (_, page) = life.call("GET", "", "").await;
    assert_eq!(titles(&page), ["Token"], "what is noted never shows more than the policy");
    let looking = tokio::spawn(life.metadata.look_at_policies());
    until("the content that is public now", async || {
        let (_, page) = life.call("GET", "", "").await;
        (titles(&page) == ["Secret merger", "Token"]).then_some(())
    })
    .await;
    looking.abort();
}

#[tokio::test]
async fn live_changes_tell_each_what_he_may_know_of() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    let mut stranger = life.send("GET", "/events", &[], "").await.into_body();
    let since = last_id(&read(&mut stranger, "open").await);
    let mut creator = life.send("GET", "/events", &CREATOR, "").await.into_body();
    let mut one = life.send("GET", &format!("/{}/events", id(1)), &[], "").await.into_body();
    let patch = r#"{"title":"Secret merger video"}"#;
    assert_eq!(life.as_creator("PATCH", &format!("/{}", id(3)), patch).await.0, 200);
    read(&mut creator, "Secret merger video").await;
    // It becomes public, and another one private.
    world.policies.lock().unwrap().extend([(id(3), Openness::Public), (id(1), Openness::Private)]);
    life.policy_changed(&id(3));
    let shown = read(&mut stranger, "Secret merger video").await;
    assert_eq!(shown.matches(r#""title":"Secret merger"#).count(), 1, "only since it is public: {shown}");
    life.policy_changed(&id(1));
    let gone = read(&mut stranger, "event: deleted").await;
    assert!(gone.contains(&id(1)), "{gone}");
    read(&mut one, "event: deleted").await;
    assert!(one.frame().await.is_none(), "nothing follows on a stream about what is gone");
    // A client that reconnects gets the same, and nothing about contents it could not see.
    life.create(&id(6), "Never told").await;
    let mut back = life.send("GET", "/events", &[("Last-Event-ID", since.as_str())], "").await.into_body();
    let replay = read(&mut back, &format!(r#"{{"id":"{}"}}"#, id(1))).await;
    assert!(replay.contains("Secret merger video") && !replay.contains("Never told"), "{replay}");
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_that_opened_it() {
    let world = World::new();
    let life = world.live(gated()).await;
    let mut creator = life.send("GET", "/events", &CREATOR, "").await.into_body();
    read(&mut creator, "open").await;
    let ended = events::CredentialEnded { credential: "session:ann".into(), principal: "ann".into() };
    let subject = events::credential_ended("session:ann");
    life.metadata.take(&Event::json(subject, events::TYPE_CREDENTIAL_ENDED, &ended).unwrap());
    assert!(creator.frame().await.is_none());
}

#[tokio::test]
async fn a_crowd_of_followers_keeps_no_newcomer_out() {
    let world = World::new();
    let settings = Settings { max_event_clients: 4, ..gated() };
    world.streams.lock().unwrap().insert(String::new(), 3);
    let life = world.live(settings).await;
    let crowd = [("x-streamgate-client", "192.0.2.1")];
    world.policies.lock().unwrap().insert(id(1), Openness::Public);
    life.create(&id(1), "Open").await;
    life.step(&id(1), ContentState::Uploaded).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = life.send("GET", "/events", &crowd, "").await.into_body();
        read(&mut stream, "open").await;
        streams.push(stream);
    }
    let refused = life.send("GET", "/events", &crowd, "").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"10".parse().unwrap()));
    read(&mut refused.into_body(), r#""setting":"plugins.auth.quotas: event_streams""#).await;
    let other = life.send("GET", "/events", &[("x-streamgate-client", "192.0.2.2")], "").await;
    assert_eq!(other.status(), 200);
    let creator = life.send("GET", "/events", &CREATOR, "").await;
    assert_eq!(creator.status(), 200, "all places are taken, and it gets one all the same");
    // The oldest of the crowd's streams ends as a stream does, and no other one.
    assert!(streams[0].frame().await.is_none());
    life.as_creator("PATCH", &format!("/{}", id(1)), r#"{"title":"Still told"}"#).await;
    read(&mut streams[1], "Still told").await;
}

#[tokio::test]
async fn event_streams_are_as_many_as_the_quota_of_each_caller_says_and_the_usual_many_while_auth_is_away() {
    let world = World::new();
    let life = world.live(gated()).await;
    world.streams.lock().unwrap().extend([("ann".to_owned(), 2), (String::new(), 1)]);
    let nobody = [("x-streamgate-client", "2001:db8::1")];
    let neighbour = [("x-streamgate-client", "2001:db8::2")];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = life.send("GET", "/events", &CREATOR, "").await.into_body();
        read(&mut stream, "open").await;
        open.push(stream);
    }
    open.push(life.send("GET", "/events", &nobody, "").await.into_body());
    for (caller, limit) in [(&CREATOR[..], 2), (&neighbour[..], 1)] {
        let refused = life.send("GET", "/events", caller, "").await;
        assert_eq!(refused.status(), 429);
        read(&mut refused.into_body(), &format!(r#""limit":{limit}"#)).await;
    }
    let used = async || {
        let request = UsageRequest { owner: "ann".into() };
        life.catalogue.clone().usage(request).await.unwrap().into_inner().event_streams
    };
    assert_eq!(used().await, 2);
    // An admin gave her more; what is closed is free again.
    world.streams.lock().unwrap().insert("ann".into(), 3);
    open.push(life.send("GET", "/events", &CREATOR, "").await.into_body());
    assert_eq!(used().await, 3);
    open.clear();
    assert_eq!(used().await, 0);
    world.dumb.store(true, Ordering::SeqCst);
    for _ in 0..50 {
        let stream = life.send("GET", "/events", &CREATOR, "").await;
        assert_eq!(stream.status(), 200);
        open.push(stream.into_body());
    }
    assert_eq!(life.send("GET", "/events", &CREATOR, "").await.status(), 429);
}

#[tokio::test]
async fn words_are_found_in_any_order() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    life.create(&id(1), "A test card with sound").await;
    for (query, found) in [("?q=card+test", 1), ("?q=sound%20CARD", 1), ("?q=card+bunny", 0)] {
        let (status, page) = life.call("GET", query, "").await;
        assert_eq!((status, titles(&page).len()), (200, found), "{query}");
    }
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_even_if_auth_was_away() {
    let world = World::new();
    let life = world.live(gated()).await;
    world.dumb.store(true, Ordering::SeqCst);
    life.create(ID, "Film").await;
    life.step(ID, ContentState::Uploaded).await.unwrap();
    life.step(ID, ContentState::Failed).await.unwrap();
    world.put(&format!("{ID}/source")).await;
    let path = format!("/{ID}");
    assert_eq!(life.as_creator("PATCH", &path, r#"{"title":"Other"}"#).await.0, 200);
    assert_eq!(life.as_creator("POST", &format!("{path}/retry"), "").await.0, 202);
    assert_eq!(life.as_creator("DELETE", &path, "").await.0, 204);
    assert!(world.log.lock().unwrap().is_empty());
    drop(life);
    world.dumb.store(false, Ordering::SeqCst);
    let _life = world.live(gated()).await;
    until("the audit log", async || (world.log.lock().unwrap().len() == 3).then_some(())).await;
    let entry = |action: &str, detail: &str| [action, "ann", ID, detail, "192.0.2.7"].map(str::to_owned);
    let expected = [
        entry("content.change", "title from \"Film\" to \"Other\""),
        entry("content.retry", ""),
        entry("content.delete", "title \"Other\", file \"Film.mp4\""),
    ];
    assert_eq!(*world.log.lock().unwrap(), expected);
}
