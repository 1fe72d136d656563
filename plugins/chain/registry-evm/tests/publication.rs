//! Automatic registration, against a real node, with the real catalogue, storage and access control.
#![allow(clippy::unwrap_used)]

#[path = "support/doomed.rs"]
mod doomed;
#[path = "support/house.rs"]
mod house;
mod support;
#[path = "../../chain-evm/tests/support/liar.rs"]
mod tampering;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use alloy_primitives::hex;
use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use streamgate_contracts::catalogue::v1::DeleteRequest;
use streamgate_plugin_api::Principal;
use streamgate_tests::anvil::CHAIN;
use streamgate_tests::wait::eventually;
use support::{PATIENCE, name, settings};
use tampering::{Liar, Lie};
use world::World;

use house::{ANN, ANNS, BOB, House, admin, file, id};

const POLICY: &str = "https://video.example.org/api/v1/access/contents/{id}";

impl World {
    /// The setup, with automatic registration of everything; `more` changes that.
    async fn house(&self, endpoint: &str, more: Value) -> House {
        House::start(self.folder.path(), settings(&[endpoint], self.telling(more))).await
    }

    fn telling(&self, more: Value) -> Value {
        let mut all = self.settings(json!({ "publish": true, "publish_pause": "0s" }));
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }
}

fn cid(number: u8) -> String {
    format!("0x01551220{}", hex::encode(Sha256::digest(file(number))))
}

