//! The console in headless Chromium (`plugins/entry/console/web/e2e`).

use std::process::Command;

use streamgate_tests::server::{Server, Setup};
use streamgate_tests::{clips, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_uploads_watches_and_manages_contents_in_the_console() {
    let dir =
        tools::node_project("plugins/entry/console/web/e2e").expect("its tools can be installed from npm");
    let server = Server::start().await;
    let clip = clips::plain("1280x720", "25", 11.0);
    let output = tools::run(
        Command::new("node")
            .arg(dir.join("console.e2e.mjs"))
            .arg(server.url(""))
            .arg(&clip)
            .env("SETUP_URL", server.setup_url().await)
            .current_dir(&dir),
    )
    .expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unconfigured_server_is_set_up_in_the_console() {
    let dir =
        tools::node_project("plugins/entry/console/web/e2e").expect("its tools can be installed from npm");
    let as_it_is = Setup::default().set("plugins.auth.public_url", "").set("plugins.auth.origins", "[]");
    let server = as_it_is.start().await;
    let site = format!("http://localhost:{}", server.port());
    let setup = server.setup_url().await.replace("127.0.0.1", "localhost");
    let link = server.control(&["admin", "link"]).await;
    let output = tools::run(
        Command::new("node").arg(dir.join("setup.e2e.mjs")).args([&site, &setup, &link]).current_dir(&dir),
    )
    .expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
