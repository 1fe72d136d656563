//! Signing in at the console in headless Chromium, with wallets whose keys are known
//! (`tests/players/wallet.mjs`).

use std::process::Command;

use streamgate_tests::server::Setup;
use streamgate_tests::tools;

#[tokio::test(flavor = "multi_thread")]
async fn people_set_up_sign_in_with_wallets_and_look_after_their_accounts_in_the_console() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let server = Setup::default()
        // As short as it may be, so that tokens are renewed within the test.
        .set("plugins.auth.access_ttl", "30s")
        .start()
        .await;
    let setup = server.setup_url().await;
    let mut visit = Command::new("node");
    visit.arg(dir.join("wallet.mjs")).arg(server.url("")).arg(setup).current_dir(&dir);
    let output = tools::run(&mut visit).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
