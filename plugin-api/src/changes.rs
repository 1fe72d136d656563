//! Changes to the running host by local users: a swap, a reload, a restart, including failed ones. The host
//! stores each before it answers, and publishes it repeatedly until a plugin acknowledges that it is stored
//! permanently, for example in an audit log.

use serde::{Deserialize, Serialize};

use crate::{BusError, Event};

/// The subjects of [`HostChanged`].
pub const HOST_CHANGED: &str = "host.changed";
/// CloudEvents `type` of [`HostChanged`].
pub const TYPE_HOST_CHANGED: &str = "streamgate.host.changed.v1";
/// The subjects of acknowledgements.
pub const HOST_CHANGE_KEPT_ANY: &str = "host.changed.*.kept";
/// CloudEvents `type` of an acknowledgement.
pub const TYPE_HOST_CHANGE_KEPT: &str = "streamgate.host.change.kept.v1";

/// A local user had the host change something, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChanged {
    /// A UUIDv7 of this change: it may come more than once.
    pub id: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// `host.swap`, `host.reload` or `host.restart`.
    pub action: String,
    /// The plugin; empty: all of them.
    pub plugin: String,
    /// The user, such as `uid:1000`; empty: unknown.
    pub by: String,
    /// The interface, such as `control socket`.
    pub through: String,
    /// Whether it succeeded; if not, nothing changed.
    pub done: bool,
    /// What changed, or why it failed.
    pub detail: String,
}

/// Acknowledges that a change is stored: the host need not publish it again.
///
/// # Errors
/// If the event cannot be serialized.
pub fn kept(id: &str) -> Result<Event, BusError> {
    Event::json(format!("{HOST_CHANGED}.{id}.kept"), TYPE_HOST_CHANGE_KEPT, &serde_json::json!({ "id": id }))
}

/// The id in the subject of [`kept`].
pub fn kept_id(subject: &str) -> Option<&str> {
    subject.strip_prefix(HOST_CHANGED)?.strip_prefix('.')?.strip_suffix(".kept")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_says_that_a_change_is_kept_names_it() {
        assert_eq!(kept_id(&kept("0190a").unwrap().subject), Some("0190a"));
        assert_eq!(kept_id("host.changed"), None);
    }
}
