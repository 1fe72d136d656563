//! The `catalogue` capability: the internal contract of `catalogue.proto` over [`Catalogue`].

use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::catalogue_server::{self, CatalogueServer};
use streamgate_contracts::catalogue::v1::{
    Content, CreateRequest, DeleteRequest, DeleteResponse, DeletedRequest, DeletedResponse, GetRequest,
    ListRequest, ListResponse, OwnersRequest, OwnersResponse, PutRenditionsRequest, PutSegmentsRequest,
    StandingRequest, StandingResponse, TimelineRequest, TimelineResponse, UpdateRequest, UsageRequest,
    UsageResponse,
};
use streamgate_contracts::fence;
use tonic::{Request, Response, Status};

use crate::catalogue::Catalogue;
use crate::live::Live;
use crate::store::StoreError;

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_)
            | StoreError::NotShared(_)
            | StoreError::Deleted(_)
            | StoreError::NoText(_) => Self::not_found(message),
            StoreError::Superseded { newest, .. } => fence::refusal(message, newest),
            StoreError::Forbidden(_) | StoreError::Precondition(_) | StoreError::Changed { .. } => {
                Self::failed_precondition(message)
            }
            StoreError::NotSignedIn => Self::unauthenticated(message),
            StoreError::NotYours(_) => Self::permission_denied(message),
            StoreError::Invalid(_) | StoreError::NoPerson(_) => Self::invalid_argument(message),
            StoreError::Limit(_)
            | StoreError::Full(_)
            | StoreError::Spent { .. }
            | StoreError::NoRoom { .. } => Self::resource_exhausted(message),
            StoreError::Busy(_) => Self::aborted(message),
            StoreError::Unavailable(_) => Self::unavailable(message),
            StoreError::Db(error) => error.into(),
        }
    }
}

/// The internal service as an axum router.
pub(crate) fn router(catalogue: Catalogue, live: Live) -> axum::Router {
    let server = CatalogueServer::new(Service(catalogue, live))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    tonic::service::Routes::new(server).into_axum_router()
}

struct Service(Catalogue, Live);

#[tonic::async_trait]
impl catalogue_server::Catalogue for Service {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<Content>, Status> {
        let request = request.into_inner();
        if !crate::limits::is_content_id(&request.id) {
            return Err(Status::invalid_argument("the id is not a UUID in lower case with hyphens"));
        }
        Ok(Response::new(self.0.create(request).await?))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Content>, Status> {
        Ok(Response::new(self.0.get(&request.get_ref().id).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse { contents: self.0.page(request.get_ref()).await? }))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<Content>, Status> {
        Ok(Response::new(self.0.update(request.into_inner()).await?))
    }

    async fn put_renditions(
        &self,
        request: Request<PutRenditionsRequest>,
    ) -> Result<Response<Content>, Status> {
        Ok(Response::new(self.0.put_renditions(request.into_inner()).await?))
    }

    async fn put_segments(&self, request: Request<PutSegmentsRequest>) -> Result<Response<Content>, Status> {
        Ok(Response::new(self.0.put_segments(request.into_inner()).await?))
    }

    async fn timeline(
        &self,
        request: Request<TimelineRequest>,
    ) -> Result<Response<TimelineResponse>, Status> {
        let request = request.get_ref();
        let (content, renditions) = self.0.timeline(&request.id, request.known_revision).await?;
        let answer = match renditions {
            Some(renditions) => TimelineResponse { unchanged: false, content: Some(content), renditions },
            None => TimelineResponse { unchanged: true, ..TimelineResponse::default() },
        };
        Ok(Response::new(answer))
    }

    /// Deleting a missing content is no error: callers retry until they get an answer.
    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        self.0.delete(&request.get_ref().id, &By::default(), |_| Ok(())).await?;
        Ok(Response::new(DeleteResponse {}))
    }

    async fn deleted(&self, request: Request<DeletedRequest>) -> Result<Response<DeletedResponse>, Status> {
        Ok(Response::new(DeletedResponse { ids: self.0.deleted(&request.get_ref().ids).await? }))
    }

    async fn standing(
        &self,
        request: Request<StandingRequest>,
    ) -> Result<Response<StandingResponse>, Status> {
        let rights = self.0.standing(request.into_inner()).await?;
        Ok(Response::new(StandingResponse { rights: rights.into_iter().map(Into::into).collect() }))
    }

    async fn owners(&self, request: Request<OwnersRequest>) -> Result<Response<OwnersResponse>, Status> {
        Ok(Response::new(OwnersResponse { owners: self.0.owners(&request.get_ref().contents).await? }))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageResponse>, Status> {
        let owner = &request.get_ref().owner;
        let usage = self.0.store.usage(owner).await?;
        Ok(Response::new(UsageResponse { event_streams: self.1.open_of(owner), ..usage }))
    }
}
