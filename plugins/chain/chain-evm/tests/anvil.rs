//! The plugin against a real node with real contracts.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, eip191_hash_message};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use serde_json::json;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{
    BatchRequest, ChainsRequest, Comparison, ContractCall, Delegation, FeesRequest, Finality, Question,
    SignatureRequest, SignatureResponse, Verdict, WatchRequest,
};
use streamgate_tests::wait::eventually;
use support::{Anvil, CHAIN, Service, asset, holding, name, settings, verdict};
use tempfile::TempDir;

mod token {
    alloy_sol_types::sol! {
        function mint(address to, uint256 id);
        function transferFrom(address from, address to, uint256 id);
        function totalSupply() returns (uint256);
    }
}

sol! {
    function mint(address to, uint256 id, uint256 amount);
    function safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] amounts, bytes data);
    function deploy(address owner);
    function at(address owner) returns (address);
    function delegateAll(address to, bytes32 rights, bool enable);
    function delegateContract(address to, address contract_, bytes32 rights, bool enable);
    function delegateERC721(address to, address contract_, uint256 tokenId, bytes32 rights, bool enable);
    function getIncomingDelegations(address to);
}

const MULTICALL: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";
const DELEGATIONS: &str = "0x00000000000000447e69651d841bD8D104Bed493";

fn give(to: Address, id: u64) -> Vec<u8> {
    token::mintCall { to, id: U256::from(id) }.abi_encode()
}

