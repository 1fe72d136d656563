//! The owners of playback sessions, in the database: what a token does not contain and a run needs after a
//! restart or on another node. Without a database, playback sessions end with their run.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use streamgate_contracts::db::{Db, DbError, Migrations, params};
use tokio::sync::OnceCell;

use crate::gate::provider::Provider;
use crate::gate::token::PlaybackId;
use crate::gate::viewers::Viewer;

/// Rows that one sweep removes.
const SWEEP: u32 = 1000;

/// The namespace `streaming` of the database, opened when it is first needed.
pub(crate) struct Store {
    database: Provider,
    db: OnceCell<Db>,
}

/// The migrations of the namespace.
pub(crate) fn migrations() -> Migrations {
    Migrations::new(&[
        ("0001_grants", include_str!("../../migrations/0001_grants.sql")),
        ("0002_credentials", include_str!("../../migrations/0002_credentials.sql")),
    ])
}

impl Store {
    pub(crate) fn new(database: Provider) -> Self {
        Self { database, db: OnceCell::new() }
    }

    async fn db(&self) -> Result<&Db, DbError> {
        self.db.get_or_try_init(|| Db::open(self.database.client.clone(), "streaming", migrations())).await
    }

    /// Stores the owner of a playback session. `issued_at` in Unix seconds.
    pub(crate) async fn keep(&self, id: &PlaybackId, viewer: &Viewer, issued_at: u64) {
        let row = params![
            URL_SAFE_NO_PAD.encode(id),
            &*viewer.principal,
            &*viewer.credential,
            viewer.roles.join(","),
            viewer.scopes.join(","),
            viewer.wallets.join(","),
            i64::try_from(issued_at).unwrap_or(i64::MAX),
        ];
        let insert = "INSERT INTO grants (id, principal, credential, roles, scopes, wallets, issued_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.database.call(async { self.db().await?.execute(insert, row).await }).await;
    }

    /// The owner of a playback session. `None` also if the database does not answer, or does not know the
    /// credential.
    pub(crate) async fn holder(&self, id: &PlaybackId) -> Option<Viewer> {
        let viewer: Option<Viewer> = self.database.call(self.read(id)).await?;
        viewer.filter(|viewer| viewer.is_anonymous() == viewer.credential.is_empty())
    }

    async fn read(&self, id: &PlaybackId) -> Result<Option<Viewer>, DbError> {
        let select = "SELECT principal, credential, roles, scopes, wallets FROM grants WHERE id = $1";
        let row = self.db().await?.query_opt(select, params![URL_SAFE_NO_PAD.encode(id)]).await?;
        let Some(row) = row else { return Ok(None) };
        let list = |name| -> Result<Vec<String>, DbError> {
            let text: String = row.get(name)?;
            Ok(text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
        };
        let text = |name| row.get::<String>(name);
        Ok(Some(Viewer {
            principal: text("principal")?.into(),
            credential: text("credential")?.into(),
            roles: list("roles")?,
            scopes: list("scopes")?,
            wallets: list("wallets")?,
        }))
    }

    /// Removes playback sessions that were issued before `issued_at`, in Unix seconds.
    pub(crate) async fn sweep(&self, issued_at: u64) {
        let issued_at = i64::try_from(issued_at).unwrap_or(i64::MAX);
        let delete = "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE issued_at < $1 LIMIT $2)";
        let round = async || self.db().await?.execute(delete, params![issued_at, SWEEP]).await;
        while self.database.call::<_, DbError>(round()).await == Some(u64::from(SWEEP)) {}
    }
}
