//! Chain access for a plugin with a private key: agreed reads, and sending of signed transactions. No key is
//! ever here.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use serde_json::{Value, json};
use streamgate_chain_common::{RpcError, Unknown};

use crate::chain::Chain;
use crate::endpoint::{At, Endpoint, quantity};
use crate::revert::reverted;
use crate::rpc::{Count, Log, Receipt};

/// The effect of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Estimate {
    Gas(u64),
    Reverts(Bytes),
}

/// The blocks from `first` to `last`, whose hash is `last_hash`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) last_hash: B256,
}

impl Chain {
    /// The hash of a block; `None` if endpoints agree that there is none. If the block `exists`, an endpoint
    /// without it lags.
    pub(crate) async fn hash_of(&self, number: u64, exists: bool) -> Result<Option<B256>, Unknown> {
        if exists {
            return Ok(Some(self.pool.block(number).await?.hash));
        }
        let ask = |endpoint: Arc<Endpoint>| async move { endpoint.block(At::Number(number)).await };
        Ok(self.pool.agree(ask).await?.map(|block| block.hash))
    }

    /// The number of the account's transactions after a block.
    pub(crate) async fn used(&self, account: Address, block: u64) -> Result<u64, Unknown> {
        let params = &json!([account, quantity(block)]);
        let ask = |endpoint: Arc<Endpoint>| async move {
            endpoint.call::<Count>("eth_getTransactionCount", params.clone()).await
        };
        Ok(self.pool.agree(ask).await?.0)
    }

    /// The gas that a call needs.
    pub(crate) async fn estimate(
        &self,
        from: Address,
        to: Address,
        data: &Bytes,
    ) -> Result<Estimate, Unknown> {
        let params = &json!([{ "from": from, "to": to, "data": data }, "latest"]);
        let ask = |endpoint: Arc<Endpoint>| async move {
            match endpoint.call::<Count>("eth_estimateGas", params.clone()).await {
                Ok(Count(gas)) => Ok(Estimate::Gas(gas)),
                Err(error) => reverted(&error).map(Estimate::Reverts).ok_or(error),
            }
        };
        // They need not agree on the amount; but one alone cannot make it a revert.
        let agreed = self.pool.agree(|endpoint| async move {
            Ok(match ask(endpoint).await? {
                Estimate::Gas(_) => None,
                Estimate::Reverts(data) => Some(data),
            })
        });
        if let Some(data) = agreed.await? {
            return Ok(Estimate::Reverts(data));
        }
        let gas = self.pool.first(|endpoint| async move {
            match ask(endpoint).await? {
                Estimate::Gas(gas) => Ok(gas),
                Estimate::Reverts(_) => {
                    Err(RpcError::Malformed("it is the only one to report a revert".into()))
                }
            }
        });
        Ok(Estimate::Gas(gas.await?))
    }

    /// The receipt of a transaction; `None` if it is in no block.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, Unknown> {
        let ask = |endpoint: Arc<Endpoint>| async move {
            let receipt: Option<Receipt> = endpoint.call("eth_getTransactionReceipt", json!([hash])).await?;
            match receipt {
                Some(receipt) if receipt.transaction_hash != hash => {
                    Err(RpcError::Malformed("a receipt of another transaction".into()))
                }
                receipt => Ok(receipt),
            }
        };
        self.pool.agree(ask).await
    }

    /// Logs of these contracts and one of these topics.
    pub(crate) async fn logs(
        &self,
        Blocks { first, last, last_hash }: Blocks,
        contracts: &[Address],
        topics: &[B256],
    ) -> Result<Vec<Log>, Unknown> {
        let ask = |endpoint: Arc<Endpoint>| async move {
            // A lagging endpoint would return fewer logs, without saying so.
            match endpoint.block(At::Number(last)).await? {
                Some(block) if block.hash == last_hash => {}
                _ => return Err(RpcError::Behind(format!("it does not know block {last_hash}"))),
            }
            endpoint.logs_between((first, last), contracts, topics).await
        };
        self.pool.agree(ask).await
    }

    /// Sends a signed transaction to all endpoints; one that accepts it is enough. Returns why none did.
    pub(crate) async fn send_raw(&self, raw: &Bytes) -> Result<(), String> {
        let given = self.pool.each(|endpoint| async move {
            match endpoint.call::<Value>("eth_sendRawTransaction", json!([raw])).await {
                Err(error) if !is_known(&error) => Err(error),
                _ => Ok(()),
            }
        });
        let given = given.await;
        if given.iter().any(Result::is_ok) {
            return Ok(());
        }
        let mut reasons: Vec<String> =
            given.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        reasons.dedup();
        Err(if reasons.is_empty() { "all endpoints are paused".into() } else { reasons.join("; ") })
    }
}

/// Whether an endpoint refuses a transaction only because it, or the chain, has it already.
fn is_known(error: &RpcError) -> bool {
    let RpcError::Refused { message, .. } = error else { return false };
    let message = message.to_lowercase();
    ["already known", "already imported", "known transaction", "nonce too low"]
        .iter()
        .any(|known| message.contains(known))
}
