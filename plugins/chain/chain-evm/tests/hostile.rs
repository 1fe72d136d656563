//! Contracts that pose as something else, on a real node.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use serde_json::json;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{
    Comparison, ContractCall, Delegation, Question, SignatureRequest, Verdict,
};
use support::{Anvil, CHAIN, Service, asset, holding, name, settings, verdict};
use tempfile::TempDir;

sol! {
    function deploy(uint256 how);
    function upgrade(address code);
    function totalSupply() returns (uint256);
}

mod token {
    alloy_sol_types::sol! { function mint(address to, uint256 id); }
}

mod badge {
    alloy_sol_types::sol! { function mint(address to, uint256 id, uint256 amount); }
}

const MULTICALL: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";
const DELEGATIONS: &str = "0x00000000000000447e69651d841bD8D104Bed493";
const DIGEST: [u8; 32] = [7; 32];

/// The reported answer of the wallet at `account` about `signature`.
async fn says(service: &Service, account: Address, signature: &[u8]) -> Verdict {
    let request = SignatureRequest {
        account: name(account),
        digest: DIGEST.to_vec().into(),
        signature: signature.to_vec().into(),
    };
    let response = service.chain.clone().is_valid_signature(request).await.unwrap().into_inner();
    verdict(&response.answer.unwrap())
}

