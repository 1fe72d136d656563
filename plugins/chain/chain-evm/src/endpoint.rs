//! One endpoint of an EVM chain: reads, and their blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes as Data};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use streamgate_chain_common::{Shows, check_time};

use crate::prepared;
use crate::revert::reverted;
use crate::rpc::{Block, Log, Quantity, RpcError};
use crate::settings::Settings;

/// Maximum bytes of a contract's answer: a list of some hundred delegations is longer than a word.
pub(crate) const KEPT_RETURN: usize = 32 * 1024;
/// Maximum bytes of its code, and of its revert message.
const KEPT_OTHER: usize = 1024;

/// Which block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    Tag(&'static str),
    Number(u64),
}

impl At {
    fn param(self) -> Value {
        match self {
            Self::Tag(tag) => tag.into(),
            Self::Number(number) => quantity(number),
        }
    }
}

/// A read at a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    Call {
        to: Address,
        data: Data,
    },
    /// Code that is sent along, and run in place of a new contract's.
    Run(Data),
    Balance(Address),
    Code(Address),
}

/// The result of a read. A revert is an answer, too.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// At most the first [`KEPT_RETURN`] bytes, and the total number.
    Returned(Data, usize),
    /// The returned data is for people only: some clients omit it.
    Reverted(Data),
}

/// Endpoints agree that a contract reverted, whatever the details.
impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Returned(data, length), Self::Returned(other, long)) => (data, length) == (other, long),
            (Self::Reverted(_), Self::Reverted(_)) => true,
            _ => false,
        }
    }
}

/// An endpoint and its state.
pub(crate) struct Endpoint {
    rpc: streamgate_chain_common::Endpoint,
    /// Whether it supports EIP-1898; assumed until it refuses.
    by_hash: AtomicBool,
    /// Gas that a contract may use to answer one call.
    gas: u64,
}

impl AsRef<streamgate_chain_common::Endpoint> for Endpoint {
    fn as_ref(&self) -> &streamgate_chain_common::Endpoint {
        &self.rpc
    }
}

impl Endpoint {
    /// An endpoint of chain `chain`.
    ///
    /// # Errors
    /// The problem of the URL.
    pub(crate) fn new(url: &str, chain: u64, settings: &Settings) -> Result<Self, String> {
        let shows = Shows { method: "eth_chainId", read: chain_number, wanted: chain.to_string() };
        let rpc = streamgate_chain_common::Endpoint::new(url, shows, settings.limits())?;
        Ok(Self { rpc, by_hash: AtomicBool::new(true), gas: settings.call_gas })
    }

