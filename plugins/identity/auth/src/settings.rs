//! The settings of the sign-in, as `[plugins.auth]` in `plugins.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::settings::{ByteSize, Duration};

use crate::filters::rules::Rule;

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
}
