//! Problems of the settings beyond their types.

use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration, outside};

use crate::filters::rules;
use crate::origin::Origin;
use crate::people::quotas;
use crate::settings::Settings;

/// `access` considers no more wallets of one viewer.
const MAX_WALLETS: u32 = 32;

/// All problems of these settings beyond their types.
pub(crate) fn check(settings: &Settings) -> Vec<SettingsProblem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, text: String| problems.push(SettingsProblem::new(key, text));
    let origins = std::iter::once(("public_url", &settings.public_url))
        .chain(settings.origins.iter().map(|origin| ("origins", origin)))
        .chain(settings.allowed_origins.iter().map(|origin| ("allowed_origins", origin)));
    for (key, text) in origins.filter(|(key, text)| *key != "public_url" || !text.is_empty()) {
        if let Err(reason) = Origin::parse(text, settings.plain_http) {
            wrong(key, reason);
        }
    }
    if settings.chain_ids.is_empty() && settings.solana_chains.is_empty() {
        wrong("chain_ids", "without it and `solana_chains` no wallet can sign in".into());
    }
    if settings.chain_ids.contains(&0) {
        wrong("chain_ids", "0 is not a chain".into());
    }
    for name in &settings.solana_chains {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b':');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            wrong("solana_chains", format!("`{name}` is not a cluster; write, for example, \"mainnet\""));
        }
    }
    let times = [
        ("challenge_ttl", settings.challenge_ttl, 10, 3_600),
        ("clock_skew", settings.clock_skew, 0, 300),
        ("access_ttl", settings.access_ttl, 30, 86_400),
        ("refresh_ttl", settings.refresh_ttl, 60, 366 * 86_400),
        ("refresh_grace", settings.refresh_grace, 0, 300),
        ("session_ttl", settings.session_ttl, 60, 366 * 86_400),
        ("key_rotation", settings.key_rotation, 3_600, 366 * 86_400),
        ("key_overlap", settings.key_overlap, 60, 30 * 86_400),
        ("warm_for", settings.warm_for, 0, 60),
        ("setup_ttl", settings.setup_ttl, 60, 30 * 86_400),
        ("audit_retention", settings.audit_retention, 86_400, 36_600 * 86_400),
    ];
    if settings.key_overlap < settings.access_ttl {
        wrong("key_overlap", "must be at least `access_ttl`, else tokens end before their time".into());
    }
    for text in rules::check(&settings.rules) {
        wrong("rules", text);
    }
    for (key, text) in quotas::check(&settings.quotas) {
        wrong(&key, text);
    }
    let counts = [
        ("max_sessions", settings.max_sessions, 1_000),
        ("max_wallets", settings.max_wallets, MAX_WALLETS),
        ("max_keys", settings.max_keys, 1_000),
        ("attempts_per_address", settings.attempts_per_address, 1_000_000),
        ("attempts_per_wallet", settings.attempts_per_wallet, 1_000_000),
    ];
    problems.extend(counts.into_iter().filter_map(|(key, count, most)| outside(key, count, 1, most)));
    let bound = |(key, time, least, most)| outside(key, time, Duration::secs(least), Duration::secs(most));
    problems.extend(times.into_iter().filter_map(bound));
    let size = settings.max_signature;
    problems.extend(outside("max_signature", size, ByteSize::kib(1), ByteSize::kib(32)));
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::RoleQuota;

    #[test]
    fn the_defaults_are_in_order() {
        assert!(check(&Settings::default()).is_empty(), "{:?}", check(&Settings::default()));
    }

    #[test]
    fn every_wrong_setting_is_reported_at_once() {
        let settings = Settings {
            public_url: "http://video.example.org".into(),
            origins: vec!["https://a.example/path".into()],
            allowed_origins: vec!["*".into()],
            chain_ids: vec![0],
            solana_chains: vec!["Main Net".into()],
            access_ttl: Duration::secs(1),
            key_overlap: Duration::millis(10),
            max_sessions: 0,
            max_wallets: 33,
            max_signature: ByteSize::bytes(64),
            warm_for: Duration::secs(3_600),
            rules: Vec::new(),
            quotas: BTreeMap::from([
                ("admin".to_owned(), RoleQuota::default()),
                (
                    "creator".to_owned(),
                    RoleQuota { encodes: Some(1 << 40), challenges: Some(1), ..RoleQuota::default() },
                ),
                (
                    "anonymous".to_owned(),
                    RoleQuota { api_keys: Some(1), challenges: Some(0), ..RoleQuota::default() },
                ),
            ]),
            ..Settings::default()
        };
        let keys: Vec<_> = check(&settings).into_iter().map(|problem| problem.key).collect();
        for key in [
            "public_url",
            "origins",
            "allowed_origins",
            "chain_ids",
            "solana_chains",
            "access_ttl",
            "key_overlap",
            "max_sessions",
            "max_wallets",
            "max_signature",
            "warm_for",
            "rules",
            "quotas.admin",
            "quotas.creator.encodes",
            "quotas.creator.challenges",
            "quotas.anonymous.api_keys",
            "quotas.anonymous.challenges",
        ] {
            assert!(keys.iter().any(|found| found == key), "{key}: {keys:?}");
        }
    }
}
