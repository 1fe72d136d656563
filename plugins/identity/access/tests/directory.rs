//! Information about chains for authors of a rule.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use alloy_primitives::Address;
use http::Method;
use serde_json::{Value, json};
use streamgate_contracts::chain::v1 as wire;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::made_up::{MadeUp, block};
use support::*;
use tonic::Status;

/// A chain plugin that knows chains, or does not answer.
#[derive(Clone, Copy)]
enum Knows {
    Solana,
    Nothing,
    Hangs,
}

impl MadeUp for Knows {
    async fn answers(&self, _: Vec<wire::Question>) -> Result<Vec<wire::Answer>, Status> {
        Err(Status::internal("not used in this test"))
    }

    fn tells_from(&self) -> Result<wire::Observation, Status> {
        Ok(block(1))
    }

    async fn states(&self) -> Result<Vec<wire::ChainState>, Status> {
        let (chain, name) = ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".into(), "Solana".into());
        match self {
            Self::Solana => {
                Ok(vec![wire::ChainState { chain, name, endpoints: 2, quorum: 2, ..Default::default() }])
            }
            Self::Nothing => Err(Status::internal("not now")),
            Self::Hangs => std::future::pending().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_both_kinds_are_listed_with_whether_they_can_be_queried_and_why_not() {
    let (anvil, world) = (Anvil::start(), World::new());
    let evm = world.chain(&anvil.url, |_| {}).await;
    let client = streamgate_plugin_api::Client::from_service(evm.router());
    let life = world.live_over_both(client, Knows::Solana.client(), json!({})).await;
    let got = life.call(Some(&creator()), Method::GET, "/chains", None).await;
    assert_eq!(got.status, 200, "{}", got.json);
    let items = &got.json["items"];
    assert_eq!(items[0]["chain"], format!("eip155:{CHAIN}"));
    assert_eq!((&items[0]["name"], &items[0]["available"]), (&json!("Anvil"), &json!(true)));
    assert_eq!((&items[0]["endpoints"], &items[0]["endpoints_up"]), (&json!(1), &json!(1)));
    assert_eq!((&items[1]["name"], &items[1]["available"]), (&json!("Nowhere"), &json!(false)));
    assert_eq!(items[1]["why"], "no endpoint is set for it");
    assert_eq!((&items[2]["name"], &items[2]["available"]), (&json!("Solana"), &json!(false)));
    assert_eq!(items[2]["why"], "none of its 2 endpoints answers");
    assert_eq!(got.json["unanswered"], json!([]));
    evm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_answer_is_named_and_leaves_the_chains_of_the_other_alone() {
    for (silent, says) in [
        (Knows::Nothing.client(), "not now"),
        (Knows::Hangs.client(), "no answer within"),
        (nobody(), "No provider"),
    ] {
        let world = World::new();
        let settings = json!({ "chain_timeout": "200ms" });
        let life = world.live_over_both(silent, Knows::Solana.client(), settings).await;
        let got = life.call(Some(&creator()), Method::GET, "/chains", None).await;
        assert_eq!(got.status, 200, "{}", got.json);
        assert_eq!(got.json["items"][0]["name"], "Solana");
        assert_eq!(got.json["items"].as_array().unwrap().len(), 1);
        assert_eq!(got.json["unanswered"][0]["capability"], "chain");
        assert!(got.json["unanswered"][0]["why"].as_str().unwrap().contains(says), "{}", got.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_users_who_may_change_contents_see_them() {
    let world = World::new();
    let life = world.live_over_both(nobody(), Knows::Solana.client(), json!({})).await;
    let told = async |who| life.call(who, Method::GET, "/chains", None).await;
    let nobody = told(None).await;
    assert_eq!((nobody.status.as_u16(), slug(&nobody)), (401, "not-signed-in"));
    let other = viewer(ALICE, &[]);
    let other = told(Some(&other)).await;
    assert_eq!((other.status.as_u16(), slug(&other)), (403, "forbidden"));
}

const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const MINT: &str = "J1S9H3QjnRtBbbuD4HjPV6RpRhwuk4zKbxsnCHuTgh9w";

/// An endpoint for everything, and contracts that never answer.
#[derive(Clone, Copy)]
struct Slow;

impl MadeUp for Slow {
    async fn answers(&self, questions: Vec<wire::Question>) -> Result<Vec<wire::Answer>, Status> {
        Ok(vec![wire::Answer::default(); questions.len()])
    }

    fn tells_from(&self) -> Result<wire::Observation, Status> {
        Ok(block(1))
    }

    async fn states(&self) -> Result<Vec<wire::ChainState>, Status> {
        let state = |chain: &str| wire::ChainState {
            chain: chain.into(),
            endpoints: 1,
            endpoints_up: 1,
            quorum: 1,
            ..Default::default()
        };
        Ok(vec![state("eip155:1")])
    }

    async fn described(&self, _: &str) -> Result<wire::DescribeResponse, Status> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_described_by_its_metadata_or_why_there_is_none() {
    let (anvil, world) = (Anvil::start(), World::new());
    let nobody = anvil.accounts().await[1];
    let (ticket, coin) = (anvil.deploy("Ticket", &[]).await, anvil.deploy("Coin", &[]).await);
    let life = world.live(Some(&anvil.url), json!({})).await;
    let ask = async |name: String| {
        life.call(Some(&creator()), Method::GET, &format!("/contracts/{name}"), None).await
    };
    // In the form that a browser writes.
    let got = ask(format!("eip155%3A{CHAIN}%3A{ticket:#x}")).await;
    assert_eq!((got.status.as_u16(), &got.json["kind"]), (200, &json!("erc721")), "{}", got.json);
    assert_eq!(got.json["kinds"], json!(["erc721"]));
    assert_eq!(
        (got.json["contract"].as_str(), &got.json["decimals"]),
        (Some(&*format!("eip155:{CHAIN}:{ticket:#x}")), &Value::Null)
    );
    assert!(
        !got.json["name"].as_str().unwrap().is_empty() && !got.json["symbol"].as_str().unwrap().is_empty()
    );
    let got = ask(format!("eip155:{CHAIN}:{}", coin.to_checksum(None))).await;
    assert_eq!((&got.json["kind"], got.json["decimals"].is_u64()), (&json!("erc20"), true), "{}", got.json);

    for (name, status, kind) in [
        (format!("eip155:{CHAIN}:{nobody:#x}"), 422, "no-contract"),
        (format!("eip155:1:{ticket:#x}"), 503, "chain-unavailable"),
        (format!("{SOLANA}:{MINT}"), 503, "chain-unavailable"),
        (format!("eip155:{CHAIN}:0x12"), 400, "invalid-request"),
        (ticket.to_string(), 400, "invalid-request"),
    ] {
        let got = ask(name.clone()).await;
        assert_eq!((got.status.as_u16(), slug(&got)), (status, kind), "{name}: {}", got.json);
    }
    let path = format!("/contracts/eip155:{CHAIN}:{ticket:#x}");
    assert_eq!(life.call(None, Method::GET, &path, None).await.status, 401);
    let other = viewer(ALICE, &[]);
    assert_eq!(life.call(Some(&other), Method::GET, &path, None).await.status, 403);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_saved_with_warnings_at_the_parts_that_cannot_be_met() {
    let (anvil, world) = (Anvil::start(), World::new());
    let nobody = anvil.accounts().await[1];
    let (ticket, coin) = (anvil.deploy("Ticket", &[]).await, anvil.deploy("Coin", &[]).await);
    let life = world.live(Some(&anvil.url), json!({})).await;
    let on = |chain: u64, contract: Address| format!("eip155:{chain}:{contract:#x}");
    let erc721 = |asset: String| json!({ "erc721": { "asset": asset } });
    let rule = json!({ "any": [
        erc721(on(CHAIN, ticket)),
        erc721(on(CHAIN, coin)),
        { "not": erc721(on(CHAIN, nobody)) },
        erc721(on(1, ticket)),
        { "native": { "chain": "eip155:5", "at_least": "1" } },
        { "contract_call": { "contract": on(CHAIN, nobody), "data": "0x18160ddd", "word": 0, "comparison": "less", "operand": "1" } },
        { "contract_call": { "contract": on(CHAIN, coin), "data": "0x18160ddd", "word": 0, "comparison": "less", "operand": "1" } },
        { "solana_mint": { "asset": format!("{SOLANA}/token:{MINT}") } },
        { "time_window": { "until": "2020-01-01T00:00:00Z" } },
        { "allow_list": { "wallets": [format!("solana:{}", "1".repeat(40)), format!("solana:{MINT}")] } },
        { "native": { "chain": format!("eip155:{CHAIN}"), "at_least": "1" } },
        { "role": "viewer" },
    ] });
    let policy = json!({ "openness": "gated", "rule": rule });
    let saved = life.call(Some(&creator()), Method::PUT, "/contents/{c}", Some(&policy)).await;
    assert_eq!((saved.status.as_u16(), &saved.json["rule"]), (200, &rule), "{}", saved.json);
    assert_eq!(saved.tag, format!("\"{}.whole\"", saved.json["revision"]));
    let expected = [
        ("/rule/any/1/erc721", "declares itself as erc20, not erc721. This part cannot be met"),
        ("/rule/any/2/not/erc721", "This part cannot be met"),
        (
            "/rule/any/3/erc721",
            "Nowhere has no endpoint in the settings; this part cannot be met until one is set.",
        ),
        ("/rule/any/4/native", "The chain eip155:5 is not configured; this part cannot be met"),
        ("/rule/any/5/contract_call", "This part cannot be met"),
        ("/rule/any/7/solana_mint", ": No provider"),
        ("/rule/any/8/time_window", "This time is over"),
        ("/rule/any/9/allow_list", "does not have the length of a Solana account"),
    ];
    let check = |warnings: &Value| {
        let warnings = warnings.as_array().unwrap();
        for ((pointer, says), warning) in expected.iter().zip(warnings) {
            assert_eq!(warning["pointer"], *pointer, "{warning}");
            let right = warning["text"].as_str().is_some_and(|text| text.contains(says));
            assert!(right, "{warning}");
        }
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    };
    check(&saved.json["warnings"]);
    let preview = json!({ "wallets": ["eip155:0x00000000000000000000000000000000000000aa"], "rule": rule });
    let looked = life.call(Some(&creator()), Method::POST, "/contents/{c}/preview", Some(&preview)).await;
    assert_eq!(looked.status, 200, "{}", looked.json);
    check(&looked.json["warnings"]);

    let policy = json!({ "openness": "gated", "rule": erc721(on(CHAIN, ticket)) });
    let saved = life.call(Some(&creator()), Method::PUT, "/contents/{c}", Some(&policy)).await;
    assert_eq!(saved.json["warnings"], json!([]), "it is valid");
    let public = json!({ "openness": "public" });
    let saved = life.call(Some(&creator()), Method::PUT, "/contents/{c}", Some(&public)).await;
    assert_eq!(saved.json["warnings"], json!([]));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_answer_keeps_no_rule_waiting_and_is_said() {
    let world = World::new();
    let life = world.live_over(Slow.client(), json!({})).await;
    let token = |number: u8| {
        let asset = format!("eip155:1:{:#x}", Address::repeat_byte(number));
        json!({ "erc721": { "asset": asset } })
    };
    let policy = json!({ "openness": "gated", "rule": { "any": (1..=60).map(token).collect::<Vec<_>>() } });
    let begun = Instant::now();
    let saved = life.call(Some(&creator()), Method::PUT, "/contents/{c}", Some(&policy)).await;
    let took = begun.elapsed();
    assert_eq!(saved.status, 200, "{}", saved.json);
    assert!(took < Duration::from_secs(9), "{took:?}");
    let warnings = saved.json["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 60);
    for warning in warnings {
        let text = warning["text"].as_str().unwrap();
        assert!(text.contains("could not be checked") && text.contains("did not answer in time"), "{text}");
    }
}
