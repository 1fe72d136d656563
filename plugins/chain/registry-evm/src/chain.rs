//! One chain, through the plugin that provides `chain`: no answer of an endpoint is parsed here, and no
//! connection is made.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use streamgate_contracts::MAX_MESSAGE_BYTES;
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::estimate_gas_response::Estimate as WireEstimate;
use streamgate_contracts::chain::v1::ledger_client::LedgerClient;
use streamgate_plugin_api::Client;
use tonic::{Code, Response, Status};

use crate::caip::{Account, ChainId};

/// How long to wait for an answer: endpoints have their own, shorter deadlines.
const DEADLINE: Duration = Duration::from_secs(150);
/// Blocks that the typical fee is computed from.
const FEE_BLOCKS: u32 = 10;

/// The chain cannot be read now, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unknown(pub(crate) String);

impl From<Status> for Unknown {
    fn from(status: Status) -> Self {
        Self(status.message().to_owned())
    }
}

/// A block that endpoints agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// The last block, and how many blocks below it may be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) block: Block,
    pub(crate) reorg_depth: u64,
}

/// The effect of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Estimate {
    Gas(u64),
    /// The contract reverts, for this reason.
    Reverts(String),
}

/// The receipt of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) transaction: B256,
    pub(crate) block: Block,
    /// Whether the call succeeded.
    pub(crate) succeeded: bool,
}

/// The price of a unit of gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price {
    /// The base fee of the next block.
    pub(crate) base: u128,
    /// The median tip of the gas used, at most; `None`: unknown.
    pub(crate) tip: Option<u128>,
}

/// One log record of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) block: Block,
    pub(crate) log_index: u64,
    pub(crate) transaction: B256,
}

/// A chain, by its number.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    ledger: LedgerClient<Client>,
    fees: ChainClient<Client>,
}

