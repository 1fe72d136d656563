//! Wallets that sign in and are linked, and every way to be refused.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use streamgate_auth::{ContractWallets, Settings, Verdict};
use streamgate_contracts::auth::v1::{FindRequest, Role};
use streamgate_contracts::ethereum::{Address, Hash};
use streamgate_plugin_api::Body;

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
        // For an unknown wallet, and for one that has signed in before.
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
        // All addresses of one server are equivalent.
        ("localhost:8080", SITE, 1, now, ""),
        (domain, "http://localhost:8080/login", 1, now, ""),
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
        let answer = life.post("sign-in", forged).await;
        assert_eq!((answer.status, slug(&answer)), (401, "invalid-signature"));
        // What no key signed may be a contract's, and no chain is available here.
        let cut_is = if wallet.kind() == "solana" { "invalid-signature" } else { "contract-wallet" };
        assert_eq!(slug(&life.post("sign-in", cut).await), cut_is);
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

/// Accepts every signature, and records them.
struct Echo(Mutex<Vec<Vec<u8>>>);

impl ContractWallets for Echo {
    fn verify<'a>(&'a self, _: u64, _: Address, _: Hash, signature: &'a [u8]) -> BoxFuture<'a, Verdict> {
        self.0.lock().unwrap().push(signature.to_vec());
        Box::pin(async { Verdict::Valid })
    }
}

struct Contract(Verdict);

impl ContractWallets for Contract {
    fn verify<'a>(&'a self, chain: u64, _: Address, _: Hash, _: &'a [u8]) -> BoxFuture<'a, Verdict> {
        assert_eq!(chain, 1);
        let verdict = self.0;
        Box::pin(async move { verdict })
    }
}

#[tokio::test]
async fn a_contract_wallet_signs_in_only_if_its_chain_says_so() {
    let wallet = Wallet::ethereum(1);
    for (verdict, problem) in [
        (Verdict::Unknown, "contract-wallet"),
        (Verdict::NoContract, "invalid-signature"),
        (Verdict::Invalid, "invalid-signature"),
        (Verdict::Valid, ""),
    ] {
        let world = World::new();
        let life = world.live_with(settings(), Arc::new(Contract(verdict))).await;
        let mut proof = life.proof(&wallet).await;
        proof["signature"] = json!(format!("0x{}{}", "00".repeat(96), "6492".repeat(16)));
        assert_eq!(slug(&life.post("sign-in", proof).await), problem);
    }
}

#[tokio::test]
async fn what_no_key_signed_goes_to_the_contract_as_it_came_whatever_its_length() {
    let (wallet, world) = (Wallet::ethereum(1), World::new());
    let most = Settings::default().max_signature.get() as usize;
    for length in [0, 1, 32, 48, 64, 65, 66, 96, 97, most] {
        let contract = Arc::new(Echo(Mutex::default()));
        let life = world.live_with(settings(), contract.clone()).await;
        let mut proof = life.proof(&wallet).await;
        proof["signature"] = json!(format!("0x{}", "05".repeat(length)));
        // For a nonce that is not ours no chain is called.
        let mut foreign = proof.clone();
        let nonce = text(&life.post("challenge", json!({"kind": "ethereum"})).await.json, "nonce").to_owned();
        let (head, tail) = text(&proof, "message").split_once("Nonce: ").unwrap();
        let rest = tail.split_once('\n').unwrap().1;
        foreign["message"] =
            json!(format!("{head}Nonce: {}\n{rest}", nonce.chars().rev().collect::<String>()));
        assert_eq!(slug(&life.post("sign-in", foreign).await), "unknown-nonce", "{length}");
        assert!(contract.0.lock().unwrap().is_empty());

        assert_eq!(life.post("sign-in", proof.clone()).await.status, 200, "{length}");
        assert_eq!(std::mem::take(&mut *contract.0.lock().unwrap()), [vec![5; length]]);
        // Nor for a used one.
        assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce");
        assert!(contract.0.lock().unwrap().is_empty());
    }
    let life = world.live_with(settings(), Arc::new(Contract(Verdict::Valid))).await;
    let mut proof = life.proof(&wallet).await;
    proof["signature"] = json!(format!("0x{}", "05".repeat(most + 1)));
    assert_eq!(slug(&life.post("sign-in", proof).await), "invalid-signature");
}

