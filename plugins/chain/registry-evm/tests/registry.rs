//! The content registry: transactions that are sent exactly once, and the contract's events, against a real
//! node.
#![allow(clippy::unwrap_used)]

#[path = "support/doomed.rs"]
mod doomed;
mod support;
#[path = "../../chain-evm/tests/support/liar.rs"]
mod tampering;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, FixedBytes, U256};
use alloy_sol_types::SolCall as _;
use serde_json::{Value, json};
use streamgate_contracts::chain::v1::content_registry_client::ContentRegistryClient;
use streamgate_contracts::chain::v1::send_request::Action;
use streamgate_contracts::chain::v1::{
    ContentEntry, GetRegisteredRequest, GetTransactionRequest, RegisterContent, Registered, SendRequest,
    Transaction, TransactionState, UpdateContent,
};
use streamgate_contracts::events::{ChainRegistry, RegistryChange, TYPE_CHAIN_REGISTRY};
use streamgate_plugin_api::{Client, Event};
use streamgate_registry_evm::{Clients, Standalone};
use streamgate_sqlite::Engine;
use streamgate_tests::wait::eventually;
use support::{Both, CHAIN, PATIENCE, name, settings};
use tampering::{Liar, Lie};
use tonic::Code;
use world::{SERVER, World};

use TransactionState::{Confirmed, Failed, Mined, Queued, Replaced, Sent, Signed};

mod abi {
    alloy_sol_types::sol! {
        function register(bytes16 id, address owner, bytes cid, bytes32 policy, string policyURI);
        function update(bytes16 id, bytes cid, bytes32 policy, string policyURI);
        function transferFrom(address from, address to, uint256 id);
    }
}

impl World {
    /// The server, with one endpoint.
    async fn start(&self, endpoint: &str, more: Value) -> Server {
        self.start_with(&[endpoint], more).await
    }

    async fn start_with(&self, endpoints: &[&str], more: Value) -> Server {
        Server::start(self.folder.path(), settings(endpoints, self.settings(more))).await
    }

    /// The call of an account without the right to make it.
    async fn refused(&self, from: Address, data: Vec<u8>) {
        let data = alloy_primitives::Bytes::from(data);
        let call = json!({ "from": from, "to": self.registry, "data": data, "gas": "0xf4240" });
        let hash = self.anvil.rpc("eth_sendTransaction", json!([call])).await;
        let receipt = self.anvil.receipt(&hash).await;
        assert_eq!(receipt["status"], "0x0", "{receipt}");
    }

    /// From now on a transaction waits until a block is mined by hand.
    async fn waits(&self) {
        self.anvil.rpc("evm_setAutomine", json!([false])).await;
    }
}

/// The plugin's service beside the one that reads the chain, and its published events.
struct Server {
    client: ContentRegistryClient<Client>,
    told: Arc<Mutex<Vec<ChainRegistry>>>,
    chain: streamgate_chain_evm::Standalone,
    running: Standalone,
}

