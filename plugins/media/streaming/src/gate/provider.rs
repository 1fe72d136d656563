//! Another plugin, called over its capability. Its health is reported once per change, not with every call.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamgate_plugin_api::{Client, Health};

/// A capability and the health of its provider.
pub(crate) struct Provider {
    name: &'static str,
    pub(crate) client: Client,
    timeout: Duration,
    health: Option<Health>,
    failing: AtomicBool,
}

impl Provider {
    pub(crate) fn new(name: &'static str, client: Client, timeout: Duration, health: Option<Health>) -> Self {
        if let Some(health) = &health {
            health.healthy();
        }
        Self { name, client, timeout, health, failing: AtomicBool::new(false) }
    }

    /// Its answer; `None` on an error or a timeout.
    pub(crate) async fn call<T, E: Display>(&self, request: impl Future<Output = Result<T, E>>) -> Option<T> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(Ok(answer)) => {
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!(capability = self.name, "the provider answers again");
                    self.health.iter().for_each(Health::healthy);
                }
                Some(answer)
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed(&format!("no answer within {:?}", self.timeout)),
        }
    }

    fn failed<T>(&self, error: &str) -> Option<T> {
        if !self.failing.swap(true, Ordering::AcqRel) {
            tracing::warn!(capability = self.name, error, "the provider does not answer");
            let reason = format!("`{}` does not answer: {error}", self.name);
            self.health.iter().for_each(|health| health.degraded(&reason));
        }
        None
    }
}
