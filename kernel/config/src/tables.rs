//! The tables of plugins: which keys are the plugin's and which the kernel's, and all their problems at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::schema_for;
use serde_json::{Map, Value, json};
use streamgate_plugin_api::SettingsProblem;

use crate::sources::dotted;
use crate::{KernelSettings, PluginKeys, Problem, Sources, schema, secrets, wording};

/// A plugin's table and the schema of its settings.
#[derive(Debug, Clone)]
pub struct Table {
    /// The plugin's name.
    pub plugin: String,
    /// All keys with their values, including the kernel's.
    pub values: Map<String, Value>,
    /// The JSON Schema of the plugin's own settings.
    pub schema: Value,
}

impl Table {
    /// The kernel's part of it.
    pub fn keys(&self) -> PluginKeys {
        serde_json::from_value(Value::Object(self.values.clone())).unwrap_or_default()
    }

    /// The plugin's own settings, as JSON text.
    pub fn settings(&self) -> String {
        self.settings_without(|_| false)
    }

    fn settings_without(&self, left_out: impl Fn(&str) -> bool) -> String {
        if self.schema["type"] == "null" {
            // The settings of a plugin without any are of the unit type.
            return "null".to_owned();
        }
        let reserved = reserved_properties();
        let own = self.values.iter().filter(|(key, _)| !reserved.contains_key(*key) && !left_out(key));
        Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect()).to_string()
    }
}

impl Sources {
    /// The readable part of the kernel's settings: the search for plugins continues with it.
    pub fn kernel(&self) -> KernelSettings {
        let table = self.value().get("kernel").cloned().unwrap_or_else(|| json!({}));
        serde_json::from_value(table.clone()).unwrap_or_else(|_| {
            let mut kernel = KernelSettings::default();
            if let Ok(dirs) = serde_json::from_value::<Vec<PathBuf>>(table["plugin_dirs"].clone()) {
                kernel.plugin_dirs = Some(dirs);
            }
            if let Some(dir) = table["data_dir"].as_str() {
                kernel.data_dir = dir.into();
            }
            kernel
        })
    }

    /// The plugins that are not disabled, with their tables.
    pub fn plugins(&self) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
        let tables = self.value().get("plugins").and_then(Value::as_object).into_iter().flatten();
        let tables = tables.filter_map(|(name, table)| Some((name, table.as_object()?)));
        tables.filter(|(_, table)| table.get("enabled") != Some(&Value::Bool(false)))
    }

    /// A problem of a plugin's key, with its value; without a key, of the whole table.
    pub fn plugin_problem(&self, plugin: &str, key: Option<&str>, message: impl Into<String>) -> Problem {
        self.problem(&plugin_path(plugin, key), false, message)
    }
}

pub(crate) fn plugin_path<'a>(name: &'a str, rest: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ["plugins", name].into_iter().chain(rest).map(str::to_owned).collect()
}

/// All problems of the whole configuration: by the schemas, between listen addresses, and from each plugin's
/// own check. `own` calls the plugin of `tables[index]` for settings (JSON text) without the known problems.
pub fn check(
    sources: &Sources,
    tables: &[Table],
    own: impl Fn(usize, &str) -> Vec<SettingsProblem>,
) -> Vec<Problem> {
    let schemas = tables.iter().map(|table| (table.plugin.clone(), table.schema.clone())).collect();
    let mut schema = file_schema(&schemas);
    // Plugins without a schema here are disabled, or reported already.
    let reserved = json!({ "type": "object", "properties": reserved_properties() });
    schema["properties"]["plugins"]["additionalProperties"] = reserved;
    let mut problems = Vec::new();
    for table in tables {
        let faults = schema::faults(&table.schema).into_iter().map(|fault| {
            let message = format!(
                "the schema of its settings cannot be checked: {fault}; the plugin has to express it differently"
            );
            sources.plugin_problem(&table.plugin, None, message)
        });
        problems.extend(faults);
    }
    let found = wording::violations(sources, &schema);
    for (index, table) in tables.iter().enumerate() {
        let fault = |key: &str| {
            let key = dotted(&plugin_path(&table.plugin, [key]));
            found.iter().any(|p| p.key == key || p.key.starts_with(&format!("{key}.")))
        };
        let whole = |key: &str| key.is_empty() && table.values.keys().any(|key| fault(key));
        for problem in own(index, &table.settings_without(fault)) {
            let keys: Vec<_> = problem.key.split('.').filter(|key| !key.is_empty()).collect();
            if !fault(keys.first().unwrap_or(&"")) && !whole(&problem.key) {
                let path = plugin_path(&table.plugin, keys);
                let secret = secrets::is_secret_at(&schema, &path);
                problems.push(sources.problem(&path, secret, problem.message));
            }
        }
    }
    problems.extend(found);
    check_listen_addresses(sources, tables, &mut problems);
    problems
}

