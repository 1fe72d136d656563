//! Owners of contents: what creators see and change of their own and of each other's, and what happens with
//! contents without an owner.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::people::*;
use common::*;
use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::*;
use streamgate_metadata::Settings;

/// A public, a private and an unlisted one of ann's, and a private one of bob's.
async fn some(world: &World, life: &Life) {
    add(world, life, 1, "ann", Openness::Public).await;
    add(world, life, 2, "ann", Openness::Private).await;
    add(world, life, 3, "ann", Openness::Unlisted).await;
    add(world, life, 4, "bob", Openness::Private).await;
}

#[tokio::test]
async fn a_creator_sees_what_is_theirs_and_of_others_what_everybody_does() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    assert_eq!(titles(&life, ANN, "").await, ["ann 3", "ann 2", "ann 1"]);
    assert_eq!(titles(&life, BOB, "").await, ["bob 4", "ann 1"]);
    assert_eq!(titles(&life, VIEWER, "").await, ["ann 1"]);
    assert_eq!(titles(&life, ADMIN, "").await, ["bob 4", "ann 3", "ann 2", "ann 1"]);
    assert_eq!(titles(&life, BOB, "?q=ann").await, ["ann 1"]);
    assert_eq!(titles(&life, ANN, "?q=ann&sort=title").await, ["ann 1", "ann 2", "ann 3"]);
    assert_eq!(titles(&life, ANN, "?owner=me&sort=oldest").await, ["ann 1", "ann 2", "ann 3"]);
    assert_eq!(titles(&life, ADMIN, "?owner=bob").await, ["bob 4"]);
    assert_eq!(titles(&life, ADMIN, "?owner=me").await, Vec::<String>::new());
    assert_eq!(ask(&life, BOB, ("GET", "?owner=ann", "")).await.0, 403);
    assert_eq!(life.call("GET", "?owner=me", "").await.0, 401);
    for (number, who, status) in [
        (1, BOB, 200),
        (2, ANN, 200),
        (2, BOB, 404),
        (2, VIEWER, 404),
        (2, ADMIN, 200),
        // A client with the address of an unlisted one.
        (3, BOB, 200),
        (3, VIEWER, 200),
        (4, ANN, 404),
    ] {
        let (got, shown) = ask(&life, who, ("GET", &format!("/{}", id(number)), "")).await;
        assert_eq!(got, status, "{number} for {who:?}");
        let theirs = [ANN, ADMIN].contains(&who);
        assert_eq!(shown.get("owner").is_some(), status == 200 && theirs, "{shown}");
    }
    let (_, shown) = ask(&life, ANN, ("GET", &format!("/{}", id(3)), "")).await;
    assert_eq!((&shown["owner"], &shown["visibility"]), (&"ann".into(), &"unlisted".into()));
}

#[tokio::test]
async fn only_its_owner_and_admins_change_a_content() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    let text = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";
    for (method, path, body) in [
        ("PATCH", "", r#"{"title":"x"}"#),
        ("POST", "/retry", ""),
        ("PUT", "/captions/text-1", text),
        ("PATCH", "/captions/text-1", "{}"),
        ("DELETE", "/captions/text-1", ""),
        ("POST", "/captions", text),
        ("DELETE", "", ""),
    ] {
        for (number, who, status) in [(1, BOB, 403), (2, BOB, 404), (3, BOB, 403), (1, VIEWER, 403)] {
            let path = format!("/{}{path}", id(number));
            let (got, problem) = ask(&life, who, (method, &path, body)).await;
            assert_eq!(got, status, "{method} {path} by {who:?}: {problem}");
        }
    }
    assert_eq!(ask(&life, BOB, ("GET", &format!("/{}/captions/text-1", id(1)), "")).await.0, 403);
    let patch = r#"{"title":"New"}"#;
    assert_eq!(ask(&life, ANN, ("PATCH", &format!("/{}", id(2)), patch)).await.0, 200);
    assert_eq!(ask(&life, ADMIN, ("PATCH", &format!("/{}", id(4)), patch)).await.0, 200);
    assert_eq!(ask(&life, ANN, ("DELETE", &format!("/{}", id(2)), "")).await.0, 204);
    assert_eq!(ask(&life, ADMIN, ("DELETE", &format!("/{}", id(4)), "")).await.0, 204);
}

