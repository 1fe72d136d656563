//! The SQL of the sign-in. Whatever must not happen twice is a statement that has to affect a row, in one
//! transaction with its effects and its entry in the audit log.

use std::collections::BTreeSet;

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{Db, DbError, Migrations, Row, Rows, params};

use crate::audit::Entry;
use crate::error::AuthError;
use crate::principal::{Role, Scope, wallet_name};

/// Rows that one sweep removes.
const SWEEP: u32 = 1_000;
/// How long a used nonce is remembered beyond its expiry, in case the clock is set back.
const NONCES_KEPT_MS: i64 = 3_600_000;

/// The namespace `auth` of the database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

/// The migrations of the namespace.
pub(crate) fn migrations() -> Migrations {
    Migrations::new(&[
        ("0001_init", include_str!("../migrations/0001_init.sql")),
        ("0002_used_nonces", include_str!("../migrations/0002_used_nonces.sql")),
        ("0003_admin_link", include_str!("../migrations/0003_admin_link.sql")),
        ("0004_outbox", streamgate_contracts::outbox::TABLE),
        ("0005_quotas", include_str!("../migrations/0005_quotas.sql")),
        ("0006_event_streams", include_str!("../migrations/0006_event_streams.sql")),
    ])
}

/// A row of `sessions`.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) id: String,
    pub(crate) principal: String,
    pub(crate) wallet: String,
    pub(crate) family_hash: Vec<u8>,
    pub(crate) refresh_hash: Vec<u8>,
    pub(crate) user_agent: String,
    pub(crate) address: String,
    pub(crate) created_at_ms: i64,
    pub(crate) refreshed_at_ms: i64,
    pub(crate) expires_at_ms: i64,
    pub(crate) ends_at_ms: i64,
}

/// A row of `api_keys`.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) principal: String,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) created_at_ms: i64,
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) last_used_at_ms: Option<i64>,
}

/// A wallet, its principal, and since when.
#[derive(Debug, Clone)]
pub(crate) struct WalletRow {
    pub(crate) kind: String,
    pub(crate) address: String,
    pub(crate) linked_at_ms: i64,
}

/// An entry of the audit log as stored.
#[derive(Debug, Clone)]
pub(crate) struct AuditRow {
    pub(crate) id: String,
    pub(crate) at_ms: i64,
    pub(crate) entry: Vec<(&'static str, String)>,
}

impl Store {
    /// The principal of this wallet.
    pub(crate) async fn owner(&self, kind: &str, address: &str) -> Result<Option<String>, DbError> {
        let sql = "SELECT principal FROM wallets WHERE kind = $1 AND address = $2";
        let row = self.db.query_opt(sql, params![kind, address]).await?;
        row.map(|row| row.get("principal")).transpose()
    }

    /// Whether a principal exists.
    pub(crate) async fn has_principal(&self, id: &str) -> Result<bool, DbError> {
        Ok(self.name_of(id).await?.is_some())
    }

    /// The name of a principal; `None`: there is no such principal.
    pub(crate) async fn name_of(&self, id: &str) -> Result<Option<String>, DbError> {
        let row = self.db.query_opt("SELECT name FROM principals WHERE id = $1", params![id]).await?;
        row.map(|row| row.get("name")).transpose()
    }

    /// The wallets of a principal, oldest first.
    pub(crate) async fn wallets(&self, principal: &str) -> Result<Vec<WalletRow>, DbError> {
        let sql = "SELECT kind, address, linked_at_ms FROM wallets WHERE principal = $1 \
                   ORDER BY linked_at_ms, kind, address";
        let rows = self.db.query(sql, params![principal]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(WalletRow {
                    kind: row.get("kind")?,
                    address: row.get("address")?,
                    linked_at_ms: row.get("linked_at_ms")?,
                })
            })
            .collect()
    }

    /// The same by their names.
    pub(crate) async fn wallet_names(&self, principal: &str) -> Result<Vec<String>, DbError> {
        let wallets = self.wallets(principal).await?;
        Ok(wallets.iter().map(|wallet| wallet_name(&wallet.kind, &wallet.address)).collect())
    }

    /// The granted roles of a principal; `viewer` is never granted.
    pub(crate) async fn roles(&self, principal: &str) -> Result<BTreeSet<Role>, DbError> {
        let sql = "SELECT role FROM roles WHERE principal = $1";
        let rows = self.db.query(sql, params![principal]).await?;
        let mut roles = BTreeSet::new();
        for row in rows {
            roles.extend(Role::parse(&row.get::<String>("role")?));
        }
        Ok(roles)
    }

    /// The principal that has been an admin for the longest time.
    pub(crate) async fn first_admin(&self) -> Result<Option<String>, DbError> {
        let sql = "SELECT principal FROM roles WHERE role = $1 ORDER BY granted_at_ms, principal LIMIT 1";
        let row = self.db.query_opt(sql, params![Role::Admin.name()]).await?;
        row.map(|row| row.get("principal")).transpose()
    }

    /// The active session of this id.
    pub(crate) async fn session(&self, id: &str, now_ms: i64) -> Result<Option<SessionRow>, DbError> {
        let sql = "SELECT * FROM sessions WHERE id = $1 AND expires_at_ms > $2";
        self.db.query_opt(sql, params![id, now_ms]).await?.map(|row| session_of(&row)).transpose()
    }

    /// The active sessions of a principal, newest first.
    pub(crate) async fn sessions(&self, principal: &str, now_ms: i64) -> Result<Vec<SessionRow>, DbError> {
        let sql = "SELECT * FROM sessions WHERE principal = $1 AND expires_at_ms > $2 \
                   ORDER BY created_at_ms DESC, id DESC";
        let rows = self.db.query(sql, params![principal, now_ms]).await?;
        rows.into_iter().map(|row| session_of(&row)).collect()
    }

