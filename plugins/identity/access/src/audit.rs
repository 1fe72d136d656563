//! Entries for the audit log, which `auth` keeps. A change is stored with its entry, which is sent until it
//! is acknowledged; grants and refusals are sent as they occur, and some may be lost under load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamgate_contracts::audit::{Entry, Outbox};
use streamgate_contracts::auth::v1::AuditRequest;
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::db::Db;
use streamgate_plugin_api::Client;
use tokio::sync::{Notify, mpsc};

/// Grants and refusals waiting to be sent.
const QUEUE: usize = 1_024;
/// How long `auth` may take for one.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often unacknowledged entries are sent again.
const AGAIN: Duration = Duration::from_secs(5);

/// The sender.
pub(crate) struct Audit {
    sender: mpsc::Sender<Entry>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Entry>>,
    /// A change was stored.
    noted: Notify,
    lost: AtomicU64,
    client: AuthClient<Client>,
    changes: Outbox,
}

impl Audit {
    pub(crate) fn new(db: Db, auth: Client) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            sender,
            receiver: tokio::sync::Mutex::new(receiver),
            noted: Notify::new(),
            lost: AtomicU64::new(0),
            client: AuthClient::new(auth.clone()),
            changes: Outbox::new(db, auth),
        }
    }

    /// Sends an entry that may be lost.
    pub(crate) fn tell(&self, entry: Entry) {
        if self.sender.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// There are changes to send.
    pub(crate) fn noted(&self) {
        self.noted.notify_one();
    }

    /// Sends them, until it is dropped.
    pub(crate) async fn run(&self) {
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
                () = self.noted.notified() => self.send_changes().await,
                _ = again.tick() => self.send_changes().await,
            }
        }
    }

    async fn send_changes(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lost,
                "grants and refusals are missing in the audit log; check that auth is running and fast enough"
            );
        }
        if let Err(error) = self.changes.send().await {
            tracing::warn!(%error, "changes wait for the audit log");
        }
    }

    async fn send(&self, entry: Entry) -> bool {
        let mut client = self.client.clone();
        matches!(tokio::time::timeout(DEADLINE, client.audit(AuditRequest::from(entry))).await, Ok(Ok(_)))
    }
}
