//! Changes to the host by local users: stored in the audit log, once, however often the host publishes them.

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_plugin_api::changes::{HostChanged, kept};
use streamgate_plugin_api::{Event, Host, Subscription};

use crate::audit::Entry;
use crate::auth::Auth;

/// Stores the host's changes, until the bus closes.
pub(crate) async fn keep(auth: Auth, host: Host, mut changes: Subscription) {
    while let Some(event) = changes.next().await {
        let Some(kept) = auth.keep_change(&event).await else { continue };
        if let Err(error) = host.publish(kept).await {
            tracing::warn!(%error, "a change of the host will be published again");
        }
    }
}

impl Auth {
    /// Puts a change of the host into the audit log; returns the acknowledgement for the host.
    pub async fn keep_change(&self, event: &Event) -> Option<Event> {
        let change: HostChanged = match event.parse() {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(%error, "a change of the host cannot be read");
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
