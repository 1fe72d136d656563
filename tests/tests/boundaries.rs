//! Rules of the source tree that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::repository;

/// Files that git knows or would add, below a folder of the repository.
fn files(below: &str) -> Vec<PathBuf> {
    let root = repository();
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", below])
        .current_dir(&root)
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git ls-files: {output:?}");
    String::from_utf8(output.stdout)
        .expect("plain names")
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| root.join(name))
        .filter(|path| path.is_file())
        .collect()
}

fn rust(below: &str) -> Vec<PathBuf> {
    let mut files = files(below);
    files.retain(|path| path.extension().is_some_and(|kind| kind == "rs"));
    assert!(!files.is_empty(), "no Rust file below {below}");
    files
}

/// `file:line: text` of every line that is wrong.
fn lines(files: &[PathBuf], wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let root = repository();
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        let name = file.strip_prefix(&root).expect("a file of the repository");
        for (number, line) in text.lines().enumerate() {
            if wrong(name, line) {
                found.push(format!("{}:{}: {}", name.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_kernel_knows_no_capability_by_name() {
    let words = ["transcod", "hls", "dash", "sqlite", "upload"];
    let found = lines(&rust("kernel/src"), |_, line| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn unsafe_stays_in_the_abi_and_the_loader() {
    let found = lines(&rust("."), |file, line| {
        let allowed = file.starts_with("plugin-api/src/abi")
            || file == Path::new("kernel/src/loader.rs")
            || file == Path::new(file!());
        let code = line.split("//").next().unwrap_or_default();
        !allowed && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_abi_names_the_library_that_lays_it_out() {
    let found = lines(&rust("."), |file, line| {
        let allowed = file.starts_with("plugin-api/src/abi")
            || file == Path::new("kernel/src/loader.rs")
            || file == Path::new(file!());
        let code = line.split("//").next().unwrap_or_default();
        !allowed && (code.contains("abi_stable::") || code.contains("use abi_stable"))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_plugin_links_another_plugin_or_the_kernel() {
    let manifests: Vec<_> =
        files("plugins").into_iter().filter(|path| path.ends_with("Cargo.toml")).collect();
    assert!(manifests.len() >= 9, "{manifests:#?}");
    let found = lines(&manifests, |_, line| {
        let key = line.split(['=', '.']).next().unwrap_or_default().trim();
        key.starts_with("streamgate-") && key != "streamgate-plugin-api" && key != "streamgate-contracts"
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_kernel_stays_small() {
    let code: usize = rust("kernel/src")
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).expect("readable");
            text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
        })
        .sum();
    assert!(code <= 2_400, "{code} lines without tests");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let home = concat!("/ho", "me/");
    let root = concat!("/ro", "ot/");
    let found = lines(&files("."), |file, line| {
        let lock = file.ends_with("package-lock.json") || file.ends_with("Cargo.lock");
        !lock && (line.contains(home) || line.contains(root))
    });
    assert!(found.is_empty(), "{found:#?}");
}
