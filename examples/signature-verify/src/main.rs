//! Signs a StreamGate server's challenge (EIP-4361) with a wallet's key, and shows the server's answer: the
//! wallet's principal and its permissions.

use alloy_primitives::{Address, Signature, eip191_hash_message, hex};
use anyhow::{Context as _, Result, bail};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

const USAGE: &str = "usage: signature-verify SERVER KEY_FILE [CHAIN_ID]\n  \
                     such as: signature-verify http://localhost:8080 wallet.key 1";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (server, file, chain) = match arguments.as_slice() {
        [server, file] => (server.trim_end_matches('/'), file, 1),
        [server, file, chain] => (server.trim_end_matches('/'), file, chain.parse().context("CHAIN_ID")?),
        _ => bail!(USAGE),
    };
    let text = std::fs::read_to_string(file).with_context(|| file.clone())?;
    let key = hex::decode(text.trim()).ok().and_then(|bytes| SigningKey::from_slice(&bytes).ok());
    let key = key.with_context(|| format!("{file} holds no private key: 64 hexadecimal digits"))?;
    let wallet = Address::from_private_key(&key).to_checksum(None);
    let http: Agent = Agent::config_builder().http_status_as_error(false).build().into();

    // The server writes the message to be signed, with a single-use nonce.
    let wanted = json!({ "kind": "ethereum", "address": wallet, "chain_id": chain });
    let url = format!("{server}/api/v1/auth/challenge");
    let challenge = json(http.post(url).send_json(wanted)?)?;
    let message = challenge["message"].as_str().context("a challenge without a message")?;
    println!("The server asks {wallet} to sign:\n\n{message}\n");

    // A wallet shows the message to its owner and signs it as EIP-191 defines.
    let signature: Signature = key.sign_prehash_recoverable(eip191_hash_message(message).as_slice())?.into();
    let signature = hex::encode_prefixed(signature.as_bytes());
    println!("The signature is {signature}\n");

    let proof = json!({ "kind": "ethereum", "message": message, "signature": signature });
    let url = format!("{server}/api/v1/auth/sign-in");
    let tokens = json(http.post(url).send_json(proof)?)?;
    let token = tokens["access_token"].as_str().context("an answer without a token")?;
    let url = format!("{server}/api/v1/auth/me");
    let me = json(http.get(url).header("authorization", format!("Bearer {token}")).call()?)?;
    println!("The server says: {me:#}");
    Ok(())
}

/// The JSON of an answer; a problem (RFC 9457) is an error with the server's own text.
fn json(mut response: Response<Body>) -> Result<Value> {
    let status = response.status();
    let body: Value = response.body_mut().read_json().with_context(|| format!("{status} without JSON"))?;
    if !status.is_success() {
        bail!("the server refuses: {status} {}", body["detail"].as_str().unwrap_or_default());
    }
    Ok(body)
}
