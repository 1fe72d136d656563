//! The reported state of every component of every plugin, and since when; the resulting state of the plugin;
//! and its record of failures, which decides how it recovers. It calls nothing and starts nothing: plugins
//! report, and the kernel pings and starts.

mod recovery;
mod stage;
mod summary;

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use streamgate_plugin_api::abi::HealthState;

use streamgate_log::rfc3339;

pub use recovery::{Budgets, Next, Record};
pub use stage::{Phase, Stage, State};
pub use summary::{Seen, summary};

/// More components than any plugin needs; further ones are not kept.
const MAX_COMPONENTS: usize = 256;
const MAX_REASON: usize = 1_024;

/// The state of a component, a plugin or the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works as intended.
    Healthy,
    /// It works with problems.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl From<HealthState> for Status {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Healthy => Self::Healthy,
            HealthState::Degraded => Self::Degraded,
            HealthState::Unhealthy => Self::Unhealthy,
        }
    }
}

/// One component, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Unique in its plugin.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// Empty when healthy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// RFC 3339.
    pub since: String,
}

impl Component {
    /// Name and reason; empty when healthy.
    pub fn complaint(&self) -> String {
        if self.status == Status::Healthy { String::new() } else { format!("{}: {}", self.name, self.reason) }
    }

    /// A component whose state is determined elsewhere.
    pub fn new(name: &str, status: Status, reason: impl Into<String>, since: SystemTime) -> Self {
        Self { name: name.to_owned(), status, reason: reason.into(), since: rfc3339(since) }
    }
}

/// The representative component: the first of those in the worst state.
pub fn worst(components: &[Component]) -> Component {
    let status = components.iter().map(|component| component.status).max().unwrap_or(Status::Healthy);
    let worst = components.iter().find(|component| component.status == status);
    worst.cloned().unwrap_or_else(|| Component::new("", status, "", SystemTime::now()))
}

/// All components, by the run of the plugin that reports them and by name.
#[derive(Default)]
pub struct Health(Mutex<BTreeMap<u64, BTreeMap<String, Component>>>);

impl Health {
    /// Sets a component. Returns whether its state changed; only then its `since` does.
    pub fn set(&self, run: u64, component: &str, status: Status, reason: &str) -> bool {
        let reason = if status == Status::Healthy { "" } else { reason };
        let reason: String = reason.chars().take(MAX_REASON).collect();
        let mut plugins = self.0.lock();
        let components = plugins.entry(run).or_default();
        if components.len() >= MAX_COMPONENTS && !components.contains_key(component) {
            return false;
        }
        let mut new = Component::new(component, status, reason, SystemTime::now());
        let before = components.get(component);
        let changed = before.map_or(Status::Healthy, |known| known.status) != status;
        if let Some(known) = before.filter(|_| !changed) {
            new.since.clone_from(&known.since);
        }
        components.insert(component.to_owned(), new);
        changed
    }

    /// Removes a run.
    pub fn clear(&self, run: u64) {
        self.0.lock().remove(&run);
    }

    /// A run's components by name.
    pub fn components(&self, run: u64) -> Vec<Component> {
        self.0.lock().get(&run).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_changes_with_the_state_and_not_with_the_reason() {
        let health = Health::default();
        assert!(!health.set(1, "disk", Status::Healthy, "ignored"));
        assert_eq!(health.components(1)[0].reason, "");
        assert!(health.set(1, "disk", Status::Degraded, "90 % full"));
        let before = health.components(1)[0].since.clone();
        assert!(!health.set(1, "disk", Status::Degraded, "91 % full"));
        let after = &health.components(1)[0];
        assert_eq!((after.reason.as_str(), &after.since), ("91 % full", &before));
    }

    #[test]
    fn the_worst_component_speaks_for_the_plugin() {
        let health = Health::default();
        health.set(1, "a", Status::Degraded, "slow");
        health.set(1, "b", Status::Unhealthy, "gone");
        assert_eq!(worst(&health.components(1)).complaint(), "b: gone");
        health.clear(1);
        assert_eq!(worst(&health.components(1)).complaint(), "");
    }

    #[test]
    fn the_number_of_components_is_bounded() {
        let health = Health::default();
        for i in 0..2 * MAX_COMPONENTS {
            health.set(1, &i.to_string(), Status::Healthy, "");
        }
        assert_eq!(health.components(1).len(), MAX_COMPONENTS);
    }
}
