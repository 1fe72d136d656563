//! The settings of the sign-in, as `[plugins.auth]` in `plugins.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::SettingsProblem;
use streamgate_plugin_api::settings::{ByteSize, Duration};

use crate::filters::rules::{self, Rule};
use crate::people::quotas::{self, RoleQuota};
use crate::sign_in::origin::Origin;

/// More wallets of one viewer `access` does not look at.
const MAX_WALLETS: u32 = 32;

/// Settings of sign-in, sessions, API keys and the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where people reach this server: `"https://video.example.org"`. Wallets are asked to sign for
    /// this site, tokens are issued in its name, and `https` makes cookies `Secure`. Empty: this
    /// machine alone, `http://localhost` at the port that the ingress listens on.
    #[schemars(extend("format" = "public-url"))]
    pub public_url: String,
    /// Further addresses of the same server that may be signed in at.
    pub origins: Vec<String>,
    /// Origins of other sites whose pages may sign people in here and ask who they are, with a bearer
    /// token and never with cookies: `"https://app.example.org"`. Wallets sign for that site then.
    pub allowed_origins: Vec<String>,
    /// Whether `public_url`, `origins` and `allowed_origins` may be plain `http` on other machines than
    /// this one, to try it out in a network that you trust: whoever reads along there takes over what
    /// is signed in.
    pub plain_http: bool,
    /// EVM chains that a message may be signed for.
    pub chain_ids: Vec<u64>,
    /// Solana clusters that a message may be signed for; the first is what wallets are asked for.
    pub solana_chains: Vec<String>,
    /// How long a wallet may take to sign what it was asked to.
    pub challenge_ttl: Duration,
    /// Longest signature that is taken; a contract wallet's may hold the code of the wallet itself.
    pub max_signature: ByteSize,
    /// How far a wallet's clock may be off.
    pub clock_skew: Duration,
    /// How long an access token is good; ending a session ends it at once all the same.
    pub access_ttl: Duration,
    /// How long a session goes on without being refreshed.
    pub refresh_ttl: Duration,
    /// How long a session goes on at most, however often it is refreshed.
    pub session_ttl: Duration,
    /// Sessions of one principal; with one more the oldest ends.
    pub max_sessions: u32,
    /// Wallets of one principal.
    pub max_wallets: u32,
    /// API keys of one principal.
    pub max_keys: u32,
    /// How long a key signs tokens before the next one takes over.
    pub key_rotation: Duration,
    /// How long a key that signs no more is still published, for tokens that it signed. At least
    /// `access_ttl`.
    pub key_overlap: Duration,
    /// How long a refresh token that was used gets the same answer again, in case that one was lost; "0s": not at all.
    /// Later it ends its session, since it may be stolen.
    pub refresh_grace: Duration,
    /// Sign-ins of one address (of IPv6 the /64) within a minute, and refreshes that are refused. Those that are granted
    /// do not count.
    pub attempts_per_address: u32,
    /// Challenges of one address (of IPv6 the /64) within a minute.
    pub challenges_per_address: u32,
    /// Sign-ins of one wallet within a minute.
    pub attempts_per_wallet: u32,
    /// How long a credential that was good is taken for good without a look into the database; "0s":
    /// not at all. What ends on this server ends at once in any case.
    pub warm_for: Duration,
    /// What requests need, for the gateway's filter "authorize". Of all rules that a path is below,
    /// the longest one counts. `read` is for GET and HEAD, `change` for all other methods but OPTIONS;
    /// either is "nothing", "sign-in", or one of the scopes "content:read" (viewers), "content:write"
    /// (creators) and "admin" (admins).
    pub rules: Vec<Rule>,
    /// How much of what is everybody's each principal of a role may use, by role: `viewer`, which all are,
    /// and `creator`. Of several roles the largest counts; admins have no limits. An admin may set other
    /// ones for a principal. Without it: no limits.
    pub quotas: BTreeMap<String, RoleQuota>,
    /// How long the one-time address of the console is good.
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
