//! Sessions: short-lived access tokens, and refresh tokens that are valid once. A refresh token that is used
//! a second time was stolen, or its thief was faster: then the session ends, unless it is the last used one,
//! a moment ago. Then its answer may be lost, and it gets the same successor again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{Batch, DbError, params};
use streamgate_plugin_api::time::millis;
use uuid::Uuid;

use crate::audit::Entry;
use crate::error::{AuthError, Why};
use crate::principal::{Role, rights};
use crate::secret;
use crate::session::credentials::Credentials;
use crate::session::jwt::{self, AUDIENCE, Claims};
use crate::session::refresh::Refresh;
use crate::session::warm::Whose;
use crate::session::{Sessions, endings};
use crate::store::SessionRow;

/// The answer to a client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) token_type: &'static str,
    /// Seconds.
    pub(crate) expires_in: i64,
    pub(crate) refresh_token: String,
    /// Seconds.
    pub(crate) refresh_expires_in: i64,
    pub(crate) principal: String,
    pub(crate) session: String,
    pub(crate) roles: BTreeSet<Role>,
}

fn invalid() -> AuthError {
    Why::InvalidToken.because("This is not a refresh token of an active session.")
}

impl Sessions {
    /// Adds the start of a session to a batch for [`Sessions::ending`]; the oldest ones beyond the limit end.
    pub(crate) fn new_session(
        &self,
        batch: Batch,
        principal: &str,
        wallet: &str,
        granted: BTreeSet<Role>,
        from: &Credentials,
    ) -> Result<(Batch, Tokens), AuthError> {
        let (now_ms, settings) = (self.clock.now_ms(), &self.settings);
        let (id, family) = (Uuid::now_v7().to_string(), secret::token::<16>());
        let refresh = Refresh::first(&id, &family);
        let ends_at_ms = now_ms.saturating_add(millis(settings.session_ttl.get()));
        let expires_at_ms = now_ms.saturating_add(millis(settings.refresh_ttl.get())).min(ends_at_ms);
        let batch = batch.push(
            "INSERT INTO sessions (id, principal, wallet, family_hash, refresh_hash, user_agent, address, \
                 created_at_ms, refreshed_at_ms, expires_at_ms, ends_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)",
            params![
                &id,
                principal,
                wallet,
                secret::digest(&family),
                secret::digest(&refresh),
                &from.user_agent,
                &from.address,
                now_ms,
                expires_at_ms,
                ends_at_ms,
            ],
        );
        let batch = endings::sessions(
            batch,
            "principal = $1 AND id NOT IN (SELECT id FROM sessions WHERE principal = $1 \
             ORDER BY created_at_ms DESC, id DESC LIMIT $2)",
            params![principal, settings.max_sessions],
        );
        let tokens = self.tokens(principal, &id, refresh, granted, expires_at_ms)?;
        Ok((batch, tokens))
    }

