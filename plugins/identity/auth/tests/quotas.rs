//! Limits of a principal: by role, and as set by an admin.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use serde_json::{Value, json};
use streamgate_auth::{RoleQuota, Settings};
use streamgate_contracts::auth::v1::{QuotaRequest, QuotaResponse};
use streamgate_plugin_api::settings::ByteSize;

/// Creators have 1 GiB and 2 encodes, everyone 1 API key.
fn bounded() -> Settings {
    let creator = RoleQuota { stored: Some(ByteSize::gib(1)), encodes: Some(2), ..RoleQuota::default() };
    let viewer = RoleQuota { api_keys: Some(1), ..RoleQuota::default() };
    let quotas = BTreeMap::from([("creator".to_owned(), creator), ("viewer".to_owned(), viewer)]);
    Settings { quotas, ..settings() }
}

async fn limits(life: &Life, principal: &str) -> QuotaResponse {
    let request = QuotaRequest { principal: principal.into(), ..QuotaRequest::default() };
    life.internal.clone().quota(request).await.unwrap().into_inner()
}

/// A creator's token and id, and the path of their quota.
async fn creator(life: &Life, admin: &str) -> (String, String, String) {
    let tokens = life.sign_in(&Wallet::ethereum(7)).await;
    let (token, id) = (text(&tokens, "access_token").to_owned(), text(&tokens, "principal").to_owned());
    let role = format!("principals/{id}/roles/creator");
    assert_eq!(life.call(admin, "PUT", &role, None).await.status, 204);
    let path = format!("principals/{id}/quota");
    (token, id, path)
}

#[tokio::test]
async fn limits_are_those_of_the_roles_until_an_admin_sets_others_and_outlive_a_restart() {
    let world = World::new();
    let life = world.live(bounded()).await;
    let admin = life.admin(&world).await;
    let (token, id, path) = creator(&life, &admin).await;
    let by_role = QuotaResponse {
        stored: Some(1 << 30),
        encodes: Some(2),
        api_keys: Some(1),
        event_streams: Some(50),
        ..QuotaResponse::default()
    };
    assert_eq!(limits(&life, &id).await, by_role);
    let own = life.call(&token, "GET", &path, None).await;
    assert_eq!((own.status, &own.json["limits"]["encodes"]), (200, &json!(2)), "{:?}", own.json);
    assert_eq!(own.json["override"], Value::Null);

    let wanted = json!({ "stored": "unlimited", "encodes": 5, "encode_minutes": 60, "event_streams": 9 });
    let set = life.call(&admin, "PUT", &path, Some(wanted)).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
    assert_eq!(set.json["override"]["limits"]["stored"], "unlimited");
    let theirs = QuotaResponse {
        encodes: Some(5),
        encode_minutes: Some(60),
        api_keys: Some(1),
        event_streams: Some(9),
        ..QuotaResponse::default()
    };
    let life = world.live(bounded()).await;
    assert_eq!(limits(&life, &id).await, theirs);

    assert_eq!(life.call(&admin, "DELETE", &path, None).await.status, 204);
    assert_eq!(life.call(&admin, "DELETE", &path, None).await.status, 204);
    assert_eq!(limits(&life, &id).await, by_role);
    let audit = life.call(&admin, "GET", "audit?limit=200", None).await.json;
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|item| text(item, "action")).collect();
    assert_eq!(actions.iter().filter(|action| **action == "quota.set").count(), 1);
    assert_eq!(actions.iter().filter(|action| **action == "quota.clear").count(), 1);
}

#[tokio::test]
async fn an_admin_has_no_limits_whatever_is_set() {
    let world = World::new();
    let life = world.live(bounded()).await;
    let admin = life.admin(&world).await;
    let (_, id, path) = creator(&life, &admin).await;
    assert_eq!(life.call(&admin, "PUT", &path, Some(json!({ "encodes": 1 }))).await.status, 200);
    let role = format!("principals/{id}/roles/admin");
    assert_eq!(life.call(&admin, "PUT", &role, None).await.status, 204);
    assert_eq!(limits(&life, &id).await, QuotaResponse { api_keys: Some(50), ..QuotaResponse::default() });
}

