//! Entries for the audit log, which `auth` keeps. A change is noted with what it changes, and sent
//! until it is taken; grants and refusals are sent as they come, and some may be lost in a flood.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::{AuditOutcome, AuditRequest};
use streamgate_plugin_api::Client;
use tokio::sync::{Notify, mpsc};

use crate::store::Store;

/// Entries that wait to be sent.
const QUEUE: usize = 1_024;
/// How long `auth` may take for one.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often what was not taken is sent again.
const AGAIN: Duration = Duration::from_secs(5);
/// Changes that are sent at once.
const PAGE: u32 = 100;

/// An entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) action: String,
    pub(crate) outcome: i32,
    /// Who did it.
    pub(crate) principal: String,
    /// What it was done to: a content's id, and of whose access.
    pub(crate) subject: String,
    pub(crate) detail: String,
}

impl Entry {
    pub(crate) fn new(
        action: &str,
        outcome: AuditOutcome,
        principal: &str,
        subject: &str,
        detail: &str,
    ) -> Self {
        Self {
            action: action.into(),
            outcome: outcome.into(),
            principal: principal.into(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }

    /// Somebody changed something.
    pub(crate) fn change(action: &str, principal: &str, subject: &str, detail: &str) -> Self {
        Self::new(action, AuditOutcome::Changed, principal, subject, detail)
    }
}

/// What sends them.
pub(crate) struct Audit {
    sender: mpsc::Sender<Entry>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Entry>>,
    /// A change was noted.
    noted: Notify,
    lost: AtomicU64,
    client: AuthClient<Client>,
}

impl Audit {
    pub(crate) fn new(auth: Client) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            sender,
            receiver: tokio::sync::Mutex::new(receiver),
            noted: Notify::new(),
            lost: AtomicU64::new(0),
            client: AuthClient::new(auth),
        }
    }

    /// Sends an entry that may be lost.
    pub(crate) fn tell(&self, entry: Entry) {
        if self.sender.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// There are changes to be sent.
    pub(crate) fn noted(&self) {
        self.noted.notify_one();
    }

    /// Sends them, until it is dropped.
    pub(crate) async fn run(&self, store: &Store) {
        let mut receiver = self.receiver.lock().await;
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(entry) = receiver.recv() => {
                    if !self.send(entry).await {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
                () = self.noted.notified() => self.send_changes(store).await,
                _ = again.tick() => self.send_changes(store).await,
            }
        }
    }

    async fn send_changes(&self, store: &Store) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lost,
                "grants and refusals are missing in the audit log; is auth there and fast enough?"
            );
        }
        loop {
            let noted = match store.noted(PAGE).await {
                Ok(noted) if noted.is_empty() => return,
                Ok(noted) => noted,
                Err(error) => return tracing::warn!(%error, "changes could not be read for the audit log"),
            };
            for (id, entry) in noted {
                if !self.send(entry).await {
                    return;
                }
                if let Err(error) = store.taken(&id).await {
                    return tracing::warn!(%error, "an entry of the audit log is sent again");
                }
            }
        }
    }

    async fn send(&self, entry: Entry) -> bool {
        let request = AuditRequest {
            action: entry.action,
            outcome: entry.outcome,
            principal: entry.principal,
            subject: entry.subject,
            detail: entry.detail,
            address: String::new(),
        };
        let mut client = self.client.clone();
        matches!(tokio::time::timeout(DEADLINE, client.audit(request)).await, Ok(Ok(_)))
    }
}
