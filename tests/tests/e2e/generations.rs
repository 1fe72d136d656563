//! An encode that is killed while its content is being watched, and restarted with another preset: an address
//! never returns other bytes, players continue to the end, and replaced segments are removed in time.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use streamgate_tests::api::Content;
use streamgate_tests::server::{Server, Setup, config_with};
use streamgate_tests::tus::upload_file;
use streamgate_tests::wait::{eventually, every};
use streamgate_tests::{clips, media, objects, tools};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const PATIENCE: Duration = Duration::from_secs(240);
/// Length of the clip, which takes longer to encode than its first segments to play.
const SECONDS: f64 = 40.0;

fn watched(content: &Content) -> bool {
    content.watchable() && content.renditions.iter().filter(|it| it.segments > 1).count() > 1
}

/// Path and bytes of everything that players may fetch of a content.
async fn answers(server: &Server, content: &Content) -> BTreeMap<String, Bytes> {
    let mut answers = BTreeMap::new();
    for rendition in content.renditions.iter().filter(|it| it.segments > 0) {
        let folder = format!("/v/{}/{}", content.id, rendition.name);
        let segments = (0..rendition.segments).map(|number| format!("{folder}/{number}.m4s"));
        for path in segments.chain([format!("{folder}/init.mp4")]) {
            let answer = server.http().get(server.url(&path)).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            assert!(answer.headers()["cache-control"].to_str().is_ok_and(|it| it.contains("immutable")));
            answers.insert(path, answer.bytes().await.expect("all of it"));
        }
    }
    answers
}

/// How many addresses exist; those have the same bytes.
async fn unchanged(server: &Server, answers: &BTreeMap<String, Bytes>) -> usize {
    let mut there = 0;
    for (path, bytes) in answers {
        let answer = server.http().get(server.url(path)).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => {
                assert_eq!(answer.bytes().await.expect("all of it"), *bytes, "{path} has other bytes");
                there += 1;
            }
            404 | 410 => {}
            status => panic!("{path}: {status}"),
        }
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_has_other_bytes_after_a_kill_and_another_preset_and_the_old_objects_go_in_time() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = config_with(folder.path(), "superfast", "info");
    let setup = Setup::default().config(&config).set("plugins.metadata.replaced_renditions", "20s");
    let mut server = setup.start().await;
    let id = upload_file(&server, &clips::plain("1280x720", "25", SECONDS)).await.expect("uploaded");
    let content = server.content_when(&id, PATIENCE, watched).await;
    assert_ne!(content.state, "ready", "the encode was over before it could be killed");
    let before = answers(&server, &content).await;
    server.kill().await;
    config_with(folder.path(), "ultrafast", "info");
    server.restart().await;

    // Players get all of it until the next generation has as much, and for its retention time after that.
    let mut ticks = every(Duration::from_millis(500));
    let content = loop {
        ticks.tick().await;
        assert_eq!(unchanged(&server, &before).await, before.len(), "an address is gone too early");
        let content = server.content(&id).await.expect("a content");
        if content.settled() || media_of(&server, &content).await.contains(".1/") {
            break content;
        }
    };
    assert!(content.watchable(), "{content:?}");
    let content = server.finished(&id).await;
    unchanged(&server, &before).await;
    media::whole(&server, &content).await.expect("the new generation is whole");

    eventually("the old addresses to go", PATIENCE, async || {
        (unchanged(&server, &before).await == 0).then_some(())
    })
    .await;
    let old = |key: &String| before.keys().any(|path| key.as_str() == path.replacen("/v/", "media/", 1));
    eventually("the old objects to go", PATIENCE, async || {
        (!objects::on_disk(&server).iter().any(old)).then_some(())
    })
    .await;
    media::whole(&server, &content).await.expect("the new generation is still whole");
    objects::no_orphans(&server).await;
    assert!(server.control(&["fsck"]).await.contains("contents with faults: 0"));
    assert_eq!(server.stop().await.code(), Some(0));
}

/// The media playlist of the first rendition.
async fn media_of(server: &Server, content: &Content) -> String {
    let name = &content.renditions.first().expect("a rendition").name;
    let path = format!("/v/{}/{name}/index.m3u8", content.id);
    let answer = server.http().get(server.url(&path)).send().await.expect("an answer");
    answer.text().await.expect("a playlist")
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_began_before_a_kill_reach_the_end() {
    let folder = TempDir::new().expect("a temporary folder");
    play_meanwhile(&folder, async |server| {
        server.kill().await;
        config_with(folder.path(), "ultrafast", "info");
        server.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn players_that_began_before_a_reload_reach_the_end() {
    let folder = TempDir::new().expect("a temporary folder");
    play_meanwhile(&folder, async |server| {
        // With another log level it is swapped regardless of whether it can apply its settings while it runs.
        config_with(folder.path(), "ultrafast", "debug");
        assert_eq!(server.control(&["reload"]).await, "swapped transcoder");
    })
    .await;
}

/// Players play a content from its first segments, and another preset is set in the meantime.
async fn play_meanwhile(folder: &TempDir, change: impl AsyncFnOnce(&mut Server)) {
    let dir = tools::node_project("tests/players").expect("the players can be installed from npm");
    let config = config_with(folder.path(), "superfast", "info");
    let mut server = Setup::default().config(&config).start().await;
    let id = upload_file(&server, &clips::plain("1280x720", "25", SECONDS)).await.expect("uploaded");
    server.content_when(&id, PATIENCE, watched).await;
    let mut players = tokio::process::Command::from(Command::new("node"))
        .arg(dir.join("generations.mjs"))
        .args([&server.url(""), &id])
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed");
    let mut lines = BufReader::new(players.stdout.take().expect("its output")).lines();
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("playing"));
    let state = server.content(&id).await.expect("a content").state;
    assert_eq!(state, "playable", "the encode was over before it could be broken off");
    change(&mut server).await;
    while let Some(line) = lines.next_line().await.expect("lines") {
        eprintln!("{line}");
    }
    assert!(players.wait().await.expect("an end").success(), "a player did not reach the end");
    let content = server.finished(&id).await;
    assert!(media_of(&server, &content).await.contains(".1/"), "it was not begun anew");
}
