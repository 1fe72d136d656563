//! The settings of the sign-in, as `[plugins.auth]` in `plugins.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration};

use crate::origin::Origin;
use crate::quotas::{self, RoleQuota};
use crate::rules::{self, Rule};

/// More wallets of one viewer `access` does not look at.
const MAX_WALLETS: u32 = 32;

/// Settings of sign-in, sessions, API keys and the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Public address of this server: `"https://video.example.org"`. Wallets sign for this site,
    /// tokens are issued in its name, and `https` makes cookies `Secure`. Empty: only this machine,
    /// `http://localhost` at the port of the ingress.
    #[schemars(extend("format" = "public-url"))]
    pub public_url: String,
    /// Further addresses of this server where people can sign in.
    pub origins: Vec<String>,
    /// Origins of other sites whose pages may sign people in and read their identity, with bearer
    /// tokens and never with cookies: `"https://app.example.org"`. Wallets then sign for that site.
    pub allowed_origins: Vec<String>,
    /// Allow plain `http` on other machines in `public_url`, `origins` and `allowed_origins`, for
    /// tests in a trusted network: anyone who can read its traffic can take over sessions.
    pub plain_http: bool,
    /// EVM chains that a message may be signed for.
    pub chain_ids: Vec<u64>,
    /// Solana clusters that a message may be signed for; the first is the one in challenges.
    pub solana_chains: Vec<String>,
    /// How long a wallet may take to sign a challenge.
    pub challenge_ttl: Duration,
    /// Maximum size of a signature; that of a contract wallet may contain the wallet's code.
    pub max_signature: ByteSize,
    /// Tolerated difference of a wallet's clock.
    pub clock_skew: Duration,
    /// Lifetime of an access token; ending a session revokes it at once.
    pub access_ttl: Duration,
    /// How long a session lasts without being refreshed.
    pub refresh_ttl: Duration,
    /// Maximum lifetime of a session, however often it is refreshed.
    pub session_ttl: Duration,
    /// Maximum sessions of one principal; a further one ends the oldest.
    pub max_sessions: u32,
    /// Maximum wallets of one principal.
    pub max_wallets: u32,
    /// Maximum API keys of one principal.
    pub max_keys: u32,
    /// How long a key signs tokens before the next one replaces it.
    pub key_rotation: Duration,
    /// How long a replaced key is still published, for tokens that it signed. At least
    /// `access_ttl`.
    pub key_overlap: Duration,
    /// How long a used refresh token gets the same response again, in case that one was lost; "0s":
    /// not at all. After that, using it again ends the session, because it may be stolen.
    pub refresh_grace: Duration,
    /// Sign-ins and refused refreshes of one address (IPv6: the /64) per minute. Successful
    /// refreshes do not count.
    pub attempts_per_address: u32,
    /// Challenges of one address (IPv6: the /64) per minute.
    pub challenges_per_address: u32,
    /// Sign-ins of one wallet per minute.
    pub attempts_per_wallet: u32,
    /// How long a valid credential is cached without reading the database; "0s": not at all.
    /// Credentials that end on this server end at once in any case.
    pub warm_for: Duration,
    /// What requests require, for the filter "authorize" of the gateway. The longest matching path
    /// applies. `read` is for GET and HEAD, `change` for all other methods, and `options` for
    /// OPTIONS, which requires what a change requires if `options` is absent. Each is "nothing",
    /// "sign-in", or one of the scopes "content:read" (viewers), "content:write" (creators) and
    /// "admin" (admins). Use options = "nothing" only where the plugin answers OPTIONS without any
    /// effect: browsers send it without credentials before requests from pages of other sites.
    /// These are the defaults; a custom list replaces them.
    pub rules: Vec<Rule>,
    /// Quotas of each principal, by role: `viewer`, which everyone has, and `creator`. With several
    /// roles the largest limit applies; admins have no limits. An admin can override them for a
    /// principal. Default: no limits.
    pub quotas: BTreeMap<String, RoleQuota>,
    /// How long the one-time URL of the first admin is valid.
    pub setup_ttl: Duration,
    /// How long entries of the audit log are kept.
    pub audit_retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let days = |days: u64| Duration::secs(days * 86_400);
        Self {
            public_url: String::new(),
            origins: Vec::new(),
            allowed_origins: Vec::new(),
            plain_http: false,
            chain_ids: vec![
                1, 10, 56, 97, 137, 8453, 42_161, 80_002, 84_532, 421_614, 11_155_111, 11_155_420,
            ],
            solana_chains: vec!["mainnet".into(), "devnet".into()],
            challenge_ttl: Duration::secs(300),
            max_signature: ByteSize::kib(16),
            clock_skew: Duration::secs(30),
            access_ttl: Duration::secs(600),
            refresh_ttl: days(30),
            session_ttl: days(90),
            max_sessions: 50,
            max_wallets: 16,
            max_keys: 50,
            key_rotation: days(30),
            key_overlap: days(1),
            refresh_grace: Duration::secs(30),
            attempts_per_address: 60,
            challenges_per_address: 300,
            attempts_per_wallet: 20,
            warm_for: Duration::secs(5),
            rules: Rule::defaults(),
            quotas: BTreeMap::new(),
            setup_ttl: days(1),
            audit_retention: days(365),
        }
    }
}

/// All that is wrong with these settings beyond their types.
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
        wrong("chain_ids", "0 is no chain".into());
    }
    for name in &settings.solana_chains {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b':');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            wrong("solana_chains", format!("`{name}` is no cluster; write, for example, \"mainnet\""));
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
    for (key, time, least, most) in times {
        let (least, most) = (Duration::secs(least), Duration::secs(most));
        if time < least || time > most {
            wrong(key, format!("{time} is out of bounds; it must be between {least} and {most}"));
        }
    }
    let (least, most) = (ByteSize::kib(1), ByteSize::kib(32));
    if settings.max_signature < least || settings.max_signature > most {
        let size = settings.max_signature;
        wrong("max_signature", format!("{size} is out of bounds; it must be between {least} and {most}"));
    }
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
        ("challenges_per_address", settings.challenges_per_address, 1_000_000),
        ("attempts_per_wallet", settings.attempts_per_wallet, 1_000_000),
    ];
    for (key, count, most) in counts {
        if count == 0 || count > most {
            wrong(key, format!("{count} is out of bounds; it must be between 1 and {most}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

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
                ("creator".to_owned(), RoleQuota { encodes: Some(1 << 40), ..RoleQuota::default() }),
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
        ] {
            assert!(keys.iter().any(|found| found == key), "{key}: {keys:?}");
        }
    }
}
