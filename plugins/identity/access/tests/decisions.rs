//! Policies, decisions and revocation without a chain, and concurrent changes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use alloy_primitives::Address;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use streamgate_contracts::access::v1::{BarsRequest, Openness, Verdict};
use streamgate_contracts::catalogue::v1::{CreateRequest, DeleteRequest, Right};
use streamgate_contracts::database::v1::QueryRequest;
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::events::{
    ChainTransfer, ContentDeleted, ContentStanding, TYPE_CHAIN_TRANSFER, TYPE_CONTENT_DELETED,
    TYPE_CONTENT_STANDING, chain_transfer, content_deleted, content_standing,
};
use streamgate_plugin_api::time::{Clock, rfc3339};
use streamgate_plugin_api::{Client, Event, Principal};
use streamgate_tests::wait::eventually;
use support::slow::Slow;
use support::*;

fn anonymous() -> Principal {
    Principal::default()
}

#[tokio::test]
async fn a_content_without_a_policy_is_private_unless_the_settings_say_otherwise() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    assert_eq!(life.openness().await, Openness::Private);
    assert_eq!(life.decide(&creator()).await.verdict(), Verdict::Allowed);
    let refused = life.decide(&viewer(ALICE, &[])).await;
    assert_eq!((refused.verdict(), &*refused.r#type), (Verdict::Denied, "not-entitled"));
    assert_eq!(life.decide(&anonymous()).await.r#type, "not-signed-in");

    let open = World::new();
    let open = open.live(None, json!({ "default": "public" })).await;
    assert_eq!((open.openness().await, open.policy().await.revision), (Openness::Public, 0));
    assert_eq!(open.decide(&anonymous()).await.verdict(), Verdict::Allowed);
}

#[tokio::test]
async fn policies_of_many_contents_are_answered_in_their_order_also_after_a_change() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let other = "01920000-0000-7000-8000-0000000000ff".to_owned();
    let contents = [other.clone(), CONTENT.to_owned(), other, CONTENT.to_owned()];
    for openness in ["public", "unlisted"] {
        let revision = life.put_policy(json!({ "openness": openness })).await;
        let said = life.policies(&contents).await.unwrap();
        let said: Vec<_> = said.iter().map(|policy| (policy.openness(), policy.revision)).collect();
        let default = (Openness::Private, 0);
        let changed = (if openness == "public" { Openness::Public } else { Openness::Unlisted }, revision);
        assert_eq!(said, [default, changed, default, changed]);
    }
    assert_eq!(life.policies(&[]).await.unwrap(), []);
    let many = vec![CONTENT.to_owned(); 201];
    let refused = life.policies(&many).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("201 contents"), "{}", refused.message());
    assert_eq!(life.policies(&["x".to_owned()]).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_policy_is_changed_by_whom_it_may_and_only_as_it_was_read() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let gated = json!({ "openness": "gated", "rule": { "role": "viewer" } });
    let path = "/contents/{c}";
    assert_eq!(slug(&life.call(None, Method::PUT, path, Some(&gated)).await), "not-signed-in");
    let viewer = viewer(ALICE, &[]);
    assert_eq!(slug(&life.call(Some(&viewer), Method::PUT, path, Some(&gated)).await), "forbidden");
    let by = creator();
    let by = Some(&by);
    let first = life.call_if(by, Method::PUT, path, Some(&gated), Some("\"0\"")).await;
    assert_eq!(
        (first.status.as_u16(), &*first.tag, &first.json["rule"]),
        (200, "\"1.whole\"", &gated["rule"])
    );
    let late = life.call_if(by, Method::PUT, path, Some(&gated), Some("\"0\"")).await;
    assert_eq!((late.status.as_u16(), slug(&late)), (412, "changed-meanwhile"));
    assert_eq!(life.call_if(by, Method::PUT, path, Some(&gated), Some("\"9\"")).await.status, 412);
    assert_eq!(life.call_if(by, Method::PUT, path, Some(&gated), Some("W/1")).await.status, 400);

    // Everyone can read its openness, and only editors the rule.
    let shown = life.call(None, Method::GET, path, None).await;
    assert_eq!((&shown.json["openness"], shown.json.get("rule")), (&json!("gated"), None));
    assert_eq!(life.call(by, Method::GET, path, None).await.json["rule"], gated["rule"]);

    for (wrong, pointer) in [
        (json!({ "openness": "gated" }), "/rule"),
        (json!({ "openness": "public", "rule": { "role": "viewer" } }), "/rule"),
        (json!({ "openness": "gated", "rule": { "any": [{ "role": "king" }] } }), "/rule/any/0/role"),
    ] {
        let refused = life.call(by, Method::PUT, path, Some(&wrong)).await;
        assert_eq!((refused.status.as_u16(), slug(&refused)), (422, "invalid-policy"), "{wrong}");
        assert_eq!(refused.json["pointer"], pointer, "{}", refused.json);
    }
    assert_eq!(life.call(by, Method::DELETE, path, None).await.status, 200);
    assert_eq!((life.openness().await, life.policy().await.revision), (Openness::Private, 2));
    assert_eq!(life.call(by, Method::DELETE, path, None).await.status, 404);
    let revisions: Vec<u64> = life.changed().iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [1, 2]);
    assert_eq!(life.call(by, Method::GET, "/contents/mine", None).await.status, 400);
}

