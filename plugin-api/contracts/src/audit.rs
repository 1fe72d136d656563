//! Entries for the audit log, which `auth` keeps: who changed what, from where, and how. An entry is written
//! in the transaction of its change, into a table `audit` of the plugin's own namespace, and sent until it is
//! acknowledged: a change is in the log even if `auth` was unavailable, at least once.
//!
//! ```no_run
//! use streamgate_contracts::audit::{By, Outbox};
//! use streamgate_contracts::db::{Db, params};
//!
//! # async fn example(host: streamgate_plugin_api::Host, headers: http::HeaderMap, db: Db) -> Result<(), Box<dyn std::error::Error>> {
//! let batch = db.batch().push("DELETE FROM note WHERE id = $1", params!["a"]);
//! By::of(&headers).note(batch, "note.delete", "a", "").run().await?;
//! // In a task, and again as long as it fails:
//! Outbox::new(db, host.service("auth")).send().await?;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::{Client, Principal, address};
use tokio::sync::Notify;

use crate::auth::v1::auth_client::AuthClient;
use crate::auth::v1::{AuditOutcome, AuditRequest};
use crate::db::{Batch, Db, DbError, params};

/// The migration that creates the table of waiting entries. It never changes.
pub const TABLE: &str = include_str!("audit.sql");

/// Maximum waiting entries of one namespace; beyond that the oldest are dropped.
const MAX_WAITING: u32 = 10_000;
/// Entries that are sent concurrently.
const SWEEP: u32 = 1_000;
/// Entries that are read at once.
const PAGE: u32 = 100;
/// How long `auth` may take for one.
const DEADLINE: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// The actor of a change, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// Id of a principal; empty: unknown.
    pub principal: String,
    /// The client's address; empty: unknown.
    pub address: String,
}

impl By {
    /// The sender of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            principal: Principal::of(headers).map(|principal| principal.id).unwrap_or_default(),
            address: address::client(headers).map(|address| address.to_string()).unwrap_or_default(),
        }
    }

    /// An entry about a change by this actor.
    pub fn changed(&self, action: &str, subject: impl Into<String>, detail: impl Into<String>) -> Entry {
        Entry {
            action: action.into(),
            outcome: AuditOutcome::Changed.into(),
            principal: self.principal.clone(),
            address: self.address.clone(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }

    /// Adds an entry to a batch. Without authentication there is no log, and other plugins record their own
    /// changes: nothing is added without a principal.
    pub fn note(
        &self,
        batch: Batch,
        action: &str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Batch {
        if self.principal.is_empty() {
            return batch;
        }
        self.changed(action, subject, detail).push(batch)
    }
}

/// A recorded action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// For example `content.delete`.
    pub action: String,
    /// An [`AuditOutcome`].
    #[serde(default = "changed")]
    pub outcome: i32,
    /// The principal; empty: unknown.
    pub principal: String,
    /// The client's address; empty: unknown.
    #[serde(default)]
    pub address: String,
    /// The affected object.
    #[serde(alias = "content")]
    pub subject: String,
    /// What changed, as text. Never a secret.
    pub detail: String,
}

fn changed() -> i32 {
    AuditOutcome::Changed.into()
}

impl Entry {
    /// Adds it to a batch.
    pub fn push(&self, batch: Batch) -> Batch {
        let text = serde_json::to_string(self).expect("text and a number are always JSON");
        let id = uuid::Uuid::now_v7().to_string();
        batch.push("INSERT INTO audit (id, entry) VALUES ($1, $2)", params![id, text])
    }
}

impl From<Entry> for AuditRequest {
    fn from(entry: Entry) -> Self {
        let Entry { action, outcome, principal, address, subject, detail } = entry;
        Self { action, outcome, principal, subject, detail, address }
    }
}

/// Why entries are still waiting.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotSent {
    /// The namespace cannot be read or written.
    #[error("the waiting audit entries cannot be read: {0}")]
    Db(#[from] DbError),
    /// `auth` did not accept one.
    #[error("changes are not in the audit log yet: {0}")]
    Auth(String),
}

/// Entries of one namespace that wait for `auth`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    db: Db,
    auth: AuthClient<Client>,
}