impl Server {
    async fn start(folder: &Path, settings: Both) -> Self {
        let engine = Engine::new(folder, streamgate_sqlite::Settings::default());
        let database = || Client::from_service(engine.router());
        let chain = support::chain(database(), settings.chain).await;
        let reads = Client::from_service(chain.router());
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let tell = move |event: Event| {
            assert_eq!(event.subject, format!("chain.eip155:{CHAIN}.registry"));
            assert_eq!(event.r#type, TYPE_CHAIN_REGISTRY);
            heard.lock().unwrap().push(event.parse().unwrap());
        };
        let running = Standalone::start(database(), reads, Clients::none(), settings.registry, tell);
        let running = running.await.unwrap();
        let client = ContentRegistryClient::new(Client::from_service(running.router()));
        Self { client, told, chain, running }
    }

    async fn stop(self) {
        self.running.stop().await;
        self.chain.stop().await;
    }

    async fn send(&self, key: &str, action: Action) -> Result<Transaction, tonic::Status> {
        let request = SendRequest { chain: format!("eip155:{CHAIN}"), key: key.into(), action: Some(action) };
        Ok(self.client.clone().send(request).await?.into_inner())
    }

    async fn transaction(&self, key: &str) -> Transaction {
        let request = GetTransactionRequest { chain: format!("eip155:{CHAIN}"), key: key.into() };
        self.client.clone().get_transaction(request).await.unwrap().into_inner()
    }

    /// The transaction, once the condition holds.
    async fn until(&self, key: &str, what: &str, is: impl Fn(&Transaction) -> bool) -> Transaction {
        eventually(&format!("{key}: {what}"), PATIENCE, async || {
            Some(self.transaction(key).await).filter(|transaction| is(transaction))
        })
        .await
    }

    async fn becomes(&self, key: &str, state: TransactionState) -> Transaction {
        self.until(key, state.as_str_name(), |transaction| transaction.state() == state).await
    }

    async fn registered(&self, content: &str) -> Result<Registered, tonic::Status> {
        let request = GetRegisteredRequest { chain: format!("eip155:{CHAIN}"), content: content.into() };
        Ok(self.client.clone().get_registered(request).await?.into_inner())
    }

    async fn owned_by(&self, content: &str, owner: Address) -> Registered {
        eventually("the entry of its owner", PATIENCE, async || {
            self.registered(content).await.ok().filter(|entry| entry.owner == name(owner))
        })
        .await
    }
}

fn id(number: u8) -> String {
    format!("0190163d-8694-739b-aea5-966c26f8ad{number:02x}")
}

fn entry(number: u8) -> ContentEntry {
    ContentEntry {
        content: id(number),
        cid: vec![number; 36].into(),
        policy: vec![7; 32].into(),
        policy_uri: "https://video.example.org/policy".into(),
    }
}

fn register(number: u8, owner: Option<Address>) -> Action {
    let owner = owner.map(name).unwrap_or_default();
    Action::Register(RegisterContent { entry: Some(entry(number)), owner })
}

fn states(transaction: &Transaction) -> Vec<TransactionState> {
    transaction.history.iter().map(|change| change.state()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_is_indexed_and_only_its_owner_changes_it() {
    let world = World::new().await;
    let accounts = world.anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let server = world.start(&world.anvil.url, json!({ "reorg_depth": 3 })).await;
    assert_eq!(server.registered(&id(1)).await.unwrap_err().code(), Code::NotFound);

    let asked = server.send("first", register(1, Some(alice))).await.unwrap();
    assert_eq!(asked.state(), Queued);
    server.becomes("first", Mined).await;
    world.anvil.mine(2).await;
    let done = server.becomes("first", Confirmed).await;
    assert_eq!(states(&done), [Queued, Signed, Sent, Mined, Confirmed]);
    assert_eq!((done.nonce, done.hashes.len()), (Some(0), 1));
    let known = server.owned_by(&id(1), alice).await;
    assert_eq!(known.entry, Some(entry(1)));
    assert_eq!((known.block, &known.block_hash), (done.block.unwrap(), &done.block_hash));

    // The same key is the same transaction, forever.
    assert_eq!(server.send("first", register(1, Some(alice))).await.unwrap().hashes, done.hashes);
    let other = server.send("first", register(2, Some(alice))).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other}");

    // The server minted it, and may not change it.
    let update = Action::Update(UpdateContent { entry: Some(entry(1)) });
    server.send("update", update).await.unwrap();
    let refused = server.becomes("update", Failed).await;
    assert_eq!((states(&refused), refused.nonce), (vec![Queued, Failed], None));
    server.send("again", register(1, Some(bob))).await.unwrap();
    server.becomes("again", Failed).await;

    let bytes = FixedBytes::<16>::from_slice(&hex(&id(1)));
    let call = abi::updateCall {
        id: bytes,
        cid: vec![9].into(),
        policy: FixedBytes::ZERO,
        policyURI: String::new(),
    };
    world.refused(bob, call.abi_encode()).await;
    world.anvil.send(alice, Some(world.registry), call.abi_encode()).await;
    let much = abi::updateCall { cid: vec![9; 129].into(), ..call.clone() };
    world.refused(alice, much.abi_encode()).await;
    let stranger = abi::registerCall {
        id: FixedBytes::from_slice(&hex(&id(3))),
        owner: bob,
        cid: vec![9].into(),
        policy: FixedBytes::ZERO,
        policyURI: String::new(),
    };
    world.refused(bob, stranger.abi_encode()).await;
    let token = U256::from_be_slice(bytes.as_slice());
    let call = abi::transferFromCall { from: alice, to: bob, id: token };
    world.anvil.send(alice, Some(world.registry), call.abi_encode()).await;
    let known = server.owned_by(&id(1), bob).await;
    assert_eq!(known.entry.unwrap().cid, vec![9]);
    assert!(!known.settled);
    world.anvil.mine(4).await;
    eventually("it is settled", PATIENCE, async || {
        server.registered(&id(1)).await.ok().filter(|known| known.settled)
    })
    .await;

    let told = server.told.lock().unwrap().clone();
    let what: Vec<_> = told
        .iter()
        .map(|event| match &event.change {
            RegistryChange::Set { .. } => "set".to_owned(),
            RegistryChange::Moved { to, .. } => to.clone(),
        })
        .collect();
    assert_eq!(what, [name(alice), "set".into(), "set".into(), name(bob)]);
    assert!(told.iter().all(|event| event.content == id(1) && !event.removed));
    server.stop().await;

    // Known facts survive a restart, and repeated events are equal.
    let server = world.start(&world.anvil.url, json!({ "reorg_depth": 3 })).await;
    assert_eq!(server.registered(&id(1)).await.unwrap().owner, name(bob));
    world.anvil.mine(1).await;
    server.send("second", register(2, None)).await.unwrap();
    server.owned_by(&id(2), accounts[SERVER]).await;
    let again = server.told.lock().unwrap().clone();
    assert!(again.iter().all(|event| event.content == id(2) || told.contains(event)));
    server.stop().await;
}

fn hex(uuid: &str) -> Vec<u8> {
    alloy_primitives::hex::decode(uuid.replace('-', "")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_used_elsewhere_too_leaves_no_gap_and_repeats_no_number() {
    let world = World::new().await;
    let account = world.anvil.accounts().await[SERVER];
    let server = world.start(&world.anvil.url, json!({ "replace_after": "1s" })).await;
    world.anvil.send(account, Some(account), Vec::new()).await;
    server.send("one", register(1, None)).await.unwrap();
    assert_eq!(server.becomes("one", Mined).await.nonce, Some(1));

    // Two wait, and the node drops the first: the second could never be mined.
    world.waits().await;
    server.send("two", register(2, None)).await.unwrap();
    server.send("three", register(3, None)).await.unwrap();
    let two = server.until("two", "given away", |found| !found.hashes.is_empty()).await;
    server.until("three", "given away", |found| found.nonce == Some(3)).await;
    for hash in &server.transaction("two").await.hashes {
        world.anvil.rpc("anvil_dropTransaction", json!([hash])).await;
    }
    server.until("two", "given away again", |found| found.hashes.len() > two.hashes.len()).await;
    eventually("both are in blocks", PATIENCE, async || {
        world.anvil.mine(1).await;
        let both = [server.transaction("two").await, server.transaction("three").await];
        both.iter().all(|found| found.state() == Confirmed).then_some(())
    })
    .await;
    assert_eq!(world.used().await, 4);

    // Another holder of the key takes the next number with a fee that is never paid.
    world.anvil.mine(2).await;
    let dear = json!({
        "from": account, "to": account, "gas": "0x5208", "nonce": "0x4",
        "maxFeePerGas": "0xe8d4a51000", "maxPriorityFeePerGas": "0xe8d4a51000",
    });
    server.send("four", register(4, None)).await.unwrap();
    server.until("four", "numbered", |found| found.nonce == Some(4)).await;
    world.anvil.rpc("eth_sendTransaction", json!([dear])).await;
    world.anvil.mine(1).await;
    world.anvil.mine(3).await;
    let lost = server.becomes("four", Replaced).await;
    assert!(lost.detail.contains("another transaction"), "{lost:?}");
    server.send("five", register(4, None)).await.unwrap();
    server.until("five", "numbered", |found| found.nonce == Some(5)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_waits_is_replaced_by_one_with_a_higher_fee_up_to_the_limit() {
    let world = World::new().await;
    world.waits().await;
    let more = json!({ "replace_after": "1s", "max_fee_gwei": 6 });
    let server = world.start(&world.anvil.url, more).await;
    server.send("one", register(1, None)).await.unwrap();
    let one = server.until("one", "replaced", |found| found.hashes.len() >= 3).await;
    assert_eq!(one.nonce, Some(0));
    let fee = |hash: String| {
        let anvil = &world.anvil;
        async move {
            let found = anvil.rpc("eth_getTransactionByHash", json!([hash])).await;
            let text = found["maxFeePerGas"].as_str().map(str::to_owned)?;
            Some(u128::from_str_radix(text.trim_start_matches("0x"), 16).unwrap())
        }
    };
    // Blocks come by time from here on; one of the signatures is mined and no other.
    world.anvil.rpc("evm_setIntervalMining", json!([1])).await;
    let done = server.becomes("one", Confirmed).await;
    let mut mined = Vec::new();
    for hash in &done.hashes {
        if !world.anvil.rpc("eth_getTransactionReceipt", json!([hash])).await.is_null() {
            mined.push(fee(hash.clone()).await.unwrap());
        }
    }
    assert_eq!((mined.len(), world.used().await), (1, 1));
    assert!(mined[0] <= 6_000_000_000, "{mined:?}");
    server.owned_by(&id(1), world.anvil.accounts().await[SERVER]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_puts_a_transaction_back_and_undoes_what_was_published() {
    let world = World::new().await;
    let account = world.anvil.accounts().await[SERVER];
    let server = world.start(&world.anvil.url, json!({ "confirmations": 3 })).await;
    server.send("one", register(1, None)).await.unwrap();
    let first = server.becomes("one", Mined).await;
    server.owned_by(&id(1), account).await;
    world.waits().await;
    world.anvil.reorg(1).await;
    let back = server.until("one", "put back", |found| found.block.is_none()).await;
    assert!(states(&back).starts_with(&[Queued, Signed, Sent, Mined, Signed]), "{back:?}");
    eventually("what was told is undone", PATIENCE, async || {
        let told = server.told.lock().unwrap().clone();
        told.iter().any(|event| event.removed && event.block_hash == first.block_hash).then_some(())
    })
    .await;
    // It is published before it is stored, so that nothing is lost in between.
    eventually("the entry to be gone", PATIENCE, async || {
        let answer = server.registered(&id(1)).await;
        answer.is_err_and(|status| status.code() == Code::NotFound).then_some(())
    })
    .await;

    server.becomes("one", Sent).await;
    world.anvil.mine(1).await;
    let again = server.becomes("one", Mined).await;
    assert_eq!((again.hashes.clone(), again.nonce), (first.hashes, first.nonce));
    assert_ne!(again.block_hash, first.block_hash);
    world.anvil.mine(3).await;
    server.becomes("one", Confirmed).await;
    server.owned_by(&id(1), account).await;

    // Deeper than ever expected: that is put back, too.
    world.anvil.reorg(5).await;
    server.until("one", "put back", |found| found.block.is_none()).await;
    server.becomes("one", Sent).await;
    world.anvil.mine(4).await;
    server.becomes("one", Confirmed).await;
    assert_eq!(world.used().await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_between_signing_and_sending_sends_the_same_transaction_later() {
    let world = World::new().await;
    let liar = Liar::start(&world.anvil.url, Lie::Drops("eth_sendRawTransaction")).await;
    let server = world.start(&liar.url, json!({})).await;
    server.send("one", register(1, None)).await.unwrap();
    let signed = server.becomes("one", Signed).await;
    server.stop().await;
    assert_eq!(world.used().await, 0);

    // The next one sends it, is refused, and ends as well.
    liar.now(Lie::Denies("eth_sendRawTransaction"));
    let server = world.start(&liar.url, json!({})).await;
    eventually("it was sent", PATIENCE, async || (world.used().await == 1).then_some(())).await;
    server.stop().await;

    let server = world.start(&world.anvil.url, json!({})).await;
    world.anvil.mine(2).await;
    let done = server.becomes("one", Confirmed).await;
    assert_eq!((&done.hashes, done.nonce), (&signed.hashes, Some(0)));
    assert_eq!(world.used().await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_that_takes_a_transaction_is_enough() {
    let world = World::new().await;
    let refuses = Liar::start(&world.anvil.url, Lie::Drops("eth_sendRawTransaction")).await;
    let server = world.start_with(&[&refuses.url, &world.anvil.url], json!({})).await;
    server.send("one", register(1, None)).await.unwrap();
    server.becomes("one", Mined).await;
    // Two must agree on what a contract does: one alone cannot make a transaction fail.
    let lies = json!({ "code": 3, "message": "execution reverted", "data": "0x" });
    refuses.now(Lie::Fails("eth_estimateGas", lies));
    server.send("two", register(2, None)).await.unwrap();
    world.anvil.mine(2).await;
    server.becomes("one", Confirmed).await;
    assert_eq!(server.transaction("two").await.state(), Queued);
    refuses.now(Lie::None);
    server.becomes("two", Mined).await;
    server.stop().await;
}

/// Requests six transactions, and continues until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the next test runs it in a process of its own"]
async fn doomed() {
    let Some(told) = doomed::told() else { return };
    let text = |key: &str| told[key].as_str().unwrap();
    let server =
        Server::start(Path::new(text("folder")), settings(&[text("endpoint")], told["more"].clone())).await;
    for number in 1..=6 {
        server.send(&format!("content-{number}"), register(number, None)).await.unwrap();
    }
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_after_any_call_sends_each_transaction_once() {
    let world = World::new().await;
    let liar = Liar::start(&world.anvil.url, Lie::None).await;
    doomed::kill_after(1, &world, &liar, world.settings(json!({}))).await;
    let server = world.start(&liar.url, json!({})).await;
    for number in 1..=6 {
        let (key, action) = (format!("content-{number}"), register(number, None));
        server.send(&key, action).await.unwrap();
        server.until(&key, "mined", |found| matches!(found.state(), Mined | Confirmed)).await;
        assert_eq!(server.transaction(&key).await.hashes.len(), 1);
    }
    assert_eq!(world.used().await, 6);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_registry_nothing_is_sent_and_too_dear_a_transaction_waits() {
    let world = World::new().await;
    let server = Server::start(world.folder.path(), settings(&[&world.anvil.url], json!({}))).await;
    let refused = server.send("one", register(1, None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    server.stop().await;

    // The next block costs 87.5 gwei, and the one after it 1.
    world.waits().await;
    world.anvil.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"])).await;
    world.anvil.mine(1).await;
    let server = world.start(&world.anvil.url, json!({ "max_fee_gwei": 5 })).await;
    server.send("one", register(1, None)).await.unwrap();
    world.anvil.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"])).await;
    world.anvil.mine(1).await;
    let sent = server.until("one", "sent", |found| !found.hashes.is_empty()).await;
    let raw = world.anvil.rpc("eth_getTransactionByHash", json!([sent.hashes[0]])).await;
    let fee =
        u128::from_str_radix(raw["maxFeePerGas"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!(fee <= 5_000_000_000, "{raw}");
    for (key, action) in [("", register(2, None)), ("a key", register(2, None))] {
        assert_eq!(server.send(key, action).await.unwrap_err().code(), Code::InvalidArgument);
    }
    server.stop().await;
}
