//! No endpoint that lies, lags, hangs, redirects or disconnects produces a yes, and none produces a no: `not`
//! must not be satisfied by an outage either. The replacement of a validator is described in
//! `streamgate_tests::solana`.
#![allow(clippy::unwrap_used)]

#[path = "support/liar.rs"]
mod liar;
mod support;

use std::time::Duration;

use liar::{Liar, Lie};
use serde_json::{Value, json};
use streamgate_contracts::chain::v1::{Answer, ChainsRequest, Verdict};
use streamgate_tests::wait::eventually;
use support::{Asked as _, Cluster, Service, assert_unknown};

/// A cluster on which alice had the ticket, and can sell it to bob.
struct Sale {
    cluster: Cluster,
    alice: String,
    bob: String,
    mint: String,
    accounts: [String; 2],
}

impl Sale {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let (alice, bob) = (cluster.key().await, cluster.key().await);
        let mint = cluster.mint("token-2022", 0).await;
        let accounts = [cluster.associated(&mint, &alice).await, cluster.associated(&mint, &bob).await];
        cluster.give(&accounts[0], 1).await;
        Self { cluster, alice, bob, mint, accounts }
    }

    async fn sold() -> Self {
        let it = Self::new().await;
        it.sell().await;
        it
    }

    async fn sell(&self) {
        self.cluster.transfer(&self.accounts[0], &self.accounts[1], &self.alice, 1).await;
    }

    async fn liar(&self, lie: Lie) -> Liar {
        Liar::start(&self.cluster.url, lie).await
    }

    async fn holds(&self, service: &Service, owner: &str) -> Answer {
        service.ask(self.cluster.holding(owner, &self.cluster.asset("token", &self.mint), "")).await
    }

    /// The cluster's answer about the token accounts of the owner.
    async fn accounts_of(&self, owner: &str) -> Value {
        let filter = json!({ "mint": self.mint });
        self.cluster.rpc("getTokenAccountsByOwner", json!([owner, filter, { "encoding": "base64" }])).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_breaks_the_rules_of_calls_is_unknown_to_everybody() {
    let sale = Sale::sold().await;
    let elsewhere = sale.liar(Lie::None).await;
    for lie in [
        Lie::Says("getGenesisHash", json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")),
        Lie::Says("getGenesisHash", json!(7)),
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
        Lie::Answers("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}"),
        Lie::OtherId,
        Lie::Twice,
        Lie::Drips,
        Lie::Deflates,
        Lie::Fields,
        Lie::Refuses(-32005, "Node is behind by 42 slots"),
        Lie::Refuses(-32602, "invalid params"),
        Lie::Refuses(-32010, "excluded from account secondary indexes"),
        Lie::Says("getSlot", json!(null)),
        Lie::Says("getBlock", json!(null)),
        Lie::Says("getBlock", json!({ "blockhash": "?", "parentSlot": 1, "blockTime": 1 })),
        Lie::Says("getTokenAccountsByOwner", json!(null)),
        Lie::Says("getTokenAccountsByOwner", json!([])),
        Lie::Says("getTokenAccountsByOwner", json!({ "value": [] })),
        Lie::Says("getTokenAccountsByOwner", json!({ "context": { "slot": -1 }, "value": [] })),
        Lie::Says("getTokenAccountsByOwner", json!({ "context": { "slot": 1 }, "value": [] })),
        Lie::Says("getTokenAccountsByOwner", json!({ "context": { "slot": 1u64 << 40 }, "value": [{}] })),
    ] {
        let why = format!("{lie:?}");
        let liar = sale.liar(lie).await;
        let service = sale.cluster.service(&[&liar.url], json!({ "deadline": "300ms" }));
        for owner in [&sale.alice, &sale.bob] {
            assert_unknown(&sale.holds(&service, owner).await, &why);
        }
        service.stop().await;
    }
    assert_eq!(elsewhere.calls(), 0, "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_the_owners_makes_no_yes() {
    let sale = Sale::sold().await;
    let bobs = sale.accounts_of(&sale.bob).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut answer = bobs.clone();
        change(&mut answer);
        answer
    };
    let other = sale.cluster.mint("token-2022", 0).await;
    sale.cluster.give(&sale.cluster.associated(&other, &sale.alice).await, 1).await;
    let filter = json!({ "mint": other });
    let config = json!({ "encoding": "base64" });
    let of_other = sale.cluster.rpc("getTokenAccountsByOwner", json!([sale.alice, filter, config])).await;
    let slot = json!(1u64 << 40);
    for (why, owner, answer) in [
        ("bob's account", &sale.alice, bobs.clone()),
        ("an account of another mint", &sale.alice, of_other),
        (
            "an account of another program",
            &sale.bob,
            with(&|answer| {
                answer["value"][0]["account"]["owner"] = json!("11111111111111111111111111111111")
            }),
        ),
        (
            "an account with extensions of a program that has none",
            &sale.bob,
            with(&|answer| {
                answer["value"][0]["account"]["owner"] = json!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
            }),
        ),
        (
            "the same account twice",
            &sale.bob,
            with(&|answer| {
                let account = answer["value"][0].clone();
                answer["value"].as_array_mut().unwrap().push(account);
            }),
        ),
        (
            "no bytes",
            &sale.bob,
            with(&|answer| answer["value"][0]["account"]["data"] = json!(["", "base64"])),
        ),
        (
            "parsed by the endpoint",
            &sale.bob,
            with(&|answer| answer["value"][0]["account"]["data"] = json!({ "parsed": {} })),
        ),
    ] {
        let mut answer = answer;
        answer["context"]["slot"] = slot.clone();
        let liar = sale.liar(Lie::Says("getTokenAccountsByOwner", answer)).await;
        let service = sale.cluster.service(&[&liar.url], json!({}));
        assert_unknown(&sale.holds(&service, owner).await, why);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lags_is_not_believed_about_the_past_owner() {
    let sale = Sale::new().await;
    let liar = sale.liar(Lie::None).await;
    let service = sale.cluster.service(&[&liar.url], json!({}));
    assert_eq!(sale.holds(&service, &sale.alice).await.verdict(), Verdict::Yes);
    sale.sell().await;
    sale.cluster.rpc("test_advance", json!([5])).await;
    // It has seen the sale once; after that its cached answers are below the floor.
    assert_eq!(sale.holds(&service, &sale.bob).await.verdict(), Verdict::Yes);
    liar.now(Lie::Remembers);
    sale.cluster.rpc("test_advance", json!([5])).await;
    let old = sale.accounts_of(&sale.alice).await;
    assert_eq!(old["value"].as_array().unwrap().len(), 1);
    assert_unknown(&sale.holds(&service, &sale.alice).await, "an answer from before");
    service.stop().await;

    // One with current slots and old accounts is detected by the slot of its read.
    let sale = Sale::new().await;
    let liar = sale.liar(Lie::None).await;
    let service = sale.cluster.service(&[&liar.url], json!({}));
    assert_eq!(sale.holds(&service, &sale.alice).await.verdict(), Verdict::Yes);
    let before = sale.accounts_of(&sale.alice).await;
    sale.sell().await;
    liar.now(Lie::Says("getTokenAccountsByOwner", before));
    assert_unknown(&sale.holds(&service, &sale.alice).await, "read before");
    service.stop().await;

    // From the start, too: its last block is too old, or in the future.
    let cluster = &sale.cluster;
    let slot = cluster.slot().await;
    let block = cluster.rpc("getBlock", json!([slot, {}])).await;
    for (why, time) in [
        ("an old block", json!(1_600_000_000)),
        ("of the future", json!(1u64 << 40)),
        ("no time", json!(null)),
    ] {
        let mut block = block.clone();
        block["blockTime"] = time;
        let liar = sale.liar(Lie::Says("getBlock", block)).await;
        let service = cluster.service(&[&liar.url], json!({ "max_age": "1h" }));
        assert_unknown(&sale.holds(&service, &sale.bob).await, why);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_lies_is_outvoted_and_contradicts_a_single_honest_one_into_unknown() {
    let sale = Sale::new().await;
    let (liar, honest) = (sale.liar(Lie::None).await, sale.liar(Lie::None).await);
    let warm = sale.cluster.service(&[&liar.url], json!({}));
    assert_eq!(sale.holds(&warm, &sale.alice).await.verdict(), Verdict::Yes);
    warm.stop().await;
    sale.sell().await;
    for lie in [Lie::RemembersAsOfNow, Lie::OtherHashes] {
        let why = format!("{lie:?}");
        liar.now(lie);
        let two = sale.cluster.service(&[&liar.url, &sale.cluster.url], json!({}));
        assert_unknown(&sale.holds(&two, &sale.alice).await, &why);
        two.stop().await;
        let three = sale.cluster.service(&[&liar.url, &honest.url, &sale.cluster.url], json!({}));
        for _ in 0..5 {
            assert_eq!(sale.holds(&three, &sale.alice).await.verdict(), Verdict::No, "{why}");
            assert_eq!(sale.holds(&three, &sale.bob).await.verdict(), Verdict::Yes, "{why}");
        }
        three.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_lags_behind_others_delays_no_answer() {
    let sale = Sale::new().await;
    let (stale, honest) = (sale.liar(Lie::None).await, sale.liar(Lie::None).await);
    let warm = sale.cluster.service(&[&stale.url], json!({}));
    assert_eq!(sale.holds(&warm, &sale.alice).await.verdict(), Verdict::Yes);
    warm.stop().await;
    sale.sell().await;
    sale.cluster.rpc("test_advance", json!([5])).await;
    stale.now(Lie::Remembers);
    let service = sale.cluster.service(&[&stale.url, &honest.url, &sale.cluster.url], json!({}));
    for _ in 0..5 {
        assert_eq!(sale.holds(&service, &sale.alice).await.verdict(), Verdict::No);
        assert_eq!(sale.holds(&service, &sale.bob).await.verdict(), Verdict::Yes);
    }
    service.stop().await;
    // Two of two that are far apart agree on nothing.
    let service = sale.cluster.service(&[&stale.url, &honest.url], json!({}));
    assert_unknown(&sale.holds(&service, &sale.alice).await, "one of two lags");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_hangs_is_hedged_and_two_of_two_are_an_outage() {
    let sale = Sale::sold().await;
    let (hanging, other) = (sale.liar(Lie::Hangs).await, sale.liar(Lie::None).await);
    let one = json!({ "quorum": 1, "hedge_after": "50ms", "deadline": "500ms" });
    let service = sale.cluster.service(&[&hanging.url, &other.url], one);
    assert_eq!(sale.holds(&service, &sale.bob).await.verdict(), Verdict::Yes);
    other.now(Lie::Hangs);
    for owner in [&sale.alice, &sale.bob] {
        assert_unknown(&sale.holds(&service, owner).await, "an outage");
    }
    other.now(Lie::None);
    hanging.now(Lie::None);
    eventually("the cluster is back", Duration::from_secs(30), async || {
        (sale.holds(&service, &sale.bob).await.verdict() == Verdict::Yes).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_rests_and_comes_back_only_after_it_has_shown_its_genesis_again() {
    let sale = Sale::sold().await;
    let liar = sale.liar(Lie::Status(503)).await;
    let service = sale.cluster.service(&[&liar.url], json!({ "breaker_pause": "1s" }));
    for _ in 0..3 {
        assert_unknown(&sale.holds(&service, &sale.bob).await, "503");
    }
    let calls = liar.calls();
    for _ in 0..20 {
        assert_unknown(&sale.holds(&service, &sale.bob).await, "resting");
    }
    assert!(liar.calls() <= calls + 1, "it was called during its pause");
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((chains[0].endpoints_up, chains[0].endpoints), (0, 1));
    liar.now(Lie::Says("getGenesisHash", json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")));
    let calls = liar.calls();
    eventually("a second call", Duration::from_secs(30), async || {
        assert_unknown(&sale.holds(&service, &sale.bob).await, "another cluster");
        (liar.calls() > calls).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_another_cluster_is_found_out_even_if_its_name_is_the_same() {
    let sale = Sale::sold().await;
    // The first 32 characters are the name in CAIP-2; all of them must be right.
    let other = format!("{}{}", &sale.cluster.genesis[..sale.cluster.genesis.len() - 1], "2");
    let other = if other == sale.cluster.genesis { other.replace('2', "3") } else { other };
    let service = sale.cluster.service(&[&sale.cluster.url], json!({ "genesis": other }));
    assert_unknown(&sale.holds(&service, &sale.bob).await, "another genesis");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_this_machine_is_refused_by_its_address() {
    let sale = Sale::sold().await;
    let port = sale.cluster.url.rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}/secret-key");
    let mut strict = sale.cluster.settings(&[&url], json!({}));
    strict.allow_private = false;
    assert_eq!(strict.problems(), []);
    let service = Service::start(strict);
    let answer = sale.holds(&service, &sale.bob).await;
    assert_unknown(&answer, "localhost");
    assert!(answer.reason.contains("no public address"), "{}", answer.reason);
    assert!(!answer.reason.contains("secret"), "{}", answer.reason);
    service.stop().await;
    let mut literal = sale.cluster.settings(&[&sale.cluster.url], json!({}));
    literal.allow_private = false;
    assert_eq!(literal.problems()[0].key, "chains.0.endpoints.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn nfts_and_indexes_of_an_endpoint_that_lies_are_unknown() {
    let cluster = Cluster::start().await;
    let (alice, bob, collection) = (cluster.key().await, cluster.key().await, cluster.key().await);
    cluster.nft("token", &alice, &collection).await;
    cluster.rpc("test_assets", json!([[]])).await;
    let page = |owner: &str, indexed: u64| {
        let asset = json!({
            "id": "1", "compression": { "compressed": true }, "ownership": { "owner": owner },
            "grouping": [{ "group_key": "collection", "group_value": collection }],
        });
        json!({ "items": [asset], "last_indexed_slot": indexed })
    };
    let later = json!({ "slot": 1u64 << 40 });
    for (why, kind, owner, lie) in [
        (
            "too few accounts",
            "nft",
            &alice,
            Lie::Says("getMultipleAccounts", json!({ "context": later, "value": [] })),
        ),
        (
            "accounts from before",
            "nft",
            &alice,
            Lie::Says("getMultipleAccounts", json!({ "context": { "slot": 1 }, "value": [null] })),
        ),
        ("an index from before", "cnft", &alice, Lie::Says("getAssetsByOwner", page(&alice, 1))),
        ("assets of somebody else", "cnft", &alice, Lie::Says("getAssetsByOwner", page(&bob, 1 << 40))),
        ("no assets", "cnft", &alice, Lie::Says("getAssetsByOwner", json!({ "total": 0 }))),
    ] {
        let liar = Liar::start(&cluster.url, lie).await;
        let service = cluster.service(&[&liar.url], json!({}));
        let answer = service.ask(cluster.holding(owner, &cluster.asset(kind, &collection), "")).await;
        assert_unknown(&answer, why);
        service.stop().await;
    }
    // Two endpoints of which one has no index cannot answer for compressed assets.
    let without = Liar::start(&cluster.url, Lie::Says("getAssetsByOwner", json!(null))).await;
    let service = cluster.service(&[&without.url, &cluster.url], json!({}));
    let answer = service.ask(cluster.holding(&alice, &cluster.asset("cnft", &collection), "")).await;
    assert_unknown(&answer, "one of two has an index");
    let answer = service.ask(cluster.holding(&alice, &cluster.asset("nft", &collection), "")).await;
    assert_eq!(answer.verdict(), Verdict::Yes, "{answer:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_equal_queries_cost_one_call() {
    let sale = Sale::sold().await;
    let liar = sale.liar(Lie::None).await;
    let service = sale.cluster.service(&[&liar.url], json!({ "head_ttl": "60s" }));
    let asked = (0..100).map(|_| sale.holds(&service, &sale.bob));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.verdict(), Verdict::Yes);
    }
    // Its genesis, its slot, the block, and the accounts.
    assert_eq!(liar.calls(), 4);
    service.stop().await;
}