impl Outbox {
    /// For a namespace that has the table of [`TABLE`].
    pub fn new(db: Db, auth: Client) -> Self {
        Self { db, auth: AuthClient::new(auth) }
    }

    /// Sends all waiting entries, the oldest first. The rest is left for the next call.
    ///
    /// # Errors
    /// If the database or `auth` is unavailable.
    pub async fn send(&self) -> Result<(), NotSent> {
        self.drop_oldest().await?;
        loop {
            let page =
                self.db.query("SELECT id, entry FROM audit ORDER BY id LIMIT $1", params![PAGE]).await?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                let (id, text): (String, String) = (row.get("id")?, row.get("entry")?);
                match serde_json::from_str::<Entry>(&text) {
                    Ok(entry) => self.send_one(entry).await?,
                    // The others must not wait behind it.
                    Err(error) => {
                        tracing::error!(id, %error, text, "an entry cannot be put into the audit log")
                    }
                }
                self.free("DELETE FROM audit WHERE id = $1", params![id]).await?;
            }
        }
    }

    /// Sends entries until it is dropped: on each notification of `noted`, and again after a failure.
    pub async fn run(&self, noted: &Notify) {
        let mut failures = 0;
        loop {
            if let Err(error) = self.send().await {
                failures += 1;
                let pause = BACKOFF.after(failures);
                tracing::warn!(%error, pause = pause.as_secs(), "changes wait for the audit log");
                tokio::time::sleep(pause).await;
                continue;
            }
            failures = 0;
            let _ = tokio::time::timeout(BACKOFF.longest, noted.notified()).await;
        }
    }

    async fn send_one(&self, entry: Entry) -> Result<(), NotSent> {
        let mut auth = self.auth.clone();
        let request = AuditRequest::from(entry);
        match tokio::time::timeout(DEADLINE, auth.audit(request.clone())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
                tracing::error!(
                    action = request.action,
                    subject = request.subject,
                    principal = request.principal,
                    reason = status.message(),
                    "the audit log refused this"
                );
                Ok(())
            }
            Ok(Err(status)) => Err(NotSent::Auth(status.message().to_owned())),
            Err(_) => Err(NotSent::Auth("`auth` does not answer".into())),
        }
    }

    /// Drops entries above the limit.
    async fn drop_oldest(&self) -> Result<(), DbError> {
        let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id DESC LIMIT $2 OFFSET $1)";
        let lost = self.free(sql, params![MAX_WAITING, SWEEP]).await?;
        if lost > 0 {
            tracing::error!(
                lost,
                "`auth` was unavailable for too many changes; the oldest are missing in the audit log"
            );
        }
        Ok(())
    }

    async fn free(&self, sql: &str, values: Vec<crate::db::Param>) -> Result<u64, DbError> {
        let outcomes = self.db.batch().push(sql, values).frees_space().run().await?;
        Ok(outcomes.first().map_or(0, |outcome| outcome.rows_affected))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_earlier_versions_left_are_read() {
        let of_metadata =
            r#"{"action":"content.delete","principal":"p","address":"::1","content":"c","detail":""}"#;
        let entry: Entry = serde_json::from_str(of_metadata).unwrap();
        let by = By { principal: "p".into(), address: "::1".into() };
        assert_eq!(entry, by.changed("content.delete", "c", ""));
        let of_access =
            r#"{"action":"access.policy","outcome":3,"principal":"p","subject":"c","detail":"public"}"#;
        let entry: Entry = serde_json::from_str(of_access).unwrap();
        let by = By { principal: "p".into(), ..By::default() };
        assert_eq!(entry, by.changed("access.policy", "c", "public"));
    }
}
