//! No loss goes unnoticed at a real server: objects, rows, whole databases, and who changed what.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use streamgate_tests::server::{Server, Setup, repository};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that keeps uploads and publishes nothing.
fn store() -> Setup {
    let off = ["transcoder", "streaming", "console", "access", "chain-evm", "chain-solana"];
    let setup =
        off.iter().fold(Setup::default(), |setup, name| setup.set(&format!("plugins.{name}.enabled"), false));
    setup.set("plugins.metadata.gated", false)
}

async fn uploaded(server: &Server, bytes: &'static [u8]) -> String {
    let length = u64::try_from(bytes.len()).expect("short");
    let upload = Upload::create(server, length, &[("filename", "film.mp4")]).await.expect("created");
    upload.patch(0, bytes).await.expect("taken");
    eventually("the upload to be complete", PATIENCE, async || {
        let contents = server.contents().await.ok()?;
        contents.iter().any(|content| content.id == upload.id && content.state != "uploading").then_some(())
    })
    .await;
    upload.id
}

/// The findings of `streamgate fsck --json`, with its exit code.
async fn fsck(server: &Server, more: &[&str]) -> (Vec<(String, String)>, Option<i32>) {
    let (code, text, _) = server.try_control(&[&["fsck", "--json"], more].concat()).await;
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let found = lines.filter_map(|line| Some((word(&line["finding"])?, word(&line["content"])?))).collect();
    (found, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_objects_lost_rows_and_lost_databases_are_reported() {
    let mut server = store().start().await;
    let (kept, lost) = (uploaded(&server, b"kept").await, uploaded(&server, b"lost").await);
    assert_eq!(fsck(&server, &[]).await, (vec![], Some(0)));
    let words = server.control(&["fsck"]).await;
    assert!(
        words == "looked at 2 contents and 2 objects; contents with faults: 0, without a row: 0",
        "{words}"
    );

    let media = server.data_dir().join("storage-fs/objects/media");
    fs::remove_file(media.join(&lost).join("source")).expect("an object");
    const ORPHAN: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
    fs::create_dir(media.join(ORPHAN)).expect("a folder");
    fs::write(media.join(ORPHAN).join("source"), "nobody's").expect("an object");
    let found = |kind: &str, id: &str| (kind.to_owned(), id.to_owned());
    let all = vec![found("source-missing", &lost), found("objects-without-content", ORPHAN)];
    assert_eq!(fsck(&server, &[]).await, (all, Some(6)));
    assert!(media.join(&kept).join("source").exists() && media.join(ORPHAN).join("source").exists());
    let (code, _, error) = server.try_control(&["fsk"]).await;
    assert!(code == Some(2) && error.contains("fsck"), "{error}");

    server.stop().await;
    assert_eq!(server.try_control(&["fsck"]).await.0, Some(3));
    fs::remove_dir_all(server.data_dir().join("sqlite")).expect("the databases");
    server.spawn().expect("streamgate starts");
    server.logged("the databases were lost").await;
    eventually("the catalogue to be unhealthy", PATIENCE, async || {
        let (_, health, _) = server.try_control(&["health", "--json"]).await;
        let health: Value = serde_json::from_str(&health).ok()?;
        let plugins = health["plugins"].as_array()?;
        let metadata = plugins.iter().find(|plugin| plugin["name"] == "metadata")?;
        let reason = metadata["reason"].as_str()?;
        (metadata["status"] == "unhealthy" && reason.contains("begin_anew")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_what_people_on_the_machine_change_are_in_the_audit_log() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("plugins.toml");
    fs::copy(repository().join("plugins.toml"), &config).expect("a configuration");
    let server = store().config(&config).start().await;
    let id = uploaded(&server, b"film").await;
    server.control(&["restart", "upload"]).await;
    // The keeper of the audit log is itself replaced.
    server.control(&["swap", "auth"]).await;
    fs::write(&config, "[plugins.auth]\nno_such_key = 1\n").expect("a configuration");
    assert_eq!(server.try_control(&["reload"]).await.0, Some(1));
    assert_eq!(server.try_control(&["reload", "--dry-run"]).await.0, Some(1));

    let by = format!("uid:{}", rustix::process::getuid().as_raw());
    let log = eventually("all entries", PATIENCE, async || {
        let page = server.json("/api/v1/auth/audit?limit=100").await.ok()?;
        let mut log = page["items"].as_array()?.clone();
        log.reverse();
        let of = |prefix: &str| {
            log.iter().filter(|it| it["action"].as_str().is_some_and(|it| it.starts_with(prefix))).count()
        };
        (of("host.") >= 3 && of("upload.") >= 2).then_some(log)
    })
    .await;
    let brief = |entry: &Value| {
        ["action", "outcome", "subject"].map(|name| entry[name].as_str().unwrap_or_default().to_owned())
    };
    let of = |prefix: &str| -> Vec<_> {
        log.iter().filter(|it| it["action"].as_str().is_some_and(|it| it.starts_with(prefix))).collect()
    };
    let host: Vec<_> = of("host.").into_iter().map(brief).collect();
    let entry = |action: &str, outcome: &str, subject: &str| [action, outcome, subject].map(str::to_owned);
    assert_eq!(
        host,
        [
            entry("host.restart", "changed", "upload"),
            entry("host.swap", "changed", "auth"),
            entry("host.reload", "refused", ""),
        ]
    );
    for it in of("host.") {
        assert_eq!(
            (&it["principal"], &it["address"]),
            (&by.as_str().into(), &"control socket".into()),
            "{it}"
        );
    }
    let detail = of("host.reload")[0]["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("no_such_key"), "{detail}");
    let uploads: Vec<_> = of("upload.").into_iter().map(brief).collect();
    assert_eq!(uploads, [entry("upload.create", "changed", &id), entry("upload.finish", "changed", &id)]);
    for it in of("upload.") {
        assert!(
            it["principal"].as_str().is_some_and(|who| who.len() == 36) && it["address"] == "127.0.0.1",
            "{it}"
        );
    }
}
