//! What the ingress gets for requests: the principal and the verdict, and how long that is cached.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use http::{HeaderMap, Request};
use serde_json::json;
use streamgate_auth::{Need, Rule, Settings};
use streamgate_contracts::auth::v1::RevokeRequest;
use streamgate_contracts::auth::v1::revoke_request::Target;
use streamgate_plugin_api::settings::Duration;
use streamgate_plugin_api::{Body, Client, Principal};

/// The response of a filter: status, fields, problem type.
type Judged = (u16, HeaderMap, String);

async fn ask(filter: &Client, method: &str, path: &str, fields: &HeaderMap) -> Judged {
    let mut question = Request::post("http://filter/").body(Body::empty()).unwrap();
    *question.headers_mut() = fields.clone();
    question.headers_mut().insert("x-filter-method", method.parse().unwrap());
    question.headers_mut().insert("x-filter-path", path.parse().unwrap());
    let (parts, body) = filter.send(question).await.unwrap().into_parts();
    let body = body.collect_bytes(1 << 16).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let slug = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:streamgate:problem:");
    (parts.status.as_u16(), parts.headers, slug.to_owned())
}

/// A request past both filters, as an ingress sends it: the status, the problem's type, and the principal.
async fn pass(
    life: &Life,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> (u16, String, Option<Principal>) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let (status, found, slug) =
        ask(&Client::from_service(life.auth.authentication()), method, path, &headers).await;
    if status != 204 {
        return (status, slug, None);
    }
    for (name, value) in found.iter().filter(|(name, _)| name.as_str().starts_with("x-streamgate-")) {
        headers.insert(name, value.clone());
    }
    let (status, _, slug) =
        ask(&Client::from_service(life.auth.authorization()), method, path, &headers).await;
    (status, slug, Principal::of(&headers))
}

async fn as_bearer(life: &Life, token: &str, method: &str, path: &str) -> (u16, String) {
    let bearer = format!("Bearer {token}");
    let (status, slug, _) = pass(life, method, path, &[("authorization", &bearer)]).await;
    (status, slug)
}

fn refused(status: u16, slug: &str) -> (u16, String) {
    (status, slug.to_owned())
}

#[tokio::test]
async fn the_ingress_gets_the_principal_and_the_rights_of_the_credential() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let tokens = life.sign_in(&wallet).await;
    let bearer = format!("Bearer {}", text(&tokens, "access_token"));
    let (status, _, found) = pass(&life, "GET", "/api/v1/contents", &[("authorization", &bearer)]).await;
    let found = found.unwrap();
    assert_eq!((status, found.id.as_str()), (204, text(&tokens, "principal")));
    assert_eq!((found.roles, found.scopes), (vec!["viewer".to_owned()], vec!["content:read".to_owned()]));
    assert_eq!(found.wallets, [format!("eip155:{}", wallet.address())]);
    assert_eq!(found.credential, format!("session:{}", text(&tokens, "session")));

    let admin = format!("Bearer {}", life.admin(&world).await);
    let (status, _, found) = pass(&life, "POST", "/api/v1/jobs/7/retry", &[("authorization", &admin)]).await;
    let found = found.unwrap();
    assert!(status == 204 && found.may("admin") && found.credential.starts_with("key:"), "{found:?}");
}

#[tokio::test]
async fn everybody_reads_creators_change_contents_and_admins_everything() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let (token, id) = (text(&tokens, "access_token"), text(&tokens, "principal"));
    for (method, path) in
        [("GET", "/"), ("HEAD", "/a.js"), ("GET", "/api/v1/contents"), ("OPTIONS", "/files")]
    {
        assert_eq!(pass(&life, method, path, &[]).await, (204, String::new(), None), "{method} {path}");
        assert_eq!(as_bearer(&life, token, method, path).await.0, 204);
    }
    let changes = [
        ("POST", "/files"),
        ("HEAD", "/files/7"),
        ("PATCH", "/files/7"),
        ("DELETE", "/api/v1/contents/7"),
        ("PUT", "/api/v1/access/contents/7"),
    ];
    let administration = [
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/jobs/7/cancel"),
        ("GET", "/api/v1/system"),
        ("PUT", "/hello"),
    ];
    for (method, path) in changes.into_iter().chain(administration) {
        let (status, slug, _) = pass(&life, method, path, &[]).await;
        assert_eq!((status, slug), refused(401, "not-signed-in"), "{method} {path}");
        assert_eq!(as_bearer(&life, token, method, path).await, refused(403, "forbidden"), "{method} {path}");
        assert_eq!(as_bearer(&life, &admin, method, path).await.0, 204, "{method} {path}");
    }
    // A role takes effect with the next request, and so does its revocation.
    let role = format!("principals/{id}/roles/creator");
    assert_eq!(life.call(&admin, "PUT", &role, None).await.status, 204);
    for (method, path) in changes {
        assert_eq!(as_bearer(&life, token, method, path).await.0, 204, "{method} {path}");
    }
    for (method, path) in administration {
        assert_eq!(as_bearer(&life, token, method, path).await.0, 403, "{method} {path}");
    }
    assert_eq!(life.call(&admin, "DELETE", &role, None).await.status, 204);
    assert_eq!(as_bearer(&life, token, "POST", "/files").await.0, 403);
    // A key with fewer scopes than its owner has fewer rights.
    let key = json!({ "name": "k", "scopes": ["content:read"] });
    let key = life.call(&admin, "POST", "keys", Some(key)).await.json;
    assert_eq!(as_bearer(&life, text(&key, "key"), "POST", "/files").await.0, 403);

    let audit = life.call(&admin, "GET", &format!("audit?principal={id}"), None).await.json;
    let refusals = audit["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == "request");
    let refusals: Vec<_> = refusals.map(|entry| text(entry, "subject").to_owned()).collect();
    assert_eq!(refusals.first().map(String::as_str), Some("/files"));
    assert_eq!(refusals.len(), changes.len() + 2 * administration.len() + 1);
}