#[tokio::test]
async fn pages_of_ones_own_and_of_everybodys_contents_neither_repeat_nor_skip() {
    let world = World::new();
    let life = world.live(gated()).await;
    for number in 1..=12 {
        let owner = if number % 3 == 0 { "ann" } else { "bob" };
        let openness = if number % 2 == 0 { Openness::Public } else { Openness::Private };
        add(&world, &life, number, owner, openness).await;
    }
    for sort in ["newest", "oldest", "title"] {
        let whole = titles(&life, ANN, &format!("?limit=100&sort={sort}")).await;
        assert_eq!(whole.len(), 8, "{whole:?}");
        let pages = pages(&life, ANN, &format!("?limit=3&sort={sort}")).await;
        assert_eq!(pages, whole, "{sort}");
    }
}

#[tokio::test]
async fn live_changes_of_what_is_not_listed_are_its_owners_and_admins() {
    let world = World::new();
    let life = world.live(gated()).await;
    some(&world, &life).await;
    let follow = async |who, path: &str| life.send("GET", path, &fields(who), "").await.into_body();
    let mut streams = Vec::new();
    for who in [ANN, BOB, ADMIN, VIEWER] {
        streams.push((who, follow(who, "/events").await));
    }
    let mut one = follow(VIEWER, &format!("/{}/events", id(3))).await;
    for number in [2, 3, 1] {
        let patch = format!(r#"{{"description":"changed {number}"}}"#);
        assert_eq!(ask(&life, ANN, ("PATCH", &format!("/{}", id(number)), &patch)).await.0, 200);
        until("it is shown", async || {
            let (_, shown) = ask(&life, ADMIN, ("GET", &format!("/{}", id(number)), "")).await;
            (shown["description"] == format!("changed {number}")).then_some(())
        })
        .await;
    }
    // A client that follows it alone knows its address.
    assert!(!read(&mut one, "changed 3").await.contains("\"owner\""));
    assert_eq!(ask(&life, ANN, ("DELETE", &format!("/{}", id(2)), "")).await.0, 204);
    assert_eq!(ask(&life, ANN, ("DELETE", &format!("/{}", id(1)), "")).await.0, 204);
    let last = format!(r#"{{"id":"{}"}}"#, id(1));
    for (who, stream) in &mut streams {
        let seen = read(stream, &last).await;
        let theirs = [ANN, ADMIN].contains(who);
        assert_eq!(seen.contains(&id(2)), theirs, "{who:?}: {seen}");
        assert_eq!(seen.contains(&id(3)), theirs, "{who:?}: {seen}");
        // They are notified of their own, even if its last change comes late.
        let owners = if *who == BOB { seen.replace(r#""owner":"bob""#, "") } else { seen };
        assert!(!owners.contains("\"owner\"") || theirs, "{who:?}: {owners}");
    }
}

#[tokio::test]
async fn a_content_without_an_owner_belongs_to_the_first_admin_as_soon_as_there_is_one() {
    let world = World::new();
    let life = world.live(Settings::default()).await;
    for number in 1..=3 {
        life.create(&id(number), "Old").await;
    }
    add(&world, &life, 4, "ann", Openness::Public).await;
    let claiming = tokio::spawn(life.metadata.claim_what_nobody_owns());
    let owner = async |number| {
        let request = GetRequest { id: id(number) };
        life.catalogue.clone().get(request).await.unwrap().into_inner().owner
    };
    assert_eq!(owner(1).await, "");
    "eve".clone_into(&mut world.first_admin.lock().unwrap());
    until("all are claimed", async || {
        let mut owners = Vec::new();
        for number in 1..=4 {
            owners.push(owner(number).await);
        }
        (owners == ["eve", "eve", "eve", "ann"]).then_some(())
    })
    .await;
    claiming.abort();
    until("the bus is told", async || {
        let told = world.events.lock().unwrap();
        let changes = told.iter().filter(|event| event.subject == format!("content.{}.changed", id(1)));
        (changes.count() >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_standing_states_what_a_user_may_do_with_a_content() {
    let world = World::new();
    let life = world.live(gated()).await;
    add(&world, &life, 1, "ann", Openness::Private).await;
    life.create(&id(2), "Nobody's").await;
    let standing = async |(who, scopes): (&str, &str)| {
        let request = StandingRequest {
            principal: who.into(),
            scopes: scopes.split(',').map(str::to_owned).collect(),
            contents: vec![id(1), id(2), id(3)],
            ..StandingRequest::default()
        };
        let rights = life.catalogue.clone().standing(request).await.unwrap().into_inner().rights;
        rights.into_iter().map(|right| Right::try_from(right).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(standing(ANN).await, [Right::Own, Right::Own, Right::None]);
    assert_eq!(standing(BOB).await, [Right::None, Right::Own, Right::None]);
    assert_eq!(standing(VIEWER).await, [Right::None; 3]);
    let contents = vec![id(1); 501];
    let request = StandingRequest { contents, ..StandingRequest::default() };
    let refused = life.catalogue.clone().standing(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}
