//! A content gated by a token on a real chain, watched in headless Chromium
//! (`tests/players/gated.mjs`).

use std::process::Command;

use streamgate_tests::anvil::{Anvil, CHAIN};
use streamgate_tests::server::Setup;
use streamgate_tests::{clips, tools, tus};

#[tokio::test(flavor = "multi_thread")]
async fn playback_follows_the_owner_of_the_token() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let anvil = Anvil::start();
    let ticket = anvil.deploy("Ticket", &[]).await;
    let chain =
        format!("{{ id = {CHAIN}, name = \"Anvil\", endpoints = [\"{}\"], max_age = \"0s\" }}", anvil.url);
    let server = Setup::default()
        .set("plugins.access.enabled", true)
        .set("plugins.streaming.gated", true)
        .set("plugins.chain-evm.enabled", true)
        .set("plugins.chain-evm.allow_private", true)
        .set("plugins.chain-evm.chains", format!("[{chain}]"))
        .start()
        .await;
    // Long enough that it does not end before its viewer's access does.
    let clip = clips::plain("640x360", "25", 30.0);
    let id = tus::upload_file(&server, &clip).await.expect("uploaded");
    server.finished(&id).await;
    let setup = server.setup_url().await;
    let mut watch = Command::new("node");
    watch.arg(dir.join("gated.mjs")).args([&server.url(""), &setup, &id, &anvil.url, &ticket.to_string()]);
    let output = tools::run(watch.current_dir(&dir)).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
