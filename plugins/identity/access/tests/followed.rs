//! Following a real node: purchases in undone blocks, and transfers that old contracts report in a form of
//! their own.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall as _, sol};
use serde_json::json;
use streamgate_contracts::access::v1::Verdict;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::*;

sol! {
    function mint(address to, uint256 id);
    function give(address to, uint256 id);
}

/// Time that a revocation may take after its block.
const LIMIT: Duration = Duration::from_secs(2);

fn minted(to: Address, id: u64) -> Vec<u8> {
    mintCall { to, id: U256::from(id) }.abi_encode()
}

fn asset(contract: Address) -> String {
    format!("eip155:{CHAIN}/erc721:{contract:#x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_from_before_anybody_followed_the_token_is_taken_back_with_its_block() {
    for blocks in [1, 5] {
        let (anvil, world) = (Anvil::start(), World::new());
        let alice = anvil.accounts().await[1];
        let ticket = anvil.deploy("Ticket", &[]).await;
        anvil.mine(2).await;
        let before = anvil.height().await;
        anvil.send(alice, Some(ticket), minted(alice, 7)).await;
        anvil.mine(blocks).await;
        let life = world.live(Some(&anvil.url), json!({})).await;
        life.gate(json!({ "erc721": { "asset": asset(ticket) } })).await;
        let a = viewer(ALICE, &[alice]);
        let allowed = life.decide(&a).await;
        assert_eq!(allowed.verdict(), Verdict::Allowed, "{allowed:?}");
        assert!(allowed.evidence[0].block > before);

        anvil.reorg(anvil.height().await - before).await;
        let begun = Instant::now();
        let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
        assert!(revoked.reason.contains("was reorganised"), "{revoked:?}");
        let after = life.decides("a refusal", &a, |decision| decision.verdict() == Verdict::Denied).await;
        assert!(after.generation >= revoked.generation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_transfers_a_token_is_refused_in_whatever_form_its_contract_reports_it() {
    for contract in ["OldNft", "OldPunks"] {
        let (anvil, world) = (Anvil::start(), World::new());
        let accounts = anvil.accounts().await;
        let (alice, bob) = (accounts[1], accounts[2]);
        let contract = anvil.deploy(contract, &[]).await;
        anvil.send(alice, Some(contract), minted(alice, 1)).await;
        let life = world.live(Some(&anvil.url), json!({})).await;
        life.gate(json!({ "erc721": { "asset": asset(contract) } })).await;
        let a = viewer(ALICE, &[alice]);
        assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);

        anvil.send(alice, Some(contract), giveCall { to: bob, id: U256::ONE }.abi_encode()).await;
        let begun = Instant::now();
        life.hears("a revocation", |event| event.principal == ALICE).await;
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    }
}
