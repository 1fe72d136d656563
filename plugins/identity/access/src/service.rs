//! The `access` capability: the internal contract of `access.proto` over [`Access`].

use streamgate_contracts::access::v1::access_server::{self, AccessServer};
use streamgate_contracts::access::v1::{DecideRequest, Decision, Openness, PolicyRequest, PolicyResponse};
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::routes::uuid;
use crate::viewer::Viewer;

/// Requests here are a few names.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

impl Access {
    /// The `access` capability.
    pub fn internal(&self) -> axum::Router {
        let server = AccessServer::new(Service(self.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
    }
}

struct Service(Access);

fn content(text: &str) -> Result<String, Status> {
    uuid(text, "content").map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl access_server::Access for Service {
    async fn policy(&self, request: Request<PolicyRequest>) -> Result<Response<PolicyResponse>, Status> {
        let policy = self.0.policy(&content(&request.into_inner().content)?).await?;
        let openness = Openness::from(policy.openness).into();
        Ok(Response::new(PolicyResponse { openness, revision: policy.revision }))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<Decision>, Status> {
        let DecideRequest { content: id, principal, roles, scopes, wallets } = request.into_inner();
        let viewer = Viewer::new(principal, roles, scopes, wallets).map_err(Status::invalid_argument)?;
        Ok(Response::new(self.0.decide(&content(&id)?, viewer).await.to_wire()))
    }
}
