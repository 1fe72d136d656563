//! The `upload` capability: the internal contract of `upload.proto`. It reads, and changes no upload.

use streamgate_contracts::upload::v1::upload_server::{self, UploadServer};
use streamgate_contracts::upload::v1::{ReservedRequest, ReservedResponse};
use streamgate_plugin_api::fair::Holder;
use streamgate_plugin_api::time::now_ms;
use tonic::{Request, Response, Status};

use crate::store::{Store, owner};

/// The internal service as an axum router.
pub(crate) fn router(store: Store) -> axum::Router {
    tonic::service::Routes::new(UploadServer::new(Service(store))).into_axum_router()
}

struct Service(Store);

#[tonic::async_trait]
impl upload_server::Upload for Service {
    async fn reserved(
        &self,
        request: Request<ReservedRequest>,
    ) -> Result<Response<ReservedResponse>, Status> {
        let owner = owner(&Holder::Principal(request.into_inner().principal));
        let bytes = self.0.reserved_by(&owner, now_ms()).await?;
        Ok(Response::new(ReservedResponse { bytes }))
    }
}
