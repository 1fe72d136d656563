//! The settings of the upload plugin, as `[plugins.upload]` in `plugins.toml`.

use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::settings::{ByteSize, Duration};
use streamgate_plugin_api::{SettingsProblem, cors};

/// Settings of uploads.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Largest upload (`Tus-Max-Size`).
    pub max_size: ByteSize,
    /// Bytes that are received before they are put on disk and acknowledged for good: what a
    /// crash of the server costs a running upload at most.
    pub checkpoint: ByteSize,
    /// The same in time, for slow connections.
    pub checkpoint_interval: Duration,
    /// How long an unfinished upload is kept after its last sign of life.
    pub expire_after: Duration,
    /// Uploads that transfer bytes at the same moment; more are answered 503 and come again. When
    /// all are taken, a newcomer gets the place of whoever has the most.
    pub max_transfers: u32,
    /// The same for one caller, which is a principal, or an address where nobody is signed in; more
    /// are answered 429.
    pub max_transfers_per_caller: u32,
    /// Unfinished uploads that are kept at once; beyond that no new ones are created.
    pub max_unfinished: u32,
    /// The same for one caller; more are answered 429.
    pub max_unfinished_per_caller: u32,
    /// A transfer of which nothing arrives for this long is ended; what came is kept.
    pub idle_timeout: Duration,
    /// Bytes that a transfer has to bring per second, on average over `idle_timeout`; a slower one
    /// is ended, what came is kept. 0 takes them as slow as they are.
    pub min_rate: ByteSize,
    /// How often expired uploads are looked for, and unfinished hand-overs repeated.
    pub sweep_interval: Duration,
    /// Origins whose pages may upload: `"*"` for all, or for example `"https://example.org"`.
    pub cors_origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: ByteSize::gib(50),
            checkpoint: ByteSize::mib(64),
            checkpoint_interval: Duration::secs(3),
            expire_after: Duration::secs(86_400),
            max_transfers: 64,
            max_transfers_per_caller: 16,
            max_unfinished: 10_000,
            max_unfinished_per_caller: 1_000,
            idle_timeout: Duration::secs(60),
            min_rate: ByteSize::kib(1),
            sweep_interval: Duration::secs(30),
            cors_origins: vec!["*".into()],
        }
    }
}

/// All that is wrong with these settings beyond their types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let mut problems = Vec::new();
    let mut demand = |holds: bool, key: &str, message: &str| {
        if !holds {
            problems.push(SettingsProblem::new(key, message));
        }
    };
    let Settings { max_size, checkpoint, .. } = settings;
    demand((1..=1 << 50).contains(&max_size.get()), "max_size", "must be between 1 byte and 1024TiB");
    demand((1 << 20..=4 << 30).contains(&checkpoint.get()), "checkpoint", "must be between 1MiB and 4GiB");
    for (key, duration, least, most, bounds) in [
        ("checkpoint_interval", settings.checkpoint_interval, 1, 300, "must be between 1s and 5m"),
        ("expire_after", settings.expire_after, 60, 365 * 86_400, "must be between 1m and 365d"),
        ("idle_timeout", settings.idle_timeout, 1, 3_600, "must be between 1s and 1h"),
        ("sweep_interval", settings.sweep_interval, 1, 3_600, "must be between 1s and 1h"),
    ] {
        demand((least..=most).contains(&duration.get().as_secs()), key, bounds);
    }
    for (key, bound) in [
        ("max_transfers", settings.max_transfers),
        ("max_transfers_per_caller", settings.max_transfers_per_caller),
        ("max_unfinished", settings.max_unfinished),
        ("max_unfinished_per_caller", settings.max_unfinished_per_caller),
    ] {
        demand(bound > 0, key, "must be at least 1");
    }
    demand(settings.min_rate.get() <= 1 << 20, "min_rate", "must be at most 1MiB; 0 for none");
    problems.extend(cors::check("cors_origins", &settings.cors_origins));
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
            max_size: ByteSize::bytes(0),
            checkpoint: ByteSize::bytes(1),
            checkpoint_interval: Duration::secs(0),
            expire_after: Duration::secs(1),
            max_transfers: 0,
            max_transfers_per_caller: 0,
            max_unfinished: 0,
            max_unfinished_per_caller: 0,
            min_rate: ByteSize::mib(2),
            idle_timeout: Duration::secs(0),
            sweep_interval: Duration::secs(0),
            cors_origins: vec![
                "example.org".into(),
                "https://x/y".into(),
                "https://fine.example:8443".into(),
            ],
        };
        assert_eq!(check(&settings).len(), 13);
    }
}
