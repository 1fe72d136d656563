//! A fake chain plugin: it answers queries, may report transfers, and does nothing else.

use std::future::Future;

use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::chain_server::{Chain, ChainServer};
use streamgate_plugin_api::Client;
use tonic::{Request, Response, Status};

/// Its state.
pub trait MadeUp: Send + Sync + Sized + 'static {
    /// The answers to the queries of one call.
    fn answers(
        &self,
        questions: Vec<wire::Question>,
    ) -> impl Future<Output = Result<Vec<wire::Answer>, Status>> + Send;

    /// From which block on it reports transfers.
    fn tells_from(&self) -> Result<wire::Observation, Status>;

    /// The chains of its settings.
    fn states(&self) -> impl Future<Output = Result<Vec<wire::ChainState>, Status>> + Send {
        std::future::ready(Err(Status::unimplemented("")))
    }

    /// A contract's metadata.
    fn described(
        &self,
        _contract: &str,
    ) -> impl Future<Output = Result<wire::DescribeResponse, Status>> + Send {
        std::future::ready(Err(Status::unimplemented("")))
    }

    fn client(self) -> Client {
        Client::from_service(tonic::service::Routes::new(ChainServer::new(Plugin(self))).into_axum_router())
    }
}

/// A block of its chain.
pub fn block(number: u64) -> wire::Observation {
    wire::Observation { chain: "eip155:1".into(), block: number, ..Default::default() }
}

struct Plugin<M>(M);

#[tonic::async_trait]
impl<M: MadeUp> Chain for Plugin<M> {
    async fn chains(
        &self,
        _: Request<wire::ChainsRequest>,
    ) -> Result<Response<wire::ChainsResponse>, Status> {
        let chains = self.0.states().await?;
        Ok(Response::new(wire::ChainsResponse { chains }))
    }
    async fn balance(&self, _: Request<wire::Question>) -> Result<Response<wire::Answer>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn batch(
        &self,
        request: Request<wire::BatchRequest>,
    ) -> Result<Response<wire::BatchResponse>, Status> {
        let answers = self.0.answers(request.into_inner().questions).await?;
        Ok(Response::new(wire::BatchResponse { answers }))
    }
    async fn is_valid_signature(
        &self,
        _: Request<wire::SignatureRequest>,
    ) -> Result<Response<wire::SignatureResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn describe(
        &self,
        request: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        self.0.described(&request.into_inner().contract).await.map(Response::new)
    }
    async fn fees(&self, _: Request<wire::FeesRequest>) -> Result<Response<wire::FeesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn watch(&self, _: Request<wire::WatchRequest>) -> Result<Response<wire::WatchResponse>, Status> {
        Ok(Response::new(wire::WatchResponse { from: vec![self.0.tells_from()?] }))
    }
}
