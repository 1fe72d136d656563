//! The host's metrics about itself and each plugin, as OpenMetrics text: the numbers of its report in another
//! form.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use streamgate_plugin_api::abi::Instance;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::text;

/// How long a plugin has to report its metrics; the others are printed without it then.
const PATIENCE: Duration = Duration::from_secs(2);

/// A name, its type, its description, and its value in the report of one plugin.
type Figure = (&'static str, &'static str, &'static str, fn(&Value) -> Option<f64>);

const OF_PLUGINS: [Figure; 4] = [
    ("streamgate_plugin_up", "gauge", "Whether the plugin runs", |it| Some(flag(it["state"] == "running"))),
    ("streamgate_plugin_healthy", "gauge", "Whether the plugin and what it needs are healthy", |it| {
        Some(flag(it["status"] == "healthy"))
    }),
    ("streamgate_plugin_panics", "counter", "Panics of the plugin", |it| it["panics"].as_f64()),
    ("streamgate_plugin_starts", "counter", "The number of the plugin's run among all runs", |it| {
        it["run"].as_f64()
    }),
];

const OF_SUBSCRIPTIONS: [Figure; 3] = [
    ("streamgate_events_delivered", "counter", "Events that a subscription got", |it| {
        it["delivered"].as_f64()
    }),
    ("streamgate_events_missed", "counter", "Events that a subscription did not take in time", |it| {
        it["missed"].as_f64()
    }),
    ("streamgate_events_queued", "gauge", "Events that wait for a subscription", |it| it["queued"].as_f64()),
];

const OF_THE_HOST: [Figure; 2] = [
    ("streamgate_uptime_seconds", "gauge", "Seconds since the start", |it| {
        it["kernel"]["uptime_seconds"].as_f64()
    }),
    ("streamgate_events_published", "counter", "Events that were published", |it| {
        it["bus"]["published"].as_f64()
    }),
];

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// The path of the metrics of all plugins, or of one, on the control socket.
pub fn metrics_path(plugin: Option<&str>) -> String {
    // Names have no other characters, and as a path it must not be more than one segment.
    let name = plugin.map(|name| name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"));
    name.map_or("/metrics".to_owned(), |name| format!("/metrics/{name}"))
}

/// The text of a response, and whether it is metrics.
pub fn metrics_text(answer: &Value) -> (String, bool) {
    match &answer["Err"] {
        Value::Null => (text(&answer["Ok"]), true),
        reason => (text(reason), false),
    }
}

/// The host's metrics and those of its plugins, as one OpenMetrics text.
pub(crate) async fn collect(
    report: &Value,
    running: Vec<(String, Arc<Instance>)>,
    plugin: Option<&str>,
) -> String {
    let asked = running.into_iter().filter(|(name, _)| plugin.is_none_or(|plugin| plugin == name));
    let asked: Vec<_> = asked.map(|(name, instance)| (name, tokio::spawn(of_plugin(instance)))).collect();
    let mut out = figures(report, plugin);
    for (name, text) in asked {
        match text.await.ok().flatten() {
            Some(text) => out += &text,
            None => tracing::warn!(plugin = name, "a plugin did not report its metrics in time"),
        }
    }
    out + "# EOF\n"
}

/// The metrics that one plugin reports. Its code may block the calling thread.
async fn of_plugin(instance: Arc<Instance>) -> Option<String> {
    let runtime = Handle::current();
    let asking = tokio::task::spawn_blocking(move || {
        runtime.block_on(async { timeout(PATIENCE, instance.metrics()).await })
    });
    timeout(PATIENCE, asking).await.ok()?.ok()?.ok().map(String::from)
}

/// The metrics of one plugin, or of the host and all plugins.
fn figures(report: &Value, plugin: Option<&str>) -> String {
    let of = |items: &Value, key: &str| -> Vec<Value> {
        let items = items.as_array().into_iter().flatten();
        items.filter(|item| plugin.is_none_or(|plugin| item[key] == plugin)).cloned().collect()
    };
    let mut out = String::new();
    if plugin.is_none() {
        put(&mut out, &OF_THE_HOST, std::slice::from_ref(report), &[]);
    }
    put(&mut out, &OF_PLUGINS, &of(&report["plugins"], "name"), &[("plugin", "name")]);
    let labels = [("plugin", "plugin"), ("subject", "subject"), ("queue", "queue")];
    put(&mut out, &OF_SUBSCRIPTIONS, &summed(of(&report["bus"]["subscriptions"], "plugin")), &labels);
    out
}

/// Merges subscriptions of one plugin to one subject, because their labels would be the same.
fn summed(subscriptions: Vec<Value>) -> Vec<Value> {
    let mut summed: Vec<Value> = Vec::new();
    for subscription in subscriptions {
        let is_same = |other: &&mut Value| {
            ["plugin", "subject", "queue"].iter().all(|key| other[key] == subscription[key])
        };
        match summed.iter_mut().find(is_same) {
            None => summed.push(subscription),
            Some(same) => {
                for key in ["delivered", "missed", "queued"] {
                    let sum = same[key].as_u64().unwrap_or(0) + subscription[key].as_u64().unwrap_or(0);
                    same[key] = sum.into();
                }
            }
        }
    }
    summed
}

fn put(out: &mut String, figures: &[Figure], items: &[Value], labels: &[(&str, &str)]) {
    for (name, kind, help, value) in figures {
        let total = if *kind == "counter" { "_total" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}");
        for item in items {
            let Some(value) = value(item) else { continue };
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, key)| format!("{label}=\"{}\"", escaped(&text(&item[key]))))
                .collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{name}{total}{labels} {value}");
        }
    }
}

/// As a label's value (OpenMetrics 1.0, "escaped-string").
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_becomes_metrics_of_all_or_of_one_plugin() {
        let subscription = json!({ "plugin": "a", "subject": "x.>", "queue": null, "delivered": 2, "missed": 0, "queued": 1 });
        let report = json!({
            "kernel": { "uptime_seconds": 1.5 },
            "plugins": [
                { "name": "a", "state": "running", "status": "healthy", "panics": 0, "run": 1 },
                { "name": "b", "state": "quarantined", "status": "unhealthy", "panics": 3, "run": 9 },
            ],
            "bus": { "published": 7, "subscriptions": [subscription, subscription] },
        });
        let all = figures(&report, None);
        for line in [
            "streamgate_uptime_seconds 1.5",
            "streamgate_events_published_total 7",
            "streamgate_plugin_up{plugin=\"a\"} 1",
            "streamgate_plugin_up{plugin=\"b\"} 0",
            "streamgate_plugin_panics_total{plugin=\"b\"} 3",
            "streamgate_events_delivered_total{plugin=\"a\",subject=\"x.>\",queue=\"\"} 4",
        ] {
            assert!(all.lines().any(|found| found == line), "{line} is not in\n{all}");
        }
        let one = figures(&report, Some("b"));
        assert!(
            one.contains("plugin=\"b\"") && !one.contains("plugin=\"a\"") && !one.contains("uptime"),
            "{one}"
        );
    }
}
