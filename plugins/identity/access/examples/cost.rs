//! The cost of a decision through the boundary, over a real database and a chain that answers at once:
//! `cargo run --release -p streamgate-access --example cost`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use alloy_primitives::Address;
use serde_json::json;
use streamgate_contracts::access::v1::Verdict;
use support::slow::Slow;
use support::{ALICE, World, viewer};

#[tokio::main]
async fn main() {
    let (world, chain) = (World::new(), Slow::new(1000));
    let life = world.live_over(chain.client(), json!({ "decision_max_age": "1h" })).await;
    let token = "eip155:1/erc721:0x00000000000000000000000000000000000000aa";
    life.gate(json!({ "erc721": { "asset": token } })).await;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..200_u8 {
        let principal = uuid::Uuid::from_u128(number.into()).to_string();
        let who = viewer(&principal, &[Address::repeat_byte(number)]);
        let begun = Instant::now();
        assert_eq!(life.decide(&who).await.verdict(), Verdict::Allowed);
        cold.push(begun.elapsed());
    }
    let who = viewer(ALICE, &[Address::repeat_byte(1), Address::repeat_byte(2)]);
    for _ in 0..20_000 {
        let begun = Instant::now();
        life.decide(&who).await;
        warm.push(begun.elapsed());
    }
    for (name, times) in [("cold", &mut cold), ("warm", &mut warm)] {
        times.sort_unstable();
        println!("{name}: median {:?}, 99 % {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    }
}
