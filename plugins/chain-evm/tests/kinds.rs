//! What contracts say of themselves: what they are called, and which kind of token they are.
#![allow(clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, FixedBytes, U256};
use alloy_sol_types::SolValue as _;
use serde_json::json;
use streamgate_contracts::chain::v1::{DescribeRequest, DescribeResponse, Verdict};
use support::{Anvil, Service, name, settings};
use tempfile::TempDir;
use tonic::Code;

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
        // It does not say, which is not a no.
        ("OldNft", vec![], ("", "", None, vec![])),
        ("Silent", vec![], ("", "", None, vec![])),
        ("Declared", declared([0xd9, 0xb6, 0x7a, 0x26]), ("", "", None, vec!["erc1155"])),
        // Whatever it is asked, it says yes: even that it is what nothing may be.
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
