//! The `chain` contract over gRPC.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use futures_util::future::join_all;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1::chain_server::{Chain as ChainContract, ChainServer};
use streamgate_contracts::chain::v1::{
    Answer, BatchRequest, BatchResponse, ChainsRequest, ChainsResponse, FeesRequest, FeesResponse, Question,
    SignatureRequest, SignatureResponse, WatchRequest, WatchResponse,
};
use tonic::{Request, Response, Status};

use crate::caip::{Account, ChainId};
use crate::chain::unread;
use crate::query::Query;
use crate::registry::Registry;
use crate::settings::Finality;

const MAX_QUESTIONS: usize = 256;

/// Answers the calls of other plugins.
pub(crate) struct ChainService {
    registry: Arc<Registry>,
}

impl ChainService {
    pub(crate) fn router(registry: Arc<Registry>) -> Router {
        let server = ChainServer::new(Self { registry })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        tonic::service::Routes::new(server).into_axum_router()
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
    format!("{id} is off: no endpoint is set for it in [plugins.chain-solana]")
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
        let account = Account::parse(&request.into_inner().account).map_err(invalid)?;
        let reason = format!("{account} is a key, not a contract: whoever asks checks its ed25519 signature");
        Ok(Response::new(SignatureResponse { answer: Some(unread(reason)), contract: false }))
    }

    async fn fees(&self, _: Request<FeesRequest>) -> Result<Response<FeesResponse>, Status> {
        Err(Status::unimplemented("fees of Solana are not read"))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchResponse>, Status> {
        Err(Status::unimplemented(
            "transfers on Solana are not told: ask again about what was granted when it has aged",
        ))
    }
}
