//! The first admin: a token in a file that only the owner of the data directory can read, and a one-time
//! address of the console. Anyone who can read the file owns the server anyway.

use std::io;
use std::path::{Path, PathBuf};

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{DbError, params};
use streamgate_plugin_api::time::millis;
use uuid::Uuid;

use crate::audit::Entry;
use crate::error::{AuthError, OpenError, Why};
use crate::people::People;
use crate::people::api_keys;
use crate::principal::{Role, Scope};
use crate::secret;
use crate::session::credentials::{Credentials, KEY_PREFIX};
use crate::session::endings;
use crate::session::sessions::Tokens;
use crate::session::warm::Whose;
use crate::store::KeyRow;

/// The name of the key in the file, which identifies earlier ones.
const KEY_NAME: &str = "admin-token file";
/// How long the address of `streamgate admin link` is valid. The operator has a browser at hand.
const LINK_TTL: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The result of a start, for the log.
#[derive(Debug)]
pub struct Bootstrap {
    /// The file with the admin token.
    pub token_file: PathBuf,
    /// The path of the console that makes its first visitor an admin; `None` once it was used.
    pub console_path: Option<String>,
}

impl People {
    /// See [`Auth::bootstrap`](crate::Auth::bootstrap).
    pub(crate) async fn bootstrap(&self, directory: &Path) -> Result<Bootstrap, OpenError> {
        let now_ms = self.clock.now_ms();
        let db = &self.store.db;
        let fresh = Uuid::now_v7().to_string();
        db.batch()
            .push(
                "INSERT INTO setup (id, principal, code_hash, expires_at_ms) VALUES (1, $1, $2, 0) \
                 ON CONFLICT (id) DO NOTHING",
                // Not empty, or it would count as used; and not a digest of anything.
                params![&fresh, vec![0_u8]],
            )
            .push(
                "INSERT INTO principals (id, name, created_at_ms) \
                 SELECT principal, 'admin', $1 FROM setup WHERE id = 1 ON CONFLICT (id) DO NOTHING",
                params![now_ms],
            )
            .push(
                "INSERT INTO roles (principal, role, granted_at_ms, granted_by) \
                 SELECT principal, 'admin', $1, principal FROM setup WHERE id = 1 AND principal = $2 \
                 ON CONFLICT (principal, role) DO NOTHING",
                params![now_ms, &fresh],
            )
            // On a full disk too: the admin who makes room on it has to sign in.
            .frees_space()
            .run()
            .await?;
        let setup = db.query_one("SELECT principal, code_hash FROM setup WHERE id = 1", params![]).await?;
        let (admin, hash): (String, Vec<u8>) = (setup.get("principal")?, setup.get("code_hash")?);
        let token_file = self.token_file(directory, &admin).await?;
        let console_path = match hash.is_empty() {
            true => None,
            false => Some(self.new_code().await?),
        };
        Ok(Bootstrap { token_file, console_path })
    }

