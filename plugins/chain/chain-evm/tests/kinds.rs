//! Metadata of contracts: their names, and their kinds of token.
#![allow(clippy::unwrap_used)]

#[path = "support/liar.rs"]
mod liar;
mod support;

use alloy_primitives::{Address, FixedBytes, U256};
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use liar::{Liar, Lie};
use serde_json::json;
use streamgate_contracts::chain::v1::{DescribeRequest, DescribeResponse, Verdict};
use support::{Anvil, Service, asset, name, settings, verdict};
use tempfile::TempDir;
use tonic::Code;

sol! {
    function mint(address to, uint256 id);
    function burn(uint256 id);
}

async fn describe(service: &Service, contract: Address) -> DescribeResponse {
    let request = DescribeRequest { contract: name(contract) };
    service.chain.clone().describe(request).await.unwrap().into_inner()
}

fn says(said: &DescribeResponse) -> (&str, &str, Option<u32>, Vec<&str>) {
    (&said.name, &said.symbol, said.decimals, said.kinds.iter().map(|kind| &**kind).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_say_what_they_are_called_and_of_which_kind_they_are() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let declared = |id: [u8; 4]| FixedBytes(id).abi_encode();
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    for (contract, arguments, expected) in [
        ("Ticket", vec![], ("Ticket", "TCK", None, vec!["erc721"])),
        ("Coin", vec![], ("Coin", "CON", Some(18), vec!["erc20"])),
        ("Badge", vec![], ("", "", None, vec!["erc1155"])),
        ("OldCoin", vec![], ("Maker", "MKR", Some(18), vec!["erc20"])),
        // It declares nothing, which is not a no.
        ("OldNft", vec![], ("", "", None, vec![])),
        ("Silent", vec![], ("", "", None, vec![])),
        ("Declared", declared([0xd9, 0xb6, 0x7a, 0x26]), ("", "", None, vec!["erc1155"])),
        // It says yes to everything: even to the interface that none may declare.
        ("Declared", declared([0xff; 4]), ("", "", None, vec![])),
        ("Yes", (U256::ONE, U256::ONE).abi_encode(), ("", "", Some(1), vec!["erc20"])),
    ] {
        let contract_at = anvil.deploy(contract, &arguments).await;
        let said = describe(&service, contract_at).await;
        assert_eq!(said.answer.as_ref().unwrap().verdict(), Verdict::Yes, "{contract}: {said:?}");
        assert_eq!(says(&said), expected, "{contract}");
    }
    for (what, nothing) in [("a key", alice), ("nothing", Address::repeat_byte(0x11))] {
        let said = describe(&service, nothing).await;
        let answer = said.answer.as_ref().unwrap();
        assert_eq!((answer.verdict(), says(&said)), (Verdict::No, ("", "", None, vec![])), "{what}");
        assert!(answer.at.is_some() && !answer.reason.is_empty());
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_or_cannot_be_read_is_not_described() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let service = Service::start(&folder, settings(&["http://127.0.0.1:1"], json!({}))).await;
    let said = describe(&service, anvil.accounts().await[1]).await;
    assert_eq!(said.answer.unwrap().verdict(), Verdict::Unknown);
    for contract in ["", "eip155:1", "0x0000000000000000000000000000000000000001", "solana:1:a"] {
        let request = DescribeRequest { contract: contract.into() };
        let refused = service.chain.clone().describe(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{contract}");
    }
    let request = DescribeRequest { contract: "eip155:5:0x0000000000000000000000000000000000000001".into() };
    let said = service.chain.clone().describe(request).await.unwrap().into_inner();
    assert_eq!(said.answer.unwrap().verdict(), Verdict::Unknown, "a chain that is off");
    service.stop().await;
}

/// Whether alice's answers are these, for a query as an asset of this kind.
async fn judged(
    service: &Service,
    alice: Address,
    kind: &str,
    contract: Address,
    id: Option<u64>,
) -> Verdict {
    verdict(&service.holds(alice, &asset(kind, contract, id)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_says_it_is_of_another_kind_is_unknown_and_one_that_does_not_say_is_not() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let (yes, unknown) = (Verdict::Yes, Verdict::Unknown);
    for (name, kinds) in [
        ("Ticket", [("erc721", yes), ("erc20", unknown), ("erc1155", unknown)]),
        ("Coin", [("erc20", yes), ("erc721", unknown), ("erc1155", unknown)]),
        ("OldCoin", [("erc20", yes), ("erc721", unknown), ("erc1155", unknown)]),
        // From before they could declare it: judged by their answers.
        ("OldNft", [("erc721", yes), ("erc20", yes), ("erc1155", unknown)]),
        ("OldPunks", [("erc721", yes), ("erc20", yes), ("erc1155", unknown)]),
    ] {
        let contract = anvil.deploy(name, &[]).await;
        anvil.send(alice, Some(contract), give(alice, 1)).await;
        for (kind, expected) in kinds {
            let id = (kind == "erc1155").then_some(1);
            // Twice: its declaration is cached the second time.
            for _ in 0..2 {
                assert_eq!(judged(&service, alice, kind, contract, id).await, expected, "{name} as {kind}");
            }
            anvil.mine(1).await;
        }
    }
    let says = async |id: [u8; 4]| anvil.deploy("Declared", &FixedBytes(id).abi_encode()).await;
    for (id, kind, expected) in [
        ([0xd9, 0xb6, 0x7a, 0x26], "erc1155", yes),
        ([0xd9, 0xb6, 0x7a, 0x26], "erc721", unknown),
        ([0x80, 0xac, 0x58, 0xcd], "erc721", yes),
        ([0x80, 0xac, 0x58, 0xcd], "erc20", unknown),
        ([0x36, 0x37, 0x2b, 0x07], "erc20", yes),
        ([0x36, 0x37, 0x2b, 0x07], "erc721", unknown),
        // Neither is declared, as by CryptoKitties.
        ([0x9a, 0x20, 0x48, 0x3d], "erc721", yes),
        ([0xff; 4], "erc721", yes),
    ] {
        let contract = says(id).await;
        let id_asked = (kind == "erc1155").then_some(1);
        assert_eq!(judged(&service, alice, kind, contract, id_asked).await, expected, "{id:?} as {kind}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kind_of_a_contract_is_read_once_and_not_with_every_query() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 1)).await;
    let front = Liar::start(&anvil.url, Lie::None).await;
    let service = Service::start(&folder, settings(&[&front.url], json!({ "idle_poll": "1h" }))).await;
    assert_eq!(judged(&service, alice, "erc721", ticket, Some(1)).await, Verdict::Yes);
    for _ in 0..3 {
        anvil.mine(1).await;
        let before = front.calls();
        assert_eq!(judged(&service, alice, "erc721", ticket, Some(1)).await, Verdict::Yes);
        // The last block, and the owner.
        assert_eq!(front.calls() - before, 2);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_burnt_or_never_was_is_a_no_in_whatever_words_its_collection_says_so() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let service = Service::start(&folder, settings(&[&anvil.url], json!({}))).await;
    let (ticket, old, silent) = (
        anvil.deploy("Ticket", &[]).await,
        anvil.deploy("OldNft", &[]).await,
        anvil.deploy("Silent", &[]).await,
    );
    let coin = anvil.deploy("Coin", &[]).await;
    let custom = anvil.deploy("Declared", &FixedBytes([0x80, 0xac, 0x58, 0xcd]).abi_encode()).await;
    anvil.send(alice, Some(old), give(alice, 1)).await;
    assert_eq!(judged(&service, alice, "erc721", old, Some(1)).await, Verdict::Yes);
    anvil.send(alice, Some(old), burnCall { id: U256::ONE }.abi_encode()).await;
    for (what, contract, expected) in [
        ("in the words of OpenZeppelin", ticket, Verdict::No),
        ("without a word, and without ERC-165", old, Verdict::No),
        ("by an error of its own", custom, Verdict::No),
        ("no collection", coin, Verdict::Unknown),
        ("at everything", silent, Verdict::Unknown),
        ("nothing there", Address::repeat_byte(0x11), Verdict::Unknown),
    ] {
        assert_eq!(judged(&service, alice, "erc721", contract, Some(1)).await, expected, "{what}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_tell_of_the_same_revert_in_their_own_words_agree() {
    let (anvil, folder) = (Anvil::start(), TempDir::new().unwrap());
    let alice = anvil.accounts().await[1];
    let ticket = anvil.deploy("Ticket", &[]).await;
    anvil.send(alice, Some(ticket), give(alice, 1)).await;
    let gave = "0x7e2732890000000000000000000000000000000000000000000000000000000000000002";
    for (told, expected) in [
        (json!({ "code": -32000, "message": "execution reverted", "data": gave }), Verdict::No),
        (json!({ "code": -32000, "message": "execution reverted" }), Verdict::No),
        (
            json!({ "code": -32015, "message": "VM execution error.", "data": format!("Reverted {gave}") }),
            Verdict::No,
        ),
        (
            json!({ "code": -32015, "message": "VM execution error.",
                 "data": format!("err: {gave} (supplied gas 5000000)") }),
            Verdict::No,
        ),
        (
            json!({ "code": -32603, "message": "Internal JSON-RPC error.",
                 "data": { "originalError": { "code": 3, "message": "execution reverted" } } }),
            Verdict::No,
        ),
        // No answers: one endpoint is not enough.
        (json!({ "code": -32000, "message": "out of gas" }), Verdict::Unknown),
        (json!({ "code": -32000, "message": "execution aborted (timeout = 5s)" }), Verdict::Unknown),
        (json!({ "code": -32005, "message": "limit exceeded" }), Verdict::Unknown),
    ] {
        let other = Liar::start(&anvil.url, Lie::Reverts(told.clone())).await;
        let service = Service::start(&folder, settings(&[&anvil.url, &other.url], json!({}))).await;
        assert_eq!(judged(&service, alice, "erc721", ticket, Some(1)).await, Verdict::Yes, "{told}");
        assert_eq!(judged(&service, alice, "erc721", ticket, Some(2)).await, expected, "{told}");
        service.stop().await;
    }
}

fn give(to: Address, id: u64) -> Vec<u8> {
    mintCall { to, id: U256::from(id) }.abi_encode()
}