#[tokio::test]
async fn a_tightened_rule_revokes_access_of_those_who_do_not_meet_it_and_of_no_other() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    let (a, b) = (viewer(ALICE, &[]), viewer(BOB, &[]));
    let (before_a, before_b) = (life.decide(&a).await, life.decide(&b).await);
    assert_eq!((before_a.verdict(), before_b.verdict()), (Verdict::Allowed, Verdict::Allowed));
    life.gate(json!({ "allow_list": { "principals": [BOB] } })).await;
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.generation > before_a.generation && revoked.reason.contains("policy"), "{revoked:?}");
    let (after_a, after_b) = (life.decide(&a).await, life.decide(&b).await);
    assert_eq!((after_a.verdict(), after_a.generation), (Verdict::Denied, revoked.generation));
    assert_eq!((after_b.verdict(), after_b.generation), (Verdict::Allowed, before_b.generation));
    assert!(life.revoked().iter().all(|event| event.principal == ALICE));
    // The list cannot be read by others.
    let me = life.call(Some(&a), Method::GET, "/contents/{c}/me", None).await.json;
    assert!(
        !me.to_string().contains(BOB) && me["finding"]["text"].as_str().unwrap().contains("list"),
        "{me}"
    );
}

#[tokio::test]
async fn a_content_that_is_no_longer_public_is_revoked_for_viewers_without_a_name() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.put_policy(json!({ "openness": "public" })).await;
    let before = life.decide(&anonymous()).await;
    assert_eq!(before.verdict(), Verdict::Allowed);
    life.put_policy(json!({ "openness": "private" })).await;
    let revoked = life.hears("a revocation", |event| event.principal.is_empty()).await;
    assert!(revoked.generation > before.generation);
    life.put_policy(json!({ "openness": "public" })).await;
    let again = life.decide(&anonymous()).await;
    assert_eq!(again.verdict(), Verdict::Allowed);
    assert!(again.generation >= revoked.generation, "{again:?} {revoked:?}");
    assert!(life.decide(&viewer(ALICE, &[])).await.generation >= revoked.generation);
}

