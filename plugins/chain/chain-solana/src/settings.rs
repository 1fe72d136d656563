//! The settings of the plugin and the checks of their values.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_chain_common::Limits;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem, outside};

use crate::address::Address;
use crate::caip::ChainId;

/// Settings of the `chain-solana` plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// Allow endpoints with private, link-local and loopback addresses, and plain HTTP. For your
    /// own node.
    pub allow_private: bool,
    /// How long an endpoint may take to answer one call.
    pub deadline: Duration,
    /// How long to wait for the first endpoints before a further one is called as well.
    pub hedge_after: Duration,
    /// Maximum size of an endpoint's response.
    pub max_answer: ByteSize,
    /// How often each endpoint must prove that it serves the right cluster.
    pub recheck: Duration,
    /// Consecutive failures after which an endpoint is paused.
    pub breaker_failures: u32,
    /// How long it is paused; it doubles each time, up to 5 minutes.
    pub breaker_pause: Duration,
    /// How long the last agreed block counts as the latest, and what was read since it as fresh.
    pub head_ttl: Duration,
    /// How often an unused cluster is polled, for its health.
    pub idle_poll: Duration,
    /// Cache for answers, per cluster.
    pub cache: ByteSize,
    /// Maximum NFTs of an account that are searched for those of a collection.
    pub max_nfts: usize,
    /// The clusters. One without endpoints is off.
    pub chains: Vec<Chain>,
}

/// A cluster and its endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The hash of its genesis in base58, in full, which each endpoint must prove. Its first 32 characters
    /// are its name in CAIP-2.
    pub genesis: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// URLs of JSON-RPC endpoints, best of different operators. Redirects are not followed.
    /// Compressed assets are read from those with the DAS API, collections of Metaplex Core from those with
    /// it or with `getProgramAccounts`.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub endpoints: Vec<String>,
    /// How many endpoints must agree on a block and an answer. Default: two if there are two or
    /// more, else one.
    #[serde(default)]
    pub quorum: Option<usize>,
    /// The default commitment of reads: `confirmed` or `finalized`.
    #[serde(default)]
    pub finality: Finality,
    /// An endpoint that is more slots behind the highest agreed one is ignored.
    #[serde(default = "max_lag")]
    pub max_lag: u64,
    /// Maximum age of the latest block; an older endpoint is ignored. `"0s"`: unlimited.
    #[serde(default = "max_age")]
    pub max_age: Duration,
}

/// The commitment of reads. A processed block may never be voted for, and is not used.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// Two thirds of the stake have voted for it; it is hardly ever undone.
    #[default]
    Confirmed,
    /// It is never undone.
    Finalized,
}

fn max_lag() -> u64 {
    50
}

fn max_age() -> Duration {
    Duration::secs(120)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_private: false,
            deadline: Duration::secs(5),
            hedge_after: Duration::millis(700),
            max_answer: ByteSize::mib(8),
            recheck: Duration::secs(300),
            breaker_failures: 3,
            breaker_pause: Duration::secs(10),
            head_ttl: Duration::secs(1),
            idle_poll: Duration::secs(15),
            cache: ByteSize::mib(8),
            max_nfts: 2000,
            chains: Vec::new(),
        }
    }
}

impl Settings {
    /// The limits of each endpoint.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            allow_private: self.allow_private,
            deadline: self.deadline,
            hedge_after: self.hedge_after,
            max_answer: self.max_answer,
            recheck: self.recheck,
            breaker_failures: self.breaker_failures,
            breaker_pause: self.breaker_pause,
        }
    }

    /// All problems of these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let limits = self.limits();
        let mut problems = limits.problems();
        let own = [
            outside("head_ttl", self.head_ttl, Duration::millis(0), Duration::secs(60)),
            outside("idle_poll", self.idle_poll, Duration::millis(50), Duration::secs(3600)),
            outside("max_nfts", self.max_nfts, 1, 10_000),
            outside("cache", self.cache, ByteSize::kib(64), ByteSize::gib(1)),
        ];
        problems.extend(own.into_iter().flatten());
        let mut ids = HashSet::new();
        for (index, chain) in self.chains.iter().enumerate() {
            let key = |field: &str| format!("chains.{index}.{field}");
            let mut say = |message: String| problems.push(SettingsProblem::new(key("genesis"), message));
            match ChainId::of_genesis::<Address>(&chain.genesis) {
                None => say(format!("`{}` is not a hash of 32 bytes in base58", chain.genesis)),
                Some(id) if !ids.insert(id) => say(format!("{id} is listed twice")),
                Some(_) => {}
            }
            problems.extend(limits.pool_problems(key, &chain.endpoints, chain.quorum, chain.max_lag));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

    fn keys(json: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(json).unwrap();
        settings.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_have_no_problem() {
        assert!(Settings::default().problems().is_empty());
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = keys(serde_json::json!({
            "deadline": "2m",
            "max_nfts": 0,
            "cache": "1B",
            "chains": [
                { "genesis": &GENESIS[..32], "endpoints": ["http://x.example"] },
                { "genesis": GENESIS, "endpoints": ["https://127.0.0.1", "https://a.example"] },
                { "genesis": GENESIS, "quorum": 2, "max_lag": 100_000 },
            ],
        }));
        let expected = [
            "deadline",
            "max_nfts",
            "cache",
            "chains.0.genesis",
            "chains.0.endpoints.0",
            "chains.1.endpoints.0",
            "chains.2.genesis",
            "chains.2.quorum",
            "chains.2.max_lag",
        ];
        assert_eq!(found, expected);
    }
}
