//! The inputs of a decision may be undone: a reorganised chain has everything checked again that was read in
//! the undone blocks, and a transfer counts for its contract in whatever form it is reported.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering::SeqCst;

use alloy_primitives::Address;
use serde_json::json;
use streamgate_contracts::access::v1::Verdict;
use streamgate_contracts::events::{
    ChainReorganised, ChainTransfer, TYPE_CHAIN_REORGANISED, TYPE_CHAIN_TRANSFER, chain_reorganised,
    chain_transfer,
};
use streamgate_plugin_api::Event;
use support::slow::Slow;
use support::*;

const CONTRACT: &str = "0x00000000000000000000000000000000000000aa";

fn reorganised(chain: &str, block: u64) -> Event {
    let told = ChainReorganised { chain: chain.into(), block, block_hash: format!("0x{block:064x}") };
    Event::json(chain_reorganised(chain), TYPE_CHAIN_REORGANISED, &told).unwrap()
}

fn rule() -> serde_json::Value {
    json!({ "erc721": { "asset": format!("eip155:1/erc721:{CONTRACT}") } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_in_an_undone_block_is_revoked_even_if_it_was_never_reported() {
    let (world, chain) = (World::new(), Slow::new(1000));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(rule()).await;
    let a = viewer(ALICE, &[Address::repeat_byte(1)]);
    // The chain is read at block 5.
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    chain.holds.store(0, SeqCst);
    let asked = chain.asked.load(SeqCst);
    life.happens(reorganised("eip155:1", 4));
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.reason.contains("was reorganised after block 4"), "{}", revoked.reason);
    assert!(chain.asked.load(SeqCst) > asked);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_from_a_chain_that_went_another_way_is_not_kept() {
    let (world, chain) = (World::new(), Slow::new(1000));
    chain.holds.store(0, SeqCst);
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(rule()).await;
    let a = viewer(ALICE, &[Address::repeat_byte(1)]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    chain.holds.store(1, SeqCst);
    life.access.on_event(&reorganised("eip155:1", 4)).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_blocks_that_stay_or_on_another_chain_is_left_alone() {
    let (world, chain) = (World::new(), Slow::new(1000));
    let life = world.live_over(chain.client(), json!({})).await;
    life.gate(rule()).await;
    let a = viewer(ALICE, &[Address::repeat_byte(1)]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    let asked = chain.asked.load(SeqCst);
    for (name, block) in [("eip155:1", 5), ("eip155:1", 6), ("eip155:10", 1)] {
        life.access.on_event(&reorganised(name, block)).await;
    }
    // An event that does concern it comes after, and is the only one that is checked.
    chain.holds.store(0, SeqCst);
    life.happens(reorganised("eip155:1", 4));
    life.hears("a revocation", |event| event.principal == ALICE).await;
    // Once for the event, once because of the earlier reports, and once when the chain has settled.
    assert!(chain.asked.load(SeqCst) - asked <= 3, "it was looked at again for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movement_counts_for_its_contract_whatever_kind_the_rule_says() {
    let wallet = Address::repeat_byte(1);
    for told in ["erc721", "erc721:/7", "erc20", "erc1155:/7"] {
        let (world, chain) = (World::new(), Slow::new(1000));
        let life = world.live_over(chain.client(), json!({})).await;
        life.gate(rule()).await;
        let a = viewer(ALICE, &[wallet]);
        assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
        chain.holds.store(0, SeqCst);
        let (kind, id) = told.split_once(':').unwrap_or((told, ""));
        let account = |address: Address| format!("eip155:1:{address:#x}");
        let transfer = ChainTransfer {
            chain: "eip155:1".into(),
            asset: format!("eip155:1/{kind}:{CONTRACT}{id}"),
            from: account(wallet),
            to: account(Address::repeat_byte(2)),
            amount: "1".into(),
            block: 5,
            block_hash: format!("0x{:064x}", 5),
            log_index: 0,
            transaction: "0x".into(),
            removed: false,
        };
        life.happens(Event::json(chain_transfer("eip155:1"), TYPE_CHAIN_TRANSFER, &transfer).unwrap());
        life.hears("a revocation", |event| event.principal == ALICE).await;
    }
}
