//! The report of the running streamgate, as tables for people.

use serde_json::Value;

/// Columns as wide as their widest cell; the last one is not padded.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as text: lists with spaces between, nothing for `null`.
pub fn text(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A line for each plugin.
pub fn plugins_table(report: &Value) -> String {
    let mut rows =
        vec![["PLUGIN", "VERSION", "STATE", "HEALTH", "PROVIDES", "PREFIXES", "REASON"].map(String::from)];
    for plugin in report["plugins"].as_array().into_iter().flatten() {
        let keys = ["name", "version", "state", "status", "provides", "prefixes", "reason"];
        rows.push(keys.map(|key| text(&plugin[key])));
    }
    table(&rows)
}

/// A line for each plugin and each of its components.
pub fn health_table(report: &Value) -> String {
    let ready = if report["ready"] == true { "ready" } else { "not ready" };
    let mut rows = vec![["PLUGIN", "COMPONENT", "HEALTH", "SINCE", "REASON"].map(String::from)];
    for plugin in report["plugins"].as_array().into_iter().flatten() {
        let name = || text(&plugin["name"]);
        let cell = |key: &str| text(&plugin[key]);
        rows.push([name(), cell("state"), cell("status"), cell("since"), cell("reason")]);
        for component in plugin["components"].as_array().into_iter().flatten() {
            let cell = |key: &str| text(&component[key]);
            rows.push([name(), cell("name"), cell("status"), cell("since"), cell("reason")]);
        }
    }
    format!("{}, {ready}\n\n{}", text(&report["status"]), table(&rows))
}
