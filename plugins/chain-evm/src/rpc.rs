//! JSON-RPC 2.0 as endpoints speak it: what is read out of answers, and how calls fail.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use serde_json::Value;

/// Why an endpoint gave no answer to a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RpcError {
    #[error("no answer within {0:?}")]
    Deadline(std::time::Duration),
    #[error("{0} calls to it are under way, and none ended in time")]
    Busy(usize),
    #[error("{0}")]
    Transport(String),
    #[error("status {0} instead of an answer; redirects are not followed")]
    Status(u16),
    #[error("its answer is no answer to the call: {0}")]
    Malformed(String),
    #[error("it serves chain {found}, not {wanted}")]
    OtherChain { found: u64, wanted: u64 },
    #[error("it lags: {0}")]
    Behind(String),
    #[error("error {code}: {message}")]
    Refused { code: i64, message: String, data: Option<Bytes> },
}

impl RpcError {
    /// Whether the endpoint is at fault, and not what it was asked.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Behind(_) | Self::OtherChain { .. } | Self::Busy(_))
    }

    /// What a contract gave back when it reverted; none if that is not what happened.
    pub(crate) fn reverted(&self) -> Option<Bytes> {
        match self {
            Self::Refused { code, message, data } if *code == 3 || message.contains("revert") => {
                Some(data.clone().unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// The answer to the call `id`, out of a body.
pub(crate) fn answer(body: &[u8], id: u64) -> Result<Value, RpcError> {
    let reply: Reply =
        serde_json::from_slice(body).map_err(|error| RpcError::Malformed(error.to_string()))?;
    if let Some(error) = reply.error {
        let data = error.data.as_ref().and_then(revert_data);
        return Err(RpcError::Refused {
            code: error.code,
            message: error.message.chars().take(200).collect(),
            data,
        });
    }
    if reply.id != id {
        return Err(RpcError::Malformed(format!("it is for another call than {id}")));
    }
    Ok(reply.result)
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Value,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Value>,
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
    fn an_answer_to_another_call_is_none() {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "result": "0x1" }).to_string();
        assert_eq!(answer(body.as_bytes(), 7).unwrap(), "0x1");
        assert!(matches!(answer(body.as_bytes(), 8), Err(RpcError::Malformed(_))));
    }

    #[test]
    fn the_data_of_a_revert_is_found_in_both_of_its_places() {
        for data in [json!("0x7e27"), json!({ "data": "0x7e27" })] {
            let body =
                json!({ "id": 1, "error": { "code": 3, "message": "execution reverted", "data": data } });
            let error = answer(body.to_string().as_bytes(), 1).unwrap_err();
            assert_eq!(error.reverted().unwrap(), Bytes::from_static(&[0x7e, 0x27]));
            assert!(!error.counts());
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body: Vec<u8>, id: u64) {
            let _ = answer(&body, id);
        }

        #[test]
        fn no_block_or_log_makes_the_parser_panic(text in "[0-9a-fx]{0,70}") {
            let block = json!({ "number": text, "hash": text, "parentHash": text, "timestamp": text });
            let _ = serde_json::from_value::<Block>(block);
        }
    }
}
