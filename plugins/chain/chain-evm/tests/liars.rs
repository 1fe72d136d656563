//! No endpoint that lies, lags, hangs, redirects or disconnects produces a yes, and none produces a no: `not`
//! must not be satisfied by an outage either.
#![allow(clippy::unwrap_used)]

#[path = "support/liar.rs"]
mod liar;
mod support;

use std::time::Duration;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall as _, sol};
use liar::{Liar, Lie};
use serde_json::json;
use streamgate_contracts::chain::v1::{Answer, ChainsRequest, Verdict, WatchRequest};
use streamgate_tests::wait::eventually;
use support::{Anvil, CHAIN, PATIENCE, Service, asset, name, settings, verdict};
use tempfile::TempDir;

sol! {
    function mint(address to, uint256 id);
    function transferFrom(address from, address to, uint256 id);
}

/// A chain on which alice had the ticket in block `sold - 1`, and bob has had it since.
struct Sold {
    anvil: Anvil,
    alice: Address,
    bob: Address,
    ticket: String,
    contract: Address,
    sold: u64,
    folder: TempDir,
}

impl Sold {
    async fn new() -> Self {
        let anvil = Anvil::start();
        let accounts = anvil.accounts().await;
        let (alice, bob) = (accounts[1], accounts[2]);
        let contract = anvil.deploy("Ticket", &[]).await;
        let mint = mintCall { to: alice, id: U256::from(7) };
        anvil.send(alice, Some(contract), mint.abi_encode()).await;
        anvil.mine(3).await;
        let sale = transferFromCall { from: alice, to: bob, id: U256::from(7) };
        anvil.send(alice, Some(contract), sale.abi_encode()).await;
        let sold = anvil.height().await;
        anvil.mine(3).await;
        let (ticket, folder) = (asset("erc721", contract, Some(7)), TempDir::new().unwrap());
        Self { anvil, alice, bob, ticket, contract, sold, folder }
    }

    /// What `ownerOf` would return if alice still had it.
    fn alice_has_it(&self) -> Lie {
        Lie::Says("eth_call", json!(self.alice.into_word()))
    }

    async fn liar(&self, lie: Lie) -> Liar {
        Liar::start(&self.anvil.url, lie).await
    }

    async fn service(&self, endpoints: &[&str], more: serde_json::Value) -> Service {
        Service::start(&self.folder, settings(endpoints, more)).await
    }
}

