//! The engine: all namespaces of one directory. It works without a host, so that other plugins' tests can run
//! on it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use streamgate_plugin_api::grants::Keeper;
use tokio::sync::OnceCell;

use crate::condition::{Condition, Reporter};
use crate::error::{Class, SqlError};
use crate::files;
use crate::ledger::{Ledger, is_there};
use crate::namespace::Namespace;
use crate::reserve::Reserve;
use crate::service::DatabaseService;
use crate::settings::Settings;

/// Receives every change of a component's condition.
pub(crate) type Observer = Arc<dyn Fn(&str, &Condition) + Send + Sync>;

type Slot = Arc<OnceCell<Arc<Namespace>>>;

/// The databases of one directory. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    settings: Settings,
    reserve: Arc<Reserve>,
    ledger: Ledger,
    observer: Observer,
    leaving: Arc<AtomicBool>,
    /// `None` once the engine is closed.
    namespaces: Mutex<Option<HashMap<String, Slot>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over a directory that exists. Files are opened when they are first used.
    pub fn new(directory: &Path, settings: Settings) -> Self {
        Self::observed(directory, settings, Arc::new(|_, _| {}))
    }

    pub(crate) fn observed(directory: &Path, settings: Settings, observer: Observer) -> Self {
        let namespaces = Mutex::new(Some(HashMap::new()));
        let reserve = Arc::new(Reserve::new(directory, settings.reserve.get()));
        let ledger = Ledger::new(directory);
        let directory = directory.to_owned();
        Self {
            shared: Arc::new(Shared {
                directory,
                settings,
                reserve,
                ledger,
                observer,
                leaving: Arc::default(),
                namespaces,
            }),
        }
    }

    /// Known namespaces whose files are missing, each with a remedy. Blocks.
    pub(crate) fn lost(&self) -> Result<Vec<SqlError>, SqlError> {
        self.shared.ledger.lost()
    }

    pub(crate) fn reserve(&self) -> Arc<Reserve> {
        self.shared.reserve.clone()
    }

    /// The `database` service, to be called in this process.
    pub fn router(&self) -> axum::Router {
        self.router_for(Keeper::new("namespace", self.shared.settings.grants.clone(), None))
    }

    /// The same, restricted to the callers that `keeper` allows.
    pub(crate) fn router_for(&self, keeper: Keeper) -> axum::Router {
        DatabaseService::router(self.clone(), keeper)
    }

    /// Another run waits for the files: long queries are stopped and answered ABORTED, for the other run to
    /// answer them. Batches continue, each within `statement_timeout`.
    pub fn stop_long_queries(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Lets every writer finish its accepted batches, and closes the files. Later calls are answered
    /// UNAVAILABLE.
    pub async fn close(&self) {
        let taken = self.shared.namespaces.lock().unwrap_or_else(PoisonError::into_inner).take();
        let slots: Vec<Slot> = taken.into_iter().flat_map(HashMap::into_values).collect();
        let closing = tokio::task::spawn_blocking(move || {
            for slot in slots {
                let namespace =
                    Arc::into_inner(slot).and_then(OnceCell::into_inner).and_then(Arc::into_inner);
                // A call in flight holds the namespace; it is closed with that call.
                if let Some(namespace) = namespace {
                    namespace.close();
                }
            }
        });
        if closing.await.is_err() {
            tracing::error!("closing the databases panicked");
        }
    }

    /// The namespace, created if it does not exist.
    pub(crate) async fn create(&self, name: &str) -> Result<Arc<Namespace>, SqlError> {
        self.open(name, true).await
    }

    /// The namespace, if it exists.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Namespace>, SqlError> {
        self.open(name, false).await
    }

    async fn open(&self, name: &str, create: bool) -> Result<Arc<Namespace>, SqlError> {
        let slot = self.slot(name)?;
        let opened = slot.get_or_try_init(|| async {
            let (shared, name) = (self.shared.clone(), name.to_owned());
            let opening = tokio::task::spawn_blocking(move || shared.open_file(&name, create));
            opening.await.map_err(|_| SqlError::new(Class::Broken, "opening the database panicked"))?
        });
        opened.await.cloned()
    }

    fn slot(&self, name: &str) -> Result<Slot, SqlError> {
        check_name(name)?;
        let mut namespaces = self.shared.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(namespaces) = namespaces.as_mut() else {
            return Err(SqlError::new(Class::Busy, "the database is stopping"));
        };
        if let Some(slot) = namespaces.get(name) {
            return Ok(slot.clone());
        }
        let most = self.shared.settings.max_namespaces as usize;
        if namespaces.len() >= most {
            // Names that were requested and never opened make room first.
            namespaces.retain(|_, slot| slot.initialized() || Arc::strong_count(slot) > 1);
            if namespaces.len() >= most {
                let message = format!("there are {most} namespaces, which is the limit `max_namespaces`");
                return Err(SqlError::new(Class::Full, message));
            }
        }
        Ok(namespaces.entry(name.to_owned()).or_default().clone())
    }
}

impl Shared {
    fn open_file(&self, name: &str, create: bool) -> Result<Arc<Namespace>, SqlError> {
        let path = self.directory.join(format!("{name}.db"));
        let (observer, component) = (self.observer.clone(), format!("namespace {name}"));
        let report = Arc::new(Reporter::new(move |condition| observer(&component, condition)));
        let there = is_there(&path);
        if !there && self.ledger.known(name)?.is_some() {
            let lost = self.ledger.is_lost(name);
            report.set(Condition::Unhealthy(lost.to_string()));
            return Err(lost);
        }
        if !there && !create {
            return Err(SqlError::invalid(format!("there is no namespace `{name}`; call Migrate first")));
        }
        files::make_private(&path).map_err(|error| {
            SqlError::new(Class::Broken, format!("cannot make {}: {error}", path.display()))
        })?;
        let open = || {
            let (reserve, report) = (self.reserve.clone(), report.clone());
            Namespace::open(name, &path, &self.settings, reserve, &self.ledger, report, self.leaving.clone())
        };
        let namespace = loop {
            match open() {
                // A database needs a little room for its log even to be read.
                Err(error) if error.class == Class::Full && self.reserve.release() => {}
                opened => break opened?,
            }
        };
        if !there {
            sync_directory(&self.directory)?;
        }
        Ok(Arc::new(namespace))
    }
}

/// Makes the new file's name durable.
fn sync_directory(directory: &Path) -> Result<(), SqlError> {
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| {
        SqlError::new(Class::Broken, format!("cannot sync {}: {error}", directory.display()))
    })
}

/// `[a-z][a-z0-9_]{0,62}`: no name can leave the directory.
fn check_name(name: &str) -> Result<(), SqlError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && name.len() <= 63 {
        return Ok(());
    }
    Err(SqlError::invalid(format!(
        "`{}` is not a valid namespace: use [a-z][a-z0-9_]{{0,62}}",
        name.escape_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for bad in ["", "..", "a/b", "A", "1a", "a-b", "a.db", "é", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in ["a", "upload", "a_1", &"a".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
    }
}
