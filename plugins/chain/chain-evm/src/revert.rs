//! Whether an endpoint's error means that a contract reverted. That is an answer of the chain, and each
//! client words it differently. Errors of the endpoint itself, such as a limit, a timeout or insufficient
//! gas, never count.

use alloy_primitives::{Bytes, hex};
use serde_json::{Map, Value};
use streamgate_chain_common::RpcError;

/// The code of geth, and by now of most clients.
const REVERTED: i64 = 3;
/// The call is malformed or not supported, or too large: whatever such an error says, no contract ran.
const NEVER_RAN: [i64; 11] =
    [-32700, -32600, -32601, -32602, -32001, -32002, -32004, -32005, -32006, -32029, 429];
/// Prefixes of revert messages, in lower case: geth, Erigon, reth, Besu and Anvil; Nethermind and
/// OpenEthereum beside their error; Hardhat and Ganache; java-tron.
const REVERTS: [&str; 6] = [
    "execution reverted",
    "revert",
    "transaction reverted",
    "vm exception while processing transaction: revert",
    "contract reverted",
    "revert opcode executed",
];
/// Prefixes of messages about a halted contract: from before reverts existed, or by an assertion.
const HALTS: [&str; 12] = [
    "invalid opcode",
    "invalidfeopcode",
    "opcodenotfound",
    "invalid jump",
    "invalidjump",
    "bad instruction",
    "badinstruction",
    "bad jump",
    "badjumpdestination",
    "undefined instruction",
    "stack underflow",
    "stackunderflow",
];
/// What may precede them.
const BEFORE: [&str; 4] = ["err: ", "error: ", "evm error: ", "evm error "];
/// A generic message; the details are beside it.
const SOMETHING: &str = "vm execution error";
/// Where an error has the contract's returned data, or a wrapped error.
const WITHIN: [&str; 7] = ["data", "result", "return", "output", "originalError", "error", "cause"];
/// Maximum depth of wrapped errors.
const DEPTH: usize = 4;

/// A contract's revert data; `None` if it did not revert.
pub(crate) fn reverted(error: &RpcError) -> Option<Bytes> {
    match error {
        RpcError::Refused { code, message, data } => revert_data(*code, message, data.as_ref(), DEPTH),
        _ => None,
    }
}

fn revert_data(code: i64, message: &str, data: Option<&Value>, depth: usize) -> Option<Bytes> {
    if NEVER_RAN.contains(&code) {
        return None;
    }
    let message = plain(message);
    let beside = || message.starts_with(SOMETHING) && data.and_then(Value::as_str).is_some_and(says_beside);
    let code_says = || code == REVERTED && !message.contains("out of gas");
    if refused(&message) || code_says() || beside() {
        return Some(data.and_then(|data| given_back(data, depth)).unwrap_or_default());
    }
    // A gateway may wrap the node's error.
    let wrapped = data?.as_object()?;
    let around = WITHIN.iter().filter_map(|key| wrapped.get(*key)?.as_object());
    std::iter::once(wrapped).chain(around).filter(|_| depth > 0).find_map(|error| wraps(error, depth - 1))
}

fn wraps(error: &Map<String, Value>, depth: usize) -> Option<Bytes> {
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    revert_data(code, error.get("message")?.as_str()?, error.get("data"), depth)
}

/// In lower case, without a known prefix.
fn plain(text: &str) -> String {
    let mut text = &*text.trim().chars().take(200).collect::<String>().to_ascii_lowercase();
    while let Some(rest) = BEFORE.iter().find_map(|before| text.strip_prefix(before)) {
        text = rest;
    }
    text.to_owned()
}

fn refused(text: &str) -> bool {
    REVERTS.iter().chain(&HALTS).any(|start| text.starts_with(start))
}

/// `Reverted 0x…`, `err: 0x… (supplied gas …)`, `revert: …`.
fn says_beside(text: &str) -> bool {
    let text = plain(text);
    text.starts_with("0x") || refused(&text)
}

