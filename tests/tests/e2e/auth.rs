//! Signing in at a real server: the first admin, a wallet, what survives a crash, and what the log omits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, client};
use streamgate_tests::wallet::proof;

/// The site of the default settings; messages are signed for it, whatever port the test has.
const SITE: &str = "http://localhost:8080";

async fn post(server: &Server, path: &str, body: &Value) -> (StatusCode, Value) {
    let url = server.url(&format!("/api/v1/auth/{path}"));
    let answer = client().post(url).json(body).send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.expect("JSON"))
}

async fn get(server: &Server, path: &str, token: &str) -> (StatusCode, Value) {
    let url = server.url(&format!("/api/v1/auth/{path}"));
    let answer = client().get(url).bearer_auth(token).send().await.expect("an answer");
    let status = answer.status();
    (status, answer.json().await.expect("JSON"))
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_signs_in_with_an_address_that_is_good_once_and_grants_a_role() {
    let mut server = Setup::default().start().await;
    let address = server.setup_url().await;
    let code = address.rsplit('/').next().expect("a code");
    let url = server.url("/api/v1/auth/setup");
    let body = json!({ "code": code, "cookies": true });
    let from = |origin: &'static str| client().post(&url).header("origin", origin).json(&body);
    let elsewhere = from("https://evil.example").send().await.expect("an answer");
    assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN);
    let answer = from(SITE).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let cookies: Vec<_> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().expect("text").to_owned())
        .collect();
    assert!(cookies.iter().all(|cookie| cookie.contains("HttpOnly; SameSite=Lax")), "{cookies:?}");
    let cookie = cookies.iter().map(|cookie| cookie.split(';').next().expect("a pair")).collect::<Vec<_>>();
    let cookie = cookie.join("; ");
    assert_eq!(post(&server, "setup", &json!({ "code": code })).await.0, StatusCode::UNAUTHORIZED);

    let (_, tokens) = post(&server, "sign-in", &proof(&server, 1).await).await;
    let (token, principal) = (text(&tokens, "access_token"), text(&tokens, "principal"));
    let role = server.url(&format!("/api/v1/auth/principals/{principal}/roles/creator"));
    let grant = |cookie: &str, origin: &'static str| {
        client().put(&role).header("cookie", cookie.to_owned()).header("origin", origin).send()
    };
    assert_eq!(grant("", SITE).await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let forged = grant(&cookie, "https://evil.example").await.expect("an answer");
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert_eq!(grant(&cookie, SITE).await.expect("an answer").status(), StatusCode::NO_CONTENT);
    assert_eq!(get(&server, "me", token).await.1["roles"], json!(["viewer", "creator"]));

    // It works once, over restarts too.
    let shown = server.log().matches("/#/setup/").count();
    server.restart().await;
    assert_eq!(server.log().matches("/#/setup/").count(), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_crash_and_a_swap_and_ends_when_it_is_ended() {
    let mut server = Setup::default().set("plugins.auth.refresh_grace", "0s").start().await;
    let (status, tokens) = post(&server, "sign-in", &proof(&server, 1).await).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let token = text(&tokens, "access_token").to_owned();
    server.restart().await;
    assert_eq!(get(&server, "me", &token).await.0, StatusCode::OK);
    server.control(&["swap", "auth"]).await;
    assert_eq!(get(&server, "me", &token).await.0, StatusCode::OK);
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    let (status, refreshed) = post(&server, "refresh", &body).await;
    assert_eq!(status, StatusCode::OK, "{refreshed}");
    let (status, problem) = post(&server, "refresh", &body).await;
    assert_eq!(
        (status, text(&problem, "type")),
        (StatusCode::UNAUTHORIZED, "urn:streamgate:problem:refresh-reused")
    );
    assert_eq!(get(&server, "me", &token).await.0, StatusCode::UNAUTHORIZED);

    // Public addresses need no session.
    let contents = client().get(server.url("/api/v1/contents")).send().await.expect("an answer");
    assert_eq!(contents.status(), StatusCode::OK);
    let keys = server.json("/.well-known/jwks.json").await.expect("keys");
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_posts_of_one_signature_over_http_give_one_session() {
    let server = Setup::default()
        .set("plugins.auth.attempts_per_address", 1_000)
        .set("plugins.auth.attempts_per_wallet", 1_000)
        .start()
        .await;
    let proof = proof(&server, 1).await;
    let answers = join_all((0..100).map(|_| post(&server, "sign-in", &proof))).await;
    let good: Vec<_> = answers.iter().filter(|(status, _)| *status == StatusCode::OK).collect();
    assert_eq!(good.len(), 1);
    let others = answers.iter().filter(|(status, _)| *status != StatusCode::OK);
    let others: Vec<_> = others.map(|(_, problem)| text(problem, "type")).collect();
    assert!(others.iter().all(|kind| *kind == "urn:streamgate:problem:unknown-nonce"), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_for_the_owner_of_the_files_and_in_no_log() {
    let server = Setup::default()
        .set("kernel.log.level", "trace")
        .set("plugins.gateway.access_log", "all")
        .start()
        .await;
    let folder = server.data_dir().join("auth");
    let token_file = folder.join("admin-token");
    for file in [&token_file, &folder.join("signing-keys.json")] {
        let mode = fs::metadata(file).expect("it was made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let admin = fs::read_to_string(&token_file).expect("readable").trim().to_owned();
    let (status, audit) = get(&server, "audit", &admin).await;
    assert_eq!(status, StatusCode::OK, "{audit}");
    let proof = proof(&server, 1).await;
    let (_, tokens) = post(&server, "sign-in", &proof).await;
    assert_eq!(get(&server, "me", text(&tokens, "access_token")).await.0, StatusCode::OK);
    server.logged("/api/v1/auth/me").await;
    let log = server.log();
    for secret in [
        admin.as_str(),
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
        text(&proof, "signature"),
    ] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}
