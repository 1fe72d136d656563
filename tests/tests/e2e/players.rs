//! hls.js, dash.js, shaka-player and the browser's own HLS in headless Chromium
//! (`tests/players/play.mjs`).

use std::process::Command;

use streamgate_tests::server::{Server, Setup};
use streamgate_tests::{clips, tools, tus};

#[tokio::test(flavor = "multi_thread")]
async fn four_players_play_a_content_to_its_end_and_switch_quality() {
    play_everywhere(&Server::start().await, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_players_play_what_is_gated_while_its_decisions_run_out_again_and_again() {
    let server = Setup::default()
        .set("plugins.access.default", "private")
        .set("plugins.access.decision_max_age", "2s")
        .start()
        .await;
    let token = server.admin_token().expect("the first admin has one");
    play_everywhere(&server, &[("BEARER", &token)]).await;
}

async fn play_everywhere(server: &Server, environment: &[(&str, &str)]) {
    let dir = tools::node_project("tests/players").expect("the players can be installed from npm");
    let clip = clips::plain("1280x720", "25", 11.0);
    let id = tus::upload_file(server, &clip).await.expect("uploaded");
    server.finished(&id).await;
    let played = tools::run(
        Command::new("node")
            .arg(dir.join("play.mjs"))
            .args([&server.url(""), &id])
            .envs(environment.iter().copied())
            .current_dir(&dir),
    )
    .expect("all players reach the end");
    eprintln!("{}", String::from_utf8_lossy(&played.stdout));
}
