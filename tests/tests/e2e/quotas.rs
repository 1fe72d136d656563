//! Two creators at a real server: one uses up their quota, and the other is not slowed.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, signed_in};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, wallet};

const PATIENCE: Duration = Duration::from_secs(300);

/// A user who may upload.
struct Creator<'a> {
    server: &'a Server,
    id: String,
    http: Client,
}

impl<'a> Creator<'a> {
    async fn new(server: &'a Server, seed: u8) -> Self {
        let tokens = wallet::sign_in(server, seed).await;
        let text = |name: &str| tokens[name].as_str().expect("a text").to_owned();
        let (id, http) = (text("principal"), signed_in(&text("access_token")));
        let role = server.url(&format!("/api/v1/auth/principals/{id}/roles/creator"));
        let granted = server.http().put(role).send().await.expect("an answer");
        assert!(granted.status().is_success(), "{granted:?}");
        Self { server, id, http }
    }

    async fn upload(&self, file: &Path) -> String {
        let data = Bytes::from(tokio::fs::read(file).await.expect("a clip"));
        let length = data.len() as u64;
        let files = self.server.url("/files");
        let name = [("filename", "clip.mp4")];
        let upload = Upload::create_at(self.http.clone(), &files, length, &name).await.expect("created");
        assert_eq!(upload.patch(0, data).await.expect("taken"), length);
        upload.id
    }

    /// The response to the creation of an upload.
    async fn begin(&self, length: u64) -> (u16, Value) {
        let request = self.http.post(self.server.url("/files")).header("Tus-Resumable", "1.0.0");
        let answer = request.header("Upload-Length", length).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn usage(&self) -> Value {
        let answer = self.http.get(self.server.url("/api/v1/quota")).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// The quota that an admin sets for them.
    async fn may(&self, limits: Value) {
        let path = self.server.url(&format!("/api/v1/auth/principals/{}/quota", self.id));
        let set = self.server.http().put(path).json(&limits).send().await.expect("an answer");
        assert!(set.status().is_success(), "{set:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_creator_uses_up_what_they_may_and_the_other_is_not_slowed() {
    let server = Setup::default()
        .set("plugins.auth.quotas", "{ creator = { encodes = 1, encode_minutes = 600 } }")
        .set("plugins.transcoder.jobs", 2)
        .start()
        .await;
    let (ann, bob) = (Creator::new(&server, 1).await, Creator::new(&server, 2).await);
    let clip = clips::plain("320x180", "25", 6.0);

    // Ann fills the queue before bob uploads.
    let mut anns = Vec::new();
    for _ in 0..4 {
        anns.push(ann.upload(&clip).await);
    }
    let bobs = bob.upload(&clip).await;
    let ready = async |id: &str| server.content(id).await.is_ok_and(|content| content.state == "ready");
    let mut most = 0;
    eventually("bob's clip is ready", PATIENCE, async || {
        let usage = ann.usage().await;
        most = most.max(usage["encodes"]["used"].as_u64().expect("a number"));
        ready(&bobs).await.then_some(())
    })
    .await;
    assert!(!ready(&anns[3]).await, "the clip that waits behind three of ann's was encoded before bob's");
    for id in &anns {
        eventually("ann's clip is ready", PATIENCE, async || {
            most = most.max(ann.usage().await["encodes"]["used"].as_u64().expect("a number"));
            ready(id).await.then_some(())
        })
        .await;
    }
    assert_eq!(most, 1, "encodes of ann at a time");

    // Encoded video counts: four times six seconds.
    let spent = async |http: &Client| {
        let url = server.url(&format!("/api/v1/quota?principal={}", ann.id));
        http.get(url).send().await.expect("an answer")
    };
    assert_eq!(spent(&bob.http).await.status(), 403);
    let usage: Value = spent(server.http()).await.json().await.expect("JSON");
    assert_eq!(usage["encode_minutes"]["limit"], 600, "{usage}");
    assert!(usage["encodes"]["waiting"] == 0 && usage["stored"]["limit"].is_null(), "{usage}");

    // An admin lets ann store what she has, and no more.
    let size = std::fs::metadata(&clip).expect("a clip").len();
    let used = ann.usage().await["stored"]["used"].as_u64().expect("a number");
    assert!(used > 4 * size, "{used} bytes: renditions count too");
    ann.may(json!({ "stored": used + 10 })).await;
    assert_eq!(ann.begin(10).await.0, 201);
    let (status, problem) = ann.begin(1).await;
    assert_eq!((status, &problem["used"]), (507, &(used + 10).into()), "{problem}");
    assert!(problem["type"].as_str().expect("a type").ends_with(":quota-stored"), "{problem}");
    assert_eq!(bob.begin(size).await.0, 201);
    // A deletion frees space.
    let gone = ann.http.delete(server.url(&format!("/api/v1/contents/{}", anns[0]))).send().await;
    assert!(gone.expect("an answer").status().is_success());
    assert_eq!(ann.begin(size).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_minutes_left_waits_for_the_next_day_and_states_it() {
    let server =
        Setup::default().set("plugins.auth.quotas", "{ creator = { encode_minutes = 0 } }").start().await;
    let (ann, bob) = (Creator::new(&server, 1).await, Creator::new(&server, 2).await);
    bob.may(json!({ "encode_minutes": "unlimited" })).await;
    let clip = clips::plain("320x180", "25", 2.0);
    let (anns, bobs) = (ann.upload(&clip).await, bob.upload(&clip).await);
    server.finished(&bobs).await;
    let jobs = server.json("/api/v1/jobs?queue=transcode&state=queued").await.expect("jobs");
    let wait = jobs["items"][0]["waits_for"].as_str().unwrap_or_else(|| panic!("no wait: {jobs}"));
    assert!(wait.contains("0 minutes of its owner for today are used up"), "{wait}");
    let content = server.content(&anns).await.expect("a content");
    assert_eq!(content.state, "uploaded");

    // An admin lets it begin.
    ann.may(json!({ "encode_minutes": 5 })).await;
    server.finished(&anns).await;
}