#[tokio::test]
async fn an_admin_revokes_access_and_blocks_a_viewer_until_it_is_lifted() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    let a = viewer(ALICE, &[]);
    let before = life.decide(&a).await;
    let by = creator();
    let by = Some(&by);
    let path = "/contents/{c}/revoke";
    let body = json!({ "principal": ALICE, "reason": "once" });
    assert_eq!(life.call(Some(&a), Method::POST, path, Some(&body)).await.status, 403);
    let once = life.call(by, Method::POST, path, Some(&body)).await.json["generation"].as_u64().unwrap();
    assert!(once > before.generation);
    let again = life.decide(&a).await;
    assert_eq!((again.verdict(), again.generation), (Verdict::Allowed, once));

    let body = json!({ "principal": ALICE, "reason": "shared the account", "bar": true });
    life.call(by, Method::POST, path, Some(&body)).await;
    life.hears("a revocation", |event| event.reason == "shared the account").await;
    let barred = life.decide(&a).await;
    assert_eq!((barred.verdict(), &*barred.r#type), (Verdict::Denied, "revoked"));
    assert!(barred.reason.contains("shared the account"));
    drop(life);
    let life = world.live(None, json!({})).await;
    assert_eq!(life.decide(&a).await.r#type, "revoked");
    let bar = format!("/contents/{{c}}/bars/{ALICE}");
    assert_eq!(life.call(by, Method::DELETE, &bar, None).await.status, 204);
    assert_eq!(life.call(by, Method::DELETE, &bar, None).await.status, 404);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);

    let everybody = json!({ "reason": "a leak" });
    let generation = life.call(by, Method::POST, path, Some(&everybody)).await.json["generation"].as_u64();
    assert_eq!(life.decide(&a).await.generation, generation.unwrap());
}

#[tokio::test]
async fn a_bar_goes_over_shares_and_not_over_the_owner_and_admins() {
    let world = World::new();
    let mut catalogue = world.with_catalogue().await;
    let owned = CreateRequest { id: CONTENT.into(), owner: ALICE.into(), ..CreateRequest::default() };
    catalogue.create(owned).await.unwrap();
    let life = world.live(None, json!({})).await;
    let alice = with(ALICE, &["creator", "viewer"], &["content:read", "content:write"]);
    let playing = life.decide(&alice).await;
    assert_eq!(playing.verdict(), Verdict::Allowed);
    let admin = creator();
    let bar = async |who: &str| {
        let body = json!({ "principal": who, "reason": "no", "bar": true });
        life.call(Some(&admin), Method::POST, "/contents/{c}/revoke", Some(&body)).await
    };
    assert_eq!(life.decide(&admin).await.verdict(), Verdict::Allowed);
    for who in [ALICE, &admin.id] {
        let refused = bar(who).await;
        assert_eq!((refused.status.as_u16(), slug(&refused)), (409, "not-barrable"));
    }
    assert_eq!(life.decide(&alice).await.generation, playing.generation);
    drop(life);

    let world = World::new();
    world.everybody_may(Right::View);
    let life = world.live(None, json!({})).await;
    let bob = viewer(BOB, &[]);
    let shared = life.decide(&bob).await;
    assert_eq!((shared.verdict(), shared.reason.contains("shared")), (Verdict::Allowed, true));
    let body = json!({ "principal": BOB, "reason": "no", "bar": true });
    let path = "/contents/{c}/revoke";
    assert_eq!(life.call(Some(&admin), Method::POST, path, Some(&body)).await.status, 200);
    let barred = life.decide(&bob).await;
    assert_eq!((barred.verdict(), &*barred.r#type), (Verdict::Denied, "revoked"));
}

#[tokio::test]
async fn who_is_barred_neither_reads_nor_changes_the_policy_of_what_is_shared_with_them() {
    let world = World::new();
    world.everybody_may(Right::Edit);
    let life = world.live(None, json!({})).await;
    let (admin, bob) = (creator(), with(BOB, &["viewer", "creator"], &["content:read", "content:write"]));
    let (policy, revoke) = ("/contents/{c}", "/contents/{c}/revoke");
    let public = json!({ "openness": "public" });
    assert_eq!(life.call(Some(&bob), Method::GET, policy, None).await.status, 200);
    let body = json!({ "principal": BOB, "reason": "no", "bar": true });
    assert_eq!(life.call(Some(&admin), Method::POST, revoke, Some(&body)).await.status, 200);
    life.hears("that bob is barred", |event| event.principal == BOB && event.bar).await;
    assert_eq!(life.call(Some(&bob), Method::GET, policy, None).await.status, 404);
    assert_eq!(life.call(Some(&bob), Method::PUT, policy, Some(&public)).await.status, 404);
    let lift = format!("/contents/{{c}}/bars/{BOB}");
    assert_eq!(life.call(Some(&bob), Method::DELETE, &lift, None).await.status, 404);
    let request = BarsRequest { principal: BOB.into() };
    let bars = life.service.clone().bars(request.clone()).await.unwrap().into_inner();
    assert_eq!(bars.contents, [CONTENT]);
    assert_eq!(life.call(Some(&admin), Method::DELETE, &lift, None).await.status, 204);
    assert_eq!(life.service.clone().bars(request).await.unwrap().into_inner().contents, [""; 0]);
    assert_eq!(life.call(Some(&bob), Method::PUT, policy, Some(&public)).await.status, 200);
}

#[tokio::test]
async fn a_private_content_looks_to_strangers_as_one_that_never_was() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.put_policy(json!({ "openness": "public" })).await;
    assert_eq!(life.decide(&anonymous()).await.verdict(), Verdict::Allowed);
    life.put_policy(json!({ "openness": "private" })).await;
    life.hears("a revocation", |event| event.principal.is_empty()).await;
    let never = "0190a0a0-0000-7000-8000-0000000000ff";
    for who in [None, Some(&viewer(ALICE, &[]))] {
        for path in ["/contents/{c}", "/contents/{c}/me"] {
            let told = life.call(who, Method::GET, path, None).await;
            let mut other = life.call(who, Method::GET, &path.replace("{c}", never), None).await;
            if !other.json["content"].is_null() {
                other.json["content"] = CONTENT.into();
                other.json["valid_until"] = told.json["valid_until"].clone();
            }
            assert_eq!((told.status, told.tag, told.json), (other.status, other.tag, other.json), "{path}");
        }
    }
    let admin = creator();
    let shown = life.call(Some(&admin), Method::GET, "/contents/{c}", None).await;
    assert_eq!((shown.status.as_u16(), &*shown.tag), (200, "\"2.whole\""));
    drop(life);
    world.everybody_may(Right::View);
    let life = world.live(None, json!({})).await;
    let shared = life.call(Some(&viewer(ALICE, &[])), Method::GET, "/contents/{c}", None).await;
    assert_eq!((shared.status.as_u16(), &*shared.tag), (200, "\"2\""));
}

#[tokio::test]
async fn where_the_default_is_public_a_private_content_looks_as_one_that_never_was_too() {
    let world = World::new();
    let mut catalogue = world.with_catalogue().await;
    let (open, never) = ("0190a0a0-0000-7000-8000-0000000000fe", "0190a0a0-0000-7000-8000-0000000000ff");
    for id in [CONTENT, open] {
        let request = CreateRequest { id: id.into(), owner: ALICE.into(), ..CreateRequest::default() };
        catalogue.create(request).await.unwrap();
    }
    let life = world.live(None, json!({ "default": "public" })).await;
    life.put_policy(json!({ "openness": "private" })).await;
    let other = with(BOB, &["creator", "viewer"], &["content:read", "content:write"]);
    let public = json!({ "openness": "public" });
    for who in [None, Some(&viewer(BOB, &[])), Some(&other)] {
        for (method, path, body) in [
            (Method::GET, "/contents/{c}", None),
            (Method::GET, "/contents/{c}/me", None),
            (Method::PUT, "/contents/{c}", Some(&public)),
        ] {
            let told = life.call(who, method.clone(), path, body).await;
            let mut unknown = life.call(who, method.clone(), &path.replace("{c}", never), body).await;
            if !unknown.json["content"].is_null() {
                unknown.json["content"] = CONTENT.into();
                unknown.json["valid_until"] = told.json["valid_until"].clone();
            }
            let (told, unknown) =
                ((told.status, told.tag, told.json), (unknown.status, unknown.tag, unknown.json));
            assert_eq!(told, unknown, "{method} {path}");
        }
    }
    // What is there and has no policy is everybody's.
    let shown = life.call(None, Method::GET, &format!("/contents/{open}"), None).await;
    assert_eq!((shown.status.as_u16(), &shown.json["openness"]), (200, &"public".into()));
    let me = life.call(None, Method::GET, &format!("/contents/{open}/me"), None).await;
    assert_eq!(me.json["verdict"], "allowed");
}

#[tokio::test]
async fn those_who_are_kept_out_are_listed_page_by_page_with_the_reason() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let by = creator();
    let by = Some(&by);
    for (who, reason) in [(ALICE, "shared the account"), (BOB, "asked for it")] {
        let body = json!({ "principal": who, "reason": reason, "bar": true });
        assert_eq!(life.call(by, Method::POST, "/contents/{c}/revoke", Some(&body)).await.status, 200);
    }
    let bars =
        async |query: &str| life.call(by, Method::GET, &format!("/contents/{{c}}/bars{query}"), None).await;
    let first = bars("?limit=1").await.json;
    assert_eq!(first["items"], json!([{ "principal": ALICE, "reason": "shared the account" }]));
    let rest = bars(&format!("?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await.json;
    assert_eq!(
        rest,
        json!({ "items": [{ "principal": BOB, "reason": "asked for it" }], "next_cursor": null })
    );
    assert_eq!(
        life.call(by, Method::DELETE, &format!("/contents/{{c}}/bars/{ALICE}"), None).await.status,
        204
    );
    assert_eq!(bars("").await.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(slug(&bars("?limit=0").await), "invalid-request");
    let a = viewer(ALICE, &[]);
    let refused = life.call(Some(&a), Method::GET, "/contents/{c}/bars", None).await;
    assert_eq!(slug(&refused), "forbidden");
}

/// The principal of `who` with a credential that has these scopes.
fn with(who: &str, roles: &[&str], scopes: &[&str]) -> Principal {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Principal { roles: texts(roles), scopes: texts(scopes), ..viewer(who, &[]) }
}

#[tokio::test]
async fn what_a_credential_with_fewer_rights_may_not_is_taken_from_no_other_of_the_principal() {
    let world = World::new();
    let owned = CreateRequest { id: CONTENT.into(), owner: ALICE.into(), ..CreateRequest::default() };
    world.with_catalogue().await.create(owned).await.unwrap();
    let life = world.live(None, json!({})).await;
    let session = with(ALICE, &["creator", "viewer"], &["content:read", "content:write"]);
    let reads = with(ALICE, &["viewer"], &["content:read"]);
    let administrates = with(ALICE, &[], &["admin"]);
    let playing = life.decide(&session).await;
    assert_eq!(playing.verdict(), Verdict::Allowed);
    for narrow in [&reads, &administrates] {
        let refused = life.decide(narrow).await;
        assert_eq!((refused.verdict(), refused.generation), (Verdict::Denied, playing.generation));
    }
    // Where the policy granted and revoked a right, a viewer who never needed it continues.
    life.gate(json!({ "role": "viewer" })).await;
    assert_eq!(life.decide(&reads).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&administrates).await.verdict(), Verdict::Denied);
    assert_eq!(life.decide(&reads).await.verdict(), Verdict::Allowed);
    life.gate(json!({ "allow_list": { "principals": [BOB] } })).await;
    assert_eq!(life.decide(&reads).await.verdict(), Verdict::Denied);
    drop(life);
    let life = world.live(None, json!({})).await;
    assert_eq!(life.decide(&reads).await.verdict(), Verdict::Denied);
    let still = life.decide(&session).await;
    assert_eq!((still.verdict(), still.generation), (Verdict::Allowed, playing.generation));
    assert_eq!(life.revoked(), []);
}

#[tokio::test]
async fn when_none_of_a_principals_credentials_is_let_in_any_more_it_is_taken_back_once() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    let (reads, more) = (with(ALICE, &["viewer"], &["content:read"]), with(ALICE, &["viewer"], &["x", "y"]));
    let before = life.decide(&reads).await;
    assert_eq!(life.decide(&more).await.verdict(), Verdict::Allowed);
    life.gate(json!({ "allow_list": { "principals": [BOB] } })).await;
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.generation > before.generation);
    for who in [&reads, &more] {
        let after = life.decide(who).await;
        assert_eq!((after.verdict(), after.generation), (Verdict::Denied, revoked.generation));
    }
    assert_eq!(life.revoked().len(), 1);

    // A block by an admin is about the principal, whatever credential they use.
    life.gate(json!({ "role": "viewer" })).await;
    life.decide(&reads).await;
    life.decide(&more).await;
    let body = json!({ "principal": ALICE, "reason": "an admin's word" });
    let said = life.call(Some(&creator()), Method::POST, "/contents/{c}/revoke", Some(&body)).await.json;
    for who in [&reads, &more] {
        assert_eq!(json!(life.decide(who).await.generation), said["generation"]);
    }
}

#[tokio::test]
async fn a_rule_is_previewed_before_it_is_saved_and_nothing_is_kept_of_it() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let by = creator();
    let by = Some(&by);
    let path = "/contents/{c}/preview";
    let rule = json!({ "all": [{ "role": "viewer" }, { "not": { "subscription": { "plan": "gold" } } }] });
    let wallets = json!(["eip155:0x00000000000000000000000000000000000000aa"]);
    let wanted = |rule: &Value| json!({ "wallets": wallets, "rule": rule });
    let seen = life.call(by, Method::POST, path, Some(&wanted(&rule))).await;
    assert_eq!((seen.status.as_u16(), &seen.json["verdict"]), (200, &json!("allowed")), "{}", seen.json);
    assert_eq!(seen.json["revision"], Value::Null);
    let finding = &seen.json["finding"];
    assert_eq!((&finding["rule"], &finding["holds"]), (&json!("all"), &json!("yes")));
    assert_eq!((&finding["of"][1]["rule"], &finding["of"][1]["holds"]), (&json!("not"), &json!("yes")));
    assert_eq!(finding["of"][1]["of"][0]["holds"], "no");
    assert!(finding["of"][1]["of"][0]["text"].as_str().unwrap().contains("gold"), "{finding}");

    // By the saved rule, the same wallets are refused, before and after.
    let saved =
        life.call(by, Method::POST, path, Some(&json!({ "wallets": wallets, "rule": null }))).await.json;
    assert_eq!((&saved["verdict"], &saved["revision"]), (&json!("denied"), &json!(0)));
    assert_eq!((life.openness().await, life.policy().await.revision), (Openness::Private, 0));
    let decisions = life.call(by, Method::GET, &format!("/decisions?content={CONTENT}"), None).await.json;
    assert_eq!(decisions["items"], json!([]));
    assert!(life.heard.lock().unwrap().is_empty());

    for (who, status) in [(None, 401), (Some(&viewer(ALICE, &[])), 403)] {
        assert_eq!(life.call(who, Method::POST, path, Some(&wanted(&rule))).await.status, status);
    }
}

