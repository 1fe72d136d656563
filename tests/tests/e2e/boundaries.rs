//! Rules of the source tree that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::repository;

/// The keyword, which this file may not contain either.
const KEYWORD: &str = concat!("un", "safe");

/// Fixtures with another boundary layout than ours, to be refused.
const OTHER_BOUNDARIES: [&str; 5] = [
    "kernel/tests/fixtures/blob.rs",
    "kernel/tests/fixtures/crash.rs",
    "kernel/tests/fixtures/layout.rs",
    "kernel/tests/fixtures/newer.rs",
    "kernel/tests/fixtures/older.rs",
];

/// Rooms of plugins: a folder and the file beside it, and what neither may import.
const ROOMS: [(&str, &[&str]); 7] = [
    ("plugins/identity/auth/src/session", &["people", "filters", "sign_in", "auth", "routes"]),
    ("plugins/identity/auth/src/people", &["filters", "sign_in", "auth", "routes"]),
    ("plugins/identity/auth/src/filters", &["sign_in", "auth", "routes"]),
    ("plugins/identity/auth/src/sign_in", &["auth", "routes"]),
    ("plugins/media/streaming/src/object", &["manifest", "gate", "routes"]),
    ("plugins/media/streaming/src/manifest", &["gate", "routes"]),
    ("plugins/media/streaming/src/gate", &["manifest", "routes"]),
];

/// Files that git tracks or would add, below a folder of the repository.
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

/// `file:line: text` of every wrong line.
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
    let found = lines(&rust("kernel"), |_, line| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_compiler_is_overruled_in_the_abi_and_the_loader_only() {
    let found = lines(&rust("."), |file, line| {
        let allowed = file.starts_with("plugin-api/src/abi")
            || file == Path::new("kernel/src/loader.rs")
            || OTHER_BOUNDARIES.iter().any(|fixture| file == Path::new(fixture));
        // The lint's own name in an attribute is not a use.
        let line = line.replace(&format!("{KEYWORD}_code"), "");
        !allowed && line.contains(KEYWORD)
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_the_sdk_and_the_loader_name_the_library_that_lays_out_the_abi() {
    let library = concat!("abi", "_stable");
    let found = lines(&rust("."), |file, line| {
        let allowed = file.starts_with("plugin-api/src")
            || file == Path::new("kernel/src/loader.rs")
            || OTHER_BOUNDARIES.iter().any(|fixture| file == Path::new(fixture));
        !allowed && line.contains(library)
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_plugin_links_another_plugin_or_the_kernel() {
    let shared =
        ["streamgate-plugin-api", "streamgate-contracts", "streamgate-captions", "streamgate-chain-common"];
    let mut manifests = files("plugins");
    manifests.retain(|path| path.ends_with("Cargo.toml"));
    assert!(manifests.len() >= 9, "{manifests:#?}");
    for manifest in manifests {
        let text = fs::read_to_string(&manifest).expect("readable");
        let document: toml_edit::DocumentMut = text.parse().expect("TOML");
        // Its tests may use it.
        for section in ["dependencies", "build-dependencies"] {
            let Some(table) = document.get(section).and_then(|item| item.as_table_like()) else {
                continue;
            };
            for (name, _) in table.iter() {
                assert!(
                    !name.starts_with("streamgate-") || shared.contains(&name),
                    "{} depends on {name}",
                    manifest.display()
                );
            }
        }
    }
}

#[test]
fn the_kernel_stays_small() {
    let code: usize = rust("kernel/src")
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).expect("readable");
            text.lines()
                .take_while(|line| !line.starts_with("#[cfg(test)]"))
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with("//"))
                .count()
        })
        .sum();
    assert!(code <= 2_000, "{code} lines of code without tests");
}

/// The modules of the kernel, each with the modules that it names.
fn kernel_modules() -> BTreeMap<String, BTreeSet<String>> {
    let files = rust("kernel/src");
    let stem = |file: &PathBuf| file.file_stem().expect("a name").to_string_lossy().into_owned();
    let known: BTreeSet<_> = files.iter().map(stem).collect();
    let named = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("readable");
        let names = text
            .split("crate::")
            .skip(1)
            .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>());
        names.filter(|name| known.contains(name)).collect()
    };
    files.iter().map(|file| (stem(file), named(file))).collect()
}

/// All modules that one names, directly or indirectly; itself only in a cycle.
fn reached(modules: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = modules[from].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module.clone()) {
            next.extend(&modules[module]);
        }
    }
    reached
}

#[test]
fn the_modules_of_the_kernel_name_one_another_in_one_direction() {
    let modules = kernel_modules();
    for name in modules.keys() {
        assert!(!reached(&modules, name).contains(name), "{name} is in a circle: {modules:#?}");
    }
    // The wanted state, the running state, and the change between them.
    assert!(reached(&modules, "change").contains("runs"), "{modules:#?}");
    assert!(reached(&modules, "runs").contains("composition"), "{modules:#?}");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let homes = [concat!("/ho", "me/"), concat!("/ro", "ot/")];
    let found = lines(&files("."), |_, line| homes.iter().any(|home| line.contains(home)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn rooms_of_a_plugin_know_each_other_in_one_direction() {
    for (room, others) in ROOMS {
        let inside = [rust(&format!("{room}/")), rust(&format!("{room}.rs"))].concat();
        let found = lines(&inside, |_, line| {
            let imports = others.iter().any(|other| line.contains(&format!("crate::{other}::")));
            imports && !line.trim_start().starts_with("//")
        });
        assert!(found.is_empty(), "{room}: {found:#?}");
    }
}
