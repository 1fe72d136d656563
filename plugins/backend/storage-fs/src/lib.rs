//! Objects as files: the capability `storage` on one directory.
//!
//! An object is the file `<root>/<bucket>/<key>`, easy to inspect and to back up. Unfinished data is in
//! `<root>/.incomplete/`: temporary files under `temporary`, append sessions under `sessions/<bucket>/<key>`,
//! and fences under `fences/<bucket>/<directory>/fence`. A write is answered only when it is on disk.

mod block;
mod disk;
mod error;
mod fence;
#[doc(hidden)]
pub mod fuzz;
mod key;
mod lock;
mod object;
mod service;
mod session;
mod settings;
mod sink;
mod stream;
mod tree;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamgate_plugin_api::grants::Keeper;
use streamgate_plugin_api::{Health, Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio::time::MissedTickBehavior;

use crate::disk::{Disk, Room};
use crate::fence::Fences;
use crate::lock::Owner;
use crate::object::Objects;
pub use crate::service::Storage;
use crate::session::Sessions;
pub use crate::settings::Settings;
use crate::tree::Tree;

/// How often the disk's free space is checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The plugin.
pub struct StorageFs {
    watch: tokio::task::JoinHandle<()>,
}

impl Plugin for StorageFs {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        if let Some(root) = &settings.root {
            if root.as_os_str().is_empty() {
                problems.push(SettingsProblem::new("root", "is empty; set a directory or remove the key"));
            } else if root.exists() && !root.is_dir() {
                let text = format!(
                    "{} is not a directory; set an existing one, or a path where one can be created",
                    root.display()
                );
                problems.push(SettingsProblem::new("root", text));
            }
        }
        problems
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let root = settings.root.clone().unwrap_or_else(|| host.data_dir().join("objects"));
        let keeping = host.clone();
        let owner = Owner::of(host.data_dir())?;
        let opened =
            tokio::task::spawn_blocking(move || open(&root, &settings, &owner, Some(keeping))).await?;
        let (storage, disk) = opened?;
        host.provide("storage", storage)?;
        let health = host.health("disk");
        tell(&health, Ok(disk.room()));
        let watch = host.spawn(watch(disk, health));
        Ok(Self { watch })
    }

    async fn stop(self) {
        self.watch.abort();
    }
}

export_plugin! {
    StorageFs {
        name: "storage-fs",
        description: "Objects as files: atomic, durable, with ranges and resumable appends",
        provides: ["storage"],
        publishes: ["refusal.storage-fs"],
    }
}

/// Why a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process or another instance uses it.
    #[error("{0} is in use by another storage-fs; stop it or set another root")]
    InUse(String),
    /// The file system refused.
    #[error("cannot use {path} as the root of the store; check that it exists and is writable")]
    Io {
        /// The root.
        path: String,
        /// The error.
        source: io::Error,
    },
}

/// Opens the store at `root` without a host: for tests and tools. Blocks; removes what a crash left
/// unfinished.
///
/// # Errors
/// If the directory cannot be created or written, or is in use.
pub fn open_storage(root: &Path, settings: &Settings) -> Result<Storage, OpenError> {
    open(root, settings, &Owner::alone(), None).map(|(storage, _)| storage)
}

/// The same beside an earlier run of the plugin with the data directory `data_dir`, which finishes its
/// requests.
///
/// # Errors
/// As [`open_storage`], or if there is no such directory.
pub fn open_storage_beside(root: &Path, settings: &Settings, data_dir: &Path) -> Result<Storage, OpenError> {
    let failed = |source| OpenError::Io { path: data_dir.display().to_string(), source };
    open(root, settings, &Owner::of(data_dir).map_err(failed)?, None).map(|(storage, _)| storage)
}

fn open(
    root: &Path,
    settings: &Settings,
    owner: &Owner,
    host: Option<Host>,
) -> Result<(Storage, Arc<Disk>), OpenError> {
    let failed = |source| OpenError::Io { path: root.display().to_string(), source };
    let tree = Tree::open(root).map_err(failed)?;
    let incomplete = tree.subtree(".incomplete").map_err(failed)?;
    let temporary = incomplete.subtree("temporary").map_err(failed)?;
    let sessions = incomplete.subtree("sessions").map_err(failed)?;
    let fences = incomplete.subtree("fences").map_err(failed)?;
    let clear_away = || {
        let leftovers = temporary.tidy(true)?;
        sessions.tidy(false)?;
        if leftovers > 0 {
            tracing::info!(leftovers, "removed unfinished objects left by a crash");
        }
        Ok(())
    };
    if !lock::take(&incomplete, owner, clear_away).map_err(failed)? {
        return Err(OpenError::InUse(root.display().to_string()));
    }
    let copy = |tree: &Tree| tree.base().try_clone().map_err(failed);
    let disk = Arc::new(Disk::new(copy(&tree)?, settings.min_free.get()).map_err(failed)?);
    let objects =
        Objects::new(tree, copy(&temporary)?, Fences::new(fences), disk.clone(), settings.cache.get());
    // The lock is held as long as the service lives, which keeps the locked directory open.
    let sessions = Sessions::new(sessions, incomplete, settings.direct_io);
    let keeper = Keeper::new("bucket", settings.grants.clone(), host);
    Ok((Storage::new(Arc::new(objects), Arc::new(sessions), disk.clone(), keeper), disk))
}

/// For unique names.
fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

async fn watch(disk: Arc<Disk>, health: Health) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let disk = disk.clone();
        let looked = tokio::task::spawn_blocking(move || disk.look()).await;
        tell(&health, looked.map_err(io::Error::other).flatten());
    }
}

fn tell(health: &Health, room: io::Result<Room>) {
    match room {
        Ok(Room::Enough) => health.healthy(),
        Ok(Room::Low { free, min_free }) => health.degraded(format!(
            "{} MiB are free, less than min_free ({} MiB); writes are refused with 507 until there is more",
            free >> 20,
            min_free >> 20
        )),
        Err(error) => health.unhealthy(format!("the disk cannot be read: {error}")),
    }
}