pub(crate) fn reserved_properties() -> Map<String, Value> {
    let mut schema = schema_for!(PluginKeys).to_value();
    match schema["properties"].take() {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

/// The schema of the whole file: the kernel's keys, and for each plugin its own and the reserved ones. Each
/// has an id, so that its references resolve within it.
pub fn file_schema(plugins: &BTreeMap<String, Value>) -> Value {
    let mut kernel = schema_for!(KernelSettings).to_value();
    kernel["$id"] = "urn:streamgate:kernel".into();
    let table = |(name, schema): (&String, &Value)| {
        let mut table =
            schema.as_object().filter(|table| table["type"] == "object").cloned().unwrap_or_default();
        let mut properties = reserved_properties();
        if let Some(Value::Object(own)) = table.remove("properties") {
            properties.extend(own);
        }
        table.insert("type".into(), "object".into());
        table.insert("properties".into(), properties.into());
        table.insert("$id".into(), format!("urn:streamgate:plugin:{name}").into());
        table.entry("additionalProperties").or_insert(false.into());
        (name.clone(), Value::Object(table))
    };
    let tables: Map<_, _> = plugins.iter().map(table).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "StreamGate configuration",
        "type": "object",
        "properties": {
            "kernel": kernel,
            "plugins": { "type": "object", "properties": tables, "additionalProperties": false },
        },
        "additionalProperties": false,
    })
}

/// No two settings that their schemas declare as listen addresses may be the same.
fn check_listen_addresses(sources: &Sources, tables: &[Table], problems: &mut Vec<Problem>) {
    let mut taken: Vec<(Vec<String>, String)> = Vec::new();
    for table in tables {
        for (key, addresses) in listen_addresses(table) {
            let path = plugin_path(&table.plugin, [key]);
            for address in addresses {
                if let Some((other, theirs)) = taken.iter().find(|(_, theirs)| same_address(address, theirs))
                {
                    let message = format!(
                        "listens on {address}, and {} listens on {theirs}; give one of them another port",
                        dotted(other)
                    );
                    problems.push(sources.problem(&path, false, message));
                }
                taken.push((path.clone(), address.to_owned()));
            }
        }
    }
}

/// The settings that their schema declares as listen addresses, with their values or defaults.
pub(crate) fn listen_addresses(table: &Table) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let properties = table.schema["properties"].as_object().into_iter().flatten();
    properties.filter_map(|(key, property)| {
        if ![&property["format"], &property["items"]["format"]].contains(&&json!("listen-address")) {
            return None;
        }
        let addresses = match table.values.get(key).or_else(|| property.get("default")) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            value => value.and_then(Value::as_str).into_iter().collect(),
        };
        Some((key.as_str(), addresses))
    })
}

/// Whether they conflict: the same port on the same address, or on all of them.
fn same_address(a: &str, b: &str) -> bool {
    match (a.parse::<SocketAddr>(), b.parse::<SocketAddr>()) {
        (Ok(a), Ok(b)) => {
            let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && overlap
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_clash_on_the_same_port_unless_the_system_chooses_it() {
        assert!(same_address("127.0.0.1:80", "0.0.0.0:80"));
        assert!(same_address("[::]:80", "127.0.0.1:80"));
        assert!(!same_address("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!same_address("127.0.0.1:0", "127.0.0.1:0"));
        assert!(same_address("/run/a.sock", "/run/a.sock"));
    }

    #[test]
    fn an_unknown_keyword_is_named_and_does_not_count_as_satisfied() {
        let schema = json!({ "type": "object", "properties": { "a": { "if": {}, "then": false } } });
        let (sources, _) =
            Sources::read(std::path::Path::new("none.toml"), [], &["plugins.x.a=1".to_owned()]);
        let values = sources.plugins().map(|(_, values)| values.clone()).next().expect("a table");
        let table = Table { plugin: "x".into(), values, schema };
        let said: Vec<_> =
            check(&sources, &[table], |_, _| Vec::new()).iter().map(|it| it.message.clone()).collect();
        assert!(said[0].contains("#/properties/a/if: the keyword `if` is unknown"), "{said:?}");
        assert!(said[1].contains("#/properties/a/then: the keyword `then` is unknown"), "{said:?}");
    }

    #[test]
    fn definitions_of_two_plugins_with_the_same_name_are_kept_apart() {
        let schema = |kind: &str| {
            json!({
                "type": "object",
                "properties": { "a": { "$ref": "#/$defs/A" } },
                "$defs": { "A": { "type": kind } },
            })
        };
        let all = BTreeMap::from([("x".to_owned(), schema("string")), ("y".to_owned(), schema("integer"))]);
        let whole = file_schema(&all);
        assert_eq!(schema::faults(&whole), Vec::<String>::new());
        let wrong = |value| schema::violations(&whole, &value).len();
        assert_eq!(wrong(json!({ "plugins": { "x": { "a": "" }, "y": { "a": 1, "enabled": true } } })), 0);
        assert_eq!(wrong(json!({ "plugins": { "x": { "a": 1 } } })), 1);
    }
}
