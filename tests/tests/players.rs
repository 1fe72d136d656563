//! hls.js, dash.js and shaka-player in headless Chromium (`tests/players/play.mjs`).

use std::process::Command;

use streamgate_tests::server::Server;
use streamgate_tests::{clips, tools, tus};

#[tokio::test(flavor = "multi_thread")]
async fn three_players_play_a_content_to_its_end_and_switch_quality() {
    let dir = tools::node_project("tests/players").expect("the players can be installed from npm");
    let server = Server::start().await;
    let clip = clips::plain("1280x720", "25", 11.0);
    let id = tus::upload_file(&server, &clip).await.expect("uploaded");
    server.finished(&id).await;
    let played = tools::run(
        Command::new("node").arg(dir.join("play.mjs")).arg(server.url("")).arg(&id).current_dir(&dir),
    )
    .expect("all players reach the end");
    eprintln!("{}", String::from_utf8_lossy(&played.stdout));
}