impl Chain {
    pub(crate) fn new(chain: Client, id: ChainId) -> Self {
        Self {
            id,
            ledger: LedgerClient::new(chain.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            fees: ChainClient::new(chain),
        }
    }

    fn name(&self, address: Address) -> String {
        Account { chain: self.id, address }.to_string()
    }

    /// The last block.
    pub(crate) async fn head(&self) -> Result<Head, Unknown> {
        let request = wire::HeadRequest { chain: self.id.to_string() };
        let head = answered(self.ledger.clone().head(request)).await?;
        let block = Block { number: head.block, hash: hash(&head.block_hash)? };
        Ok(Head { block, reorg_depth: head.reorg_depth })
    }

    /// The block of this number, which must exist.
    pub(crate) async fn block(&self, number: u64) -> Result<Block, Unknown> {
        let hash = self.hash_of(number, true).await?;
        let hash = hash.ok_or_else(|| Unknown(format!("{} has no block {number}", self.id)))?;
        Ok(Block { number, hash })
    }

    /// The hash of the block of this number; `None` if there is no such block.
    pub(crate) async fn hash_of(&self, number: u64, exists: bool) -> Result<Option<B256>, Unknown> {
        let request = wire::BlockRequest { chain: self.id.to_string(), block: number, exists };
        let found = answered(self.ledger.clone().block(request)).await?;
        (!found.block_hash.is_empty()).then(|| hash(&found.block_hash)).transpose()
    }

    /// The number of the account's transactions after a block.
    pub(crate) async fn used(&self, account: Address, block: u64) -> Result<u64, Unknown> {
        let request = wire::TransactionCountRequest { account: self.name(account), block };
        Ok(answered(self.ledger.clone().transaction_count(request)).await?.count)
    }

    pub(crate) async fn estimate(
        &self,
        from: Address,
        to: Address,
        data: &Bytes,
    ) -> Result<Estimate, Unknown> {
        let (from, to) = (self.name(from), self.name(to));
        let request = wire::EstimateGasRequest { from, to, data: data.0.clone() };
        match answered(self.ledger.clone().estimate_gas(request)).await?.estimate {
            Some(WireEstimate::Gas(gas)) => Ok(Estimate::Gas(gas)),
            Some(WireEstimate::Refused(reason)) => Ok(Estimate::Reverts(reason)),
            None => Err(Unknown("an estimate without a number".into())),
        }
    }

    /// The receipt of a transaction; `None` if it is in no block.
    pub(crate) async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, Unknown> {
        let bytes = Bytes::from(transaction).0;
        let request = wire::ReceiptRequest { chain: self.id.to_string(), transaction: bytes };
        let found = answered(self.ledger.clone().receipt(request)).await?;
        let Some(number) = found.block else { return Ok(None) };
        let block = Block { number, hash: hash(&found.block_hash)? };
        Ok(Some(Receipt { transaction, block, succeeded: found.succeeded }))
    }

    /// The contract's logs in the blocks from `first` to `last`, under one of these topics.
    pub(crate) async fn logs(
        &self,
        contract: Address,
        topics: &[B256],
        first: u64,
        last: Block,
    ) -> Result<Vec<Log>, Unknown> {
        let request = wire::LogsRequest {
            contracts: vec![self.name(contract)],
            topics: topics.iter().map(|topic| Bytes::from(*topic).0).collect(),
            first,
            last: last.number,
            last_hash: Bytes::from(last.hash).0,
        };
        let found = answered(self.ledger.clone().logs(request)).await?.logs;
        found.into_iter().map(|found| log(contract, found)).collect()
    }

    /// The current price of a unit of gas.
    pub(crate) async fn price(&self) -> Result<Price, Unknown> {
        let request = wire::FeesRequest { chain: self.id.to_string(), blocks: FEE_BLOCKS };
        let fees = answered(self.fees.clone().fees(request)).await?;
        // Fees beyond any that can be paid.
        let wei = |text: &str| text.parse().unwrap_or(u128::MAX);
        let known = |text: &str| (!text.is_empty()).then(|| wei(text));
        Ok(Price { base: known(&fees.next_base_fee).unwrap_or(0), tip: known(&fees.normal) })
    }

    /// Sends a signed transaction to the endpoints. Returns why none accepted it.
    pub(crate) async fn send(&self, raw: &Bytes) -> Result<(), Unknown> {
        let request = wire::SendRawRequest { chain: self.id.to_string(), raw: raw.0.clone() };
        let answer = answered(self.ledger.clone().send_raw(request)).await?;
        if answer.refused.is_empty() { Ok(()) } else { Err(Unknown(answer.refused)) }
    }
}

/// Whether the provider of `chain` has a version that sends for others, and so does not send on its own.
pub(crate) async fn sends_for_others(chain: Client) -> bool {
    let mut ledger = LedgerClient::new(chain);
    let answer = tokio::time::timeout(DEADLINE, ledger.head(wire::HeadRequest::default())).await;
    !matches!(answer, Ok(Err(status)) if status.code() == Code::Unimplemented)
}

async fn answered<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Unknown> {
    let answer = tokio::time::timeout(DEADLINE, call).await;
    Ok(answer.map_err(|_| Unknown("`chain` does not answer".into()))??.into_inner())
}

fn hash(bytes: &[u8]) -> Result<B256, Unknown> {
    B256::try_from(bytes).map_err(|_| Unknown(format!("a hash of {} bytes", bytes.len())))
}

fn log(contract: Address, found: wire::Log) -> Result<Log, Unknown> {
    let account = Account::parse(&found.contract).map_err(|error| Unknown(error.to_string()))?;
    if account.address != contract {
        return Err(Unknown(format!("a log of {account}, which was not asked for")));
    }
    Ok(Log {
        address: account.address,
        topics: found.topics.iter().map(|topic| hash(topic)).collect::<Result<_, _>>()?,
        data: found.data.into(),
        block: Block { number: found.block, hash: hash(&found.block_hash)? },
        log_index: found.log_index,
        transaction: hash(&found.transaction)?,
    })
}
