//! The `ContentRegistry` contract over gRPC.

use std::sync::Arc;

use axum::Router;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::content_registry_server::{
    ContentRegistry as Contract, ContentRegistryServer,
};
use tonic::{Request, Response, Status};

use crate::caip::ChainId;
use crate::contents;
use crate::queue::{Queued, Waiting};
use crate::registry::{Contents, Registries};

/// Maximum transactions of one chain that wait for their number.
const MAX_WAITING: usize = 1000;
const MAX_KEY: usize = 128;

/// Answers the calls of other plugins.
pub(crate) struct RegistryService {
    registry: Arc<Registries>,
}

impl RegistryService {
    pub(crate) fn router(registry: Arc<Registries>) -> Router {
        let server = ContentRegistryServer::new(Self { registry })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
    }

    fn contents(&self, chain: &str) -> Result<(ChainId, Contents), Status> {
        let id = ChainId::parse(chain).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let contents = self.registry.contents(id).ok_or_else(|| {
            Status::failed_precondition(format!("{id} has no `registry` in [plugins.registry-evm]"))
        })?;
        Ok((id, contents))
    }
}

fn key(text: String) -> Result<String, Status> {
    if text.is_empty() || text.len() > MAX_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Status::invalid_argument(format!(
            "a key must have 1 to {MAX_KEY} visible ASCII characters"
        )));
    }
    Ok(text)
}

#[tonic::async_trait]
impl Contract for RegistryService {
    async fn send(&self, request: Request<wire::SendRequest>) -> Result<Response<wire::Transaction>, Status> {
        let wire::SendRequest { chain, key: text, action } = request.into_inner();
        let (id, contents) = self.contents(&chain)?;
        let key = key(text)?;
        let server = contents.server.ok_or_else(|| {
            Status::failed_precondition(format!("{id} has no `signer_file` in [plugins.registry-evm]"))
        })?;
        let action = action.ok_or_else(|| Status::invalid_argument("there is no action"))?;
        let data = contents::call(id, server, action);
        let data = data.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let new = Waiting { key: key.clone(), to: contents.address, data };
        match contents.queue.add(&new, MAX_WAITING).await? {
            Queued::Taken => contents.woken.notify_one(),
            Queued::Other => {
                return Err(Status::already_exists(format!("the key {key} belongs to another transaction")));
            }
            Queued::Full => {
                return Err(Status::resource_exhausted(format!("{MAX_WAITING} transactions wait already")));
            }
        }
        let queued = contents.queue.get(&key).await?;
        queued.map(Response::new).ok_or_else(|| Status::internal("a queued transaction is not there"))
    }

    async fn get_transaction(
        &self,
        request: Request<wire::GetTransactionRequest>,
    ) -> Result<Response<wire::Transaction>, Status> {
        let wire::GetTransactionRequest { chain, key } = request.into_inner();
        let (id, contents) = self.contents(&chain)?;
        let known = contents.queue.get(&key).await?;
        known.map(Response::new).ok_or_else(|| {
            Status::not_found(format!("{id}: there is no transaction with the key {key:.128}"))
        })
    }

    async fn get_registered(
        &self,
        request: Request<wire::GetRegisteredRequest>,
    ) -> Result<Response<wire::Registered>, Status> {
        let wire::GetRegisteredRequest { chain, content } = request.into_inner();
        let (id, contents) = self.contents(&chain)?;
        let uuid = contents::uuid(&content).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let known = contents.index.content(&uuid.to_string()).await?;
        known
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("the registry on {id} has no entry for {uuid}")))
    }
}
