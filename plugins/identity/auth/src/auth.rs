//! [`Auth`]: what all parts of the sign-in have at hand, and the answer to "who is asking".

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use streamgate_contracts::auth::v1::{self, AuditOutcome, Person};
use streamgate_contracts::db::{Db, DbError};
use streamgate_contracts::outbox::{Bus, Outbox};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::time::{Clock, millis};

use crate::audit::Entry;
use crate::contract_wallet::ContractWallets;
use crate::credentials::{Credentials, Given};
use crate::error::{AuthError, Why};
use crate::jwt::{self, BadToken};
use crate::keys::Keys;
use crate::limits::{Limiter, network};
use crate::nonce::Nonces;
use crate::origin::{self, Origin};
use crate::principal::{Credential, Identity, Scope, rights};
use crate::refresh::Successors;
use crate::rules::Rules;
use crate::secret;
use crate::settings::Settings;
use crate::store::{self, KeyRow, SessionRow, Store};
use crate::warm::Warm;

/// Refusals of one principal within a minute that are put on record; there may be any number.
const RECORDED_REFUSALS: u32 = 60;
/// How exactly the last use of an API key is remembered.
const LAST_USED_MS: i64 = 60_000;

/// The sign-in without a kernel around it: what the plugin wires, and what tests drive.
#[derive(Clone)]
pub struct Auth {
    pub(crate) shared: Arc<Shared>,
}

/// See [`Auth`].
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    /// That of `public_url` first, or those that follow the ingress.
    origins: RwLock<Arc<[Origin]>>,
    /// Other sites whose pages may sign people in, without cookies.
    guests: Vec<Origin>,
    pub(crate) keys: Keys,
    pub(crate) nonces: Nonces,
    pub(crate) successors: Successors,
    pub(crate) clock: Clock,
    pub(crate) contract_wallets: Arc<dyn ContractWallets>,
    pub(crate) outbox: Outbox,
    pub(crate) rules: Rules,
    pub(crate) warm: Warm,
    addresses: Limiter,
    challenges: Limiter,
    wallets: Limiter,
    /// Of each principal, those that are put on record.
    refusals: Limiter,
}