    /// The row before the file: a token whose row is missing was revoked, or its start was interrupted, and
    /// in both cases another one replaces it.
    async fn token_file(&self, directory: &Path, admin: &str) -> Result<PathBuf, OpenError> {
        let path = directory.join("admin-token");
        let file = path.clone();
        let found = tokio::task::spawn_blocking(move || secret::read(&file)).await;
        let found = found.map_err(io::Error::other)??;
        if let Some(text) = &found
            && self.store.key(&secret::digest(text.trim())).await?.is_some()
        {
            return Ok(path);
        }
        let (token, now_ms) = (format!("{KEY_PREFIX}{}", secret::token::<32>()), self.clock.now_ms());
        let batch = self.store.db.batch();
        let batch = endings::keys(batch, "principal = $1 AND name = $2", params![admin, KEY_NAME])
            .push(
                // The owner of the file can always become an admin again.
                "INSERT INTO roles (principal, role, granted_at_ms, granted_by) VALUES ($1, $2, $3, $1) \
                 ON CONFLICT (principal, role) DO NOTHING",
                params![admin, Role::Admin.name(), now_ms],
            )
            .push(
                "INSERT INTO api_keys (id, principal, name, prefix, hash, scopes, created_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                params![
                    Uuid::now_v7().to_string(),
                    admin,
                    KEY_NAME,
                    &token[..api_keys::SHOWN],
                    secret::digest(&token),
                    api_keys::scope_names(&Scope::ALL.into_iter().collect()),
                    now_ms,
                ],
            );
        let entry = Entry::new("admin-token", AuditOutcome::Changed, admin, "").on(admin);
        self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(admin)).await?;
        let file = path.clone();
        let written =
            tokio::task::spawn_blocking(move || secret::write(&file, format!("{token}\n").as_bytes())).await;
        written.map_err(io::Error::other)??;
        Ok(path)
    }

    async fn new_code(&self) -> Result<String, DbError> {
        let code = secret::token::<32>();
        let expires_at_ms = self.clock.now_ms().saturating_add(millis(self.settings.setup_ttl.get()));
        self.store
            .db
            .batch()
            .push(
                "UPDATE setup SET code_hash = $1, expires_at_ms = $2 WHERE id = 1 AND LENGTH(code_hash) > 0",
                params![secret::digest(&code), expires_at_ms],
            )
            .frees_space()
            .run()
            .await?;
        // After the #, so that no browser sends it in a request line or a Referer.
        Ok(format!("/#/setup/{code}"))
    }

    /// A session of the first admin for the token in the file, which lets an admin without a wallet sign in
    /// again. No other API key begins a session: it may have fewer scopes than its owner, and a key with the
    /// same name must not get more rights than it has.
    pub(crate) async fn admin_session(&self, token: &str, from: &Credentials) -> Result<Tokens, AuthError> {
        let now_ms = self.clock.now_ms();
        // Found by its digest, so the timing reveals nothing about the token.
        let key = self.store.key(&secret::digest(token.trim())).await?;
        let admin = self.first_admin().await?;
        let everything = |key: &KeyRow| Scope::ALL.iter().all(|scope| key.scopes.contains(scope));
        let of_file = |key: &KeyRow| {
            let goes_on = key.expires_at_ms.is_none_or(|end| end > now_ms);
            key.name == KEY_NAME && key.principal == admin && goes_on && everything(key)
        };
        let Some(key) = key.filter(of_file) else {
            let error = Why::InvalidToken.because(
                "This is not the token in `auth/admin-token` in the server's data directory. Without it sign in \
                 with a wallet, or run `streamgate admin link` in a shell on the server's machine.",
            );
            self.store.record_refusal("sign-in", "", &from.address, &error, self.clock.now_ms()).await;
            return Err(error);
        };
        let roles = self.store.roles(&admin).await?;
        let (batch, tokens) = self.sessions.new_session(self.store.db.batch(), &admin, "", roles, from)?;
        let entry = Entry::new("sign-in", AuditOutcome::Granted, &admin, &from.address)
            .on(&key.id)
            .detail("by the admin token");
        self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(&admin)).await?;
        Ok(tokens)
    }

    /// A session of the first admin for a one-time code: that of the first start, or the last one of
    /// `streamgate admin link`.
    pub(crate) async fn set_up(&self, code: &str, from: &Credentials) -> Result<Tokens, AuthError> {
        let (now_ms, digest, admin) = (self.clock.now_ms(), secret::digest(code), self.first_admin().await?);
        let roles = self.store.roles(&admin).await?;
        for way in [&SET_UP, &LINK] {
            let batch = self
                .store
                .db
                .batch()
                .push_expect(way.take, params![digest.as_slice(), now_ms], 1)
                // A signed-in admin has completed the setup, in any way.
                .push("UPDATE setup SET code_hash = $1 WHERE id = 1", params![Vec::<u8>::new()]);
            let (batch, tokens) = self.sessions.new_session(batch, &admin, "", roles.clone(), from)?;
            let entry = Entry::new(way.action, AuditOutcome::Granted, &admin, &from.address)
                .on(&admin)
                .detail(way.detail);
            match self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(&admin)).await {
                Ok(_) => return Ok(tokens),
                Err(DbError::Conflict { statement: 0, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let late = "SELECT id FROM setup WHERE code_hash = $1 UNION ALL \
                    SELECT id FROM admin_link WHERE code_hash = $1";
        let late = !self.store.db.query(late, params![digest.as_slice()]).await?.is_empty();
        let what = if late { "It has expired" } else { "It was used, or a newer one was created" };
        let error = Why::SetupUsed.because(format!(
            "{what}. For a new one run `streamgate admin link` in a shell on the server's machine."
        ));
        self.store.record_refusal("setup", "", &from.address, &error, self.clock.now_ms()).await;
        Err(error)
    }

    /// Creates a one-time address of the console for the first admin, replacing the previous one and that of
    /// the first start.
    pub(crate) async fn admin_link(&self) -> Result<String, AuthError> {
        let (code, now_ms) = (secret::token::<32>(), self.clock.now_ms());
        let admin = self.first_admin().await?;
        let batch = self
            .store
            .db
            .batch()
            .push(
                "INSERT INTO admin_link (id, code_hash, expires_at_ms) VALUES (1, $1, $2) \
                 ON CONFLICT (id) DO UPDATE SET code_hash = excluded.code_hash, \
                 expires_at_ms = excluded.expires_at_ms",
                params![secret::digest(&code), now_ms.saturating_add(millis(LINK_TTL))],
            )
            .push("UPDATE setup SET expires_at_ms = 0 WHERE id = 1", params![])
            .push(
                // The owner of the server can always become an admin again.
                "INSERT INTO roles (principal, role, granted_at_ms, granted_by) VALUES ($1, $2, $3, $1) \
                 ON CONFLICT (principal, role) DO NOTHING",
                params![&admin, Role::Admin.name(), now_ms],
            );
        let entry = Entry::new("admin.link", AuditOutcome::Changed, &admin, "")
            .on(&admin)
            .detail("from a shell on the server's machine");
        self.sessions.ending(entry.push(batch, now_ms), Whose::Principal(&admin)).await?;
        Ok(format!("/#/link/{code}"))
    }

    /// The principal of the first admin.
    async fn first_admin(&self) -> Result<String, AuthError> {
        let setup = self.store.db.query_one("SELECT principal FROM setup WHERE id = 1", params![]).await?;
        Ok(setup.get("principal")?)
    }
}

/// A one-time code, and the action of using it.
struct Way {
    /// Uses the code `$1` at the time `$2`.
    take: &'static str,
    action: &'static str,
    detail: &'static str,
}

const SET_UP: Way = Way {
    take: "UPDATE setup SET expires_at_ms = 0 WHERE id = 1 AND code_hash = $1 AND expires_at_ms > $2",
    action: "setup",
    detail: "",
};

const LINK: Way = Way {
    take: "DELETE FROM admin_link WHERE id = 1 AND code_hash = $1 AND expires_at_ms > $2",
    action: "sign-in",
    detail: "by a link of `streamgate admin link`",
};
