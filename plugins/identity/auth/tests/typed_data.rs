//! Sign-in by typed data (EIP-712), with a wallet that hashes the request independently of the server's code.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use common::*;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use streamgate_auth::{ContractWallets, Verdict};
use streamgate_contracts::ethereum::{self, Hash};

/// EIP-712, `hashStruct` of flat types.
fn hash_struct(types: &Value, name: &str, value: &Value) -> B256 {
    let fields = types[name].as_array().unwrap();
    let listed: Vec<_> =
        fields.iter().map(|field| format!("{} {}", text(field, "type"), text(field, "name"))).collect();
    let mut words = keccak256(format!("{name}({})", listed.join(","))).to_vec();
    for field in fields {
        let value = &value[text(field, "name")];
        let word: B256 = match text(field, "type") {
            "string" => keccak256(value.as_str().unwrap()),
            "address" => value.as_str().unwrap().parse::<Address>().unwrap().into_word(),
            "uint256" => U256::from(value.as_u64().unwrap()).into(),
            other => panic!("{other}"),
        };
        words.extend_from_slice(word.as_slice());
    }
    keccak256(words)
}

fn digest(request: &Value) -> B256 {
    let types = &request["types"];
    let domain = hash_struct(types, "EIP712Domain", &request["domain"]);
    let message = hash_struct(types, text(request, "primaryType"), &request["message"]);
    keccak256([b"\x19\x01".as_slice(), domain.as_slice(), message.as_slice()].concat())
}

fn sign(wallet: &Wallet, digest: B256) -> [u8; 65] {
    let Wallet::Ethereum(key) = wallet else { panic!("of Ethereum") };
    signed(key, digest.as_slice())
}

fn proof(request: &Value, signature: &[u8]) -> Value {
    json!({ "kind": "ethereum", "typed": request["message"], "signature": hex::encode_prefixed(signature) })
}

async fn challenge(life: &Life, wallet: &Wallet) -> Value {
    let asked = json!({ "kind": "ethereum", "address": wallet.address(), "chain_id": 137, "typed": true });
    let answer = life.post("challenge", asked).await.json;
    assert!(answer.get("message").is_none());
    answer["typed_data"].clone()
}

#[tokio::test]
async fn typed_data_signs_in_the_same_principal_as_a_message_and_once() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let request = challenge(&life, &wallet).await;
    assert_eq!(request["message"]["chainId"], 137);
    let good = proof(&request, &sign(&wallet, digest(&request)));
    let answer = life.post("sign-in", good.clone()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    assert_eq!(slug(&life.post("sign-in", good).await), "unknown-nonce");
    let by_message = life.sign_in(&wallet).await;
    assert_eq!(by_message["principal"], answer.json["principal"]);
}

#[tokio::test]
async fn what_was_signed_is_what_counts_and_one_spelling_of_the_signature() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let request = challenge(&life, &wallet).await;
    let signature = sign(&wallet, digest(&request));
    let refusal = async |proof: Value| {
        let answer = life.post("sign-in", proof).await;
        assert_ne!(answer.status, 200);
        slug(&answer).to_owned()
    };
    for (field, value) in [
        ("statement", json!("I give everything away.")),
        ("address", json!(Wallet::ethereum(2).address())),
        ("chainId", json!(1)),
        ("expirationTime", json!("2026-01-01T00:04:59.000Z")),
    ] {
        let mut changed = request.clone();
        changed["message"][field] = value;
        assert_eq!(refusal(proof(&changed, &signature)).await, "invalid-signature", "{field}");
    }
    // The rules for a message apply to typed data too, however well it is signed.
    for (field, value, problem) in [
        ("domain", json!("evil.example"), "wrong-domain"),
        ("uri", json!("https://evil.example"), "wrong-domain"),
        ("chainId", json!(5), "wrong-chain"),
        ("nonce", json!("00000000000000000000000000000000"), "unknown-nonce"),
        ("issuedAt", json!("2025-12-31T23:50:00.000Z"), "message-expired"),
        ("expirationTime", json!("2026-01-01T00:00:00.000Z"), "message-expired"),
        ("statement", json!("two\nlines"), "invalid-message"),
        ("nonce", json!(7), "invalid-request"),
        ("more", json!("x"), "invalid-request"),
    ] {
        let mut changed = request.clone();
        changed["message"][field] = value.clone();
        let signature = match problem {
            "invalid-request" => signature,
            _ => {
                changed["domain"]["chainId"] = changed["message"]["chainId"].clone();
                sign(&wallet, digest(&changed))
            }
        };
        assert_eq!(refusal(proof(&changed, &signature)).await, problem, "{field}: {value}");
    }
    let order = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let mut high = signature;
    let s = order - U256::from_be_slice(&signature[32..64]);
    high[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    high[64] = 27 + 28 - high[64];
    let mut odd = signature;
    odd[64] = 29;
    // Not a key's; possibly a contract's, and no chain answers here.
    for bad in [&high[..], &odd, &signature[..64]] {
        assert_eq!(refusal(proof(&request, bad)).await, "contract-wallet");
    }
    // One signature is of a message or of typed data, never of both or of the other.
    let mut both = proof(&request, &signature);
    both["message"] = json!("x");
    assert_eq!(refusal(both).await, "invalid-request");
    let Value::String(as_text) = life.proof(&wallet).await["signature"].clone() else { panic!("a text") };
    let mut other = proof(&request, &signature);
    other["signature"] = json!(as_text);
    assert_eq!(refusal(other).await, "invalid-signature");
    assert_eq!(life.post("sign-in", proof(&request, &signature)).await.status, 200, "the nonce was left");
}

