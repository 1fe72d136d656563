//! The kernel of one process: what should run, what runs, and the changes from one to the other, as exposed
//! to the control socket.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use streamgate_control::{Change, Controlled};
use streamgate_log::Log;
use streamgate_plugin_api::Client;
use streamgate_plugin_api::abi::{Instance, Stamp};
use streamgate_plugin_api::caller::KERNEL;
use tokio::runtime::Handle;

use crate::change::Changes;
use crate::composition::{Composition, Origin};
use crate::edition::Edition;
use crate::parts::Parts;
use crate::report;
use crate::run::Entry;
use crate::runs::Runs;

/// The kernel at work.
pub(crate) struct Kernel {
    pub(crate) parts: Arc<Parts>,
    pub(crate) composition: Arc<Composition>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) changes: Changes,
}

impl Kernel {
    /// A kernel that has started nothing yet. `runtime` is its own.
    pub(crate) fn new(
        edition: Edition,
        origin: Origin,
        log: Arc<Log>,
        began: Instant,
        runtime: Handle,
    ) -> Arc<Self> {
        let Edition { kernel, plugins, graph, .. } = edition;
        let parts = Parts::new(kernel, log, began, runtime);
        let composition = Composition::new(parts.clone(), origin, plugins, graph);
        let runs = Runs::new(parts.clone(), composition.clone());
        let changes = Changes::new(parts.clone(), composition.clone(), runs.clone());
        Arc::new(Self { parts, composition, runs, changes })
    }
}

impl Controlled for Kernel {
    fn report(&self) -> Value {
        report::report(&self.parts, &self.composition.now())
    }

    fn health_report(&self) -> Value {
        report::health(&self.parts, &self.composition.now())
    }

    async fn change(self: &Arc<Self>, change: Change) -> Result<String, String> {
        match change {
            Change::Restart { name } => self.runs.restart(&name).await,
            Change::Swap { name, file } => {
                let file = file.map(|file| file.display().to_string());
                self.changes.swap(&name, file.as_deref()).await
            }
            Change::Reload { dry, version } => self.changes.reload(dry, version).await,
        }
    }

    fn running(&self) -> Vec<(String, Arc<Instance>)> {
        let plugins = self.composition.now();
        let instance = |it: &Arc<Entry>| Some((it.name(), it.run.load().as_ref()?.instance()?));
        plugins.entries.iter().filter_map(instance).collect()
    }

    fn provided(&self) -> Vec<String> {
        let plugins = self.composition.now();
        let provided = plugins.entries.iter().map(|entry| entry.planned.load());
        provided.flat_map(|planned| planned.library.manifest.provides.clone()).collect()
    }

    fn provider(&self, capability: &str) -> Client {
        Client::from_abi(self.parts.services.service(Stamp::new(KERNEL, false), capability))
    }
}
