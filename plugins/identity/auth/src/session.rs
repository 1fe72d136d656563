//! Sessions, and their credentials: tokens, which [`keys`] sign and [`jwt`] reads, or cookies. It owns the
//! keys, the cache of recent results ([`warm`]), and early ends ([`endings`]).

pub(crate) mod credentials;
pub(crate) mod endings;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod refresh;
pub(crate) mod sessions;
pub(crate) mod warm;

use std::io;
use std::path::Path;
use std::sync::Arc;

use streamgate_contracts::outbox::Outbox;
use streamgate_plugin_api::time::{Clock, millis};

use crate::base::Base;
use crate::error::{AuthError, Why};
use crate::principal::{Credential, Identity, rights};
use crate::session::jwt::BadToken;
use crate::session::keys::Keys;
use crate::session::refresh::Successors;
use crate::session::warm::Warm;
use crate::settings::Settings;
use crate::store::{SessionRow, Store};

/// See the module.
pub(crate) struct Sessions {
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    outbox: Outbox,
    keys: Keys,
    successors: Successors,
    pub(crate) warm: Warm,
}

impl Sessions {
    /// Reads the keys of this directory, or creates them.
    ///
    /// # Errors
    /// If a file of secrets cannot be read or written.
    pub(crate) async fn open(directory: &Path, base: Base, outbox: Outbox) -> io::Result<Self> {
        let Base { store, settings, clock } = base;
        let (folder, now_ms) = (directory.to_owned(), clock.now_ms());
        let opened = tokio::task::spawn_blocking(move || {
            Ok::<_, io::Error>((Keys::open(&folder, now_ms)?, Successors::open(&folder)?))
        });
        let (keys, successors) = opened.await.map_err(io::Error::other)??;
        let warm = Warm::new(millis(settings.warm_for.get()));
        Ok(Self { store, settings, clock, outbox, keys, successors, warm })
    }

    /// Publishes the ends of credentials, until it is dropped.
    pub(crate) async fn publish(&self) {
        self.outbox.run().await;
    }

    /// The published keys.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.keys.jwks()
    }

    /// Rotates the signing key when it is due.
    ///
    /// # Errors
    /// The problem, as text.
    pub(crate) async fn rotate(self: &Arc<Self>) -> Result<(), String> {
        let sessions = self.clone();
        let rotated = tokio::task::spawn_blocking(move || {
            let (age, overlap) = (&sessions.settings.key_rotation, &sessions.settings.key_overlap);
            sessions.keys.rotate(sessions.clock.now_ms(), millis(age.get()), millis(overlap.get()))
        });
        match rotated.await {
            Ok(Ok(true)) => tracing::info!("a new key signs access tokens from now on"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return Err(format!("the signing key cannot be replaced: {error}")),
            Err(error) => return Err(format!("the signing key cannot be replaced: {error}")),
        }
        Ok(())
    }

    /// The identity of this credential: cached, or from `look`.
    pub(crate) async fn warm(
        &self,
        credential: &str,
        look: impl Future<Output = Result<Identity, AuthError>>,
    ) -> Result<Identity, AuthError> {
        let (digest, now_ms) = (Warm::digest(credential), self.clock.now_ms());
        if let Some(identity) = self.warm.get(&digest, now_ms) {
            return Ok(identity);
        }
        let changes = self.warm.changes();
        let identity = look.await?;
        self.warm.put(digest, &identity, changes, now_ms);
        Ok(identity)
    }

    /// The identity of an access token.
    pub(crate) async fn by_token(&self, token: &str) -> Result<Identity, AuthError> {
        let now_ms = self.clock.now_ms();
        let skew_ms = millis(self.settings.clock_skew.get());
        let claims =
            jwt::verify(&self.keys, token, self.issuer(), now_ms, skew_ms).map_err(|bad| match bad {
                BadToken::Invalid => Why::InvalidToken.because("This is not an access token of this server."),
                BadToken::Expired => Why::TokenExpired.because("Refresh the session."),
            })?;
        let session = self.store.session(&claims.sid, now_ms).await?;
        // Ending a session deletes its row, so that its tokens end with it.
        let session = session.filter(|session| session.principal == claims.sub);
        let session = session.ok_or_else(|| Why::SessionEnded.because("Sign in again."))?;
        self.identity(session, claims.exp.saturating_mul(1_000)).await
    }

    /// The identity of the session of this id.
    pub(crate) async fn by_id(&self, id: &str) -> Result<Identity, AuthError> {
        let session = self.store.session(id, self.clock.now_ms()).await?;
        let session = session.ok_or_else(|| Why::SessionEnded.because("Sign in again."))?;
        let expires_at_ms = session.expires_at_ms;
        self.identity(session, expires_at_ms).await
    }

    async fn identity(&self, session: SessionRow, expires_at_ms: i64) -> Result<Identity, AuthError> {
        let (roles, scopes) = rights(&self.store.roles(&session.principal).await?, None);
        Ok(Identity {
            wallets: self.store.wallet_names(&session.principal).await?,
            principal: session.principal,
            credential: Credential::Session(session.id),
            roles,
            scopes,
            expires_at_ms: Some(expires_at_ms),
        })
    }

    /// The issuer of tokens: it stays when the port changes.
    fn issuer(&self) -> &str {
        match self.settings.public_url.as_str() {
            "" => "http://localhost",
            url => url,
        }
    }
}
