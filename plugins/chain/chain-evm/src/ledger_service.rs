//! The `Ledger` contract over gRPC.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use streamgate_chain_common::{Chains as _, Unknown, invalid};
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::estimate_gas_response::Estimate as WireEstimate;
use streamgate_contracts::chain::v1::ledger_server::{Ledger, LedgerServer};
use tonic::{Request, Response, Status};

use crate::caip::{Account, ChainId};
use crate::chain::{Chain, MAX_SPAN};
use crate::erc;
use crate::ledger::{Blocks, Estimate};
use crate::registry::Registry;
use crate::rpc::Log;
use crate::service::ChainService;
use crate::settings::Finality;

/// Maximum contracts and topics of one request for logs.
const MAX_FILTERS: usize = 16;
const MAX_CALL: usize = 16 * 1024;
const MAX_RAW: usize = 128 * 1024;

type Answer<T> = Result<Response<T>, Status>;

/// Answers the calls of plugins with a private key.
pub(crate) struct LedgerService {
    registry: Arc<Registry>,
}

impl LedgerService {
    pub(crate) fn server(registry: Arc<Registry>) -> LedgerServer<Self> {
        LedgerServer::new(Self { registry })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn on(&self, id: ChainId) -> Result<Arc<Chain>, Status> {
        self.registry.chain(id).ok_or_else(|| Status::not_found(ChainService::off(id)))
    }

    fn chain(&self, name: &str) -> Result<Arc<Chain>, Status> {
        self.on(ChainId::parse(name).map_err(invalid)?)
    }
}

fn unread(unknown: Unknown) -> Status {
    Status::unavailable(unknown.to_string())
}

fn hash(bytes: &[u8]) -> Result<B256, Status> {
    B256::try_from(bytes).map_err(|_| invalid(format!("a hash of {} bytes; it has 32", bytes.len())))
}

/// Checks a length.
fn bounded(what: &str, length: usize, most: usize) -> Result<(), Status> {
    (length <= most).then_some(()).ok_or_else(|| invalid(format!("{length} {what} are more than {most}")))
}

/// Accounts of one chain: that chain, and their addresses.
fn accounts(texts: &[String]) -> Result<(ChainId, Vec<Address>), Status> {
    let accounts = texts.iter().map(|text| Account::parse(text)).collect::<Result<Vec<_>, _>>();
    let accounts = accounts.map_err(invalid)?;
    let Some(first) = accounts.first() else { return Err(invalid("no account is named")) };
    if let Some(other) = accounts.iter().find(|account| account.chain != first.chain) {
        return Err(invalid(format!("{first} and {other} are on different chains")));
    }
    Ok((first.chain, accounts.iter().map(|account| account.address).collect()))
}

fn log(chain: ChainId, log: Log) -> wire::Log {
    wire::Log {
        contract: Account { chain, address: log.address }.to_string(),
        topics: log.topics.iter().map(|topic| Bytes::from(*topic).into()).collect(),
        data: log.data.into(),
        block: log.block_number,
        block_hash: Bytes::from(log.block_hash).into(),
        log_index: log.log_index,
        transaction: Bytes::from(log.transaction_hash).into(),
    }
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn head(&self, request: Request<wire::HeadRequest>) -> Answer<wire::HeadResponse> {
        let chain = self.chain(&request.get_ref().chain)?;
        let head = chain.head(Finality::Latest, 0).await.map_err(unread)?;
        let (block, block_hash) = (head.number, Bytes::from(head.hash).into());
        Ok(Response::new(wire::HeadResponse { block, block_hash, reorg_depth: chain.settings.reorg_depth }))
    }

    async fn block(&self, request: Request<wire::BlockRequest>) -> Answer<wire::BlockResponse> {
        let wire::BlockRequest { chain, block, exists } = request.into_inner();
        let found = self.chain(&chain)?.hash_of(block, exists).await.map_err(unread)?;
        let block_hash = found.map(|hash| Bytes::from(hash).into()).unwrap_or_default();
        Ok(Response::new(wire::BlockResponse { block_hash }))
    }

    async fn transaction_count(
        &self,
        request: Request<wire::TransactionCountRequest>,
    ) -> Answer<wire::TransactionCountResponse> {
        let wire::TransactionCountRequest { account, block } = request.into_inner();
        let account = Account::parse(&account).map_err(invalid)?;
        let count = self.on(account.chain)?.used(account.address, block).await.map_err(unread)?;
        Ok(Response::new(wire::TransactionCountResponse { count }))
    }

    async fn estimate_gas(
        &self,
        request: Request<wire::EstimateGasRequest>,
    ) -> Answer<wire::EstimateGasResponse> {
        let wire::EstimateGasRequest { from, to, data } = request.into_inner();
        bounded("bytes of a call", data.len(), MAX_CALL)?;
        let (chain, accounts) = accounts(&[from, to])?;
        let estimate = self.on(chain)?.estimate(accounts[0], accounts[1], &data.into()).await;
        let estimate = match estimate.map_err(unread)? {
            Estimate::Gas(gas) => WireEstimate::Gas(gas),
            Estimate::Reverts(data) => WireEstimate::Refused(erc::revert_reason(&data)),
        };
        Ok(Response::new(wire::EstimateGasResponse { estimate: Some(estimate) }))
    }

    async fn receipt(&self, request: Request<wire::ReceiptRequest>) -> Answer<wire::ReceiptResponse> {
        let wire::ReceiptRequest { chain, transaction } = request.into_inner();
        let receipt = self.chain(&chain)?.receipt(hash(&transaction)?).await.map_err(unread)?;
        let answer = receipt.map(|receipt| wire::ReceiptResponse {
            block: Some(receipt.block_number),
            block_hash: Bytes::from(receipt.block_hash).into(),
            succeeded: receipt.succeeded(),
        });
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn logs(&self, request: Request<wire::LogsRequest>) -> Answer<wire::LogsResponse> {
        let wire::LogsRequest { contracts, topics, first, last, last_hash } = request.into_inner();
        bounded("contracts", contracts.len(), MAX_FILTERS)?;
        bounded("topics", topics.len(), MAX_FILTERS)?;
        let topics = topics.iter().map(|topic| hash(topic)).collect::<Result<Vec<_>, _>>()?;
        if topics.is_empty() || last < first || last - first >= MAX_SPAN {
            return Err(invalid(format!(
                "logs are read by topic and from 1 to {MAX_SPAN} blocks at once, not {first} to {last}"
            )));
        }
        let (id, contracts) = accounts(&contracts)?;
        let blocks = Blocks { first, last, last_hash: hash(&last_hash)? };
        let logs = self.on(id)?.logs(blocks, &contracts, &topics).await.map_err(unread)?;
        Ok(Response::new(wire::LogsResponse { logs: logs.into_iter().map(|found| log(id, found)).collect() }))
    }

    async fn send_raw(&self, request: Request<wire::SendRawRequest>) -> Answer<wire::SendRawResponse> {
        let wire::SendRawRequest { chain, raw } = request.into_inner();
        bounded("bytes of a transaction", raw.len(), MAX_RAW)?;
        let refused = self.chain(&chain)?.send_raw(&raw.into()).await.err().unwrap_or_default();
        Ok(Response::new(wire::SendRawResponse { refused }))
    }
}
