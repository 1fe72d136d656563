//! An unknown grants no access, and satisfies no `not`: each leaf over an unavailable chain, a chain with
//! wrong answers, and contracts without an answer.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolValue as _;
use serde_json::{Value, json};
use streamgate_contracts::access::v1::Verdict;
use streamgate_contracts::chain::v1 as wire;
use streamgate_contracts::chain::v1::question::About;
use streamgate_plugin_api::Principal;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::made_up::{MadeUp, block};
use support::*;
use tonic::Status;

const CONTRACT: &str = "eip155:1:0x00000000000000000000000000000000000000aa";
const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const MINT: &str = "J1S9H3QjnRtBbbuD4HjPV6RpRhwuk4zKbxsnCHuTgh9w";

/// A viewer with a wallet of each kind.
fn somebody() -> Principal {
    let mut somebody = viewer(ALICE, &[Address::repeat_byte(1)]);
    somebody.wallets.push(format!("eip155:1:{:#x}", Address::repeat_byte(2)));
    somebody.wallets.push("solana:9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM".into());
    somebody
}

/// A leaf of each kind that queries a chain.
fn leaves() -> Vec<Value> {
    let call = |data: &str, comparison: &str, operand: &str| {
        json!({ "contract_call": {
            "contract": CONTRACT, "data": data, "comparison": comparison, "operand": operand,
        } })
    };
    let most = U256::MAX.to_string();
    vec![
        json!({ "erc721": { "asset": CONTRACT } }),
        json!({ "erc721": { "asset": CONTRACT, "token": "7" } }),
        json!({ "erc721": { "asset": CONTRACT, "delegated": true } }),
        json!({ "erc721": { "asset": CONTRACT, "token": "7", "delegated": true } }),
        json!({ "erc1155": { "asset": CONTRACT, "token": most } }),
        json!({ "erc20": { "asset": CONTRACT, "at_least": most } }),
        json!({ "native": { "chain": "eip155:1", "at_least": "1" } }),
        call("0x18160ddd", "at_least", "0"),
        call("0x18160ddd", "at_most", &most),
        call("0x70a08231{wallet}", "not_equal", "1"),
        call("0x70a08231{wallet}", "less", &most),
        call("0x18160ddd", "equal", "{wallet}"),
        call("0x18160ddd", "not_equal", "{wallet}"),
        json!({ "solana_mint": { "asset": format!("{SOLANA}/token:{MINT}") } }),
        json!({ "solana_collection": { "asset": format!("{SOLANA}/nft:{MINT}") } }),
        json!({ "solana_collection": { "asset": format!("{SOLANA}/cnft:{MINT}") } }),
    ]
}

/// Rules that would hold if an unknown counted as no, as yes, or as either.
fn rules(leaf: &Value) -> Vec<Value> {
    vec![
        leaf.clone(),
        json!({ "not": leaf }),
        json!({ "not": { "not": leaf } }),
        json!({ "any": [leaf, { "not": leaf }] }),
        json!({ "not": { "all": [leaf, { "not": leaf }] } }),
        json!({ "all": [{ "role": "viewer" }, { "not": leaf }] }),
        json!({ "not": { "any": [{ "role": "admin" }, leaf] } }),
        json!({ "at_least": { "n": 2, "of": [{ "role": "viewer" }, leaf, { "role": "admin" }] } }),
        json!({ "not": { "at_least": { "n": 1, "of": [leaf, { "role": "admin" }] } } }),
    ]
}

async fn lets_nobody_in(life: &Life, rule: Value, why: &str) {
    life.gate(rule.clone()).await;
    let decision = life.decide(&somebody()).await;
    assert_eq!(decision.verdict(), Verdict::Unknown, "{why}: {rule}: {decision:?}");
    assert_eq!(decision.r#type, "chain-unavailable", "{why}: {rule}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_chain_that_is_away_no_leaf_holds_and_none_is_negated() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    for rule in leaves().iter().flat_map(rules) {
        lets_nobody_in(&life, rule, "no provider").await;
    }
}

/// Faults of a chain plugin.
#[derive(Debug, Clone, Copy)]
enum Amiss {
    Refuses,
    Hangs,
    Fewer,
    More,
    NamesNoBlock(wire::Verdict),
    Says(i32),
    /// From before the block from which it reports transfers.
    Old(wire::Verdict),
    /// The owner of a token, and the number of delegations, are no numbers.
    NoNumbers,
}

