//! Assets and collections of Metaplex Core. Its program is not published as a package, so its accounts are
//! written here byte by byte, in the program's layout.
#![allow(clippy::unwrap_used)]

#[path = "support/liar.rs"]
mod liar;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use liar::{Liar, Lie};
use serde_json::json;
use streamgate_contracts::chain::v1::{Answer, DescribeRequest, Verdict};
use support::{Asked as _, Cluster, Service, assert_unknown};

const PROGRAM: &str = "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d";

fn bytes(address: &str) -> [u8; 32] {
    bs58::decode(address).into_vec().unwrap().try_into().unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// An asset, of a collection if one is named, with a plugin that freezes it.
fn asset(owner: &str, collection: Option<&str>) -> Vec<u8> {
    let authority = match collection {
        Some(collection) => [&[2][..], &bytes(collection)].concat(),
        None => [&[1][..], &bytes(owner)].concat(),
    };
    let head =
        [&[1][..], &bytes(owner), &authority, &text("Ticket"), &text("https://example.org"), &[0]].concat();
    // The header of plugins with where their registry is, a frozen one, and the registry.
    let registry = (head.len() + 9 + 2) as u64;
    let plugins = [&[3][..], &registry.to_le_bytes(), &[1, 1], &[4, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    [head, plugins].concat()
}

fn collection(authority: &str) -> Vec<u8> {
    let numbers = [2, 0, 0, 0, 2, 0, 0, 0];
    [&[5][..], &bytes(authority), &text("Tickets"), &text("https://example.org"), &numbers].concat()
}

async fn set(cluster: &Cluster, address: &str, data: &[u8]) {
    cluster.rpc("test_core", json!([address, STANDARD.encode(data)])).await;
}

async fn holds(service: &Service, cluster: &Cluster, owner: &str, of: &str) -> Answer {
    service.ask(cluster.holding(owner, &cluster.asset("nft", of), "")).await
}

/// A collection of which alice holds two, and bob one.
struct Tickets {
    cluster: Cluster,
    alice: String,
    bob: String,
    collection: String,
    first: String,
}

impl Tickets {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let (alice, bob, of) = (cluster.key().await, cluster.key().await, cluster.key().await);
        set(&cluster, &of, &collection(&bob)).await;
        let first = cluster.key().await;
        set(&cluster, &first, &asset(&alice, Some(&of))).await;
        for owner in [&alice, &bob] {
            set(&cluster, &cluster.key().await, &asset(owner, Some(&of))).await;
        }
        // Of another collection, and of none.
        set(&cluster, &cluster.key().await, &asset(&alice, Some(&bob))).await;
        set(&cluster, &cluster.key().await, &asset(&alice, None)).await;
        Self { cluster, alice, bob, collection: of, first }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_held_by_their_owner_one_by_one_and_by_collection() {
    let Tickets { cluster, alice, bob, collection, first } = Tickets::new().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    for (owner, of, expected, amount) in [
        (&alice, &collection, Verdict::Yes, "2"),
        (&bob, &collection, Verdict::Yes, "1"),
        (&first, &collection, Verdict::No, "0"),
        (&alice, &first, Verdict::Yes, "1"),
        (&bob, &first, Verdict::No, "0"),
    ] {
        let answer = holds(&service, &cluster, owner, of).await;
        assert_eq!((answer.verdict(), answer.amount.as_deref()), (expected, Some(amount)), "{answer:?}");
    }
    // It is transferred, and then burnt.
    set(&cluster, &first, &asset(&bob, Some(&collection))).await;
    assert_eq!(holds(&service, &cluster, &alice, &first).await.verdict(), Verdict::No);
    assert_eq!(holds(&service, &cluster, &bob, &first).await.verdict(), Verdict::Yes);
    assert_eq!(holds(&service, &cluster, &bob, &collection).await.amount.as_deref(), Some("2"));
    set(&cluster, &first, &[0]).await;
    assert_eq!(holds(&service, &cluster, &bob, &first).await.verdict(), Verdict::No);
    assert_eq!(holds(&service, &cluster, &bob, &collection).await.amount.as_deref(), Some("1"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_another_form_is_unknown_and_never_a_no() {
    let Tickets { cluster, alice, first, .. } = Tickets::new().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let whole = asset(&alice, None);
    let with = |at: usize, byte: u8| {
        let mut other = whole.clone();
        other[at] = byte;
        other
    };
    for (why, data) in [
        ("compressed", [&[2][..], &[9; 32]].concat()),
        ("an unknown kind", with(0, 6)),
        ("an unknown authority", with(33, 3)),
        ("cut off", whole[..40].to_vec()),
        ("no plugins after it", [&asset(&alice, None)[..whole.len() - 20], &[9; 20]].concat()),
    ] {
        set(&cluster, &first, &data).await;
        assert_unknown(&holds(&service, &cluster, &alice, &first).await, why);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_searches_for_no_accounts_answers_from_its_index_or_not_at_all() {
    let Tickets { cluster, alice, bob, collection, .. } = Tickets::new().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    cluster.rpc("test_searches", json!([false])).await;
    assert_unknown(&holds(&service, &cluster, &alice, &collection).await, "neither");
    let indexed = |id: &str, interface: &str, burnt: bool, compressed: bool| {
        json!({
            "interface": interface, "id": id, "burnt": burnt, "compression": { "compressed": compressed },
            "grouping": [{ "group_key": "collection", "group_value": collection }],
            "ownership": { "owner": alice },
        })
    };
    let list = json!([
        indexed("1", "MplCoreAsset", false, false),
        indexed("2", "MplCoreAsset", true, false),
        indexed("3", "MplCoreAsset", false, true),
        indexed("4", "V1_NFT", false, false),
    ]);
    cluster.rpc("test_assets", json!([list])).await;
    let answer = holds(&service, &cluster, &alice, &collection).await;
    assert_eq!((answer.verdict(), answer.amount.as_deref()), (Verdict::Yes, Some("1")), "{answer:?}");
    assert_eq!(holds(&service, &cluster, &bob, &collection).await.verdict(), Verdict::No);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_that_was_not_queried_does_not_count() {
    let Tickets { cluster, alice, bob, collection, first } = Tickets::new().await;
    let slot = 1u64 << 40;
    let found = |owner: &str, of: &str, program: &str| {
        let data = &asset(owner, Some(of))[..66];
        let account = json!({ "owner": program, "data": [STANDARD.encode(data), "base64"] });
        json!({ "pubkey": first, "account": account })
    };
    let right = found(&alice, &collection, PROGRAM);
    for (why, value) in [
        ("of somebody else", json!([found(&bob, &collection, PROGRAM)])),
        ("of another collection", json!([found(&alice, &bob, PROGRAM)])),
        ("of another program", json!([found(&alice, &collection, &bob)])),
        ("twice the same", json!([right, right])),
        ("nothing", json!(null)),
    ] {
        let lie = json!({ "context": { "slot": slot }, "value": value });
        let liar = Liar::start(&cluster.url, Lie::Says("getProgramAccounts", lie)).await;
        let service = cluster.service(&[&liar.url], json!({}));
        assert_unknown(&holds(&service, &cluster, &alice, &collection).await, why);
        service.stop().await;
    }
    let early = json!({ "context": { "slot": 1 }, "value": [] });
    let liar = Liar::start(&cluster.url, Lie::Says("getProgramAccounts", early)).await;
    let service = cluster.service(&[&liar.url], json!({}));
    assert_unknown(&holds(&service, &cluster, &alice, &collection).await, "from before");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_and_collections_say_what_they_are_called() {
    let Tickets { cluster, collection, first, .. } = Tickets::new().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let describe = async |address: &str| {
        let request = DescribeRequest { contract: format!("{}:{address}", cluster.chain()) };
        service.chain.clone().describe(request).await.unwrap().into_inner()
    };
    for (address, name) in [(&collection, "Tickets"), (&first, "Ticket")] {
        let said = describe(address).await;
        assert_eq!(said.answer.as_ref().unwrap().verdict(), Verdict::Yes, "{said:?}");
        assert_eq!((&*said.name, said.kinds), (name, vec!["nft".to_owned()]));
    }
    set(&cluster, &first, &[0]).await;
    assert_eq!(describe(&first).await.answer.unwrap().verdict(), Verdict::No);
    service.stop().await;
}
