//! What the catalogue needs from the rest of the system besides its database. It exists so
//! that tests can drive the whole plugin without a kernel.

use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::Client;

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
    /// Where events go.
    pub bus: Bus,
}

impl Outside {
    /// From the capabilities `storage`, `jobs`, `access` and `auth`, and the bus.
    pub fn new(storage: Client, jobs: Client, access: Client, auth: Client, bus: Bus) -> Self {
        Self { storage, jobs: JobsClient::new(jobs), access, auth, bus }
    }
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
