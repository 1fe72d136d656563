//! Builds the web page of the console (`web/`) with npm when its sources changed, and puts it into
//! `OUT_DIR/dist`, where the crate embeds it from. The built page is kept in `web/dist` with a stamp
//! of the sources it was made from, so that other profiles and checks only copy it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, io};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The sources of the page, without tests and lint settings.
const SOURCES: &[&str] = &[
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "scripts",
    "src",
    "tsconfig.json",
    "vite.config.js",
];

const OLDEST_NODE: (u32, u32) = (20, 19);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let web =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?).join("web");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("dist");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }

    // Builds of other profiles may run at the same time: one builds the page, the others wait.
    let lock = File::create(web.join(".build.lock"))?;
    lock.lock()?;
    let dist = web.join("dist");
    let stamp = format!("{:016x}", hash_of(SOURCES.iter().map(|source| web.join(source)).collect())?);
    if fs::read_to_string(dist.join(".stamp")).ok().as_deref() != Some(&stamp) {
        build(&web)?;
        fs::write(dist.join(".stamp"), &stamp)?;
    }
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    copy(&dist, &out)?;
    Ok(())
}

fn build(web: &Path) -> Result<()> {
    check_node()?;
    // `npm ci` removes node_modules first: only when it would install something else.
    let installed = web.join("node_modules/.streamgate-lock");
    let lock = format!("{:016x}", hash_of(vec![web.join("package-lock.json")])?);
    if fs::read_to_string(&installed).ok().as_deref() != Some(&lock) {
        npm(web, &["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"])?;
        fs::write(&installed, &lock)?;
    }
    npm(web, &["run", "build"])
}

fn check_node() -> Result<()> {
    let (major, minor) = OLDEST_NODE;
    let wanted = format!("the web console is built with Node.js {major}.{minor} or newer and its npm");
    let output = Command::new("node").arg("--version").output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{wanted}, and `node` is not in the PATH: install Node.js, then build again")
        }
        _ => format!("{wanted}, and `node --version` could not be run: {error}"),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = text.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST_NODE {
        return Err(
            format!("{wanted}, and this is version {text:?}: install a newer one, then build again").into()
        );
    }
    Ok(())
}

fn npm(web: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("npm").args(args).current_dir(web).output().map_err(|error| {
        format!("`npm` could not be run ({error}): install Node.js with npm, then build again")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("`npm {}` in {} failed ({}):\n{said}", args.join(" "), web.display(), output.status).into())
}

/// A hash of the names and contents of files and folders, tests left out.
fn hash_of(mut paths: Vec<PathBuf>) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    paths.sort();
    let mut next = paths;
    while let Some(path) = next.pop() {
        if path.is_dir() {
            let mut entries =
                fs::read_dir(&path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
            entries.sort();
            next.extend(entries);
        } else if !is_test(&path) {
            path.file_name().hash(&mut hasher);
            fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

fn is_test(path: &Path) -> bool {
    path.file_stem().and_then(OsStr::to_str).is_some_and(|stem| stem.ends_with(".test"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != ".stamp" {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
