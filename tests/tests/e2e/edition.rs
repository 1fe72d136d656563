//! `plugins.toml` in the repository is the default edition: every key, with its default.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use streamgate_tests::server::{Setup, binaries, command, repository};
use tempfile::TempDir;
use toml_edit::{DocumentMut, Item};

/// The file with every commented-out setting (`#key = value`, no space) enabled.
fn everything_on() -> String {
    let text = fs::read_to_string(repository().join("plugins.toml")).expect("plugins.toml");
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

async fn schema() -> Value {
    let home = TempDir::new().expect("a temporary folder");
    let file = repository().join("plugins.toml");
    let dirs = format!("kernel.plugin_dirs={:?}", [binaries()]);
    let config = file.to_str().expect("a plain path");
    let output = command(&["config", "schema", "--config", config, "--set", &dirs], home.path())
        .await
        .expect("the schema is printed");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|at| at.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).expect("a reference that leads somewhere"),
        None => schema,
    }
}

/// Every key of the schema, dotted, with its default (null: none).
fn keys(root: &Value, schema: &Value, prefix: &str, found: &mut BTreeMap<String, Value>) {
    let schema = resolved(root, schema);
    let own = schema["properties"].as_object().into_iter().flatten();
    let composed = schema["allOf"].as_array().into_iter().flatten();
    for part in composed {
        keys(root, part, prefix, found);
    }
    for (key, value) in own {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let target = resolved(root, value);
        if target["properties"].is_object() || target["allOf"].is_array() {
            keys(root, target, &path, found);
        } else {
            found.insert(path, value["default"].clone());
        }
    }
}

/// Every value, dotted. A setting that is a map of its own (`wanted` has its key) is one value.
fn values(item: &Item, prefix: &str, wanted: &BTreeMap<String, Value>, found: &mut BTreeMap<String, String>) {
    match item.as_table_like().filter(|_| !wanted.contains_key(prefix)) {
        Some(table) => {
            for (key, item) in table.iter() {
                let path = if prefix.is_empty() { key.into() } else { format!("{prefix}.{key}") };
                values(item, &path, wanted, found);
            }
        }
        None => {
            found.insert(prefix.to_owned(), item.to_string().trim().to_owned());
        }
    }
}

/// Keys that every plugin's table may have: documented once, at the top of the file.
const RESERVED: [&str; 9] = [
    "enabled",
    "file",
    "required",
    "log",
    "start_deadline",
    "stop_deadline",
    "isolation",
    "process",
    "sha256",
];

/// Settings of the default edition that differ from the plugins' defaults.
const CHOSEN: [&str; 7] = [
    "plugins.sqlite.grants",
    "plugins.auth.quotas",
    "plugins.metadata.gated",
    "plugins.gateway.filters",
    "plugins.streaming.gated",
    "plugins.chain-evm.chains",
    "plugins.chain-solana.chains",
];

#[tokio::test]
async fn the_default_edition_shows_every_key_with_its_default() {
    let root = schema().await;
    let plugins = root["properties"]["plugins"]["properties"].as_object().map_or(0, |all| all.len());
    assert!(plugins >= 9, "only {plugins} plugins were built");
    let mut wanted = BTreeMap::new();
    keys(&root, &root, "", &mut wanted);
    wanted.retain(|key, _| {
        let reserved = RESERVED.iter().any(|word| {
            key.strip_prefix("plugins.")
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(_, k)| k.split('.').next() == Some(*word))
        });
        !reserved && !key.starts_with('$')
    });
    let file: DocumentMut = everything_on().parse().expect("TOML with everything switched on");
    let mut shown = BTreeMap::new();
    values(file.as_item(), "", &wanted, &mut shown);

    let wanted_keys: BTreeSet<_> = wanted.keys().cloned().collect();
    let shown_keys: BTreeSet<_> = shown
        .keys()
        .filter(|key| {
            let own = key.strip_prefix("plugins.").and_then(|rest| rest.split('.').nth(1));
            !own.is_some_and(|word| RESERVED.contains(&word))
        })
        .cloned()
        .collect();
    let missing: Vec<_> = wanted_keys.difference(&shown_keys).collect();
    let unknown: Vec<_> = shown_keys.difference(&wanted_keys).collect();
    assert!(missing.is_empty(), "not in plugins.toml: {missing:#?}");
    assert!(unknown.is_empty(), "only in plugins.toml: {unknown:#?}");

    let differing: Vec<_> = wanted
        .iter()
        .filter(|(key, default)| !default.is_null() && !CHOSEN.contains(&key.as_str()))
        .filter_map(|(key, default)| {
            let shown: Value = format!("x = {}", shown[key])
                .parse::<DocumentMut>()
                .ok()
                .and_then(|document| plain(&document["x"]))?;
            (shown != *default).then(|| format!("{key}: {shown} in plugins.toml, {default} by default"))
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_console_there_is_still_the_system_report() {
    let mut server = Setup::default().set("plugins.console.enabled", false).start().await;
    let report = server.json("/api/v1/system").await.expect("the report");
    let plugins = report["plugins"].as_array().expect("plugins");
    let has = |name: &str| plugins.iter().any(|plugin| plugin["name"] == name);
    assert!(has("system") && !has("console"), "{report}");
    assert!(report["kernel"]["version"].is_string(), "{report}");
    server.stop().await;
}

/// A TOML value as JSON.
fn plain(item: &Item) -> Option<Value> {
    let value = item.as_value()?;
    Some(match value {
        toml_edit::Value::String(text) => text.value().clone().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(flag) => (*flag.value()).into(),
        toml_edit::Value::Array(items) => {
            items.iter().map(|value| plain(&Item::Value(value.clone()))).collect::<Option<Vec<_>>>()?.into()
        }
        toml_edit::Value::InlineTable(table) => {
            let fields =
                table.iter().map(|(key, value)| Some((key.to_owned(), plain(&Item::Value(value.clone()))?)));
            fields.collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        _ => return None,
    })
}
