//! The settings of the upload plugin, `[plugins.upload]` in `plugins.toml`.

use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::settings::{ByteSize, Duration, outside};
use streamgate_plugin_api::{SettingsProblem, cors};

/// Settings of uploads.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Maximum size of an upload (`Tus-Max-Size`).
    pub max_size: ByteSize,
    /// Bytes received before they are synced to disk and acknowledged: the most that a crash of the
    /// server costs a running upload.
    pub checkpoint: ByteSize,
    /// The same in time, for slow connections.
    pub checkpoint_interval: Duration,
    /// How long an unfinished upload is kept after its last activity.
    pub expire_after: Duration,
    /// Maximum concurrent transfers; further ones are answered 503 and retry. When all are taken, a
    /// new one displaces a transfer of the caller with the most.
    pub max_transfers: u32,
    /// The same for one caller, which is a principal, or an address without one; more are answered
    /// 429.
    pub max_transfers_per_caller: u32,
    /// Maximum number of unfinished uploads; beyond it no new ones are created.
    pub max_unfinished: u32,
    /// The same for one caller; more are answered 429.
    pub max_unfinished_per_caller: u32,
    /// A transfer without data for this long is ended; received bytes are kept.
    pub idle_timeout: Duration,
    /// Minimum rate of a transfer in bytes per second, averaged over `idle_timeout`; a slower one
    /// is ended, and received bytes are kept. 0 means no minimum.
    pub min_rate: ByteSize,
    /// How often expired uploads are removed, and unfinished hand-overs retried.
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

/// All problems beyond types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let mut problems: Vec<_> = [
        outside("max_size", settings.max_size, ByteSize::bytes(1), ByteSize::gib(1 << 20)),
        outside("checkpoint", settings.checkpoint, ByteSize::mib(1), ByteSize::gib(4)),
        outside("checkpoint_interval", settings.checkpoint_interval, Duration::secs(1), Duration::secs(300)),
        outside("expire_after", settings.expire_after, Duration::secs(60), Duration::secs(365 * 86_400)),
        outside("idle_timeout", settings.idle_timeout, Duration::secs(1), Duration::secs(3_600)),
        outside("sweep_interval", settings.sweep_interval, Duration::secs(1), Duration::secs(3_600)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut demand = |holds: bool, key: &str, message: &str| {
        if !holds {
            problems.push(SettingsProblem::new(key, message));
        }
    };
    for (key, bound) in [
        ("max_transfers", settings.max_transfers),
        ("max_transfers_per_caller", settings.max_transfers_per_caller),
        ("max_unfinished", settings.max_unfinished),
        ("max_unfinished_per_caller", settings.max_unfinished_per_caller),
    ] {
        demand(bound > 0, key, "must be at least 1");
    }
    demand(settings.min_rate.get() <= 1 << 20, "min_rate", "must be at most 1MiB; use 0 for none");
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