    /// The key of this digest.
    pub(crate) async fn key(&self, hash: &[u8]) -> Result<Option<KeyRow>, DbError> {
        let row = self.db.query_opt("SELECT * FROM api_keys WHERE hash = $1", params![hash.to_vec()]).await?;
        row.map(|row| key_of(&row)).transpose()
    }

    /// The key of this id.
    pub(crate) async fn key_of(&self, id: &str) -> Result<Option<KeyRow>, DbError> {
        let row = self.db.query_opt("SELECT * FROM api_keys WHERE id = $1", params![id]).await?;
        row.map(|row| key_of(&row)).transpose()
    }

    /// The keys of a principal, newest first.
    pub(crate) async fn keys(&self, principal: &str) -> Result<Vec<KeyRow>, DbError> {
        let sql = "SELECT * FROM api_keys WHERE principal = $1 ORDER BY created_at_ms DESC, id DESC";
        let rows = self.db.query(sql, params![principal]).await?;
        rows.into_iter().map(|row| key_of(&row)).collect()
    }

    /// Records the use of a key, to the minute.
    pub(crate) async fn touch_key(&self, id: &str, now_ms: i64) -> Result<(), DbError> {
        let sql = "UPDATE api_keys SET last_used_at_ms = $2 WHERE id = $1";
        self.db.execute(sql, params![id, now_ms]).await.map(drop)
    }

    /// Adds an entry to the audit log; returns its id.
    pub(crate) async fn record(&self, entry: &Entry, now_ms: i64) -> Result<String, DbError> {
        let id = uuid::Uuid::now_v7().to_string();
        entry.push_as(self.db.batch(), now_ms, &id).run().await?;
        Ok(id)
    }

    /// The same for an entry that may be repeated.
    pub(crate) async fn record_as(&self, entry: &Entry, at_ms: i64, id: &str) -> Result<(), DbError> {
        entry.push_as(self.db.batch(), at_ms, id).run().await.map(drop)
    }

    /// Records a refusal; rate limits and failures are not recorded, because anyone can cause any number.
    pub(crate) async fn record_refusal(
        &self,
        action: &str,
        subject: &str,
        address: &str,
        error: &AuthError,
        now_ms: i64,
    ) {
        let AuthError::Refused { why, .. } = error else { return };
        let entry = Entry::new(action, AuditOutcome::Refused, "", address).on(subject).detail(why.slug());
        if let Err(error) = self.record(&entry, now_ms).await {
            tracing::warn!(%error, action, "a refusal could not be recorded");
        }
    }

    /// A page of the audit log, newest first; `before` is the last id of the previous page, or empty.
    pub(crate) async fn audit(
        &self,
        before: &str,
        principal: &str,
        limit: usize,
    ) -> Result<Vec<AuditRow>, DbError> {
        let rows = self
            .db
            .query(
                "SELECT * FROM audit WHERE ($1 = '' OR id < $1) AND ($2 = '' OR principal = $2) \
                 ORDER BY id DESC LIMIT $3",
                params![before, principal, limit],
            )
            .await?;
        const COLUMNS: [&str; 6] = ["action", "outcome", "principal", "subject", "detail", "address"];
        rows.into_iter()
            .map(|row| {
                let entry = COLUMNS.into_iter().map(|name| Ok((name, row.get(name)?)));
                Ok(AuditRow {
                    id: row.get("id")?,
                    at_ms: row.get("at_ms")?,
                    entry: entry.collect::<Result<_, DbError>>()?,
                })
            })
            .collect()
    }

    /// A page of principals, newest first, with their creation and name.
    pub(crate) async fn principals(
        &self,
        before: &str,
        limit: usize,
    ) -> Result<Vec<(String, String, i64)>, DbError> {
        let sql = "SELECT id, name, created_at_ms FROM principals WHERE ($1 = '' OR id < $1) \
                   ORDER BY id DESC LIMIT $2";
        let rows: Rows = self.db.query(sql, params![before, limit]).await?;
        rows.into_iter()
            .map(|row| Ok((row.get("id")?, row.get("name")?, row.get("created_at_ms")?)))
            .collect()
    }

    /// Removes what has expired.
    pub(crate) async fn sweep(&self, now_ms: i64, audit_before_ms: i64) -> Result<(), DbError> {
        self.db
            .batch()
            .push("DELETE FROM used_nonces WHERE expires_at_ms <= $1", params![now_ms.saturating_sub(NONCES_KEPT_MS)])
            .push("DELETE FROM sessions WHERE expires_at_ms <= $1", params![now_ms])
            .push(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
                params![audit_before_ms, SWEEP],
            )
            .frees_space()
            .run()
            .await
            .map(drop)
    }
}

fn session_of(row: &Row) -> Result<SessionRow, DbError> {
    Ok(SessionRow {
        id: row.get("id")?,
        principal: row.get("principal")?,
        wallet: row.get("wallet")?,
        family_hash: row.get("family_hash")?,
        refresh_hash: row.get("refresh_hash")?,
        user_agent: row.get("user_agent")?,
        address: row.get("address")?,
        created_at_ms: row.get("created_at_ms")?,
        refreshed_at_ms: row.get("refreshed_at_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
        ends_at_ms: row.get("ends_at_ms")?,
    })
}

fn key_of(row: &Row) -> Result<KeyRow, DbError> {
    let scopes: String = row.get("scopes")?;
    Ok(KeyRow {
        id: row.get("id")?,
        principal: row.get("principal")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        hash: row.get("hash")?,
        scopes: scopes.split(' ').filter_map(Scope::parse).collect(),
        created_at_ms: row.get("created_at_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
        last_used_at_ms: row.get("last_used_at_ms")?,
    })
}
