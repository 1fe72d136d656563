//! Sessions, cookies, API keys, roles, the first admin and the audit log.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use futures_util::future::join_all;
use serde_json::{Value, json};
use streamgate_auth::Settings;
use streamgate_contracts::auth::v1::revoke_request::Target;
use streamgate_contracts::auth::v1::{AuditOutcome, AuditRequest, AuthenticateRequest, RevokeRequest, Role};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::changes::{HOST_CHANGED, HostChanged, TYPE_HOST_CHANGED, kept_id};
use streamgate_plugin_api::command::Line;

async fn refresh(life: &Life, tokens: &Value) -> Answer {
    life.post("refresh", json!({ "refresh_token": tokens["refresh_token"] })).await
}

#[tokio::test]
async fn a_session_is_refreshed_until_it_ends_and_a_second_use_ends_it_at_once() {
    let world = World::new();
    let life = world.live(strict()).await;
    let first = life.sign_in(&Wallet::ethereum(1)).await;
    world.pass(600);
    assert_eq!(life.whose(text(&first, "access_token")).await.unwrap_err().r#type, "token-expired");
    let second = refresh(&life, &first).await.json;
    assert!(life.whose(text(&second, "access_token")).await.is_ok());
    let other = life.sign_in(&Wallet::ethereum(1)).await;

    let reused = refresh(&life, &first).await;
    assert_eq!((reused.status, slug(&reused)), (401, "refresh-reused"));
    // The whole family is gone, and nothing else.
    assert_eq!(life.whose(text(&second, "access_token")).await.unwrap_err().r#type, "session-ended");
    assert_eq!(slug(&refresh(&life, &second).await), "invalid-token");
    assert!(life.whose(text(&other, "access_token")).await.is_ok());

    world.pass(31 * 86_400);
    assert_eq!(slug(&refresh(&life, &other).await), "invalid-token");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refreshes_at_once_at_most_one_succeeds() {
    let world = World::new();
    let life = world.live(strict()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let posts = (0..50).map(|_| {
        let (life, tokens) = (life.clone(), tokens.clone());
        tokio::spawn(async move { refresh(&life, &tokens).await.status })
    });
    let good = join_all(posts).await.into_iter().filter(|status| *status.as_ref().unwrap() == 200).count();
    assert_eq!(good, 1);
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_no_session() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let session = text(&tokens, "session");
    // The id of a session is in every access token; it is not secret.
    let made_up = format!("sgr_{session}.{}.{}", "A".repeat(22), "A".repeat(43));
    let answer = life.post("refresh", json!({ "refresh_token": made_up })).await;
    assert_eq!(slug(&answer), "invalid-token");
    assert!(life.whose(text(&tokens, "access_token")).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_at_the_latest_however_often_it_is_refreshed() {
    let world = World::new();
    let life = world.live(settings()).await;
    let mut tokens = life.sign_in(&Wallet::ethereum(1)).await;
    for _ in 0..3 {
        world.pass(29 * 86_400);
        tokens = refresh(&life, &tokens).await.json;
    }
    assert_eq!(tokens["refresh_expires_in"], 3 * 86_400);
    world.pass(3 * 86_400);
    assert_eq!(refresh(&life, &tokens).await.status, 401);
}

#[tokio::test]
async fn logging_out_ends_one_session_or_all_and_at_once() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(text(&life.sign_in(&wallet).await, "access_token").to_owned());
        world.pass(1);
    }
    let list = life.call(&all[0], "GET", "sessions", None).await.json;
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    assert_eq!(list["items"][3]["current"], true);
    let newest = format!("sessions/{}", text(&list["items"][0], "id"));
    assert_eq!(life.call(&all[0], "DELETE", &newest, None).await.status, 204);
    assert_eq!(life.call(&all[0], "DELETE", &newest, None).await.status, 404);
    assert!(life.whose(&all[3]).await.is_err());
    // Another user's session cannot be ended.
    let stranger = life.sign_in(&Wallet::ethereum(2)).await;
    let foreign = format!("sessions/{}", text(&list["items"][3], "id"));
    assert_eq!(life.call(text(&stranger, "access_token"), "DELETE", &foreign, None).await.status, 404);

    assert_eq!(life.call(&all[0], "POST", "logout", None).await.status, 204);
    assert!(life.whose(&all[0]).await.is_err() && life.whose(&all[1]).await.is_ok());
    assert_eq!(life.call(&all[1], "DELETE", "sessions", None).await.status, 204);
    assert!(life.whose(&all[1]).await.is_err() && life.whose(&all[2]).await.is_err());
    assert!(life.whose(text(&stranger, "access_token")).await.is_ok());
}

#[tokio::test]
async fn the_oldest_session_makes_room() {
    let world = World::new();
    let life = world.live(Settings { max_sessions: 2, ..settings() }).await;
    let wallet = Wallet::ethereum(1);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(text(&life.sign_in(&wallet).await, "access_token").to_owned());
        world.pass(1);
    }
    assert!(life.whose(&tokens[0]).await.is_err());
    assert!(life.whose(&tokens[1]).await.is_ok() && life.whose(&tokens[2]).await.is_ok());
}

#[tokio::test]
async fn a_browsers_cookies_are_good_for_its_own_pages_alone() {
    let world = World::new();
    let life = world.live(strict()).await;
    let page = [("origin", SITE)];
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let proof = |mut proof: Value| {
        proof["cookies"] = json!(true);
        Some(proof)
    };
    let from_evil = life.send("POST", "sign-in", &evil, proof(life.proof(&Wallet::ethereum(1)).await)).await;
    assert_eq!(slug(&from_evil), "cross-site");
    let answer = life.send("POST", "sign-in", &page, proof(life.proof(&Wallet::ethereum(1)).await)).await;
    assert_eq!(answer.status, 200);
    // What a page can read contains no token.
    assert!(answer.json.get("access_token").is_none() && answer.json.get("refresh_token").is_none());
    assert!(answer.cookies[0].starts_with("__Host-streamgate_session="));
    let cookies = answer.cookies.join("; ");

    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = vec![("cookie", cookies.clone())];
        all.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    let send = async |method: &str, path: &str, headers: Vec<(&str, String)>, body: Option<Value>| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        life.send(method, path, &headers, body).await
    };
    assert_eq!(send("GET", "me", with(&evil), None).await.status, 200);
    let key = || Some(json!({"name": "k", "scopes": ["content:read"]}));
    for bad in [&evil[..], &[], &[("sec-fetch-site", "same-site")], &[("origin", "null")]] {
        for (method, path, body) in [
            ("POST", "keys", key()),
            ("POST", "logout", None),
            ("DELETE", "sessions", None),
            ("POST", "refresh", Some(json!({}))),
        ] {
            assert_eq!(slug(&send(method, path, with(bad), body).await), "cross-site", "{path} {bad:?}");
        }
    }
    assert_eq!(send("POST", "keys", with(&page), key()).await.status, 201);
    assert_eq!(send("POST", "keys", with(&[("sec-fetch-site", "same-origin")]), key()).await.status, 201);
    let refreshed = send("POST", "refresh", with(&page), Some(json!({}))).await;
    assert_eq!((refreshed.status, refreshed.cookies.len()), (200, 2));
    // The old refresh cookie again: the session has ended, and the cookies are removed.
    let reused = send("POST", "refresh", with(&page), Some(json!({}))).await;
    assert_eq!((slug(&reused), reused.cookies[0].as_str()), ("refresh-reused", "__Host-streamgate_session="));
    assert_eq!(send("POST", "logout", with(&page), None).await.status, 204);
}

#[tokio::test]
async fn the_contract_heeds_cookies_under_the_same_rule() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let cookie = format!("__Host-streamgate_session={}", text(&tokens, "access_token"));
    let ask = |method: &str, origin: &str| AuthenticateRequest {
        cookie: cookie.clone(),
        method: method.into(),
        origin: origin.into(),
        ..AuthenticateRequest::default()
    };
    assert!(life.authenticate(ask("GET", "https://evil.example")).await.is_ok());
    assert!(life.authenticate(ask("PATCH", SITE)).await.is_ok());
    for method in ["PATCH", "POST", "DELETE", ""] {
        let refused = life.authenticate(ask(method, "https://evil.example")).await.unwrap_err();
        assert_eq!((refused.r#type.as_str(), refused.status), ("cross-site", 403));
    }
    let nobody = life.authenticate(AuthenticateRequest::default()).await.unwrap_err();
    assert_eq!((nobody.r#type.as_str(), nobody.status), ("not-signed-in", 401));
    // An invalid bearer token is refused even with a valid cookie.
    let mixed = AuthenticateRequest { authorization: "Bearer x".into(), ..ask("GET", SITE) };
    assert_eq!(life.authenticate(mixed).await.unwrap_err().r#type, "invalid-token");
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_good_for_its_scopes_and_its_time() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let (token, principal) = (text(&tokens, "access_token"), text(&tokens, "principal"));
    let wanted =
        |scopes: &[&str]| Some(json!({"name": "ci", "scopes": scopes, "expires_at": "2026-01-02T00:00:00Z"}));
    let refused = life.call(token, "POST", "keys", wanted(&["content:write"])).await;
    assert_eq!(slug(&refused), "forbidden");
    let grant = format!("principals/{principal}/roles/creator");
    assert_eq!(life.call(&admin, "PUT", &grant, None).await.status, 204);
    let made = life.call(token, "POST", "keys", wanted(&["content:read", "content:write"])).await;
    assert_eq!(made.status, 201);
    let key = text(&made.json, "key").to_owned();
    assert!(key.starts_with(text(&made.json, "prefix")) && key.len() == 47);

    let identity = life.whose(&key).await.unwrap();
    assert_eq!(identity.roles, [Role::Viewer as i32, Role::Creator as i32]);
    let list = life.call(token, "GET", "keys", None).await.json;
    assert!(!list.to_string().contains(&key) && list["items"][0]["last_used_at"].is_string());
    // A key is not a session.
    assert_eq!(slug(&life.call(&key, "GET", "sessions", None).await), "forbidden");
    assert_eq!(slug(&life.call(&key, "POST", "keys", wanted(&["content:read"])).await), "forbidden");
    // It loses the rights that its owner loses.
    assert_eq!(life.call(&admin, "DELETE", &grant, None).await.status, 204);
    assert_eq!(life.whose(&key).await.unwrap().scopes, ["content:read"]);
    world.pass(86_400);
    assert_eq!(life.whose(&key).await.unwrap_err().r#type, "token-expired");

    let token = text(&life.sign_in(&Wallet::ethereum(1)).await, "access_token").to_owned();
    let made =
        life.call(&token, "POST", "keys", Some(json!({"name": "x", "scopes": ["content:read"]}))).await.json;
    let stranger = life.sign_in(&Wallet::ethereum(2)).await;
    let path = format!("keys/{}", text(&made, "id"));
    assert_eq!(life.call(text(&stranger, "access_token"), "DELETE", &path, None).await.status, 404);
    assert_eq!(life.call(&token, "DELETE", &path, None).await.status, 204);
    assert_eq!(life.whose(text(&made, "key")).await.unwrap_err().r#type, "invalid-token");
}

#[tokio::test]
async fn the_first_admin_has_a_token_file_and_an_address_that_is_good_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.auth.bootstrap(&world.directory()).await.unwrap();
    let mode = std::fs::metadata(&first.token_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let read = || std::fs::read_to_string(&first.token_file).unwrap().trim().to_owned();
    let token = read();
    assert!(life.whose(&token).await.unwrap().roles.contains(&(Role::Admin as i32)));

    let code = |url: &str| url.strip_prefix("/#/setup/").unwrap().to_owned();
    let old = code(&first.console_path.unwrap());
    // A restart creates a new code as long as none was used; the token stays.
    let life = world.live(settings()).await;
    let url = life.auth.bootstrap(&world.directory()).await.unwrap().console_path.unwrap();
    assert_eq!(read(), token);
    assert_eq!(slug(&life.post("setup", json!({"code": old})).await), "setup-used");
    let posts = (0..20).map(|_| life.post("setup", json!({"code": code(&url)})));
    let good: Vec<_> = join_all(posts).await.into_iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    assert_eq!(good[0].json["roles"], json!(["viewer", "creator", "admin"]));
    assert!(life.auth.bootstrap(&world.directory()).await.unwrap().console_path.is_none());
    assert_eq!(slug(&life.post("setup", json!({"code": ""})).await), "setup-used");

    // If the file is removed a new token is created, and the previous one is invalid.
    std::fs::remove_file(&first.token_file).unwrap();
    life.auth.bootstrap(&world.directory()).await.unwrap();
    assert_ne!(read(), token);
    assert!(life.whose(&token).await.is_err() && life.whose(&read()).await.is_ok());
    // And a revoked one does not come back with a restart.
    let leaked = read();
    let keys = life.call(&leaked, "GET", "keys", None).await.json;
    let path = format!("keys/{}", text(&keys["items"][0], "id"));
    assert_eq!(life.call(&leaked, "DELETE", &path, None).await.status, 204);
    life.auth.bootstrap(&world.directory()).await.unwrap();
    assert!(life.whose(&leaked).await.is_err() && life.whose(&read()).await.is_ok());
}

#[tokio::test]
async fn an_admin_who_signed_out_signs_in_again_with_the_token_but_not_with_another_key() {
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.auth.bootstrap(&world.directory()).await.unwrap();
    let token = std::fs::read_to_string(&first.token_file).unwrap();
    let code = first.console_path.unwrap();
    let code = code.rsplit('/').next().unwrap();
    let tokens = life.post("setup", json!({"code": code})).await.json;
    let signed_out = life.call(text(&tokens, "access_token"), "POST", "logout", None).await;
    assert_eq!(signed_out.status, 204);

    let back = life.post("admin-session", json!({"token": token})).await;
    assert_eq!((back.status, &back.json["principal"]), (200, &tokens["principal"]));
    assert!(
        life.whose(text(&back.json, "access_token")).await.unwrap().roles.contains(&(Role::Admin as i32))
    );
    let body = || Some(json!({"token": token, "cookies": true}));
    let page = life.send("POST", "admin-session", &[("origin", SITE)], body()).await;
    assert_eq!((page.status, page.cookies.len()), (200, 2));
    assert!(page.json.get("access_token").is_none());
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(slug(&life.send("POST", "admin-session", &evil, body()).await), "cross-site");

    // A key of the same admin and even of the same name, with fewer scopes, does not get more.
    let access = text(&back.json, "access_token");
    let less = json!({"name": "admin-token file", "scopes": ["content:read"]});
    let less = life.call(access, "POST", "keys", Some(less)).await.json;
    let all = json!({"name": "other", "scopes": ["content:read", "content:write", "admin"]});
    let all = life.call(access, "POST", "keys", Some(all)).await.json;
    let stranger = life.sign_in(&Wallet::ethereum(1)).await;
    let wrong = [text(&less, "key"), text(&all, "key"), text(&stranger, "access_token"), "", "sgk_x"];
    for wrong in wrong {
        let refused = life.post("admin-session", json!({"token": wrong})).await;
        assert_eq!((refused.status, slug(&refused)), (401, "invalid-token"), "{wrong}");
    }
}

/// The output of `streamgate admin WORD…`.
async fn command(life: &Life, words: &[&str]) -> Vec<Line> {
    streamgate_plugin_api::command::printed(life.auth.commands(), words).await
}

/// The code of a new link.
async fn link(life: &Life) -> String {
    match &command(life, &["link"]).await[..] {
        [Line::Out(link), Line::Err(_), Line::Exit(0)] => {
            link.strip_prefix(&format!("{SITE}/#/link/")).unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_link_from_the_servers_shell_lets_the_admin_in_once_and_for_a_while() {
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.auth.bootstrap(&world.directory()).await.unwrap();
    let printed = first.console_path.unwrap().rsplit('/').next().unwrap().to_owned();
    let used = async |code: &str| {
        let answer = life.post("setup", json!({"code": code})).await;
        assert_eq!((answer.status, slug(&answer)), (401, "setup-used"), "{:?}", answer.json);
        text(&answer.json, "detail").to_owned()
    };
    let (old, new) = (link(&life).await, link(&life).await);
    assert!(used(&old).await.contains("a newer one was created"));
    assert!(used(&printed).await.contains("has expired"), "a newer one takes its place too");
    let posts = (0..20).map(|_| life.post("setup", json!({"code": new})));
    let good: Vec<_> = join_all(posts).await.into_iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    assert_eq!(good[0].json["roles"], json!(["viewer", "creator", "admin"]));
    let admin = text(&good[0].json, "principal").to_owned();
    assert!(used(&new).await.contains("streamgate admin link"));
    // The server needs no setup any more, and a start prints nothing.
    assert!(life.auth.bootstrap(&world.directory()).await.unwrap().console_path.is_none());

    let late = link(&life).await;
    world.pass(15 * 60);
    assert!(used(&late).await.contains("has expired"));

    // An admin whose role was revoked by others still owns the server.
    let token = std::fs::read_to_string(&first.token_file).unwrap();
    let other = life.sign_in(&Wallet::ethereum(1)).await;
    let role = |principal: &str| format!("principals/{principal}/roles/admin");
    let other_id = text(&other, "principal");
    assert_eq!(life.call(token.trim(), "PUT", &role(other_id), None).await.status, 204);
    let taken = life.call(text(&other, "access_token"), "DELETE", &role(&admin), None).await;
    assert_eq!(taken.status, 204, "{:?}", taken.json);
    let back = life.post("setup", json!({"code": link(&life).await})).await;
    assert_eq!(back.json["roles"], json!(["viewer", "creator", "admin"]));

    let audit = life.call(text(&back.json, "access_token"), "GET", "audit?limit=200", None).await.json;
    let count = |action: &str, detail: &str| {
        let items = audit["items"].as_array().unwrap().iter();
        items.filter(|item| item["action"] == action && text(item, "detail").contains(detail)).count()
    };
    assert_eq!(count("admin.link", "from a shell on the server's machine"), 4);
    assert_eq!(count("sign-in", "by a link of `streamgate admin link`"), 2);
}

#[tokio::test]
async fn other_words_of_that_command_are_usage_errors() {
    let world = World::new();
    let life = world.live(settings()).await;
    life.auth.bootstrap(&world.directory()).await.unwrap();
    for words in [&[][..], &["--help"]] {
        let said = command(&life, words).await;
        assert!(
            matches!(&said[..], [Line::Out(help), Line::Exit(0)] if help.starts_with("streamgate admin link"))
        );
    }
    for words in [&["lnik"][..], &["link", "now"]] {
        let said = command(&life, words).await;
        assert!(
            matches!(&said[..], [Line::Err(help), Line::Exit(2)] if help.contains("streamgate admin link"))
        );
    }
}

#[tokio::test]
async fn tokens_of_the_admin_are_guessed_at_the_pace_of_all_sign_ins() {
    let world = World::new();
    let life = world.live(Settings { attempts_per_address: 3, ..settings() }).await;
    let first = life.auth.bootstrap(&world.directory()).await.unwrap();
    let guess = async || life.post("admin-session", json!({"token": "sgk_guess"})).await.status;
    assert_eq!([guess().await, guess().await, guess().await, guess().await], [401, 401, 401, 429]);
    let token = std::fs::read_to_string(&first.token_file).unwrap();
    assert_eq!(life.post("admin-session", json!({"token": token})).await.status, 429);
    world.pass(60);
    assert_eq!(life.post("admin-session", json!({"token": token})).await.status, 200);
}

#[tokio::test]
async fn only_admins_grant_and_the_last_one_stays() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let (token, principal) = (text(&tokens, "access_token"), text(&tokens, "principal"));
    let role = |role: &str| format!("principals/{principal}/roles/{role}");
    for path in [role("admin"), role("creator")] {
        assert_eq!(slug(&life.call(token, "PUT", &path, None).await), "forbidden");
    }
    for path in ["audit", "principals"] {
        assert_eq!(life.call(token, "GET", path, None).await.status, 403);
        assert_eq!(life.send("GET", path, &[], None).await.status, 401);
    }
    assert_eq!(life.call(&admin, "PUT", &role("emperor"), None).await.status, 400);
    let nobody = "principals/0190163d-8694-739b-aea5-966c26f8ad91/roles/admin";
    assert_eq!(life.call(&admin, "PUT", nobody, None).await.status, 404);
    assert_eq!(life.call(&admin, "PUT", &role("admin"), None).await.status, 204);
    // It takes effect at once, for existing sessions.
    assert!(life.whose(token).await.unwrap().roles.contains(&(Role::Admin as i32)));
    let list = life.call(token, "GET", "principals", None).await.json;
    let first = list["items"].as_array().unwrap().iter().find(|item| item["name"] == "admin").unwrap();
    let take_first = format!("principals/{}/roles/admin", text(first, "id"));
    assert_eq!(life.call(token, "DELETE", &take_first, None).await.status, 204);
    assert_eq!(life.call(&admin, "GET", "audit", None).await.status, 403);
    assert_eq!(slug(&life.call(token, "DELETE", &role("admin"), None).await), "last-admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_who_revoke_each_others_role_at_the_same_time_leave_one() {
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.admin(&world).await;
    let mut admins = Vec::new();
    for seed in 1..=4 {
        let tokens = life.sign_in(&Wallet::ethereum(seed)).await;
        let path = format!("principals/{}/roles/admin", text(&tokens, "principal"));
        assert_eq!(life.call(&first, "PUT", &path, None).await.status, 204);
        admins.push((text(&tokens, "access_token").to_owned(), path));
    }
    let list = life.call(&first, "GET", "principals", None).await.json;
    let of_file = list["items"].as_array().unwrap().iter().find(|item| item["name"] == "admin").unwrap();
    let take_first = format!("principals/{}/roles/admin", text(of_file, "id"));
    assert_eq!(life.call(&admins[0].0, "DELETE", &take_first, None).await.status, 204);
    let takes = (0..admins.len()).map(|at| {
        let (life, own) = (life.clone(), admins[at].0.clone());
        let other = admins[(at + 1) % admins.len()].1.clone();
        tokio::spawn(async move { life.call(&own, "DELETE", &other, None).await })
    });
    let answers: Vec<_> = join_all(takes).await.into_iter().map(Result::unwrap).collect();
    for answer in &answers {
        let known = answer.status == 204 || ["last-admin", "forbidden"].contains(&slug(answer));
        assert!(known, "{answer:?}");
    }
    let mut left = 0;
    for (token, _) in &admins {
        left += usize::from(life.whose(token).await.unwrap().roles.contains(&(Role::Admin as i32)));
    }
    assert!(left >= 1, "no admin is left: {answers:?}");
}

#[tokio::test]
async fn only_an_admin_signs_a_user_out_everywhere() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let wallet = Wallet::ethereum(1);
    let (one, two) = (life.sign_in(&wallet).await, life.sign_in(&wallet).await);
    let other = life.sign_in(&Wallet::ethereum(2)).await;
    let path = format!("principals/{}/sessions", text(&one, "principal"));
    let refused = life.call(text(&other, "access_token"), "DELETE", &path, None).await;
    assert_eq!(slug(&refused), "forbidden");
    assert_eq!(life.send("DELETE", &path, &[], None).await.status, 401);
    assert!(life.whose(text(&one, "access_token")).await.is_ok());

    let ended = life.call(&admin, "DELETE", &path, None).await;
    assert_eq!((ended.status, &ended.json["ended"]), (200, &2.into()));
    for tokens in [&one, &two] {
        assert!(life.whose(text(tokens, "access_token")).await.is_err());
    }
    assert!(life.whose(text(&other, "access_token")).await.is_ok());
    assert_eq!(life.call(&admin, "DELETE", &path, None).await.json["ended"], 0);
    let audit = life.call(&admin, "GET", "audit", None).await.json;
    let entry = audit["items"].as_array().unwrap().iter().find(|entry| entry["subject"] == one["principal"]);
    assert_eq!(entry.unwrap()["action"], "revoke");
    assert_ne!(entry.unwrap()["principal"], "");
}

#[tokio::test]
async fn everything_is_on_record_in_pages_and_no_secret_is() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    let mut forged = life.proof(&Wallet::ethereum(1)).await;
    forged["signature"] = json!("0x00");
    life.post("sign-in", forged).await;
    life.call(token, "GET", "audit", None).await;
    let key =
        life.call(token, "POST", "keys", Some(json!({"name": "x", "scopes": ["content:read"]}))).await.json;
    let entry = AuditRequest {
        action: "content.play".into(),
        outcome: AuditOutcome::Refused.into(),
        principal: text(&tokens, "principal").into(),
        subject: "film".into(),
        detail: "no token\n".repeat(1_000),
        address: "192.0.2.7".into(),
    };
    let id = life.internal.clone().audit(entry).await.unwrap().into_inner().id;
    life.call(token, "POST", "logout", None).await;

    let mut found = Vec::new();
    let mut path = "audit?limit=2".to_owned();
    loop {
        let page = life.call(&admin, "GET", &path, None).await.json;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(items.clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("audit?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let actions: Vec<_> =
        found.iter().rev().map(|item| (text(item, "action"), text(item, "outcome"))).collect();
    assert_eq!(
        actions,
        [
            ("admin-token", "changed"),
            ("sign-in", "granted"),
            ("sign-in", "refused"),
            ("audit.read", "refused"),
            ("key.create", "changed"),
            ("content.play", "refused"),
            ("session.end", "changed"),
        ]
    );
    let play = found.iter().find(|item| item["id"] == id.as_str()).unwrap();
    assert!(text(play, "detail").len() <= 1_000 && !text(play, "detail").contains('\n'));
    let all = json!(found).to_string();
    for secret in [token, text(&tokens, "refresh_token"), text(&key, "key"), &admin] {
        assert!(!all.contains(secret));
    }
    for bad in ["audit?limit=0", "audit?limit=x", "audit?cursor=x", "audit?other=1"] {
        assert_eq!(life.call(&admin, "GET", bad, None).await.status, 400, "{bad}");
    }
    world.pass(366 * 86_400);
    life.auth.tidy().await.unwrap();
    let left = life.call(&admin, "GET", "audit", None).await.json;
    assert_eq!(left["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn changes_by_local_users_are_in_the_audit_log_once_however_often_the_host_publishes_them() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let change = HostChanged {
        id: "0190a0a0-0000-7000-8000-00000000000f".into(),
        at_ms: 1_719_000_000_000,
        action: "host.reload".into(),
        plugin: String::new(),
        by: "uid:1000".into(),
        through: "control socket".into(),
        done: false,
        detail: "the configuration has problems; nothing has changed".into(),
    };
    let event = Event::json(HOST_CHANGED, TYPE_HOST_CHANGED, &change).unwrap();
    for _ in 0..2 {
        let kept = life.auth.keep_change(&event).await.unwrap();
        assert_eq!(kept_id(&kept.subject), Some(change.id.as_str()));
    }
    let page = life.call(&admin, "GET", "audit?principal=uid:1000", None).await.json;
    let items = page["items"].as_array().unwrap();
    let entry = json!({
        "id": change.id, "at": "2024-06-21T20:00:00.000Z", "action": "host.reload", "outcome": "refused",
        "principal": "uid:1000", "subject": "", "detail": change.detail, "address": "control socket",
    });
    assert_eq!(items, &[entry]);
}

#[tokio::test]
async fn what_is_revoked_through_the_contract_ends_at_once() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    let key =
        life.call(token, "POST", "keys", Some(json!({"name": "x", "scopes": ["content:read"]}))).await.json;
    let revoke = async |target| {
        let request = RevokeRequest { target, reason: "a test".into() };
        life.internal.clone().revoke(request).await.map(|answer| answer.into_inner().ended)
    };
    assert_eq!(revoke(Some(Target::Session(text(&tokens, "session").into()))).await.unwrap(), 1);
    assert_eq!(life.whose(token).await.unwrap_err().r#type, "session-ended");
    assert!(life.whose(text(&key, "key")).await.is_ok());
    assert_eq!(revoke(Some(Target::ApiKey(text(&key, "id").into()))).await.unwrap(), 1);
    assert!(life.whose(text(&key, "key")).await.is_err());
    assert_eq!(revoke(Some(Target::ApiKey(text(&key, "id").into()))).await.unwrap(), 0);
    life.sign_in(&Wallet::ethereum(1)).await;
    assert_eq!(revoke(Some(Target::Principal(text(&tokens, "principal").into()))).await.unwrap(), 1);
    assert!(revoke(None).await.is_err());
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_new_key_and_the_keys_are_published() {
    let world = World::new();
    let long =
        || Settings { access_ttl: streamgate_plugin_api::settings::Duration::secs(86_400), ..settings() };
    let life = world.live(long()).await;
    world.pass(30 * 86_400 - 10);
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    world.pass(20);
    life.auth.tidy().await.unwrap();
    let life = world.live(long()).await;
    assert!(life.whose(token).await.is_ok());
    let jwks = life.send("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!(jwks.json["keys"].as_array().unwrap().len(), 2);
    assert_eq!(jwks.json["keys"][0]["alg"], "EdDSA");
    world.pass(2 * 86_400);
    life.auth.tidy().await.unwrap();
    let jwks = life.send("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!(jwks.json["keys"].as_array().unwrap().len(), 1);
}