/// EIP-6492: a signature of a wallet that `factory` would deploy.
fn wrapped(factory: Address, prepare: Vec<u8>) -> Vec<u8> {
    let inner = Bytes::from(vec![1; 65]);
    [(factory, Bytes::from(prepare), inner).abi_encode_params(), [0x64, 0x92].repeat(16)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_says_anything_but_the_magic_value_alone_knows_no_signature() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    anvil.stand_in("Multicall", MULTICALL).await;
    let factory = anvil.deploy("HostileFactory", &[]).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    for how in 0..12_u64 {
        let wallet = anvil.deploy("LoudWallet", &U256::from(how).abi_encode()).await;
        for signature in
            [vec![1; 65], vec![], wrapped(factory, deployCall { how: U256::from(4) }.abi_encode())]
        {
            assert_ne!(says(&service, wallet, &signature).await, Verdict::Yes, "{how}");
        }
    }
    // This contract is called, and can say yes.
    assert_eq!(says(&service, factory, &[1; 65]).await, Verdict::Yes);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wallet_says_at_one_block_counts_at_no_other() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let when = anvil.height().await + 3;
    let wallet = anvil.deploy("FickleWallet", &U256::from(when).abi_encode()).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let mut known = Vec::new();
    for _ in 0..5 {
        known.push(says(&service, wallet, &[1; 65]).await);
        anvil.mine(1).await;
    }
    assert_eq!(known.iter().filter(|verdict| **verdict == Verdict::Yes).count(), 1, "{known:?}");
    assert_eq!(known.last(), Some(&Verdict::No));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_that_deploys_nothing_or_something_else_makes_no_signature_valid() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let victim = anvil.accounts().await[1];
    anvil.stand_in("Multicall", MULTICALL).await;
    let factory = anvil.deploy("HostileFactory", &[]).await;
    let multicall: Address = MULTICALL.parse().unwrap();
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    // 1 to 17 are contracts of the chain itself, which answer without code.
    let precompiled = (1..=17_u8).map(Address::with_last_byte);
    for account in [victim, Address::repeat_byte(9), Address::ZERO].into_iter().chain(precompiled) {
        assert_ne!(says(&service, account, &[1; 65]).await, Verdict::Yes, "{account}");
        for how in 0..5_u64 {
            let prepare = deployCall { how: U256::from(how) }.abi_encode();
            assert_ne!(
                says(&service, account, &wrapped(factory, prepare)).await,
                Verdict::Yes,
                "{account} {how}"
            );
        }
        for (by, prepare) in
            [(account, vec![]), (multicall, vec![0x82, 0xad, 0x56, 0xcb]), (victim, vec![1; 100])]
        {
            assert_ne!(says(&service, account, &wrapped(by, prepare)).await, Verdict::Yes, "{account} {by}");
        }
    }
    // One that is wrapped twice is unwrapped once.
    let twice = [&wrapped(factory, vec![])[..], &[0x64, 0x92].repeat(16)].concat();
    assert_ne!(says(&service, victim, &twice).await, Verdict::Yes);
    let code = anvil.rpc("eth_getCode", json!([victim, "latest"])).await;
    assert_eq!(code, "0x", "a simulation leaves nothing behind");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_read_in_all_their_256_bits() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let (ticket, coin, badge) = (
        anvil.deploy("Ticket", &[]).await,
        anvil.deploy("Coin", &[]).await,
        anvil.deploy("Badge", &[]).await,
    );
    let large = (U256::ONE << 128) + U256::from(3);
    let mint = |to: Address, id: U256| token::mintCall { to, id }.abi_encode();
    anvil.send(alice, Some(coin), mint(alice, U256::MAX)).await;
    for id in [large, U256::MAX] {
        anvil.send(alice, Some(ticket), mint(alice, id)).await;
        let badges = badge::mintCall { to: alice, id, amount: id };
        anvil.send(alice, Some(badge), badges.abi_encode()).await;
    }
    let of = |kind: &str, contract: Address, id: U256| format!("eip155:{CHAIN}/{kind}:{contract:#x}/{id}");
    let (most, three) = (U256::MAX.to_string(), U256::from(3));
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let (yes, no) = (Verdict::Yes, Verdict::No);
    for (asset, at_least, expected) in [
        (asset("erc20", coin, None), &*most, yes),
        (of("erc1155", badge, U256::MAX), &most, yes),
        (of("erc1155", badge, large), &large.to_string(), yes),
        (of("erc1155", badge, large), &(large + U256::ONE).to_string(), no),
        (of("erc1155", badge, large), &most, no),
        // Neither the lower 128 or 64 bits, nor adjacent values.
        (of("erc1155", badge, three), "1", no),
        (of("erc1155", badge, large + U256::ONE), "1", no),
        (of("erc1155", badge, U256::ZERO), "1", no),
        (of("erc721", ticket, large), "", yes),
        (of("erc721", ticket, U256::MAX), "", yes),
        (of("erc721", ticket, three), "", no),
        (of("erc721", ticket, U256::MAX >> 128), "", no),
    ] {
        let answer = service.ask(holding(alice, &asset, at_least)).await;
        assert_eq!(verdict(&answer), expected, "{asset} {at_least}: {answer:?}");
    }
    // One more than possible, and invalid numbers.
    for at_least in [format!("{}0", &most), most[..77].to_owned() + "6", "1.5".into(), "0x1".into()] {
        let asked =
            service.chain.clone().balance(holding(alice, &asset("erc20", coin, None), &at_least)).await;
        assert_eq!(asked.unwrap_err().code(), tonic::Code::InvalidArgument, "{at_least}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_says_yes_to_everything_is_heard_only_where_its_answer_is_of_the_kind() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let (yes, no, unknown) = (Verdict::Yes, Verdict::No, Verdict::Unknown);
    let owner = U256::from_be_bytes(alice.into_word().0);
    let dirty = owner | (U256::ONE << 160);
    for (value, words, balance, of_collection, owned) in [
        // With a number of decimals, it is an ERC-20.
        (U256::ONE, 1, yes, unknown, unknown),
        (U256::ZERO, 1, no, unknown, unknown),
        (owner, 1, yes, yes, yes),
        (dirty, 1, yes, yes, unknown),
        (U256::MAX, 1, yes, yes, unknown),
        (U256::ONE, 0, unknown, unknown, unknown),
        (owner, 2, unknown, unknown, unknown),
        (owner, 1000, unknown, unknown, unknown),
        // More than is read from any endpoint.
        (owner, 4000, unknown, unknown, unknown),
    ] {
        let contract = anvil.deploy("Yes", &(value, U256::from(words)).abi_encode_params()).await;
        for (asset, expected) in [
            (asset("erc20", contract, None), balance),
            (asset("erc721", contract, None), of_collection),
            (asset("erc1155", contract, Some(1)), of_collection),
            (asset("erc721", contract, Some(1)), owned),
        ] {
            let answer = service.holds(alice, &asset).await;
            assert_eq!(verdict(&answer), expected, "{value} {words} {asset}: {answer:?}");
        }
        // As a registry of delegations, only a clean answer is a yes.
        let code = anvil.rpc("eth_getCode", json!([contract, "latest"])).await;
        anvil.rpc("anvil_setCode", json!([DELEGATIONS, code])).await;
        anvil.mine(1).await;
        let coin = asset("erc20", contract, None);
        let delegation = Delegation { from: name(alice), to: name(contract), asset: coin };
        let about = Some(About::Delegation(delegation));
        let answer = service.ask(Question { about, ..Question::default() }).await;
        let expected = match (value, words) {
            (U256::ONE, 1) => yes,
            (U256::ZERO, 1) => no,
            _ => unknown,
        };
        assert_eq!(verdict(&answer), expected, "{value} {words}: {answer:?}");
        // A missing value compares to nothing, even if nothing would meet the comparison.
        for comparison in [Comparison::NotEqual, Comparison::Less, Comparison::AtMost] {
            let call = ContractCall {
                contract: name(contract),
                data: totalSupplyCall {}.abi_encode().into(),
                word: 31,
                comparison: comparison.into(),
                operand: U256::MAX.to_string(),
            };
            let about = Some(About::Call(call));
            let answer = service.ask(Question { about, ..Question::default() }).await;
            assert!(words >= 32 || verdict(&answer) == unknown, "{words} {comparison:?}: {answer:?}");
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_behind_a_proxy_is_what_it_is_at_the_block_that_is_read() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    let proxy = anvil.deploy("Proxy", &ticket.abi_encode()).await;
    let mint = token::mintCall { to: alice, id: U256::from(7) };
    anvil.send(alice, Some(proxy), mint.abi_encode()).await;
    let nothing = anvil.deploy("Yes", &(U256::ZERO, U256::ONE).abi_encode_params()).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let seven = asset("erc721", proxy, Some(7));
    for (code, expected) in [
        (ticket, Verdict::Yes),
        (nothing, Verdict::No),
        // A call to an address without code succeeds, and returns nothing.
        (Address::repeat_byte(0x11), Verdict::Unknown),
        (ticket, Verdict::Yes),
    ] {
        anvil.send(alice, Some(proxy), upgradeCall { code }.abi_encode()).await;
        let answer = service.holds(alice, &seven).await;
        assert_eq!(verdict(&answer), expected, "{code}: {answer:?}");
    }
    assert_eq!(verdict(&service.holds(alice, &asset("erc721", ticket, Some(7))).await), Verdict::No);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_or_an_account_that_is_none_is_no_question() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let account = name(Address::repeat_byte(1));
    for (account, digest, signature) in [
        (account.clone(), vec![7; 31], vec![1; 65]),
        (account.clone(), vec![7; 33], vec![1; 65]),
        (account.clone(), vec![7; 32], vec![1; 32 * 1024 + 1]),
        ("0x0101010101010101010101010101010101010101".into(), vec![7; 32], vec![1; 65]),
        (format!("{account}:1"), vec![7; 32], vec![1; 65]),
    ] {
        let request = SignatureRequest { account, digest: digest.into(), signature: signature.into() };
        let refused = service.chain.clone().is_valid_signature(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    }
    let elsewhere = SignatureRequest {
        account: format!("eip155:5:{:#x}", Address::repeat_byte(1)),
        digest: B256::from(DIGEST).to_vec().into(),
        signature: vec![1; 65].into(),
    };
    let answer = service.chain.clone().is_valid_signature(elsewhere).await.unwrap().into_inner().answer;
    assert_eq!(verdict(&answer.unwrap()), Verdict::Unknown);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployed_wallet_that_says_no_is_called_again_after_it_was_prepared() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let (ticket, knowing) = (anvil.deploy("Ticket", &[]).await, anvil.deploy("HostileFactory", &[]).await);
    let wallet = anvil.deploy("Proxy", &ticket.abi_encode()).await;
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let prepared = |code: Address| wrapped(wallet, upgradeCall { code }.abi_encode());
    assert_eq!(says(&service, wallet, &prepared(ticket)).await, Verdict::No);
    assert_eq!(says(&service, wallet, &prepared(knowing)).await, Verdict::Yes);
    // None of it persists.
    assert_eq!(says(&service, wallet, &[1; 65]).await, Verdict::No);
    service.stop().await;
}
