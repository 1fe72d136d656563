//! Judges a configuration: loads what it names, and finds everything that is wrong at once, in
//! the tables, between the plugins, and as the plugins themselves see it.
//!
//! It starts nothing and writes nothing. What it passes is complete and can be started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::config::{KernelSettings, PluginKeys, Problem, Sources, dotted};
use crate::graph::{Graph, GraphError, Node};
use crate::loader::{self, Library};
use crate::wording;

/// A configuration without a fault, with everything it names.
pub(crate) struct Edition {
    /// The kernel's settings.
    pub(crate) kernel: KernelSettings,
    /// The plugins that are to run.
    pub(crate) plugins: Vec<Planned>,
    /// Their order, by index.
    pub(crate) graph: Graph,
}

/// A plugin that is to run.
pub(crate) struct Planned {
    /// Its name.
    pub(crate) name: String,
    /// What the kernel has to know of its table.
    pub(crate) keys: PluginKeys,
    /// The rest of its table, as JSON text.
    pub(crate) settings: String,
    /// Its code.
    pub(crate) library: Library,
}

impl Edition {
    /// Loads and checks. `problems` are those known already; the result has them all, in the
    /// order of the file. `copies` is where the loader may put what it loads.
    pub(crate) fn check(
        sources: &Sources,
        mut problems: Vec<Problem>,
        copies: Option<&Path>,
    ) -> Result<Self, Vec<Problem>> {
        let kernel = lenient_kernel(sources.value());
        let dirs = kernel.plugin_dirs();
        let mut plugins = Vec::new();
        for loaded in load(sources, &dirs, copies) {
            match loaded {
                Ok(loaded) => plugins.push(loaded),
                Err(problem) => problems.push(problem),
            }
        }
        let schemas = plugins.iter().map(|(name, _, library)| (name.clone(), library.schema())).collect();
        let mut schema = file_schema(&schemas);
        // Plugins without a schema here are disabled, or reported already.
        let reserved = json!({ "type": "object", "properties": reserved_properties() });
        schema["properties"]["plugins"]["additionalProperties"] = reserved;
        let found = wording::violations(sources, &schema);
        for (name, table, library) in &plugins {
            // What is wrong already is left out, so that the plugin sees the rest.
            let fault = |key: &str| {
                let key = dotted(&plugin_path(name, &[key]));
                found.iter().any(|p| p.key == key || p.key.starts_with(&format!("{key}.")))
            };
            let whole = |key: &str| key.is_empty() && table.keys().any(|key| fault(key));
            let mut left = table.clone();
            left.retain(|key, _| !fault(key));
            for problem in library.check(&settings_of(&left, library)) {
                let keys: Vec<_> = problem.key.split('.').filter(|key| !key.is_empty()).collect();
                let path = plugin_path(name, &keys);
                if !fault(keys.first().unwrap_or(&"")) && !whole(&problem.key) {
                    let secret = wording::is_secret_at(&schema, &path);
                    problems.push(sources.problem(&path, secret, problem.message));
                }
            }
        }
        problems.extend(found);
        check_listen_addresses(sources, &plugins, &mut problems);
        let nodes: Vec<_> = plugins.iter().map(|(_, _, library)| node(library)).collect();
        let graph = Graph::resolve(&nodes).unwrap_or_else(|errors| {
            let word = |error| graph_problem(sources, &plugins, &dirs, error);
            problems.extend(errors.into_iter().map(word));
            Graph::default()
        });
        problems.sort();
        problems.dedup();
        if !problems.is_empty() {
            return Err(problems);
        }
        let planned = plugins.into_iter().map(|(name, table, library)| {
            let settings = settings_of(&table, &library);
            let keys = serde_json::from_value(Value::Object(table)).unwrap_or_default();
            Planned { name, keys, settings, library }
        });
        Ok(Self { kernel, plugins: planned.collect(), graph })
    }
}

type Loaded = (String, Map<String, Value>, Library);

fn plugin_path(name: &str, rest: &[&str]) -> Vec<String> {
    ["plugins", name].iter().chain(rest).map(|&key| key.to_owned()).collect()
}

/// As much of the kernel's settings as can be read: the search for plugins goes on with them.
pub(crate) fn lenient_kernel(value: &Value) -> KernelSettings {
    let table = value.get("kernel").cloned().unwrap_or_else(|| json!({}));
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

/// A plugin's table without the kernel's keys, as JSON text.
fn settings_of(table: &Map<String, Value>, library: &Library) -> String {
    if library.schema()["type"] == "null" {
        // The settings of a plugin that has none are of the unit type.
        return "null".to_owned();
    }
    let reserved = reserved_properties();
    let own = table.iter().filter(|(key, _)| !reserved.contains_key(*key));
    Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect()).to_string()
}

/// Loads all enabled plugins at the same time; most of it is reading files.
fn load(sources: &Sources, dirs: &[PathBuf], copies: Option<&Path>) -> Vec<Result<Loaded, Problem>> {
    let tables = sources.value().get("plugins").and_then(Value::as_object).into_iter().flatten();
    let tables = tables.filter_map(|(name, table)| Some((name, table.as_object()?)));
    std::thread::scope(|scope| {
        let threads: Vec<_> = tables
            .filter(|(_, table)| table.get("enabled") != Some(&Value::Bool(false)))
            .map(|(name, table)| {
                let file = table.get("file").and_then(Value::as_str);
                let load = move || load_one(sources, name, file, dirs, copies);
                (name, scope.spawn(move || Ok((name.clone(), table.clone(), load()?))))
            })
            .collect();
        let panicked = |name| Err(sources.problem(&plugin_path(name, &[]), false, "loading it panicked"));
        threads.into_iter().map(|(name, thread)| thread.join().unwrap_or_else(|_| panicked(name))).collect()
    })
}

