//! The other plugins that the catalogue needs, besides its database. A separate type, so that tests can run
//! the whole plugin without a kernel.

use std::time::Duration;

use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::Client;
use tonic::{Response, Status};

/// The queue of contents to be encoded.
pub(crate) const TRANSCODE: &str = "transcode";
/// How long `auth` may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The answer of `auth` in time, or why there is none.
pub(crate) async fn answered<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, String> {
    let answer = tokio::time::timeout(DEADLINE, call).await;
    let answer = answer.map_err(|_| format!("no answer within {DEADLINE:?}"))?;
    answer.map(Response::into_inner).map_err(|status| status.message().to_owned())
}

/// Objects, jobs and the bus. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    /// The `storage` capability.
    pub storage: Client,
    /// The `jobs` capability.
    pub jobs: JobsClient<Client>,
    /// The `access` capability.
    pub access: Client,
    /// The `auth` capability, which keeps the audit log.
    pub auth: Client,
    /// The `upload` capability, which knows what unfinished uploads take; none: there are no uploads.
    pub upload: Option<Client>,
    /// The destination of events.
    pub bus: Bus,
}

impl Dependencies {
    /// From the capabilities `storage`, `jobs`, `access` and `auth`, and the bus.
    pub fn new(storage: Client, jobs: Client, access: Client, auth: Client, bus: Bus) -> Self {
        Self { storage, jobs: JobsClient::new(jobs), access, auth, upload: None, bus }
    }

    /// With the capability `upload`.
    pub fn with_upload(self, upload: Client) -> Self {
        Self { upload: Some(upload), ..self }
    }
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").finish_non_exhaustive()
    }
}
