//! The settings of the plugin and the checks of their values.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_chain_common::Limits;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem, outside};

/// Settings of the `chain-evm` plugin.
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
    /// How often each endpoint must prove that it serves the right chain.
    pub recheck: Duration,
    /// Consecutive failures after which an endpoint is paused.
    pub breaker_failures: u32,
    /// How long it is paused; it doubles each time, up to 5 minutes.
    pub breaker_pause: Duration,
    /// How long the last agreed block counts as the latest.
    pub head_ttl: Duration,
    /// How often a chain is polled for transfers while tokens are watched.
    pub poll: Duration,
    /// How often a chain is polled otherwise, for its health.
    pub idle_poll: Duration,
    /// Maximum gas of one contract call.
    pub call_gas: u64,
    /// Cache for answers at blocks, per chain.
    pub cache: ByteSize,
    /// Maximum contracts watched at once, per chain.
    pub max_watched: usize,
    /// The chains. One without endpoints is off.
    pub chains: Vec<Chain>,
}

/// A chain and its endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Its EIP-155 number.
    pub id: u64,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// URLs of JSON-RPC endpoints, best of different operators. Redirects are not followed.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub endpoints: Vec<String>,
    /// How many endpoints must agree on a block and an answer. Default: two if there are two or more, else
    /// one.
    #[serde(default)]
    pub quorum: Option<usize>,
    /// The default block of reads: `latest`, `safe` or `finalized`.
    #[serde(default)]
    pub finality: Finality,
    /// An endpoint that is more blocks behind the highest agreed one is ignored.
    #[serde(default = "max_lag")]
    pub max_lag: u64,
    /// Maximum age of the latest block; an older endpoint is ignored. `"0s"`: unlimited.
    #[serde(default = "max_age")]
    pub max_age: Duration,
    /// A deeper reorganisation, in blocks, stops watching transfers until the plugin is restarted.
    #[serde(default = "reorg_depth")]
    pub reorg_depth: u64,
    // Moved to `plugins.registry-evm`; known here only for the error.
    pub(crate) registry: Option<Value>,
    pub(crate) registry_from: Option<Value>,
    pub(crate) signer_file: Option<Value>,
    pub(crate) publish: Option<Value>,
    pub(crate) policy_uri: Option<Value>,
    pub(crate) publish_pause: Option<Value>,
    pub(crate) confirmations: Option<Value>,
    pub(crate) replace_after: Option<Value>,
    pub(crate) max_fee_gwei: Option<Value>,
    pub(crate) max_gas: Option<Value>,
}

/// Which block is read.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// The latest block; it may be reorganised.
    #[default]
    Latest,
    /// A block that is rarely reorganised.
    Safe,
    /// A block that is never reorganised.
    Finalized,
}

fn max_lag() -> u64 {
    8
}

fn max_age() -> Duration {
    Duration::secs(120)
}

fn reorg_depth() -> u64 {
    128
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
            head_ttl: Duration::millis(500),
            poll: Duration::secs(1),
            idle_poll: Duration::secs(15),
            call_gas: 5_000_000,
            cache: ByteSize::mib(8),
            max_watched: 256,
            chains: Vec::new(),
        }
    }
}

impl Chain {
    /// The keys that moved to another plugin.
    fn moved(&self, key: impl Fn(&str) -> String) -> impl Iterator<Item = SettingsProblem> {
        let keys = [
            ("registry", &self.registry),
            ("registry_from", &self.registry_from),
            ("signer_file", &self.signer_file),
            ("publish", &self.publish),
            ("policy_uri", &self.policy_uri),
            ("publish_pause", &self.publish_pause),
            ("confirmations", &self.confirmations),
            ("replace_after", &self.replace_after),
            ("max_fee_gwei", &self.max_fee_gwei),
            ("max_gas", &self.max_gas),
        ];
        let set = keys.into_iter().filter(|(_, value)| value.is_some());
        set.map(move |(field, _)| {
            let message = "registries are kept by the plugin `registry-evm` now: move this key to the table of the \
                           same contract in `plugins.registry-evm.chains`";
            SettingsProblem::new(key(field), message)
        })
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
            outside("poll", self.poll, Duration::millis(50), Duration::secs(60)),
            outside("idle_poll", self.idle_poll, self.poll, Duration::secs(3600)),
            outside("call_gas", self.call_gas, 100_000, 100_000_000),
            outside("max_watched", self.max_watched, 1, 10_000),
            outside("cache", self.cache, ByteSize::kib(64), ByteSize::gib(1)),
        ];
        problems.extend(own.into_iter().flatten());
        let mut ids = HashSet::new();
        for (index, chain) in self.chains.iter().enumerate() {
            let key = |field: &str| format!("chains.{index}.{field}");
            if chain.id == 0 {
                problems.push(SettingsProblem::new(key("id"), "0 is not a chain; Ethereum is 1"));
            }
            if !ids.insert(chain.id) {
                problems.push(SettingsProblem::new(key("id"), format!("{} is listed twice", chain.id)));
            }
            problems.extend(limits.pool_problems(key, &chain.endpoints, chain.quorum, chain.max_lag));
            problems.extend(chain.moved(key));
            problems.extend(outside(key("reorg_depth"), chain.reorg_depth, 1, 4096));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
            "call_gas": 1,
            "cache": "1B",
            "chains": [
                { "id": 0, "endpoints": ["ftp://x.example", "https://u:p@x.example", "http://x.example"] },
                { "id": 1, "endpoints": ["https://127.0.0.1", "https://[::1]/", "https://a.example", "https://a.example"] },
                { "id": 1, "quorum": 2, "reorg_depth": 0 },
            ],
        }));
        let expected = [
            "deadline",
            "call_gas",
            "cache",
            "chains.0.id",
            "chains.0.endpoints.0",
            "chains.0.endpoints.1",
            "chains.0.endpoints.2",
            "chains.1.endpoints.0",
            "chains.1.endpoints.1",
            "chains.1.endpoints.3",
            "chains.2.id",
            "chains.2.quorum",
            "chains.2.reorg_depth",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_belongs_to_registries_is_sent_to_their_plugin() {
        let chain =
            serde_json::json!({ "id": 1, "registry": "eip155:1:0xaa", "publish": true, "max_gas": 7 });
        let settings: Settings = serde_json::from_value(serde_json::json!({ "chains": [chain] })).unwrap();
        let problems = settings.problems();
        let keys: Vec<_> = problems.iter().map(|problem| &*problem.key).collect();
        assert_eq!(keys, ["chains.0.registry", "chains.0.publish", "chains.0.max_gas"]);
        assert!(problems.iter().all(|problem| problem.message.contains("`plugins.registry-evm.chains`")));
    }
}
