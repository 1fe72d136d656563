//! The settings of the plugin, and what a value of the right type may still get wrong.

use std::collections::HashSet;
use std::path::PathBuf;

use alloy_primitives::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_chain_common::{Limits, outside};
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem};

use crate::caip::Account;

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
    /// How often all contents are compared with what was registered. Events report changes at once;
    /// this limits the effect of a lost event.
    pub reconcile: Duration,
    /// The chains. One without endpoints is off.
    pub chains: Vec<Chain>,
}

/// A chain and the endpoints that are asked about it.
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
    /// How many endpoints must agree on a block and an answer. Without it: two if there are two
    /// or more, else one.
    #[serde(default)]
    pub quorum: Option<usize>,
    /// Which block is read unless the question says otherwise: `latest`, `safe` or `finalized`.
    #[serde(default)]
    pub finality: Finality,
    /// An endpoint so many blocks behind the highest that was agreed on is not believed.
    #[serde(default = "max_lag")]
    pub max_lag: u64,
    /// Maximum age of the latest block; an older endpoint is ignored. `"0s"`: unlimited.
    #[serde(default = "max_age")]
    pub max_age: Duration,
    /// A deeper reorganisation, in blocks, stops watching transfers until the plugin is restarted.
    #[serde(default = "reorg_depth")]
    pub reorg_depth: u64,
    /// CAIP-10 of the contract that contents are registered in: `"eip155:1:0x…"`.
    #[serde(default)]
    pub registry: Option<String>,
    /// The block that the contract was deployed in; it is read from there.
    #[serde(default)]
    pub registry_from: u64,
    /// A file of mode 0600 with the private key, 64 hexadecimal digits, of the account that contents
    /// are registered by. It pays for that; give it no more than that needs, and exchange it while no
    /// transaction is under way.
    #[serde(default)]
    pub signer_file: Option<PathBuf>,
    /// Whether contents are registered by themselves when they are ready, and what their policies are
    /// is told, if `policy_uri` says where. What a registry is told can be read by everyone for ever.
    #[serde(default)]
    pub publish: bool,
    /// Where the policy of a content is, with `{id}` for the content's id:
    /// `"https://video.example.org/api/v1/access/contents/{id}"`. Without it no policy is told.
    #[serde(default)]
    pub policy_uri: Option<String>,
    /// After something was told about a content, a change of its policy waits for so long, so that
    /// nobody can make the account pay for each click.
    #[serde(default = "publish_pause")]
    pub publish_pause: Duration,
    /// How many blocks deep a transaction must be to be done.
    #[serde(default = "confirmations")]
    pub confirmations: u64,
    /// A transaction that waits for so long is replaced by one with a higher fee.
    #[serde(default = "replace_after")]
    pub replace_after: Duration,
    /// What a unit of gas may cost at most, in gwei, tip and replacements included.
    #[serde(default = "max_fee_gwei")]
    pub max_fee_gwei: u64,
    /// Gas that a transaction may need at most.
    #[serde(default = "max_gas")]
    pub max_gas: u64,
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

fn publish_pause() -> Duration {
    Duration::secs(600)
}

fn confirmations() -> u64 {
    12
}

fn replace_after() -> Duration {
    Duration::secs(90)
}

fn max_fee_gwei() -> u64 {
    100
}

fn max_gas() -> u64 {
    1_000_000
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
            reconcile: Duration::secs(900),
            chains: Vec::new(),
        }
    }
}

impl Chain {
    /// The contract that contents are registered in.
    pub(crate) fn registry(&self) -> Option<Address> {
        let account = Account::parse(self.registry.as_deref()?).ok();
        account.filter(|account| account.chain.0 == self.id).map(|account| account.address)
    }

    /// What is wrong with the registry and its transactions. `key` makes the whole key of a field.
    fn registry_problems(&self, key: impl Fn(&str) -> String) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        if let Some(registry) = self.registry.as_ref().filter(|_| self.registry().is_none()) {
            let wanted = format!("no contract on this chain, such as eip155:{}:0x…", self.id);
            problems.push(SettingsProblem::new(key("registry"), format!("{registry:.80} is {wanted}")));
        }
        if self.signer_file.is_some() && self.registry.is_none() {
            let message = "without a `registry` there is nothing to sign";
            problems.push(SettingsProblem::new(key("signer_file"), message));
        }
        let bounds = [
            // Nodes know what was before for 128 blocks.
            outside(key("confirmations"), self.confirmations, 1, 64),
            outside(key("max_fee_gwei"), self.max_fee_gwei, 1, 1_000_000),
            outside(key("max_gas"), self.max_gas, 21_000, 30_000_000),
            outside(key("replace_after"), self.replace_after, Duration::secs(1), Duration::secs(24 * 3600)),
        ];
        problems.extend(bounds.into_iter().flatten());
        problems
    }
}

impl Settings {
    /// What each endpoint has to keep to.
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

    /// Everything that is wrong with these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let limits = self.limits();
        let mut problems = limits.problems();
        let own = [
            outside("head_ttl", self.head_ttl, Duration::millis(0), Duration::secs(60)),
            outside("poll", self.poll, Duration::millis(50), Duration::secs(60)),
            outside("idle_poll", self.idle_poll, self.poll, Duration::secs(3600)),
            outside("call_gas", self.call_gas, 100_000, 100_000_000),
            outside("max_watched", self.max_watched, 1, 10_000),
            outside("reconcile", self.reconcile, Duration::millis(100), Duration::secs(7 * 24 * 3600)),
            outside("cache", self.cache, ByteSize::kib(64), ByteSize::gib(1)),
        ];
        problems.extend(own.into_iter().flatten());
        let mut ids = HashSet::new();
        for (index, chain) in self.chains.iter().enumerate() {
            let key = |field: &str| format!("chains.{index}.{field}");
            if chain.id == 0 {
                problems.push(SettingsProblem::new(key("id"), "0 is no chain; Ethereum is 1"));
            }
            if !ids.insert(chain.id) {
                problems.push(SettingsProblem::new(key("id"), format!("{} is there twice", chain.id)));
            }
            problems.extend(limits.pool_problems(key, &chain.endpoints, chain.quorum, chain.max_lag));
            problems.extend(chain.registry_problems(key));
            problems.extend(chain.publish_problems(key));
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
                { "id": 2, "registry": "eip155:1:0x00000000000000000000000000000000000000aa", "confirmations": 65 },
                { "id": 3, "signer_file": "key", "max_fee_gwei": 0, "max_gas": 1, "replace_after": "1ms" },
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
            "chains.3.registry",
            "chains.3.confirmations",
            "chains.4.signer_file",
            "chains.4.max_fee_gwei",
            "chains.4.max_gas",
            "chains.4.replace_after",
        ];
        assert_eq!(found, expected);
    }
}