#[tokio::test]
async fn only_an_admin_sets_limits_or_reads_those_of_others() {
    let world = World::new();
    let life = world.live(bounded()).await;
    let admin = life.admin(&world).await;
    let (token, _, path) = creator(&life, &admin).await;
    let body = || Some(json!({ "encodes": 9 }));
    assert_eq!(life.call(&token, "PUT", &path, body()).await.status, 403);
    assert_eq!(life.call(&token, "DELETE", &path, None).await.status, 403);
    let stranger = life.sign_in(&Wallet::ethereum(8)).await;
    assert_eq!(life.call(text(&stranger, "access_token"), "GET", &path, None).await.status, 403);
    assert_eq!(life.send("GET", &path, &[], None).await.status, 401);
    let nobody = "principals/00000000-0000-0000-0000-000000000000/quota";
    assert_eq!(life.call(&admin, "GET", nobody, None).await.status, 404);
    assert_eq!(life.call(&admin, "PUT", nobody, body()).await.status, 404);
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused_in_words() {
    let world = World::new();
    let life = world.live(bounded()).await;
    let admin = life.admin(&world).await;
    let (_, id, path) = creator(&life, &admin).await;
    let before = limits(&life, &id).await;
    for (body, word) in [
        (json!({ "bytes": 1 }), "`bytes` is not a limit"),
        (json!({ "encodes": -1 }), "`encodes` is -1"),
        (json!({ "encodes": 1.5 }), "`encodes` is 1.5"),
        (json!({ "encodes": 10_001 }), "up to 10000"),
        (json!({ "stored": "1GiB" }), "`stored` is \"1GiB\""),
        (json!([1]), "The body"),
    ] {
        let answer = life.call(&admin, "PUT", &path, Some(body)).await;
        assert_eq!((answer.status, slug(&answer)), (400, "invalid-request"));
        assert!(text(&answer.json, "detail").contains(word), "{:?}", answer.json);
    }
    let answer = life.send_text(&admin, "PUT", &path, r#"{"encodes":1,"encodes":2}"#).await;
    assert_eq!((answer.status, slug(&answer)), (400, "invalid-request"));
    assert!(text(&answer.json, "detail").contains("`encodes` is given twice"), "{:?}", answer.json);
    assert_eq!(limits(&life, &id).await, before);
}

#[tokio::test]
async fn a_principal_makes_as_many_keys_as_their_quota_says() {
    let world = World::new();
    let life = world.live(bounded()).await;
    let admin = life.admin(&world).await;
    let (token, _, path) = creator(&life, &admin).await;
    let key = || Some(json!({ "name": "k", "scopes": ["content:read"] }));
    assert_eq!(life.call(&token, "POST", "keys", key()).await.status, 201);
    let over = life.call(&token, "POST", "keys", key()).await;
    assert_eq!((over.status, slug(&over)), (429, "limit-reached"));
    assert!(text(&over.json, "detail").contains("1 API keys"), "{:?}", over.json);
    assert_eq!((&over.json["limit"], &over.json["setting"]), (&json!(1), &json!("quotas.api_keys")));
    assert_eq!(life.call(&admin, "PUT", &path, Some(json!({ "api_keys": 2 }))).await.status, 200);
    assert_eq!(life.call(&token, "POST", "keys", key()).await.status, 201);
}

#[tokio::test]
async fn callers_without_a_sign_in_have_quotas_of_their_own_and_an_address_sees_its_challenges() {
    let world = World::new();
    let anonymous = RoleQuota { event_streams: Some(3), challenges: Some(10), ..RoleQuota::default() };
    let quotas = BTreeMap::from([("anonymous".to_owned(), anonymous)]);
    let life = world.live(Settings { quotas, ..settings() }).await;
    let nobody = QuotaResponse { event_streams: Some(3), ..QuotaResponse::default() };
    assert_eq!(limits(&life, "").await, nobody);

    let wallet = Wallet::ethereum(1);
    let body = json!({ "kind": "ethereum", "address": wallet.address() });
    let from = [("x-streamgate-client", "2001:db8::1")];
    assert_eq!(life.send("POST", "challenge", &from, Some(body)).await.status, 200);
    for (address, used) in [("2001:db8::2", 1), ("2001:db8:0:1::1", 0)] {
        let request = QuotaRequest { principal: String::new(), address: address.into() };
        let quota = life.internal.clone().quota(request).await.unwrap().into_inner();
        assert_eq!((quota.challenges, quota.challenges_used), (Some(10), used), "{address}");
    }
}
