//! The settings of the sign-in, `[plugins.auth]` in `plugins.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::settings::{ByteSize, Duration};

use crate::filters::rules::Rule;

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
    /// principal. `anonymous` is for callers who are not signed in, by address (IPv6: the /64); it
    /// may have `event_streams` and `challenges`. Default: no other limits than those below.
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
            attempts_per_wallet: 20,
            warm_for: Duration::secs(5),
            rules: Rule::defaults(),
            quotas: BTreeMap::new(),
            setup_ttl: days(1),
            audit_retention: days(365),
        }
    }
}

/// How much each principal of a role may use. What is not set has no limit of this kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleQuota {
    /// Bytes of all contents, renditions too.
    pub stored: Option<ByteSize>,
    /// Contents that are encoded at the same time.
    pub encodes: Option<u64>,
    /// Minutes of sources that are encoded in a day (UTC).
    pub encode_minutes: Option<u64>,
    /// Unfinished uploads. Without it: `max_unfinished_per_caller` of `upload`.
    pub unfinished_uploads: Option<u64>,
    /// API keys. Without it: `max_keys`.
    pub api_keys: Option<u64>,
    /// Open streams of live changes. Without it: 50.
    pub event_streams: Option<u64>,
    /// Sign-in challenges per minute, of `anonymous` only. Without it: 300.
    pub challenges: Option<u64>,
}
