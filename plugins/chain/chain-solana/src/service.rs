//! The `chain` contract over gRPC.

use std::sync::Arc;

use axum::Router;
use streamgate_chain_common::{Chains, invalid, server, undescribed, unread};
use streamgate_contracts::chain::v1::{
    DescribeRequest, DescribeResponse, FeesRequest, FeesResponse, SignatureRequest, SignatureResponse,
    WatchRequest, WatchResponse,
};
use tonic::Status;

use crate::caip::{Account, ChainId};
use crate::chain::Chain;
use crate::registry::Registry;

/// Answers the calls of other plugins.
pub(crate) struct ChainService {
    registry: Arc<Registry>,
}

impl ChainService {
    pub(crate) fn router(registry: Arc<Registry>) -> Router {
        tonic::service::Routes::new(server(Self { registry })).into_axum_router()
    }
}

impl Chains for ChainService {
    type Chain = Chain;
    const PLUGIN: &'static str = "chain-solana";

    fn chain(&self, id: ChainId) -> Option<Arc<Chain>> {
        self.registry.chain(id)
    }

    fn chains(&self) -> Vec<Arc<Chain>> {
        self.registry.chains()
    }

    fn off_chains(&self) -> Vec<(ChainId, String)> {
        self.registry.off_chains()
    }

    async fn is_valid_signature(&self, request: SignatureRequest) -> Result<SignatureResponse, Status> {
        let account = Account::parse(&request.account).map_err(invalid)?;
        let reason =
            format!("{account} is a key, not a contract: the caller has to check its ed25519 signature");
        Ok(SignatureResponse { answer: Some(unread(reason)), contract: false })
    }

    async fn describe(&self, request: DescribeRequest) -> Result<DescribeResponse, Status> {
        let contract = Account::parse(&request.contract).map_err(invalid)?;
        Ok(match self.registry.chain(contract.chain) {
            Some(chain) => chain.describe(contract.address).await,
            None => undescribed(Self::off(contract.chain)),
        })
    }

    async fn fees(&self, _: FeesRequest) -> Result<FeesResponse, Status> {
        Err(Status::unimplemented("fees of Solana are not read"))
    }

    async fn watch(&self, _: WatchRequest) -> Result<WatchResponse, Status> {
        Err(Status::unimplemented(
            "transfers on Solana are not reported: verify granted access again when the answer has aged",
        ))
    }
}
