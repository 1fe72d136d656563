//! What people on the server's machine changed of the host: kept in the audit log, once, however often
//! the host tells of it.

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_plugin_api::changes::{HostChanged, kept};
use streamgate_plugin_api::{Event, Host, Subscription};

use crate::audit::Entry;
use crate::auth::Auth;

/// Keeps what the host tells, until the bus closes.
pub(crate) async fn keep(auth: Auth, host: Host, mut changes: Subscription) {
    while let Some(event) = changes.next().await {
        let Some(kept) = auth.keep_change(&event).await else { continue };
        if let Err(error) = host.publish(kept).await {
            tracing::warn!(%error, "the host tells of a change again");
        }
    }
}

impl Auth {
    /// Puts a change of the host into the audit log; answers what tells the host that it stays there.
    pub async fn keep_change(&self, event: &Event) -> Option<Event> {
        let change: HostChanged = match event.parse() {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(%error, "what the host tells of a change cannot be read");
                return None;
            }
        };
        let outcome = if change.done { AuditOutcome::Changed } else { AuditOutcome::Refused };
        let entry = Entry::new(&change.action, outcome, &change.by, &change.through)
            .on(&change.plugin)
            .detail(&change.detail);
        if let Err(error) = self.base.store.record_as(&entry, change.at_ms, &change.id).await {
            tracing::warn!(%error, action = change.action, "a change of the host is not in the audit log yet");
            return None;
        }
        kept(&change.id).inspect_err(|error| tracing::error!(%error, "an event could not be written")).ok()
    }
}
