//! The settings of the catalogue, `[plugins.metadata]` in `plugins.toml`.

use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::settings::{Duration, outside};
use streamgate_plugin_api::{SettingsProblem, cors};

/// Settings of the catalogue.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Origins whose pages may read `/api/v1/contents`: `"*"` for all, or for example
    /// `"https://example.org"`.
    pub cors_origins: Vec<String>,
    /// Origins whose pages may also change and delete contents. The console needs no entry: it is
    /// served from the server's own origin.
    pub cors_write_origins: Vec<String>,
    /// Enforce visibility (requires a plugin that provides `access`): private contents, uploads and
    /// failed contents are visible only to their owners and admins. If false, all contents are
    /// visible to everyone. If true without such a plugin, only owners and admins see contents.
    pub gated: bool,
    /// How long a content's policy is cached. Events update it at once; this limits the effect of a
    /// lost event.
    pub policy_max_age: Duration,
    /// Maximum concurrent searches; further ones wait.
    pub max_searches: u32,
    /// Maximum running and waiting searches of one principal, or of one address without one; more
    /// are answered 503.
    pub searches_per_client: u32,
    /// How long a search may take, including waiting.
    pub search_timeout: Duration,
    /// Maximum concurrent live-change streams (server-sent events) of all clients. When all are
    /// taken, a new one displaces the oldest stream of the client with the most. The limit of each client
    /// is `event_streams` in `plugins.auth.quotas`.
    pub max_event_clients: u32,
    /// How many changes a live-change client may be behind before it is disconnected. It reconnects
    /// and gets what it missed.
    pub event_backlog: u32,
    /// How often a quiet live-change stream gets a comment, so that proxies keep it open.
    pub heartbeat: Duration,
    /// How long after a deletion its objects are deleted a second time, to catch concurrent writes.
    /// At least as long as one segment takes to encode.
    pub sweep_grace: Duration,
    /// How long replaced captions stay available at their own address, for players that started
    /// before and request them later. At most the last eight versions are kept. `"0s"`: not at all.
    pub replaced_captions: Duration,
    /// How long renditions that were replaced by a new encode before they were complete stay
    /// available at their own addresses, for players that started with them. At least as long as
    /// one grant can last: `token_max` of `plugins.streaming`. At most the last four are kept.
    /// `"0s"`: not at all.
    pub replaced_renditions: Duration,
    /// Start with an empty catalogue although the storage has objects of contents. If false, the
    /// catalogue does not start in this case: its database was lost, and should be restored from a
    /// backup.
    pub begin_anew: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cors_origins: vec!["*".into()],
            cors_write_origins: Vec::new(),
            gated: false,
            policy_max_age: Duration::secs(60),
            max_searches: 2,
            searches_per_client: 4,
            search_timeout: Duration::secs(5),
            max_event_clients: 1_000,
            event_backlog: 1_024,
            heartbeat: Duration::secs(15),
            sweep_grace: Duration::secs(300),
            replaced_captions: Duration::secs(86_400),
            replaced_renditions: Duration::secs(12 * 3_600),
            begin_anew: false,
        }
    }
}

/// All problems beyond types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let mut problems = Vec::new();
    for (key, origins) in
        [("cors_origins", &settings.cors_origins), ("cors_write_origins", &settings.cors_write_origins)]
    {
        problems.extend(cors::check(key, origins));
    }
    let bounds = [
        outside("policy_max_age", settings.policy_max_age, Duration::secs(1), Duration::secs(3_600)),
        outside("search_timeout", settings.search_timeout, Duration::millis(100), Duration::secs(60)),
        outside("max_searches", settings.max_searches, 1, 1_000_000),
        outside("searches_per_client", settings.searches_per_client, 1, 1_000_000),
        outside("max_event_clients", settings.max_event_clients, 1, 1_000_000),
        outside("event_backlog", settings.event_backlog, 16, 65_536),
        outside("heartbeat", settings.heartbeat, Duration::secs(1), Duration::secs(300)),
    ];
    problems.extend(bounds.into_iter().flatten());
    if settings.sweep_grace.get().as_secs() > 86_400 {
        problems.push(SettingsProblem::new("sweep_grace", "must be at most 24h"));
    }
    for (key, value) in [
        ("replaced_captions", settings.replaced_captions),
        ("replaced_renditions", settings.replaced_renditions),
    ] {
        if value.get().as_secs() > 30 * 86_400 {
            problems.push(SettingsProblem::new(key, "must be at most 30 days (720h)"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_order() {
        assert!(check(&Settings::default()).is_empty());
    }

    #[test]
    fn every_wrong_setting_is_reported_at_once() {
        let settings = Settings {
            cors_origins: vec!["example.org".into(), "https://ok.example".into()],
            cors_write_origins: vec!["https://x/".into()],
            event_backlog: 1,
            heartbeat: Duration::secs(0),
            sweep_grace: Duration::secs(100_000),
            replaced_captions: Duration::secs(31 * 86_400),
            replaced_renditions: Duration::secs(31 * 86_400),
            policy_max_age: Duration::secs(0),
            search_timeout: Duration::secs(0),
            max_searches: 0,
            searches_per_client: 0,
            max_event_clients: 0,
            ..Settings::default()
        };
        assert_eq!(check(&settings).len(), 12);
    }
}
