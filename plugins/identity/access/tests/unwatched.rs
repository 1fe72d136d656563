//! Tokens without transfer events, as on Solana.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::json;
use streamgate_contracts::access::v1::Verdict;
use support::slow::Slow;
use support::*;

const MINT: &str =
    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn it_is_checked_again_within_two_seconds_whether_a_viewer_has_access() {
    let (world, chain) = (World::new(), Slow::new(1000));
    chain.mute.store(true, SeqCst);
    let life = world.live_over_both(nobody(), chain.client(), json!({})).await;
    life.gate(json!({ "solana_mint": { "asset": MINT } })).await;
    let mut a = viewer(ALICE, &[]);
    a.wallets.push("solana:9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM".into());

    let allowed = life.decide(&a).await;
    assert_eq!(allowed.verdict(), Verdict::Allowed, "{allowed:?}");
    assert!(allowed.valid_until_ms <= world.now_ms() + 2_000);
    chain.holds.store(0, SeqCst);
    world.pass(SECOND);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    let revoked = life.hears("a revocation", |event| event.principal == ALICE).await;
    assert!(revoked.generation > allowed.generation, "{revoked:?}");
    chain.holds.store(1, SeqCst);
    world.pass(SECOND * 2);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
}
