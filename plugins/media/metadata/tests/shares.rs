//! What owners let others do with their contents, and what happens to a content that is handed over.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::people::*;
use common::*;
use serde_json::json;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;

/// Private ones of ann's.
async fn anns(world: &World, life: &Life, count: u32) {
    for number in 1..=count {
        add(world, life, number, "ann", Openness::Private).await;
    }
}

async fn give(life: &Life, number: u32, with: &str, right: &str) -> (u16, serde_json::Value) {
    let body = json!({ "right": right }).to_string();
    ask(life, ANN, ("PUT", &format!("/{}/shares/{with}", id(number)), &body)).await
}

async fn status(life: &Life, who: (&'static str, &'static str), method: &str, path: &str, body: &str) -> u16 {
    ask(life, who, (method, path, body)).await.0
}

#[tokio::test]
async fn a_share_to_view_or_to_edit_gives_that_right_and_no_right_to_share() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    assert_eq!(status(&life, BOB, "GET", &format!("/{}", id(1)), "").await, 404);
    assert_eq!(give(&life, 1, "bob", "view").await.0, 200);
    let (code, shown) = ask(&life, BOB, ("GET", &format!("/{}", id(1)), "")).await;
    assert_eq!((code, shown.get("owner")), (200, None));
    let rename = r#"{"title":"Bob's"}"#;
    assert_eq!(status(&life, BOB, "PATCH", &format!("/{}", id(1)), rename).await, 403);
    assert_eq!(status(&life, VIEWER, "GET", &format!("/{}", id(1)), "").await, 404);

    let (_, shares) = give(&life, 1, "solana:bob", "edit").await;
    assert_eq!(shares["items"].as_array().unwrap().len(), 1, "the wallet is the same principal: {shares}");
    assert_eq!((&shares["items"][0]["right"], &shares["items"][0]["with"]), (&"edit".into(), &"bob".into()));
    assert_eq!(shares["owner"]["wallets"], json!(["solana:ann"]));
    assert_eq!(status(&life, BOB, "PATCH", &format!("/{}", id(1)), rename).await, 200);
    for (method, path, body) in [
        ("DELETE", "", ""),
        ("GET", "/shares", ""),
        ("PUT", "/shares/vic", r#"{"right":"view"}"#),
        ("DELETE", "/shares/bob", ""),
        ("PUT", "/owner", r#"{"owner":"bob"}"#),
    ] {
        assert_eq!(
            status(&life, BOB, method, &format!("/{}{path}", id(1)), body).await,
            403,
            "{method} {path}"
        );
        assert_eq!(
            status(&life, BOB, method, &format!("/{}{path}", id(2)), body).await,
            404,
            "{method} {path}"
        );
    }
    // An admin manages it.
    assert_eq!(status(&life, ADMIN, "GET", &format!("/{}/shares", id(1)), "").await, 200);
    assert_eq!(status(&life, ADMIN, "DELETE", &format!("/{}/shares/bob", id(1)), "").await, 204);
    assert_eq!(status(&life, BOB, "GET", &format!("/{}", id(1)), "").await, 404);
}

#[tokio::test]
async fn a_share_with_a_role_is_for_everyone_who_has_it() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    assert_eq!(give(&life, 1, "role:creator", "edit").await.0, 200);
    assert_eq!(give(&life, 2, "role:viewer", "edit").await.0, 200);
    assert_eq!(titles(&life, BOB, "?shared=me").await, ["ann 2", "ann 1"]);
    // Without the scope it is only visible.
    assert_eq!(titles(&life, VIEWER, "").await, ["ann 2"]);
    assert_eq!(status(&life, VIEWER, "PATCH", &format!("/{}", id(2)), r#"{"title":"x"}"#).await, 403);
    assert_eq!(status(&life, BOB, "PATCH", &format!("/{}", id(2)), r#"{"title":"x"}"#).await, 200);
    assert_eq!(life.call("GET", "", "").await.0, 200);
    assert_eq!(life.call("GET", "?shared=me", "").await.0, 401);
    assert_eq!(status(&life, BOB, "GET", "?shared=bob", "").await, 400);
    assert_eq!(titles(&life, ANN, "?shared=me").await, Vec::<String>::new(), "they are her own");
    for empty in ["?shared=", "?owner="] {
        assert_eq!(status(&life, BOB, "GET", empty, "").await, 400, "{empty}");
    }
}

#[tokio::test]
async fn a_refusal_says_whether_a_sign_in_or_another_body_is_missing() {
    let world = World::new();
    let life = world.live(gated()).await;
    add(&world, &life, 1, "ann", Openness::Public).await;
    let (code, problem) = life.call("GET", &format!("/{}/shares", id(1)), "").await;
    assert_eq!((code, &problem["type"]), (401, &json!("urn:streamgate:problem:not-signed-in")));
    assert_eq!(status(&life, BOB, "GET", &format!("/{}/shares", id(1)), "").await, 403);
    let (code, problem) = give(&life, 1, "bob", "own").await;
    assert_eq!((code, &problem["type"]), (400, &json!("urn:streamgate:problem:invalid-request")));
    assert!(problem["detail"].as_str().unwrap().contains("`own`"), "{problem}");
    let path = format!("/{}/shares/bob", id(1));
    let (code, problem) = ask(&life, ANN, ("PUT", &path, "[]")).await;
    assert_eq!((code, &problem["type"]), (400, &json!("urn:streamgate:problem:invalid-json")));
}

#[tokio::test]
async fn a_list_shows_what_is_ones_own_everybodys_and_shared_in_one_order() {
    let world = World::new();
    let life = world.live(gated()).await;
    for number in 1..=12 {
        let (owner, openness) = match number % 4 {
            0 => ("bob", Openness::Private),
            1 => ("ann", Openness::Public),
            _ => ("ann", Openness::Private),
        };
        add(&world, &life, number, owner, openness).await;
        if number % 4 == 2 {
            assert_eq!(give(&life, number, "bob", "view").await.0, 200);
            assert_eq!(give(&life, number, "role:creator", "view").await.0, 200);
        }
    }
    // A new title moves it there, too.
    let rename = r#"{"title":"ZZ"}"#;
    assert_eq!(status(&life, ANN, "PATCH", &format!("/{}", id(2)), rename).await, 200);
    for sort in ["newest", "oldest", "title"] {
        let whole = titles(&life, BOB, &format!("?limit=100&sort={sort}")).await;
        assert_eq!(whole.len(), 9, "{whole:?}");
        assert_eq!(sort == "title", whole.last().unwrap() == "ZZ", "{whole:?}");
        assert_eq!(pages(&life, BOB, &format!("?limit=2&sort={sort}")).await, whole);
        let shared = titles(&life, BOB, &format!("?shared=me&limit=100&sort={sort}")).await;
        assert_eq!(shared.len(), 3);
        assert_eq!(pages(&life, BOB, &format!("?shared=me&limit=2&sort={sort}")).await, shared);
    }
    assert_eq!(titles(&life, BOB, "?shared=me&q=zz").await, ["ZZ"]);
}

#[tokio::test]
async fn nothing_is_shared_with_or_handed_to_an_unknown_user() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 1).await;
    for with in ["nobody", "role:king", "solana:nobody"] {
        let (code, problem) = give(&life, 1, with, "view").await;
        assert_eq!(code, 422, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(with.trim_start_matches("role:")), "{problem}");
    }
    assert_eq!(give(&life, 1, "ann", "view").await.0, 400, "it is hers");
    assert_eq!(give(&life, 1, "bob", "own").await.0, 400);
    let path = format!("/{}/owner", id(1));
    assert_eq!(status(&life, ANN, "PUT", &path, r#"{"owner":"nobody"}"#).await, 422);
    let (code, problem) = ask(&life, ANN, ("PUT", &path, r#"{"owner":"vic"}"#)).await;
    assert_eq!(code, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("creator"), "{problem}");
    assert_eq!(status(&life, ANN, "DELETE", &format!("/{}/shares/bob", id(1)), "").await, 404);
    // The share is removed, although `auth` does not know them any more.
    world.dumb.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(give(&life, 1, "bob", "view").await.0, 503);
    let (code, shares) = ask(&life, ANN, ("GET", &format!("/{}/shares", id(1)), "")).await;
    assert_eq!((code, &shares["owner"]["id"]), (200, &"ann".into()));
}

#[tokio::test]
async fn a_content_that_is_handed_over_belongs_to_its_new_owner_and_an_event_is_published() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    assert_eq!(give(&life, 1, "bob", "view").await.0, 200);
    let hand =
        async |number, body: &str| status(&life, ANN, "PUT", &format!("/{}/owner", id(number)), body).await;
    assert_eq!(hand(1, r#"{"owner":"bob","former":"view"}"#).await, 204);
    assert_eq!(hand(2, r#"{"owner":"bob"}"#).await, 204);
    assert_eq!(titles(&life, ANN, "").await, ["ann 1"]);
    assert_eq!(titles(&life, BOB, "?owner=me").await, ["ann 2", "ann 1"]);
    assert_eq!(hand(1, r#"{"owner":"ann"}"#).await, 403);
    assert_eq!(hand(2, r#"{"owner":"ann"}"#).await, 404);
    let (_, shares) = ask(&life, BOB, ("GET", &format!("/{}/shares", id(1)), "")).await;
    let items = shares["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["with"], &items[0]["right"]), (1, &"ann".into(), &"view".into()));
    for (number, times) in [(1, 2), (2, 1)] {
        until("an event for each change of rights", async || {
            let told = world.events.lock().unwrap();
            let subject = format!("content.{}.standing", id(number));
            (told.iter().filter(|event| event.subject == subject).count() == times).then_some(())
        })
        .await;
    }
    until("it is in the audit log", async || {
        let log = world.log.lock().unwrap();
        log.iter().any(|entry| entry[0] == "content.hand-over" && entry[3] == "to bob").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hand_over_beyond_the_new_owners_quota_is_refused() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    for (number, bytes) in [(1, 900), (2, 200)] {
        let source = Some(Source { bytes, ..Source::default() });
        let facts = UpdateRequest { id: id(number), source, ..UpdateRequest::default() };
        life.catalogue.clone().update(facts).await.unwrap();
    }
    let to_eve = r#"{"owner":"eve"}"#;
    assert_eq!(status(&life, ANN, "PUT", &format!("/{}/owner", id(1)), to_eve).await, 204);
    let (code, problem) = ask(&life, ANN, ("PUT", &format!("/{}/owner", id(2)), to_eve)).await;
    assert_eq!(
        (code, problem["type"].as_str()),
        (507, Some("urn:streamgate:problem:quota-stored")),
        "{problem}"
    );
    let said = [&problem["limit"], &problem["used"], &problem["needed"]];
    assert_eq!(said, [&json!(1_000), &json!(900), &json!(200)]);
    assert_eq!(status(&life, ANN, "PUT", &format!("/{}/owner", id(2)), r#"{"owner":"bob"}"#).await, 204);
}

#[tokio::test]
async fn what_the_new_owner_is_uploading_leaves_no_room_for_what_is_handed_over() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 1).await;
    let source = Some(Source { bytes: 800, ..Source::default() });
    let facts = UpdateRequest { id: id(1), source, ..UpdateRequest::default() };
    life.catalogue.clone().update(facts).await.unwrap();
    world.reserved.lock().unwrap().insert("eve".into(), 300);
    let owner = format!("/{}/owner", id(1));
    let to_eve = r#"{"owner":"eve"}"#;
    let (code, problem) = ask(&life, ANN, ("PUT", &owner, to_eve)).await;
    assert_eq!(code, 507, "{problem}");
    assert_eq!([&problem["limit"], &problem["used"], &problem["needed"]], [1_000, 300, 800]);
    world.reserved.lock().unwrap().insert("eve".into(), 200);
    assert_eq!(status(&life, ANN, "PUT", &owner, to_eve).await, 204);
}

#[tokio::test]
async fn a_deleted_content_leaves_nothing_shared() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 1).await;
    assert_eq!(give(&life, 1, "bob", "edit").await.0, 200);
    let mut stream = life.send("GET", "/events", &fields(BOB), "").await.into_body();
    assert_eq!(status(&life, ANN, "DELETE", &format!("/{}", id(1)), "").await, 204);
    read(&mut stream, &format!(r#"{{"id":"{}"}}"#, id(1))).await;
    assert_eq!(titles(&life, BOB, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_client_whose_share_was_removed_is_told_that_it_is_gone_now_or_on_reconnect() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 3).await;
    for number in 1..=3 {
        assert_eq!(give(&life, number, "bob", "view").await.0, 200);
    }
    let mut stream = life.send("GET", "/events", &fields(BOB), "").await.into_body();
    let mut viewer = life.send("GET", "/events", &fields(VIEWER), "").await.into_body();
    let gone = |number| format!(r#"{{"id":"{}"}}"#, id(number));
    let unshare =
        async |number| status(&life, ANN, "DELETE", &format!("/{}/shares/bob", id(number)), "").await;
    assert_eq!(unshare(1).await, 204);
    let seen = read(&mut stream, &gone(1)).await;
    let last = seen.lines().rev().find_map(|line| line.strip_prefix("id: ").or(line.strip_prefix("id:")));
    let last = last.unwrap().trim().to_owned();
    drop(stream);

    assert_eq!(unshare(2).await, 204);
    assert_eq!(status(&life, ANN, "PUT", &format!("/{}/owner", id(3)), r#"{"owner":"eve"}"#).await, 204);
    // What ann sees of the last.
    for (who, numbers) in [(BOB, vec![2]), (ANN, vec![3])] {
        let mut all = fields(who).to_vec();
        all.push(("last-event-id", last.clone().leak()));
        let mut stream = life.send("GET", "/events", &all, "").await.into_body();
        for number in numbers {
            read(&mut stream, &gone(number)).await;
        }
    }
    // Strangers do not learn about it.
    add(&world, &life, 4, "ann", Openness::Public).await;
    let seen = read(&mut viewer, &id(4)).await;
    assert!((1..=3).all(|number| !seen.contains(&id(number))), "{seen}");
}

#[tokio::test]
async fn who_was_told_that_a_content_is_gone_for_them_is_not_told_again_when_they_come_back() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    for number in 1..=2 {
        assert_eq!(give(&life, number, "bob", "view").await.0, 200);
    }
    let mut stream = life.send("GET", "/events", &fields(BOB), "").await.into_body();
    let gone = format!(r#"{{"id":"{}"}}"#, id(1));
    let unshare = format!("/{}/shares/bob", id(1));
    assert_eq!(status(&life, ANN, "DELETE", &unshare, "").await, 204);
    let seen = read(&mut stream, &gone).await;
    let last = seen.lines().rev().find_map(|line| line.strip_prefix("id: ").or(line.strip_prefix("id:")));
    let mut back = fields(BOB).to_vec();
    back.push(("last-event-id", last.unwrap().trim().to_owned().leak()));
    drop(stream);
    // It changes while bob is away, and again when he is there.
    let rename = async |number, title: &str| {
        let body = json!({ "title": title }).to_string();
        assert_eq!(status(&life, ANN, "PATCH", &format!("/{}", id(number)), &body).await, 200);
    };
    rename(1, "Away").await;
    rename(2, "Away too").await;
    let mut stream = life.send("GET", "/events", &back, "").await.into_body();
    let seen = read(&mut stream, "Away too").await;
    assert!(!seen.contains(&id(1)), "{seen}");
    rename(1, "There").await;
    rename(2, "There too").await;
    let seen = read(&mut stream, "There too").await;
    assert!(!seen.contains(&id(1)), "{seen}");
    // Nor is who never had it, or who deletes it, a reason to tell.
    assert_eq!(status(&life, ANN, "DELETE", &format!("/{}", id(1)), "").await, 204);
    rename(2, "Last").await;
    let seen = read(&mut stream, "Last").await;
    assert!(!seen.contains(&id(1)), "{seen}");
}

#[tokio::test]
async fn a_standing_counts_shares_by_principal_and_by_role() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 3).await;
    give(&life, 1, "vic", "view").await;
    give(&life, 2, "role:viewer", "edit").await;
    let request = StandingRequest {
        principal: "vic".into(),
        scopes: vec!["content:read".into()],
        contents: vec![id(1), id(2), id(3)],
        roles: vec!["viewer".into()],
    };
    let rights = life.catalogue.clone().standing(request).await.unwrap().into_inner().rights;
    assert_eq!(rights, [Right::View, Right::View, Right::None].map(i32::from));
}

#[tokio::test]
async fn whom_access_blocks_has_no_share_in_lists_at_addresses_and_in_live_changes_until_it_is_lifted() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 2).await;
    give(&life, 1, "bob", "edit").await;
    give(&life, 1, "role:viewer", "view").await;
    give(&life, 2, "bob", "view").await;
    let (path, gone) = (format!("/{}", id(1)), format!(r#"{{"id":"{}"}}"#, id(1)));
    let mut all = life.send("GET", "/events", &fields(BOB), "").await.into_body();
    let mut one = life.send("GET", &format!("{path}/events"), &fields(BOB), "").await.into_body();
    let mut other = life.send("GET", "/events", &fields(VIEWER), "").await.into_body();
    assert_eq!(titles(&life, BOB, "?sort=title").await, ["ann 1", "ann 2"]);

    world.bars.lock().unwrap().push(("bob".into(), id(1)));
    life.bars_changed(&id(1), "bob");
    read(&mut all, &gone).await;
    read(&mut one, &gone).await;
    assert_eq!(titles(&life, BOB, "").await, ["ann 2"]);
    assert_eq!(titles(&life, BOB, "?shared=me").await, ["ann 2"]);
    for (method, path, body) in [
        ("GET", path.clone(), ""),
        ("PATCH", path.clone(), r#"{"title":"Mine"}"#),
        ("GET", format!("{path}/events"), ""),
    ] {
        assert_eq!(status(&life, BOB, method, &path, body).await, 404, "{method} {path}");
    }
    // What changes of it is not theirs to see; who is not blocked sees it all the same.
    assert_eq!(status(&life, ANN, "PATCH", &path, r#"{"title":"Secret"}"#).await, 200);
    assert_eq!(status(&life, ANN, "PATCH", &format!("/{}", id(2)), r#"{"title":"Known"}"#).await, 200);
    let seen = read(&mut all, "Known").await;
    assert!(!seen.contains(&id(1)), "{seen}");
    let seen = read(&mut other, "Secret").await;
    assert!(!seen.contains("deleted"), "{seen}");

    world.bars.lock().unwrap().clear();
    life.bars_changed(&id(1), "bob");
    read(&mut all, "Secret").await;
    assert_eq!(status(&life, BOB, "GET", &path, "").await, 200);
}

#[tokio::test]
async fn while_access_does_not_say_whom_it_blocks_shares_are_unknown_and_what_is_ones_own_is_not() {
    let world = World::new();
    let life = world.live(gated()).await;
    anns(&world, &life, 1).await;
    add(&world, &life, 2, "bob", Openness::Private).await;
    give(&life, 1, "bob", "view").await;
    world.dumb.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(status(&life, BOB, "GET", &format!("/{}", id(1)), "").await, 503);
    assert_eq!(status(&life, BOB, "GET", &format!("/{}", id(2)), "").await, 200);
    world.dumb.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(status(&life, BOB, "GET", &format!("/{}", id(1)), "").await, 200);
}
