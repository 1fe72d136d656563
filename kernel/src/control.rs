//! What the control socket asks of the kernel.

use std::sync::Arc;
use std::time::Duration;

use async_ffi::FutureExt;
use futures_util::future::join_all;
use serde_json::Value;
use streamgate_control::{Change, Controlled};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::abi::Stamp;
use streamgate_plugin_api::caller::KERNEL;
use tokio::time::timeout;

use crate::lifecycle::Kernel;

/// How long a plugin may take to tell its figures; then the others are told without them.
const METRICS: Duration = Duration::from_secs(2);

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

    async fn metrics(&self, name: Option<&str>) -> Result<Vec<String>, String> {
        let composition = self.composition.load_full();
        if let Some(name) = name.filter(|name| composition.find(name).is_none()) {
            return Err(format!("there is no plugin `{name}`"));
        }
        let plugins = composition.plugins.iter().filter(|it| name.is_none_or(|name| it.name() == name));
        let asked = plugins.filter_map(|entry| {
            let instance = entry.run.load_full()?.instance()?;
            // A plugin that keeps its thread is not waited for.
            let told = async move { timeout(METRICS, instance.metrics()).await }.into_ffi();
            Some(timeout(METRICS, self.on_own_thread(told)))
        });
        let told = join_all(asked).await.into_iter().flatten().flatten().flatten();
        Ok(told.map(String::from).collect())
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