fn policy(number: u8, openness: &str, revision: u64) -> String {
    let text = format!("{} {openness} {revision}", id(number));
    format!("0x{}", hex::encode(Sha256::digest(text)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_becomes_ready_is_registered_and_its_entry_follows_its_policy() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "policy_uri": POLICY })).await;
    house.upload(1).await;
    assert_eq!(house.get(&format!("/{}", id(1))).await.1["state"], "none");
    house.finish(1).await;
    let entry = house.registered(1).await;
    assert_eq!(entry["registered"]["owner"], name(world.server().await));
    assert_eq!(entry["registered"]["cid"], cid(1));
    assert_eq!(entry["registered"]["policy"], policy(1, "private", 0));
    assert_eq!(entry["registered"]["policy_uri"], POLICY.replace("{id}", &id(1)));
    assert_eq!((&entry["action"], &entry["attempt"]), (&json!("register"), &json!(1)));

    let revision = house.open(1, "public").await;
    let changed = policy(1, "public", revision);
    let entry = house.until(1, "changed", |shown| shown["registered"]["policy"] == changed).await;
    assert_eq!((&entry["action"], &entry["attempt"]), (&json!("update"), &json!(2)));
    assert_eq!(entry["registered"]["cid"], cid(1));
    world.anvil.mine(2).await;
    let done = house.becomes(1, "confirmed").await;
    let history = done["transaction"]["history"].as_array().unwrap();
    let ends = [&history[0]["state"], &history[history.len() - 1]["state"]];
    assert_eq!(ends, ["queued", "confirmed"]);
    assert_eq!(done["transaction"]["hashes"], json!([done["transaction"]["hash"]]));
    assert_eq!(world.used().await, 2);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_its_owners_wallets_and_the_servers_where_they_have_none_on_the_chain() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({})).await;
    let server = name(world.server().await);
    let anns = format!("eip155:{CHAIN}:{ANNS}");
    for (number, owner, named) in [(1, ANN, &anns), (2, BOB, &server), (3, "gone", &server)] {
        house.create_for(number, owner).await;
        house.upload(number).await;
        house.finish(number).await;
        assert_eq!(house.registered(number).await["registered"]["owner"], **named, "{owner}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_were_ready_before_or_without_an_event_are_found() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "publish": false })).await;
    house.ready(1).await;
    house.ready(2).await;
    house.deaf.store(true, Ordering::SeqCst);
    assert_eq!(house.registry().await["publish"], false);
    house.reconfigure(settings(&[&world.anvil.url], world.telling(json!({ "reconcile": "200ms" }))));
    house.registered(1).await;
    house.registered(2).await;
    house.ready(3).await;
    house.registered(3).await;
    world.anvil.mine(2).await;
    for number in 1..=3 {
        house.becomes(number, "confirmed").await;
    }
    assert_eq!(house.registry().await["contents"], json!({ "confirmed": 3 }));
    assert_eq!(world.used().await, 3);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_policy_are_published_together_however_often_it_changes() {
    let world = World::new().await;
    let slow = json!({ "policy_uri": POLICY, "publish_pause": "1h", "reconcile": "100ms" });
    let house = world.house(&world.anvil.url, slow).await;
    house.ready(1).await;
    house.registered(1).await;
    let mut revision = 0;
    for openness in ["public", "private", "public"] {
        revision = house.open(1, openness).await;
    }
    // Another content shows that these events were received.
    house.ready(2).await;
    house.registered(2).await;
    assert_eq!(world.used().await, 2);
    // A request need not wait.
    let (status, _) = house.call(Method::POST, &format!("/{}", id(1)), Some(&admin())).await;
    assert_eq!(status, 202);
    let told = policy(1, "public", revision);
    let entry = house.until(1, "changed", |shown| shown["registered"]["policy"] == told).await;
    assert_eq!((&entry["attempt"], world.used().await), (&json!(2), 3));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_chain_is_away_nothing_is_lost_and_it_is_said() {
    let world = World::new().await;
    let liar = Liar::start(&world.anvil.url, Lie::Status(503)).await;
    let house = world.house(&liar.url, json!({})).await;
    house.ready(1).await;
    let said = house.trouble(|trouble| !trouble.is_null()).await;
    assert!(said.as_str().unwrap().contains("has not been read"), "{said}");
    liar.now(Lie::None);
    house.registered(1).await;
    house.trouble(Value::is_null).await;

    // What becomes ready while it is unavailable again is queued.
    liar.now(Lie::Status(503));
    house.ready(2).await;
    house.becomes(2, "queued").await;
    house.stop().await;
    let house = world.house(&world.anvil.url, json!({})).await;
    house.registered(2).await;
    assert_eq!(world.used().await, 2);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_policies_are_unknown_nothing_is_published_and_it_is_reported() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "policy_uri": POLICY })).await;
    house.closed.store(true, Ordering::SeqCst);
    house.ready(1).await;
    let said = house.trouble(|trouble| !trouble.is_null() && !trouble.to_string().contains("read yet")).await;
    assert!(said.as_str().unwrap().starts_with("`access` does not answer"), "{said}");
    let revision = house.open(1, "public").await;
    assert_eq!((house.becomes(1, "none").await["attempt"].clone(), world.used().await), (json!(0), 0));
    house.closed.store(false, Ordering::SeqCst);
    let entry = house.registered(1).await;
    assert_eq!(entry["registered"]["policy"], policy(1, "public", revision));
    house.trouble(Value::is_null).await;
    assert_eq!(world.used().await, 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_lost_registers_nothing_twice() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({})).await;
    house.ready(1).await;
    house.registered(1).await;
    house.stop().await;
    for entry in fs::read_dir(world.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("registry_evm") {
            fs::remove_file(path).unwrap();
        }
    }
    // It is refused by name until the operator allows it to start over.
    let record = world.folder.path().join("namespaces.json");
    let mut known: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(known.as_object_mut().unwrap().remove("registry_evm").is_some(), "{known}");
    fs::write(&record, known.to_string()).unwrap();
    let house = world.house(&world.anvil.url, json!({})).await;
    house.ready(2).await;
    house.registered(2).await;
    let known = house.registered(1).await;
    assert_eq!((&known["state"], &known["registered"]["cid"]), (&json!("none"), &json!(cid(1))));
    assert_eq!(world.used().await, 2);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_why_something_failed_and_tries_it_again() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "max_gas": 21000 })).await;
    house.ready(1).await;
    let failed = house.becomes(1, "failed").await;
    assert!(failed["detail"].as_str().unwrap().contains("more than `max_gas` = 21000"), "{failed}");
    house.create(2).await;
    house.finish(2).await;
    let blocked = house.becomes(2, "blocked").await;
    assert!(blocked["detail"].as_str().unwrap().contains("not in storage"), "{blocked}");
    let (_, list) = house.get("?state=failed").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let (_, first) = house.get("?limit=1").await;
    assert_eq!((&first["items"][0]["content"], &first["next_cursor"]), (&json!(id(1)), &json!(id(1))));
    let (_, second) = house.get(&format!("?limit=1&cursor={}", id(1))).await;
    assert_eq!((&second["items"][0]["content"], &second["next_cursor"]), (&json!(id(2)), &Value::Null));

    // It fails again as long as nothing else changed, and is done once that has.
    assert_eq!(house.call(Method::POST, "", None).await.0, 401);
    let retry = format!("/{}", id(1));
    assert_eq!(house.call(Method::POST, &retry, Some(&admin())).await.0, 202);
    house.until(1, "failed again", |shown| shown["state"] == "failed" && shown["attempt"] == 2).await;
    house.reconfigure(settings(&[&world.anvil.url], world.telling(json!({ "publish": false }))));
    let (status, asked) = house.call(Method::POST, "", Some(&admin())).await;
    assert_eq!((status, asked), (202, json!({ "asked": 2 })));
    let audited = house.audited().await;
    assert_eq!(
        audited,
        [("registry.publish".to_owned(), id(1)), ("registry.retry".to_owned(), name(world.registry))]
    );
    let done = house.registered(1).await;
    house.becomes(2, "blocked").await;
    assert_eq!((&done["attempt"], world.used().await), (&json!(3), 1));
    house.catalogue.clone().delete(DeleteRequest { id: id(2) }).await.unwrap();
    assert_eq!(house.call(Method::POST, &format!("/{}", id(2)), Some(&admin())).await.0, 404);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_is_refused_and_only_an_admin_may_ask() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "publish": false })).await;
    house.ready(1).await;
    house.upload(2).await;
    let creator = Principal { scopes: vec!["content:write".into()], ..admin() };
    let slug = |answer: &Value| answer["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    for (path, who, status, problem) in [
        (id(1), None, 401, "not-signed-in"),
        (id(1), Some(&creator), 403, "forbidden"),
        (id(2), Some(&admin()), 409, "wrong-state"),
        (id(3), Some(&admin()), 404, "not-found"),
        ("film".into(), Some(&admin()), 400, "invalid-request"),
    ] {
        let (answered, answer) = house.call(Method::POST, &format!("/{path}"), who).await;
        assert_eq!((answered, slug(&answer).as_str()), (status, problem), "{answer}");
    }
    for wrong in ["?state=lost", "?limit=0", "?limit=201", "?cursor=x", "?page=1"] {
        assert_eq!(house.get(wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(house.call(Method::DELETE, &format!("/{}", id(1)), Some(&admin())).await.0, 405);

    // Two concurrent requests make one registration.
    let path = format!("/{}", id(1));
    let who = admin();
    let asked = || house.call(Method::POST, &path, Some(&who));
    let (one, two) = tokio::join!(asked(), asked());
    assert_eq!((one.0, two.0), (202, 202));
    house.registered(1).await;
    assert_eq!(asked().await.0, 202);
    eventually("the request is handled", PATIENCE, async || {
        let (_, list) = house.get("?state=waiting").await;
        list["items"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(world.used().await, 1);

    let settings = settings(&[&world.anvil.url], json!({ "registry": name(world.registry) }));
    house.reconfigure(settings);
    let (status, answer) = asked().await;
    assert_eq!((status, slug(&answer).as_str()), (409, "no-signer"), "{answer}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_before_its_turn_is_not_registered() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "publish": false })).await;
    house.ready(1).await;
    house.ready(2).await;
    house.catalogue.clone().delete(DeleteRequest { id: id(1) }).await.unwrap();
    house.reconfigure(settings(&[&world.anvil.url], world.telling(json!({}))));
    house.registered(2).await;
    assert_eq!((house.becomes(1, "none").await["attempt"].clone(), world.used().await), (json!(0), 1));
    house.stop().await;
}

/// Registers contents until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the next test runs it in a process of its own"]
async fn doomed() {
    let Some(told) = doomed::told() else { return };
    let text = |key: &str| told[key].as_str().unwrap();
    let settings = settings(&[text("endpoint")], told["more"].clone());
    let _house = House::start(Path::new(text("folder")), settings).await;
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_after_any_call_registers_each_content_once() {
    let world = World::new().await;
    let house = world.house(&world.anvil.url, json!({ "publish": false })).await;
    for number in 1..=6 {
        house.ready(number).await;
    }
    house.stop().await;
    let liar = Liar::start(&world.anvil.url, Lie::None).await;
    doomed::kill_after(2, &world, &liar, world.telling(json!({ "policy_uri": POLICY }))).await;
    let house = world.house(&liar.url, json!({ "policy_uri": POLICY })).await;
    for number in 1..=6 {
        let entry = house.registered(number).await;
        assert_eq!((&entry["attempt"], &entry["registered"]["cid"]), (&json!(1), &json!(cid(number))));
    }
    assert_eq!(world.used().await, 6);
    house.stop().await;
}
