//! Users with an EVM wallet whose key is known, who sign in over HTTP (EIP-4361).

use alloy_primitives::{Address, eip191_hash_message, hex};
use k256::ecdsa::SigningKey;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::server::{Server, client};

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let url = server.url(&format!("/api/v1/auth/{path}"));
    let answer = client().post(url).json(body).send().await.expect("an answer");
    let status = answer.status();
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// The wallet whose key is 32 times this byte.
pub fn address(seed: u8) -> String {
    let point = key(seed).verifying_key().to_sec1_point(false);
    Address::from_raw_public_key(&point.as_bytes()[1..]).to_checksum(None)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("a key")
}

/// A challenge, signed by the wallet whose key is 32 times this byte: it signs in once.
pub async fn proof(server: &Server, seed: u8) -> Value {
    let asked = json!({ "kind": "ethereum", "address": address(seed), "chain_id": 1 });
    let challenge = post(server, "challenge", &asked).await;
    let message = challenge["message"].as_str().expect("a message");
    let hash = eip191_hash_message(message);
    let (signature, recovery) = key(seed).sign_prehash_recoverable(hash.as_slice());
    let signature = [&signature.to_bytes()[..], &[27 + recovery.to_byte()]].concat();
    json!({ "kind": "ethereum", "message": message, "signature": hex::encode_prefixed(signature) })
}

/// The tokens of a new session of that wallet.
pub async fn sign_in(server: &Server, seed: u8) -> Value {
    post(server, "sign-in", &proof(server, seed).await).await
}