fn pass_on(from: Address, to: Address, id: u64) -> Vec<u8> {
    token::transferFromCall { from, to, id: U256::from(id) }.abi_encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_token_is_read_at_a_named_block_and_foreign_wallets_are_refused() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let (ticket, coin, badge) = (
        anvil.deploy("Ticket", &[]).await,
        anvil.deploy("Coin", &[]).await,
        anvil.deploy("Badge", &[]).await,
    );
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    anvil.send(alice, Some(coin), give(alice, 500)).await;
    let badges = mintCall { to: alice, id: U256::from(3), amount: U256::from(2) };
    anvil.send(alice, Some(badge), badges.abi_encode()).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;

    let native = format!("eip155:{CHAIN}/slip44:60");
    let nobody = Address::repeat_byte(0x11);
    let (yes, no, unknown) = (Verdict::Yes, Verdict::No, Verdict::Unknown);
    for (account, asset, at_least, expected) in [
        (alice, asset("erc721", ticket, None), "1", yes),
        (alice, asset("erc721", ticket, None), "2", no),
        (bob, asset("erc721", ticket, None), "1", no),
        (alice, asset("erc721", ticket, Some(7)), "", yes),
        (bob, asset("erc721", ticket, Some(7)), "", no),
        (alice, asset("erc721", ticket, Some(8)), "", no),
        (alice, asset("erc20", coin, None), "500", yes),
        (alice, asset("erc20", coin, None), "501", no),
        (alice, asset("erc1155", badge, Some(3)), "2", yes),
        (alice, asset("erc1155", badge, Some(3)), "3", no),
        (alice, asset("erc1155", badge, Some(4)), "1", no),
        (alice, native.clone(), "1000000000000000000", yes),
        (nobody, native.clone(), "1", no),
        // There is no contract at these addresses, or one of another kind.
        (alice, asset("erc20", nobody, None), "1", unknown),
        (alice, asset("erc721", nobody, Some(1)), "1", unknown),
        (alice, asset("erc1155", ticket, Some(3)), "1", unknown),
    ] {
        let answer = service.ask(holding(account, &asset, at_least)).await;
        assert_eq!(verdict(&answer), expected, "{account} {asset} {at_least}: {answer:?}");
        let at = answer.at.unwrap();
        assert_eq!((at.block, at.finality()), (anvil.height().await, Finality::Latest));
        let block = anvil.rpc("eth_getBlockByNumber", json!([format!("{:#x}", at.block), false])).await;
        assert_eq!(block["hash"], at.block_hash);
    }
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((chains[0].endpoints_up, chains[0].endpoints, chains[0].quorum), (1, 1, 1));
    assert_eq!(chains[0].latest.as_ref().unwrap().block, anvil.height().await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_the_same_answers_with_and_without_multicall_at_one_block() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let (ticket, coin) = (anvil.deploy("Ticket", &[]).await, anvil.deploy("Coin", &[]).await);
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    anvil.send(alice, Some(coin), give(alice, 5)).await;
    let supply = |comparison: Comparison, operand: &str| {
        let data = token::totalSupplyCall {}.abi_encode().into();
        let comparison = comparison.into();
        let call = ContractCall { contract: name(coin), data, word: 0, comparison, operand: operand.into() };
        Question { about: Some(About::Call(call)), ..Question::default() }
    };
    let other_chain = "eip155:5/erc20:0x00000000000000000000000000000000000000aa";
    let mut elsewhere = holding(alice, other_chain, "");
    if let Some(About::Holding(holding)) = &mut elsewhere.about {
        holding.account = format!("eip155:5:{alice:#x}");
    }
    let questions = vec![
        holding(alice, &asset("erc721", ticket, Some(7)), ""),
        holding(alice, &asset("erc721", ticket, Some(8)), ""),
        holding(alice, &asset("erc20", coin, None), "5"),
        holding(alice, &asset("erc20", alice, None), ""),
        holding(alice, &format!("eip155:{CHAIN}/slip44:60"), ""),
        supply(Comparison::Equal, "5"),
        supply(Comparison::Greater, "5"),
        elsewhere,
    ];
    let expected = ["Yes", "No", "Yes", "Unknown", "Yes", "Yes", "No", "Unknown"];
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    for multicall in [false, true] {
        if multicall {
            anvil.stand_in("Multicall", MULTICALL).await;
        } else {
            anvil.rpc("anvil_setCode", json!([MULTICALL, "0x"])).await;
            anvil.mine(1).await;
        }
        let request = BatchRequest { questions: questions.clone() };
        let answers = service.chain.clone().batch(request).await.unwrap().into_inner().answers;
        let verdicts: Vec<_> = answers.iter().map(|answer| format!("{:?}", verdict(answer))).collect();
        assert_eq!(verdicts, expected, "{answers:#?}");
        let hashes: std::collections::BTreeSet<_> =
            answers.iter().filter_map(|answer| Some(answer.at.as_ref()?.block_hash.clone())).collect();
        assert_eq!(hashes.len(), 1);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_of_a_batch_changes_the_answer_to_another() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let bob = anvil.accounts().await[2];
    anvil.stand_in("Multicall", MULTICALL).await;
    let ticket = anvil.deploy("Ticket", &[]).await;
    let thief = anvil.deploy("Thief", &ticket.abi_encode()).await;
    anvil.send(bob, Some(ticket), give(thief, 9)).await;
    let minting = ContractCall {
        contract: name(ticket),
        data: give(bob, 10).into(),
        word: 0,
        comparison: Comparison::AtLeast.into(),
        operand: "0".into(),
    };
    let questions = vec![
        holding(bob, &asset("erc20", thief, None), ""),
        Question { about: Some(About::Call(minting)), ..Question::default() },
        holding(bob, &asset("erc721", ticket, Some(9)), ""),
        holding(bob, &asset("erc721", ticket, Some(10)), ""),
        holding(bob, &asset("erc721", ticket, None), ""),
    ];
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let answers = service.chain.clone().batch(BatchRequest { questions }).await.unwrap().into_inner().answers;
    let verdicts: Vec<_> = answers.iter().map(|answer| format!("{:?}", verdict(answer))).collect();
    assert_eq!(verdicts[0], "Yes");
    assert_eq!(verdicts[2..], ["No", "No", "No"], "{answers:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_are_taken_over_while_it_runs() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let native = format!("eip155:{CHAIN}/slip44:60");
    let service = Service::start(&folder, settings(&[], json!({}))).await;
    let off = service.holds(alice, &native).await;
    assert_eq!((verdict(&off), off.at), (Verdict::Unknown, None));
    assert!(off.reason.contains("is off"), "{}", off.reason);
    service.reconfigure(settings(&[&anvil.url], json!({})));
    assert_eq!(verdict(&service.holds(alice, &native).await), Verdict::Yes);
    service.reconfigure(settings(&[], json!({})));
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((&*chains[0].name, chains[0].endpoints), ("Anvil", 0), "it is off, and told as such");
    assert_eq!(verdict(&service.holds(alice, &native).await), Verdict::Unknown);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_purchase_is_not_yet_final_and_a_block_to_come_is_unknown() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.mine(8).await;
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let owns = |finality: Finality, min_block: u64| {
        let finality = finality.into();
        Question { finality, min_block, ..holding(alice, &asset("erc721", ticket, Some(7)), "") }
    };
    assert_eq!(verdict(&service.ask(owns(Finality::Latest, 0)).await), Verdict::Yes);
    assert_eq!(verdict(&service.ask(owns(Finality::Finalized, 0)).await), Verdict::No);
    let early = service.ask(owns(Finality::Latest, anvil.height().await + 1)).await;
    assert_eq!(verdict(&early), Verdict::Unknown);
    anvil.mine(8).await;
    let answer = service.ask(owns(Finality::Finalized, 0)).await;
    assert_eq!(verdict(&answer), Verdict::Yes);
    assert!(answer.at.unwrap().block < anvil.height().await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_of_the_purchase_reverts_it_and_is_published() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    let seven = asset("erc721", ticket, Some(7));
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let watch = WatchRequest { assets: vec![seven.clone()], lease_ms: 0 };
    service.chain.clone().watch(watch).await.unwrap();

    let receipt = anvil.send(alice, Some(ticket), pass_on(alice, bob, 7)).await;
    let told = service.heard("transfer", |event| event.asset == seven && !event.removed).await;
    assert_eq!((told.from, told.to, told.amount), (name(alice), name(bob), "1".into()));
    assert_eq!(
        (&*told.block_hash, &*told.transaction),
        (receipt["blockHash"].as_str().unwrap(), receipt["transactionHash"].as_str().unwrap(),)
    );
    assert_eq!(verdict(&service.holds(bob, &seven).await), Verdict::Yes);

    anvil.reorg(1).await;
    let removed = service.heard("removal", |event| event.removed).await;
    assert_eq!(removed.block_hash, told.block_hash);
    assert_eq!(verdict(&service.holds(bob, &seven).await), Verdict::No);
    assert_eq!(verdict(&service.holds(alice, &seven).await), Verdict::Yes);

    anvil.send(alice, Some(ticket), pass_on(alice, bob, 7)).await;
    service.heard("second transfer", |event| !event.removed && event.block_hash != told.block_hash).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_of_each_kind_of_token_are_published_for_at_most_the_allowed_contracts() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let (ticket, coin, badge) = (
        anvil.deploy("Ticket", &[]).await,
        anvil.deploy("Coin", &[]).await,
        anvil.deploy("Badge", &[]).await,
    );
    let service = Service::start(&folder, settings(&[&anvil.url], json!({ "max_watched": 2 }))).await;
    let watch = async |kind: &str, contract: Address| {
        let request = WatchRequest { assets: vec![asset(kind, contract, None)], lease_ms: 0 };
        service.chain.clone().watch(request).await.map(|answer| answer.into_inner().from)
    };
    let from = watch("erc20", coin).await.unwrap();
    assert_eq!(from[0].block, anvil.height().await);
    watch("erc1155", badge).await.unwrap();
    watch("erc1155", badge).await.unwrap();
    assert_eq!(watch("erc721", ticket).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    let native = WatchRequest { assets: vec![format!("eip155:{CHAIN}/slip44:60")], lease_ms: 0 };
    let refused = service.chain.clone().watch(native).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);

    anvil.send(alice, Some(ticket), give(alice, 1)).await;
    anvil.send(alice, Some(coin), give(alice, 500)).await;
    let badges = mintCall { to: alice, id: U256::from(3), amount: U256::from(2) };
    anvil.send(alice, Some(badge), badges.abi_encode()).await;
    let told = service.heard("badge", |event| event.asset == asset("erc1155", badge, Some(3))).await;
    assert_eq!((&*told.amount, told.from), ("2", name(Address::ZERO)));
    let told: Vec<_> = service.told.lock().unwrap().clone();
    assert_eq!((told.len(), &*told[0].asset, &*told[0].amount), (2, &*asset("erc20", coin, None), "500"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_transfers_in_one_block_is_published_and_undone_in_full() {
    const MANY: usize = 1200;
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let badge = anvil.deploy("Badge", &[]).await;
    let badges = mintCall { to: alice, id: U256::from(1), amount: U256::from(MANY) };
    anvil.send(alice, Some(badge), badges.abi_encode()).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({ "max_answer": "4MiB" }))).await;
    let watch = WatchRequest { assets: vec![asset("erc1155", badge, None)], lease_ms: 0 };
    service.chain.clone().watch(watch).await.unwrap();
    let flood = safeBatchTransferFromCall {
        from: alice,
        to: bob,
        ids: vec![U256::from(1); MANY],
        amounts: vec![U256::ONE; MANY],
        data: Bytes::new(),
    };
    anvil.send(alice, Some(badge), flood.abi_encode()).await;
    let told = async |removed: bool| {
        eventually("all of them", Duration::from_secs(30), async || {
            let told = service.told.lock().unwrap();
            let count = told.iter().filter(|event| event.removed == removed).count();
            (count == MANY).then_some(())
        })
        .await;
    };
    told(false).await;
    anvil.reorg(1).await;
    told(true).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_plugin_was_down_is_published_when_it_is_back() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    let badge = anvil.deploy("Badge", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 7)).await;
    for id in [1, 2] {
        let badges = mintCall { to: alice, id: U256::from(id), amount: U256::from(9) };
        anvil.send(alice, Some(badge), badges.abi_encode()).await;
    }
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let assets = vec![asset("erc721", ticket, None), asset("erc1155", badge, None)];
    service.chain.clone().watch(WatchRequest { assets, lease_ms: 0 }).await.unwrap();
    anvil.send(alice, Some(ticket), pass_on(alice, bob, 7)).await;
    let lost = service.heard("transfer", |event| event.to == name(bob)).await;
    service.stop().await;

    anvil.reorg(2).await;
    let both = safeBatchTransferFromCall {
        from: alice,
        to: bob,
        ids: vec![U256::from(1), U256::from(2)],
        amounts: vec![U256::from(4), U256::from(5)],
        data: Bytes::new(),
    };
    // The badge of the second id was minted in an undone block; it is minted again.
    let again = mintCall { to: alice, id: U256::from(2), amount: U256::from(9) };
    anvil.send(alice, Some(badge), again.abi_encode()).await;
    anvil.send(alice, Some(badge), both.abi_encode()).await;

    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let removed = service.heard("removal", |event| event.removed).await;
    assert_eq!((removed.block_hash, removed.to), (lost.block_hash, name(bob)));
    for (id, amount) in [(1, "4"), (2, "5")] {
        let wanted = asset("erc1155", badge, Some(id));
        let told = service.heard("batch", |event| event.asset == wanted && event.to == name(bob)).await;
        assert_eq!((&*told.amount, told.removed), (amount, false));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_past_the_depth_stops_the_watching_loudly_until_a_restart() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let shallow = settings(&[&anvil.url], json!({ "reorg_depth": 2 }));
    let service = Service::start(&folder, shallow.clone()).await;
    let watch = WatchRequest { assets: vec![asset("erc721", ticket, None)], lease_ms: 0 };
    service.chain.clone().watch(watch.clone()).await.unwrap();
    anvil.mine(6).await;
    anvil.send(alice, Some(ticket), give(alice, 1)).await;
    service.heard("transfer", |event| event.to == name(alice)).await;
    anvil.reorg(5).await;
    let refused = eventually("a refusal", Duration::from_secs(30), async || {
        service.chain.clone().watch(watch.clone()).await.err()
    })
    .await;
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("more than 2 blocks ago"), "{refused}");
    service.stop().await;

    let service = Service::start(&folder, shallow).await;
    let removed = service.heard("removal", |event| event.removed).await;
    assert!(removed.asset.ends_with("/1"), "{removed:?}");
    service.chain.clone().watch(watch).await.unwrap();
    anvil.mine(3).await;
    anvil.send(alice, Some(ticket), give(alice, 2)).await;
    service.heard("transfer", |event| event.asset.ends_with("/2")).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contract_wallets_answer_for_their_signatures_deployed_or_not() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let wallet = anvil.deploy("Wallet", &alice.abi_encode()).await;
    let odd = anvil.deploy("OddWallet", &[]).await;
    let endless = anvil.deploy("EndlessWallet", &[]).await;
    let factory = anvil.deploy("WalletFactory", &[]).await;
    let to_come = anvil
        .rpc(
            "eth_call",
            json!([{ "to": factory, "data": Bytes::from(atCall { owner: alice }.abi_encode()) }, "latest"]),
        )
        .await;
    let to_come = Address::from_word(serde_json::from_value::<B256>(to_come).unwrap());
    let message = "a message";
    let digest = eip191_hash_message(message);
    let signature = async |by: Address| -> Bytes {
        let data = Bytes::from(message.as_bytes().to_vec());
        serde_json::from_value(anvil.rpc("eth_sign", json!([by, data])).await).unwrap()
    };
    let (by_alice, by_bob) = (signature(alice).await, signature(bob).await);
    let wrap = |inner: &Bytes| -> Vec<u8> {
        let prepare = Bytes::from(deployCall { owner: alice }.abi_encode());
        let suffix = [0x64, 0x92].repeat(16);
        [(factory, prepare, inner.clone()).abi_encode_params(), suffix].concat()
    };
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let check = async |account: Address, signature: Vec<u8>| -> SignatureResponse {
        let request = SignatureRequest {
            account: name(account),
            digest: digest.to_vec().into(),
            signature: signature.into(),
        };
        service.chain.clone().is_valid_signature(request).await.unwrap().into_inner()
    };
    let says = async |account: Address, signature: Vec<u8>| {
        let response = check(account, signature).await;
        (verdict(&response.answer.unwrap()), response.contract)
    };

    assert_eq!(says(wallet, by_alice.to_vec()).await, (Verdict::Yes, true));
    assert_eq!(says(wallet, wrap(&by_alice)).await, (Verdict::Yes, true));
    assert_eq!(says(wallet, by_bob.to_vec()).await, (Verdict::No, true));
    assert_eq!(says(wallet, vec![]).await, (Verdict::No, true));
    assert_eq!(says(wallet, [0x64, 0x92].repeat(16)).await, (Verdict::No, true));
    assert_eq!(says(odd, by_alice.to_vec()).await, (Verdict::No, true));
    assert_ne!(says(endless, by_alice.to_vec()).await.0, Verdict::Yes);
    assert_eq!(says(alice, by_alice.to_vec()).await, (Verdict::Unknown, false));
    // The token contract is not a wallet.
    assert_eq!(says(factory, by_alice.to_vec()).await, (Verdict::No, true));

    anvil.rpc("anvil_setCode", json!([MULTICALL, "0x"])).await;
    anvil.mine(1).await;
    assert_eq!(says(to_come, wrap(&by_alice)).await, (Verdict::Yes, true));
    assert_eq!(says(to_come, wrap(&by_bob)).await, (Verdict::No, true));
    assert_eq!(says(bob, wrap(&by_alice)).await, (Verdict::No, true));
    let code = anvil.rpc("eth_getCode", json!([to_come, "latest"])).await;
    assert_eq!(code, "0x", "a simulation deploys nothing");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_seen_where_the_registry_is_and_unknown_where_it_is_not() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (cold, hot, other) = (accounts[1], accounts[2], accounts[3]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let may = async |to: Address| {
        let delegation = Delegation { from: name(cold), to: name(to), asset: asset("erc721", ticket, None) };
        let question = Question { about: Some(About::Delegation(delegation)), ..Question::default() };
        verdict(&service.ask(question).await)
    };
    assert_eq!(may(hot).await, Verdict::Unknown);
    anvil.stand_in("Delegations", DELEGATIONS).await;
    assert_eq!(may(hot).await, Verdict::No);
    let delegate = delegateContractCall { to: hot, contract_: ticket, rights: B256::ZERO, enable: true };
    anvil.send(cold, Some(DELEGATIONS.parse().unwrap()), delegate.abi_encode()).await;
    assert_eq!((may(hot).await, may(other).await), (Verdict::Yes, Verdict::No));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_of_everything_of_a_contract_or_of_one_token() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (cold, registry) = (accounts[1], DELEGATIONS.parse::<Address>().unwrap());
    let (of_all, of_contract, of_token) = (accounts[2], accounts[3], accounts[4]);
    let (ticket, other, rights) = (Address::repeat_byte(7), Address::repeat_byte(8), B256::ZERO);
    anvil.stand_in("Delegations", DELEGATIONS).await;
    let all = delegateAllCall { to: of_all, rights, enable: true };
    let contract = delegateContractCall { to: of_contract, contract_: ticket, rights, enable: true };
    let (contract_, id) = (ticket, U256::from(7));
    let token = delegateERC721Call { to: of_token, contract_, tokenId: id, rights, enable: true };
    for call in [all.abi_encode(), contract.abi_encode(), token.abi_encode()] {
        anvil.send(cold, Some(registry), call).await;
    }
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    for (asset, expected) in [
        (String::new(), [true, false, false]),
        (asset("erc721", other, Some(7)), [true, false, false]),
        (asset("erc721", ticket, None), [true, true, false]),
        (asset("erc721", ticket, Some(8)), [true, true, false]),
        (asset("erc721", ticket, Some(7)), [true, true, true]),
    ] {
        for (to, yes) in [of_all, of_contract, of_token].into_iter().zip(expected) {
            let delegation = Delegation { from: name(cold), to: name(to), asset: asset.clone() };
            let question = Question { about: Some(About::Delegation(delegation)), ..Question::default() };
            let expected = if yes { Verdict::Yes } else { Verdict::No };
            assert_eq!(verdict(&service.ask(question).await), expected, "{asset} {to}");
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delegations_to_a_wallet_are_listed_where_rules_look_for_them() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let accounts = anvil.accounts().await;
    let (hot, other, registry) = (accounts[1], accounts[2], DELEGATIONS.parse::<Address>().unwrap());
    anvil.stand_in("Delegations", DELEGATIONS).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let word = async |to: Address, word: u32| {
        let data = getIncomingDelegationsCall { to }.abi_encode().into();
        let (comparison, operand) = (Comparison::AtLeast.into(), "0".into());
        let call = ContractCall { contract: name(registry), data, word, comparison, operand };
        let question = Question { about: Some(About::Call(call)), ..Question::default() };
        service.ask(question).await.amount
    };
    // An array of structs of 7 words: its length, and the delegator as the third word of each.
    let listed = async |to: Address| {
        let count: u32 = word(to, 1).await.unwrap().parse().unwrap();
        let mut found: Vec<Address> = Vec::new();
        for index in 0..count {
            let from: U256 = word(to, 4 + 7 * index).await.unwrap().parse().unwrap();
            found.push(Address::from_word(from.into()));
        }
        found
    };
    assert!(listed(hot).await.is_empty());
    assert_eq!(word(hot, 4).await, None);

    let givers = &accounts[3..7];
    for from in givers {
        let all = delegateAllCall { to: hot, rights: B256::ZERO, enable: true };
        anvil.send(*from, Some(registry), all.abi_encode()).await;
    }
    assert_eq!(listed(hot).await, givers);
    assert!(listed(other).await.is_empty());
    let taken_back = delegateAllCall { to: hot, rights: B256::ZERO, enable: false };
    anvil.send(givers[1], Some(registry), taken_back.abi_encode()).await;
    assert_eq!(listed(hot).await, [givers[0], givers[2], givers[3]]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_come_with_their_history() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    anvil.mine(5).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let request = FeesRequest { chain: format!("eip155:{CHAIN}"), blocks: 3 };
    let fees = service.chain.clone().fees(request).await.unwrap().into_inner();
    assert!(fees.gas_price.parse::<u128>().unwrap() > 0);
    assert!(fees.next_base_fee.parse::<u128>().unwrap() > 0);
    let blocks: Vec<_> = fees.history.iter().map(|row| row.block).collect();
    assert_eq!(blocks, [3, 4, 5]);
    service.stop().await;
}
