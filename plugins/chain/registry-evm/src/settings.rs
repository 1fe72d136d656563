//! The settings of the plugin and the checks of their values.

use std::collections::HashSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::settings::{Duration, SettingsProblem, outside};

use crate::caip::Account;

/// Settings of the `registry-evm` plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// How often a registry is read, and its pending transactions are checked.
    pub poll: Duration,
    /// How often transactions are checked while none is pending.
    pub idle_poll: Duration,
    /// How often all contents are compared with what was registered. Events report changes at once;
    /// this limits the effect of a lost event.
    pub reconcile: Duration,
    /// The registries, at most one per chain. The chains are those of `plugins.chain-evm`.
    pub chains: Vec<Chain>,
}

/// A chain and its registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// CAIP-10 of the contract that contents are registered in: `"eip155:1:0x…"`.
    pub registry: String,
    /// The block that the contract was deployed in; it is read from there.
    #[serde(default)]
    pub registry_from: u64,
    /// A file of mode 0600 with the private key, 64 hexadecimal digits, of the account that registers
    /// contents: in the plugin's data directory, or where `process.read` allows reading. The account pays;
    /// fund it with no more than needed, and replace it only while no transaction is in progress.
    #[serde(default)]
    pub signer_file: Option<PathBuf>,
    /// Register contents automatically when they are ready, and publish their policies, if `policy_uri` is
    /// set. Entries in a registry are public forever.
    #[serde(default)]
    pub publish: bool,
    /// The location of a content's policy, with `{id}` for the content's id:
    /// `"https://video.example.org/api/v1/access/contents/{id}"`. Without it no policy is published.
    #[serde(default)]
    pub policy_uri: Option<String>,
    /// Minimum time between two updates of a content's policy, so that repeated changes do not make the
    /// account pay for each.
    #[serde(default = "publish_pause")]
    pub publish_pause: Duration,
    /// How many blocks deep a transaction must be to be done.
    #[serde(default = "confirmations")]
    pub confirmations: u64,
    /// A transaction that waits this long is replaced by one with a higher fee.
    #[serde(default = "replace_after")]
    pub replace_after: Duration,
    /// Maximum price of a unit of gas, in gwei, tip and replacements included.
    #[serde(default = "max_fee_gwei")]
    pub max_fee_gwei: u64,
    /// Maximum gas of a transaction.
    #[serde(default = "max_gas")]
    pub max_gas: u64,
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
            poll: Duration::secs(1),
            idle_poll: Duration::secs(15),
            reconcile: Duration::secs(900),
            chains: Vec::new(),
        }
    }
}

impl Chain {
    /// The contract in which contents are registered.
    pub(crate) fn contract(&self) -> Option<Account> {
        Account::parse(&self.registry).ok()
    }

    /// The problems of the contract and its transactions. `key` makes the whole key of a field.
    fn transaction_problems(&self, key: impl Fn(&str) -> String) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        if self.contract().is_none() {
            let message = format!("{:.80} is not a contract on a chain, such as eip155:1:0x…", self.registry);
            problems.push(SettingsProblem::new(key("registry"), message));
        }
        let bounds = [
            // Nodes keep earlier state for 128 blocks.
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
    /// All problems of these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let week = Duration::secs(7 * 24 * 3600);
        let own = [
            outside("poll", self.poll, Duration::millis(50), Duration::secs(60)),
            outside("idle_poll", self.idle_poll, self.poll, Duration::secs(3600)),
            outside("reconcile", self.reconcile, Duration::millis(100), week),
        ];
        let mut problems: Vec<_> = own.into_iter().flatten().collect();
        let mut ids = HashSet::new();
        for (index, chain) in self.chains.iter().enumerate() {
            let key = |field: &str| format!("chains.{index}.{field}");
            if let Some(contract) = chain.contract()
                && !ids.insert(contract.chain)
            {
                let message = format!("{} has a registry already", contract.chain);
                problems.push(SettingsProblem::new(key("registry"), message));
            }
            problems.extend(chain.transaction_problems(key));
            problems.extend(chain.publish_problems(key));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_found_at_once() {
        assert!(Settings::default().problems().is_empty());
        let registry = "eip155:1:0x00000000000000000000000000000000000000aa";
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "poll": "1ms",
            "reconcile": "8d",
            "chains": [
                { "registry": registry, "signer_file": "key", "publish": true },
                { "registry": registry, "confirmations": 65 },
                { "registry": "eip155:2", "max_fee_gwei": 0, "max_gas": 1, "replace_after": "1ms" },
            ],
        }))
        .unwrap();
        let found: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        let expected = [
            "poll",
            "reconcile",
            "chains.1.registry",
            "chains.1.confirmations",
            "chains.2.registry",
            "chains.2.max_fee_gwei",
            "chains.2.max_gas",
            "chains.2.replace_after",
        ];
        assert_eq!(found, expected);
    }
}
