//! The settings of the access control, `[plugins.access]` in `plugins.toml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{Duration, outside};

/// Settings of policies, decisions and revocation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Policy of a content without one: "private" (its owner and admins) or "public" (everyone).
    pub default: Default,
    /// How long a viewer is admitted without a new decision. Events about tokens, policies and
    /// subscriptions revoke it at once; this limits everything without events, such as native coins
    /// and contract calls.
    pub decision_max_age: Duration,
    /// How long a chain may take to answer; after that the result is unknown.
    pub chain_timeout: Duration,
    /// Maximum concurrent decisions. Further ones queue, and are unknown after `chain_timeout`.
    pub max_deciding: usize,
    /// Decisions cached in memory.
    pub cached_decisions: usize,
    /// Maximum viewers admitted at the same time, counted per content; further ones are unknown.
    pub max_grants: usize,
    /// How long transfers of a token are reported after the last request to watch it.
    pub watch_lease: Duration,
    /// How long decisions are kept for inspection.
    pub decision_retention: Duration,
}

/// The openness of a content without a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Default {
    /// Its owner and admins.
    Private,
    /// Everyone.
    Public,
}

impl std::default::Default for Settings {
    fn default() -> Self {
        Self {
            default: Default::Private,
            decision_max_age: Duration::secs(60),
            chain_timeout: Duration::secs(10),
            max_deciding: 256,
            cached_decisions: 100_000,
            max_grants: 100_000,
            watch_lease: Duration::secs(600),
            decision_retention: Duration::secs(90 * 86_400),
        }
    }
}

/// All problems of these settings beyond their types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let hours = |hours: u64| Duration::secs(hours * 3600);
    let problems = [
        outside("decision_max_age", settings.decision_max_age, Duration::secs(1), hours(1)),
        outside("chain_timeout", settings.chain_timeout, Duration::millis(100), Duration::secs(60)),
        outside("watch_lease", settings.watch_lease, Duration::secs(30), hours(24)),
        outside("decision_retention", settings.decision_retention, hours(1), hours(24 * 3650)),
        outside("max_deciding", settings.max_deciding, 1, 10_000),
        outside("cached_decisions", settings.cached_decisions, 1, 10_000_000),
        outside("max_grants", settings.max_grants, 1, 10_000_000),
    ];
    problems.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_setting_is_reported_at_once_and_the_defaults_are_in_order() {
        assert_eq!(check(&Settings::default()), []);
        let settings = Settings {
            decision_max_age: Duration::millis(1),
            max_grants: 0,
            chain_timeout: Duration::secs(61),
            ..Settings::default()
        };
        let keys: Vec<_> = check(&settings).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["decision_max_age", "chain_timeout", "max_grants"]);
    }
}