fn given_back(value: &Value, depth: usize) -> Option<Bytes> {
    match value {
        Value::String(text) => bytes(text),
        Value::Object(fields) if depth > 0 => {
            let named = WITHIN.iter().filter_map(|key| fields.get(*key));
            // Ganache has it under the hash of the transaction.
            let others = fields.values().filter(|value| value.is_object());
            named.chain(others).find_map(|value| given_back(value, depth - 1))
        }
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Bytes> {
    let text = text.trim();
    let text = ["Reverted ", "err: "].iter().find_map(|before| text.strip_prefix(before)).unwrap_or(text);
    let digits = text.strip_prefix("0x")?.split(|it: char| !it.is_ascii_hexdigit()).next()?;
    hex::decode(digits).ok().map(Bytes::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(error: Value) -> Option<Bytes> {
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        let data = error.get("data").cloned();
        reverted(&RpcError::Refused { code: error["code"].as_i64().unwrap(), message, data })
    }

    #[test]
    fn a_revert_is_one_in_the_words_of_every_client() {
        let gave = "0xdf2d9b42";
        for error in [
            // geth, and most other current clients.
            json!({ "code": 3, "message": "execution reverted", "data": gave }),
            json!({ "code": 3, "message": "execution reverted: custom error 0xdf2d9b42", "data": gave }),
            // Nethermind since 2025, and many gateways.
            json!({ "code": -32000, "message": "execution reverted", "data": gave }),
            // Nethermind and OpenEthereum before.
            json!({ "code": -32015, "message": "VM execution error.", "data": "Reverted 0xdf2d9b42" }),
            json!({ "code": -32015, "message": "VM execution error", "data": "Reverted 0xdf2d9b42" }),
            json!({ "code": -32015, "message": "VM execution error.",
                    "data": "err: 0xdf2d9b42 (supplied gas 36000000)" }),
            // Besu.
            json!({ "code": -32000, "message": "Execution reverted", "data": gave }),
            // Hardhat.
            json!({ "code": 3, "message": "execution reverted",
                    "data": { "message": "execution reverted", "txHash": "0x1234", "data": gave } }),
            json!({ "code": -32603, "message": "Error: VM Exception while processing transaction: reverted \
                    with an unrecognized custom error", "data": { "message": "Error", "data": gave } }),
            // Ganache, both forms.
            json!({ "code": -32000, "message": "VM Exception while processing transaction: revert",
                    "data": { "0x0dae2feb2ecc03b45fbe6eb40897876fa1b46600": { "error": "revert",
                              "program_counter": 279, "return": gave }, "stack": "RuntimeError" } }),
            json!({ "code": -32000, "message": "VM Exception while processing transaction: revert",
                    "data": { "hash": null, "programCounter": 279, "result": gave, "reason": null } }),
            // Wrappers of these.
            json!({ "code": -32603, "message": "Internal JSON-RPC error.",
                    "data": { "code": -32000, "message": "execution reverted", "data": gave } }),
            json!({ "code": -32603, "message": "Internal JSON-RPC error.", "data": { "originalError": {
                    "code": 3, "data": gave, "message": "execution reverted" } } }),
        ] {
            assert_eq!(read(error.clone()).unwrap().to_string(), gave, "{error}");
        }
    }

    #[test]
    fn a_revert_without_data_is_one_too_and_so_is_a_halt() {
        for error in [
            json!({ "code": 3, "message": "execution reverted", "data": "0x" }),
            json!({ "code": -32000, "message": "execution reverted" }),
            json!({ "code": -32000, "message": "execution reverted: ERC721: out of gas" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "revert" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "Reverted 0x" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "err: revert (supplied gas 36000000)" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "revert: ERC721: invalid token ID" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "Bad instruction fe" }),
            json!({ "code": -32000, "message": "invalid opcode: INVALID" }),
            json!({ "code": -32000, "message": "invalid jump destination" }),
            json!({ "code": -32603, "message": "EVM error InvalidFEOpcode" }),
            json!({ "code": -32003, "message": "EVM error: InvalidJump" }),
            json!({ "code": -32000, "message": "REVERT opcode executed" }),
        ] {
            assert_eq!(read(error.clone()), Some(Bytes::new()), "{error}");
        }
    }

    #[test]
    fn what_speaks_of_the_endpoint_is_no_revert() {
        for error in [
            json!({ "code": -32000, "message": "out of gas" }),
            json!({ "code": -32000, "message": "out of gas", "data": "0x" }),
            json!({ "code": -32003, "message": "out of gas: gas required exceeds: 5000000" }),
            json!({ "code": 3, "message": "out of gas" }),
            json!({ "code": -32603, "message": "EVM error OutOfGas" }),
            json!({ "code": -32015, "message": "VM execution error.", "data": "err: OutOfGas (supplied gas 21000)" }),
            json!({ "code": -32015, "message": "VM execution error." }),
            json!({ "code": -32000, "message": "execution aborted (timeout = 5s)" }),
            json!({ "code": -32000, "message": "header not found" }),
            json!({ "code": -32000, "message": "missing trie node 0xdf2d9b42 (path ) reverted" }),
            json!({ "code": -32005, "message": "limit exceeded" }),
            json!({ "code": -32005, "message": "execution reverted" }),
            json!({ "code": 429, "message": "revert to a paid plan", "data": "0x" }),
            json!({ "code": -32602, "message": "revert is no parameter" }),
            json!({ "code": -32603, "message": "Internal error", "data": { "message": "Internal error" } }),
            json!({ "code": -32603, "message": "Internal error", "data": {
                    "originalError": { "code": -32005, "message": "execution reverted" } } }),
            json!({ "code": -32601, "message": "the method eth_call does not exist" }),
            json!({ "code": 4444, "message": "pruned history unavailable" }),
        ] {
            assert_eq!(read(error.clone()), None, "{error}");
        }
        assert_eq!(reverted(&RpcError::Status(429)), None);
        assert_eq!(reverted(&RpcError::Deadline(std::time::Duration::ZERO)), None);
    }

    fn values() -> impl Strategy<Value = Value> {
        let texts = prop_oneof!["[0-9a-fx ]{0,12}", "(Reverted |err: )?0x[0-9a-f]{0,9}", any::<String>()];
        let leaf =
            prop_oneof![texts.prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null)];
        leaf.prop_recursive(6, 40, 4, |inner| {
            let keys = prop_oneof!["data", "originalError", "message", "code", "[a-z]{1,3}"];
            proptest::collection::hash_map(keys, inner, 0..4).prop_map(|it| json!(it))
        })
    }

    proptest! {
        #[test]
        fn no_error_makes_the_reading_panic(code: i64, message: String, data in values()) {
            let _ = reverted(&RpcError::Refused { code, message, data: Some(data) });
        }

        #[test]
        fn what_a_contract_gave_back_is_read_alike_however_it_is_told(gave: Vec<u8>) {
            let gave = Bytes::from(gave);
            for error in [
                json!({ "code": 3, "message": "execution reverted", "data": gave }),
                json!({ "code": -32000, "message": "execution reverted", "data": { "data": gave } }),
                json!({ "code": -32015, "message": "VM execution error.", "data": format!("Reverted {gave}") }),
            ] {
                prop_assert_eq!(read(error.clone()).unwrap(), gave.clone(), "{}", error);
            }
        }
    }
}
