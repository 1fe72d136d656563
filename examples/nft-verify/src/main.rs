//! Reports whether a wallet holds a token, and at which block: the `chain-evm` plugin linked in, with a
//! temporary database.

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use streamgate_chain_evm::Standalone;
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Finality, Holding, Question, Verdict};
use streamgate_plugin_api::Client;
use streamgate_sqlite::Engine;

const USAGE: &str = "usage: nft-verify ACCOUNT ASSET ENDPOINT...\n  \
                     such as: nft-verify eip155:1:0xab16…cdb eip155:1/erc721:0x0601…266d https://rpc.example.org";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [account, asset, endpoints @ ..] = arguments.as_slice() else { bail!(USAGE) };
    if endpoints.is_empty() {
        bail!(USAGE);
    }
    let id = account.strip_prefix("eip155:").and_then(|rest| rest.split(':').next());
    let id: u64 =
        id.and_then(|id| id.parse().ok()).context("an account begins with its chain: eip155:1:0x…")?;

    // Of two or more endpoints, two must agree. A local node is one, and produces blocks at any time.
    let settings = json!({
        "allow_private": true,
        "chains": [{ "id": id, "endpoints": endpoints, "max_age": "0s" }],
    });
    let settings: streamgate_chain_evm::Settings = serde_json::from_value(settings)?;
    if let Some(problem) = settings.problems().first() {
        bail!("{problem}");
    }
    let folder = tempfile::tempdir()?;
    let database = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
    let plugin = Standalone::start(Client::from_service(database.router()), settings, |_event| {}).await?;
    let mut chain = ChainClient::new(Client::from_service(plugin.router()));

    let holding = Holding { account: account.clone(), asset: asset.clone(), at_least: "1".into() };
    let question =
        Question { about: Some(About::Holding(holding)), finality: Finality::Latest.into(), min_block: 0 };
    let answer = chain.balance(question).await?.into_inner();
    plugin.stop().await;

    let says = match answer.verdict() {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Unknown | Verdict::Unspecified => "unknown",
    };
    println!("{says}: {}", answer.reason);
    if let Some(at) = &answer.at {
        println!("at block {} ({}), agreed on by {}", at.block, at.block_hash, at.agreed);
    }
    // For scripts: an outage is neither a yes nor a no.
    std::process::exit(match answer.verdict() {
        Verdict::Yes => 0,
        Verdict::No => 1,
        Verdict::Unknown | Verdict::Unspecified => 2,
    })
}
