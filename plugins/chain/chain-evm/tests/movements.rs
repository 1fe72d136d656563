//! Events about watched contracts: transfers in any form of their logs, and blocks that are no longer part of
//! the chain.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall as _, sol};
use serde_json::json;
use std::sync::{Arc, Mutex};

use streamgate_chain_evm::Standalone;
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::{Verdict, WatchRequest};
use streamgate_contracts::events::ChainTransfer;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::{Client, Event};
use streamgate_sqlite::Engine;
use streamgate_tests::wait::eventually;
use support::{Anvil, PATIENCE, Service, asset, name, settings, verdict};
use tempfile::TempDir;

sol! {
    function mint(address to, uint256 id);
    function give(address to, uint256 id);
    function sell(address to, uint256 id);
}

fn minted(to: Address, id: u64) -> Vec<u8> {
    mintCall { to, id: U256::from(id) }.abi_encode()
}

async fn watch(service: &Service, asset: String) {
    let request = WatchRequest { assets: vec![asset], lease_ms: 0 };
    service.chain.clone().watch(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_published_in_whatever_form_its_contract_logs_it() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let (kitties, punks) = (anvil.deploy("OldNft", &[]).await, anvil.deploy("OldPunks", &[]).await);
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    for contract in [kitties, punks] {
        anvil.send(alice, Some(contract), minted(alice, 1)).await;
        anvil.send(alice, Some(contract), minted(alice, 2)).await;
        watch(&service, asset("erc721", contract, None)).await;
    }
    let gives = giveCall { to: bob, id: U256::ONE }.abi_encode();
    let moved = |asset: String| {
        move |event: &streamgate_contracts::events::ChainTransfer| {
            event.asset == asset && (&event.from, &event.to) == (&name(alice), &name(bob))
        }
    };

    // Nothing is indexed: the token is not stated for certain.
    anvil.send(alice, Some(kitties), gives.clone()).await;
    let told = service.heard("a kitty", moved(asset("erc721", kitties, None))).await;
    assert_eq!(&*told.amount, "1");
    // An amount, and then a token id.
    anvil.send(alice, Some(punks), gives).await;
    service.heard("one of the punks", moved(asset("erc721", punks, None))).await;
    service.heard("the punk", moved(asset("erc721", punks, Some(1)))).await;
    anvil.send(alice, Some(punks), sellCall { to: bob, id: U256::from(2) }.abi_encode()).await;
    service.heard("the punk that was sold", moved(asset("erc721", punks, Some(2)))).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_of_blocks_from_before_the_watching_is_published_with_the_last_valid_block() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.mine(4).await;
    let before = anvil.height().await;
    anvil.send(alice, Some(ticket), minted(alice, 7)).await;
    anvil.mine(2).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let seven = asset("erc721", ticket, Some(7));
    watch(&service, seven.clone()).await;
    let answer = service.holds(alice, &seven).await;
    assert_eq!(verdict(&answer), Verdict::Yes);
    let read_at = answer.at.unwrap();

    anvil.reorg(anvil.height().await - before).await;
    let told = eventually("a reorganisation", PATIENCE, async || {
        service.reorganised.lock().unwrap().first().cloned()
    })
    .await;
    assert!(told.block <= before && told.block < read_at.block, "{told:?}");
    let block = anvil.rpc("eth_getBlockByNumber", json!([format!("{:#x}", told.block), false])).await;
    assert_eq!(block["hash"], told.block_hash);
    assert!(service.told.lock().unwrap().is_empty(), "nothing was reported that could be undone");
    assert_eq!(verdict(&service.holds(alice, &seven).await), Verdict::No);

    // A chain that only grows is not reported as reorganised.
    let count = service.reorganised.lock().unwrap().len();
    anvil.send(alice, Some(ticket), minted(alice, 8)).await;
    service.heard("a transfer", |event| event.asset.ends_with("/8")).await;
    assert_eq!(service.reorganised.lock().unwrap().len(), count);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_published_though_the_bus_does_not_answer_the_first_time() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
    let given: Arc<Mutex<Vec<Event>>> = Arc::default();
    let told = given.clone();
    let bus = Bus::new(move |event| {
        let mut given = told.lock().unwrap();
        given.push(event);
        let first = given.len() == 1;
        async move { if first { std::future::pending().await } else { Ok(()) } }
    });
    let settings = settings(&[&anvil.url], json!({}));
    let database = Client::from_service(engine.router());
    let running = Standalone::over(database, settings, bus).await.unwrap();
    let mut chain = ChainClient::new(Client::from_service(running.router()));
    let assets = vec![asset("erc721", ticket, None)];
    chain.watch(WatchRequest { assets, lease_ms: 0 }).await.unwrap();
    anvil.send(alice, Some(ticket), minted(alice, 7)).await;
    eventually("the event again", PATIENCE, async || {
        let given = given.lock().unwrap();
        let (first, again) = (given.first()?, given.get(1)?);
        (first.id == again.id && first.parse::<ChainTransfer>().unwrap().to == name(alice)).then_some(())
    })
    .await;
    running.stop().await;
}