#[tokio::test]
async fn what_is_like_the_typed_data_but_of_another_type_or_domain_is_not_it() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let request = challenge(&life, &wallet).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut other = request.clone();
        change(&mut other);
        other
    };
    let swapped = |fields: &mut Value, one: usize, two: usize| fields.as_array_mut().unwrap().swap(one, two);
    for (what, other) in [
        (
            "another name of the type",
            with(&|it| {
                it["types"]["Permit"] = it["types"]["SignIn"].clone();
                it["primaryType"] = json!("Permit");
            }),
        ),
        ("fields in another order", with(&|it| swapped(&mut it["types"]["SignIn"], 0, 2))),
        (
            "a field more",
            with(&|it| {
                let more = json!({ "name": "resources", "type": "string" });
                it["types"]["SignIn"].as_array_mut().unwrap().push(more);
                it["message"]["resources"] = json!("");
            }),
        ),
        ("a field less", with(&|it| drop(it["types"]["SignIn"].as_array_mut().unwrap().pop()))),
        ("a text for the address", with(&|it| it["types"]["SignIn"][1]["type"] = json!("string"))),
        ("another application", with(&|it| it["domain"]["name"] = json!("StreamGate "))),
        ("another version", with(&|it| it["domain"]["version"] = json!("2"))),
        ("another chain of the domain", with(&|it| it["domain"]["chainId"] = json!(1))),
        (
            "a domain with a contract",
            with(&|it| {
                let more = json!({ "name": "verifyingContract", "type": "address" });
                it["types"]["EIP712Domain"].as_array_mut().unwrap().push(more);
                it["domain"]["verifyingContract"] = json!(wallet.address());
            }),
        ),
        (
            "a domain without a chain",
            with(&|it| {
                drop(it["types"]["EIP712Domain"].as_array_mut().unwrap().pop());
            }),
        ),
    ] {
        let forged = proof(&request, &sign(&wallet, digest(&other)));
        assert_eq!(slug(&life.post("sign-in", forged).await), "invalid-signature", "{what}");
    }
    // The domain alone, and the struct alone, are not digests of it either.
    let types = &request["types"];
    for part in [
        hash_struct(types, "SignIn", &request["message"]),
        hash_struct(types, "EIP712Domain", &request["domain"]),
    ] {
        let forged = proof(&request, &sign(&wallet, part));
        assert_eq!(slug(&life.post("sign-in", forged).await), "invalid-signature");
    }
    let good = proof(&request, &sign(&wallet, digest(&request)));
    assert_eq!(life.post("sign-in", good).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_posts_of_one_nonce_in_every_form_one_gets_a_session() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let request = challenge(&life, &wallet).await;
    let said = |name: &str| text(&request["message"], name).to_owned();
    let message = format!(
        "{} wants you to sign in with your Ethereum account:\n{}\n\n\nURI: {}\nVersion: 1\nChain ID: 137\n\
         Nonce: {}\nIssued At: {}",
        said("domain"),
        said("address"),
        said("uri"),
        said("nonce"),
        said("issuedAt"),
    );
    let typed = sign(&wallet, digest(&request));
    let mut other_v = typed;
    other_v[64] -= 27;
    let shouted = format!("0x{}", hex::encode_upper(typed));
    let as_text = json!({ "kind": "ethereum", "message": message, "signature": wallet.sign(&message) });
    let mut shouting = proof(&request, &typed);
    shouting["signature"] = json!(shouted);
    let forms = [proof(&request, &typed), proof(&request, &other_v), shouting, as_text];
    let posts = forms.iter().cycle().take(100).map(|form| {
        let (life, form) = (life.clone(), form.clone());
        tokio::spawn(async move { life.post("sign-in", form).await })
    });
    let answers = futures_util::future::join_all(posts).await;
    let slugs: Vec<_> = answers.iter().map(|answer| slug(answer.as_ref().unwrap())).collect();
    assert_eq!(slugs.iter().filter(|slug| slug.is_empty()).count(), 1, "{slugs:?}");
    assert!(slugs.iter().all(|slug| ["", "unknown-nonce"].contains(slug)), "{slugs:?}");
}

#[tokio::test]
async fn only_wallets_of_ethereum_sign_typed_data() {
    let world = World::new();
    let life = world.live(settings()).await;
    let asked = json!({ "kind": "solana", "address": Wallet::solana(1).address(), "typed": true });
    assert_eq!(slug(&life.post("challenge", asked).await), "invalid-request");
}

/// A contract that accepts one digest.
struct Contract(Mutex<Option<Hash>>);

impl ContractWallets for Contract {
    fn verify<'a>(
        &'a self,
        _: u64,
        _: ethereum::Address,
        digest: Hash,
        _: &'a [u8],
    ) -> BoxFuture<'a, Verdict> {
        let verdict = match *self.0.lock().unwrap() == Some(digest) {
            true => Verdict::Valid,
            false => Verdict::Invalid,
        };
        Box::pin(async move { verdict })
    }
}

#[tokio::test]
async fn a_contract_wallet_is_called_with_the_digest_of_the_typed_data() {
    let world = World::new();
    let contract = Arc::new(Contract(Mutex::new(None)));
    let life = world.live_with(settings(), contract.clone()).await;
    let request = challenge(&life, &Wallet::ethereum(1)).await;
    let signed = proof(&request, &[7; 100]);
    assert_eq!(slug(&life.post("sign-in", signed.clone()).await), "invalid-signature");
    *contract.0.lock().unwrap() = Some(digest(&request).0);
    assert_eq!(life.post("sign-in", signed).await.status, 200);
}
