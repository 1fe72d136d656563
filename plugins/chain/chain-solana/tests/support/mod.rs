//! The plugin's service over a Solana cluster for tests.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use serde_json::{Value, json};
use streamgate_chain_solana::{Settings, Standalone};
use streamgate_contracts::chain::v1::chain_client::ChainClient;
use streamgate_contracts::chain::v1::question::About;
use streamgate_contracts::chain::v1::{Answer, Holding, Question, Verdict};
use streamgate_plugin_api::Client;
pub use streamgate_tests::solana::Cluster;

/// Queries of the plugin about a cluster.
pub trait Asked {
    /// Whether the owner holds this much of an asset on it.
    fn holding(&self, owner: &str, asset: &str, at_least: &str) -> Question;

    /// Settings for these endpoints, which may be on this machine.
    fn settings(&self, endpoints: &[&str], more: Value) -> Settings;

    /// The plugin with these settings.
    fn service(&self, endpoints: &[&str], more: Value) -> Service;
}

impl Asked for Cluster {
    fn holding(&self, owner: &str, asset: &str, at_least: &str) -> Question {
        let account = format!("{}:{owner}", self.chain());
        let holding = Holding { account, asset: asset.into(), at_least: at_least.into() };
        Question { about: Some(About::Holding(holding)), ..Question::default() }
    }

    fn settings(&self, endpoints: &[&str], more: Value) -> Settings {
        let mut chain =
            json!({ "genesis": self.genesis, "name": "LiteSVM", "endpoints": endpoints, "max_lag": 2 });
        let mut settings = json!({
            "allow_private": true, "deadline": "2s", "hedge_after": "200ms", "head_ttl": "0s",
            "idle_poll": "1h", "breaker_failures": 3, "breaker_pause": "100ms", "max_answer": "256KiB",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            let of_chain = ["quorum", "max_lag", "max_age", "finality", "genesis"].contains(&&**key);
            let target = if of_chain { &mut chain } else { &mut settings };
            target[key] = value.clone();
        }
        settings["chains"] = json!([chain]);
        let settings: Settings = serde_json::from_value(settings).unwrap();
        assert_eq!(settings.problems(), []);
        settings
    }

    fn service(&self, endpoints: &[&str], more: Value) -> Service {
        Service::start(self.settings(endpoints, more))
    }
}

/// The plugin's service.
pub struct Service {
    pub chain: ChainClient<Client>,
    running: Standalone,
}

impl Service {
    pub fn start(settings: Settings) -> Self {
        let running = Standalone::start(settings).unwrap();
        Self { chain: ChainClient::new(Client::from_service(running.router())), running }
    }

    pub fn reconfigure(&self, settings: Settings) {
        self.running.reconfigure(settings).unwrap();
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub async fn ask(&self, question: Question) -> Answer {
        self.chain.clone().balance(question).await.unwrap().into_inner()
    }
}

#[track_caller]
pub fn assert_unknown(answer: &Answer, why: &str) {
    assert_eq!(answer.verdict(), Verdict::Unknown, "{why}: {answer:?}");
    assert!(!answer.reason.is_empty());
}
