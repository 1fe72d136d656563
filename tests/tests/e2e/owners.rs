//! Two creators, a viewer and an admin at a real server: users see, play and change only what they may, by
//! every route, and in the console (`tests/players/owners.mjs`).

use std::process::Command;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, client, signed_in};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, tools, wallet};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose contents are private by default.
async fn closed() -> Server {
    Setup::default().set("plugins.access.default", "private").start().await
}

/// Signs in with a wallet; returns the principal and their client.
async fn sign_in(server: &Server, seed: u8) -> (String, Client) {
    let tokens = wallet::sign_in(server, seed).await;
    let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("no {name}: {tokens}")).to_owned();
    (text("principal"), signed_in(&text("access_token")))
}

async fn creator(server: &Server, seed: u8) -> (String, Client) {
    let (principal, http) = sign_in(server, seed).await;
    let role = server.url(&format!("/api/v1/auth/principals/{principal}/roles/creator"));
    let granted = server.http().put(role).send().await.expect("an answer");
    assert!(granted.status().is_success(), "{granted:?}");
    (principal, http)
}

struct Asked<'a> {
    server: &'a Server,
    id: String,
}

impl Asked<'_> {
    /// The status of a request at a path in which `{id}` stands for the content.
    async fn status(&self, http: &Client, method: &str, path: &str, body: Option<Value>) -> u16 {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = http.request(method, self.server.url(&path.replace("{id}", &self.id)));
        let request = request.header("tus-resumable", "1.0.0");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.expect("an answer").status().as_u16()
    }

    async fn open(&self, owner: &Client, openness: &str) {
        let policy = json!({ "openness": openness });
        let path = "/api/v1/access/contents/{id}";
        assert_eq!(self.status(owner, "PUT", path, Some(policy)).await, 200, "{openness}");
        // Both know about it.
        let seen = if openness == "private" { 404 } else { 200 };
        eventually("strangers see what the policy says", PATIENCE, async || {
            let status = self.status(&client(), "GET", "/api/v1/contents/{id}", None).await;
            (status == seen).then_some(())
        })
        .await;
    }
}

/// An uploaded content, once it is encoded.
async fn ready(server: &Server, owner: &Client, filename: &str) -> String {
    let data = std::fs::read(clips::plain("320x180", "25", 2.0)).expect("a clip");
    let (files, length) = (server.url("/files"), data.len() as u64);
    let begun = Upload::create_at(owner.clone(), &files, length, &[("filename", filename)]).await;
    let upload = begun.expect("created");
    upload.patch(0, data).await.expect("taken");
    eventually("it is ready", PATIENCE, async || {
        let answer = owner.get(server.url(&format!("/api/v1/contents/{}", upload.id))).send().await.ok()?;
        let content: Value = answer.json().await.ok()?;
        (content["state"] == "ready").then_some(())
    })
    .await;
    upload.id
}

