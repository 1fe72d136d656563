//! A plugin that is no part of this workspace: `examples/hello`, which is also what the README
//! shows.

use std::fs;
use std::process::Command;

use streamgate_tests::server::{Setup, binaries, binary, cache, repository};
use streamgate_tests::tools::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_a_third_party_is_built_apart_and_runs_beside_the_others() {
    let target = cache().join("third-party");
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--manifest-path"])
        .arg(repository().join("examples/hello/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target))
    .expect("the example builds");

    let dirs = [binaries(), target.join("debug")];
    let mut server = Setup::default()
        .set("kernel.plugin_dirs", format!("{dirs:?}"))
        .set("plugins.hello.name", "third party")
        .start()
        .await;
    let answer = server.http().get(server.url("/hello")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "Hello, third party!");
    assert_eq!(server.stop().await.code(), Some(0));
}

/// As its README says, but that the plugin API is not published yet.
#[test]
fn a_crate_that_streamgate_writes_builds_and_passes_its_own_test() {
    let home = tempfile::TempDir::new().expect("a temporary folder");
    let api = repository().join("plugin-api");
    run(Command::new(binary()).args(["new", "my-greeter", "--api"]).arg(api).current_dir(home.path()))
        .expect("it is written");
    let folder = home.path().join("my-greeter");
    // The versions of the workspace, so that the same builds again.
    fs::copy(repository().join("examples/hello/Cargo.lock"), folder.join("Cargo.lock")).expect("copied");
    run(Command::new(env!("CARGO"))
        .args(["test", "--target-dir"])
        .arg(cache().join("third-party"))
        .env("STREAMGATE", binary())
        .current_dir(&folder))
    .expect("its test passes");
}

#[test]
fn the_readme_shows_the_code_of_the_example() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md");
    let code = fs::read_to_string(repository().join("examples/hello/src/lib.rs")).expect("the example");
    assert!(readme.contains(&format!("```rust\n{code}```")), "README.md and examples/hello differ");
}
