//! `streamgate check` finds every mistake of a file in one run, and changes nothing.

use std::fs;
use std::path::Path;

use streamgate_tests::server::{binaries, command, repository};
use tempfile::TempDir;

/// Each mistake of [`FILE`]: the key that must be named, and the expected message.
const MISTAKES: [(&str, &str); 10] = [
    ("kernel.data_dirr", "data_dir"),
    ("kernel.start_deadline", "soon"),
    ("kernel.log.level", "must be"),
    ("plugins.gateway.listen", "nowhere"),
    ("plugins.sqlite.readers", "not between 1 and 64"),
    ("plugins.catalog", "libstreamgate_catalog.so"),
    ("plugins.second", "not the plugin"),
    ("plugins.upload.enabld", "enabled"),
    ("plugins.worker", "must be"),
    ("plugins.streaming", "storage"),
];

const FILE: &str = r#"
[kernel]
data_dirr = "data"
data_dir = "DATA"
plugin_dirs = ["PLUGINS"]
start_deadline = "soon"

[kernel.log]
level = 5

[plugins.gateway]
listen = "nowhere"

[plugins.sqlite]
readers = 0

[plugins.second]
file = "libstreamgate_sqlite.so"

[plugins.storage-fs]
enabled = false

[plugins.catalog]

[plugins.metadata]

[plugins.upload]
enabld = true

[plugins.streaming]

[plugins.worker]
required = "yes"
"#;

fn written(home: &Path) -> std::path::PathBuf {
    let file = home.join("plugins.toml");
    let text = FILE
        .replace("DATA", &home.join("data").display().to_string())
        .replace("PLUGINS", &binaries().display().to_string());
    fs::write(&file, text).expect("a temporary folder can be written");
    file
}

#[tokio::test]
async fn check_finds_ten_planted_mistakes_in_one_run_and_writes_nothing() {
    let home = TempDir::new().expect("a temporary folder");
    let file = written(home.path());
    let output = command(&["check", "--config", file.to_str().expect("a plain path")], home.path())
        .await
        .expect("check runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = said.lines().collect();
    let missed: Vec<_> = MISTAKES
        .iter()
        .filter(|(key, word)| !lines.iter().any(|line| line.contains(key) && line.contains(word)))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:#?}\nin:\n{said}");
    assert!(said.contains("plugins.toml:3:1"), "no line and column in:\n{said}");
    assert_eq!(output.status.code(), Some(1));
    let left: Vec<_> =
        fs::read_dir(home.path()).expect("readable").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["plugins.toml"], "check wrote something");
}

#[tokio::test]
async fn check_passes_the_default_edition() {
    let home = TempDir::new().expect("a temporary folder");
    let file = repository().join("plugins.toml");
    let dirs = format!("kernel.plugin_dirs={:?}", [binaries()]);
    let output =
        command(&["check", "--config", file.to_str().expect("a plain path"), "--set", &dirs], home.path())
            .await
            .expect("check runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_dir(home.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn a_wrong_environment_variable_and_a_wrong_set_are_named_as_the_place() {
    let home = TempDir::new().expect("a temporary folder");
    let file = home.path().join("plugins.toml");
    fs::write(&file, "").expect("a temporary folder can be written");
    let output = tokio::process::Command::new(streamgate_tests::server::binary())
        .args(["check", "--config"])
        .arg(&file)
        .args(["--set", "kernel.data_dri=x"])
        .env("STREAMGATE_KERNEL__STOP_DEADLINE", "never")
        .output()
        .await
        .expect("check runs");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("--set kernel.data_dri"), "{said}");
    assert!(said.contains("STREAMGATE_KERNEL__STOP_DEADLINE"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn check_names_the_new_place_of_the_keys_of_registries() {
    let home = TempDir::new().expect("a temporary folder");
    let file = home.path().join("plugins.toml");
    let text = format!(
        "[kernel]\ndata_dir = {:?}\nplugin_dirs = [{:?}]\n[plugins.sqlite]\n[plugins.chain-evm]\n\
         chains = [{{ id = 1, registry = \"eip155:1:0xaa\", signer_file = \"key\" }}]\n",
        home.path().join("data"),
        binaries()
    );
    fs::write(&file, text).expect("a temporary folder can be written");
    let output = command(&["check", "--config", file.to_str().expect("a plain path")], home.path())
        .await
        .expect("check runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for key in ["registry", "signer_file"] {
        let key = format!("plugins.chain-evm.chains.0.{key}");
        let found =
            said.lines().any(|line| line.contains(&key) && line.contains("plugins.registry-evm.chains"));
        assert!(found, "{key}: {said}");
    }
    assert!(!output.status.success());
}
