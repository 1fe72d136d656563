//! The manifest is the grant: a plugin that requests more is refused by each callee, and the refusal is
//! recorded.

use std::time::Duration;

use streamgate_tests::clips;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::tus::upload_file;
use streamgate_tests::wait::eventually;

/// A server with the prowler beside the plugins of the default edition.
async fn prowled() -> Server {
    Setup::default().with_fixtures().set("plugins.prowler.required", true).start().await
}

async fn tried(server: &Server, what: &str) -> String {
    let answer = server.http().get(server.url(&format!("/prowler/{what}"))).send().await.expect("an answer");
    answer.text().await.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_in_a_process_of_its_own_may_not_have_it_does_not_get_and_it_is_in_the_audit_log() {
    let mut server = prowled().await;
    let id = upload_file(&server, &clips::plain("320x180", "25", 2.0)).await.expect("uploaded");
    server.finished(&id).await;
    let before = server.json(&format!("/api/v1/contents/{id}")).await.expect("a content");

    for (what, refused) in [
        ("namespace/auth", "PermissionDenied: access denied for prowler: to read the namespace `auth`"),
        (format!("media/{id}").as_str(), "403 Forbidden: "),
        ("capability/catalogue", "403 Forbidden: "),
        ("mounts", "0 prefixes"),
        (format!("deleted/{id}").as_str(), "access denied for prowler: to publish on"),
    ] {
        let answer = tried(&server, what).await;
        assert!(answer.starts_with(refused), "{what}: {answer}");
    }

    assert_eq!(server.json(&format!("/api/v1/contents/{id}")).await.expect("a content"), before);
    let wanted = [
        ("sqlite", "to read the namespace `auth`", "plugins.sqlite.grants.auth.prowler = \"read\""),
        ("storage-fs", "to change the bucket `media`", "plugins.storage-fs.grants.media.prowler = \"write\""),
        ("kernel", "the capability `catalogue`", "uses: [\"catalogue\"]"),
        ("kernel", "the public prefixes of the plugins", "ingress: true"),
        ("kernel", "to publish on", "publishes: [\"content.*.deleted\"]"),
    ];
    let kept = eventually("the refusals in the audit log", Duration::from_secs(30), async || {
        let page = server.json("/api/v1/auth/audit?limit=100").await.ok()?;
        let entries: Vec<_> = page["items"].as_array()?.clone();
        let refused: Vec<_> =
            entries.into_iter().filter(|entry| entry["action"] == "plugin.refused").collect();
        (refused.len() >= wanted.len()).then_some(refused)
    })
    .await;
    assert_eq!(kept.len(), wanted.len(), "{kept:#?}");
    for (by, asked, line) in wanted {
        let found = kept.iter().any(|entry| {
            let detail = entry["detail"].as_str().unwrap_or_default();
            entry["outcome"] == "refused"
                && entry["subject"] == "prowler"
                && entry["address"] == by
                && detail.contains(asked)
                && detail.contains(line)
        });
        assert!(found, "{by} {asked}: {kept:#?}");
    }
    let said = server.control(&["plugins", "prowler"]).await;
    for words in ["database (of sqlite)", "storage (of storage-fs)", "in its own process"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("receives events"), "{said}");
    let (code, _, error) = server.try_control(&["plugins", "prowlr"]).await;
    assert_eq!((code, error.contains("prowler")), (Some(1), false), "{error}");
    assert_eq!(server.stop().await.code(), Some(0));
}
