//! The settings of the catalogue, as `[plugins.metadata]` in `plugins.toml`.

use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::settings::Duration;
use streamgate_plugin_api::{SettingsProblem, cors};

/// Settings of the catalogue.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Origins whose pages may read `/api/v1/contents`: `"*"` for all, or for example
    /// `"https://example.org"`.
    pub cors_origins: Vec<String>,
    /// Origins whose pages may also change and delete contents. The console needs no entry
    /// here: it has the server's own origin.
    pub cors_write_origins: Vec<String>,
    /// Whether who may know of which content is asked of the plugin that provides `access`: contents of a
    /// private policy, uploads and failed ones are only for their owners and admins. Without it
    /// everybody may know of everything; with it and without that plugin only those may.
    pub gated: bool,
    /// The longest time that a content's policy is taken for known without asking again. Changes are
    /// seen at once through events; this bounds what a lost event can do.
    pub policy_max_age: Duration,
    /// Searches that run at once; more wait.
    pub max_searches: u32,
    /// Searches that one principal, or one address of callers who are not signed in, may have running or
    /// waiting; more are answered 503.
    pub searches_per_client: u32,
    /// How long a search may take, with its waiting.
    pub search_timeout: Duration,
    /// Live-change streams (server-sent events) open at once. When all are taken, a newcomer gets the
    /// place of the oldest stream of whoever has most of them.
    pub max_event_clients: u32,
    /// Live-change streams that one principal, or one address of callers who are not signed in, may have
    /// open; more are answered 503.
    pub event_streams_per_client: u32,
    /// Changes that a live-change client may be behind before it is disconnected. It comes
    /// back by itself and is told what it missed.
    pub event_backlog: u32,
    /// How often a quiet live-change stream gets a comment, so that proxies keep it open.
    pub heartbeat: Duration,
    /// How long after a deletion its objects are swept a second time, to catch what was
    /// being written meanwhile. At least as long as one segment takes to encode.
    pub sweep_grace: Duration,
    /// How long the text of captions that were replaced stays at its own address, for players that began
    /// before and ask for it when a viewer turns captions on. At most the last eight texts stay. `"0s"`: none.
    pub replaced_captions: Duration,
    /// How long renditions stay at their own addresses that were encoded anew in another way before they were
    /// complete, for players that began with them. At least as long as somebody may go on watching with one grant:
    /// `token_max` of `plugins.streaming`. At most the last four stay. `"0s"`: none.
    pub replaced_renditions: Duration,
    /// Begin an empty catalogue although the storage holds objects of contents. Without it the catalogue
    /// does not start then: its database was lost, and is to be restored from a backup.
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
            event_streams_per_client: 50,
            event_backlog: 1_024,
            heartbeat: Duration::secs(15),
            sweep_grace: Duration::secs(300),
            replaced_captions: Duration::secs(86_400),
            replaced_renditions: Duration::secs(12 * 3_600),
            begin_anew: false,
        }
    }
}

/// All that is wrong with these settings beyond their types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let mut problems = Vec::new();
    for (key, origins) in
        [("cors_origins", &settings.cors_origins), ("cors_write_origins", &settings.cors_write_origins)]
    {
        problems.extend(cors::check(key, origins));
    }
    for (key, value, least, most) in [
        ("policy_max_age", settings.policy_max_age, Duration::secs(1), Duration::secs(3_600)),
        ("search_timeout", settings.search_timeout, Duration::millis(100), Duration::secs(60)),
    ] {
        if value < least || value > most {
            problems.push(SettingsProblem::new(key, format!("{value} is not between {least} and {most}")));
        }
    }
    for (key, value) in [
        ("max_searches", settings.max_searches),
        ("searches_per_client", settings.searches_per_client),
        ("max_event_clients", settings.max_event_clients),
        ("event_streams_per_client", settings.event_streams_per_client),
    ] {
        if !(1..=1_000_000).contains(&value) {
            problems.push(SettingsProblem::new(key, format!("{value} is not between 1 and 1000000")));
        }
    }
    if !(16..=65_536).contains(&settings.event_backlog) {
        problems.push(SettingsProblem::new("event_backlog", "must be between 16 and 65536"));
    }
    if settings.heartbeat.get().as_secs() < 1 || settings.heartbeat.get().as_secs() > 300 {
        problems.push(SettingsProblem::new("heartbeat", "must be between 1s and 5m"));
    }
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
            event_streams_per_client: 0,
            ..Settings::default()
        };
        assert_eq!(check(&settings).len(), 13);
    }
}
