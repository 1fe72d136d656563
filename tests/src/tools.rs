//! Third-party programs: peers for comparison, and clients.
//!
//! Node packages and Python packages are installed once per lock file under the target folder, from the
//! registries that `npm` and `pip` are configured for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::server::{cache, repository};

/// Copies the folder (relative to the repository) into the cache, runs `npm ci` there when its lock file is
/// new, and returns the copy.
///
/// # Errors
/// When npm is missing or cannot install; the message contains npm's output.
pub fn node_project(folder: &str) -> Result<PathBuf> {
    installed(folder, "package-lock.json", |dir| {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(dir))
    })
}

/// The same for a folder of scripts without a lock file; its `package.json` names exact versions.
///
/// # Errors
/// When npm is missing or cannot install; the message contains npm's output.
pub fn node_scripts(folder: &Path) -> Result<PathBuf> {
    installed(&folder.to_string_lossy(), "package.json", |dir| {
        let quiet = ["install", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(quiet).current_dir(dir))
    })
}

/// Copies the folder (relative to the repository) into the cache, creates a virtual environment with its
/// `requirements.txt`, and returns the copy; the interpreter is `.venv/bin/python`.
///
/// # Errors
/// When Python or its venv module is missing or pip cannot install.
pub fn python_project(folder: &str) -> Result<PathBuf> {
    installed(folder, "requirements.txt", |dir| {
        run(Command::new("python3").args(["-m", "venv", "--clear", ".venv"]).current_dir(dir))?;
        run(Command::new(dir.join(".venv/bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["-r", "requirements.txt"])
            .current_dir(dir))
    })
}

fn installed(folder: &str, lock: &str, install: impl FnOnce(&Path) -> Result<Output>) -> Result<PathBuf> {
    let from = repository().join(folder);
    let to = cache().join(folder.trim_start_matches('/').replace('/', "-"));
    fs::create_dir_all(&to)?;
    let turn = File::create(to.join(".turn"))?;
    turn.lock()?;
    copy(&from, &to)?;
    let wanted = fs::read_to_string(from.join(lock))?;
    let stamp = to.join(".installed");
    if fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        install(&to).with_context(|| format!("installing what {folder}/{lock} names"))?;
        fs::write(&stamp, wanted)?;
    }
    Ok(to)
}

/// Copies files and folders, without installed packages.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_file() {
            fs::copy(entry.path(), to.join(name))?;
        } else if kind.is_dir() && name != "node_modules" && name != ".venv" {
            let folder = to.join(name);
            fs::create_dir_all(&folder)?;
            copy(&entry.path(), &folder)?;
        }
    }
    Ok(())
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or fails; the message contains its output.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}
