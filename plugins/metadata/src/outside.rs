//! What the catalogue needs from the rest of the system besides its database. It exists so
//! that tests can drive the whole plugin without a kernel.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_plugin_api::{Client, Event};

type Publish = dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync;

/// Objects, jobs and the bus. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// The `storage` capability.
    pub storage: Client,
    /// The `jobs` capability.
    pub jobs: JobsClient<Client>,
    /// The `access` capability.
    pub access: Client,
    /// The `auth` capability, which keeps the audit log.
    pub auth: Client,
    publish: Arc<Publish>,
}

impl Outside {
    /// With a way to publish events; a failure to publish is its own to log.
    pub fn new(
        storage: Client,
        jobs: Client,
        access: Client,
        auth: Client,
        publish: impl Fn(Event) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { storage, jobs: JobsClient::new(jobs), access, auth, publish: Arc::new(publish) }
    }

    pub(crate) async fn publish(&self, event: Event) {
        (self.publish)(event).await;
    }
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
