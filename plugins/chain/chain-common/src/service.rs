//! The `chain` contract over gRPC, for the chains of any plugin: queries are grouped by chain and finality,
//! and each chain answers its own together.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1::chain_server::{Chain as Contract, ChainServer};
use streamgate_contracts::chain::v1::{
    Answer, BatchRequest, BatchResponse, ChainState, ChainsRequest, ChainsResponse, DescribeRequest,
    DescribeResponse, FeesRequest, FeesResponse, Question, SignatureRequest, SignatureResponse, WatchRequest,
    WatchResponse,
};
use tonic::{Request, Response, Status};

use crate::query::{Malformed, unread};

/// Maximum queries of one batch.
const MAX_QUESTIONS: usize = 256;

/// A chain that answers queries.
pub trait AskedChain: Send + Sync + 'static {
    /// Its name, CAIP-2.
    type Id: Copy + Ord + Display + Send + Sync;
    /// The finality of a block.
    type Finality: Copy + Ord + Send + Sync;
    /// A valid query.
    type Query: Clone + Send + Sync;

    /// A query in the plugin's form.
    ///
    /// # Errors
    /// Why it is invalid.
    fn query(question: Question) -> Result<Self::Query, Malformed>;

    /// The chain of the query.
    fn id(query: &Self::Query) -> Self::Id;

    /// The required finality: that of the query, else that of the chain's settings.
    fn finality(&self, query: &Self::Query) -> Self::Finality;

    /// The known state, without a call.
    fn state(&self) -> ChainState;

    /// Answers queries of one finality at one block, in their order.
    fn answer(
        &self,
        finality: Self::Finality,
        queries: &[Self::Query],
    ) -> impl Future<Output = Vec<Answer>> + Send;
}

/// The chains of a plugin, and the calls of the contract that each plugin implements itself.
pub trait Chains: Send + Sync + 'static {
    /// One of them.
    type Chain: AskedChain;
    /// The name of the plugin, in the settings.
    const PLUGIN: &'static str;

    /// The chain of this name; `None` if it is off.
    fn chain(&self, id: Id<Self>) -> Option<Arc<Self::Chain>>;

    /// All that are on.
    fn chains(&self) -> Vec<Arc<Self::Chain>>;

    /// Name and title of those in the settings that are off, because they have no endpoint.
    fn off_chains(&self) -> Vec<(Id<Self>, String)>;

    /// `Chain.IsValidSignature`.
    fn is_valid_signature(
        &self,
        request: SignatureRequest,
    ) -> impl Future<Output = Result<SignatureResponse, Status>> + Send;

    /// `Chain.Describe`.
    fn describe(
        &self,
        request: DescribeRequest,
    ) -> impl Future<Output = Result<DescribeResponse, Status>> + Send;

    /// `Chain.Fees`.
    fn fees(&self, request: FeesRequest) -> impl Future<Output = Result<FeesResponse, Status>> + Send;

    /// `Chain.Watch`.
    fn watch(&self, request: WatchRequest) -> impl Future<Output = Result<WatchResponse, Status>> + Send;

    /// The error for a chain that is off.
    fn off(id: Id<Self>) -> String {
        format!("{id} is off: no endpoint is set for it in [plugins.{}]", Self::PLUGIN)
    }
}

/// The name of a chain in a plugin.
pub type Id<C> = <<C as Chains>::Chain as AskedChain>::Id;

/// The service of the contract.
pub fn server(chains: impl Chains) -> ChainServer<impl Contract> {
    ChainServer::new(Service(chains))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// An invalid request.
pub fn invalid(error: impl Display) -> Status {
    Status::invalid_argument(error.to_string())
}

struct Service<C>(C);

impl<C: Chains> Service<C> {
    async fn answer(&self, questions: Vec<Question>) -> Result<Vec<Answer>, Status> {
        let mut queries = Vec::with_capacity(questions.len());
        for (index, question) in questions.into_iter().enumerate() {
            let query = C::Chain::query(question);
            queries.push(query.map_err(|error| invalid(format!("question {index}: {error}")))?);
        }
        let mut answers: Vec<Answer> =
            queries.iter().map(|query| unread(C::off(C::Chain::id(query)))).collect();
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, query) in queries.iter().enumerate() {
            let id = C::Chain::id(query);
            if let Some(chain) = self.0.chain(id) {
                groups.entry((id, chain.finality(query))).or_default().push(index);
            }
        }
        let asked = groups.into_iter().filter_map(|((id, finality), members)| {
            let chain = self.0.chain(id)?;
            let some: Vec<_> = members.iter().map(|index| queries[*index].clone()).collect();
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

#[tonic::async_trait]
impl<C: Chains> Contract for Service<C> {
    async fn chains(&self, _: Request<ChainsRequest>) -> Result<Response<ChainsResponse>, Status> {
        let off = self.0.off_chains().into_iter();
        let off = off.map(|(id, name)| ChainState { chain: id.to_string(), name, ..ChainState::default() });
        let chains = self.0.chains().iter().map(|chain| chain.state()).chain(off).collect();
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
        self.0.is_valid_signature(request.into_inner()).await.map(Response::new)
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        self.0.describe(request.into_inner()).await.map(Response::new)
    }

    async fn fees(&self, request: Request<FeesRequest>) -> Result<Response<FeesResponse>, Status> {
        self.0.fees(request.into_inner()).await.map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchResponse>, Status> {
        self.0.watch(request.into_inner()).await.map(Response::new)
    }
}
