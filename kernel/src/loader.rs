//! Opens plugins: a private copy of the cdylib, its manifest as data, the supported API versions, the layout
//! of every type that crosses, and only then its entries.
//!
//! The one place of the kernel with `unsafe`. A library is never unloaded: its code may run, and its memory
//! may be in use, as long as the process lives.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeaderRef, LibHeader, RootModule};
use async_ffi::FutureExt;
use libloading::os::unix::{Library as RawLibrary, RTLD_LOCAL, RTLD_NOW};
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use serde_json::Value;
use sha2::{Digest, Sha256};
use streamgate_isolation::{Answer, Description, ask};
use streamgate_plugin_api::abi::{
    API_MAJOR, API_MINOR, FfiFuture, HostHandle, ManifestBlob, PluginModuleRef, RResult, StartArgs,
    StartResult,
};
use streamgate_plugin_api::manifest::Manifest;
use streamgate_plugin_api::settings::SettingsProblem;

use crate::VERSION;

/// Why a cdylib was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{path} cannot be copied for loading: {error}")]
    Copy { path: String, error: io::Error },
    #[error("{path} has the SHA-256 {got}, and sha256 says {want}: it is not the intended build")]
    Digest { path: String, want: String, got: String },
    #[error("{path} is not loaded: {how}")]
    Crash { path: String, how: String },
    /// The message of the child that inspected it.
    #[error("{0}")]
    Refused(String),
    #[error("{path} cannot be loaded: {reason}")]
    Open { path: String, reason: String },
    #[error(
        "{path} is not the plugin `{name}`: it exports no `{symbol}`; set `file` to the right cdylib, or the table's name to the plugin's"
    )]
    NotThis { path: String, name: String, symbol: String },
    #[error("{path} has a manifest that cannot be read: {reason}")]
    Manifest { path: String, reason: String },
    #[error(
        "was built for another version of the plugin API\n{sides}\n  to mend  {mend}",
        sides = sides(*.api, .path), mend = mend(*.api, .path)
    )]
    Version { path: String, api: (u32, u32) },
    #[error(
        "its types that cross the boundary are laid out differently\n{sides}\n  to mend  {mend}\n  detail   {detail}",
        sides = sides(*.api, .path), mend = mend(*.api, .path)
    )]
    Layout { path: String, api: (u32, u32), detail: String },
}

fn api_crate() -> &'static str {
    PluginModuleRef::VERSION_STRINGS.version.as_str()
}

fn sides(api: (u32, u32), path: &str) -> String {
    let oldest = API_MINOR.saturating_sub(1);
    format!(
        "  host     streamgate {VERSION}, plugin API {API_MAJOR}.{API_MINOR} (takes {API_MAJOR}.{oldest} to {API_MAJOR}.{API_MINOR})\n  \
         plugin   {path}, plugin API {}.{}",
        api.0, api.1
    )
}

fn mend(api: (u32, u32), path: &str) -> String {
    let rebuild = format!(
        "in the plugin's crate: cargo add streamgate-plugin-api@{} && cargo build --release && cp target/release/{} {path}",
        api_crate(),
        Path::new(path).file_name().unwrap_or_default().display(),
    );
    if api > (API_MAJOR, API_MINOR) {
        format!("update streamgate to one with plugin API {}.{}; or {rebuild}", api.0, api.1)
    } else {
        rebuild
    }
}

/// A loaded plugin, not started.
#[derive(Clone)]
pub(crate) struct Library {
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// Where the cdylib was found.
    pub(crate) path: PathBuf,
    /// The version of the boundary it was built for.
    pub(crate) api: (u32, u32),
    code: Code,
    file: Option<FileId>,
    /// The digest of its file, in hexadecimal digits.
    pub(crate) sha256: String,
    /// The copy that was loaded, as other processes of the same user find it.
    pub(crate) copy: PathBuf,
}

/// What this process has loaded, which stays forever: the same build is not loaded twice.
static LOADED: Mutex<Vec<Library>> = Mutex::new(Vec::new());

#[derive(Clone)]
enum Code {
    /// Open in this process.
    Here(PluginModuleRef),
    /// Only for child processes. The schema of its settings.
    Apart(Value),
}

/// Identifies the state of a file: device, inode, size, change time.
type FileId = (u64, u64, u64, i64, i64);

fn file_id(path: &Path) -> Option<FileId> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