#[tokio::test]
async fn all_keys_of_a_contract_are_one_principal_on_its_chain() {
    let (account, world) = (Wallet::ethereum(1), World::new());
    let contract = Arc::new(Echo(Mutex::default()));
    let life = world.live_with(settings(), contract).await;
    let enter = async |chain: u64, signer: Wallet| {
        let asked = json!({"kind": "ethereum", "address": account.address(), "chain_id": chain});
        let challenge = life.post("challenge", asked).await.json;
        let answer = life.post("sign-in", signer.answer(&challenge)).await;
        text(&answer.json, "principal").to_owned()
    };
    let one = enter(137, Wallet::ethereum(2)).await;
    assert_eq!(enter(137, Wallet::ethereum(3)).await, one);
    // Another contract may have its address there, and the key of the address does not belong to the
    // contract's owner.
    let elsewhere = enter(10, Wallet::ethereum(2)).await;
    let key = enter(137, Wallet::ethereum(1)).await;
    assert!(elsewhere != one && key != one && key != elsewhere);
}

#[tokio::test]
async fn the_chain_verifies_the_message_of_a_contract_wallet_and_no_answer_is_a_refusal() {
    use streamgate_auth::ChainWallets;
    use streamgate_plugin_api::{Body, Client};
    // As a host answers for a capability without a provider.
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

/// A chain with one answer.
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
    // Linking needs a session.
    assert_eq!(life.post("challenge", asked.clone()).await.status, 401);
    let proof = second.answer(&life.call(token, "POST", "challenge", Some(asked.clone())).await.json);
    // A signature for linking is no sign-in, and vice versa.
    assert_eq!(slug(&life.post("sign-in", proof.clone()).await), "unknown-nonce");
    let sign_in = life.proof(&second).await;
    assert_eq!(slug(&life.call(token, "POST", "wallets", Some(sign_in)).await), "unknown-nonce");
    // Nor does it link to another user.
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
    let from = |address: &'static str| [("x-streamgate-client", address)];
    let body = || Some(json!({"kind": "ethereum", "message": "", "signature": "0x"}));
    for _ in 0..5 {
        assert_eq!(life.send("POST", "sign-in", &from("192.0.2.1"), body()).await.status, 422);
    }
    let refused = life.send("POST", "sign-in", &from("192.0.2.1"), body()).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"12".parse().unwrap()));
    assert_eq!(
        (&refused.json["setting"], &refused.json["limit"]),
        (&"attempts_per_address".into(), &5.into())
    );
    assert_eq!(life.send("POST", "sign-in", &from("192.0.2.2"), body()).await.status, 422);
    world.pass(12);
    assert_eq!(life.send("POST", "sign-in", &from("192.0.2.1"), body()).await.status, 422);

    let life = world.live(Settings { attempts_per_wallet: 2, ..settings() }).await;
    let wallet = Wallet::ethereum(3);
    // A client that cannot sign for it uses up none of its attempts.
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
async fn a_network_has_its_share_of_challenges_and_none_of_those_of_others() {
    let world = World::new();
    let life = world.live(Settings { quotas: challenges(Some(10)), ..settings() }).await;
    let wallet = Wallet::ethereum(1);
    let body = || Some(json!({ "kind": "ethereum", "address": wallet.address() }));
    let ask = async |address: &str| {
        life.send("POST", "challenge", &[("x-streamgate-client", address)], body()).await
    };
    for host in 0..10 {
        assert_eq!(ask(&format!("2001:db8::{host}")).await.status, 200);
    }
    let refused = ask("2001:db8::ffff").await;
    assert_eq!((refused.status, slug(&refused)), (429, "too-many-attempts"));
    assert_eq!(refused.headers["retry-after"], "6");
    assert_eq!(
        (&refused.json["setting"], &refused.json["limit"]),
        (&"quotas.anonymous.challenges".into(), &10.into())
    );
    for other in ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.2"] {
        assert_eq!(ask(other).await.status, 200, "{other}");
    }
    world.pass(6);
    assert_eq!(ask("2001:db8::1").await.status, 200);
}

#[tokio::test]
async fn many_requests_for_challenges_leave_no_state_and_keep_no_other_user_out() {
    let world = World::new();
    let limits = Settings { attempts_per_address: 1, quotas: challenges(None), ..settings() };
    let life = world.live(limits).await;
    let wallets = [Wallet::ethereum(1), Wallet::solana(1)];
    let before = world.asked();
    for number in 0..20_000 {
        let wallet = &wallets[number % 2];
        let body = json!({ "kind": wallet.kind(), "address": wallet.address() });
        let address = format!("192.0.2.{}", number % 200);
        let from = [("x-streamgate-client", address.as_str())];
        assert_eq!(life.send("POST", "challenge", &from, Some(body)).await.status, 200, "{number}");
    }
    assert_eq!(world.asked(), before, "a challenge needs no database call");
    life.sign_in(&wallets[0]).await;
}