    /// New tokens for a refresh token that is unused, or was used a moment ago.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        token: &str,
        from: &Credentials,
    ) -> Result<Tokens, AuthError> {
        let parsed = Refresh::parse(token).ok_or_else(invalid)?;
        let now_ms = self.clock.now_ms();
        let session = self.store.session(parsed.session, now_ms).await?.ok_or_else(invalid)?;
        if session.family_hash != secret::digest(parsed.family) {
            return Err(invalid());
        }
        let refresh = self.successors.of(token, &parsed);
        let _forgetting = self.warm.forgetting(Whose::Principal(&session.principal));
        let expires_at_ms =
            now_ms.saturating_add(millis(self.settings.refresh_ttl.get())).min(session.ends_at_ms);
        let taken = self
            .store
            .db
            .execute(
                "UPDATE sessions SET refresh_hash = $3, refreshed_at_ms = $4, expires_at_ms = $5, \
                 user_agent = $6, address = $7 WHERE id = $1 AND refresh_hash = $2",
                params![
                    &session.id,
                    secret::digest(token),
                    secret::digest(&refresh),
                    now_ms,
                    expires_at_ms,
                    &from.user_agent,
                    &from.address,
                ],
            )
            .await?;
        let expires_at_ms = match taken {
            0 => self.repeated(&session.id, &refresh, now_ms, from).await?,
            _ => expires_at_ms,
        };
        let granted = self.store.roles(&session.principal).await?;
        self.tokens(&session.principal, &session.id, refresh, granted, expires_at_ms)
    }

    /// A token of this family other than the current one was current before. If the current one is its
    /// successor, and was created a moment ago, its answer may have been lost: returns when the session
    /// expires. Otherwise the session ends.
    async fn repeated(
        self: &Arc<Self>,
        session: &str,
        successor: &str,
        now_ms: i64,
        from: &Credentials,
    ) -> Result<i64, AuthError> {
        let grace = millis(self.settings.refresh_grace.get()).unsigned_abs();
        let session = self.store.session(session, now_ms).await?;
        let session = session.ok_or_else(invalid)?;
        // A clock may have been set, but not by the sender.
        let just_now = |session: &SessionRow| now_ms.abs_diff(session.refreshed_at_ms) < grace;
        if session.refresh_hash == secret::digest(successor) && just_now(&session) {
            return Ok(session.expires_at_ms);
        }
        let error = Why::RefreshReused.because(
            "Either it was stolen, or its answer was lost and it was used again too late. Sign in again.",
        );
        let entry = Entry::new("session.refresh", AuditOutcome::Refused, &session.principal, &from.address)
            .on(&session.id)
            .detail("refresh token reused; session ended");
        let batch = endings::sessions(self.store.db.batch(), "id = $1", params![&session.id]);
        self.ending(entry.push(batch, now_ms), Whose::Principal(&session.principal)).await?;
        tracing::warn!(session = session.id, "a refresh token was used twice; its session was ended");
        Err(error)
    }

    /// Ends one or all sessions of this principal.
    pub(crate) async fn end_sessions(
        self: &Arc<Self>,
        principal: &str,
        id: Option<&str>,
        address: &str,
    ) -> Result<u64, AuthError> {
        let now_ms = self.clock.now_ms();
        let (action, subject) = match id {
            Some(id) => ("session.end", id),
            None => ("session.end-all", principal),
        };
        let batch = endings::sessions(
            self.store.db.batch(),
            "principal = $1 AND ($2 = '' OR id = $2)",
            params![principal, id.unwrap_or_default()],
        );
        let entry = Entry::new(action, AuditOutcome::Changed, principal, address).on(subject);
        let outcomes = self.ending(entry.push(batch, now_ms), Whose::Principal(principal)).await?;
        Ok(outcomes.first().map_or(0, |outcome| outcome.rows_affected))
    }

    fn tokens(
        &self,
        principal: &str,
        session: &str,
        refresh_token: String,
        granted: BTreeSet<Role>,
        expires_at_ms: i64,
    ) -> Result<Tokens, AuthError> {
        let now_ms = self.clock.now_ms();
        let now = now_ms.div_euclid(1_000);
        let refresh_expires_in = expires_at_ms.saturating_sub(now_ms).div_euclid(1_000).max(0);
        let expires_in = (millis(self.settings.access_ttl.get()) / 1_000).min(refresh_expires_in);
        let (roles, _) = rights(&granted, None);
        let claims = Claims {
            iss: self.issuer().into(),
            aud: AUDIENCE.into(),
            sub: principal.into(),
            sid: session.into(),
            roles: roles.iter().copied().collect(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(expires_in),
            jti: secret::token::<16>(),
        };
        let access_token = jwt::sign(&self.keys, &claims).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            Why::Busy.because("The token could not be signed. See the server's log.")
        })?;
        Ok(Tokens {
            access_token,
            token_type: "Bearer",
            expires_in,
            refresh_token,
            refresh_expires_in,
            principal: principal.into(),
            session: session.into(),
            roles,
        })
    }

    /// Ends a session, an API key or everything of a principal; returns the number. `by` is the calling
    /// principal, empty for another plugin. Scopes were checked before.
    pub(crate) async fn revoke(
        self: &Arc<Self>,
        target: Target<'_>,
        by: &str,
        reason: &str,
    ) -> Result<u64, DbError> {
        let whose = match target {
            Target::Principal(id) => Whose::Principal(id),
            Target::Session(_) | Target::ApiKey(_) => Whose::Everybody,
        };
        let batch = self.store.db.batch();
        let (batch, subject) = match target {
            Target::Session(id) => (endings::sessions(batch, "id = $1", params![id]), id),
            Target::ApiKey(id) => (endings::keys(batch, "id = $1", params![id]), id),
            Target::Principal(id) => {
                let batch = endings::sessions(batch, "principal = $1", params![id]);
                (endings::keys(batch, "principal = $1", params![id]), id)
            }
        };
        let entry = Entry::new("revoke", AuditOutcome::Changed, by, "").on(subject).detail(reason);
        let mut outcomes = self.ending(entry.push(batch, self.clock.now_ms()), whose).await?;
        outcomes.pop();
        Ok(outcomes.iter().map(|outcome| outcome.rows_affected).sum())
    }
}

/// What to revoke.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    Session(&'a str),
    ApiKey(&'a str),
    Principal(&'a str),
}
