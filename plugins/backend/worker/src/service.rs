//! The `jobs` contract over gRPC.

use std::time::Duration;

use axum::Router;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::audit::By;
use streamgate_contracts::jobs::v1::jobs_server::{Jobs as JobsContract, JobsServer};
use streamgate_contracts::jobs::v1::{
    CancelRequest, CompleteRequest, EnqueueRequest, FailRequest, GetRequest, HeartbeatRequest,
    HeartbeatResponse, Job, LeaseRequest, LeaseResponse, ReleaseRequest, RetryRequest, ShareRequest,
    ShareResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::jobs::{Enqueue, Jobs, Want};
use crate::store::Beat;

/// Set by the transport of a call from another node: the worker continues when this process ends, so its
/// lease survives a restart.
pub(crate) const REMOTE: &str = "x-streamgate-remote";

/// Answers the calls of other plugins.
pub(crate) struct JobsService {
    jobs: Jobs,
}

impl JobsService {
    pub(crate) fn router(jobs: Jobs) -> Router {
        let server = JobsServer::new(Self { jobs })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
    }
}

fn text(metadata: &MetadataMap, key: &str) -> String {
    metadata.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

#[tonic::async_trait]
impl JobsContract for JobsService {
    async fn enqueue(&self, request: Request<EnqueueRequest>) -> Result<Response<Job>, Status> {
        let traceparent = text(request.metadata(), "traceparent");
        let asked = request.into_inner();
        let wanted = Enqueue {
            queue: asked.queue,
            payload: asked.payload,
            dedupe_key: asked.dedupe_key,
            priority: asked.priority,
            max_attempts: asked.max_attempts,
            due_at: asked.due_at_ms,
            traceparent,
            owner: asked.owner,
            content: asked.content,
        };
        Ok(Response::new(self.jobs.enqueue(wanted).await?))
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let remote = request.metadata().contains_key(REMOTE);
        let LeaseRequest { queue, worker, lease_ms, wait_ms, process } = request.into_inner();
        let wait = Duration::from_millis(wait_ms.into());
        let leased = self.jobs.lease(Want { queue, worker, lease_ms, wait, remote, process }).await?;
        let answer = leased.map(|leased| LeaseResponse {
            job: Some(leased.job),
            lease: leased.proof,
            set_aside: leased.set_aside.unwrap_or_default(),
        });
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let HeartbeatRequest { id, lease, progress, stopping, worked_ms } = request.into_inner();
        let beat = Beat { progress, stopping, worked_ms };
        let cancelled = self.jobs.heartbeat(&id, &lease, beat).await?;
        Ok(Response::new(HeartbeatResponse { cancelled }))
    }

    async fn complete(&self, request: Request<CompleteRequest>) -> Result<Response<Job>, Status> {
        let CompleteRequest { id, lease, result, worked_ms } = request.into_inner();
        Ok(Response::new(self.jobs.complete(&id, &lease, result, worked_ms).await?))
    }

    async fn fail(&self, request: Request<FailRequest>) -> Result<Response<Job>, Status> {
        let FailRequest { id, lease, error, permanent, worked_ms } = request.into_inner();
        Ok(Response::new(self.jobs.fail(&id, &lease, (&error, permanent), worked_ms).await?))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<Job>, Status> {
        let ReleaseRequest { id, lease, delay_ms, reason, worked_ms } = request.into_inner();
        let delay = Duration::from_millis(delay_ms.into());
        Ok(Response::new(self.jobs.release(&id, &lease, (delay, &reason), worked_ms).await?))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Job>, Status> {
        Ok(Response::new(self.jobs.get(&request.into_inner().id).await?))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<Job>, Status> {
        Ok(Response::new(self.jobs.cancel(&request.into_inner().id, &By::default()).await?))
    }

    async fn retry(&self, request: Request<RetryRequest>) -> Result<Response<Job>, Status> {
        Ok(Response::new(self.jobs.retry(&request.into_inner().id, &By::default()).await?))
    }

    async fn share(&self, request: Request<ShareRequest>) -> Result<Response<ShareResponse>, Status> {
        let ShareRequest { queue, owner } = request.into_inner();
        Ok(Response::new(self.jobs.share(&queue, &owner).await?))
    }
}
