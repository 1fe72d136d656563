//! The media of the cases in hls.js, dash.js, shaka-player and the browser's own HLS in headless Chromium
//! (`tests/players/cases.mjs`): each is played to its end. They are in a separate folder, named by
//! `STREAMGATE_TEST_CASES`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use streamgate_tests::server::Server;
use streamgate_tests::{objects, tools, tus};

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_cases_plays_to_its_end_in_four_players() {
    let Some(cases) = std::env::var_os("STREAMGATE_TEST_CASES").map(|it| PathBuf::from(it).join("media"))
    else {
        eprintln!("skipped: STREAMGATE_TEST_CASES names no folder of cases");
        return;
    };
    let dir = tools::node_project("tests/players").expect("the players can be installed from npm");
    let server = Server::start().await;
    let mut uploads = Vec::new();
    for file in files(&cases) {
        let id = tus::upload_file(&server, &file).await.expect("uploaded");
        uploads.push((file.file_name().expect("a file").to_string_lossy().into_owned(), id));
    }

    let (mut list, mut wrong) = (Vec::new(), Vec::new());
    for (name, id) in &uploads {
        let content = server.settled(id).await;
        if content.state == "failed" {
            wrong.push(format!("{name} is refused: {}", content.reason.unwrap_or_default()));
            continue;
        }
        let has = |kind: &str| content.renditions.iter().any(|rendition| rendition.kind == kind);
        list.push(json!({
            "name": name,
            "id": id,
            "duration": content.duration,
            "picture": has("video"),
            "sound": has("audio"),
        }));
    }
    let path = server.data_dir().with_file_name("cases.json");
    fs::write(&path, json!(list).to_string()).expect("the server's folder can be written");
    let played = tools::run(
        Command::new("node").arg(dir.join("cases.mjs")).arg(server.url("")).arg(&path).current_dir(&dir),
    );
    match played {
        Ok(played) => eprintln!("{}", String::from_utf8_lossy(&played.stdout)),
        Err(error) => wrong.push(format!("{error:#}")),
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    objects::no_orphans(&server).await;
}

/// The files of the folder, without the one that describes them; in order of name.
fn files(folder: &PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind != "md"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no file", folder.display());
    files
}
