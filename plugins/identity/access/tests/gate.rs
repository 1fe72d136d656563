//! Contents behind tokens, on a real node with real contracts.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};
use http::Method;
use serde_json::json;
use streamgate_contracts::access::v1::Verdict;
use streamgate_plugin_api::Principal;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::*;

sol! {
    function mint(address to, uint256 id);
    function transferFrom(address from, address to, uint256 id);
    function ownerOf(uint256 id);
    function delegateContract(address to, address contract_, bytes32 rights, bool enable);
}

const DELEGATIONS: &str = "0x00000000000000447e69651d841bD8D104Bed493";

fn give(to: Address, id: u64) -> Vec<u8> {
    mintCall { to, id: U256::from(id) }.abi_encode()
}

fn pass_on(from: Address, to: Address, id: u64) -> Vec<u8> {
    transferFromCall { from, to, id: U256::from(id) }.abi_encode()
}

fn asset(kind: &str, contract: Address) -> String {
    format!("eip155:{CHAIN}/{kind}:{contract:#x}")
}

/// Time that a revocation may take after its block.
const LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn access_follows_the_token_and_says_why_and_at_which_block() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    life.gate(json!({ "erc721": { "asset": asset("erc721", ticket) } })).await;
    let (a, b) = (viewer(ALICE, &[alice]), viewer(BOB, &[bob]));

    let refused = life.decide(&a).await;
    assert_eq!((refused.verdict(), &*refused.r#type), (Verdict::Denied, "not-entitled"), "{refused:?}");
    assert!(refused.reason.contains(&asset("erc721", ticket)), "{}", refused.reason);
    assert!(refused.reason.contains("it holds 0 of 1"), "{}", refused.reason);

    let receipt = anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let allowed = life.decides("a mint", &a, |decision| decision.verdict() == Verdict::Allowed).await;
    let evidence = &allowed.evidence[0];
    assert_eq!((&*evidence.chain, &*evidence.finality), (&*format!("eip155:{CHAIN}"), "latest"));
    assert_eq!(evidence.block_hash, receipt["blockHash"].as_str().unwrap());
    assert!(evidence.finding.contains("it holds 1 of 1"), "{}", evidence.finding);
    assert!(allowed.valid_until_ms > world.now_ms());
    let page = format!("/decisions?content={CONTENT}&principal={ALICE}");
    let stored = life.call(Some(&creator()), Method::GET, &page, None).await.json;
    assert_eq!(stored["items"][0]["id"], *allowed.id);
    assert_eq!(stored["items"][0]["evidence"][0]["block"], evidence.block);
    assert_eq!(stored["items"][1]["verdict"], "denied");

    // It is sold while it is played.
    anvil.send(alice, Some(ticket), pass_on(alice, bob, 7)).await;
    let begun = Instant::now();
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert!(revoked.generation > allowed.generation, "{revoked:?} {allowed:?}");
    assert!(revoked.reason.contains("changed hands"), "{}", revoked.reason);
    let after = life.decide(&a).await;
    assert_eq!((after.verdict(), after.generation), (Verdict::Denied, revoked.generation));
    assert_eq!(life.decide(&b).await.verdict(), Verdict::Allowed);

    anvil.send(bob, Some(ticket), pass_on(bob, alice, 7)).await;
    let again = life.decides("the way back", &a, |decision| decision.verdict() == Verdict::Allowed).await;
    assert!(again.generation >= revoked.generation);
    life.hears("a revocation", |event| event.principal == BOB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_of_the_purchase_takes_access_back() {
    let (anvil, world) = (Anvil::start(), World::new());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    life.gate(json!({ "erc721": { "asset": asset("erc721", ticket), "token": "7" } })).await;
    let a = viewer(ALICE, &[alice]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let allowed = life.decides("a mint", &a, |decision| decision.verdict() == Verdict::Allowed).await;

    anvil.reorg(1).await;
    let begun = Instant::now();
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    // That the transfer was undone, or that the chain was reorganised: both are reported.
    let why = ["was undone", "was reorganised"].iter().any(|why| revoked.reason.contains(why));
    assert!(revoked.generation > allowed.generation && why, "{revoked:?}");
    let after = life.decides("a refusal", &a, |decision| decision.verdict() == Verdict::Denied).await;
    assert!(after.reason.contains("there is no token 7"), "{}", after.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_never_satisfies_a_not_and_differs_from_a_no() {
    let (anvil, world) = (Anvil::start(), World::new());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let rule = json!({ "erc721": { "asset": asset("erc721", ticket) } });
    let a = viewer(ALICE, &[alice]);
    let life = world.live(Some(&anvil.url), json!({})).await;
    life.gate(json!({ "not": rule })).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    life.stop().await;

    // Nothing listens there, and then the capability has no provider.
    for endpoint in [Some("http://127.0.0.1:9"), None] {
        let world = World::new();
        let life = world.live(endpoint, json!({ "chain_timeout": "3s" })).await;
        for rule in [rule.clone(), json!({ "not": rule }), json!({ "not": { "not": rule } })] {
            life.gate(rule.clone()).await;
            let decision = life.decide(&a).await;
            assert_eq!(
                (decision.verdict(), &*decision.r#type),
                (Verdict::Unknown, "chain-unavailable"),
                "{rule}: {decision:?}"
            );
        }
        // What does not need the chain is decided without it.
        life.gate(json!({ "any": [{ "role": "viewer" }, rule] })).await;
        assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
        life.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_receives_an_excluding_token_is_refused() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let (ticket, coin) = (anvil.deploy("Ticket", &[]).await, anvil.deploy("Coin", &[]).await);
    anvil.send(alice, Some(coin), give(alice, 500)).await;
    anvil.send(bob, Some(ticket), give(bob, 1)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    life.gate(json!({ "all": [
        { "erc20": { "asset": asset("erc20", coin), "at_least": "500" } },
        { "not": { "erc721": { "asset": asset("erc721", ticket) } } },
    ] }))
    .await;
    let a = viewer(ALICE, &[alice]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    anvil.send(bob, Some(ticket), pass_on(bob, alice, 1)).await;
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.reason.contains("not allowed: at least 1"), "{}", revoked.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_of_several_wallets_is_enough_and_what_they_hold_is_not_added_up() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (one, two) = (accounts[1], accounts[2]);
    let coin = anvil.deploy("Coin", &[]).await;
    anvil.send(one, Some(coin), give(one, 300)).await;
    anvil.send(one, Some(coin), give(two, 500)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    let gate = |at_least: &str| json!({ "erc20": { "asset": asset("erc20", coin), "at_least": at_least } });
    life.gate(gate("500")).await;
    assert_eq!(life.decide(&viewer(ALICE, &[one, two])).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&viewer(ALICE, &[one])).await.verdict(), Verdict::Denied);
    life.gate(gate("501")).await;
    assert_eq!(life.decide(&viewer(ALICE, &[one, two])).await.verdict(), Verdict::Denied);
    // The preview's result.
    let body = json!({ "wallets": [format!("eip155:{one:#x}"), format!("eip155:{two:#x}")] });
    let preview = life.call(Some(&creator()), Method::POST, "/contents/{c}/preview", Some(&body)).await.json;
    assert_eq!((&preview["verdict"], &preview["finding"]["holds"]), (&json!("denied"), &json!("no")));
    assert_eq!(
        life.call(Some(&viewer(BOB, &[])), Method::POST, "/contents/{c}/preview", Some(&body)).await.status,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_returns_a_wallet_is_compared_with_those_of_the_viewer() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (alice, bob, other) = (accounts[1], accounts[2], accounts[3]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    // Like `userOf` of ERC-4907, `punkIndexToAddress` of CryptoPunks and `owner` of ENS, it returns an
    // address, and knows no wallet of the viewer.
    let data = format!("{:#x}", Bytes::from(ownerOfCall { id: U256::from(7) }.abi_encode()));
    let rule = |comparison: &str| {
        json!({ "contract_call": { "contract": format!("eip155:{CHAIN}:{ticket:#x}"), "data": data,
            "comparison": comparison, "operand": "{wallet}" } })
    };
    life.gate(rule("equal")).await;
    let allowed = life.decide(&viewer(ALICE, &[other, alice])).await;
    assert_eq!(allowed.verdict(), Verdict::Allowed, "{allowed:?}");
    assert!(allowed.evidence[0].finding.contains(&format!("{alice:#x}")), "{allowed:?}");
    let denied = life.decide(&viewer(BOB, &[bob])).await;
    assert_eq!((denied.verdict(), &*denied.r#type), (Verdict::Denied, "not-entitled"));
    assert!(denied.reason.contains(&format!("the contract says {alice:#x}")), "{}", denied.reason);
    life.gate(json!({ "not": rule("equal") })).await;
    assert_eq!(life.decide(&viewer(ALICE, &[other, alice])).await.verdict(), Verdict::Denied);
    assert_eq!(life.decide(&viewer(BOB, &[bob])).await.verdict(), Verdict::Allowed);
    // A viewer who is not signed in has no wallet to compare.
    life.gate(rule("not_equal")).await;
    let nobody = life.decide(&viewer("", &[])).await;
    assert_eq!((nobody.verdict(), &*nobody.r#type), (Verdict::Denied, "not-signed-in"), "{nobody:?}");
    assert_eq!(life.decide(&viewer(BOB, &[bob])).await.verdict(), Verdict::Allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_vault_counts_for_whom_it_is_delegated_to() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (vault, hot, other) = (accounts[1], accounts[2], accounts[3]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.stand_in("Delegations", DELEGATIONS).await;
    anvil.send(vault, Some(ticket), give(vault, 7)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    let rule = |delegated: bool| json!({ "erc721": { "asset": asset("erc721", ticket), "token": "7", "delegated": delegated } });
    life.gate(rule(true)).await;
    let a = viewer(ALICE, &[hot]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    let delegate = delegateContractCall { to: hot, contract_: ticket, rights: B256::ZERO, enable: true };
    anvil.send(vault, Some(DELEGATIONS.parse().unwrap()), delegate.abi_encode()).await;
    let allowed = life.decides("a delegation", &a, |decision| decision.verdict() == Verdict::Allowed).await;
    assert!(allowed.evidence[0].finding.contains("it holds 0") || allowed.evidence.len() > 1, "{allowed:?}");
    assert_eq!(life.decide(&viewer(BOB, &[other])).await.verdict(), Verdict::Denied);

    // The vault sells it.
    anvil.send(vault, Some(ticket), pass_on(vault, other, 7)).await;
    life.hears("a revocation", |event| event.principal == ALICE).await;
    life.gate(rule(false)).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_while_the_server_was_down_is_found_when_it_is_back() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    life.gate(json!({ "erc721": { "asset": asset("erc721", ticket) } })).await;
    let a = viewer(ALICE, &[alice]);
    let allowed = life.decide(&a).await;
    assert_eq!(allowed.verdict(), Verdict::Allowed);
    life.stop().await;
    anvil.send(alice, Some(ticket), pass_on(alice, bob, 7)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.generation > allowed.generation);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_wallet_counts_on_its_own_chain_alone_and_is_followed_there() {
    let (anvil, world) = (Anvil::start(), World::new());
    let accounts = anvil.accounts().await;
    let (safe, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(safe, Some(ticket), give(safe, 7)).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    let owns = json!({ "erc721": { "asset": asset("erc721", ticket) } });
    let on = |id: &str, chain: u64| {
        let wallets = vec![format!("eip155:{chain}:{}", safe.to_checksum(None))];
        Principal { wallets, ..viewer(id, &[]) }
    };
    let (here, elsewhere) = (on(ALICE, CHAIN), on(BOB, 1));
    life.gate(owns).await;
    assert_eq!(life.decide(&here).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&elsewhere).await.verdict(), Verdict::Denied);
    anvil.send(safe, Some(ticket), pass_on(safe, bob, 7)).await;
    life.hears("a revocation", |event| event.principal == ALICE).await;

    // A list with the address and no chain may mean either: it grants no access, and does not prevent an
    // exclusion.
    let listed = |chain: &str| json!({ "allow_list": { "wallets": [format!("eip155:{chain}{safe:#x}")] } });
    for rule in [listed(""), json!({ "not": listed("") })] {
        life.gate(rule).await;
        assert_eq!(life.decide(&elsewhere).await.verdict(), Verdict::Unknown);
        assert_ne!(life.decide(&viewer(BOB, &[safe])).await.verdict(), Verdict::Unknown);
    }
    life.gate(listed(&format!("{CHAIN}:"))).await;
    assert_eq!(life.decide(&here).await.verdict(), Verdict::Allowed);
    assert_eq!(life.decide(&elsewhere).await.verdict(), Verdict::Denied);
    assert_eq!(life.decide(&viewer(BOB, &[safe])).await.verdict(), Verdict::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_content_is_refused_without_a_word_of_wallets_that_would_not_help() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let (a, nobody) = (viewer(ALICE, &[Address::repeat_byte(1)]), viewer("", &[]));
    life.gate(json!({ "role": "viewer" })).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    life.put_policy(json!({ "openness": "private" })).await;
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    let (known, unknown) = (life.decide(&a).await, life.decide(&nobody).await);
    assert_eq!((&*known.r#type, &*unknown.r#type), ("not-entitled", "not-signed-in"));
    let me = life.call(Some(&a), Method::GET, "/contents/{c}/me", None).await.json;
    assert_eq!(me["finding"], serde_json::Value::Null);
    for text in [revoked.reason, known.reason, unknown.reason, me["reason"].as_str().unwrap().to_owned()] {
        assert!(text.contains("This content is private."), "{text}");
        for advice in ["wallet", "token", "requires"] {
            assert!(!text.contains(advice), "{text}");
        }
    }
}
