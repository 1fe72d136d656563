//! The `chain` contract over gRPC.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;
use axum::Router;
use streamgate_chain_common::{Chains, invalid, server, undescribed, unread};
use streamgate_contracts::chain::v1::{
    DescribeRequest, DescribeResponse, FeesRequest, FeesResponse, SignatureRequest, SignatureResponse,
    WatchRequest, WatchResponse,
};
use streamgate_plugin_api::time::now_ms;
use tonic::Status;

use crate::caip::{Account, Asset, ChainId};
use crate::chain::Chain;
use crate::ledger_service::LedgerService;
use crate::registry::Registry;
use crate::settings::Finality;

const MAX_ASSETS: usize = 256;
const MAX_SIGNATURE: usize = 32 * 1024;
const MAX_WATCH_MS: u32 = 24 * 3600 * 1000;
const WATCH_MS: u32 = 3600 * 1000;
const MAX_FEE_BLOCKS: u32 = 256;
const FEE_BLOCKS: u32 = 20;

/// Answers the calls of other plugins.
pub(crate) struct ChainService {
    registry: Arc<Registry>,
}

impl ChainService {
    pub(crate) fn router(registry: Arc<Registry>) -> Router {
        let ledger = LedgerService::server(Arc::clone(&registry));
        tonic::service::Routes::new(server(Self { registry })).add_service(ledger).into_axum_router()
    }

    fn on(&self, id: ChainId) -> Result<Arc<Chain>, Status> {
        self.registry.chain(id).ok_or_else(|| Status::not_found(Self::off(id)))
    }
}

impl Chains for ChainService {
    type Chain = Chain;
    const PLUGIN: &'static str = "chain-evm";

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
        let SignatureRequest { account, digest, signature } = request;
        let account = Account::parse(&account).map_err(invalid)?;
        let length = digest.len();
        let digest = B256::try_from(&*digest)
            .map_err(|_| invalid(format!("a digest of {length} bytes; it has 32")))?;
        if signature.len() > MAX_SIGNATURE {
            return Err(invalid(format!(
                "a signature of {} bytes, more than {MAX_SIGNATURE}",
                signature.len()
            )));
        }
        Ok(match self.registry.chain(account.chain) {
            Some(chain) => chain.is_valid_signature(&account, digest, signature.into()).await,
            None => SignatureResponse { answer: Some(unread(Self::off(account.chain))), contract: false },
        })
    }

    async fn describe(&self, request: DescribeRequest) -> Result<DescribeResponse, Status> {
        let contract = Account::parse(&request.contract).map_err(invalid)?;
        Ok(match self.registry.chain(contract.chain) {
            Some(chain) => chain.describe(contract.address).await,
            None => undescribed(Self::off(contract.chain)),
        })
    }

    async fn fees(&self, request: FeesRequest) -> Result<FeesResponse, Status> {
        let FeesRequest { chain, blocks } = request;
        let chain = self.on(ChainId::parse(&chain).map_err(invalid)?)?;
        if blocks > MAX_FEE_BLOCKS {
            return Err(invalid(format!("{blocks} blocks are more than {MAX_FEE_BLOCKS}")));
        }
        let blocks = if blocks == 0 { FEE_BLOCKS } else { blocks };
        let fees = chain.fees(blocks).await;
        fees.map_err(|unknown| Status::unavailable(unknown.to_string()))
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchResponse, Status> {
        let WatchRequest { assets, lease_ms: watch_ms } = request;
        if assets.is_empty() || assets.len() > MAX_ASSETS {
            return Err(invalid(format!("{} assets are not between 1 and {MAX_ASSETS}", assets.len())));
        }
        if watch_ms > MAX_WATCH_MS {
            return Err(invalid(format!("a watch of {watch_ms} ms is longer than a day")));
        }
        let watch_ms = if watch_ms == 0 { WATCH_MS } else { watch_ms };
        let mut parsed = Vec::with_capacity(assets.len());
        for text in &assets {
            let asset = Asset::parse(text).map_err(invalid)?;
            if asset.contract().is_none() {
                return Err(invalid(format!("{asset} is the native coin, whose transfers leave no log")));
            }
            if let Some(reason) = self.on(asset.chain)?.stopped() {
                return Err(Status::failed_precondition(reason));
            }
            parsed.push(asset);
        }
        let store = self.registry.store();
        let now = now_ms();
        for asset in &parsed {
            let most = self.registry.max_watched();
            if !store.watch(asset, now + i64::from(watch_ms), most, now).await? {
                return Err(Status::resource_exhausted(format!(
                    "{most} contracts of {} are watched already; raise `max_watched`",
                    asset.chain
                )));
            }
        }
        // A round of the watcher that does not include these assets yet goes no further than the previous
        // highest block: transfers above it are reported.
        let mut from = Vec::new();
        for id in parsed.iter().map(|asset| asset.chain).collect::<BTreeSet<_>>() {
            let chain = self.on(id)?;
            let unavailable = |unknown| Status::unavailable(format!("{id}: {unknown}"));
            if store.blocks(id).await?.is_empty() {
                let head = chain.head(Finality::Latest, 0).await.map_err(unavailable)?;
                store.append(id, &head, crate::store::Told::OfBlock(&[]), 0).await?;
            }
            let head = chain.head(Finality::Latest, chain.pool.highest()).await.map_err(unavailable)?;
            from.push(chain.observation(&head, Finality::Latest));
            self.registry.wake(id);
        }
        Ok(WatchResponse { from })
    }
}
