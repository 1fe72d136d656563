//! The settings under `[plugins.streaming]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration, outside};

/// Settings of the `streaming` plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Memory for frequently requested segments. "0B" disables it.
    pub segment_cache: ByteSize,
    /// Segments larger than this are streamed from storage and never cached. At most an eighth of
    /// segment_cache is used.
    pub segment_cache_max_object: ByteSize,
    /// Memory for information about contents: segment rows, playlists and manifests.
    pub timeline_cache: ByteSize,
    /// How long information about a complete content is served without asking the catalogue. Events
    /// report changes and deletions at once; this limits the effect of a lost event.
    pub timeline_max_age: Duration,
    /// The same for a content that still grows.
    pub growing_max_age: Duration,
    /// How long players and proxies may cache the playlists and manifest of a complete content.
    pub playlist_max_age: Duration,
    /// Minimum segment duration that playlists announce. A content with longer segments announces
    /// those.
    pub target_duration: Duration,
    /// How long the catalogue may take to answer.
    pub catalogue_timeout: Duration,
    /// How long storage may take to deliver a segment into memory, or to begin a streamed one.
    pub storage_timeout: Duration,
    /// Enforce access policies (requires a plugin that provides `access`). If false, everyone can
    /// play everything. If true without such a plugin, no one can play anything.
    pub gated: bool,
    /// How long a content's policy is cached. Events update it at once; this limits the effect of a
    /// lost event.
    pub policy_max_age: Duration,
    /// How long the plugins that provide `access` and `auth` may take to answer. A decision may
    /// wait for a chain.
    pub access_timeout: Duration,
    /// How long a player's addresses stay valid after their last use.
    pub token_idle: Duration,
    /// Maximum lifetime of a player's addresses; after that the player must be restarted.
    pub token_max: Duration,
    /// Maximum active players of one principal. A further one displaces the player that has been
    /// idle longest if that requested no segment for 20 s, and is otherwise answered 429.
    pub sessions_per_principal: u32,
    /// Maximum network addresses that use one player at the same time (an IPv6 /64 counts as one),
    /// because its address can be passed on. One without a segment request for 20 s frees its slot,
    /// so a viewer who changes networks can continue; a further one is answered 429. 0 is
    /// unlimited. Behind a proxy that is not in `trusted_proxies` of the ingress, the proxy's
    /// addresses count.
    pub addresses_per_player: u32,
    /// Players kept in memory. Beyond that, those idle longest are restored from the database.
    pub max_grants: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_cache: ByteSize::mib(64),
            segment_cache_max_object: ByteSize::mib(8),
            timeline_cache: ByteSize::mib(32),
            timeline_max_age: Duration::secs(10),
            growing_max_age: Duration::secs(1),
            playlist_max_age: Duration::secs(60),
            target_duration: Duration::secs(2),
            catalogue_timeout: Duration::secs(5),
            storage_timeout: Duration::secs(30),
            gated: false,
            policy_max_age: Duration::secs(60),
            access_timeout: Duration::secs(15),
            token_idle: Duration::secs(30 * 60),
            token_max: Duration::secs(12 * 3600),
            sessions_per_principal: 5,
            addresses_per_player: 6,
            max_grants: 50_000,
        }
    }
}

impl Settings {
    /// All problems of the values.
    pub(crate) fn problems(&self) -> Vec<SettingsProblem> {
        let times = [
            ("timeline_max_age", self.timeline_max_age),
            ("growing_max_age", self.growing_max_age),
            ("catalogue_timeout", self.catalogue_timeout),
            ("storage_timeout", self.storage_timeout),
            ("policy_max_age", self.policy_max_age),
            ("access_timeout", self.access_timeout),
        ];
        let times = times.map(|(key, value)| outside(key, value, Duration::millis(1), Duration::secs(3600)));
        let week = Duration::secs(7 * 86_400);
        let ends = [("token_idle", self.token_idle), ("token_max", self.token_max)];
        let ends = ends.map(|(key, value)| outside(key, value, Duration::secs(60), week));
        let mut problems: Vec<_> = times.into_iter().chain(ends).flatten().collect();
        let mut demand = |holds: bool, key: &str, message: String| {
            if !holds {
                problems.push(SettingsProblem::new(key, message));
            }
        };
        let target = self.target_duration.get();
        demand(
            target.subsec_nanos() == 0 && (1..=60).contains(&target.as_secs()),
            "target_duration",
            format!("`{}` is not a whole number of seconds from 1 to 60", self.target_duration),
        );
        demand(
            self.addresses_per_player <= 1000,
            "addresses_per_player",
            format!("`{}` is more than 1000; use 0 for no limit", self.addresses_per_player),
        );
        for (key, value) in
            [("sessions_per_principal", self.sessions_per_principal), ("max_grants", self.max_grants)]
        {
            demand(value > 0, key, "`0` would refuse every player".to_owned());
        }
        demand(
            self.playlist_max_age.as_secs() <= 86_400,
            "playlist_max_age",
            format!("`{}` is longer than a day; proxies would keep deleted contents", self.playlist_max_age),
        );
        demand(
            self.timeline_cache.get() >= 1 << 20,
            "timeline_cache",
            format!(
                "`{}` is too little for the rows of one long content; give it 1MiB or more",
                self.timeline_cache
            ),
        );
        problems
    }

    /// The target duration in seconds.
    pub(crate) fn floor(&self) -> u64 {
        self.target_duration.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem() {
        assert!(Settings::default().problems().is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_key() {
        let settings = Settings {
            target_duration: Duration::millis(1500),
            timeline_max_age: Duration::secs(0),
            growing_max_age: Duration::secs(7200),
            playlist_max_age: Duration::secs(90_000),
            timeline_cache: ByteSize::kib(3),
            policy_max_age: Duration::secs(0),
            access_timeout: Duration::secs(4000),
            token_idle: Duration::secs(59),
            token_max: Duration::secs(8 * 86_400),
            sessions_per_principal: 0,
            addresses_per_player: 1001,
            max_grants: 0,
            ..Settings::default()
        };
        let keys: Vec<_> = settings.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "timeline_max_age",
                "growing_max_age",
                "policy_max_age",
                "access_timeout",
                "token_idle",
                "token_max",
                "target_duration",
                "addresses_per_player",
                "sessions_per_principal",
                "max_grants",
                "playlist_max_age",
                "timeline_cache",
            ]
        );
    }
}