#[tokio::test]
async fn a_nonce_outlives_a_restart_and_counts_once_all_the_same() {
    let world = World::new();
    for wallet in [Wallet::ethereum(1), Wallet::solana(1)] {
        let proof = world.live(settings()).await.proof(&wallet).await;
        assert_eq!(world.live(settings()).await.post("sign-in", proof.clone()).await.status, 200);
        let life = world.live(settings()).await;
        assert_eq!(slug(&life.post("sign-in", proof.clone()).await), "unknown-nonce");
        // Nor after its use is forgotten, even by a clock that was set back a little.
        world.pass(301);
        life.auth.tidy().await.unwrap();
        world.pass(-200);
        assert_eq!(slug(&life.post("sign-in", proof).await), "unknown-nonce");
        world.pass(200);
    }
}

#[tokio::test]
async fn a_nonce_counts_for_the_text_that_it_was_made_for() {
    let world = World::new();
    let wallet = Wallet::solana(1);
    let proof = world.live(settings()).await.proof(&wallet).await;
    // Another site, another cluster, another time: another text would be signed.
    for changed in [
        Settings { public_url: "https://other.example.org".into(), ..settings() },
        Settings { solana_chains: vec!["devnet".into()], ..settings() },
        Settings { challenge_ttl: streamgate_plugin_api::settings::Duration::secs(60), ..settings() },
    ] {
        let life = world.live(changed).await;
        assert_eq!(slug(&life.post("sign-in", proof.clone()).await), "unknown-nonce");
    }
    assert_eq!(world.live(settings()).await.post("sign-in", proof).await.status, 200);
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_a_problem() {
    let world = World::new();
    let life = world.live(settings()).await;
    let large = json!({"kind": "ethereum", "message": "x".repeat(70_000), "signature": ""});
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
async fn a_body_that_breaks_off_is_not_one_that_is_too_large() {
    let world = World::new();
    let life = world.live(settings()).await;
    for (path, least) in [("sign-in", 64 * 1024), ("challenge", 32 * 1024)] {
        let broken = [Ok("{".into()), Err("an invalid chunk size")];
        let endless = vec![Ok("x".repeat(least / 2).into()); 3];
        for (body, status) in [(broken.to_vec(), 400), (endless, 413)] {
            let answer = life.post_body(path, Body::from_stream(futures_util::stream::iter(body))).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
        }
    }
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

#[tokio::test]
async fn a_principal_is_found_by_id_and_by_each_wallet_in_any_spelling() {
    let world = World::new();
    let life = world.live(settings()).await;
    let (ethereum, solana) = (Wallet::ethereum(1), Wallet::solana(2));
    let ann = text(&life.sign_in(&ethereum).await, "principal").to_owned();
    let bob = text(&life.sign_in(&solana).await, "principal").to_owned();
    let find = async |names: &[String]| {
        let request = FindRequest { names: names.to_vec() };
        Ok::<_, tonic::Status>(life.internal.clone().find(request).await?.into_inner().people)
    };
    let address = ethereum.address();
    let lower = address.to_lowercase();
    let names = [
        ann.clone(),
        ann.to_uppercase(),
        format!("eip155:{address}"),
        format!("eip155:{lower}"),
        lower.clone(),
        solana.address(),
        format!("solana:{}", solana.address()),
        // A contract's is on one chain, and this is not a contract's.
        format!("eip155:137:{address}"),
        format!("0x{}", lower[2..].to_uppercase()),
        "nobody".into(),
        String::new(),
    ];
    let people = find(&names).await.unwrap();
    let ids: Vec<_> = people.iter().map(|person| person.principal.as_str()).collect();
    let (ann, bob) = (ann.as_str(), bob.as_str());
    assert_eq!(ids, [ann, ann, ann, ann, ann, bob, bob, "", ann, "", ""]);
    assert_eq!(people[0].wallets, [format!("eip155:{address}")]);
    assert_eq!(people[0].roles, [Role::Viewer as i32]);
    assert_eq!(find(&vec![ann.to_owned(); 101]).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}