fn load_one(
    sources: &Sources,
    name: &str,
    file: Option<&str>,
    dirs: &[PathBuf],
    copies: Option<&Path>,
) -> Result<Library, Problem> {
    let keys: &[&str] = if file.is_some() { &["file"] } else { &[] };
    let problem = |message: String| sources.problem(&plugin_path(name, keys), false, message);
    let wanted = file.map_or_else(|| loader::file_name(name), str::to_owned);
    let path = match wanted.contains('/') {
        true => Some(PathBuf::from(&wanted)).filter(|path| path.is_file()),
        false => loader::find(Path::new(&wanted), dirs),
    };
    let path = path.ok_or_else(|| {
        let shown: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let known = loader::discover(dirs);
        let place = if wanted.contains('/') { String::new() } else { format!(" in {}", shown.join(", ")) };
        let hint = wording::suggest(name, known.keys().map(String::as_str), "plugins there");
        problem(format!("unknown plugin: there is no {wanted}{place}{hint}"))
    })?;
    Library::open(name, &path, copies).map_err(|error| problem(error.to_string()))
}

fn reserved_properties() -> Map<String, Value> {
    let mut schema = schema_for!(PluginKeys).to_value();
    match schema["properties"].take() {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

/// The schema of the whole file: the kernel's keys, and for each plugin its own and those that
/// the kernel keeps for itself. Each has an id, so that references in it stay in it.
pub(crate) fn file_schema(plugins: &BTreeMap<String, Value>) -> Value {
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

fn node(library: &Library) -> Node {
    let manifest = &library.manifest;
    Node {
        // A public prefix has one owner, like a capability.
        provides: manifest.provides.iter().chain(&manifest.prefixes).cloned().collect(),
        requires: manifest.requires.clone(),
        uses: manifest.uses.clone(),
        ingress: manifest.ingress,
    }
}

/// No two settings that their schemas call listen addresses may be the same.
fn check_listen_addresses(sources: &Sources, plugins: &[Loaded], problems: &mut Vec<Problem>) {
    let mut taken: Vec<(Vec<String>, String)> = Vec::new();
    for (name, table, library) in plugins {
        let schema = library.schema();
        let properties = schema["properties"].as_object().into_iter().flatten();
        for (key, property) in properties {
            if ![&property["format"], &property["items"]["format"]].contains(&&json!("listen-address")) {
                continue;
            }
            let addresses: Vec<&str> = match table.get(key).or_else(|| property.get("default")) {
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
                value => value.and_then(Value::as_str).into_iter().collect(),
            };
            let path = plugin_path(name, &[key]);
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

/// Whether both cannot be bound: the same port on the same address, or on all of them.
fn same_address(a: &str, b: &str) -> bool {
    match (a.parse::<SocketAddr>(), b.parse::<SocketAddr>()) {
        (Ok(a), Ok(b)) => {
            let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && overlap
        }
        _ => a == b,
    }
}

fn graph_problem(sources: &Sources, plugins: &[Loaded], dirs: &[PathBuf], error: GraphError) -> Problem {
    let name = |index: usize| plugins[index].0.as_str();
    let (index, message) = match error {
        GraphError::Duplicate { capability, first, second } => (
            second,
            format!(
                "provides `{capability}`, and so does `{}`; disable one of them with enabled = false",
                name(first)
            ),
        ),
        GraphError::Missing { node, capability } => {
            let hint = match provider_on_disk(&capability, plugins, dirs) {
                Some(provider) => format!("; add [plugins.{provider}], or enable it"),
                None => {
                    let known = plugins.iter().flat_map(|(_, _, library)| &library.manifest.provides);
                    wording::suggest(&capability, known.map(String::as_str), "capabilities")
                }
            };
            (node, format!("requires the capability `{capability}`, which no enabled plugin provides{hint}"))
        }
        GraphError::Cycle(cycle) => {
            let next = |at: usize| name(cycle[(at + 1) % cycle.len()]);
            let chain: Vec<_> = (0..cycle.len()).map(|at| format!("requires `{}`", next(at))).collect();
            (
                cycle[0],
                format!("is part of a circle: {}; none of them can start first", chain.join(", which ")),
            )
        }
    };
    sources.problem(&plugin_path(name(index), &[]), false, message)
}

/// A plugin that is there, is not enabled, and would provide this.
fn provider_on_disk(capability: &str, plugins: &[Loaded], dirs: &[PathBuf]) -> Option<String> {
    let others = loader::discover(dirs).into_iter().filter(|(name, _)| plugins.iter().all(|p| p.0 != *name));
    others
        .filter_map(|(name, path)| Library::open(&name, &path, None).ok())
        .find(|library| library.manifest.provides.iter().any(|provided| provided == capability))
        .map(|library| library.manifest.name)
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
        let validator = jsonschema::validator_for(&whole).expect("the schema is one");
        assert!(
            validator.is_valid(&json!({ "plugins": { "x": { "a": "" }, "y": { "a": 1, "enabled": true } } }))
        );
        assert!(!validator.is_valid(&json!({ "plugins": { "x": { "a": 1 } } })));
    }
}
