//! Uploads at a real server of the default edition: concatenation, hand-overs, and swaps of the plugin.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use streamgate_tests::server::{Server, signed_in};
use streamgate_tests::tus::Upload;
use streamgate_tests::{clips, objects, wallet};

async fn creator(server: &Server, seed: u8) -> (String, Client) {
    let tokens = wallet::sign_in(server, seed).await;
    let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("no {name}: {tokens}")).to_owned();
    let (principal, http) = (text("principal"), signed_in(&text("access_token")));
    let role = server.url(&format!("/api/v1/auth/principals/{principal}/roles/creator"));
    let granted = server.http().put(role).send().await.expect("an answer");
    assert!(granted.status().is_success(), "{granted:?}");
    (principal, http)
}

async fn tus(http: &Client, method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http.request(method, url).header("Tus-Resumable", "1.0.0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn created(server: &Server, headers: &[(&str, &str)]) -> String {
    let answer = tus(server.http(), Method::POST, &server.url("/files"), headers).await;
    assert_eq!(answer.status(), 201);
    server.url(answer.headers()["location"].to_str().expect("text"))
}

async fn part(server: &Server, data: Vec<u8>) -> String {
    let url =
        created(server, &[("Upload-Length", &data.len().to_string()), ("Upload-Concat", "partial")]).await;
    let patch = server.http().patch(&url).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
    let patch = patch.header("Content-Type", "application/offset+octet-stream").body(data);
    let answer = patch.send().await.expect("an answer");
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap_or_default());
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_joined_in_the_default_edition_and_leave_nothing() {
    let server = Server::start().await;
    let file = std::fs::read(clips::plain("320x180", "25", 2.0)).expect("a clip");
    let (one, two) = file.split_at(file.len() / 3);
    let parts = [part(&server, one.to_vec()).await, part(&server, two.to_vec()).await];
    let unused = part(&server, b"of no use".to_vec()).await;
    let concat = format!("final;{}", parts.join(" "));
    let whole = created(&server, &[("Upload-Concat", &concat)]).await;
    let id = whole.rsplit('/').next().expect("an id").to_owned();
    assert_eq!(server.finished(&id).await.state, "ready");
    assert_eq!(tus(server.http(), Method::DELETE, &unused, &[]).await.status(), 204);
    objects::no_orphans(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_hand_over_the_upload_is_the_new_owners_too() {
    let server = Server::start().await;
    let ((_, ann), (bob_id, bob)) = (creator(&server, 1).await, creator(&server, 2).await);
    let data = std::fs::read(clips::plain("320x180", "25", 2.0)).expect("a clip");
    let begin = async || {
        let length = data.len() as u64;
        let files = server.url("/files");
        Upload::create_at(ann.clone(), &files, length, &[("filename", "a.mp4")]).await.expect("created")
    };
    let hand_over = async |id: &str| {
        let url = server.url(&format!("/api/v1/contents/{id}/owner"));
        let answer = ann.put(url).json(&json!({ "owner": bob_id })).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    };
    let status =
        async |http: &Client, method: Method, url: &str| tus(http, method, url, &[]).await.status().as_u16();

    let (whole, unfinished) = (begin().await, begin().await);
    whole.patch(0, data.clone()).await.expect("taken");
    server.finished(&whole.id).await;
    unfinished.patch(0, data[..1_000].to_vec()).await.expect("taken");
    for upload in [&whole, &unfinished] {
        hand_over(&upload.id).await;
        assert_eq!(status(&ann, Method::HEAD, &upload.url).await, 404);
        assert_eq!(status(&ann, Method::DELETE, &upload.url).await, 404);
        assert_eq!(status(&bob, Method::HEAD, &upload.url).await, 200);
    }
    assert!(unfinished.patch(1_000, data[1_000..].to_vec()).await.is_err());
    let content = server.url(&format!("/api/v1/contents/{}", whole.id));
    let content: Value = bob.get(content).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&content["state"], &content["owner"]), (&json!("ready"), &json!(bob_id)), "{content}");

    // Bob resumes ann's unfinished upload, and ends his own.
    let patch = bob.patch(&unfinished.url).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 1_000);
    let patch = patch.header("Content-Type", "application/offset+octet-stream").body(data[1_000..].to_vec());
    assert_eq!(patch.send().await.expect("an answer").status(), 204);
    assert_eq!(server.finished(&unfinished.id).await.state, "ready");
    assert_eq!(status(&bob, Method::DELETE, &whole.url).await, 204);
    assert!(server.content(&whole.id).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_upload_is_handed_over_to_who_has_room_for_all_of_it() {
    let server = Server::start().await;
    let ((_, ann), (bob_id, _)) = (creator(&server, 1).await, creator(&server, 2).await);
    let limits = server.url(&format!("/api/v1/auth/principals/{bob_id}/quota"));
    let set = server.http().put(limits).json(&json!({ "stored": 1_000 })).send().await.expect("an answer");
    assert!(set.status().is_success(), "{set:?}");
    for (length, status) in [(1_001, 507), (1_000, 204)] {
        let upload =
            Upload::create_at(ann.clone(), &server.url("/files"), length, &[]).await.expect("created");
        upload.patch(0, vec![0; 100]).await.expect("taken");
        let url = server.url(&format!("/api/v1/contents/{}/owner", upload.id));
        let answer = ann.put(url).json(&json!({ "owner": bob_id })).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{length}: {}", answer.text().await.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_swap_ends_an_upload_that_was_answered() {
    let server = Server::start().await;
    let over = AtomicBool::new(false);
    let create = async || {
        let mut made = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let headers = [("Upload-Length", "10")];
            let answer = tus(server.http(), Method::POST, &server.url("/files"), &headers).await;
            if answer.status() == 201 {
                made.push(server.url(answer.headers()["location"].to_str().expect("text")));
            }
        }
        made
    };
    let swap = async {
        for _ in 0..8 {
            server.control(&["swap", "upload"]).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (a, b, c, d, ()) = tokio::join!(create(), create(), create(), create(), swap);
    let made = [a, b, c, d].concat();
    assert!(made.len() > 20, "only {} uploads", made.len());
    for url in made {
        assert_eq!(tus(server.http(), Method::HEAD, &url, &[]).await.status(), 200, "{url}");
    }
}