/// Why the sign-in did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database is not there, or does not fit this version.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file of secrets cannot be read or written.
    #[error("{0}")]
    Files(#[from] io::Error),
    /// A setting that `check` would have found.
    #[error("{0}")]
    Settings(String),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// Opens the namespace `auth`, and the signing keys in `directory`, which are made if there are
    /// none.
    ///
    /// # Errors
    /// When the database or the directory cannot be used.
    pub async fn open(
        database: Client,
        directory: &Path,
        settings: Settings,
        clock: Clock,
        contract_wallets: Arc<dyn ContractWallets>,
        bus: Bus,
    ) -> Result<Self, OpenError> {
        let origins = RwLock::new(origin::all(&settings, &[]).map_err(OpenError::Settings)?.into());
        let guests = settings.allowed_origins.iter().map(|text| Origin::parse(text, settings.plain_http));
        let guests = guests.collect::<Result<_, _>>().map_err(OpenError::Settings)?;
        let db = Db::open(database, "auth", store::migrations()).await?;
        let (folder, now_ms) = (directory.to_owned(), clock.now_ms());
        let opened = tokio::task::spawn_blocking(move || {
            Ok::<_, io::Error>((
                Keys::open(&folder, now_ms)?,
                Nonces::open(&folder)?,
                Successors::open(&folder)?,
            ))
        });
        let (keys, nonces, successors) = opened.await.map_err(io::Error::other)??;
        let warm = Warm::new(millis(settings.warm_for.get()));
        Ok(Self {
            shared: Arc::new(Shared {
                store: Store { db: db.clone() },
                addresses: Limiter::new(settings.attempts_per_address),
                challenges: Limiter::new(settings.challenges_per_address),
                wallets: Limiter::new(settings.attempts_per_wallet),
                rules: Rules::new(settings.rules.clone()),
                warm,
                settings,
                origins,
                guests,
                keys,
                nonces,
                successors,
                clock,
                contract_wallets,
                outbox: Outbox::new(db.clone(), bus),
                refusals: Limiter::new(RECORDED_REFUSALS),
            }),
        })
    }

    /// Publishes what is told of sessions and keys, until it is dropped.
    pub async fn tell(&self) {
        self.shared.outbox.run().await;
    }

    /// The public REST API.
    pub fn public(&self) -> axum::Router {
        crate::routes::router(self.clone())
    }

    /// The `auth` capability.
    pub fn internal(&self) -> axum::Router {
        crate::service::router(self.clone())
    }

    /// The `authenticate` capability, for the ingress.
    pub fn authentication(&self) -> axum::Router {
        crate::filters::authenticate(self.clone())
    }

    /// The `authorize` capability, for the ingress.
    pub fn authorization(&self) -> axum::Router {
        crate::filters::authorize(self.clone())
    }

    /// The capability `command-admin`, for the control socket.
    pub fn commands(&self) -> axum::Router {
        crate::commands::router(self.clone())
    }

    /// Removes what has expired, and replaces the signing key when it is due.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn tidy(&self) -> Result<(), String> {
        let (shared, now_ms) = (self.shared.clone(), self.now_ms());
        let rotated = tokio::task::spawn_blocking(move || {
            let (age, overlap) = (&shared.settings.key_rotation, &shared.settings.key_overlap);
            shared.keys.rotate(now_ms, millis(age.get()), millis(overlap.get()))
        });
        match rotated.await {
            Ok(Ok(true)) => tracing::info!("a new key signs access tokens from now on"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return Err(format!("the signing key cannot be replaced: {error}")),
            Err(error) => return Err(format!("the signing key cannot be replaced: {error}")),
        }
        let before = now_ms.saturating_sub(millis(self.settings().audit_retention.get()));
        self.store().sweep(now_ms, before).await.map_err(|error| error.to_string())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Who sends these credentials.
    pub(crate) async fn authenticate(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        match credentials.given(self.is_secure())? {
            None => Err(Why::NotSignedIn.because("Sign in, or send an access token or an API key.")),
            Some(Given::ApiKey(key)) => self.warm(key, self.by_key(key)).await,
            Some(Given::Bearer(token)) => self.warm(token, self.by_token(token)).await,
            Some(Given::Cookie(token)) => {
                let identity = self.warm(token, self.by_token(token)).await?;
                credentials.same_site(&self.origins())?;
                Ok(identity)
            }
        }
    }

    /// The same, refused unless it may use this scope.
    pub(crate) async fn with_scope(
        &self,
        credentials: &Credentials,
        scope: Scope,
        action: &str,
    ) -> Result<Identity, AuthError> {
        let identity = self.authenticate(credentials).await?;
        if identity.scopes.contains(&scope) {
            return Ok(identity);
        }
        let entry = Entry::new(action, AuditOutcome::Refused, &identity.principal, &credentials.address)
            .detail(format!("without the scope {}", scope.name()));
        self.store().record(&entry, self.now_ms()).await?;
        Err(Why::Forbidden.because(format!("It needs the scope `{}`.", scope.name())))
    }

    /// The same, refused unless it is a session.
    pub(crate) async fn with_session(
        &self,
        credentials: &Credentials,
    ) -> Result<(Identity, String), AuthError> {
        let identity = self.authenticate(credentials).await?;
        match &identity.credential {
            Credential::Session(id) => {
                let id = id.clone();
                Ok((identity, id))
            }
            Credential::ApiKey(_) => {
                Err(Why::Forbidden.because("An API key is not enough for this: sign in with a wallet."))
            }
        }
    }

    /// Who this credential is of: as it was found a moment ago, or as `look` finds it.
    async fn warm(
        &self,
        credential: &str,
        look: impl Future<Output = Result<Identity, AuthError>>,
    ) -> Result<Identity, AuthError> {
        let (warm, digest, now_ms) = (&self.shared.warm, Warm::digest(credential), self.now_ms());
        if let Some(identity) = warm.get(&digest, now_ms) {
            return Ok(identity);
        }
        let changes = warm.changes();
        let identity = look.await?;
        warm.put(digest, &identity, changes, now_ms);
        Ok(identity)
    }

    async fn by_token(&self, token: &str) -> Result<Identity, AuthError> {
        let now_ms = self.now_ms();
        let skew_ms = millis(self.settings().clock_skew.get());
        let claims = jwt::verify(&self.shared.keys, token, self.issuer(), now_ms, skew_ms).map_err(
            |bad| match bad {
                BadToken::Invalid => Why::InvalidToken.because("It is no access token of this server."),
                BadToken::Expired => Why::TokenExpired.because("Refresh the session."),
            },
        )?;
        let session = self.store().session(&claims.sid, now_ms).await?;
        // Ending a session deletes its row, so that its tokens end with it.
        let session = session.filter(|session| session.principal == claims.sub);
        let session = session.ok_or_else(|| Why::SessionEnded.because("Sign in again."))?;
        self.by_session(session, claims.exp.saturating_mul(1_000)).await
    }

    async fn by_session(&self, session: SessionRow, expires_at_ms: i64) -> Result<Identity, AuthError> {
        let (roles, scopes) = rights(&self.store().roles(&session.principal).await?, None);
        Ok(Identity {
            wallets: self.wallet_names(&session.principal).await?,
            principal: session.principal,
            credential: Credential::Session(session.id),
            roles,
            scopes,
            expires_at_ms: Some(expires_at_ms),
        })
    }

    async fn by_key(&self, text: &str) -> Result<Identity, AuthError> {
        let key = self.store().key(&secret::digest(text)).await?;
        let key =
            key.ok_or_else(|| Why::InvalidToken.because("There is no such API key; it may be revoked."))?;
        self.by_key_row(key).await
    }

    async fn by_key_row(&self, key: KeyRow) -> Result<Identity, AuthError> {
        let now_ms = self.now_ms();
        if key.expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Err(Why::TokenExpired.because("The API key has expired."));
        }
        if key.last_used_at_ms.is_none_or(|used| now_ms.saturating_sub(used) >= LAST_USED_MS) {
            self.store().touch_key(&key.id, now_ms).await?;
        }
        let (roles, scopes) = rights(&self.store().roles(&key.principal).await?, Some(&key.scopes));
        Ok(Identity {
            wallets: self.wallet_names(&key.principal).await?,
            principal: key.principal,
            credential: Credential::ApiKey(key.id),
            roles,
            scopes,
            expires_at_ms: key.expires_at_ms,
        })
    }

    /// Whose this credential is now, of which nothing but the name is at hand.
    pub(crate) async fn identify(&self, credential: &Credential) -> Result<Identity, AuthError> {
        match credential {
            Credential::Session(id) => {
                let session = self.store().session(id, self.now_ms()).await?;
                let session = session.ok_or_else(|| Why::SessionEnded.because("Sign in again."))?;
                let expires_at_ms = session.expires_at_ms;
                self.by_session(session, expires_at_ms).await
            }
            Credential::ApiKey(id) => {
                let key = self.store().key_of(id).await?;
                let gone = || Why::SessionEnded.because("The API key was revoked.");
                self.by_key_row(key.ok_or_else(gone)?).await
            }
        }
    }

    /// Whom somebody means by the id of a principal or by a wallet; none: nobody has it.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Person>, DbError> {
        let principal = match wallet_of(name) {
            Some((kind, address)) => self.store().owner(kind, &address).await?,
            None => Some(name.to_ascii_lowercase()),
        };
        let Some(principal) = principal else { return Ok(None) };
        let Some(name) = self.store().name_of(&principal).await? else { return Ok(None) };
        let (roles, _) = rights(&self.store().roles(&principal).await?, None);
        let roles = roles.into_iter().map(|role| v1::Role::from(role).into()).collect();
        let wallets = self.store().wallets(&principal).await?;
        let wallets = wallets.iter().map(|wallet| wallet_name(&wallet.kind, &wallet.address)).collect();
        Ok(Some(Person { principal, name, roles, wallets }))
    }

    async fn wallet_names(&self, principal: &str) -> Result<Vec<String>, AuthError> {
        let wallets = self.store().wallets(principal).await?;
        Ok(wallets.iter().map(|wallet| wallet_name(&wallet.kind, &wallet.address)).collect())
    }

    /// Whether cookies are `Secure`.
    pub(crate) fn is_secure(&self) -> bool {
        self.settings().public_url.starts_with("https://")
    }

    /// The sites that are ours at this moment.
    pub(crate) fn origins(&self) -> Arc<[Origin]> {
        self.shared.origins.read().clone()
    }

    /// Other sites whose pages may sign people in, without cookies.
    pub(crate) fn guests(&self) -> &[Origin] {
        &self.shared.guests
    }

    /// All sites that a message may be signed for: ours first.
    pub(crate) fn sites(&self) -> Vec<Origin> {
        self.origins().iter().chain(self.guests()).cloned().collect()
    }

    /// The address for people.
    pub(crate) fn site(&self) -> Option<String> {
        self.origins().first().map(Origin::text)
    }

    /// What tokens are issued in the name of: it stays when the port changes.
    pub(crate) fn issuer(&self) -> &str {
        match self.settings().public_url.as_str() {
            "" => "http://localhost",
            url => url,
        }
    }

    /// Where the ingress listens, which counts where no `public_url` is set. Answers the address for
    /// people, if there is one.
    ///
    /// # Errors
    /// When the settings name no origins, which `check` would have found.
    pub fn listens_at(&self, addresses: &[SocketAddr]) -> Result<Option<String>, OpenError> {
        let origins = origin::all(self.settings(), addresses).map_err(OpenError::Settings)?;
        *self.shared.origins.write() = origins.into();
        Ok(self.site())
    }

    /// Takes one attempt of an address.
    pub(crate) fn limit_address(&self, address: &str) -> Result<(), AuthError> {
        let attempt = self.shared.addresses.attempt(&network(address), self.now_ms());
        let most = self.settings().attempts_per_address;
        attempt.map_err(|retry_after| AuthError::TooManyAttempts {
            retry_after,
            setting: "attempts_per_address",
            most,
        })
    }

    /// Takes one challenge of an address.
    pub(crate) fn limit_challenges(&self, address: &str) -> Result<(), AuthError> {
        let challenge = self.shared.challenges.attempt(&network(address), self.now_ms());
        let most = self.settings().challenges_per_address;
        challenge.map_err(|retry_after| AuthError::TooManyAttempts {
            retry_after,
            setting: "challenges_per_address",
            most,
        })
    }

    /// Takes one attempt of a wallet.
    pub(crate) fn limit_wallet(&self, wallet: &str) -> Result<(), AuthError> {
        let attempt = self.shared.wallets.attempt(wallet, self.now_ms());
        let most = self.settings().attempts_per_wallet;
        attempt.map_err(|retry_after| AuthError::TooManyAttempts {
            retry_after,
            setting: "attempts_per_wallet",
            most,
        })
    }

    /// Puts a request that was refused to a principal on record, unless there were many.
    pub(crate) async fn record_request(&self, entry: &Entry) {
        let now_ms = self.now_ms();
        if self.shared.refusals.attempt(&entry.principal, now_ms).is_err() {
            return;
        }
        if let Err(error) = self.store().record(entry, now_ms).await {
            tracing::warn!(%error, "a refusal could not be put on record");
        }
    }

    /// Puts a refusal on record; limits and failures are not, since anybody can make any number.
    pub(crate) async fn record_refusal(&self, action: &str, subject: &str, address: &str, error: &AuthError) {
        let AuthError::Refused { why, .. } = error else { return };
        let entry = Entry::new(action, AuditOutcome::Refused, "", address).on(subject).detail(why.slug());
        if let Err(error) = self.store().record(&entry, self.now_ms()).await {
            tracing::warn!(%error, action, "a refusal could not be put on record");
        }
    }
}

