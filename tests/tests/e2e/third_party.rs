//! A plugin outside this workspace: `examples/hello`, which the README shows too. (`examples/webhook` has its
//! own tests.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::{Setup, binary, cache, repository};
use streamgate_tests::tools::run;
use tokio::sync::Mutex;
use toml_edit::{DocumentMut, value};

/// The dependencies of a third party, which must therefore be published.
const PUBLISHED: [&str; 2] = ["streamgate-plugin-api", "streamgate-contracts"];

/// Held while a test builds the examples, or loads the result.
static BUILT: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_a_third_party_is_built_apart_and_runs_beside_the_others() {
    let _built = BUILT.lock().await;
    let target = cache().join("third-party");
    build(&repository().join("examples/hello"));

    let mut server = Setup::default()
        .plugins_in(target.join("debug"))
        .set("plugins.hello.name", "third party")
        .start()
        .await;
    let answer = server.http().get(server.url("/hello")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "Hello, third party!");
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Another compiler lays out Rust's own types differently; none of them crosses the boundary.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_the_nightly_compiler_in_debug_mode_runs_in_the_stable_host() {
    let nightly = Command::new("rustup").args(["run", "nightly", "cargo", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        println!("not shown: no nightly compiler is installed here (rustup toolchain install nightly)");
        return;
    }
    let target = cache().join("nightly");
    run(Command::new("rustup")
        .args(["run", "nightly", "cargo", "build", "--locked", "--manifest-path"])
        .arg(repository().join("examples/hello/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // Those of the compiler that runs this test.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTC"))
    .expect("the example builds");
    let mut server =
        Setup::default().plugins_in(target.join("debug")).set("plugins.hello.name", "nightly").start().await;
    let answer = server.http().get(server.url("/hello")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a text"), "Hello, nightly!");
    assert_eq!(server.stop().await.code(), Some(0));
}

/// Building them needs neither a path of this repository nor a file that is not packaged.
#[test]
fn the_examples_build_against_the_published_files_alone() {
    let home = tempfile::TempDir::new().expect("a temporary folder");
    let target = home.path().join("target");
    run(Command::new(env!("CARGO"))
        .args(["package", "--no-verify", "--allow-dirty", "--target-dir"])
        .arg(&target)
        .args(PUBLISHED.iter().flat_map(|name| ["-p", name]))
        .current_dir(repository()))
    .expect("they are packaged");
    let mut published = Vec::new();
    for file in
        fs::read_dir(target.join("package")).expect("the packages").map(|file| file.expect("a file").path())
    {
        if file.extension().is_some_and(|kind| kind == "crate") {
            run(Command::new("tar").arg("xzf").arg(&file).current_dir(home.path())).expect("it is unpacked");
            published.push(home.path().join(file.file_stem().expect("a name")));
        }
    }
    assert_eq!(published.len(), PUBLISHED.len(), "{published:?}");
    let _built = BUILT.blocking_lock();
    for name in ["hello", "webhook", "chat"] {
        let folder = home.path().join(name);
        run(Command::new("cp").arg("-r").arg(repository().join("examples").join(name)).arg(&folder))
            .expect("it is copied");
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("its manifest");
        fs::write(&manifest, from_registry(&text, &published)).expect("written");
        build(&folder);
    }
}

/// The manifest as it would be elsewhere, with the packages from the registry.
fn from_registry(manifest: &str, published: &[PathBuf]) -> String {
    let mut manifest: DocumentMut = manifest.parse().expect("TOML");
    for name in PUBLISHED {
        if manifest["dependencies"].get(name).is_some() {
            let file = |path: &&PathBuf| {
                path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
            };
            let path = published.iter().find(file).expect("it is published");
            manifest["dependencies"][name] = value("0.1");
            manifest["patch"]["crates-io"][name]["path"] = value(path.to_str().expect("a plain path"));
        }
    }
    manifest.to_string()
}

fn build(folder: &Path) {
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(cache().join("third-party")))
    .expect("the example builds");
}

/// As in its README, except that the plugin API is not published yet.
#[test]
fn a_crate_that_streamgate_writes_builds_passes_its_own_test_and_breaks_no_rule_of_the_kit() {
    let home = tempfile::TempDir::new().expect("a temporary folder");
    let api = repository().join("plugin-api");
    run(Command::new(binary()).args(["new", "my-greeter", "--api"]).arg(api).current_dir(home.path()))
        .expect("it is written");
    let folder = home.path().join("my-greeter");
    // The versions of the workspace, so that the same versions are built.
    fs::copy(repository().join("examples/hello/Cargo.lock"), folder.join("Cargo.lock")).expect("copied");
    run(Command::new(env!("CARGO"))
        .args(["test", "--target-dir"])
        .arg(cache().join("third-party"))
        .env("STREAMGATE", binary())
        .current_dir(&folder))
    .expect("its test passes");
    // The exit code is 1 if a rule is not met.
    run(Command::new(binary())
        .arg("conformance")
        .arg(cache().join("third-party/debug/deps/libstreamgate_my_greeter.so")))
    .expect("it meets the rules");
}

#[test]
fn the_readme_shows_the_code_of_the_example() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md");
    let code = fs::read_to_string(repository().join("examples/hello/src/lib.rs")).expect("the example");
    assert!(readme.contains(&format!("```rust\n{code}```")), "README.md and examples/hello differ");
}
