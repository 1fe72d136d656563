//! Entries for the audit log, which `auth` keeps: who changed which content, and how. An entry is
//! written in the transaction of its change and sent until it is taken, so that a change is in the log
//! even if `auth` was away, at least once.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use streamgate_contracts::auth::v1::{AuditOutcome, AuditRequest};
use streamgate_contracts::catalogue::v1::Content;
use streamgate_contracts::db::{Batch, params};
use streamgate_plugin_api::{Principal, address};

use crate::store::{Store, StoreError};

/// Entries that wait for the audit log; beyond that the oldest go.
const MAX_NOTED: u32 = 10_000;
/// Entries that go at once.
const SWEEP: u32 = 1_000;

/// Who changes something, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct By {
    pub(crate) principal: String,
    address: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    action: String,
    principal: String,
    address: String,
    content: String,
    detail: String,
}

impl By {
    /// The sender of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            principal: Principal::of(headers).map(|principal| principal.id).unwrap_or_default(),
            address: address::client(headers).map(|address| address.to_string()).unwrap_or_default(),
        }
    }

    /// Adds an entry to what happens together. Where nobody signs in, there is no log to keep it in, and what
    /// other plugins do is theirs to tell.
    pub(crate) fn note(&self, batch: Batch, action: &str, content: &str, detail: String) -> Batch {
        if self.principal.is_empty() {
            return batch;
        }
        let entry = Entry {
            action: action.into(),
            principal: self.principal.clone(),
            address: self.address.clone(),
            content: content.into(),
            detail,
        };
        let text = serde_json::to_string(&entry).expect("text is always JSON");
        let id = uuid::Uuid::now_v7().to_string();
        batch.push("INSERT INTO audit (id, entry) VALUES ($1, $2)", params![id, text])
    }
}

impl Entry {
    pub(crate) fn into_request(self) -> AuditRequest {
        AuditRequest {
            action: self.action,
            outcome: AuditOutcome::Changed.into(),
            principal: self.principal,
            subject: self.content,
            detail: self.detail,
            address: self.address,
        }
    }
}

/// What a person changed of a content, in words.
pub(crate) fn difference(before: &Content, after: &Content) -> String {
    let mut changed = Vec::new();
    if before.title != after.title {
        changed.push(format!("title from \"{}\" to \"{}\"", before.title, after.title));
    }
    if before.description != after.description {
        changed.push("description".to_owned());
    }
    if before.tags != after.tags {
        changed.push(format!("tags to {}", after.tags.join(", ")));
    }
    changed.join("; ")
}

impl Store {
    /// Entries that are to be sent, the oldest first.
    pub(crate) async fn noted(&self, limit: u32) -> Result<Vec<(String, Entry)>, StoreError> {
        let sql = "SELECT id, entry FROM audit ORDER BY id LIMIT $1";
        let mut noted = Vec::new();
        for row in self.db.query(sql, params![limit]).await? {
            let text: String = row.get("entry")?;
            let entry = serde_json::from_str(&text).map_err(|error| {
                StoreError::Unavailable(format!("an entry for the audit log cannot be read: {error}"))
            })?;
            noted.push((row.get("id")?, entry));
        }
        Ok(noted)
    }

    /// Drops what is more than may wait; tells how many entries that were.
    pub(crate) async fn drop_oldest_noted(&self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id DESC LIMIT $2 OFFSET $1)";
        Ok(self.db.execute(sql, params![MAX_NOTED, SWEEP]).await?)
    }

    /// An entry is in the log.
    pub(crate) async fn told(&self, id: &str) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM audit WHERE id = $1", params![id]).await?;
        Ok(())
    }
}
