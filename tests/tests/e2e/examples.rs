//! `examples/signature-verify` and `examples/nft-verify`, built and run as in their READMEs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use alloy_primitives::{Address, hex};
use serde_json::Value;
use streamgate_tests::anvil::{Anvil, CHAIN};
use streamgate_tests::server::{Setup, cache, repository};
use streamgate_tests::tools::run;
use tempfile::TempDir;

/// Builds an example, and returns its program.
fn built(name: &str) -> PathBuf {
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--manifest-path"])
        .arg(repository().join("examples").join(name).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(cache().join("third-party")))
    .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    cache().join("third-party/debug").join(name)
}

fn ran(program: &PathBuf, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(program).args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_signs_in_and_a_file_without_a_key_does_not() {
    let program = built("signature-verify");
    let server = Setup::default().set("plugins.auth.enabled", true).start().await;
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let key = hex::encode([1; 32]);
    let site = server.url("");
    let (code, said, errors) = ran(&program, &[&site, &file("wallet.key", &key)]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.contains("wants you to sign in with your Ethereum account"), "{said}");
    let (_, me) = said.split_once("The server says: ").expect("what the server says");
    let me: Value = serde_json::from_str(me).expect("JSON");
    assert!(me["roles"].as_array().expect("roles").contains(&Value::from("viewer")), "{me}");
    assert!(!said.contains(&key) && !server.log().contains(&key));

    let (code, _, errors) = ran(&program, &[&site, &file("empty.key", "")]);
    assert!(code == Some(1) && errors.contains("no private key"), "{errors}");
    // The request is for a chain on which the server accepts no messages.
    let (code, _, errors) = ran(&program, &[&site, &file("wallet.key", &key), "31337"]);
    assert!(code == Some(1) && errors.contains("the server refuses: 4"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_token_is_reported_with_the_block_and_an_outage_is_no_answer() {
    let program = built("nft-verify");
    let anvil = Anvil::start();
    let accounts = anvil.accounts().await;
    let (alice, bob) = (accounts[1], accounts[2]);
    let ticket = anvil.deploy("Ticket", &[]).await;
    // mint(address,uint256)
    let mint = format!("40c10f19{:0>64}{:064x}", hex::encode(alice), 7);
    anvil.send(alice, Some(ticket), hex::decode(mint).expect("hexadecimal")).await;
    let account = |address: Address| format!("eip155:{CHAIN}:{address:#x}");
    let asset = format!("eip155:{CHAIN}/erc721:{ticket:#x}");

    let (code, said, errors) = ran(&program, &[&account(alice), &asset, &anvil.url]);
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.starts_with("yes: ") && said.contains("\nat block 2 (0x"), "{said}");
    let (code, said, _) = ran(&program, &[&account(bob), &asset, &anvil.url]);
    assert!(code == Some(1) && said.starts_with("no: "), "{said}");
    let url = anvil.url.clone();
    drop(anvil);
    let (code, said, _) = ran(&program, &[&account(alice), &asset, &url]);
    assert!(code == Some(2) && said.starts_with("unknown: "), "{said}");
}
