//! Enforces a plugin's rights: refuses, logs, and reports the refusal.

use std::sync::Arc;

use async_ffi::FutureExt;
use streamgate_bus::Bus;
use streamgate_plugin_api::Manifest;
use streamgate_plugin_api::abi::{Extra, FfiFuture, Mounts, RVec, Stamp};
use streamgate_plugin_api::refusal::{Refusal, Refusals};
use tokio::runtime::Handle;

use crate::Rights;

/// The rights of one plugin, and the reporting of refusals.
pub struct Guard {
    rights: Rights,
    stamp: Stamp,
    refusals: Refusals,
    bus: Arc<Bus>,
    runtime: Handle,
}

impl Guard {
    /// For a plugin with this manifest.
    pub fn new(manifest: &Manifest, bus: Arc<Bus>, runtime: Handle) -> Self {
        let stamp = Stamp::new(&manifest.name, manifest.ingress);
        Self { rights: Rights::of(manifest), stamp, refusals: Refusals::default(), bus, runtime }
    }

    /// The stamp of the plugin's requests.
    pub fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    /// Checks whether the plugin has a right.
    ///
    /// # Errors
    /// Why it does not, and what would change that.
    pub fn ask(&self, asked: impl FnOnce(&Rights) -> Result<(), Refusal>) -> Result<(), String> {
        asked(&self.rights).map_err(|refusal| {
            let reason =
                format!("access denied for {}: {}: {}", refusal.plugin, refusal.asked, refusal.reason);
            if self.refusals.is_news(&refusal) {
                let bus = self.bus.clone();
                self.runtime.spawn(async move {
                    refusal.tell("kernel", async |event| bus.publish(event.into()).await).await;
                });
            }
            reason
        })
    }
}

/// The public prefixes for a caller without access to them: none, and no change.
pub fn no_mounts(after: u64) -> FfiFuture<Mounts> {
    match after {
        u64::MAX => std::future::pending().into_ffi(),
        _ => {
            std::future::ready(Mounts { generation: u64::MAX, mounts: RVec::new(), extra: Extra::default() })
                .into_ffi()
        }
    }
}