/// CAIP-10 without the chain, but for contracts: `eip155:0x…`, `eip155:137:0x…`, `solana:…`.
pub(crate) fn wallet_name(kind: &str, address: &str) -> String {
    match kind {
        "ethereum" => format!("eip155:{address}"),
        _ => format!("{kind}:{address}"),
    }
}

/// The kind and the address of a wallet as people name it: `eip155:0x…`, `eip155:137:0x…`, `solana:…`, or
/// the address alone. None: it is no wallet.
pub(crate) fn wallet_of(name: &str) -> Option<(&'static str, String)> {
    let ethereum = |chain: &str, text: &str| {
        let address = crate::siwe::address(text).ok()?.to_string();
        let digits = chain.is_empty() || chain.bytes().all(|byte| byte.is_ascii_digit());
        let address = if chain.is_empty() { address } else { format!("{chain}:{address}") };
        digits.then_some(("ethereum", address))
    };
    match name.split_once(':') {
        None if name.starts_with("0x") => ethereum("", name),
        Some(("eip155", rest)) => match rest.split_once(':') {
            None => ethereum("", rest),
            Some((chain, address)) => ethereum(chain, address),
        },
        None => crate::siws::address(name).ok().map(|_| ("solana", name.to_owned())),
        Some(("solana", address)) => {
            crate::siws::address(address).ok().map(|_| ("solana", address.to_owned()))
        }
        Some(_) => None,
    }
}
