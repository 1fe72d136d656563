//! Decoding of the answers of EVM endpoints.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
pub(crate) use streamgate_chain_common::RpcError;

/// The head of a block, as far as it is needed.
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

/// A number in the form of endpoints: `0x` and at least one hexadecimal digit. A lax parser makes a zero of
/// an empty text, and a zero may be what a rule requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Quantity(pub(crate) U256);

impl TryFrom<String> for Quantity {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("0x").filter(|digits| (1..=64).contains(&digits.len()));
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| U256::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or("a number must be 0x and hexadecimal digits")
    }
}

/// The same of at most 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Count(#[serde(deserialize_with = "quantity")] pub(crate) u64);

fn quantity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let Quantity(number) = Quantity::deserialize(deserializer)?;
    u64::try_from(number).map_err(|_| serde::de::Error::custom("a number of more than 64 bits"))
}

/// One log record of a contract.
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

/// The receipt of a transaction in a block.
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
    /// Whether the call succeeded.
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
    use serde_json::{Value, json};

    #[test]
    fn what_is_no_number_is_not_zero() {
        let read = |value: Value| serde_json::from_value::<Quantity>(value).ok().map(|it| it.0);
        assert_eq!(read(json!("0x0")), Some(U256::ZERO));
        assert_eq!(read(json!("0x000aF")), Some(U256::from(175)));
        assert_eq!(read(json!(format!("{:#x}", U256::MAX))), Some(U256::MAX));
        for bad in ["", "0x", "0", "10", "0X1", "0x_1", "0x 1", " 0x1", "0x1 ", "-0x1", "0x-1", "0xg", "0b1"]
        {
            assert_eq!(read(json!(bad)), None, "{bad}");
        }
        for bad in [json!(0), json!(1), json!(null), json!([]), json!(false), json!("0x1".repeat(30))] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
        assert_eq!(read(json!(format!("{:#x}0", U256::MAX))), None);
        let block = |number: &str| {
            let hash = B256::ZERO;
            let head = json!({ "number": number, "hash": hash, "parentHash": hash, "timestamp": "0x1" });
            serde_json::from_value::<Block>(head).ok().map(|block| block.number)
        };
        assert_eq!(block("0xffffffffffffffff"), Some(u64::MAX));
        assert_eq!((block("0x10000000000000000"), block("0x"), block("latest")), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_block_or_log_makes_the_parser_panic(text in "[0-9a-fx]{0,70}") {
            let block = json!({ "number": text, "hash": text, "parentHash": text, "timestamp": text });
            let _ = serde_json::from_value::<Block>(block);
        }
    }
}
