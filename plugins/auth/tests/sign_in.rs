//! Wallets that sign in and are linked, and every way of not being let in.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use common::*;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use streamgate_auth::{ContractWallets, Settings, Verdict};
use streamgate_contracts::auth::v1::Role;

#[tokio::test]
async fn a_wallet_of_either_kind_signs_in_and_is_the_same_principal_again() {
    let world = World::new();
    let life = world.live(settings()).await;
    for wallet in [Wallet::ethereum(1), Wallet::solana(1)] {
        let tokens = life.sign_in(&wallet).await;
        let identity = life.whose(text(&tokens, "access_token")).await.unwrap();
        assert_eq!(identity.principal, text(&tokens, "principal"));
        assert_eq!(identity.roles, [Role::Viewer as i32]);
        assert_eq!(identity.scopes, ["content:read"]);
        assert!(identity.wallets[0].ends_with(&wallet.address()));
        world.pass(60);
        let again = world.live(settings()).await.sign_in(&wallet).await;
        assert_eq!(again["principal"], tokens["principal"]);
        assert_ne!(again["session"], tokens["session"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_posts_of_one_signature_give_one_session() {
    for wallet in [Wallet::ethereum(1), Wallet::solana(1)] {
        let world = World::new();
        let life = world.live(settings()).await;
        // For a wallet that nobody knows, and for one that has signed in before.
        for round in 1..=2 {
            let proof = life.proof(&wallet).await;
            let posts = (0..100).map(|_| {
                let (life, proof) = (life.clone(), proof.clone());
                tokio::spawn(async move { life.post("sign-in", proof).await })
            });
            let answers: Vec<_> = join_all(posts).await.into_iter().map(Result::unwrap).collect();
            let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!(good.len(), 1);
            assert!(bad.iter().all(|answer| slug(answer) == "unknown-nonce"), "{bad:?}");
            let token = text(&good[0].json, "access_token");
            let sessions = life.call(token, "GET", "sessions", None).await;
            assert_eq!(sessions.json["items"].as_array().unwrap().len(), round);
        }
    }
}

#[tokio::test]
async fn a_challenge_ends_with_its_time_and_only_our_own_nonce_counts() {
    let world = World::new();
    let life = world.live(settings()).await;
    for wallet in [Wallet::ethereum(1), Wallet::solana(1)] {
        let proof = life.proof(&wallet).await;
        world.pass(300);
        let late = life.post("sign-in", proof).await;
        assert_eq!(late.status, 401);
        assert!(["unknown-nonce", "message-expired"].contains(&slug(&late)), "{late:?}");
    }
    let wallet = Wallet::ethereum(1);
    let asked = life.post("challenge", json!({"kind": "ethereum", "address": wallet.address()})).await.json;
    let own = text(&asked, "message").replace(text(&asked, "nonce"), "00000000000000000000000000000000");
    let proof = json!({"kind": "ethereum", "message": own, "signature": wallet.sign(&own)});
    assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce");
}

#[tokio::test]
async fn a_client_may_write_the_message_itself_and_it_must_be_for_us() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::ethereum(1);
    let message = |site: &str, uri: &str, chain: u64, at: &str, nonce: &str| {
        format!(
            "{site} wants you to sign in with your Ethereum account:\n{}\n\n\nURI: {uri}\nVersion: 1\n\
             Chain ID: {chain}\nNonce: {nonce}\nIssued At: {at}",
            wallet.address()
        )
    };
    let now = "2026-01-01T00:00:00Z";
    let domain = "video.example.org";
    for (site, uri, chain, at, problem) in [
        (domain, "https://video.example.org/login", 137, now, ""),
        ("https://video.example.org", SITE, 1, now, ""),
        ("localhost:8080", "http://localhost:8080/", 1, now, ""),
        ("localhost:8080", SITE, 1, now, "wrong-domain"),
        ("evil.example", "https://evil.example/", 1, now, "wrong-domain"),
        (domain, "https://evil.example/", 1, now, "wrong-domain"),
        ("http://video.example.org", SITE, 1, now, "wrong-domain"),
        (domain, SITE, 5, now, "wrong-chain"),
        (domain, SITE, 1, "2026-01-01T00:01:00Z", "message-expired"),
        (domain, SITE, 1, "2025-12-31T23:50:00Z", "message-expired"),
        (domain, SITE, 1, "yesterday", "invalid-message"),
    ] {
        let nonce = life.post("challenge", json!({"kind": "ethereum"})).await.json;
        let message = message(site, uri, chain, at, text(&nonce, "nonce"));
        let proof = json!({"kind": "ethereum", "message": message, "signature": wallet.sign(&message)});
        let answer = life.post("sign-in", proof).await;
        assert_eq!(slug(&answer), problem, "{message}: {answer:?}");
        assert_eq!(answer.status == 200, problem.is_empty());
    }
}

#[tokio::test]
async fn a_signature_that_is_not_the_wallets_is_refused_and_leaves_the_nonce() {
    let world = World::new();
    let life = world.live(settings()).await;
    for (wallet, other) in
        [(Wallet::ethereum(1), Wallet::ethereum(2)), (Wallet::solana(1), Wallet::solana(2))]
    {
        let asked = json!({ "kind": wallet.kind(), "address": wallet.address() });
        let challenge = life.post("challenge", asked).await.json;
        let good = wallet.answer(&challenge);
        let mut forged = good.clone();
        forged["signature"] = other.answer(&challenge)["signature"].clone();
        let mut cut = good.clone();
        cut["signature"] = json!(&text(&good, "signature")[..80]);
        for bad in [forged, cut] {
            let answer = life.post("sign-in", bad).await;
            assert_eq!((answer.status, slug(&answer)), (401, "invalid-signature"));
        }
        assert_eq!(life.post("sign-in", good).await.status, 200);
    }
    // A message of the other kind of wallet has another form.
    let challenge = json!({ "kind": "solana", "address": Wallet::solana(1).address() });
    let solana = life.post("challenge", challenge).await.json;
    let message = text(&solana, "message");
    let proof =
        json!({"kind": "ethereum", "message": message, "signature": Wallet::ethereum(1).sign(message)});
    assert_eq!(slug(&life.post("sign-in", proof).await), "invalid-message");
}

struct Contract(Verdict);

impl ContractWallets for Contract {
    fn verify<'a>(&'a self, chain: u64, _: Address, _: B256, _: &'a [u8]) -> BoxFuture<'a, Verdict> {
        assert_eq!(chain, 1);
        let verdict = self.0;
        Box::pin(async move { verdict })
    }
}

#[tokio::test]
async fn a_contract_wallet_signs_in_only_if_its_chain_says_so() {
    let wallet = Wallet::ethereum(1);
    for (verdict, problem) in
        [(Verdict::Unknown, "contract-wallet"), (Verdict::Invalid, "invalid-signature"), (Verdict::Valid, "")]
    {
        let world = World::new();
        let life = world.live_with(settings(), Arc::new(Contract(verdict))).await;
        let mut proof = life.proof(&wallet).await;
        proof["signature"] = json!(format!("0x{}{}", "00".repeat(96), "6492".repeat(16)));
        assert_eq!(slug(&life.post("sign-in", proof).await), problem);
    }
}

#[tokio::test]
async fn the_chain_is_asked_about_the_message_of_a_contract_wallet_and_silence_is_no_yes() {
    use streamgate_auth::ChainWallets;
    use streamgate_plugin_api::{Body, Client};
    // As a host answers for a capability that nobody provides.
    let nobody = Client::from_service(tower::service_fn(|_: http::Request<Body>| async {
        let mut answer = http::Response::new(Body::empty());
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, std::convert::Infallible>(answer)
    }));
    let wallet = Wallet::ethereum(1);
    for (verdict, problem) in [
        (None, "contract-wallet"),
        (Some(1), ""),
        (Some(2), "invalid-signature"),
        (Some(3), "contract-wallet"),
        (Some(0), "contract-wallet"),
        (Some(99), "contract-wallet"),
    ] {
        let world = World::new();
        let chain = match verdict {
            None => nobody.clone(),
            Some(verdict) => chain::answering(verdict, wallet.address()),
        };
        let life = world.live_with(settings(), Arc::new(ChainWallets::new(chain))).await;
        let mut proof = life.proof(&wallet).await;
        proof["signature"] = json!(format!("0x{}", "ab".repeat(200)));
        assert_eq!(slug(&life.post("sign-in", proof).await), problem, "{verdict:?}");
    }
}

/// A chain that answers one thing.
mod chain {
    use streamgate_contracts::chain::v1::{Answer, SignatureRequest, SignatureResponse};
    use streamgate_plugin_api::{Body, Client};

    /// `Chain.IsValidSignature` by hand: five bytes of gRPC frame before the message.
    pub(super) fn answering(verdict: i32, account: String) -> Client {
        Client::from_service(tower::service_fn(move |request: http::Request<Body>| {
            let account = account.clone();
            async move {
                use prost::Message as _;
                assert_eq!(request.uri().path(), "/streamgate.chain.v1.Chain/IsValidSignature");
                let body = request.into_body().collect_bytes(1 << 16).await.unwrap();
                let asked = SignatureRequest::decode(body.slice(5..)).unwrap();
                assert_eq!((asked.account, asked.digest.len()), (format!("eip155:1:{account}"), 32));
                let answer = Some(Answer { verdict, ..Answer::default() });
                let message = SignatureResponse { answer, contract: true }.encode_to_vec();
                let mut frame = vec![0];
                frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
                frame.extend_from_slice(&message);
                let mut answer = http::Response::new(Body::from(frame));
                answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
                answer.headers_mut().insert("grpc-status", "0".parse().unwrap());
                Ok::<_, std::convert::Infallible>(answer)
            }
        }))
    }
}

#[tokio::test]
async fn wallets_are_linked_by_their_own_signature_and_taken_off_but_for_the_last() {
    let world = World::new();
    let life = world.live(settings()).await;
    let (first, second) = (Wallet::ethereum(1), Wallet::solana(2));
    let tokens = life.sign_in(&first).await;
    let token = text(&tokens, "access_token");
    let asked = json!({ "kind": "solana", "address": second.address(), "link": true });
    // Without a session nobody links anything.
    assert_eq!(life.post("challenge", asked.clone()).await.status, 401);
    let proof = second.answer(&life.call(token, "POST", "challenge", Some(asked.clone())).await.json);
    // What was signed to link is no sign-in, and the other way round.
    assert_eq!(slug(&life.post("sign-in", proof.clone()).await), "unknown-nonce");
    let sign_in = life.proof(&second).await;
    assert_eq!(slug(&life.call(token, "POST", "wallets", Some(sign_in)).await), "unknown-nonce");
    // Nor does it link to somebody else.
    let stranger = life.sign_in(&Wallet::ethereum(9)).await;
    let stolen = life.call(text(&stranger, "access_token"), "POST", "wallets", Some(proof.clone())).await;
    assert_eq!(slug(&stolen), "unknown-nonce");
    assert_eq!(life.call(token, "POST", "wallets", Some(proof)).await.status, 204);

    let linked = life.sign_in(&second).await;
    assert_eq!(linked["principal"], tokens["principal"]);
    let wallets = life.call(token, "GET", "wallets", None).await;
    assert_eq!(wallets.json["items"].as_array().unwrap().len(), 2);

    let other = text(&stranger, "access_token");
    let proof = second.answer(&life.call(other, "POST", "challenge", Some(asked)).await.json);
    assert_eq!(slug(&life.call(other, "POST", "wallets", Some(proof)).await), "wallet-taken");

    let path = |wallet: &Wallet| format!("wallets/{}/{}", wallet.kind(), wallet.address());
    assert_eq!(life.call(token, "DELETE", &path(&Wallet::ethereum(9)), None).await.status, 404);
    assert_eq!(life.call(token, "DELETE", &path(&second), None).await.status, 204);
    // Its sessions end with it.
    assert_eq!(life.whose(text(&linked, "access_token")).await.unwrap_err().r#type, "session-ended");
    assert_eq!(slug(&life.call(token, "DELETE", &path(&first), None).await), "last-wallet");
    assert_ne!(life.sign_in(&second).await["principal"], tokens["principal"]);
}

#[tokio::test]
async fn attempts_are_limited_by_address_and_by_wallet() {
    let world = World::new();
    let life = world.live(Settings { attempts_per_address: 5, ..settings() }).await;
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let body = || Some(json!({"kind": "ethereum"}));
    for _ in 0..5 {
        assert_eq!(life.send("POST", "challenge", &from("192.0.2.1"), body()).await.status, 200);
    }
    let refused = life.send("POST", "challenge", &from("192.0.2.1"), body()).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"12".parse().unwrap()));
    assert_eq!(life.send("POST", "challenge", &from("192.0.2.2"), body()).await.status, 200);
    world.pass(12);
    assert_eq!(life.send("POST", "challenge", &from("192.0.2.1"), body()).await.status, 200);

    let life = world.live(Settings { attempts_per_wallet: 2, ..settings() }).await;
    let wallet = Wallet::ethereum(3);
    // Who cannot sign for it uses up nothing of it.
    for _ in 0..5 {
        let mut forged = life.proof(&wallet).await;
        forged["signature"] = json!(Wallet::ethereum(4).sign(text(&forged, "message")));
        assert_eq!(slug(&life.post("sign-in", forged).await), "invalid-signature");
    }
    life.sign_in(&wallet).await;
    life.sign_in(&wallet).await;
    let proof = life.proof(&wallet).await;
    assert_eq!(life.post("sign-in", proof).await.status, 429);
    life.sign_in(&Wallet::ethereum(4)).await;
}

#[tokio::test]
async fn open_challenges_are_bounded_and_make_room_when_they_expire() {
    let world = World::new();
    let life = world.live(Settings { max_challenges: 2, ..settings() }).await;
    let ask = || life.post("challenge", json!({"kind": "ethereum"}));
    assert_eq!((ask().await.status, ask().await.status, ask().await.status), (200, 200, 503));
    world.pass(301);
    life.auth.tidy().await.unwrap();
    assert_eq!(ask().await.status, 200);
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_a_problem_in_words() {
    let world = World::new();
    let life = world.live(settings()).await;
    let large = json!({"kind": "ethereum", "message": "x".repeat(40_000), "signature": ""});
    for (path, body, status) in [
        ("sign-in", json!({}), 400),
        ("sign-in", json!({"kind": "bitcoin", "signature": "x"}), 400),
        ("sign-in", json!({"kind": "ethereum", "signature": "x", "extra": 1}), 400),
        ("sign-in", json!({"kind": "ethereum", "signature": "x"}), 400),
        ("sign-in", json!({"kind": "solana", "signature": "x"}), 400),
        ("sign-in", large, 413),
        ("challenge", json!({"kind": "solana"}), 400),
        ("challenge", json!({"kind": "solana", "address": "x"}), 400),
        ("challenge", json!({"kind": "ethereum", "address": "0x12"}), 400),
        (
            "challenge",
            json!({"kind": "ethereum", "address": Wallet::ethereum(1).address(), "chain_id": 5}),
            422,
        ),
        ("refresh", json!({"refresh_token": "x"}), 401),
        ("refresh", json!({}), 401),
        ("setup", json!({"code": "x"}), 401),
    ] {
        if path == "setup" {
            life.auth.bootstrap(&world.directory()).await.unwrap();
        }
        let answer = life.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(!text(&answer.json, "detail").is_empty());
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let form = [("content-type", "text/plain")];
    assert_eq!(life.send("POST", "sign-in", &form, None).await.status, 415);
    assert_eq!(life.send("GET", "sign-in", &[], None).await.status, 405);
    assert_eq!(life.send("GET", "nothing", &[], None).await.status, 404);
}

#[tokio::test]
async fn what_is_signed_on_solana_is_what_a_wallet_makes_of_the_input() {
    let world = World::new();
    let life = world.live(settings()).await;
    let wallet = Wallet::solana(1);
    let asked = json!({"kind": "solana", "address": wallet.address()});
    let challenge =
        life.send("POST", "challenge", &[("origin", "http://localhost:8080")], Some(asked)).await.json;
    let input: &Value = &challenge["input"];
    let field = |name: &str| text(input, name).to_owned();
    assert_eq!(field("domain"), "localhost:8080");
    let expected = format!(
        "{} wants you to sign in with your Solana account:\n{}\n\n{}\n\nURI: {}\nVersion: {}\nChain ID: {}\n\
         Nonce: {}\nIssued At: {}\nExpiration Time: {}",
        field("domain"),
        wallet.address(),
        field("statement"),
        field("uri"),
        field("version"),
        field("chainId"),
        text(&challenge, "nonce"),
        field("issuedAt"),
        field("expirationTime"),
    );
    assert_eq!(text(&challenge, "message"), expected);
}