#[tokio::test]
async fn refusals_of_one_principal_do_not_flood_the_record() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let admin = life.admin(&world).await;
    for _ in 0..100 {
        assert_eq!(as_bearer(&life, text(&tokens, "access_token"), "POST", "/files").await.0, 403);
    }
    let audit = life.call(&admin, "GET", "audit?limit=200", None).await.json;
    let refusals = audit["items"].as_array().unwrap().iter().filter(|entry| entry["action"] == "request");
    assert_eq!(refusals.count(), 60);
}

#[tokio::test]
async fn rules_of_ones_own_take_the_place_of_the_defaults() {
    let world = World::new();
    let rule = |path: &str, read, change| Rule { path: path.into(), read, change, options: None };
    let rules = vec![
        rule("/", Need::SignIn, Need::SignIn),
        rule("/open", Need::Nothing, Need::Nothing),
        rule("/read", Need::ContentRead, Need::Admin),
    ];
    let life = world.live(Settings { rules, ..settings() }).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    assert_eq!(pass(&life, "GET", "/", &[]).await.0, 401);
    assert_eq!(as_bearer(&life, token, "POST", "/files").await.0, 204);
    assert_eq!(pass(&life, "POST", "/open/x", &[]).await.0, 204);
    assert_eq!(as_bearer(&life, token, "GET", "/read").await.0, 204);
    assert_eq!(as_bearer(&life, token, "POST", "/read").await.0, 403);
}

#[tokio::test]
async fn a_cookie_goes_through_the_filter_under_the_same_rule_against_other_sites() {
    let world = World::new();
    let life = world.live(settings()).await;
    let code = life.auth.bootstrap(&world.directory()).await.unwrap().console_path.unwrap();
    let code = code.rsplit('/').next().unwrap();
    let body = json!({ "code": code, "cookies": true });
    let answer = life.send("POST", "setup", &[("origin", SITE)], Some(body)).await;
    let cookie = answer.cookies.join("; ");
    let with = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(fields);
        let (status, slug, found) = pass(&life, method, path, &all).await;
        (status, slug, found.is_some())
    };
    let told = |status, slug: &str, found| (status, slug.to_owned(), found);
    for good in [&[("origin", SITE)][..], &[("sec-fetch-site", "same-origin")]] {
        assert_eq!(with("DELETE", "/api/v1/contents/7", good).await, told(204, "", true), "{good:?}");
    }
    for bad in [
        &[][..],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site")],
        // A field that the filter does not get changes nothing.
        &[("x-http-method-override", "GET")],
    ] {
        for method in ["POST", "PATCH", "DELETE", "PURGE"] {
            assert_eq!(with(method, "/files/7", bad).await, told(403, "cross-site", false), "{bad:?}");
        }
    }
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(with("GET", "/api/v1/jobs", &evil).await, told(204, "", true), "it cannot read the answer");
    // An invalid bearer token is refused even with a valid cookie.
    let bad = [("authorization", "Bearer x"), ("origin", SITE)];
    assert_eq!(with("GET", "/", &bad).await, told(401, "invalid-token", false));
}

#[tokio::test]
async fn an_expired_cookie_does_not_block_public_pages() {
    let world = World::new();
    let life = world.live(settings()).await;
    let mut proof = life.proof(&Wallet::ethereum(1)).await;
    proof["cookies"] = json!(true);
    let cookies = life.send("POST", "sign-in", &[("origin", SITE)], Some(proof)).await.cookies;
    let cookie = cookies.join("; ");
    let fields = [("cookie", cookie.as_str()), ("origin", SITE)];
    world.pass(600);
    for (fields, slug) in [
        (&fields[..], "token-expired"),
        (&[("cookie", "__Host-streamgate_session=x")], "invalid-token"),
        (&[("cookie", "__Host-streamgate_session=x; __Host-streamgate_session=y")], "invalid-token"),
        (&[("cookie", "of=another-site")], "not-signed-in"),
    ] {
        assert_eq!(pass(&life, "GET", "/", fields).await, (204, String::new(), None), "{slug}");
        let (status, told, found) = pass(&life, "POST", "/files", fields).await;
        assert_eq!((status, told.as_str(), found), (401, slug, None));
    }
    let bearer = [("authorization", "Bearer x")];
    assert_eq!(pass(&life, "GET", "/", &bearer).await.0, 401, "who sends a token means it");
}

