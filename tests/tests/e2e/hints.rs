//! Events are hints: a plugin that acts on one asks the owner first, and every committed change is published,
//! even over `kill -9`. The other side of the bus is a third-party plugin, the fixture `witness`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use streamgate_tests::random::Chance;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(60);
/// Writers that change a content at the same time.
const CLIENTS: usize = 8;

/// A server that has the witness among its plugins.
fn setup() -> Setup {
    Setup::default().with_fixtures().set("plugins.fixture-witness.required", false)
}

/// Makes the witness publish an event.
async fn say(server: &Server, subject: &str, kind: &str, data: &Value) {
    let url = server.url(&format!("/witness/{subject}/{kind}"));
    let answer = server.http().post(url).body(data.to_string()).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "said");
}

async fn call_deleted(server: &Server, content: &str) {
    let subject = format!("content.{content}.deleted");
    say(server, &subject, "streamgate.content.deleted.v1", &json!({ "id": content })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_a_live_content_deleted_opens_nothing_and_ends_nothing() {
    let server = setup().start().await;
    let upload = Upload::create(&server, 1_000, &[("filename", "a.mp4")]).await.expect("created");
    assert_eq!(upload.patch(0, vec![7; 400]).await.expect("taken"), 400);
    let (id, policy) = (&upload.id, server.url(&format!("/api/v1/access/contents/{}", upload.id)));
    let gate = json!({ "openness": "gated", "rule": { "role": "creator" } });
    let put = server.http().put(&policy).json(&gate).send().await.expect("an answer");
    assert_eq!(put.status(), 200, "{:?}", put.text().await);
    let anybody = streamgate_tests::server::client();
    let playlist = server.url(&format!("/v/{id}/master.m3u8"));
    let status = async || anybody.get(&playlist).send().await.expect("an answer").status().as_u16();
    let closed = status().await;
    assert!([401, 403].contains(&closed), "{closed}");

    call_deleted(&server, id).await;
    // The access control and the uploads query the catalogue until they discard the event.
    eventually("what was said is believed or not", PATIENCE, async || {
        let doubted = server.log().matches("does not confirm").count() >= 2;
        let open = status().await != closed;
        (doubted || open || upload.offset().await.is_err()).then_some(())
    })
    .await;
    assert_eq!(status().await, closed, "it is open to anybody");
    let known: Value = server.json(&format!("/api/v1/access/contents/{id}")).await.expect("a policy");
    assert_eq!(known["openness"], "gated", "{known}");
    assert_eq!(upload.offset().await.expect("the upload is there"), 400);
    assert_eq!(upload.patch(400, vec![7; 100]).await.expect("it continues"), 500);

    // The owner's answer counts.
    let content = server.url(&format!("/api/v1/contents/{id}"));
    assert!(server.http().delete(content).send().await.expect("an answer").status().is_success());
    eventually("the upload to end", PATIENCE, async || upload.offset().await.err()).await;
    eventually("the policy to go", PATIENCE, async || {
        let known = server.json(&format!("/api/v1/access/contents/{id}")).await;
        known.is_ok_and(|known| known["openness"] != "gated").then_some(())
    })
    .await;
}

/// What the witness received: the revisions of each content, and whether it was deleted.
fn heard(server: &Server) -> BTreeMap<String, (Vec<u64>, bool)> {
    let text = std::fs::read_to_string(server.data_dir().join("fixture-witness/heard.jsonl"));
    let mut all: BTreeMap<String, (Vec<u64>, bool)> = BTreeMap::new();
    for line in text.unwrap_or_default().lines() {
        // The last line of a killed process may be cut.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let id = event["data"]["id"].as_str().unwrap_or_default().to_owned();
        let (revisions, deleted) = all.entry(id).or_default();
        revisions.extend(event["data"]["revision"].as_u64());
        *deleted |= event["subject"].as_str().is_some_and(|subject| subject.ends_with(".deleted"));
    }
    all
}

/// Changes the title of a content; returns its new revision.
async fn change(server: &Server, url: &str, title: usize) -> anyhow::Result<u64> {
    let patch = server.http().patch(url).header("content-type", "application/merge-patch+json");
    let answer = patch.body(json!({ "title": title.to_string() }).to_string()).send().await?;
    let answer = answer.error_for_status()?;
    let tag = answer.headers()["etag"].to_str()?.trim_matches('"');
    Ok(tag.split('.').next().unwrap_or(tag).parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_change_is_published_though_the_server_is_killed_at_any_moment() {
    let mut chance = Chance::new();
    let mut server = setup().start().await;
    let mut answered: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    for round in 0..4 {
        let work = async {
            loop {
                let upload = Upload::create(&server, 1_000, &[]).await?;
                let url = server.url(&format!("/api/v1/contents/{}", upload.id));
                // Several at once, each answered with the revision that it created.
                let patches = (0..CLIENTS).map(|title| change(&server, &url, title));
                let revision = try_join_all(patches).await?.into_iter().max().unwrap_or(0);
                answered.insert(upload.id.clone(), (revision, false));
                if answered.len().is_multiple_of(2) {
                    server.http().delete(&url).send().await?.error_for_status()?;
                    answered.insert(upload.id, (revision, true));
                }
            }
            #[allow(unreachable_code)]
            Ok::<(), anyhow::Error>(())
        };
        let moment = Duration::from_millis(300) + chance.within(Duration::from_secs(1));
        let ended = tokio::time::timeout(moment, work).await;
        assert!(ended.is_err(), "round {round}: {ended:?}");
        server.restart().await;
    }
    assert!(!answered.is_empty());
    eventually("every change to be told", PATIENCE, async || {
        let heard = heard(&server);
        let told = answered.iter().all(|(id, (revision, deleted))| {
            let known = heard.get(id);
            known.is_some_and(|(revisions, gone)| {
                (1..=*revision).all(|each| revisions.contains(&each)) && (!deleted || *gone)
            })
        });
        told.then_some(())
    })
    .await;
}