impl MadeUp for Amiss {
    async fn answers(&self, questions: Vec<wire::Question>) -> Result<Vec<wire::Answer>, Status> {
        let mut answers: Vec<_> = questions.iter().map(|question| self.answer(question)).collect();
        match self {
            Self::Refuses => return Err(Status::internal("not now")),
            Self::Hangs => std::future::pending().await,
            Self::Fewer => drop(answers.pop()),
            Self::More => answers.extend(answers.first().cloned()),
            _ => {}
        }
        Ok(answers)
    }

    fn tells_from(&self) -> Result<wire::Observation, Status> {
        Ok(block(10))
    }
}

impl Amiss {
    fn answer(self, question: &wire::Question) -> wire::Answer {
        let at = |number| Some(wire::Observation { finality: 1, ..block(number) });
        let answer =
            |verdict: i32, at| wire::Answer { verdict, at, amount: Some("1".into()), ..Default::default() };
        let asks_a_number = matches!(question.about, Some(About::Call(_)));
        match self {
            Self::NamesNoBlock(verdict) => answer(verdict.into(), None),
            Self::Says(verdict) => answer(verdict, at(10)),
            Self::Old(verdict) => answer(verdict.into(), at(9)),
            Self::NoNumbers if asks_a_number => {
                wire::Answer { amount: Some("0x01".into()), ..answer(wire::Verdict::Yes.into(), at(10)) }
            }
            Self::NoNumbers => answer(wire::Verdict::No.into(), at(10)),
            _ => answer(wire::Verdict::Yes.into(), at(10)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_plugin_that_answers_amiss_is_believed_neither_yes_nor_no() {
    let token = &leaves()[0];
    for amiss in [
        Amiss::Refuses,
        Amiss::Hangs,
        Amiss::Fewer,
        Amiss::More,
        Amiss::NamesNoBlock(wire::Verdict::Yes),
        Amiss::NamesNoBlock(wire::Verdict::No),
        Amiss::Says(0),
        Amiss::Says(3),
        Amiss::Says(4),
        Amiss::Says(-1),
        Amiss::Old(wire::Verdict::Yes),
        Amiss::Old(wire::Verdict::No),
    ] {
        let world = World::new();
        let life = world.live_over(amiss.client(), json!({ "chain_timeout": "100ms" })).await;
        for rule in rules(token) {
            lets_nobody_in(&life, rule, &format!("{amiss:?}")).await;
        }
    }
    // The delegators are unknown: so it is unknown that there are none.
    let world = World::new();
    let life = world.live_over(Amiss::NoNumbers.client(), json!({})).await;
    for rule in leaves()[2..4].iter().flat_map(rules) {
        lets_nobody_in(&life, rule, "no numbers").await;
    }
    life.gate(json!({ "not": token })).await;
    assert_eq!(life.decide(&somebody()).await.verdict(), Verdict::Allowed, "a no is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_is_none_or_says_nothing_of_the_kind_satisfies_no_not() {
    let (anvil, world) = (Anvil::start(), World::new());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let short = anvil.deploy("Yes", &(U256::ZERO, U256::ZERO).abi_encode_params()).await;
    let long = anvil.deploy("Yes", &(U256::ZERO, U256::from(2)).abi_encode_params()).await;
    let reverts = anvil.deploy("LoudWallet", &U256::ZERO.abi_encode()).await;
    let life = world.live(Some(&anvil.url), json!({})).await;
    let somebody = viewer(ALICE, &[alice]);
    let on_chain = |contract: Address| format!("eip155:{CHAIN}:{contract:#x}");
    let mut asked = vec![
        // The contract of a ticket has no numbered amounts.
        json!({ "erc1155": { "asset": on_chain(ticket), "token": "1" } }),
        json!({ "contract_call": {
            "contract": on_chain(ticket), "data": "0x12345678", "comparison": "not_equal", "operand": "1",
        } }),
        json!({ "contract_call": {
            "contract": on_chain(long), "data": "0x12345678", "word": 2, "comparison": "equal", "operand": "0",
        } }),
    ];
    for contract in [Address::repeat_byte(0x11), alice, short, long, reverts] {
        asked.push(json!({ "erc20": { "asset": on_chain(contract) } }));
        asked.push(json!({ "erc721": { "asset": on_chain(contract), "token": "1" } }));
        asked.push(json!({ "erc1155": { "asset": on_chain(contract), "token": "1" } }));
    }
    for rule in asked.iter().flat_map(|leaf| [leaf.clone(), json!({ "not": leaf })]) {
        life.gate(rule.clone()).await;
        let decision = life.decide(&somebody).await;
        assert_eq!(decision.verdict(), Verdict::Unknown, "{rule}: {decision:?}");
    }
    life.stop().await;
}
