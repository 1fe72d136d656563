//! The `chain` contract over gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use axum::Router;
use futures_util::future::join_all;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1::chain_server::{Chain as ChainContract, ChainServer};
use streamgate_contracts::chain::v1::{
    Answer, BatchRequest, BatchResponse, ChainsRequest, ChainsResponse, FeesRequest, FeesResponse, Question,
    SignatureRequest, SignatureResponse, WatchRequest, WatchResponse,
};
use streamgate_plugin_api::time::now_ms;
use tonic::{Request, Response, Status};

use crate::caip::{Account, Asset, ChainId};
use crate::chain::{Chain, unread};
use crate::query::Query;
use crate::registry::Registry;
use crate::registry_service::RegistryService;
use crate::settings::Finality;

const MAX_QUESTIONS: usize = 256;
const MAX_SIGNATURE: usize = 16 * 1024;
const MAX_LEASE_MS: u32 = 24 * 3600 * 1000;
const LEASE_MS: u32 = 3600 * 1000;
const MAX_FEE_BLOCKS: u32 = 256;
const FEE_BLOCKS: u32 = 20;

/// Answers the calls of other plugins.
pub(crate) struct ChainService {
    registry: Arc<Registry>,
}

impl ChainService {
    pub(crate) fn router(registry: Arc<Registry>) -> Router {
        let contents = RegistryService::server(Arc::clone(&registry));
        let server = ChainServer::new(Self { registry })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).add_service(contents).into_axum_router()
    }

    fn chain(&self, id: ChainId) -> Result<Arc<Chain>, Status> {
        self.registry.chain(id).ok_or_else(|| Status::not_found(off(id)))
    }

    async fn answer(&self, questions: Vec<Question>) -> Result<Vec<Answer>, Status> {
        let mut queries = Vec::with_capacity(questions.len());
        for (index, question) in questions.into_iter().enumerate() {
            let query = Query::new(question);
            queries.push(query.map_err(|error| invalid(format!("question {index}: {error}")))?);
        }
        let mut answers: Vec<Answer> = queries.iter().map(|query| unread(off(query.chain))).collect();
        let mut groups: BTreeMap<(ChainId, Finality), Vec<usize>> = BTreeMap::new();
        for (index, query) in queries.iter().enumerate() {
            if let Some(chain) = self.registry.chain(query.chain) {
                let finality = query.finality.unwrap_or(chain.settings.finality);
                groups.entry((query.chain, finality)).or_default().push(index);
            }
        }
        let asked = groups.into_iter().filter_map(|((id, finality), members)| {
            let chain = self.registry.chain(id)?;
            let some: Vec<Query> = members.iter().map(|index| queries[*index].clone()).collect();
            Some(async move { (members, chain.answer(finality, &some).await) })
        });
        for (members, some) in join_all(asked).await {
            for (index, answer) in members.into_iter().zip(some) {
                answers[index] = answer;
            }
        }
        Ok(answers)
    }
}

fn off(id: ChainId) -> String {
    format!("{id} is off: no endpoint is set for it in [plugins.chain-evm]")
}

fn invalid(error: impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl ChainContract for ChainService {
    async fn chains(&self, _: Request<ChainsRequest>) -> Result<Response<ChainsResponse>, Status> {
        let chains = self.registry.chains().iter().map(|chain| chain.state()).collect();
        Ok(Response::new(ChainsResponse { chains }))
    }

    async fn balance(&self, request: Request<Question>) -> Result<Response<Answer>, Status> {
        let answer = self.answer(vec![request.into_inner()]).await?.pop();
        answer.map(Response::new).ok_or_else(|| Status::internal("a question without an answer"))
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        let BatchRequest { questions } = request.into_inner();
        if questions.len() > MAX_QUESTIONS {
            return Err(invalid(format!("{} questions are more than {MAX_QUESTIONS}", questions.len())));
        }
        Ok(Response::new(BatchResponse { answers: self.answer(questions).await? }))
    }

    async fn is_valid_signature(
        &self,
        request: Request<SignatureRequest>,
    ) -> Result<Response<SignatureResponse>, Status> {
        let SignatureRequest { account, digest, signature } = request.into_inner();
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
        let answer = match self.registry.chain(account.chain) {
            Some(chain) => chain.is_valid_signature(&account, digest, signature.into()).await,
            None => SignatureResponse { answer: Some(unread(off(account.chain))), contract: false },
        };
        Ok(Response::new(answer))
    }

    async fn fees(&self, request: Request<FeesRequest>) -> Result<Response<FeesResponse>, Status> {
        let FeesRequest { chain, blocks } = request.into_inner();
        let chain = self.chain(ChainId::parse(&chain).map_err(invalid)?)?;
        if blocks > MAX_FEE_BLOCKS {
            return Err(invalid(format!("{blocks} blocks are more than {MAX_FEE_BLOCKS}")));
        }
        let blocks = if blocks == 0 { FEE_BLOCKS } else { blocks };
        let fees = chain.fees(blocks).await;
        fees.map(Response::new).map_err(|unknown| Status::unavailable(unknown.to_string()))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchResponse>, Status> {
        let WatchRequest { assets, lease_ms } = request.into_inner();
        if assets.is_empty() || assets.len() > MAX_QUESTIONS {
            return Err(invalid(format!("{} assets are not between 1 and {MAX_QUESTIONS}", assets.len())));
        }
        if lease_ms > MAX_LEASE_MS {
            return Err(invalid(format!("a lease of {lease_ms} ms is longer than a day")));
        }
        let lease = if lease_ms == 0 { LEASE_MS } else { lease_ms };
        let mut parsed = Vec::with_capacity(assets.len());
        for text in &assets {
            let asset = Asset::parse(text).map_err(invalid)?;
            if asset.contract().is_none() {
                return Err(invalid(format!("{asset} is the native coin, whose transfers leave no log")));
            }
            if let Some(reason) = self.chain(asset.chain)?.stopped() {
                return Err(Status::failed_precondition(reason));
            }
            parsed.push(asset);
        }
        let store = self.registry.store();
        let now = now_ms();
        for asset in &parsed {
            let most = self.registry.max_watched();
            if !store.watch(asset, now + i64::from(lease), most, now).await? {
                return Err(Status::resource_exhausted(format!(
                    "{most} contracts of {} are watched already; raise `max_watched`",
                    asset.chain
                )));
            }
        }
        // A round of the watcher that does not know of these assets yet goes no further than the
        // highest block from before: what happens above it is told.
        let mut from = Vec::new();
        for id in parsed.iter().map(|asset| asset.chain).collect::<BTreeSet<_>>() {
            let chain = self.chain(id)?;
            let unavailable = |unknown| Status::unavailable(format!("{id}: {unknown}"));
            if store.blocks(id).await?.is_empty() {
                let head = chain.head(Finality::Latest, 0).await.map_err(unavailable)?;
                store.append(id, &head, &[], 0).await?;
            }
            let head = chain.head(Finality::Latest, chain.pool.highest()).await.map_err(unavailable)?;
            from.push(chain.observation(&head, Finality::Latest));
            self.registry.wake(id);
        }
        Ok(Response::new(WatchResponse { from }))
    }
}
