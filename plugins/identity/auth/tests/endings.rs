//! Early ends are published for everything started with a session or key.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use serde_json::{Value, json};
use streamgate_auth::Settings;
use streamgate_contracts::auth::v1::identify_response::Outcome;
use streamgate_contracts::auth::v1::revoke_request::Target;
use streamgate_contracts::auth::v1::{IdentifyRequest, Identity, Refusal, RevokeRequest};
use streamgate_contracts::events::{CredentialEnded, TYPE_CREDENTIAL_ENDED};

/// The credentials whose ends were published, in order.
fn told(world: &World) -> Vec<CredentialEnded> {
    let mut ended: Vec<CredentialEnded> = Vec::new();
    for event in world.told() {
        let ending: CredentialEnded = event.parse().unwrap();
        assert_eq!(event.r#type, TYPE_CREDENTIAL_ENDED);
        assert_eq!(event.subject, format!("credential.{}.ended", ending.credential));
        ended.push(ending);
    }
    ended.sort_by(|a, b| a.credential.cmp(&b.credential));
    ended
}

async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it becomes so");
}

fn session(tokens: &Value) -> CredentialEnded {
    let credential = format!("session:{}", text(tokens, "session"));
    CredentialEnded { credential, principal: text(tokens, "principal").into() }
}

async fn key(life: &Life, tokens: &Value) -> (String, CredentialEnded) {
    let wanted = json!({ "name": "player", "scopes": ["content:read"] });
    let key = life.call(text(tokens, "access_token"), "POST", "keys", Some(wanted)).await.json;
    let credential = format!("key:{}", text(&key, "id"));
    let principal = text(tokens, "principal").into();
    (text(&key, "id").to_owned(), CredentialEnded { credential, principal })
}

async fn now(life: &Life, credential: &str) -> Result<Identity, Refusal> {
    let request = IdentifyRequest { credential: credential.into() };
    match life.internal.clone().identify(request).await.unwrap().into_inner().outcome.unwrap() {
        Outcome::Identity(identity) => Ok(identity),
        Outcome::Refusal(refusal) => Err(refusal),
    }
}

