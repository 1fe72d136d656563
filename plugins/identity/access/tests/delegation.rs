//! Tokens in vaults that have delegated to a viewer (delegate.xyz v2), among delegations of strangers.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall as _, sol};
use http::Method;
use serde_json::{Value, json};
use streamgate_contracts::access::v1::Verdict;
use streamgate_tests::anvil::{Anvil, CHAIN};
use support::*;

sol! {
    function mint(address to, uint256 id);
    function transferFrom(address from, address to, uint256 id);
    function delegateAll(address to, bytes32 rights, bool enable);
    function delegateContract(address to, address contract_, bytes32 rights, bool enable);
}

const DELEGATIONS: &str = "0x00000000000000447e69651d841bD8D104Bed493";

struct Chain {
    anvil: Anvil,
    ticket: Address,
    registry: Address,
    accounts: Vec<Address>,
}

impl Chain {
    async fn start() -> Self {
        let anvil = Anvil::start();
        let accounts = anvil.accounts().await;
        let ticket = anvil.deploy("Ticket", &[]).await;
        anvil.stand_in("Delegations", DELEGATIONS).await;
        Self { anvil, ticket, registry: DELEGATIONS.parse().unwrap(), accounts }
    }

    fn rule(&self) -> Value {
        let asset = format!("eip155:{CHAIN}/erc721:{:#x}", self.ticket);
        json!({ "erc721": { "asset": asset, "delegated": true } })
    }

    async fn give(&self, to: Address, id: u64) {
        let mint = mintCall { to, id: U256::from(id) };
        self.anvil.send(to, Some(self.ticket), mint.abi_encode()).await;
    }

    /// The vault delegates this collection to a wallet.
    async fn delegate(&self, from: Address, to: Address) {
        let all = delegateContractCall { to, contract_: self.ticket, rights: B256::ZERO, enable: true };
        self.anvil.send(from, Some(self.registry), all.abi_encode()).await;
    }

    /// A stranger delegates this often, each a separate delegation.
    async fn flood(&self, from: Address, to: Address, count: u8) {
        for number in 1..=count {
            let one = delegateAllCall { to, rights: B256::repeat_byte(number), enable: true };
            self.anvil.send(from, Some(self.registry), one.abi_encode()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_delegate_hide_no_vault_and_grant_no_access() {
    let (chain, world) = (Chain::start().await, World::new());
    let (hot, vault, other) = (chain.accounts[1], chain.accounts[2], chain.accounts[3]);
    let life = world.live(Some(&chain.anvil.url), json!({})).await;
    life.gate(chain.rule()).await;
    for stranger in &chain.accounts[4..] {
        chain.flood(*stranger, hot, 5).await;
    }
    chain.give(vault, 7).await;
    let a = viewer(ALICE, &[hot]);
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);

    chain.delegate(vault, hot).await;
    for stranger in &chain.accounts[4..] {
        chain.flood(*stranger, hot, 8).await;
    }
    let allowed = life.decides("a delegation", &a, |decision| decision.verdict() == Verdict::Allowed).await;
    let says = format!("{vault:#x} has delegated it");
    assert!(allowed.evidence.iter().any(|found| found.finding.contains(&says)), "{allowed:?}");

    // The vault sells it.
    let pass_on = transferFromCall { from: vault, to: other, id: U256::from(7) };
    chain.anvil.send(vault, Some(chain.ticket), pass_on.abi_encode()).await;
    life.hears("a revocation", |event| event.principal == ALICE).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_delegations_than_are_looked_at_are_unknown_unless_the_viewer_names_the_vault() {
    let (chain, world) = (Chain::start().await, World::new());
    let (hot, vault, stranger) = (chain.accounts[1], chain.accounts[2], chain.accounts[3]);
    let life = world.live(Some(&chain.anvil.url), json!({})).await;
    chain.flood(stranger, hot, 128).await;
    let (a, vaults) = (viewer(ALICE, &[hot]), "/vaults");
    life.gate(chain.rule()).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied, "all are looked at");

    chain.give(vault, 7).await;
    chain.delegate(vault, hot).await;
    let unknown = life.decides("too many", &a, |decision| decision.verdict() == Verdict::Unknown).await;
    assert!(unknown.reason.contains("129 delegations"), "{}", unknown.reason);
    assert!(unknown.reason.contains("Name the wallet"), "{}", unknown.reason);
    life.gate(json!({ "not": chain.rule() })).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Unknown, "it is not taken for a no");

    // A wallet that has not delegated does not count, whatever it holds.
    let name = async |wallet: Address| {
        let body = json!({ "vaults": [format!("eip155:{}", wallet.to_checksum(None))] });
        let answer = life.call(Some(&a), Method::PUT, vaults, Some(&body)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json),
            (200, &json!({ "vaults": [format!("eip155:{wallet:#x}")] }))
        );
    };
    life.gate(chain.rule()).await;
    chain.give(chain.accounts[4], 8).await;
    name(chain.accounts[4]).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Unknown);
    name(vault).await;
    let allowed = life.decide(&a).await;
    assert_eq!(allowed.verdict(), Verdict::Allowed, "{allowed:?}");
    life.gate(json!({ "not": chain.rule() })).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Denied);
    life.gate(chain.rule()).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    life.stop().await;

    // It is stored, and the access through it ends with it.
    let life = world.live(Some(&chain.anvil.url), json!({})).await;
    assert_eq!(life.decide(&a).await.verdict(), Verdict::Allowed);
    let none = json!({ "vaults": [] });
    assert_eq!(life.call(Some(&a), Method::PUT, vaults, Some(&none)).await.status, 200);
    life.decides("the vault is named no more", &a, |decision| decision.verdict() == Verdict::Unknown).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vaults_are_named_by_signed_in_users_for_themselves_and_within_limits() {
    let world = World::new();
    let life = world.live(None, json!({})).await;
    let (a, b) = (viewer(ALICE, &[]), viewer(BOB, &[]));
    let nobody = life.call(None, Method::GET, "/vaults", None).await;
    assert_eq!((nobody.status.as_u16(), slug(&nobody)), (401, "not-signed-in"));
    let wallet = |number: u8| format!("eip155:{:#x}", Address::repeat_byte(number));
    let put = async |vaults: Value| {
        life.call(Some(&a), Method::PUT, "/vaults", Some(&json!({ "vaults": vaults }))).await
    };
    for wrong in [
        json!(["0x0000000000000000000000000000000000000001"]),
        json!(["solana:9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"]),
        json!((1..=9).map(wallet).collect::<Vec<_>>()),
    ] {
        let answer = put(wrong).await;
        assert_eq!((answer.status.as_u16(), slug(&answer)), (400, "invalid-request"), "{}", answer.json);
    }
    assert_eq!(put(json!([wallet(2), wallet(1), wallet(2)])).await.status, 200);
    let mine = life.call(Some(&a), Method::GET, "/vaults", None).await.json;
    assert_eq!(mine, json!({ "vaults": [wallet(1), wallet(2)] }));
    assert_eq!(life.call(Some(&b), Method::GET, "/vaults", None).await.json, json!({ "vaults": [] }));
}
