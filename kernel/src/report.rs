//! What the kernel can tell of itself and its plugins, as JSON: the same for `streamgate
//! plugins --json`, for `streamgate health --json` and for a plugin that asks.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use streamgate_plugin_api::abi::{API_MAJOR, API_MINOR};

use crate::VERSION;
use crate::lifecycle::{Composition, Entry, Kernel};
use streamgate_health::{Component, Phase, Stage, State, Status, worst};
use streamgate_log::rfc3339;

/// How long a publisher must have waited for a subscriber before health shows it.
const SLOW: Duration = Duration::from_secs(1);
/// How long a panic, or the end of its process, is shown.
const RECENT: Duration = Duration::from_secs(60);

impl Kernel {
    /// Everything.
    pub(crate) fn report(&self) -> Value {
        let mut report = self.health_report();
        let now = SystemTime::now();
        report["kernel"] = json!({
            "version": VERSION,
            "api": format!("{API_MAJOR}.{API_MINOR}"),
            "pid": std::process::id(),
            "phase": *self.phase.borrow(),
            "started_at": rfc3339(now.checked_sub(self.began.elapsed()).unwrap_or(now)),
            "uptime_seconds": self.began.elapsed().as_secs_f64(),
        });
        report["bus"] = self.bus.report();
        let composition = self.composition.load();
        report["composition"] = json!({ "version": composition.version });
        let plugins = report["plugins"].as_array_mut().into_iter().flatten();
        for (entry, plugin) in composition.plugins.iter().zip(plugins) {
            let planned = entry.planned.load();
            let library = &planned.library;
            if let (Some(plugin), Value::Object(manifest)) = (plugin.as_object_mut(), json!(library.manifest))
            {
                plugin.extend(manifest);
            }
            plugin["api"] = json!(format!("{}.{}", library.api.0, library.api.1));
            plugin["file"] = json!(library.path);
            plugin["sha256"] = json!(library.sha256);
            plugin["panics"] = json!(entry.panics.load(Relaxed));
            plugin["run"] = json!(entry.number());
            plugin["isolated"] = json!(library.is_apart());
            plugin["process"] = json!(entry.run.load().as_ref().and_then(|run| run.process.get().copied()));
        }
        report
    }

    /// Health alone. Ready: nothing that is `required` is unhealthy, something runs at all, and
    /// the process neither starts nor stops.
    pub(crate) fn health_report(&self) -> Value {
        let composition = self.composition.load_full();
        let entries = &composition.plugins;
        // Looked at once: what is said of a plugin is of one moment.
        let states: Vec<_> = entries.iter().map(|entry| entry.state.borrow().clone()).collect();
        let own: Vec<_> =
            entries.iter().zip(&states).map(|(it, state)| self.own_components(it, state)).collect();
        let all: Vec<_> = (0..entries.len()).map(|index| with_needs(&composition, index, &own)).collect();
        let statuses = all.iter().map(|components| worst(components).status);
        let vital = |(entry, status): (&Arc<Entry>, Status)| {
            entry.planned.load().keys.required && status == Status::Unhealthy
        };
        let running = entries.iter().any(|entry| entry.is_running());
        let phase = *self.phase.borrow();
        let status = if phase != Phase::Running || !running || entries.iter().zip(statuses.clone()).any(vital)
        {
            Status::Unhealthy
        } else {
            statuses.max().unwrap_or(Status::Healthy).min(Status::Degraded)
        };
        let plugins = entries.iter().zip(states).zip(all).map(|((entry, state), components)| {
            let worst = worst(&components);
            let since =
                if worst.status == Status::Healthy { rfc3339(state.since) } else { worst.since.clone() };
            let reason = if state.reason.is_empty() { worst.complaint() } else { state.reason };
            // What the state itself says is not a component.
            let components: Vec<_> =
                components.into_iter().filter(|component| component.name != "state").collect();
            json!({
                "name": entry.name(),
                "state": state.stage,
                "status": worst.status,
                "reason": reason,
                "since": since,
                "required": entry.planned.load().keys.required,
                "components": components,
            })
        });
        json!({ "status": status, "ready": status != Status::Unhealthy, "plugins": plugins.collect::<Vec<_>>() })
    }

    /// What a plugin says of itself, and what the kernel saw of it.
    fn own_components(&self, entry: &Entry, state: &State) -> Vec<Component> {
        let now = SystemTime::now();
        let mut components = self.health.components(entry.number());
        if state.stage != Stage::Running {
            let reason =
                if state.reason.is_empty() { format!("{:?}", state.stage) } else { state.reason.clone() };
            components.insert(0, Component::new("state", Status::Unhealthy, reason, state.since));
        }
        if let Some((at, fault)) = &*entry.last_fault.lock()
            && at.elapsed().unwrap_or_default() < RECENT
        {
            components.push(Component::new("faults", Status::Degraded, fault, *at));
        }
        if let Some((waited, reason)) = self.bus.slow(&entry.name(), SLOW) {
            components.push(Component::new(
                "events",
                Status::Degraded,
                reason,
                now.checked_sub(waited).unwrap_or(now),
            ));
        }
        components
    }
}

/// A plugin's components, and one about what it needs if that is unhealthy.
fn with_needs(composition: &Composition, index: usize, own: &[Vec<Component>]) -> Vec<Component> {
    let mut components = own[index].clone();
    let needs = composition.graph.needs_of(index).into_iter();
    let broken = needs.map(|need| (composition.plugins[need].name(), worst(&own[need])));
    let broken: Vec<_> = broken.filter(|(_, worst)| worst.status == Status::Unhealthy).collect();
    if let Some(since) = broken.iter().map(|(_, worst)| worst.since.clone()).min() {
        let reasons = broken.iter().map(|(name, w)| format!("{name} is unhealthy ({})", w.complaint()));
        let (name, reason) = ("requirements".to_owned(), reasons.collect::<Vec<_>>().join(", "));
        components.push(Component { name, status: Status::Degraded, reason, since });
    }
    components
}