#[tokio::test]
async fn signing_out_of_one_session_or_all_publishes_exactly_those_ends() {
    let world = World::new();
    let life = world.live(settings()).await;
    let ann = Wallet::ethereum(1);
    let (first, second, third) =
        (life.sign_in(&ann).await, life.sign_in(&ann).await, life.sign_in(&ann).await);
    let other = life.sign_in(&Wallet::solana(2)).await;
    let of = |tokens: &Value| text(tokens, "access_token").to_owned();
    assert_eq!(life.call(&of(&first), "POST", "logout", None).await.status, 204);
    assert_eq!(told(&world), [session(&first)]);
    let path = format!("sessions/{}", text(&third, "session"));
    assert_eq!(life.call(&of(&other), "DELETE", &path, None).await.status, 404, "it is not theirs");
    assert_eq!(told(&world), []);
    assert_eq!(life.call(&of(&second), "DELETE", &path, None).await.status, 204);
    assert_eq!(told(&world), [session(&third)]);
    let fourth = life.sign_in(&ann).await;
    assert_eq!(life.call(&of(&fourth), "DELETE", "sessions", None).await.status, 204);
    assert_eq!(told(&world), [session(&second), session(&fourth)]);
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_session_and_publishes_it_but_no_other_refresh_does() {
    let world = World::new();
    let life = world.live(strict()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let refresh = |tokens: &Value| json!({ "refresh_token": tokens["refresh_token"] });
    let mut newest = tokens.clone();
    for _ in 0..3 {
        newest = life.post("refresh", refresh(&newest)).await.json;
        assert_eq!(session(&newest), session(&tokens), "it is the same session");
        let identity = life.whose(text(&newest, "access_token")).await.unwrap();
        assert_eq!(identity.credential, session(&tokens).credential);
    }
    assert_eq!(told(&world), []);
    assert_eq!(slug(&life.post("refresh", refresh(&tokens)).await), "refresh-reused");
    assert_eq!(told(&world), [session(&tokens)]);
}

#[tokio::test]
async fn revoked_keys_and_all_that_other_plugins_revoke_are_published() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let access = text(&tokens, "access_token");
    let (id, first) = key(&life, &tokens).await;
    assert_eq!(life.call(access, "DELETE", &format!("keys/{id}"), None).await.status, 204);
    assert_eq!(told(&world), [first]);
    assert_eq!(life.call(access, "DELETE", &format!("keys/{id}"), None).await.status, 404);
    assert_eq!(told(&world), []);
    let revoke = async |target| {
        let request = RevokeRequest { target: Some(target), reason: "a test".into() };
        life.internal.clone().revoke(request).await.unwrap().into_inner().ended
    };
    let (id, second) = key(&life, &tokens).await;
    assert_eq!(revoke(Target::ApiKey(id)).await, 1);
    assert_eq!(told(&world), [second]);
    let (_, third) = key(&life, &tokens).await;
    assert_eq!(revoke(Target::Principal(text(&tokens, "principal").into())).await, 2);
    assert_eq!(told(&world), [third, session(&tokens)]);
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    assert_eq!(revoke(Target::Session(text(&tokens, "session").into())).await, 1);
    assert_eq!(told(&world), [session(&tokens)]);
    assert_eq!(revoke(Target::Session(text(&tokens, "session").into())).await, 0);
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn sessions_that_make_room_or_belong_to_an_unlinked_wallet_are_published() {
    let world = World::new();
    let life = world.live(Settings { max_sessions: 2, ..settings() }).await;
    let (first, second) = (Wallet::ethereum(1), Wallet::solana(2));
    let tokens = life.sign_in(&first).await;
    let access = text(&tokens, "access_token");
    let asked = json!({ "kind": second.kind(), "address": second.address(), "link": true });
    let proof = second.answer(&life.call(access, "POST", "challenge", Some(asked)).await.json);
    assert_eq!(life.call(access, "POST", "wallets", Some(proof)).await.status, 204);
    let by_second = life.sign_in(&second).await;
    assert_eq!(told(&world), []);
    let path = format!("wallets/solana/{}", second.address());
    assert_eq!(life.call(access, "DELETE", &path, None).await.status, 204);
    assert_eq!(told(&world), [session(&by_second)]);
    world.pass(1);
    life.sign_in(&first).await;
    assert_eq!(told(&world), []);
    world.pass(1);
    life.sign_in(&first).await;
    assert_eq!(told(&world), [session(&tokens)]);
}

#[tokio::test]
async fn it_is_published_even_if_the_page_that_signed_out_was_closed_at_once() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let access = text(&tokens, "access_token").to_owned();
    life.whose(&access).await.unwrap();
    // The principal is cached, so that the only call of the database is the change.
    let before = world.asked();
    let signing_out = tokio::spawn({
        let life = life.clone();
        async move { life.call(&access, "POST", "logout", None).await }
    });
    until(|| world.asked() > before).await;
    signing_out.abort();
    let mut ended = Vec::new();
    until(|| {
        ended.extend(told(&world));
        !ended.is_empty()
    })
    .await;
    assert_eq!(ended, [session(&tokens)]);
}

#[tokio::test]
async fn an_expiry_is_not_published_but_the_credential_is_refused() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let of_session = session(&tokens).credential;
    let wanted = json!({ "name": "short", "scopes": ["content:read"], "expires_at": "2026-01-01T01:00:00Z" });
    let key = life.call(text(&tokens, "access_token"), "POST", "keys", Some(wanted)).await.json;
    let of_key = format!("key:{}", text(&key, "id"));
    assert_eq!(now(&life, &of_key).await.unwrap().scopes, ["content:read"]);
    world.pass(3_600);
    assert_eq!(now(&life, &of_key).await.unwrap_err().r#type, "token-expired");
    // An access token is only a proof of its session.
    assert_eq!(now(&life, &of_session).await.unwrap().principal, text(&tokens, "principal"));
    world.pass(31 * 86_400);
    assert_eq!(now(&life, &of_session).await.unwrap_err().r#type, "session-ended");
    life.auth.tidy().await.unwrap();
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn whose_a_credential_is_by_its_name_is_what_it_is_now_and_not_what_it_was() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let credential = session(&tokens).credential;
    let before = now(&life, &credential).await.unwrap();
    assert_eq!((before.scopes.len(), before.wallets.len()), (1, 1));
    assert_eq!(
        (before.credential.as_str(), before.session.as_str()),
        (&*credential, text(&tokens, "session"))
    );
    let path = format!("principals/{}/roles/creator", text(&tokens, "principal"));
    assert_eq!(life.call(&admin, "PUT", &path, None).await.status, 204);
    assert_eq!(now(&life, &credential).await.unwrap().scopes, ["content:read", "content:write"]);
    life.call(text(&tokens, "access_token"), "POST", "logout", None).await;
    let over = now(&life, &credential).await.unwrap_err();
    assert_eq!((over.r#type.as_str(), over.status), ("session-ended", 401));
    for (unknown, slug) in
        [("session:x", "session-ended"), ("key:x", "session-ended"), ("key:", "session-ended")]
    {
        assert_eq!(now(&life, unknown).await.unwrap_err().r#type, slug, "{unknown}");
    }
    for malformed in ["", "x", "sgk_abc", "token:x"] {
        let request = IdentifyRequest { credential: malformed.into() };
        let error = life.internal.clone().identify(request).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument, "{malformed}");
    }
}
