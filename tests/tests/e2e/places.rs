//! Concurrent streams of restricted content, from outside: players end with the sign-in that started them,
//! and only active players count.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use streamgate_tests::server::{Server, Setup, client};
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, tus, wallet};

/// The time within which playback must end.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A server with a content for one wallet.
struct Stage {
    server: Server,
    id: String,
}

impl Stage {
    async fn open() -> Self {
        let server = Setup::default().start().await;
        let clip = clips::plain("320x180", "25", 4.0);
        let id = tus::upload_file(&server, &clip).await.expect("uploaded");
        server.finished(&id).await;
        let stage = Self { server, id };
        let principal = stage.sign_in().await["principal"].clone();
        let policy = json!({ "openness": "gated", "rule": { "allow_list": { "principals": [principal] } } });
        let url = stage.server.url(&format!("/api/v1/access/contents/{}", stage.id));
        let answer = stage.server.http().put(url).json(&policy).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        stage
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        let url = self.server.url(&format!("/api/v1/auth/{path}"));
        let mut request = client().post(url).json(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        answer.json().await.unwrap_or_default()
    }

    /// Another session of that wallet.
    async fn sign_in(&self) -> Value {
        wallet::sign_in(&self.server, 1).await
    }

    /// Opens the page; returns the media playlist's address with the token of a player.
    async fn open_page(&self, credential: &str) -> String {
        let url = self.server.url(&format!("/v/{}/master.m3u8", self.id));
        let answer = client().get(&url).bearer_auth(credential).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        beside(&url, &first_address(&answer.text().await.expect("text")))
    }

    /// Starts a player; returns the address of a segment that it has fetched.
    async fn play(&self, credential: &str) -> String {
        let segment = segment_of(&self.open_page(credential).await).await;
        assert_eq!(fetch(&segment).await, (200, String::new()));
        segment
    }
}

fn token(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap_or_else(|| panic!("no token in {tokens}"))
}

/// The first line of a playlist that is an address.
fn first_address(playlist: &str) -> String {
    playlist.lines().find(|line| !line.starts_with('#')).expect("an address").to_owned()
}

fn beside(url: &str, address: &str) -> String {
    let (folder, _) = url.split('?').next().and_then(|path| path.rsplit_once('/')).expect("a path");
    format!("{folder}/{address}")
}

/// The first segment of a media playlist, as an anonymous client gets it.
async fn segment_of(playlist: &str) -> String {
    let answer = client().get(playlist).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    beside(playlist, &first_address(&answer.text().await.expect("text")))
}

/// The status of an address, and the last part of the problem's type.
async fn fetch(url: &str) -> (u16, String) {
    let answer = client().get(url).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    (status, kind.trim_start_matches("urn:streamgate:problem:").to_owned())
}

async fn ended(segment: &str) {
    eventually("the end of playing", AT_ONCE, async || {
        (fetch(segment).await == (401, "session-ended".into())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn players_end_with_the_session_or_key_that_they_were_started_with_and_with_no_other() {
    let mut stage = Stage::open().await;
    let (first, second, third) = (stage.sign_in().await, stage.sign_in().await, stage.sign_in().await);
    let wanted = json!({ "name": "player", "scopes": ["content:read"] });
    let key = stage.post("keys", token(&third), &wanted).await;
    let key_text = key["key"].as_str().expect("a key");
    let signs_out = stage.play(token(&first)).await;
    let is_stolen = stage.play(token(&second)).await;
    let goes_on = stage.play(token(&third)).await;
    let of_key = stage.play(key_text).await;

    // A refreshed session is the same session.
    let refresh = json!({ "refresh_token": second["refresh_token"] });
    let refreshed = stage.post("refresh", "", &refresh).await;
    assert_eq!(refreshed["session"], second["session"]);
    let newest = json!({ "refresh_token": refreshed["refresh_token"] });
    assert_eq!(stage.post("refresh", "", &newest).await["session"], second["session"]);
    assert_eq!(fetch(&is_stolen).await.0, 200);

    stage.post("logout", token(&first), &json!({})).await;
    ended(&signs_out).await;
    let again = stage.post("refresh", "", &refresh).await;
    assert_eq!(again["type"], "urn:streamgate:problem:refresh-reused");
    ended(&is_stolen).await;
    let url = stage.server.url(&format!("/api/v1/auth/keys/{}", key["id"].as_str().expect("an id")));
    let revoked = client().delete(url).bearer_auth(token(&third)).send().await.expect("an answer");
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    ended(&of_key).await;
    assert_eq!(fetch(&goes_on).await, (200, String::new()));

    // A crash does not restore ended sessions or end active ones.
    stage.server.restart().await;
    assert_eq!(fetch(&goes_on).await, (200, String::new()));
    for segment in [&signs_out, &is_stolen, &of_key] {
        assert_eq!(fetch(segment).await, (401, "session-ended".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_opened_any_number_of_times_and_the_sixth_player_that_plays_is_refused() {
    let stage = Stage::open().await;
    let tokens = stage.sign_in().await;
    let mut pages = Vec::new();
    for _ in 0..20 {
        pages.push(segment_of(&stage.open_page(token(&tokens)).await).await);
    }
    let (playing, waiting) = pages.split_at(5);
    for segment in playing {
        assert_eq!(fetch(segment).await, (200, String::new()));
    }
    // Another session of the same user does not add to the limit.
    let elsewhere = segment_of(&stage.open_page(token(&stage.sign_in().await)).await).await;
    for segment in [&waiting[0], &elsewhere] {
        for playing in playing {
            assert_eq!(fetch(playing).await.0, 200);
        }
        assert_eq!(fetch(segment).await, (429, "too-many-sessions".into()));
    }
}
