//! A real chain (Anvil), real contracts, and the plugin's service over them.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use serde_json::{Value, json};
use streamgate_chain_evm::{Settings, Standalone};
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Holding, Question, Verdict};
use streamgate_contracts::events::{ChainReorganised, ChainTransfer, TYPE_CHAIN_REORGANISED};
use streamgate_plugin_api::Client;
use streamgate_sqlite::Engine;
use streamgate_tests::wait::eventually;
use tempfile::TempDir;

pub use streamgate_tests::anvil::{Anvil, CHAIN};

/// Maximum time a test waits for an expected event.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The plugin's service, and what it published.
pub struct Service {
    pub chain: ChainClient<Client>,
    pub told: Arc<Mutex<Vec<ChainTransfer>>>,
    pub reorganised: Arc<Mutex<Vec<ChainReorganised>>>,
    running: Standalone,
}

impl Service {
    /// Over a database in the folder.
    pub async fn start(folder: &TempDir, settings: Settings) -> Self {
        let engine = Engine::new(folder.path(), streamgate_sqlite::Settings::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        let reorganised = Arc::new(Mutex::new(Vec::new()));
        let (heard, undone) = (Arc::clone(&told), Arc::clone(&reorganised));
        let running = Standalone::start(Client::from_service(engine.router()), settings, move |event| {
            if event.r#type == TYPE_CHAIN_REORGANISED {
                assert_eq!(event.subject, format!("chain.eip155:{CHAIN}.reorganised"));
                return undone.lock().unwrap().push(event.parse().unwrap());
            }
            assert_eq!(event.subject, format!("chain.eip155:{CHAIN}.transfer"));
            heard.lock().unwrap().push(event.parse().unwrap());
        })
        .await
        .unwrap();
        let chain = ChainClient::new(Client::from_service(running.router()));
        Self { chain, told, reorganised, running }
    }

    pub fn reconfigure(&self, settings: Settings) {
        self.running.reconfigure(settings);
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub async fn holds(&self, account: Address, asset: &str) -> Answer {
        self.ask(holding(account, asset, "")).await
    }

    pub async fn ask(&self, question: Question) -> Answer {
        self.chain.clone().balance(question).await.unwrap().into_inner()
    }

    /// The matching event, once it has been published.
    pub async fn heard(&self, what: &str, fits: impl Fn(&ChainTransfer) -> bool) -> ChainTransfer {
        eventually(what, PATIENCE, async || {
            self.told.lock().unwrap().iter().find(|event| fits(event)).cloned()
        })
        .await
    }
}

/// Keys that belong to the chain, not to the plugin.
const OF_THE_CHAIN: [&str; 5] = ["quorum", "max_lag", "max_age", "finality", "reorg_depth"];

/// Settings for one chain at these endpoints, which may be on this machine.
pub fn settings(endpoints: &[&str], more: Value) -> Settings {
    let mut chain =
        json!({ "id": CHAIN, "name": "Anvil", "endpoints": endpoints, "max_age": "0s", "max_lag": 2 });
    let mut settings = json!({
        "allow_private": true, "deadline": "1s", "hedge_after": "200ms", "head_ttl": "0s", "poll": "50ms",
        "idle_poll": "50ms", "breaker_failures": 3, "breaker_pause": "100ms", "max_answer": "64KiB",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        let target = if OF_THE_CHAIN.contains(&&**key) { &mut chain } else { &mut settings };
        target[key] = value.clone();
    }
    settings["chains"] = json!([chain]);
    let settings: Settings = serde_json::from_value(settings).unwrap();
    assert_eq!(settings.problems(), []);
    settings
}

pub fn name(account: Address) -> String {
    format!("eip155:{CHAIN}:{account:#x}")
}

pub fn asset(kind: &str, contract: Address, id: Option<u64>) -> String {
    let id = id.map(|id| format!("/{id}")).unwrap_or_default();
    format!("eip155:{CHAIN}/{kind}:{contract:#x}{id}")
}

pub fn holding(account: Address, asset: &str, at_least: &str) -> Question {
    let holding = Holding { account: name(account), asset: asset.into(), at_least: at_least.into() };
    Question { about: Some(About::Holding(holding)), ..Question::default() }
}

pub fn verdict(answer: &Answer) -> Verdict {
    answer.verdict()
}