#[tokio::test]
async fn a_rule_that_could_not_be_saved_is_not_previewed_either_and_for_the_same_reason() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let by = creator();
    let deep = (0..9).fold(json!({ "role": "viewer" }), |rule, _| json!({ "not": rule }));
    for rule in [
        json!({ "any": [{ "role": "king" }] }),
        json!({ "any": [] }),
        json!({ "nothing": 1 }),
        json!({ "erc721": { "asset": "eip155:1:0x12" } }),
        json!({ "any": vec![json!({ "role": "viewer" }); 65] }),
        deep,
    ] {
        let policy = json!({ "openness": "gated", "rule": rule });
        let saved = life.call(Some(&by), Method::PUT, "/contents/{c}", Some(&policy)).await;
        let body = json!({ "principal": ALICE, "rule": rule });
        let seen = life.call(Some(&by), Method::POST, "/contents/{c}/preview", Some(&body)).await;
        assert_eq!((seen.status.as_u16(), slug(&seen)), (422, "invalid-policy"), "{rule}");
        assert_eq!(seen.json, saved.json);
    }
    let large = json!({ "principal": ALICE, "rule": { "role": "x".repeat(80_000) } });
    let refused = life.call(Some(&by), Method::POST, "/contents/{c}/preview", Some(&large)).await;
    assert_eq!(slug(&refused), "too-large");
}

