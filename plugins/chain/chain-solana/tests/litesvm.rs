//! The plugin against the real token programs. The replacement of a validator is described in
//! `streamgate_tests::solana`.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{
    BatchRequest, ChainsRequest, ContractCall, Delegation, DescribeRequest, FeesRequest, Finality, Question,
    SignatureRequest, Verdict, WatchRequest,
};
use support::{Asked as _, Cluster, Service, assert_unknown};
use tonic::Code;

/// The genesis of Solana's devnet.
const DEVNET: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
const PROGRAMS: [&str; 2] = ["token", "token-2022"];

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_both_programs_are_counted_over_all_accounts_of_their_owner() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, bob) = (cluster.key().await, cluster.key().await);
    for program in PROGRAMS {
        let (mint, other) = (cluster.mint(program, 6).await, cluster.mint(program, 6).await);
        let (main, second) = (cluster.associated(&mint, &alice).await, cluster.account(&mint, &alice).await);
        cluster.give(&main, 500).await;
        cluster.give(&second, 30).await;
        cluster.give(&cluster.associated(&other, &bob).await, 9).await;
        cluster.associated(&mint, &bob).await;
        // An owner who cannot transfer them still holds them.
        cluster.rpc("test_freeze", json!([second])).await;

        let asset = cluster.asset("token", &mint);
        for (owner, at_least, expected, amount) in [
            (&alice, "", Verdict::Yes, "530"),
            (&alice, "530", Verdict::Yes, "530"),
            (&alice, "531", Verdict::No, "530"),
            (&bob, "", Verdict::No, "0"),
            // Not the account, whose owner alice is.
            (&main, "", Verdict::No, "0"),
        ] {
            let answer = service.ask(cluster.holding(owner, &asset, at_least)).await;
            assert_eq!(answer.verdict(), expected, "{program} {owner} {at_least}: {answer:?}");
            assert_eq!(answer.amount.as_deref(), Some(amount), "{answer:?}");
            let at = answer.at.unwrap();
            let slot = cluster.slot().await;
            let block = cluster.rpc("getBlock", json!([slot, {}])).await;
            assert_eq!((at.block, at.finality()), (slot, Finality::Safe));
            assert_eq!(block["blockhash"], at.block_hash);
            assert!(answer.reason.contains(&format!("at slot {slot}")), "{}", answer.reason);
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_transferred_or_closed_is_no_longer_held() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, bob) = (cluster.key().await, cluster.key().await);
    for program in PROGRAMS {
        let mint = cluster.mint(program, 0).await;
        let (from, to) = (cluster.associated(&mint, &alice).await, cluster.associated(&mint, &bob).await);
        cluster.give(&from, 1).await;
        let asset = cluster.asset("token", &mint);
        let holds = async |owner: &str| service.ask(cluster.holding(owner, &asset, "")).await.verdict();
        assert_eq!((holds(&alice).await, holds(&bob).await), (Verdict::Yes, Verdict::No));
        cluster.transfer(&from, &to, &alice, 1).await;
        assert_eq!((holds(&alice).await, holds(&bob).await), (Verdict::No, Verdict::Yes));
        cluster.rpc("test_close", json!([from, alice])).await;
        assert_eq!((holds(&alice).await, holds(&bob).await), (Verdict::No, Verdict::Yes));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_coin_is_counted_and_a_mint_that_is_none_is_unknown() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, nobody) = (cluster.key().await, cluster.key().await);
    cluster.rpc("test_airdrop", json!([alice, 5_000_000_000u64])).await;
    let native = cluster.asset("slip44", "501");
    for (owner, at_least, expected) in [
        (&alice, "5000000000", Verdict::Yes),
        (&alice, "5000000001", Verdict::No),
        (&nobody, "1", Verdict::No),
    ] {
        let answer = service.ask(cluster.holding(owner, &native, at_least)).await;
        assert_eq!(answer.verdict(), expected, "{answer:?}");
    }
    let answer = service.ask(cluster.holding(&alice, &cluster.asset("token", &nobody), "")).await;
    assert_unknown(&answer, "no mint");
    let asset = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1/slip44:501";
    let mut elsewhere = cluster.holding(&alice, asset, "");
    if let Some(About::Holding(holding)) = &mut elsewhere.about {
        holding.account = format!("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1:{alice}");
    }
    assert_unknown(&service.ask(elsewhere).await, "a cluster that is off");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nfts_of_a_verified_collection_are_counted_and_forged_ones_are_not() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, bob, collection, other) =
        (cluster.key().await, cluster.key().await, cluster.key().await, cluster.key().await);
    let asset = cluster.asset("nft", &collection);
    let held = async |owner: &str| service.ask(cluster.holding(owner, &asset, "")).await;

    // Each of these is like an NFT of the collection except for one thing.
    for (why, metadata) in [
        ("not verified", json!({ "collection": collection, "verified": false })),
        ("of another collection", json!({ "collection": other, "verified": true })),
        ("of none", json!({})),
        ("metadata of another mint", json!({ "collection": collection, "verified": true, "of": other })),
        (
            "metadata of another program",
            json!({ "collection": collection, "verified": true, "program": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA" }),
        ),
    ] {
        let (mint, _) = cluster.nft("token", &alice, &other).await;
        cluster.metadata(&mint, metadata).await;
        assert_eq!(held(&alice).await.verdict(), Verdict::No, "{why}");
    }
    let right = json!({ "collection": collection, "verified": true });
    for (why, decimals, supply, edition) in [
        ("a second one is held by somebody", 0, 2, true),
        ("it can be divided", 1, 1, true),
        ("no edition", 0, 1, false),
    ] {
        let mint = cluster.mint("token", decimals).await;
        cluster.give(&cluster.associated(&mint, &alice).await, 1).await;
        if supply > 1 {
            cluster.give(&cluster.associated(&mint, &bob).await, 1).await;
        }
        cluster.metadata(&mint, right.clone()).await;
        if edition {
            cluster.rpc("test_edition", json!([mint])).await;
        }
        assert_eq!(held(&alice).await.verdict(), Verdict::No, "{why}");
    }

    for (count, program) in [(1, "token"), (2, "token-2022")] {
        let (mint, account) = cluster.nft(program, &alice, &collection).await;
        let answer = held(&alice).await;
        assert_eq!((answer.verdict(), answer.amount), (Verdict::Yes, Some(count.to_string())), "{program}");
        // By its own mint it is one, too.
        let itself = cluster.asset("nft", &mint);
        assert_eq!(service.ask(cluster.holding(&alice, &itself, "")).await.verdict(), Verdict::Yes);
        assert_eq!(service.ask(cluster.holding(&bob, &itself, "")).await.verdict(), Verdict::No);
        if program == "token-2022" {
            let to = cluster.associated(&mint, &bob).await;
            cluster.transfer(&account, &to, &alice, 1).await;
            assert_eq!(held(&alice).await.amount.as_deref(), Some("1"));
            assert_eq!(held(&bob).await.verdict(), Verdict::Yes);
        }
    }
    service.stop().await;

    let few = cluster.service(&[&cluster.url], json!({ "max_nfts": 3 }));
    assert_unknown(&few.ask(cluster.holding(&alice, &asset, "")).await, "too many to look through");
    few.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_assets_are_as_the_index_has_them_and_unknown_without_one() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, bob, collection) = (cluster.key().await, cluster.key().await, cluster.key().await);
    let question = |owner: &str| cluster.holding(owner, &cluster.asset("cnft", &collection), "");
    assert_unknown(&service.ask(question(&alice)).await, "no index");

    let asset = |id: &str| {
        json!({
            "interface": "V1_NFT", "id": id, "burnt": false, "compression": { "compressed": true },
            "grouping": [{ "group_key": "collection", "group_value": collection }],
            "ownership": { "owner": alice, "frozen": false },
        })
    };
    let but = |key: &str, value: serde_json::Value| {
        let mut asset = asset(key);
        asset[key] = value;
        asset
    };
    let unverified = json!([{ "group_key": "collection", "group_value": collection, "verified": false }]);
    let none_of_them = [
        but("burnt", json!(true)),
        but("compression", json!({ "compressed": false })),
        but("grouping", unverified),
        but("grouping", json!([{ "group_key": "collection", "group_value": bob }])),
        but("grouping", json!([{ "group_key": "creator", "group_value": collection }])),
    ];
    cluster.rpc("test_assets", json!([none_of_them])).await;
    assert_eq!(service.ask(question(&alice)).await.verdict(), Verdict::No);
    // More than one page, and one of them twice.
    let many: Vec<_> = (0..700).map(|index| asset(&(index % 699).to_string())).collect();
    cluster.rpc("test_assets", json!([many])).await;
    let answer = service.ask(question(&alice)).await;
    assert_eq!(
        (answer.verdict(), answer.amount.as_deref()),
        (Verdict::Yes, Some("699")),
        "{}",
        answer.reason
    );
    assert_eq!(service.ask(question(&bob)).await.verdict(), Verdict::No);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mints_and_collections_have_a_name_and_the_kinds_they_can_be_queried_as() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, collection) = (cluster.key().await, cluster.key().await);
    let describe = async |address: &str| {
        let contract = format!("{}:{address}", cluster.chain());
        let request = DescribeRequest { contract };
        service.chain.clone().describe(request).await.unwrap().into_inner()
    };
    for program in PROGRAMS {
        let (coin, (ticket, account)) =
            (cluster.mint(program, 6).await, cluster.nft(program, &alice, &collection).await);
        for (address, name, symbol, decimals, kinds) in [
            (&coin, "", "", Some(6), vec!["token"]),
            (&ticket, "Ticket", "T", None, vec!["nft"]),
            (&account, "", "", None, vec![]),
        ] {
            let said = describe(address).await;
            assert_eq!(said.answer.as_ref().unwrap().verdict(), Verdict::Yes, "{program} {said:?}");
            assert_eq!((&*said.name, &*said.symbol, said.decimals), (name, symbol, decimals));
            assert_eq!(said.kinds, kinds, "{program} {name}");
        }
    }
    cluster.rpc("test_airdrop", json!([alice, 5_000_000_000u64])).await;
    for nothing in [&alice, &collection] {
        let answer = describe(nothing).await.answer.unwrap();
        assert!(answer.verdict() == Verdict::No && answer.at.is_some(), "{answer:?}");
    }
    let refused = service.chain.clone().describe(DescribeRequest { contract: alice }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    service.stop().await;
    let nowhere = Service::start(cluster.settings(&["http://127.0.0.1:1"], json!({})));
    let request = DescribeRequest { contract: format!("{}:{collection}", cluster.chain()) };
    let said = nowhere.chain.clone().describe(request).await.unwrap().into_inner();
    assert_unknown(&said.answer.unwrap(), "no endpoint answers");
    nowhere.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_confirmed_is_not_finalized() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let alice = cluster.key().await;
    let mint = cluster.mint("token", 0).await;
    let account = cluster.associated(&mint, &alice).await;
    cluster.rpc("test_finalize", json!([])).await;
    cluster.give(&account, 1).await;
    let ask = async |finality: Finality, min_block: u64| {
        let asset = cluster.asset("token", &mint);
        let question = cluster.holding(&alice, &asset, "");
        service.ask(Question { finality: finality.into(), min_block, ..question }).await
    };
    for finality in [Finality::Unspecified, Finality::Latest, Finality::Safe] {
        assert_eq!(ask(finality, 0).await.verdict(), Verdict::Yes);
    }
    let answer = ask(Finality::Finalized, 0).await;
    assert_eq!((answer.verdict(), answer.at.unwrap().finality()), (Verdict::No, Finality::Finalized));
    assert_unknown(&ask(Finality::Finalized, cluster.slot().await).await, "not finalized yet");
    cluster.rpc("test_finalize", json!([])).await;
    assert_eq!(ask(Finality::Finalized, cluster.slot().await).await.verdict(), Verdict::Yes);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_order_and_since_one_block() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let (alice, bob) = (cluster.key().await, cluster.key().await);
    let mut questions = Vec::new();
    for program in PROGRAMS {
        let mint = cluster.mint(program, 0).await;
        cluster.give(&cluster.associated(&mint, &alice).await, 5).await;
        for owner in [&alice, &bob] {
            questions.push(cluster.holding(owner, &cluster.asset("token", &mint), "5"));
        }
    }
    questions.push(cluster.holding(&alice, &cluster.asset("token", &bob), ""));
    let request = BatchRequest { questions };
    let answers = service.chain.clone().batch(request).await.unwrap().into_inner().answers;
    let verdicts: Vec<_> = answers.iter().map(|answer| answer.verdict()).collect();
    let (yes, no, unknown) = (Verdict::Yes, Verdict::No, Verdict::Unknown);
    assert_eq!(verdicts, [yes, no, yes, no, unknown]);
    let blocks: Vec<_> = answers.iter().map(|answer| answer.at.as_ref().unwrap().block).collect();
    assert!(blocks.iter().all(|block| *block == blocks[0]));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_solana_has_not_is_said_so() {
    let cluster = Cluster::start().await;
    let service = cluster.service(&[&cluster.url], json!({}));
    let alice = cluster.key().await;
    let account = format!("{}:{alice}", cluster.chain());
    let mut chain = service.chain.clone();
    let request = SignatureRequest { account, digest: vec![0; 32].into(), signature: vec![0; 64].into() };
    let signature = chain.is_valid_signature(request).await.unwrap().into_inner();
    assert!(!signature.contract);
    assert_unknown(&signature.answer.unwrap(), "an account is a key");
    let watch = WatchRequest { assets: vec![cluster.asset("token", &alice)], lease_ms: 0 };
    assert_eq!(chain.watch(watch).await.unwrap_err().code(), Code::Unimplemented);
    let fees = FeesRequest { chain: cluster.chain(), blocks: 0 };
    assert_eq!(chain.fees(fees).await.unwrap_err().code(), Code::Unimplemented);
    for about in [About::Call(ContractCall::default()), About::Delegation(Delegation::default())] {
        let question = Question { about: Some(about), ..Question::default() };
        assert_eq!(chain.balance(question).await.unwrap_err().code(), Code::InvalidArgument);
    }
    service.ask(cluster.holding(&alice, &cluster.asset("slip44", "501"), "")).await;
    let chains = chain.chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((chains[0].endpoints_up, chains[0].endpoints, chains[0].quorum), (1, 1, 1));
    assert_eq!(chains[0].latest.as_ref().unwrap().block, cluster.slot().await);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_come_and_go_with_the_settings_and_the_others_keep_what_they_know() {
    let (first, second) = (Cluster::start().await, Cluster::start().await);
    let alice = first.key().await;
    first.rpc("test_airdrop", json!([alice, 5_000_000_000u64])).await;
    let ask = |cluster: &Cluster| cluster.holding(&alice, &cluster.asset("slip44", "501"), "");
    let one = first.settings(&[&first.url], json!({ "head_ttl": "60s" }));
    let service = Service::start(one.clone());
    let at = service.ask(ask(&first)).await.at.unwrap();
    first.rpc("test_advance", json!([1])).await;

    // Another cluster, here by the genesis of devnet, which the second one does not prove.
    let mut both = one.clone();
    let other = second.settings(&[&second.url], json!({ "genesis": DEVNET }));
    both.chains.extend(other.chains);
    service.reconfigure(both);
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!(chains.len(), 2);
    assert_eq!(service.ask(ask(&first)).await.at.unwrap().block, at.block, "its head is still known");

    service.reconfigure(first.settings(&[&first.url], json!({ "head_ttl": "0s" })));
    let answer = service.ask(ask(&first)).await;
    assert_eq!((answer.verdict(), answer.at.unwrap().block), (Verdict::Yes, first.slot().await));

    service.reconfigure(first.settings(&[], json!({})));
    assert_unknown(&service.ask(ask(&first)).await, "it is off");
    let chains = service.chain.clone().chains(ChainsRequest {}).await.unwrap().into_inner().chains;
    assert_eq!((&*chains[0].chain, chains[0].endpoints), (&*first.chain(), 0), "and told as such");
    service.stop().await;
}