fn assert_unknown(answer: &Answer, why: &str) {
    assert_eq!(verdict(answer), Verdict::Unknown, "{why}: {answer:?}");
    assert!(!answer.reason.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_breaks_the_rules_of_calls_is_unknown_to_everybody() {
    let chain = Sold::new().await;
    let elsewhere = chain.liar(Lie::None).await;
    for lie in [
        Lie::Chain(1),
        Lie::Hangs,
        Lie::HangsInBody,
        Lie::Redirects(301, elsewhere.url.clone()),
        Lie::Redirects(302, elsewhere.url.clone()),
        Lie::Redirects(303, elsewhere.url.clone()),
        Lie::Redirects(307, elsewhere.url.clone()),
        Lie::Redirects(308, elsewhere.url.clone()),
        Lie::Status(429),
        Lie::Status(500),
        Lie::Status(204),
        Lie::Truncates,
        Lie::Floods,
        Lie::Answers(""),
        Lie::Answers("<html>"),
        Lie::Answers("{}"),
        Lie::Answers("[]"),
        Lie::Answers("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}"),
        Lie::OtherId,
        Lie::OtherIdRefused,
        Lie::Twice,
        Lie::Drips,
        Lie::Deflates,
        Lie::Fields,
        Lie::Refuses(-32005, "limit exceeded"),
        Lie::Refuses(-32602, "invalid params"),
        Lie::Refuses(-32000, "header not found"),
        Lie::Refuses(4444, "pruned history unavailable"),
        Lie::Says("eth_getBlockByNumber", json!(null)),
        Lie::Says("eth_getBlockByNumber", json!({ "number": "0x99" })),
        Lie::Says("eth_call", json!(null)),
        Lie::Says("eth_call", json!("0x")),
        Lie::Says("eth_call", json!("0x01")),
        Lie::Says("eth_call", json!(true)),
        Lie::Says("eth_call", json!(format!("0x{}", "ff".repeat(32)))),
    ] {
        let why = format!("{lie:?}");
        let liar = chain.liar(lie).await;
        let service = chain.service(&[&liar.url], json!({ "deadline": "300ms" })).await;
        for account in [chain.alice, chain.bob] {
            assert_unknown(&service.holds(account, &chain.ticket).await, &why);
        }
        service.stop().await;
    }
    assert_eq!(elsewhere.calls(), 0, "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_is_no_number_is_not_zero() {
    let chain = Sold::new().await;
    let native = format!("eip155:{CHAIN}/slip44:60");
    for lie in [json!(""), json!("0x"), json!("0"), json!(0), json!(null), json!([]), json!("0x-1")] {
        let liar = chain.liar(Lie::Says("eth_getBalance", lie.clone())).await;
        let service = chain.service(&[&liar.url], json!({})).await;
        assert_unknown(&service.holds(chain.bob, &native).await, &lie.to_string());
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_lies_is_outvoted_and_contradicts_a_single_honest_one_into_unknown() {
    let chain = Sold::new().await;
    for lie in [chain.alice_has_it(), Lie::OtherHashes] {
        let why = format!("{lie:?}");
        let (liar, honest) = (chain.liar(lie).await, chain.liar(Lie::None).await);
        let two = chain.service(&[&liar.url, &chain.anvil.url], json!({})).await;
        assert_unknown(&two.holds(chain.alice, &chain.ticket).await, &why);
        two.stop().await;
        let three = chain.service(&[&liar.url, &honest.url, &chain.anvil.url], json!({})).await;
        for _ in 0..5 {
            assert_eq!(verdict(&three.holds(chain.alice, &chain.ticket).await), Verdict::No, "{why}");
            assert_eq!(verdict(&three.holds(chain.bob, &chain.ticket).await), Verdict::Yes, "{why}");
        }
        three.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lags_is_not_believed_about_the_past_owner() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::None).await;
    let service = chain.service(&[&liar.url], json!({})).await;
    assert_eq!(verdict(&service.holds(chain.alice, &chain.ticket).await), Verdict::No);
    liar.now(Lie::Stale(chain.sold - 1));
    assert_unknown(&service.holds(chain.alice, &chain.ticket).await, "below the floor");
    liar.now(Lie::None);
    assert_eq!(verdict(&service.holds(chain.alice, &chain.ticket).await), Verdict::No);
    service.stop().await;

    // From the start, too: its last block is too old.
    let old = json!({ "max_age": "1h" });
    let liar = chain.liar(Lie::None).await;
    let service = chain.service(&[&liar.url], old).await;
    assert_eq!(verdict(&service.holds(chain.bob, &chain.ticket).await), Verdict::Yes);
    let mut block = chain.anvil.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    block["timestamp"] = json!("0x5f000000");
    liar.now(Lie::Says("eth_getBlockByNumber", block.clone()));
    assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "an old block");
    block["timestamp"] = json!("0xffffffffff");
    liar.now(Lie::Says("eth_getBlockByNumber", block));
    assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "a block of the future");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lags_behind_others_delays_no_answer() {
    let chain = Sold::new().await;
    let (stale, honest) = (chain.liar(Lie::Stale(chain.sold - 1)).await, chain.liar(Lie::None).await);
    let service = chain.service(&[&stale.url, &honest.url, &chain.anvil.url], json!({ "max_lag": 0 })).await;
    for _ in 0..10 {
        assert_eq!(verdict(&service.holds(chain.alice, &chain.ticket).await), Verdict::No);
        assert_eq!(verdict(&service.holds(chain.bob, &chain.ticket).await), Verdict::Yes);
    }
    service.stop().await;

    // Two of two that are far apart agree on nothing.
    let service = chain.service(&[&stale.url, &honest.url], json!({})).await;
    assert_unknown(&service.holds(chain.alice, &chain.ticket).await, "one of two lags");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_hangs_is_hedged_and_two_of_two_are_an_outage() {
    let chain = Sold::new().await;
    let (hanging, other) = (chain.liar(Lie::Hangs).await, chain.liar(Lie::None).await);
    let one = json!({ "quorum": 1, "hedge_after": "50ms" });
    let service = chain.service(&[&hanging.url, &other.url], one).await;
    assert_eq!(verdict(&service.holds(chain.bob, &chain.ticket).await), Verdict::Yes);
    other.now(Lie::Hangs);
    for account in [chain.alice, chain.bob] {
        assert_unknown(&service.holds(account, &chain.ticket).await, "an outage");
    }
    other.now(Lie::None);
    hanging.now(Lie::None);
    eventually("the chain is back", Duration::from_secs(30), async || {
        (verdict(&service.holds(chain.bob, &chain.ticket).await) == Verdict::Yes).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_rests_and_comes_back_only_after_it_has_shown_its_chain_again() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::Status(503)).await;
    let long = json!({ "breaker_pause": "1s", "idle_poll": "30s" });
    let service = chain.service(&[&liar.url], long).await;
    for _ in 0..3 {
        assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "503");
    }
    let calls = liar.calls();
    for _ in 0..20 {
        assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "resting");
    }
    assert!(liar.calls() <= calls + 1, "it was called during its pause");
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((chains[0].endpoints_up, chains[0].endpoints), (0, 1));
    liar.now(Lie::Chain(1));
    let calls = liar.calls();
    eventually("a second call", Duration::from_secs(30), async || {
        assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "another chain");
        (liar.calls() > calls).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_block_hashes_is_read_by_number_and_checked_after() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::NoHashes).await;
    let service = chain.service(&[&liar.url], json!({})).await;
    let answer = service.holds(chain.bob, &chain.ticket).await;
    assert_eq!(verdict(&answer), Verdict::Yes, "{answer:?}");
    assert_eq!(verdict(&service.holds(chain.alice, &chain.ticket).await), Verdict::No);
    liar.now(Lie::NoHashesAndReplaces);
    chain.anvil.mine(1).await;
    assert_unknown(&service.holds(chain.bob, &chain.ticket).await, "the block was replaced");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_this_machine_is_refused_by_its_address() {
    let chain = Sold::new().await;
    let port = chain.anvil.url.rsplit_once(':').unwrap().1;
    for host in [
        "localhost",
        "localhost.",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0x0.1",
        "0",
    ] {
        let url = format!("https://{host}:{port}");
        let mut strict = settings(&[&url], json!({ "deadline": "5s" }));
        strict.allow_private = false;
        let service = Service::start(&chain.folder, strict).await;
        assert_unknown(&service.holds(chain.bob, &chain.ticket).await, host);
        let reason = service.holds(chain.bob, &chain.ticket).await.reason;
        assert!(!reason.contains("key"), "{reason}");
        service.stop().await;
    }
    let mut literal = settings(&[&chain.anvil.url], json!({}));
    literal.allow_private = false;
    let problems = literal.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].key, "chains.0.endpoints.0");
    // The address of cloud instance credentials, and other forms of this machine's address.
    for host in [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "[::ffff:7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
    ] {
        let mut literal = settings(&[&format!("https://{host}/")], json!({}));
        literal.allow_private = false;
        assert_eq!(literal.problems().len(), 1, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_each_say_something_else_are_unknown_however_many_there_are() {
    let chain = Sold::new().await;
    let says = |owner: Address| Lie::Says("eth_call", json!(owner.into_word()));
    let (one, two) =
        (chain.liar(says(Address::repeat_byte(1))).await, chain.liar(chain.alice_has_it()).await);
    let three = chain.liar(says(Address::repeat_byte(3))).await;
    let split = [&*one.url, &two.url, &three.url, &chain.anvil.url];
    let service = chain.service(&split, json!({})).await;
    for account in [chain.alice, chain.bob] {
        assert_unknown(&service.holds(account, &chain.ticket).await, "four answers");
    }
    service.stop().await;

    // Two that agree on a lie are not enough where three must agree.
    one.now(chain.alice_has_it());
    three.now(Lie::None);
    let service = chain.service(&split, json!({ "quorum": 3 })).await;
    for account in [chain.alice, chain.bob] {
        assert_unknown(&service.holds(account, &chain.ticket).await, "two and two");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_at_a_block_that_was_undone() {
    let chain = Sold::new().await;
    // Its last block is no longer part of the chain: nothing can be read there.
    let gone = chain.anvil.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    chain.anvil.reorg(chain.anvil.height().await - chain.sold + 1).await;
    let liar = chain.liar(Lie::Says("eth_getBlockByNumber", gone)).await;
    let service = chain.service(&[&liar.url], json!({})).await;
    for account in [chain.alice, chain.bob] {
        assert_unknown(&service.holds(account, &chain.ticket).await, "a block that is gone");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_hides_a_transfer_does_not_keep_it_from_being_published() {
    let chain = Sold::new().await;
    let (liar, honest) = (chain.liar(Lie::Says("eth_getLogs", json!([]))).await, chain.liar(Lie::None).await);
    let service = chain.service(&[&liar.url, &honest.url, &chain.anvil.url], json!({})).await;
    let watch = WatchRequest { assets: vec![asset("erc721", chain.contract, None)], lease_ms: 0 };
    service.chain.clone().watch(watch).await.unwrap();
    let back = transferFromCall { from: chain.bob, to: chain.alice, id: U256::from(7) };
    chain.anvil.send(chain.bob, Some(chain.contract), back.abi_encode()).await;
    let told = service.heard("transfer", |event| event.to == name(chain.alice)).await;
    assert_eq!(told.asset, chain.ticket);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_another_block_or_contract_is_ignored_and_not_published() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::None).await;
    let service = chain.service(&[&liar.url], json!({})).await;
    let watch = WatchRequest { assets: vec![asset("erc721", chain.contract, None)], lease_ms: 0 };
    service.chain.clone().watch(watch).await.unwrap();
    let parties = [(chain.bob, chain.alice), (chain.alice, chain.bob)];
    for ((from, to), lie) in parties.iter().cycle().zip([
        Lie::Logs("blockNumber", json!("0xffffffffffff")),
        Lie::Logs("blockNumber", json!("0x1")),
        Lie::Logs("blockHash", json!(format!("0x{}", "ab".repeat(32)))),
        Lie::Logs("address", json!(Address::repeat_byte(1))),
        Lie::Logs("logIndex", json!("0x")),
        Lie::Logs("data", json!(null)),
    ]) {
        let why = format!("{lie:?}");
        let told = service.told.lock().unwrap().len();
        liar.now(lie);
        let pass_on = transferFromCall { from: *from, to: *to, id: U256::from(7) };
        let receipt = chain.anvil.send(*from, Some(chain.contract), pass_on.abi_encode()).await;
        let calls = liar.calls();
        eventually("a call", PATIENCE, async || (liar.calls() > calls + 10).then_some(())).await;
        assert_eq!(service.told.lock().unwrap().len(), told, "{why}");
        liar.now(Lie::None);
        let hash = receipt["blockHash"].as_str().unwrap().to_owned();
        let event = service.heard("the transfer", |event| event.block_hash == hash).await;
        assert_eq!((event.to, event.block), (name(*to), chain.anvil.height().await), "{why}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_downtime_missed_transfers_are_published_whatever_range_an_endpoint_allows() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::None).await;
    let depth = json!({ "reorg_depth": 4 });
    let service = chain.service(&[&liar.url], depth.clone()).await;
    let watch = WatchRequest { assets: vec![asset("erc721", chain.contract, None)], lease_ms: 0 };
    service.chain.clone().watch(watch).await.unwrap();
    service.stop().await;

    let back = transferFromCall { from: chain.bob, to: chain.alice, id: U256::from(7) };
    chain.anvil.mine(20).await;
    chain.anvil.send(chain.bob, Some(chain.contract), back.abi_encode()).await;
    chain.anvil.mine(50).await;
    liar.now(Lie::Limits(9));
    let service = chain.service(&[&liar.url], depth).await;
    service.heard("transfer", |event| event.to == name(chain.alice) && !event.removed).await;
    let again = transferFromCall { from: chain.alice, to: chain.bob, id: U256::from(7) };
    chain.anvil.send(chain.alice, Some(chain.contract), again.abi_encode()).await;
    service.heard("transfer of now", |event| event.to == name(chain.bob)).await;
    assert_eq!(service.told.lock().unwrap().len(), 2, "each is told once");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_equal_queries_cost_one_call() {
    let chain = Sold::new().await;
    let liar = chain.liar(Lie::None).await;
    let slow = json!({ "head_ttl": "60s", "poll": "60s", "idle_poll": "1h" });
    let service = chain.service(&[&liar.url], slow).await;
    let asked = (0..100).map(|_| service.holds(chain.bob, &chain.ticket));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(verdict(&answer), Verdict::Yes);
    }
    // Its chain, the last block, the owner, and the contract's declared kind of token.
    assert_eq!(liar.calls(), 4);
    service.stop().await;
}
