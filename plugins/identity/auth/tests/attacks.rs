//! Attempts to impersonate another user: all fail.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use alloy_primitives::{eip191_hash_message, hex, keccak256};
use common::*;
use ed25519_dalek::Signer as _;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use streamgate_auth::{ContractWallets, Verdict};
use streamgate_contracts::ethereum::{Address, Hash};

/// At every address of every chain there is a contract that accepts everything.
struct Everywhere;

impl ContractWallets for Everywhere {
    fn verify<'a>(&'a self, _: u64, _: Address, _: Hash, _: &'a [u8]) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Valid })
    }
}

#[tokio::test]
async fn a_contract_at_the_same_address_of_another_chain_is_another_principal() {
    let world = World::new();
    let life = world.live_with(settings(), Arc::new(Everywhere)).await;
    let wallet = Wallet::ethereum(1);
    let by_contract = async |chain: u64| -> Value {
        let asked = json!({ "kind": "ethereum", "address": wallet.address(), "chain_id": chain });
        let message = life.post("challenge", asked).await.json["message"].clone();
        let signature = format!("0x{}", "ab".repeat(100));
        let proof = json!({ "kind": "ethereum", "message": message, "signature": signature });
        life.post("sign-in", proof).await.json
    };
    let all = [by_contract(1).await, by_contract(137).await, life.sign_in(&wallet).await];
    let names = ["1:", "137:", ""].map(|chain| format!("eip155:{chain}{}", wallet.address()));
    for (tokens, name) in all.iter().zip(&names) {
        assert_eq!(life.whose(text(tokens, "access_token")).await.unwrap().wallets, [name.as_str()]);
    }
    let principals: std::collections::BTreeSet<_> = all.iter().map(|it| text(it, "principal")).collect();
    assert_eq!(principals.len(), 3, "{all:?}");
    assert_eq!(by_contract(137).await["principal"], all[1]["principal"]);
    let token = text(&all[1], "access_token");
    let wallets = life.call(token, "GET", "wallets", None).await.json;
    let path = format!("wallets/ethereum/{}", text(&wallets["items"][0], "address"));
    assert_eq!(slug(&life.call(token, "DELETE", &path, None).await), "last-wallet");
}

#[tokio::test]
async fn the_signed_domain_comes_from_the_settings_regardless_of_the_host_header() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("origin", "https://evil.example"),
        ("origin", "https://video.example.org.evil.example"),
        ("origin", "null"),
        ("referer", "https://evil.example/"),
    ] {
        let headers = [(name, value)];
        let asked = Some(json!({ "kind": "ethereum", "address": wallet.address() }));
        let challenge = life.send("POST", "challenge", &headers, asked).await.json;
        let message = text(&challenge, "message");
        assert!(message.starts_with("video.example.org wants"), "{name}: {message}");
        let theirs = message.replace("video.example.org", "evil.example");
        let proof = json!({ "kind": "ethereum", "message": theirs, "signature": wallet.sign(&theirs) });
        let answer = life.send("POST", "sign-in", &headers, Some(proof)).await;
        assert_eq!(slug(&answer), "wrong-domain", "{name}");
    }
}

#[tokio::test]
async fn a_signature_over_anything_but_the_message_in_its_one_form_is_none_of_it() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let Wallet::Ethereum(key) = &wallet else { panic!("of Ethereum") };
    let good = life.proof(&wallet).await;
    let message = text(&good, "message");
    let in_hex = hex::encode_prefixed(message);
    let digests = [
        ("no prefix, as eth_sign once was", keccak256(message)),
        ("its hexadecimal digits", eip191_hash_message(&in_hex)),
        ("a line feed more", eip191_hash_message(format!("{message}\n"))),
        ("other line ends", eip191_hash_message(message.replace('\n', "\r\n"))),
        ("its hash", eip191_hash_message(keccak256(message))),
        ("for a validator (version 0x00)", keccak256([b"\x19\x00", message.as_bytes()].concat())),
        ("as typed data (version 0x01)", keccak256([b"\x19\x01", message.as_bytes()].concat())),
        ("as a transaction", keccak256([b"\x02", message.as_bytes()].concat())),
    ];
    for (what, digest) in digests {
        let mut forged = good.clone();
        forged["signature"] = json!(hex::encode_prefixed(signed(key, digest.as_slice())));
        assert_eq!(slug(&life.post("sign-in", forged).await), "invalid-signature", "{what}");
    }
    let signature = text(&good, "signature");
    for (what, spelled) in [
        ("EIP-2098", signature[..130].to_owned()),
        ("a byte more", format!("{signature}00")),
        ("no 0x", signature[2..].to_owned()),
        ("a space", format!("{signature} ")),
        ("v of EIP-155", format!("{}25", &signature[..130])),
        ("v of Safe's eth_sign", format!("{}1f", &signature[..130])),
        ("v of a Safe's contract", format!("{}00", "0x".to_owned() + &"00".repeat(64))),
        ("nothing", "0x".to_owned()),
        ("more than may be", format!("0x{}", "00".repeat(16 * 1024 + 1))),
    ] {
        let mut forged = good.clone();
        forged["signature"] = json!(spelled);
        // What no key signed could be a contract's, which no chain here knows.
        let none = ["no 0x", "a space", "more than may be"].contains(&what);
        let why = if none { "invalid-signature" } else { "contract-wallet" };
        assert_eq!(slug(&life.post("sign-in", forged).await), why, "{what}");
    }
    assert_eq!(life.post("sign-in", good).await.status, 200, "the nonce was left");
}