#[tokio::test]
async fn a_subscription_lets_in_until_it_ends_and_then_takes_access_back() {
    let world = World::new();
    let life = world.live(None, json!({ "decision_max_age": "1h" })).await;
    life.gate(json!({ "subscription": { "plan": "gold" } })).await;
    let a = viewer(ALICE, &[]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    let by = creator();
    let path = format!("/subscriptions/{ALICE}/gold");
    let end = |ms: i64| json!({ "ends_at": rfc3339(ms) });
    let ends_ms = world.now_ms() + 600_000;
    let writer = Principal { scopes: vec!["content:write".into()], ..creator() };
    assert_eq!(life.call(Some(&writer), Method::PUT, &path, Some(&end(ends_ms))).await.status, 403);
    assert_eq!(life.call(Some(&by), Method::PUT, &path, Some(&end(ends_ms))).await.status, 200);
    let allowed = life.decide(&a).await;
    assert_eq!((allowed.verdict(), allowed.valid_until_ms), (Verdict::Allowed, ends_ms));
    world.pass(Duration::from_secs(601));
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.generation > allowed.generation && revoked.reason.contains("ended"), "{revoked:?}");

    life.call(Some(&by), Method::PUT, &path, Some(&end(world.now_ms() + 600_000))).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    assert_eq!(life.call(Some(&by), Method::DELETE, &path, None).await.status, 204);
    life.hears("another one", |event| event.generation > revoked.generation).await;
    assert_eq!(life.call(Some(&by), Method::DELETE, &path, None).await.status, 404);
}

#[tokio::test]
async fn a_time_window_opens_and_closes_automatically_for_everyone() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let now = world.now_ms();
    life.gate(json!({ "time_window": { "from": rfc3339(now + 60_000), "until": rfc3339(now + 90_000) } }))
        .await;
    assert_eq!(life.decide(&anonymous()).await.verdict(), Verdict::Denied);
    world.pass(Duration::from_secs(61));
    let open = life.decide(&anonymous()).await;
    assert_eq!((open.verdict(), open.valid_until_ms), (Verdict::Allowed, now + 90_000));
    world.pass(Duration::from_secs(30));
    life.hears("the end", |event| event.principal.is_empty()).await;
    assert_eq!(life.decide(&anonymous()).await.verdict(), Verdict::Denied);
}