impl Library {
    /// Loads the plugin `name` from `path`. The private copy has no name and disappears with the process: it
    /// is on disk below `copies` if that works, else in memory. With `sha256` the file must have that digest.
    /// With `apart`, or if the plugin itself requires it, its code is not opened here.
    pub(crate) fn open(
        name: &str,
        path: &Path,
        copies: Option<&Path>,
        sha256: Option<&str>,
        apart: Option<bool>,
    ) -> Result<Self, LoadError> {
        let shown = || path.display().to_string();
        let copy_error = |error: io::Error| LoadError::Copy { path: shown(), error };
        // Before the copy: a file that changes meanwhile counts as another one.
        let id = file_id(path);
        let in_memory = || rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(io::Error::from);
        let mut reason = String::new();
        // No such files there, no space, or mounted noexec: then in memory.
        for file in copies.and_then(unnamed).map(Ok).into_iter().chain(std::iter::once_with(in_memory)) {
            let mut file = File::from(file.map_err(copy_error)?);
            let Ok(got) = copy(path, &mut file) else { continue };
            if let Some(want) = sha256.filter(|want| !want.eq_ignore_ascii_case(&got)) {
                return Err(LoadError::Digest { path: shown(), want: want.to_owned(), got });
            }
            let is_same = |it: &&Self| {
                it.manifest.name == name
                    && it.sha256 == got
                    && it.is_apart() == apart.unwrap_or(it.manifest.isolated)
            };
            if let Some(same) = LOADED.lock().iter().find(is_same).cloned() {
                return Ok(Self { path: path.into(), file: id, ..same });
            }
            let fd = file.as_raw_fd();
            let elsewhere = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
            let crash = |how| LoadError::Crash { path: shown(), how };
            let library = match ask(name, &elsewhere, path, None).map_err(crash)? {
                Answer::Plugin(it) if apart.unwrap_or(it.manifest.isolated) => {
                    Ok(Ok(Self::apart(name, path, *it)))
                }
                Answer::Plugin(_) => {
                    dlopen(&format!("/proc/self/fd/{fd}")).map(|library| Self::of(name, path, library))
                }
                Answer::NotOpened(error) => Err(error),
                Answer::Refused(reason) => return Err(LoadError::Refused(reason)),
                Answer::Checked(_) => Err("a process that loads it answers something else".to_owned()),
            };
            match library {
                Ok(library) => {
                    // Never closed: dlopen identifies a library by its path, which must not come to mean
                    // another file, and a backtrace finds its symbols through it.
                    let _ = file.into_raw_fd();
                    let library = Self { file: id, sha256: got, copy: elsewhere, ..library? };
                    LOADED.lock().push(library.clone());
                    return Ok(library);
                }
                Err(error) => reason = error,
            }
        }
        if reason.is_empty() {
            copy(path, &mut File::from(in_memory().map_err(copy_error)?)).map_err(copy_error)?;
        }
        Err(LoadError::Open { path: shown(), reason: reason.replace("/proc/self/fd/", "descriptor ") })
    }

    /// Loads a plugin from `file` unchecked, for a process that may crash. Messages name it `shown`.
    pub(crate) fn open_untried(name: &str, file: &Path, shown: &Path) -> Result<Self, LoadError> {
        let library = dlopen(&file.display().to_string())
            .map_err(|reason| LoadError::Open { path: shown.display().to_string(), reason })?;
        Self::of(name, shown, library)
    }

    /// From a child's description; `of` is the file's state when it was inspected.
    fn apart(name: &str, path: &Path, told: Description) -> Self {
        let manifest = Manifest { name: name.to_owned(), ..told.manifest };
        Self::new(manifest, path, told.api, Code::Apart(told.schema))
    }

    fn new(manifest: Manifest, path: &Path, api: (u32, u32), code: Code) -> Self {
        Self { manifest, path: path.into(), copy: path.into(), api, code, file: None, sha256: String::new() }
    }

