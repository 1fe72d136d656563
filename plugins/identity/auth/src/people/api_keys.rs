//! API keys for programs: 256 random bits, shown once, stored as a digest.

use std::collections::BTreeSet;

use serde::Deserialize;
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{DbError, params};
use streamgate_plugin_api::time::parse_rfc3339;
use uuid::Uuid;

use crate::audit::Entry;
use crate::error::{AuthError, Why};
use crate::people::People;
use crate::principal::{Credential, Identity, Scope, rights};
use crate::secret;
use crate::session::credentials::KEY_PREFIX;
use crate::session::endings;
use crate::session::warm::Whose;
use crate::store::KeyRow;

const MAX_NAME_CHARS: usize = 100;
/// Characters of a key that are shown later: the fixed prefix and eight of 43.
pub(crate) const SHOWN: usize = KEY_PREFIX.len() + 8;
/// The resolution of a key's last use.
const LAST_USED_MS: i64 = 60_000;

/// A key to be created.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    name: String,
    scopes: BTreeSet<Scope>,
    /// RFC 3339; without it the key does not expire.
    expires_at: Option<String>,
    /// The key's principal; for admins. Default: the caller.
    principal: Option<String>,
}

impl People {
    /// The identity of the text of a key.
    pub(crate) async fn by_key(&self, text: &str) -> Result<Identity, AuthError> {
        let key = self.store.key(&secret::digest(text)).await?;
        let key = key.ok_or_else(|| {
            Why::InvalidToken.because("There is no such API key; it may have been revoked.")
        })?;
        self.by_key_row(key).await
    }

    /// The identity of the key of this id.
    pub(crate) async fn by_key_id(&self, id: &str) -> Result<Identity, AuthError> {
        let key = self.store.key_of(id).await?;
        self.by_key_row(key.ok_or_else(|| Why::SessionEnded.because("The API key was revoked."))?).await
    }

    async fn by_key_row(&self, key: KeyRow) -> Result<Identity, AuthError> {
        let now_ms = self.clock.now_ms();
        if key.expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Err(Why::TokenExpired.because("The API key has expired."));
        }
        if key.last_used_at_ms.is_none_or(|used| now_ms.saturating_sub(used) >= LAST_USED_MS) {
            self.store.touch_key(&key.id, now_ms).await?;
        }
        let (roles, scopes) = rights(&self.store.roles(&key.principal).await?, Some(&key.scopes));
        Ok(Identity {
            wallets: self.store.wallet_names(&key.principal).await?,
            principal: key.principal,
            credential: Credential::ApiKey(key.id),
            roles,
            scopes,
            expires_at_ms: key.expires_at_ms,
        })
    }

    /// Creates a key; the text is the key itself, which is never shown again.
    pub(crate) async fn create_key(
        &self,
        wanted: NewKey,
        identity: &Identity,
        address: &str,
    ) -> Result<(KeyRow, String), AuthError> {
        let is_admin = identity.scopes.contains(&Scope::Admin);
        if matches!(identity.credential, Credential::ApiKey(_)) && !is_admin {
            return Err(Why::Forbidden.because("An API key cannot create keys: sign in with a wallet."));
        }
        let now_ms = self.clock.now_ms();
        let invalid = |detail: &str| Why::InvalidRequest.because(detail);
        let name = wanted.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err(invalid("`name` must be one line of 1 to 100 characters."));
        }
        if wanted.scopes.is_empty() {
            return Err(invalid("`scopes` is empty; there are `content:read`, `content:write` and `admin`."));
        }
        let expires_at_ms = match wanted.expires_at.as_deref().map(parse_rfc3339) {
            None => None,
            Some(Some(end)) if end > now_ms => Some(end),
            Some(_) => return Err(invalid("`expires_at` must be a future time in RFC 3339 format.")),
        };
        let principal = match wanted.principal {
            Some(other) if other != identity.principal => {
                if !is_admin {
                    return Err(Why::Forbidden.because("Only admins can create keys for others."));
                }
                self.known(&other).await?;
                other
            }
            _ => {
                if let Some(scope) = wanted.scopes.difference(&identity.scopes).next() {
                    let detail = format!("You do not have the scope `{}` yourself.", scope.name());
                    return Err(Why::Forbidden.because(detail));
                }
                identity.principal.clone()
            }
        };
        let text = format!("{KEY_PREFIX}{}", secret::token::<32>());
        let key = KeyRow {
            id: Uuid::now_v7().to_string(),
            principal,
            name,
            prefix: text[..SHOWN].to_owned(),
            hash: secret::digest(&text),
            scopes: wanted.scopes,
            created_at_ms: now_ms,
            expires_at_ms,
            last_used_at_ms: None,
        };
        self.insert_key(&key, &identity.principal, address).await?;
        Ok((key, text))
    }

    /// Stores a key, if there is room for it.
    pub(crate) async fn insert_key(&self, key: &KeyRow, by: &str, address: &str) -> Result<(), AuthError> {
        let scopes = scope_names(&key.scopes);
        let (most, setting) = self.most_keys(&key.principal).await?;
        let batch = self.store.db.batch().push_expect(
            "INSERT INTO api_keys (id, principal, name, prefix, hash, scopes, created_at_ms, expires_at_ms) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
             WHERE (SELECT COUNT(*) FROM api_keys WHERE principal = $2) < $9",
            params![
                &key.id,
                &key.principal,
                &key.name,
                &key.prefix,
                key.hash.clone(),
                &scopes,
                key.created_at_ms,
                key.expires_at_ms,
                most,
            ],
            1,
        );
        let entry = Entry::new("key.create", AuditOutcome::Changed, by, address)
            .on(&key.id)
            .detail(format!("{} for {}: {scopes}", key.prefix, key.principal));
        match entry.push(batch, key.created_at_ms).run().await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { .. }) => Err(AuthError::TooManyKeys { setting, most }),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes a key of the caller, or of anyone if the caller is an admin. A key with fewer rights can only
    /// revoke itself, because it may be lost.
    pub(crate) async fn revoke_key(
        &self,
        id: &str,
        identity: &Identity,
        address: &str,
    ) -> Result<(), AuthError> {
        let is_admin = identity.scopes.contains(&Scope::Admin);
        if matches!(&identity.credential, Credential::ApiKey(own) if own != id) && !is_admin {
            return Err(
                Why::Forbidden.because("An API key cannot revoke another key: sign in with a wallet.")
            );
        }
        let batch = endings::one_key(
            self.store.db.batch(),
            "id = $1 AND ($2 = 1 OR principal = $3)",
            params![id, is_admin, &identity.principal],
        );
        let entry = Entry::new("key.revoke", AuditOutcome::Changed, &identity.principal, address).on(id);
        match self.sessions.ending(entry.push(batch, self.clock.now_ms()), Whose::Everybody).await {
            Ok(_) => Ok(()),
            Err(DbError::Conflict { .. }) => Err(Why::NotFound.because("You have no such key.")),
            Err(error) => Err(error.into()),
        }
    }
}

/// Separated by spaces.
pub(crate) fn scope_names(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
}
