//! The other plugins that uploads need, besides their database. A separate type, so that tests can run the
//! whole plugin without a kernel.

use std::time::Duration;

use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::{FindRequest, QuotaRequest, QuotaResponse};
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::catalogue::v1::{
    Content, ContentState, CreateRequest, DeleteRequest, GetRequest, Source, UpdateRequest, UsageRequest,
    UsageResponse,
};
use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::jobs::v1::{EnqueueRequest, ShareRequest, ShareResponse};
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::Client;
use tonic::{Code, Status};

use crate::store::{self, Upload};

/// The queue of contents to be encoded.
const QUEUE: &str = "transcode";
const DEADLINE: Duration = Duration::from_secs(15);

/// Catalogue, jobs, storage, the audit log and the bus. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    pub(crate) storage: Client,
    /// The `catalogue` capability.
    pub(crate) contents: Client,
    catalogue: CatalogueClient<Client>,
    jobs: JobsClient<Client>,
    /// The `auth` capability, which keeps the audit log and knows the quotas.
    pub(crate) auth: Client,
    /// The destination of events.
    pub(crate) bus: Bus,
}

impl Dependencies {
    /// From the capabilities `storage`, `catalogue`, `jobs` and `auth`, and the bus.
    pub fn new(storage: Client, catalogue: Client, jobs: Client, auth: Client, bus: Bus) -> Self {
        let contents = catalogue.clone();
        let (catalogue, jobs) = (CatalogueClient::new(catalogue), JobsClient::new(jobs));
        Self { storage, contents, catalogue, jobs, auth, bus }
    }

    /// Adds the upload's content.
    pub(crate) async fn create_content(&self, upload: &Upload) -> Result<(), Status> {
        let request = CreateRequest {
            id: upload.id.clone(),
            title: upload.facts.title.clone(),
            description: String::new(),
            source: Some(source_of(upload)),
            owner: store::principal_of(&upload.owner).unwrap_or_default().to_owned(),
        };
        soon(self.catalogue.clone().create(request)).await.map(drop)
    }

    /// The upload's content; `None` if it was deleted.
    pub(crate) async fn content(&self, id: &str) -> Result<Option<Content>, Status> {
        match soon(self.catalogue.clone().get(GetRequest { id: id.to_owned() })).await {
            Ok(content) => Ok(Some(content)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    pub(crate) async fn report_progress(&self, id: &str, progress: f64) -> Result<(), Status> {
        let request =
            UpdateRequest { id: id.to_owned(), progress: Some(progress), ..UpdateRequest::default() };
        soon(self.catalogue.clone().update(request)).await.map(drop)
    }

    /// All bytes of the upload's content are in storage.
    pub(crate) async fn content_uploaded(&self, upload: &Upload, known: &Content) -> Result<(), Status> {
        let mut source = known.source.clone().unwrap_or_else(|| source_of(upload));
        source.bytes = upload.received;
        let request = UpdateRequest {
            id: upload.id.clone(),
            state: ContentState::Uploaded.into(),
            source: Some(source),
            ..UpdateRequest::default()
        };
        soon(self.catalogue.clone().update(request)).await.map(drop)
    }

    /// The upload can no longer become a content.
    pub(crate) async fn content_failed(&self, id: &str, reason: &str) -> Result<(), Status> {
        let request = UpdateRequest {
            id: id.to_owned(),
            state: ContentState::Failed.into(),
            reason: Some(reason.to_owned()),
            ..UpdateRequest::default()
        };
        soon(self.catalogue.clone().update(request)).await.map(drop)
    }

    /// Removes the content, if there is one.
    pub(crate) async fn delete_content(&self, id: &str) -> Result<(), Status> {
        match soon(self.catalogue.clone().delete(DeleteRequest { id: id.to_owned() })).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// The quota of a principal. An `auth` without quotas has none.
    pub(crate) async fn quota(&self, principal: &str) -> Result<QuotaResponse, Status> {
        self.quota_at(principal, String::new()).await
    }

    /// The same, with the sign-in challenges of a client's address; empty: without them.
    pub(crate) async fn quota_at(&self, principal: &str, address: String) -> Result<QuotaResponse, Status> {
        let request = QuotaRequest { principal: principal.to_owned(), address };
        match soon(AuthClient::new(self.auth.clone()).quota(request)).await {
            Err(status) if status.code() == Code::Unimplemented => Ok(QuotaResponse::default()),
            answer => answer,
        }
    }

    /// Whether a principal exists. While `auth` does not answer, it does.
    pub(crate) async fn knows(&self, principal: &str) -> bool {
        let request = FindRequest { names: vec![principal.to_owned()] };
        let found = soon(AuthClient::new(self.auth.clone()).find(request)).await;
        found.map_or(true, |found| found.people.iter().any(|person| person.principal == principal))
    }

    /// The bytes that the contents of a principal take, and their open event streams.
    pub(crate) async fn usage(&self, principal: &str) -> Result<UsageResponse, Status> {
        let request = UsageRequest { owner: principal.to_owned() };
        soon(self.catalogue.clone().usage(request)).await
    }

    /// A principal's use of the encoders, and its limits.
    pub(crate) async fn share(&self, principal: &str) -> Result<ShareResponse, Status> {
        let request = ShareRequest { queue: QUEUE.into(), owner: principal.to_owned() };
        soon(self.jobs.clone().share(request)).await
    }

    /// Enqueues the encoding of the content. Repeating it while the job is unfinished is harmless.
    pub(crate) async fn enqueue_transcode(&self, id: &str, owner: &str) -> Result<(), Status> {
        let request = EnqueueRequest {
            queue: QUEUE.into(),
            payload: serde_json::json!({ "content": id }).to_string().into(),
            dedupe_key: id.to_owned(),
            owner: owner.to_owned(),
            content: id.to_owned(),
            ..EnqueueRequest::default()
        };
        soon(self.jobs.clone().enqueue(request)).await.map(drop)
    }
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").finish_non_exhaustive()
    }
}

fn source_of(upload: &Upload) -> Source {
    Source {
        filename: upload.facts.filename.clone(),
        content_type: upload.facts.filetype.clone(),
        bytes: upload.length.unwrap_or(0),
        ..Source::default()
    }
}

async fn soon<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::unavailable("no answer in time")),
    }
}