    fn of(name: &str, path: &Path, library: RawLibrary) -> Result<Self, LoadError> {
        let shown = path.display().to_string();
        let symbol = format!("{}{name}", ManifestBlob::SYMBOL_PREFIX);
        // SAFETY: a symbol of this name is a `ManifestBlob`, whose layout never changes; an author who
        // exports something else under it runs code in our process anyway. The library, and so the static,
        // lives as long as the process.
        let blob: &'static ManifestBlob = unsafe {
            let blob = library.get::<*const ManifestBlob>(symbol.as_bytes());
            let not_this = || LoadError::NotThis { path: shown.clone(), name: name.to_owned(), symbol };
            (*blob.map_err(|_| not_this())?).as_ref().expect("a symbol that was found has an address")
        };
        std::mem::forget(library);
        if !blob.is_manifest() {
            return Err(LoadError::Manifest { path: shown, reason: "it does not begin as one".into() });
        }
        let api = blob.api_version();
        if api.0 != API_MAJOR || !(API_MINOR.saturating_sub(1)..=API_MINOR).contains(&api.1) {
            return Err(LoadError::Version { path: shown, api });
        }
        let manifest = read_manifest(blob)
            .and_then(|manifest| match manifest.name == name {
                true => Ok(manifest),
                false => Err(format!("it names itself `{}`", manifest.name)),
            })
            .map_err(|reason| LoadError::Manifest { path: shown.clone(), reason })?;
        let module =
            module(blob.header(), api.1).map_err(|detail| LoadError::Layout { path: shown, api, detail })?;
        Ok(Self::new(manifest, path, api, Code::Here(module)))
    }

    /// Whether it was loaded from this file in its current state.
    pub(crate) fn is_of(&self, path: &Path) -> bool {
        self.path == path && self.file.is_some() && self.file == file_id(path)
    }

    /// Whether its code is only for child processes.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(self.code, Code::Apart(_))
    }

    /// The JSON Schema of its settings; `null` if it is not JSON.
    pub(crate) fn schema(&self) -> Value {
        match &self.code {
            Code::Here(module) => {
                serde_json::from_str((module.settings_schema())().as_str()).unwrap_or_default()
            }
            Code::Apart(schema) => schema.clone(),
        }
    }

    /// The problems of settings that match the schema. Starts nothing, writes nothing.
    pub(crate) fn check(&self, settings: &str) -> Vec<SettingsProblem> {
        let problems = match &self.code {
            Code::Here(module) => {
                let text = (module.check())(settings.into());
                serde_json::from_str(text.as_str()).map_err(|error| error.to_string())
            }
            Code::Apart(_) => match ask(&self.manifest.name, &self.copy, &self.path, Some(settings)) {
                Ok(Answer::Checked(problems)) => Ok(problems),
                Ok(_) => Err("it did not check them".to_owned()),
                Err(how) => Err(how),
            },
        };
        problems.unwrap_or_else(|error| {
            vec![SettingsProblem::new("", format!("the plugin's check returned an invalid answer: {error}"))]
        })
    }

    /// Begins to start the plugin in this process.
    pub(crate) fn start(&self, host: HostHandle, args: StartArgs) -> FfiFuture<StartResult> {
        match &self.code {
            Code::Here(module) => (module.start())(host, args),
            Code::Apart(_) => {
                let reason = "it runs in its own process, and is not open in this one";
                std::future::ready(RResult::RErr(reason.into())).into_ffi()
            }
        }
    }
}

fn read_manifest(blob: &ManifestBlob) -> Result<Manifest, String> {
    let text = blob.text().ok_or("it is not UTF-8")?;
    streamgate_config::from_toml(text)
}

/// The entries, after abi_stable has compared its own version and the layouts of all types. Its check of
/// crate versions is left out: the version check above replaces it.
fn module(header: *const LibHeader, minor: u32) -> Result<PluginModuleRef, String> {
    if header.is_null() {
        return Err("it has no library header".into());
    }
    // SAFETY: an `AbiHeaderRef` is a pointer to a header's beginning, which this points to; its
    // `upgrade` checks the magic bytes and the version there before anything else. (Not
    // `lib_header_from_path`: the symbol is not abi_stable's, so that cdylibs linked into one
    // process as rlibs do not clash.)
    let header = unsafe { std::mem::transmute::<*const LibHeader, AbiHeaderRef>(header) };
    let header = header.upgrade().map_err(|error| shortened(&error.to_string()))?;
    let (theirs, ours) = (header.layout().ok_or("it has no layout")?, PluginModuleRef::LAYOUT);
    // Only the second one may have more fields. `LibHeader::check_layout` would put the host first, and
    // refuse everything older than the host.
    let (older, newer) = if minor.cmp(&API_MINOR).is_lt() { (theirs, ours) } else { (ours, theirs) };
    check_layout_compatibility(older, newer).map_err(|error| shortened(&error.to_string()))?;
    // SAFETY: the layouts are those of a `PluginModuleRef` of this version or the one before it.
    unsafe { header.unchecked_layout() }.map_err(|error| error.to_string())
}

/// The message of abi_stable without both layouts in full, which it shows first.
fn shortened(text: &str) -> String {
    let text = text.find("Error:").map_or(text, |at| &text[at..]);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(24).collect();
    lines.join("\n           ")
}

/// A file without a name, in the nearest existing directory.
fn unnamed(below: &Path) -> Option<OwnedFd> {
    let dir = below.ancestors().find(|dir| dir.is_dir() || dir.as_os_str().is_empty())?;
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).ok()
}

/// Copies, and returns the SHA-256 in hexadecimal digits.
fn copy(path: &Path, to: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut from = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&block[..read]);
        to.write_all(&block[..read])?;
    }
}

fn dlopen(path: &str) -> Result<RawLibrary, String> {
    // SAFETY: runs the initialisers of a library that the operator has put into the configured
    // directories, which is what a plugin is.
    let library = unsafe { RawLibrary::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })
}

/// Returns large blocks of memory to the system as soon as they are freed. Otherwise glibc raises its own
/// threshold after a few of them and keeps all later ones in the heap, where one small block after them holds
/// hundreds of megabytes. Plugins share this allocator. Buffers of connections (up to 408 KiB) are not large:
/// mapping them each time doubles the processor time of reading a long body.
pub(crate) fn give_back_large_blocks() {
    const LARGE: libc::c_int = 512 << 10;
    // SAFETY: sets a parameter of the allocator, and touches no memory of ours.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE)
    };
}

/// Lets a fault end this process at once, whatever its origin: Rust's own handler ignores the first one that
/// it did not cause. It would only report a stack overflow.
pub(crate) fn let_faults_end_this() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