    /// Calls the endpoint, once it has proved its chain.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.rpc.call(method, params).await
    }

    /// The block of this tag or number; `None` if it does not know it.
    pub(crate) async fn block(&self, at: At) -> Result<Option<Block>, RpcError> {
        let block: Option<Block> = self.call("eth_getBlockByNumber", json!([at.param(), false])).await?;
        if let (Some(block), At::Number(wanted)) = (&block, at)
            && block.number != wanted
        {
            return Err(RpcError::Malformed(format!("block {} instead of {wanted}", block.number)));
        }
        Ok(block)
    }

    /// The block of a tag, if it is not below `floor` and of a plausible time.
    pub(crate) async fn head(
        &self,
        tag: &'static str,
        floor: u64,
        max_age: Option<Duration>,
    ) -> Result<Block, RpcError> {
        let block = self.block(At::Tag(tag)).await?;
        let block = block.ok_or_else(|| RpcError::Behind(format!("it has no {tag} block")))?;
        if block.number < floor {
            return Err(RpcError::Behind(format!("block {} is below {floor}", block.number)));
        }
        check_time("block", block.number, block.timestamp, max_age)?;
        Ok(block)
    }

    /// Reads at a block, by its hash where the endpoint can (EIP-1898).
    pub(crate) async fn read(&self, block: &Block, read: &Read) -> Result<Outcome, RpcError> {
        if self.by_hash.load(Ordering::Relaxed) {
            let at = json!({ "blockHash": block.hash, "requireCanonical": true });
            match self.read_at(at, read).await {
                Err(RpcError::Refused { code: -32602 | -32600, message, .. }) => {
                    tracing::info!(
                        endpoint = self.rpc.label(),
                        message,
                        "the endpoint does not support block hashes (EIP-1898)"
                    );
                    self.by_hash.store(false, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
        let outcome = self.read_at(quantity(block.number), read).await?;
        // The number may refer to another block meanwhile.
        match self.block(At::Number(block.number)).await? {
            Some(still) if still.hash == block.hash => Ok(outcome),
            _ => Err(RpcError::Behind(format!("block {} was replaced while it was read", block.number))),
        }
    }

    async fn read_at(&self, at: Value, read: &Read) -> Result<Outcome, RpcError> {
        let kept = if matches!(read, Read::Code(_)) { KEPT_OTHER } else { KEPT_RETURN };
        let read: Result<Data, RpcError> = match read {
            Read::Call { to, data } => {
                let call = json!({ "to": to, "data": data, "gas": quantity(self.gas) });
                self.call("eth_call", json!([call, at])).await
            }
            Read::Run(code) => self.run_at(at, code).await,
            Read::Code(address) => self.call("eth_getCode", json!([address, at])).await,
            Read::Balance(address) => {
                let balance: Result<Quantity, _> = self.call("eth_getBalance", json!([address, at])).await;
                balance.map(|balance| balance.0.to_be_bytes::<32>().into())
            }
        };
        match read {
            Ok(data) => {
                let length = data.len();
                Ok(Outcome::Returned(data.slice(..length.min(kept)).to_vec().into(), length))
            }
            Err(error) => match reverted(&error) {
                Some(data) => Ok(Outcome::Reverted(data.slice(..data.len().min(KEPT_OTHER)).to_vec().into())),
                None => Err(error),
            },
        }
    }

    /// The full result of a call, for combined calls; with more gas.
    pub(crate) async fn call_many(
        &self,
        block: &Block,
        to: Address,
        data: &Data,
        calls: u64,
    ) -> Result<Data, RpcError> {
        if !self.by_hash.load(Ordering::Relaxed) {
            return Err(RpcError::Behind("it does not support block hashes".into()));
        }
        let at = json!({ "blockHash": block.hash, "requireCanonical": true });
        let gas = quantity(self.gas.saturating_mul(calls.min(4)));
        self.call("eth_call", json!([{ "to": to, "data": data, "gas": gas }, at])).await
    }

    /// The result of code that is sent along, and run in place of a new contract's.
    pub(crate) async fn run(&self, block: &Block, code: &Data) -> Result<Data, RpcError> {
        if !self.by_hash.load(Ordering::Relaxed) {
            return Err(RpcError::Behind("it does not support block hashes".into()));
        }
        self.run_at(json!({ "blockHash": block.hash, "requireCanonical": true }), code).await
    }

    async fn run_at(&self, at: Value, code: &Data) -> Result<Data, RpcError> {
        let gas = quantity(self.gas.saturating_mul(2));
        self.call("eth_call", json!([{ "from": prepared::SENDER, "data": code, "gas": gas }, at])).await
    }

    /// Logs of one block with these contracts and one of these topics.
    pub(crate) async fn logs_of(
        &self,
        block: &Block,
        contracts: &[Address],
        topics: &[B256],
    ) -> Result<Vec<Log>, RpcError> {
        let filter = json!({ "blockHash": block.hash, "address": contracts, "topics": [topics] });
        let logs: Vec<Log> = self.call("eth_getLogs", json!([filter])).await?;
        let asked = |log: &Log| {
            (log.block_hash, log.block_number) == (block.hash, block.number)
                && contracts.contains(&log.address)
        };
        if !logs.iter().all(asked) {
            return Err(RpcError::Malformed("a log of another block or contract".into()));
        }
        Ok(logs)
    }

    /// The same of all blocks from `first` to `last`.
    pub(crate) async fn logs_between(
        &self,
        (first, last): (u64, u64),
        contracts: &[Address],
        topics: &[B256],
    ) -> Result<Vec<Log>, RpcError> {
        let (from, to) = (quantity(first), quantity(last));
        let filter = json!({ "fromBlock": from, "toBlock": to, "address": contracts, "topics": [topics] });
        let logs: Vec<Log> = self.call("eth_getLogs", json!([filter])).await?;
        let asked =
            |log: &Log| (first..=last).contains(&log.block_number) && contracts.contains(&log.address);
        if !logs.iter().all(asked) {
            return Err(RpcError::Malformed("a log of another block or contract".into()));
        }
        Ok(logs)
    }
}

fn chain_number(result: &Value) -> Option<String> {
    serde_json::from_value(result.clone()).ok().map(|Quantity(number)| number.to_string())
}

pub(crate) fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
}
