//! The kernel's report about itself and its plugins, as JSON: the same for `streamgate plugins --json`, for
//! `streamgate health --json` and for a plugin that requests it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use streamgate_plugin_api::abi::{API_MAJOR, API_MINOR};

use crate::VERSION;
use crate::composition::Plugins;
use crate::parts::Parts;
use crate::run::Entry;
use streamgate_health::{Component, Seen, Status, summary};
use streamgate_log::rfc3339;

/// How long a publisher must have waited for a subscriber before health shows it.
const SLOW: Duration = Duration::from_secs(1);
/// How long a panic, or the end of its process, is shown.
const RECENT: Duration = Duration::from_secs(60);

/// Everything.
pub(crate) fn report(parts: &Parts, plugins: &Plugins) -> Value {
    let mut report = health(parts, plugins);
    let now = SystemTime::now();
    report["kernel"] = json!({
        "version": VERSION,
        "api": format!("{API_MAJOR}.{API_MINOR}"),
        "pid": std::process::id(),
        "phase": *parts.phase.borrow(),
        "started_at": rfc3339(now.checked_sub(parts.began.elapsed()).unwrap_or(now)),
        "uptime_seconds": parts.began.elapsed().as_secs_f64(),
    });
    report["bus"] = parts.bus.report();
    report["composition"] = json!({ "version": plugins.version });
    let shown = report["plugins"].as_array_mut().into_iter().flatten();
    for (entry, plugin) in plugins.entries.iter().zip(shown) {
        let planned = entry.planned.load();
        let library = &planned.library;
        if let (Some(plugin), Value::Object(manifest)) = (plugin.as_object_mut(), json!(library.manifest)) {
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

/// Health alone.
pub(crate) fn health(parts: &Parts, plugins: &Plugins) -> Value {
    // Read once, so that a plugin's state is consistent.
    let states: Vec<_> = plugins.entries.iter().map(|entry| entry.state.borrow().clone()).collect();
    let seen = plugins.entries.iter().zip(states).enumerate().map(|(index, (entry, state))| Seen {
        name: entry.name(),
        required: entry.planned.load().keys.required,
        state,
        components: components(parts, entry),
        needs: plugins.graph.needs_of(index).into_iter().collect(),
    });
    let phase = *parts.phase.borrow();
    summary(phase, &seen.collect::<Vec<_>>())
}

/// A plugin's own report, and the kernel's observations.
fn components(parts: &Parts, entry: &Entry) -> Vec<Component> {
    let mut components = parts.health.components(entry.number());
    if let Some((at, fault)) = &*entry.last_fault.lock()
        && at.elapsed().unwrap_or_default() < RECENT
    {
        components.push(Component::new("faults", Status::Degraded, fault, *at));
    }
    if let Some((waited, reason)) = parts.bus.slow(&entry.name(), SLOW) {
        let now = SystemTime::now();
        let since = now.checked_sub(waited).unwrap_or(now);
        components.push(Component::new("events", Status::Degraded, reason, since));
    }
    components
}