#[tokio::test]
async fn a_credential_that_is_used_again_costs_no_look_into_the_database() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    let key = json!({ "name": "k", "scopes": ["content:read"] });
    let key = life.call(token, "POST", "keys", Some(key)).await.json;
    for credential in [token, text(&key, "key")] {
        assert!(life.whose(credential).await.is_ok());
        let before = world.asked();
        for _ in 0..100 {
            assert!(life.whose(credential).await.is_ok());
            assert_eq!(as_bearer(&life, credential, "GET", "/").await.0, 204);
        }
        assert_eq!(world.asked(), before);
        world.pass(5);
        assert!(life.whose(credential).await.is_ok());
        assert!(world.asked() > before, "it is looked at again in time");
        // An invalid one is never cached.
        let bad = format!("{credential}x");
        assert!(life.whose(&bad).await.is_err() && life.whose(&bad).await.is_err());
    }
    let cold = world.live(Settings { warm_for: Duration::secs(0), ..settings() }).await;
    let before = world.asked();
    assert!(cold.whose(token).await.is_ok() && cold.whose(token).await.is_ok());
    assert!(world.asked() >= before + 2, "zero turns it off");
}

#[tokio::test]
async fn what_is_ended_in_any_way_is_refused_on_the_next_request_however_warm_it_was() {
    let world = World::new();
    let life = world.live(Settings { max_sessions: 3, ..strict() }).await;
    let admin = life.admin(&world).await;
    let wallet = Wallet::ethereum(1);
    let begin = async || {
        world.pass(1);
        let tokens = life.sign_in(&wallet).await;
        assert!(life.whose(text(&tokens, "access_token")).await.is_ok());
        tokens
    };
    let token = |tokens: &serde_json::Value| text(tokens, "access_token").to_owned();
    let over = async |token: &str| life.whose(token).await.is_err();

    let one = begin().await;
    assert_eq!(life.call(&token(&one), "POST", "logout", None).await.status, 204);
    assert!(over(&token(&one)).await, "logged out");

    let one = begin().await;
    let used = json!({ "refresh_token": one["refresh_token"] });
    assert_eq!(life.post("refresh", used.clone()).await.status, 200);
    assert!(life.whose(&token(&one)).await.is_ok());
    assert_eq!(life.post("refresh", used).await.status, 401);
    assert!(over(&token(&one)).await, "a refresh token was used twice");

    let one = begin().await;
    for _ in 0..3 {
        begin().await;
    }
    assert!(over(&token(&one)).await, "younger sessions took its place");

    let one = begin().await;
    let target = Target::Session(text(&one, "session").into());
    let revoke = async |target: Target| {
        let request = RevokeRequest { target: Some(target), reason: "test".into() };
        life.internal.clone().revoke(request).await.unwrap();
    };
    revoke(target).await;
    assert!(over(&token(&one)).await, "revoked by its id");

    let one = begin().await;
    let wanted = || Some(json!({ "name": "k", "scopes": ["content:read"] }));
    let mut keys = Vec::new();
    for _ in 0..3 {
        let key = life.call(&token(&one), "POST", "keys", wanted()).await.json;
        assert!(life.whose(text(&key, "key")).await.is_ok());
        keys.push(key);
    }
    let path = format!("keys/{}", text(&keys[0], "id"));
    assert_eq!(life.call(&admin, "DELETE", &path, None).await.status, 204);
    assert!(over(text(&keys[0], "key")).await, "revoked by an admin");
    revoke(Target::ApiKey(text(&keys[1], "id").into())).await;
    assert!(over(text(&keys[1], "key")).await, "revoked by its id");
    assert!(life.whose(text(&keys[2], "key")).await.is_ok());
    revoke(Target::Principal(text(&one, "principal").into())).await;
    assert!(over(text(&keys[2], "key")).await && over(&token(&one)).await, "revoked with its principal");

    let one = begin().await;
    let second = Wallet::solana(2);
    let asked = json!({ "kind": "solana", "address": second.address(), "link": true });
    let challenge = life.call(&token(&one), "POST", "challenge", Some(asked)).await.json;
    let linked = life.call(&token(&one), "POST", "wallets", Some(second.answer(&challenge))).await;
    assert_eq!(linked.status, 204, "{:?}", linked.json);
    assert_eq!(life.whose(&token(&one)).await.unwrap().wallets.len(), 2, "a new wallet counts at once");
    let path = format!("wallets/ethereum/{}", wallet.address());
    assert_eq!(life.call(&token(&one), "DELETE", &path, None).await.status, 204);
    assert!(over(&token(&one)).await, "its wallet was taken off");
}
