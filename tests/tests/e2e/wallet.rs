//! Users of the console in headless Chromium, with wallets whose keys are known (`tests/players/wallet.mjs`,
//! `access.mjs`).

use std::process::Command;

use streamgate_tests::server::Setup;
use streamgate_tests::{clips, tools, tus};

#[tokio::test(flavor = "multi_thread")]
async fn people_set_up_sign_in_with_wallets_and_look_after_their_accounts_in_the_console() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let server = Setup::default()
        // As short as possible, so that tokens are renewed during the test.
        .set("plugins.auth.access_ttl", "30s")
        .start()
        .await;
    let setup = server.setup_url().await;
    let mut visit = Command::new("node");
    visit.arg(dir.join("wallet.mjs")).arg(server.url("")).arg(setup).current_dir(&dir);
    let output = tools::run(&mut visit).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_looks_after_who_may_watch_and_the_viewer_sees_each_of_it() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let server = Setup::default().set("plugins.access.default", "private").start().await;
    let clip = clips::plain("320x180", "25", 4.0);
    let id = tus::upload_file(&server, &clip).await.expect("uploaded");
    server.finished(&id).await;
    let setup = server.setup_url().await;
    let mut visit = Command::new("node");
    visit.arg(dir.join("access.mjs")).args([&server.url(""), &setup, &id]).current_dir(&dir);
    let output = tools::run(&mut visit).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