#[tokio::test]
async fn a_nonce_is_good_for_the_kind_of_wallet_that_it_was_given_to() {
    let world = World::new();
    let life = world.live(settings()).await;
    let (ethereum, solana) = (Wallet::ethereum(1), Wallet::solana(1));
    let asked = json!({ "kind": "solana", "address": solana.address() });
    let of_solana = life.post("challenge", asked).await.json["nonce"].clone();
    let asked = json!({ "kind": "ethereum", "address": ethereum.address() });
    let of_ethereum = life.post("challenge", asked).await.json;
    let message = text(&of_ethereum, "message");
    let swapped = message.replace(text(&of_ethereum, "nonce"), of_solana.as_str().unwrap());
    let proof = json!({ "kind": "ethereum", "message": swapped, "signature": ethereum.sign(&swapped) });
    assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce");
    let proof = json!({ "kind": "solana", "nonce": of_ethereum["nonce"], "signature": solana.sign(message) });
    assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce");
    for nonce in ["", "0", "' OR 1=1 --", "%", &"0".repeat(30_000)] {
        let proof = json!({ "kind": "solana", "nonce": nonce, "signature": solana.sign(message) });
        assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce", "{nonce:.20}");
    }
}

#[tokio::test]
async fn on_solana_only_the_text_that_the_server_kept_counts() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::solana(1);
    let Wallet::Solana(key) = &wallet else { panic!("of Solana") };
    let asked = json!({ "kind": "solana", "address": wallet.address() });
    let challenge = life.post("challenge", asked).await.json;
    let kept = text(&challenge, "message");
    let sign = |bytes: &[u8]| bs58::encode(key.sign(bytes).to_bytes()).into_string();
    let without_end = kept.rsplit_once("\nExpiration Time").unwrap().0;
    let offchain = [b"\xffsolana offchain\x00\x00", kept.as_bytes()].concat();
    for (what, signed) in [
        ("another site", kept.replace("video.example.org", "evil.example").into_bytes()),
        ("no statement", kept.replace(text(&challenge["input"], "statement"), "").into_bytes()),
        ("no end", without_end.as_bytes().to_vec()),
        ("other line ends", kept.replace('\n', "\r\n").into_bytes()),
        ("a line feed more", format!("{kept}\n").into_bytes()),
        ("the other order", kept.replace("Version: 1\nChain ID", "Chain ID: x\nVersion").into_bytes()),
        ("an off-chain message", offchain),
        ("its hash", keccak256(kept).to_vec()),
        ("nothing", Vec::new()),
    ] {
        // A message beside the nonce is ignored.
        let proof = json!({
            "kind": "solana", "nonce": challenge["nonce"], "signature": sign(&signed),
            "message": String::from_utf8_lossy(&signed),
        });
        assert_eq!(slug(&life.post("sign-in", proof).await), "invalid-signature", "{what}");
    }
    let signature = sign(kept.as_bytes());
    let raw = bs58::decode(&signature).into_vec().unwrap();
    for spelled in [
        hex::encode_prefixed(&raw),
        format!("1{signature}"),
        format!(" {signature}"),
        bs58::encode(&raw[..63]).into_string(),
        String::new(),
    ] {
        let proof = json!({ "kind": "solana", "nonce": challenge["nonce"], "signature": spelled });
        assert_eq!(slug(&life.post("sign-in", proof).await), "invalid-signature", "{spelled}");
    }
    let good = json!({ "kind": "solana", "nonce": challenge["nonce"], "signature": signature });
    assert_eq!(life.post("sign-in", good).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refreshes_at_once_the_one_that_succeeds_does_not_outlive_the_others() {
    let world = World::new();
    let life = world.live(strict()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let posts = (0..50).map(|_| {
        let (life, token) = (life.clone(), tokens["refresh_token"].clone());
        tokio::spawn(async move { life.post("refresh", json!({ "refresh_token": token })).await })
    });
    let answers: Vec<_> = join_all(posts).await.into_iter().map(Result::unwrap).collect();
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(good.len(), 1);
    assert!(bad.iter().all(|answer| ["refresh-reused", "invalid-token"].contains(&slug(answer))), "{bad:?}");
    let won = &good[0].json;
    assert_eq!(life.whose(text(won, "access_token")).await.unwrap_err().r#type, "session-ended");
    let again = life.post("refresh", json!({ "refresh_token": won["refresh_token"] })).await;
    assert_eq!(slug(&again), "invalid-token");
}

#[tokio::test]
async fn a_key_revokes_itself_and_no_other_unless_it_is_an_admins() {
    let world = World::new();
    let life = world.live(settings()).await;
    let admin = life.admin(&world).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let token = text(&tokens, "access_token");
    let mut made = Vec::new();
    for name in ["leaked", "other"] {
        let wanted = json!({ "name": name, "scopes": ["content:read"] });
        made.push(life.call(token, "POST", "keys", Some(wanted)).await.json);
    }
    let leaked = text(&made[0], "key");
    let path = |key: &Value| format!("keys/{}", text(key, "id"));
    assert_eq!(slug(&life.call(leaked, "DELETE", &path(&made[1]), None).await), "forbidden");
    assert!(life.whose(text(&made[1], "key")).await.is_ok());
    assert_eq!(life.call(leaked, "DELETE", &path(&made[0]), None).await.status, 204);
    assert!(life.whose(leaked).await.is_err());
    assert_eq!(life.call(&admin, "DELETE", &path(&made[1]), None).await.status, 204);
}
