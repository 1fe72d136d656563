//! What is said of chains to whoever writes a rule.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use http::Method;
use serde_json::json;
use streamgate_contracts::chain::v1 as wire;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::made_up::{MadeUp, block};
use support::*;
use tonic::Status;

/// A chain plugin that knows chains, or does not say.
#[derive(Clone, Copy)]
enum Knows {
    Solana,
    Nothing,
    Hangs,
}

impl MadeUp for Knows {
    async fn answers(&self, _: Vec<wire::Question>) -> Result<Vec<wire::Answer>, Status> {
        Err(Status::internal("nothing is asked of chains here"))
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
async fn chains_of_both_kinds_are_told_with_whether_they_can_be_asked_and_why_not() {
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
        (nobody(), "Nobody provides it"),
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
async fn only_whoever_may_change_contents_is_told() {
    let world = World::new();
    let life = world.live_over_both(nobody(), Knows::Solana.client(), json!({})).await;
    let told = async |who| life.call(who, Method::GET, "/chains", None).await;
    let nobody = told(None).await;
    assert_eq!((nobody.status.as_u16(), slug(&nobody)), (401, "not-signed-in"));
    let other = viewer(ALICE, &[]);
    let other = told(Some(&other)).await;
    assert_eq!((other.status.as_u16(), slug(&other)), (403, "forbidden"));
}
