//! What people on the server's machine changed of the running host: a swap, a reload, a restart, and
//! those that failed. The host writes each down before it answers, and publishes it again and again
//! until a plugin says that it has put it where it stays, such as an audit log.

use serde::{Deserialize, Serialize};

use crate::{BusError, Event};

/// Where [`HostChanged`] is published.
pub const HOST_CHANGED: &str = "host.changed";
/// CloudEvents `type` of [`HostChanged`].
pub const TYPE_HOST_CHANGED: &str = "streamgate.host.changed.v1";
/// What the host subscribes to, to learn which changes stay somewhere.
pub const HOST_CHANGE_KEPT_ANY: &str = "host.changed.*.kept";
/// CloudEvents `type` of what says that a change stays somewhere.
pub const TYPE_HOST_CHANGE_KEPT: &str = "streamgate.host.change.kept.v1";

/// Somebody on this machine had the host change something, or tried to.
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
    /// Who asked, such as `uid:1000`; empty: not known.
    pub by: String,
    /// How they asked, such as `control socket`.
    pub through: String,
    /// Whether it was done; if not, everything is as it was.
    pub done: bool,
    /// What changed, or why nothing did.
    pub detail: String,
}

/// Says that a change stays somewhere: the host need not tell of it again.
///
/// # Errors
/// When the event cannot be written.
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
