//! Contents gated by holdings on Solana, watched in headless Chromium (`tests/players/gated_solana.mjs`).
//! `streamgate_tests::solana` describes the substitute for a validator.

use std::process::Command;

use serde_json::json;
use streamgate_tests::server::{Setup, free_port};
use streamgate_tests::solana::Cluster;
use streamgate_tests::{clips, tools, tus};

/// Wallets: the first holder of the tokens, and the other one.
const SEEDS: [u8; 2] = [5, 6];
/// Maximum age of cached chain state, in milliseconds.
const HEAD_TTL_MS: u64 = 1000;
/// How long playback may continue after a transfer.
const MORE_MS: u64 = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_it_on_solana_watches_and_no_chain_that_is_down_lets_anybody_in() {
    let dir = tools::node_project("tests/players").expect("its tools can be installed from npm");
    let cluster = Cluster::start().await;
    let owner = cluster.key_of(SEEDS[0]).await;
    let other = cluster.key_of(SEEDS[1]).await;
    let mint = cluster.mint("token-2022", 0).await;
    let coins = [cluster.associated(&mint, &owner).await, cluster.associated(&mint, &other).await];
    cluster.give(&coins[0], 2).await;
    let collection = cluster.key().await;
    let (nft, place) = cluster.nft("token", &owner, &collection).await;
    let tickets = [place, cluster.associated(&nft, &other).await];

    let solana = format!(
        "{{ genesis = {:?}, name = \"LiteSVM\", endpoints = [{:?}], max_age = \"0s\" }}",
        cluster.genesis, cluster.url
    );
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let server = Setup::default()
        .set("plugins.chain-solana.allow_private", true)
        .set("plugins.chain-solana.head_ttl", format!("{HEAD_TTL_MS}ms"))
        .set("plugins.chain-solana.chains", format!("[{solana}]"))
        .set("plugins.chain-evm.allow_private", true)
        .set("plugins.chain-evm.chains", format!("[{{ id = 1, endpoints = [{nobody:?}] }}]"))
        .start()
        .await;
    // Long enough that they do not end before their viewers' access does.
    let clip = clips::plain("320x180", "25", 20.0);
    let contents = [
        tus::upload_file(&server, &clip).await.expect("uploaded"),
        tus::upload_file(&server, &clip).await.expect("uploaded"),
    ];
    for id in &contents {
        server.finished(id).await;
    }
    let facts = json!({
        "server": server.url(""),
        "setup": server.setup_url().await,
        "cluster": cluster.url,
        "seeds": SEEDS,
        "coin": { "content": contents[0], "asset": cluster.asset("token", &mint), "at_least": "2", "accounts": coins },
        "ticket": { "content": contents[1], "asset": cluster.asset("nft", &collection), "accounts": tickets },
        "silent": "eip155:1/erc721:0x00000000000000000000000000000000000000aa",
        "limit_ms": HEAD_TTL_MS + MORE_MS,
    });
    let mut watch = Command::new("node");
    watch.arg(dir.join("gated_solana.mjs")).arg(facts.to_string());
    let output = tools::run(watch.current_dir(&dir)).expect("every step works");
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
}
