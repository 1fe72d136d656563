//! What the control socket asks of the kernel.

use std::sync::Arc;

use serde_json::Value;
use streamgate_control::{Change, Controlled};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::abi::Stamp;
use streamgate_plugin_api::caller::KERNEL;

use crate::lifecycle::Kernel;

impl Controlled for Kernel {
    fn report(&self) -> Value {
        self.report()
    }

    fn health_report(&self) -> Value {
        self.health_report()
    }

    async fn change(self: &Arc<Self>, change: Change) -> Result<String, String> {
        match change {
            Change::Restart { name } => self.restart(&name).await,
            Change::Swap { name, file } => {
                let file = file.map(|file| file.display().to_string());
                self.swap(&name, file.as_deref()).await
            }
            Change::Reload { dry, version } => self.reload(dry, version).await,
        }
    }

    fn provided(&self) -> Vec<String> {
        let composition = self.composition.load();
        let provided = composition.plugins.iter().map(|entry| entry.planned.load());
        provided.flat_map(|planned| planned.library.manifest.provides.clone()).collect()
    }

    fn provider(&self, capability: &str) -> Client {
        Client::from_abi(self.services.service(Stamp::new(KERNEL, false), capability))
    }
}
