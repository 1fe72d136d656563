//! The `access` capability: the internal contract of `access.proto` over [`Access`].

use streamgate_contracts::access::v1::access_server::{self, AccessServer};
use streamgate_contracts::access::v1::{
    BarsRequest, BarsResponse, DecideRequest, Decision, Openness, PoliciesRequest, PoliciesResponse,
    PolicyRequest, PolicyResponse,
};
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::policy::Policy;
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

/// Contents whose policies are read in one call.
const MAX_CONTENTS: usize = 200;

/// Contents that a principal is kept out of in one answer.
const MAX_BARS: usize = 10_000;

struct Service(Access);

fn to_wire(policy: &Policy) -> PolicyResponse {
    PolicyResponse { openness: Openness::from(policy.openness).into(), revision: policy.revision }
}

fn content(text: &str) -> Result<String, Status> {
    uuid(text, "content").map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl access_server::Access for Service {
    async fn policy(&self, request: Request<PolicyRequest>) -> Result<Response<PolicyResponse>, Status> {
        let policy = self.0.policy(&content(&request.into_inner().content)?).await?;
        Ok(Response::new(to_wire(&policy)))
    }

    async fn policies(
        &self,
        request: Request<PoliciesRequest>,
    ) -> Result<Response<PoliciesResponse>, Status> {
        let contents = request.into_inner().contents;
        if contents.len() > MAX_CONTENTS {
            let message = format!("{} contents at once; at most {MAX_CONTENTS}", contents.len());
            return Err(Status::invalid_argument(message));
        }
        let contents = contents.iter().map(|id| content(id)).collect::<Result<Vec<_>, _>>()?;
        let policies = self.0.policies(&contents).await?;
        let policies = contents.iter().map(|id| to_wire(&policies[id.as_str()])).collect();
        Ok(Response::new(PoliciesResponse { policies }))
    }

    async fn bars(&self, request: Request<BarsRequest>) -> Result<Response<BarsResponse>, Status> {
        let principal = request.into_inner().principal;
        let contents = self.0.shared.store.barred_from(&principal, MAX_BARS + 1).await?;
        match contents.len() > MAX_BARS {
            true => Err(Status::resource_exhausted(format!("blocked from more than {MAX_BARS} contents"))),
            false => Ok(Response::new(BarsResponse { contents })),
        }
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<Decision>, Status> {
        let DecideRequest { content: id, principal, roles, scopes, wallets } = request.into_inner();
        let viewer = Viewer::new(principal, roles, scopes, wallets).map_err(Status::invalid_argument)?;
        Ok(Response::new(self.0.decide(&content(&id)?, viewer).await.to_wire()))
    }
}