#[tokio::test]
async fn a_viewer_who_is_not_signed_in_meets_no_not() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    for rule in [
        json!({ "not": { "role": "admin" } }),
        json!({ "not": { "allow_list": { "principals": [BOB] } } }),
        json!({ "not": { "subscription": { "plan": "gold" } } }),
        json!({ "not": { "native": { "chain": "eip155:1", "at_least": "1" } } }),
    ] {
        life.gate(rule.clone()).await;
        let decision = life.decide(&anonymous()).await;
        assert_eq!((decision.verdict(), &*decision.r#type), (Verdict::Denied, "not-signed-in"), "{rule}");
    }
}

fn deleted() -> Event {
    let deleted = ContentDeleted { id: CONTENT.into() };
    Event::json(content_deleted(CONTENT), TYPE_CONTENT_DELETED, &deleted).unwrap()
}

#[tokio::test]
async fn what_an_event_calls_deleted_keeps_its_policy_as_long_as_the_catalogue_does_not_say_so() {
    let world = World::new();
    let rule = json!({ "role": "viewer" });
    // The catalogue does not answer.
    let life = world.live(None, json!({ "default": "public" })).await;
    life.gate(rule.clone()).await;
    life.happens(deleted());
    // Whatever the plugin does about it comes before it has received what follows.
    assert_eq!(life.gate(rule.clone()).await, 2);
    assert_eq!((life.openness().await, life.policy().await.revision), (Openness::Gated, 2));
    drop(life);

    // It knows the content as an existing one.
    let mut catalogue = world.with_catalogue().await;
    catalogue.create(CreateRequest { id: CONTENT.into(), ..CreateRequest::default() }).await.unwrap();
    let life = world.live(None, json!({ "default": "public" })).await;
    life.happens(deleted());
    assert_eq!(life.gate(rule).await, 3);
    assert_eq!((life.openness().await, life.policy().await.revision), (Openness::Gated, 3));
    assert_eq!(life.decide(&anonymous()).await.verdict(), Verdict::Denied);
}

#[tokio::test]
async fn a_deletion_whose_event_was_lost_is_found() {
    let world = World::new();
    let mut catalogue = world.with_catalogue().await;
    catalogue.create(CreateRequest { id: CONTENT.into(), ..CreateRequest::default() }).await.unwrap();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    drop(life);
    catalogue.delete(DeleteRequest { id: CONTENT.into() }).await.unwrap();
    let life = world.live(None, json!({})).await;
    eventually("the policy to go", PATIENCE, async || {
        (life.openness().await == Openness::Private).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_a_content_all_that_was_said_of_it_goes() {
    let world = World::new();
    let mut catalogue = world.with_catalogue().await;
    catalogue.create(CreateRequest { id: CONTENT.into(), ..CreateRequest::default() }).await.unwrap();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    let before = life.decide(&viewer(ALICE, &[])).await;
    catalogue.delete(DeleteRequest { id: CONTENT.into() }).await.unwrap();
    life.happens(deleted());
    let revoked = life.hears("a revocation", |event| event.principal.is_empty()).await;
    assert!(revoked.generation > before.generation);
    assert_eq!((life.openness().await, life.policy().await.revision), (Openness::Private, 0));
    let by = creator();
    let page = format!("/decisions?content={CONTENT}");
    assert_eq!(life.call(Some(&by), Method::GET, &page, None).await.json["items"], json!([]));
}

#[tokio::test]
async fn decisions_are_listed_newest_first_page_by_page_and_the_schema_is_anybodys() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "allow_list": { "principals": [BOB] } })).await;
    for who in [&viewer(ALICE, &[]), &viewer(BOB, &[]), &creator()] {
        life.decide(who).await;
    }
    let by = creator();
    let get = async |path: String| life.call(Some(&by), Method::GET, &path, None).await.json;
    let first = get(format!("/decisions?content={CONTENT}&limit=2")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = get(format!("/decisions?content={CONTENT}&limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["items"][0]["principal"], &rest["next_cursor"]), (&json!(ALICE), &Value::Null));
    let schema = life.call(None, Method::GET, "/schema", None).await.json;
    assert_eq!(schema["type"], "object");
    assert!(schema["$defs"]["Rule"].is_object(), "{schema}");
}

/// Action, outcome, principal, subject, address and, for changes, detail of the audit log's entries.
async fn audited(world: &World) -> Vec<String> {
    let request = QueryRequest {
        namespace: "auth".into(),
        sql: "SELECT action || ' ' || outcome || ' ' || principal || ' ' || subject || ' ' || address || CASE action WHEN 'access.policy' THEN ' ' || detail ELSE '' END AS entry FROM audit ORDER BY id"
            .into(),
        ..QueryRequest::default()
    };
    let rows = DatabaseClient::new(world.database()).query(request).await.unwrap().into_inner().rows;
    let text = |kind: Option<&Kind>| match kind {
        Some(Kind::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(|row| text(row.values[0].kind.as_ref())).collect()
}

#[tokio::test]
async fn changes_reach_the_audit_log_even_if_it_is_unavailable_at_first_and_grants_and_refusals_as_they_come()
{
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    life.gate(json!({ "allow_list": { "principals": [BOB] } })).await;
    drop(life);
    let auth = streamgate_auth::Auth::open(
        world.database(),
        world.folder.path(),
        streamgate_auth::Settings::default(),
        Clock::system(),
        Arc::new(streamgate_auth::NoContractWallets),
        streamgate_contracts::outbox::Bus::new(|_| std::future::ready(Ok(()))),
    );
    let auth = auth.await.unwrap();
    let life = world.live_with(Client::from_service(auth.internal())).await;
    let creator = creator();
    let expected = [
        format!(
            r#"access.policy changed {0} {CONTENT} {SENDER} gated: {{"role":"viewer"}}; before: default"#,
            creator.id
        ),
        format!(
            r#"access.policy changed {0} {CONTENT} {SENDER} gated: {{"allow_list":{{"principals":["{BOB}"]}}}}; before: gated: {{"role":"viewer"}}"#,
            creator.id
        ),
        format!("content.play refused {ALICE} {CONTENT} "),
        format!("content.play granted {BOB} {CONTENT} "),
    ];
    for (who, count) in [(&creator, 1), (&viewer(ALICE, &[]), 2), (&viewer(BOB, &[]), 3)] {
        if count > 1 {
            life.decide(who).await;
        }
        streamgate_tests::wait::eventually("an entry", PATIENCE, async || {
            (audited(&world).await == expected[..=count]).then_some(())
        })
        .await;
    }
}

const TOKEN: &str = "eip155:1/erc721:0x00000000000000000000000000000000000000aa";

fn transfer(from: Address, to: Address, block: u64) -> Event {
    let account = |address: Address| format!("eip155:1:{address:#x}");
    let transfer = ChainTransfer {
        chain: "eip155:1".into(),
        asset: format!("{TOKEN}/7"),
        from: account(from),
        to: account(to),
        amount: "1".into(),
        block,
        block_hash: format!("0x{block:064x}"),
        log_index: 0,
        transaction: "0x".into(),
        removed: false,
    };
    Event::json(chain_transfer("eip155:1"), TYPE_CHAIN_TRANSFER, &transfer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_equal_requests_cost_one_query_and_a_cached_answer_none() {
    let (world, chain) = (World::new(), Slow::new(0));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(json!({ "erc721": { "asset": TOKEN } })).await;
    let a = viewer(ALICE, &[Address::repeat_byte(1)]);
    let asking = join_all((0..50).map(|_| life.decide(&a)));
    let opening = async {
        streamgate_tests::wait::eventually("a question", PATIENCE, async || {
            (chain.asked.load(SeqCst) > 0).then_some(())
        })
        .await;
        chain.may.add_permits(1000);
    };
    let (decisions, ()) = tokio::join!(asking, opening);
    assert!(decisions.iter().all(|decision| decision.verdict() == Verdict::Allowed));
    assert!(decisions.iter().all(|decision| decision.id == decisions[0].id));
    assert_eq!(chain.asked.load(SeqCst), 1);
    life.decide(&a).await;
    assert_eq!(chain.asked.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_asks_the_chain_and_has_nothing_followed() {
    let (world, chain) = (World::new(), Slow::new(1000));
    let life = world.live_over(chain.client(), json!({})).await;
    let wallet = format!("eip155:{:#x}", Address::repeat_byte(1));
    let body = json!({ "wallets": [wallet], "rule": { "erc721": { "asset": TOKEN } } });
    let seen = life.call(Some(&creator()), Method::POST, "/contents/{c}/preview", Some(&body)).await.json;
    assert_eq!((&seen["verdict"], &seen["evidence"][0]["block"]), (&json!("allowed"), &json!(5)), "{seen}");
    assert_eq!((chain.asked.load(SeqCst), chain.watched.load(SeqCst)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_chain_is_queried_at_its_own_plugin() {
    let (world, evm, solana) = (World::new(), Slow::new(1000), Slow::new(1000));
    let life = world.live_over_both(evm.client(), solana.client(), json!({})).await;
    let collection =
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/nft:J1S9H3QjnRtBbbuD4HjPV6RpRhwuk4zKbxsnCHuTgh9w";
    life.gate(json!({ "solana_collection": { "asset": collection } })).await;
    let mut a = viewer(ALICE, &[Address::repeat_byte(1)]);
    a.wallets.push("solana:9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM".into());
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    // A change of the policy has a grant checked again, so each may be queried twice.
    assert!(evm.asked.load(SeqCst) == 0 && solana.asked.load(SeqCst) > 0);
    life.gate(json!({ "erc721": { "asset": TOKEN } })).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    let asked = solana.asked.load(SeqCst);
    let b = Principal { id: BOB.into(), ..a };
    assert_eq!(life.decide(&b).await.verdict(), Verdict::Allowed);
    assert!(evm.asked.load(SeqCst) > 0);
    assert_eq!(solana.asked.load(SeqCst), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_during_a_decision_is_not_lost() {
    let (world, chain) = (World::new(), Slow::new(0));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(json!({ "erc721": { "asset": TOKEN } })).await;
    let wallet = Address::repeat_byte(1);
    let a = viewer(ALICE, &[wallet]);
    let meanwhile = async {
        streamgate_tests::wait::eventually("a question", PATIENCE, async || {
            (chain.asked.load(SeqCst) > 0).then_some(())
        })
        .await;
        // The chain has answered yes already, and now the token is transferred.
        chain.holds.store(0, SeqCst);
        life.access.on_event(&transfer(wallet, Address::repeat_byte(2), 4)).await;
        chain.may.add_permits(1000);
    };
    let (decision, ()) = tokio::join!(life.decide(&a), meanwhile);
    assert_eq!(decision.verdict(), Verdict::Denied);
    assert!(chain.asked.load(SeqCst) > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_during_a_decision_counts() {
    let (world, chain) = (World::new(), Slow::new(0));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(json!({ "erc721": { "asset": TOKEN } })).await;
    let a = viewer(ALICE, &[Address::repeat_byte(1)]);
    let meanwhile = async {
        streamgate_tests::wait::eventually("a question", PATIENCE, async || {
            (chain.asked.load(SeqCst) > 0).then_some(())
        })
        .await;
        life.put_policy(json!({ "openness": "private" })).await;
        chain.may.add_permits(1000);
    };
    let (decision, ()) = tokio::join!(life.decide(&a), meanwhile);
    assert_eq!(decision.verdict(), Verdict::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_reorganised_too_deeply_grants_no_access() {
    let (world, chain) = (World::new(), Slow::new(1000));
    chain.broken.store(true, SeqCst);
    let life = world.live_over(chain.client(), json!({})).await;
    for rule in [json!({ "erc721": { "asset": TOKEN } }), json!({ "not": { "erc721": { "asset": TOKEN } } })]
    {
        life.gate(rule).await;
        let decision = life.decide(&viewer(ALICE, &[Address::repeat_byte(1)])).await;
        assert_eq!(decision.verdict(), Verdict::Unknown);
        assert!(decision.reason.contains("was reorganised"), "{}", decision.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_before_a_reported_transfer_does_not_count() {
    let (world, chain) = (World::new(), Slow::new(1000));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(json!({ "erc721": { "asset": TOKEN } })).await;
    let wallet = Address::repeat_byte(1);
    let a = viewer(ALICE, &[wallet]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    // The chain continues to answer yes, at block 5.
    life.happens(transfer(wallet, Address::repeat_byte(2), 6));
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.reason.contains("block 5"), "{}", revoked.reason);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_viewers_are_admitted_than_can_be_followed() {
    let world = World::new();
    let life = world.live(None, json!({ "max_grants": 1 })).await;
    life.gate(json!({ "role": "viewer" })).await;
    assert_eq!(life.decide(&viewer(ALICE, &[])).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&viewer(BOB, &[])).await.verdict(), Verdict::Unknown);
    assert_eq!(life.decide(&viewer(ALICE, &[])).await.verdict(), Verdict::Allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_token_of_a_contract_in_a_vault_counts_for_whom_it_is_delegated_to_and_too_many_vaults_are_unknown()
 {
    let (world, chain) = (World::new(), Slow::new(1000));
    chain.holds.store(0, SeqCst);
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(json!({ "erc721": { "asset": TOKEN, "delegated": true } })).await;
    assert_eq!(life.decide(&viewer(ALICE, &[Address::repeat_byte(1)])).await.verdict(), Verdict::Denied);
    let vault = Address::repeat_byte(9);
    *chain.vault.lock().unwrap() = Some((vault, 1));
    let b = viewer(BOB, &[Address::repeat_byte(2)]);
    let allowed = life.decide(&b).await;
    assert_eq!(allowed.verdict(), Verdict::Allowed, "{allowed:?}");
    assert!(
        allowed.evidence.iter().any(|found| found.finding.contains(&format!("{vault:#x}"))),
        "{allowed:?}"
    );

    // The vault's token is transferred.
    *chain.vault.lock().unwrap() = None;
    life.happens(transfer(vault, Address::repeat_byte(3), 5));
    life.hears("a revocation", |event| event.principal == BOB).await;
    *chain.vault.lock().unwrap() = Some((Address::ZERO, 5));
    assert_eq!(life.decide(&viewer(ALICE, &[Address::repeat_byte(4)])).await.verdict(), Verdict::Unknown);
}

#[tokio::test]
async fn a_creator_gates_and_plays_what_is_theirs_and_nothing_of_another() {
    let world = World::new();
    let owned = CreateRequest { id: CONTENT.into(), owner: ALICE.into(), ..CreateRequest::default() };
    world.with_catalogue().await.create(owned).await.unwrap();
    let life = world.live(None, json!({})).await;
    let scopes = ["content:read", "content:write"];
    let (ann, bob) = (with(ALICE, &["creator"], &scopes), with(BOB, &["creator"], &scopes));
    assert_eq!(life.decide(&ann).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&bob).await.verdict(), Verdict::Denied);
    let put = async |who: &Principal, openness: &str| {
        let policy = json!({ "openness": openness });
        life.call(Some(who), Method::PUT, "/contents/{c}", Some(&policy)).await.status.as_u16()
    };
    // A private content does not exist for another creator.
    assert_eq!(put(&bob, "public").await, 404);
    assert_eq!(put(&ann, "unlisted").await, 200);
    assert_eq!((life.openness().await, put(&bob, "private").await), (Openness::Unlisted, 403));
    for who in [&bob, &anonymous()] {
        assert_eq!(life.decide(who).await.verdict(), Verdict::Allowed);
    }
    for path in ["/contents/{c}/bars", &format!("/decisions?content={CONTENT}")] {
        assert_eq!(life.call(Some(&bob), Method::GET, path, None).await.status, 403, "{path}");
        assert_eq!(life.call(Some(&ann), Method::GET, path, None).await.status, 200, "{path}");
    }
    assert_eq!(life.call(Some(&ann), Method::GET, "/decisions", None).await.status, 403);
    let why = json!({ "reason": "no" });
    assert_eq!(life.call(Some(&bob), Method::POST, "/contents/{c}/revoke", Some(&why)).await.status, 403);
    assert_eq!(put(&creator(), "private").await, 200, "an admin looks after all");
}

#[tokio::test]
async fn a_viewer_with_a_share_plays_a_content_until_the_catalogue_removes_it() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let vic = with(BOB, &["viewer"], &["content:read"]);
    let changed = || {
        let payload = ContentStanding { id: CONTENT.into() };
        let event = Event::json(content_standing(CONTENT), TYPE_CONTENT_STANDING, &payload);
        life.happens(event.unwrap());
    };
    assert_eq!(life.decide(&vic).await.verdict(), Verdict::Denied);
    world.everybody_may(Right::View);
    changed();
    eventually("a second call", PATIENCE, async || {
        (life.decide(&vic).await.verdict() == Verdict::Allowed).then_some(())
    })
    .await;
    let shown = life.call(Some(&vic), Method::GET, "/contents/{c}", None).await;
    assert_eq!(shown.json.get("rule"), None, "it is not theirs to change");

    world.everybody_may(Right::None);
    changed();
    life.hears("a revocation", |event| event.principal == BOB).await;
    assert_eq!(life.decide(&vic).await.verdict(), Verdict::Denied);
}

#[tokio::test]
async fn a_tag_of_a_policy_is_of_what_is_shown() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    life.gate(json!({ "role": "viewer" })).await;
    let read = async |who: &Principal| life.call(Some(who), Method::GET, "/contents/{c}", None).await;
    let (whole, part) = (read(&creator()).await, read(&with(BOB, &["viewer"], &[])).await);
    assert!(whole.json.get("rule").is_some() && part.json.get("rule").is_none());
    assert_ne!(whole.tag, part.tag);
    let policy = json!({ "openness": "private" });
    let put = async |tag: &str| {
        life.call_if(Some(&creator()), Method::PUT, "/contents/{c}", Some(&policy), Some(tag)).await.status
    };
    assert_eq!(put(&whole.tag).await, 200);
    assert_eq!(put(&whole.tag).await, 412);
}

#[tokio::test]
async fn while_the_owner_of_a_content_is_unknown_no_creator_plays_or_gates_it() {
    let world = World::new();
    world.without_catalogue();
    let life = world.live(None, json!({})).await;
    let ann = with(ALICE, &["creator"], &["content:write"]);
    let vic = with(BOB, &["viewer"], &["content:read"]);
    for who in [&ann, &vic] {
        assert_eq!(life.decide(who).await.verdict(), Verdict::Unknown);
    }
    // A viewer who meets the rule needs none of that.
    life.gate(json!({ "role": "viewer" })).await;
    assert_eq!(life.decide(&vic).await.verdict(), Verdict::Allowed);
    let policy = json!({ "openness": "public" });
    assert_eq!(life.call(Some(&ann), Method::PUT, "/contents/{c}", Some(&policy)).await.status, 503);
}
