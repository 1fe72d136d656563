//! What is read out of the answers of EVM endpoints.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use serde_json::Value;
pub(crate) use streamgate_chain_common::RpcError;

/// What a contract gave back when it reverted; none if that is not what happened.
pub(crate) fn reverted(error: &RpcError) -> Option<Bytes> {
    match error {
        RpcError::Refused { code, message, data } if *code == 3 || message.contains("revert") => {
            Some(data.as_ref().and_then(revert_data).unwrap_or_default())
        }
        _ => None,
    }
}

/// Nodes give the data of a revert as a text, or as an object with `data` in it.
fn revert_data(value: &Value) -> Option<Bytes> {
    let text = value.as_str().or_else(|| value.get("data")?.as_str())?;
    text.parse().ok()
}

/// The head of a block, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Block {
    #[serde(deserialize_with = "quantity")]
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    /// Unix time, seconds.
    #[serde(deserialize_with = "quantity")]
    pub(crate) timestamp: u64,
}

fn quantity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    U64::deserialize(deserializer).map(|number| number.to())
}

/// One record of what a contract told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) block_hash: B256,
    #[serde(deserialize_with = "quantity")]
    pub(crate) block_number: u64,
    #[serde(deserialize_with = "quantity")]
    pub(crate) log_index: u64,
    pub(crate) transaction_hash: B256,
}

/// What became of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) transaction_hash: B256,
    pub(crate) block_hash: B256,
    #[serde(deserialize_with = "quantity")]
    pub(crate) block_number: u64,
    #[serde(deserialize_with = "quantity")]
    status: u64,
}

impl Receipt {
    /// Whether the contract did what it was told.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == 1
    }
}

/// `eth_feeHistory`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeeHistory {
    #[serde(deserialize_with = "quantity")]
    pub(crate) oldest_block: u64,
    #[serde(default)]
    pub(crate) base_fee_per_gas: Vec<U256>,
    #[serde(default)]
    pub(crate) gas_used_ratio: Vec<f64>,
    #[serde(default)]
    pub(crate) reward: Option<Vec<Vec<U256>>>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_data_of_a_revert_is_found_in_both_of_its_places() {
        for data in [json!("0x7e27"), json!({ "data": "0x7e27" })] {
            let error = RpcError::Refused { code: 3, message: "execution reverted".into(), data: Some(data) };
            assert_eq!(reverted(&error).unwrap(), Bytes::from_static(&[0x7e, 0x27]));
        }
    }

    proptest! {
        #[test]
        fn no_block_or_log_makes_the_parser_panic(text in "[0-9a-fx]{0,70}") {
            let block = json!({ "number": text, "hash": text, "parentHash": text, "timestamp": text });
            let _ = serde_json::from_value::<Block>(block);
        }
    }
}
