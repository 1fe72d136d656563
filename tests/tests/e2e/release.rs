//! The parts of a release, made from the binaries of this build: it unpacks, starts as configured, and is
//! described in a way that its readers (systemd, dpkg, the hosted CI) accept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::{Setup, binaries, repository};
use streamgate_tests::tools::{python_project, run};
use tempfile::TempDir;

/// Makes archive and package, in a folder that must persist.
fn assembled() -> TempDir {
    let out = TempDir::with_prefix("release-").expect("a temporary folder");
    let mut assemble = Command::new(repository().join("packaging/assemble"));
    // It is discarded, so it is not compressed.
    assemble
        .args([&binaries(), out.path()])
        .env("COMPRESSION", "none")
        .env("SOURCE_DATE_EPOCH", "1700000000");
    run(&mut assemble).expect("assembled");
    out
}

fn only(folder: &Path, extension: &str) -> PathBuf {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// The output of a system program, or `None` where it is not installed.
fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let missing = Command::new(program).arg("--version").output().is_err();
    if missing {
        eprintln!("{program} is not installed: {arguments:?} was not tried");
        return None;
    }
    let output = run(Command::new(program).args(arguments)).unwrap_or_else(|error| panic!("{error:#}"));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cdylibs(folder: &Path) -> usize {
    fs::read_dir(folder)
        .expect("the plugins")
        .filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with("libstreamgate_")
        })
        .count()
}

/// The dependencies of the package, and which of its files belong to the operator.
fn names_what_it_needs(package: &str) {
    let control = printed("dpkg-deb", &["--field", package]).expect("it is installed");
    for what in ["adduser", "libc6", "libgstreamer1.0-0", "gstreamer1.0-libav", "libavcodec"] {
        assert!(control.contains(what), "no {what} in {control}");
    }
    let conffiles = printed("dpkg-deb", &["--info", package, "conffiles"]).expect("it is installed");
    assert_eq!(conffiles, "/etc/streamgate/plugins.toml\n");
    let list = printed("dpkg-deb", &["--contents", package]).expect("it is installed");
    assert!(list.lines().all(|line| line.contains("root/root")), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_and_package_are_the_same_every_time_and_start_wherever_they_are_unpacked() {
    let out = assembled();
    let unpacked = out.path().join("unpacked");
    fs::create_dir(&unpacked).expect("a new folder");
    let archive = only(out.path(), "gz");
    run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&unpacked)).expect("unpacked");
    let name = archive.file_name().expect("a name").to_string_lossy().replace(".tar.gz", "");
    let tree = unpacked.join(name);
    let plugins = cdylibs(&tree.join("lib/streamgate"));
    assert!(plugins >= 13, "{plugins} plugins");
    // It finds its plugins without a setting.
    let setup = Setup::installed(&tree.join("bin"), None).config(tree.join("plugins.toml"));
    let mut server = setup.start().await;
    assert_eq!(server.stop().await.code(), Some(0));

    if printed("dpkg-deb", &["--version"]).is_none() {
        return;
    }
    let package = only(out.path(), "deb");
    let root = out.path().join("root");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root)).expect("unpacked");
    let packaged = root.join("usr/lib/streamgate/plugins");
    assert_eq!(cdylibs(&packaged), plugins);
    let setup = Setup::installed(&root.join("usr/bin"), Some(&packaged));
    let mut server = setup.config(root.join("etc/streamgate/plugins.toml")).start().await;
    assert_eq!(server.stop().await.code(), Some(0));

    names_what_it_needs(&package.display().to_string());
    // Made again from the same binaries, each is identical.
    let (again, read) = (assembled(), |path: &Path| fs::read(path).expect("readable"));
    assert!(read(&only(again.path(), "deb")) == read(&package));
    assert!(read(&only(again.path(), "gz")) == read(&archive));
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_leaves_the_service_little() {
    let folder = TempDir::new().expect("a temporary folder");
    let unit = fs::read_to_string(repository().join("packaging/streamgate.service")).expect("the unit");
    // systemd looks for the program too.
    let there = unit.replace("/usr/bin/streamgate", &binaries().join("streamgate").display().to_string());
    let path = folder.path().join("streamgate.service").display().to_string();
    fs::write(&path, there).expect("written");
    if printed("systemd-analyze", &["--version"]).is_some() {
        printed("systemd-analyze", &["verify", "--recursive-errors=no", &path]);
        // Tenths of its exposure: 9.6 is a unit without any hardening.
        printed("systemd-analyze", &["security", "--offline=true", "--threshold=45", &path]);
    }
}

#[test]
fn workflows_forms_and_spelling_are_what_their_readers_take() {
    let linters = match python_project("tests/linters") {
        Ok(folder) => folder.join(".venv/bin"),
        Err(error) => {
            eprintln!("the linters cannot be installed, nothing was checked: {error:#}");
            return;
        }
    };
    let lint = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(linters.join(program));
        run(command.args(arguments).current_dir(repository())).unwrap_or_else(|error| panic!("{error:#}"));
    };
    let workflows = ["ci", "nightly", "release"].map(|name| format!(".github/workflows/{name}.yml"));
    for workflow in &workflows {
        lint("check-jsonschema", &["--builtin-schema", "vendor.github-workflows", workflow]);
    }
    lint("check-jsonschema", &["--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"]);
    let forms = ["bug", "idea"].map(|name| format!(".github/ISSUE_TEMPLATE/{name}.yml"));
    lint("check-jsonschema", &["--builtin-schema", "vendor.github-issue-forms", &forms[0], &forms[1]]);
    lint("zizmor", &["--offline", "--no-progress", "--quiet", ".github"]);
    lint("typos", &[]);
}

#[test]
fn fragments_become_a_section_of_the_changelog_once() {
    let folder = TempDir::new().expect("a temporary folder");
    let changelog = folder.path().join("CHANGELOG.md");
    let fragment = |name: &str, text: &str| fs::write(folder.path().join("changelog.d").join(name), text);
    let script = |arguments: &[&str]| {
        let mut command = Command::new(repository().join("scripts/changelog"));
        run(command.args(arguments).env("CHANGELOG_ROOT", folder.path()))
    };
    fs::create_dir(folder.path().join("changelog.d")).expect("a new folder");
    fs::write(&changelog, "# Changelog\n\n## [Unreleased]\n\n### Added\n- One.\n\n## [0.1.0] - 2026-01-01\n\n### Added\n- Zero.\n")
        .expect("written");
    fragment("two.added.md", "Two.\n").expect("written");
    fragment("three.fixed.md", "Three,\nover two lines.\n").expect("written");
    script(&["release", "0.2.0"]).expect("released");
    let notes = script(&["notes", "0.2.0"]).expect("the section").stdout;
    let expected = "\n### Added\n- One.\n- Two.\n\n### Fixed\n- Three,\n  over two lines.\n";
    assert_eq!(String::from_utf8(notes).expect("text"), expected);
    let text = fs::read_to_string(&changelog).expect("readable");
    assert!(text.starts_with("# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - "), "{text}");
    assert!(text.ends_with("\n## [0.1.0] - 2026-01-01\n\n### Added\n- Zero.\n"), "{text}");
    script(&["release", "0.3.0"]).expect_err("the fragments are gone");
    fragment("four.news.md", "Four.\n").expect("written");
    let refused = script(&["check"]).expect_err("no such kind").to_string();
    assert!(refused.contains("`news` is none of added"), "{refused}");
}
