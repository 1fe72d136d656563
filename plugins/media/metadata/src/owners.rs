//! The owners of contents, from the database, and contents without one: they are assigned to the first admin
//! as soon as there is one.

use std::collections::HashMap;
use std::time::Duration;

use streamgate_contracts::auth::v1::FirstAdminRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::catalogue::v1::{Content, Right, StandingRequest};
use streamgate_contracts::db::{DbError, Row, params, places};

use crate::catalogue::Catalogue;
use crate::changes::Urgency;
use crate::dependencies::answered;
use crate::rights::{Caller, Holders};
use crate::shares;
use crate::store::{Store, StoreError};

/// Contents that are assigned in one step.
const PAGE: u32 = 200;
/// How often contents without an owner are searched.
const EVERY: Duration = Duration::from_secs(300);
/// The same while `auth` does not name the first admin.
const AGAIN: Duration = Duration::from_secs(5);
/// Maximum contents of one call.
const MAX_ASKED: usize = 500;

/// Why contents stay without an owner for now.
#[derive(Debug, thiserror::Error)]
enum Unclaimed {
    #[error("`auth` does not name the first admin: {0}")]
    Auth(String),
    #[error("there is no admin yet")]
    NoAdmin,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalogue {
    /// A caller's rights on some contents because of their owners, in their order.
    pub(crate) async fn standing(&self, request: StandingRequest) -> Result<Vec<Right>, StoreError> {
        let StandingRequest { principal, scopes, contents, roles } = request;
        let caller = Caller::new(principal, &roles, &scopes);
        let holders = self.holders(&contents).await?;
        let right = |id| holders.get(id).map_or(Right::None, |holders| caller.right_to(holders));
        Ok(contents.iter().map(right).collect())
    }

    /// The owners of these contents, in their order; empty where there is none.
    pub(crate) async fn owners(&self, contents: &[String]) -> Result<Vec<String>, StoreError> {
        let holders = self.holders(contents).await?;
        let owner = |id| holders.get(id).map(|found| found.owner.clone()).unwrap_or_default();
        Ok(contents.iter().map(owner).collect())
    }

    async fn holders(&self, contents: &[String]) -> Result<HashMap<String, Holders>, StoreError> {
        if contents.len() > MAX_ASKED {
            return Err(StoreError::Invalid(format!("{} contents; at most {MAX_ASKED}", contents.len())));
        }
        self.store.holders(contents).await
    }

    /// Assigns contents without an owner to the first admin, until it is dropped. The rest is assigned after
    /// the next start.
    pub(crate) async fn claim_what_nobody_owns(&self) {
        loop {
            let pause = match self.claim_unowned().await {
                Ok(()) => EVERY,
                Err(Unclaimed::Store(error)) => {
                    tracing::warn!(%error, "contents without an owner could not be claimed");
                    AGAIN
                }
                // Without authentication it stays so.
                Err(reason) => {
                    tracing::debug!(%reason, "contents stay without an owner");
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn claim_unowned(&self) -> Result<(), Unclaimed> {
        let mut admin = None;
        loop {
            let unowned = self.store.unowned(PAGE).await?;
            if unowned.is_empty() {
                return Ok(());
            }
            let admin = match &admin {
                Some(admin) => admin,
                None => admin.insert(self.first_admin().await?),
            };
            for id in &unowned {
                match self.store.claim(id, admin).await {
                    Ok(_) => self.feed.touch(id, Urgency::Now),
                    Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            tracing::info!(
                contents = unowned.len(),
                owner = admin,
                "contents without an owner were assigned"
            );
        }
    }

    async fn first_admin(&self) -> Result<String, Unclaimed> {
        let mut auth = AuthClient::new(self.dependencies.auth.clone());
        let answer = answered(auth.first_admin(FirstAdminRequest {})).await.map_err(Unclaimed::Auth)?;
        let admin = answer.principal;
        if admin.is_empty() { Err(Unclaimed::NoAdmin) } else { Ok(admin) }
    }
}

impl Store {
    /// The owners and shares of these contents; missing ones are left out.
    pub(crate) async fn holders(&self, ids: &[String]) -> Result<HashMap<String, Holders>, StoreError> {
        let mut holders = HashMap::new();
        for some in ids.chunks(100) {
            let sql = format!("SELECT id, owner, shares FROM contents WHERE id IN ({})", places(some.len()));
            let rows = self.db.query(&sql, some.iter().flat_map(|id| params![id]).collect()).await?;
            for row in rows {
                holders.insert(row.get("id")?, Holders::from_row(&row)?);
            }
        }
        Ok(holders)
    }

    async fn unowned(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM contents WHERE owner = '' ORDER BY created_at_ms, id LIMIT $1";
        let rows = self.db.query(sql, params![limit]).await?;
        rows.into_iter().map(|row| row.get("id").map_err(StoreError::from)).collect()
    }

    /// Gives a content without an owner one.
    async fn claim(&self, id: &str, owner: &str) -> Result<Content, StoreError> {
        let apply = |content: &mut Content| {
            if content.owner.is_empty() {
                owner.clone_into(&mut content.owner);
            }
            Ok(())
        };
        self.update(id, apply).await
    }
}

impl Holders {
    /// From columns of these names.
    pub(crate) fn from_row(row: &Row) -> Result<Self, DbError> {
        let shares = shares::unpacked(row.get("shares")?);
        let shares =
            shares.map_err(|error| DbError::Column { column: "shares".into(), reason: error.to_string() })?;
        Ok(Self { id: row.get("id")?, owner: row.get("owner")?, shares })
    }
}
