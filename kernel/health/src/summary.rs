//! The overall health, from a snapshot of each plugin.

use serde_json::{Value, json};

use streamgate_log::rfc3339;

use crate::{Component, Phase, Stage, State, Status, worst};

/// The snapshot of one plugin.
#[derive(Debug)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Whether it is required for readiness.
    pub required: bool,
    /// Its stage.
    pub state: State,
    /// Its reported components, and the kernel's own observations.
    pub components: Vec<Component>,
    /// The plugins that it requires, by index.
    pub needs: Vec<usize>,
}

impl Seen {
    /// Its components, preceded by its stage if it does not run.
    fn own(&self) -> Vec<Component> {
        let Self { state, components, .. } = self;
        let reason =
            if state.reason.is_empty() { format!("{:?}", state.stage) } else { state.reason.clone() };
        let down = (state.stage != Stage::Running)
            .then(|| Component::new("state", Status::Unhealthy, reason, state.since));
        down.into_iter().chain(components.iter().cloned()).collect()
    }

    fn report(&self, components: Vec<Component>) -> Value {
        let Self { name, required, state, .. } = self;
        let worst = worst(&components);
        let since = if worst.status == Status::Healthy { rfc3339(state.since) } else { worst.since.clone() };
        let reason = if state.reason.is_empty() { worst.complaint() } else { state.reason.clone() };
        // The stage's own component is not one of the plugin's.
        let components: Vec<_> =
            components.into_iter().filter(|component| component.name != "state").collect();
        json!({
            "name": name,
            "state": state.stage,
            "status": worst.status,
            "reason": reason,
            "since": since,
            "required": required,
            "components": components,
        })
    }
}

/// The overall health as JSON. Ready: no `required` plugin is unhealthy, at least one runs, and the process
/// neither starts nor stops.
pub fn summary(phase: Phase, plugins: &[Seen]) -> Value {
    let own: Vec<_> = plugins.iter().map(Seen::own).collect();
    let all: Vec<_> = (0..plugins.len()).map(|index| with_needs(plugins, index, &own)).collect();
    let statuses = all.iter().map(|components| worst(components).status);
    let running = plugins.iter().any(|plugin| plugin.state.stage == Stage::Running);
    let vital = |(plugin, status): (&Seen, Status)| plugin.required && status == Status::Unhealthy;
    let status = if phase != Phase::Running || !running || plugins.iter().zip(statuses.clone()).any(vital) {
        Status::Unhealthy
    } else {
        statuses.max().unwrap_or(Status::Healthy).min(Status::Degraded)
    };
    let plugins: Vec<_> =
        plugins.iter().zip(all).map(|(plugin, components)| plugin.report(components)).collect();
    json!({ "status": status, "ready": status != Status::Unhealthy, "plugins": plugins })
}

/// A plugin's components, and one about its dependencies if one of those is unhealthy.
fn with_needs(plugins: &[Seen], index: usize, own: &[Vec<Component>]) -> Vec<Component> {
    let mut components = own[index].clone();
    let broken = plugins[index].needs.iter().map(|&need| (&plugins[need].name, worst(&own[need])));
    let broken: Vec<_> = broken.filter(|(_, worst)| worst.status == Status::Unhealthy).collect();
    if let Some(since) = broken.iter().map(|(_, worst)| worst.since.clone()).min() {
        let reasons = broken.iter().map(|(name, w)| format!("{name} is unhealthy ({})", w.complaint()));
        let (name, reason) = ("requirements".to_owned(), reasons.collect::<Vec<_>>().join(", "));
        components.push(Component { name, status: Status::Degraded, reason, since });
    }
    components
}