async fn listed(server: &Server, http: &Client, query: &str) -> Vec<String> {
    let url = server.url(&format!("/api/v1/contents{query}"));
    let page: Value = http.get(url).send().await.expect("an answer").json().await.expect("JSON");
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_play_and_change_only_what_they_may() {
    let mut server = closed().await;
    let (ann, ann_http) = creator(&server, 1).await;
    let (_, bob_http) = creator(&server, 2).await;
    let (_, viewer) = sign_in(&server, 3).await;
    let (nobody, admin) = (client(), server.client());
    let files = server.url("/files");
    let begun = Upload::create_at(ann_http.clone(), &files, 20, &[("filename", "a.mp4")]).await;
    let upload = begun.expect("created");
    let asked = Asked { server: &server, id: upload.id.clone() };
    let only = [upload.id.clone()];

    // An upload belongs to its creator.
    for method in ["HEAD", "PATCH", "DELETE"] {
        let patch = bob_http.request(Method::from_bytes(method.as_bytes()).expect("a method"), &upload.url);
        let patch = patch.header("tus-resumable", "1.0.0").header("upload-offset", "0");
        let patch = patch.header("content-type", "application/offset+octet-stream").body("");
        assert_eq!(patch.send().await.expect("an answer").status(), 404, "{method}");
    }
    assert_eq!(asked.status(&admin, "HEAD", &format!("/files/{}", upload.id), None).await, 200);
    assert_eq!(upload.patch(0, &b"0123456789abcdefghij"[..]).await.expect("taken"), 20);
    eventually("what is no video has failed", PATIENCE, async || {
        let answer =
            ann_http.get(server.url(&format!("/api/v1/contents/{}", upload.id))).send().await.ok()?;
        let content: Value = answer.json().await.ok()?;
        assert_eq!(content["owner"], ann.as_str(), "{content}");
        (content["state"] == "failed").then_some(())
    })
    .await;

    // Other users learn nothing about a private one and cannot change it.
    let gate = json!({ "openness": "public" });
    let routes = [
        ("GET", "/api/v1/contents/{id}", None),
        ("GET", "/api/v1/contents/{id}/events", None),
        ("GET", "/api/v1/contents/{id}/captions", None),
        ("PATCH", "/api/v1/contents/{id}", Some(json!({ "title": "mine" }))),
        ("POST", "/api/v1/contents/{id}/retry", None),
        ("PUT", "/api/v1/contents/{id}/chapters", Some(json!([]))),
        ("DELETE", "/api/v1/contents/{id}", None),
        ("PUT", "/api/v1/access/contents/{id}", Some(gate)),
        ("DELETE", "/api/v1/access/contents/{id}", None),
        ("POST", "/api/v1/access/contents/{id}/preview", Some(json!({ "wallets": [] }))),
        ("POST", "/api/v1/access/contents/{id}/revoke", Some(json!({ "reason": "no" }))),
        ("GET", "/api/v1/access/contents/{id}/bars", None),
        ("GET", "/api/v1/access/decisions?content={id}", None),
    ];
    for (method, path, body) in &routes {
        let status = asked.status(&bob_http, method, path, body.clone()).await;
        assert_eq!(status, 404, "{method} {path}");
        if *method != "GET" {
            assert_eq!(asked.status(&nobody, method, path, body.clone()).await, 401, "{method} {path}");
            assert_eq!(asked.status(&viewer, method, path, body.clone()).await, 403, "{method} {path}");
        }
    }
    let verdict = async |http: &Client| {
        let url = server.url(&format!("/api/v1/access/contents/{}/me", upload.id));
        let said: Value = http.get(url).send().await.expect("an answer").json().await.expect("JSON");
        said["verdict"].as_str().unwrap_or_else(|| panic!("no verdict: {said}")).to_owned()
    };
    for (http, may) in [(&ann_http, true), (&admin, true), (&bob_http, false), (&viewer, false)] {
        assert_eq!(verdict(http).await, if may { "allowed" } else { "denied" });
    }
    for query in ["", "?owner=me", "?q=a.mp4"] {
        assert_eq!(listed(&server, &ann_http, query).await, only, "{query}");
        assert!(listed(&server, &bob_http, query).await.is_empty(), "{query}");
    }
    assert_eq!(listed(&server, &admin, &format!("?owner={ann}")).await, only);
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_content_is_for_who_has_its_address_and_a_public_one_is_still_its_owners_to_change() {
    let server = closed().await;
    let (_, ann) = creator(&server, 1).await;
    let (_, bob) = creator(&server, 2).await;
    let asked = Asked { server: &server, id: ready(&server, &ann, "b.mp4").await };
    let only = [asked.id.clone()];
    let playlist = "/v/{id}/master.m3u8";
    assert_eq!(asked.status(&bob, "GET", playlist, None).await, 403, "another creator does not play it");
    assert_eq!(asked.status(&ann, "GET", playlist, None).await, 200);
    assert_eq!(asked.status(&server.client(), "GET", playlist, None).await, 200);
    asked.open(&ann, "unlisted").await;
    eventually("who has the address plays it", PATIENCE, async || {
        (asked.status(&client(), "GET", playlist, None).await == 200).then_some(())
    })
    .await;
    for query in ["", "?q=b.mp4"] {
        assert!(listed(&server, &client(), query).await.is_empty(), "{query}");
        assert!(listed(&server, &bob, query).await.is_empty(), "{query}");
        assert_eq!(listed(&server, &ann, query).await, only, "{query}");
    }
    asked.open(&ann, "public").await;
    eventually("it is listed", PATIENCE, async || {
        (listed(&server, &client(), "").await == only).then_some(())
    })
    .await;
    for (method, path, body) in [
        ("PATCH", "/api/v1/contents/{id}", Some(json!({ "title": "mine" }))),
        ("DELETE", "/api/v1/contents/{id}", None),
        ("PUT", "/api/v1/access/contents/{id}", Some(json!({ "openness": "private" }))),
    ] {
        assert_eq!(asked.status(&bob, method, path, body).await, 403, "{method} {path}");
    }
    assert_eq!(asked.status(&ann, "DELETE", "/api/v1/contents/{id}", None).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_is_played_until_it_is_taken_back_and_what_is_handed_over_is_the_new_owners() {
    let server = closed().await;
    let (_, ann) = creator(&server, 1).await;
    let (bob_id, bob) = creator(&server, 2).await;
    let (vic_id, vic) = sign_in(&server, 3).await;
    let asked = Asked { server: &server, id: ready(&server, &ann, "c.mp4").await };
    let (playlist, content) = ("/v/{id}/master.m3u8", "/api/v1/contents/{id}");
    let share = |with: &str| format!("{content}/shares/{with}");
    let becomes = async |http: &Client, wanted: u16| {
        eventually(&format!("playing is {wanted}"), PATIENCE, async || {
            (asked.status(http, "GET", playlist, None).await == wanted).then_some(())
        })
        .await;
    };
    assert_eq!(asked.status(&vic, "GET", playlist, None).await, 403);
    let give = |right: &str| Some(json!({ "right": right }));
    assert_eq!(asked.status(&ann, "PUT", &share(&vic_id), give("view")).await, 200);
    becomes(&vic, 200).await;
    assert_eq!(listed(&server, &vic, "?shared=me").await, std::slice::from_ref(&asked.id));
    becomes(&bob, 403).await;
    // By wallet, and by role.
    let wallet = wallet::address(2);
    assert_eq!(asked.status(&ann, "PUT", &share(&wallet), give("edit")).await, 200);
    becomes(&bob, 200).await;
    let rename = Some(json!({ "title": "Bob's" }));
    assert_eq!(asked.status(&bob, "PATCH", content, rename).await, 200);
    let policy = "/api/v1/access/contents/{id}";
    assert_eq!(asked.status(&bob, "PUT", policy, Some(json!({ "openness": "private" }))).await, 200);
    assert_eq!(asked.status(&bob, "DELETE", content, None).await, 403);
    assert_eq!(asked.status(&ann, "DELETE", &share(&vic_id), None).await, 204);
    becomes(&vic, 403).await;
    assert_eq!(asked.status(&vic, "GET", content, None).await, 404);
    assert_eq!(asked.status(&ann, "PUT", &share("role:viewer"), give("view")).await, 200);
    becomes(&vic, 200).await;
    assert_eq!(asked.status(&ann, "DELETE", &share("role:viewer"), None).await, 204);
    becomes(&vic, 403).await;

    let to_vic = Some(json!({ "owner": vic_id }));
    assert_eq!(asked.status(&ann, "PUT", &format!("{content}/owner"), to_vic).await, 422, "no creator");
    let to_bob = Some(json!({ "owner": wallet }));
    assert_eq!(asked.status(&ann, "PUT", &format!("{content}/owner"), to_bob).await, 204);
    becomes(&ann, 403).await;
    assert_eq!(asked.status(&ann, "GET", content, None).await, 404);
    assert_eq!(
        listed(&server, &server.client(), &format!("?owner={bob_id}")).await,
        std::slice::from_ref(&asked.id)
    );
    assert_eq!(asked.status(&bob, "DELETE", content, None).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_console_everybody_sees_and_changes_what_is_theirs_and_nothing_else() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let server = closed().await;
    let setup = server.setup_url().await;
    let clip = clips::plain("320x180", "25", 4.0);
    let mut visit = Command::new("node");
    visit.arg(dir.join("owners.mjs")).args([&server.url(""), &setup]).arg(&clip).current_dir(&dir);
    let output = tools::run(&mut visit).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
