//! The effective configuration, key by key, each with its origin. Secrets stay hidden.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::secrets::{self, HIDDEN, Node, masked};
use crate::sources::dotted;
use crate::tables::{file_schema, reserved_properties};
use crate::{Sources, Table, suggest};

/// `key = value  # from` in TOML, a line for each key that is `key` or below it; all without one. Keys
/// without a value and without a default are left out, as are reserved keys of plugins that are not set.
///
/// # Errors
/// If there is no such key; the message names the nearest one.
pub fn show(sources: &Sources, tables: &[Table], key: &str) -> Result<String, String> {
    let schemas: BTreeMap<_, _> =
        tables.iter().map(|table| (table.plugin.clone(), table.schema.clone())).collect();
    let schema = file_schema(&schemas);
    let reserved = reserved_properties();
    let root = Node::root(&schema);
    let asked = parse(key)?;
    find(root, sources.value(), &asked)?;
    let known = |path: &[String]| match path {
        [plugins, name, ..] if plugins == "plugins" => schemas.contains_key(name),
        _ => true,
    };
    let mut lines = Vec::new();
    walk(&mut Vec::new(), root, Some(sources.value()), None, &mut |path, node, value, default| {
        // Without a schema it is unknown what is secret: of such a plugin only its presence is shown.
        if path.len() > 2 && !known(path) && path[2] != "enabled" {
            return;
        }
        let is_reserved = path.len() > 2 && path[0] == "plugins" && reserved.contains_key(&path[2]);
        // If one of them is requested by its name, its default is shown.
        let Some(shown) = value.or(default.filter(|_| !is_reserved || asked.len() > 2)) else { return };
        if shown.is_null() || !path.starts_with(&asked) {
            return;
        }
        let from = if value.is_some() { sources.place(path).1 } else { "default".to_owned() };
        let text = match secrets::is_secret_at(&schema, path) {
            true => {
                let named = path.iter().any(|key| secrets::looks_secret(key));
                secrets::hidden(named, shown).unwrap_or_else(|| "(secret)".to_owned())
            }
            false => toml(node, shown),
        };
        lines.push((format!("{} = {text}", dotted(path)), from));
    });
    if lines.is_empty() && !known(&asked) {
        let plugin = dotted(&asked[..2]);
        return Ok(format!("# {plugin} is not loaded, so it is unknown which of its keys are secret\n"));
    }
    if lines.is_empty() {
        return Ok(format!("# {}: nothing is set, and there is no default\n", dotted(&asked)));
    }
    let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|width| *width <= 60).max();
    let width = width.unwrap_or(0);
    Ok(lines.iter().map(|(text, from)| format!("{text:width$}  # {from}\n")).collect())
}

fn parse(key: &str) -> Result<Vec<String>, String> {
    let key = key.trim().trim_end_matches('.');
    if key.is_empty() {
        return Ok(Vec::new());
    }
    let keys = toml_edit::Key::parse(key);
    let keys = keys.map_err(|error| format!("{key}: is not a dotted key: {}", error.message()))?;
    Ok(keys.iter().map(|key| key.get().to_owned()).collect())
}

/// Whether a key can be shown: it is in the schema, or it is set.
fn find(root: Node<'_>, all: &Value, path: &[String]) -> Result<(), String> {
    let (mut node, mut value) = (root, Some(all));
    for (at, key) in path.iter().enumerate() {
        let table = value.and_then(Value::as_object);
        value = table.and_then(|table| table.get(key));
        if value.is_none() && !node.has(key) {
            let names = node.properties().into_iter().map(|(name, _)| name);
            let names: BTreeSet<_> =
                names.chain(table.into_iter().flat_map(|table| table.keys().map(String::as_str))).collect();
            // Without the table's name before it, no other key is similar.
            let elsewhere = ["plugins", "kernel"].map(|table| [&[table.to_owned()], path].concat());
            let elsewhere = elsewhere.iter().find(|longer| at == 0 && find(root, all, longer).is_ok());
            let hint = match elsewhere {
                Some(longer) => format!("; did you mean `{}`?", dotted(longer)),
                None if names.is_empty() => format!("; there are none below {}", dotted(&path[..at])),
                None => suggest(key, names, "valid keys"),
            };
            return Err(format!("{}: unknown key{hint}", dotted(&path[..=at])));
        }
        node = node.child(key);
    }
    Ok(())
}

type Leaf<'a> = dyn FnMut(&[String], Node<'_>, Option<&Value>, Option<&Value>) + 'a;

/// Every key that is not a table, with its value and its default.
fn walk(
    path: &mut Vec<String>,
    node: Node<'_>,
    value: Option<&Value>,
    default: Option<&Value>,
    leaf: &mut Leaf<'_>,
) {
    let properties = node.properties();
    let table = value.and_then(Value::as_object);
    if properties.is_empty() && table.is_none() || value.is_some() && table.is_none() {
        return leaf(path, node, value, default);
    }
    let nothing = Map::new();
    let table = table.unwrap_or(&nothing);
    let others = table.keys().filter(|key| !properties.iter().any(|(name, _)| name == key));
    let others: Vec<_> = others.map(|key| (key.as_str(), node.child(key))).collect();
    for (key, child) in properties.iter().map(|(key, child)| (*key, *child)).chain(others) {
        path.push(key.to_owned());
        let default = default.and_then(|default| default.get(key)).or_else(|| child.default());
        walk(path, child, table.get(key), default, leaf);
        path.pop();
    }
}

/// A value as TOML, with secrets hidden.
fn toml(node: Node<'_>, value: &Value) -> String {
    match value {
        _ if node.is_secret() => secrets::hidden(false, value).unwrap_or_else(|| HIDDEN.to_owned()),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(at, item)| toml(node.child(&at.to_string()), item));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| {
                let shown = match secrets::looks_secret(key) {
                    true => secrets::hidden(true, value).unwrap_or_else(|| HIDDEN.to_owned()),
                    false => toml(node.child(key), value),
                };
                format!("{} = {shown}", dotted(std::slice::from_ref(key)))
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        plain => masked(plain).to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn tables() -> Vec<Table> {
        let schema = json!({
            "type": "object",
            "properties": {
                "listen": { "type": "string", "default": "127.0.0.1:8080" },
                "rate": { "type": "integer", "default": 3 },
                "key": { "type": "string", "writeOnly": true, "default": "x" },
                "none": { "type": ["string", "null"], "default": null },
                "chains": { "type": "array", "items": { "$ref": "#/$defs/Chain" }, "default": [] },
                "nested": { "$ref": "#/$defs/Nested", "default": { "deep": 7 } },
            },
            "$defs": {
                "Chain": { "type": "object", "properties": {
                    "id": { "type": "integer" },
                    "endpoints": { "type": "array", "items": { "type": "string" }, "writeOnly": true },
                } },
                "Nested": { "type": "object", "properties": { "deep": { "type": "integer" } } },
            },
        });
        vec![Table { plugin: "net".into(), values: Map::new(), schema }]
    }

    #[test]
    fn every_key_is_shown_with_where_it_comes_from_and_no_secret() {
        let dir = std::env::temp_dir().join(format!("streamgate-show-{}.toml", std::process::id()));
        std::fs::write(
            &dir,
            "[plugins.net]\nrate = 4\nkey = \"SECRETA\"\n[plugins.off]\nenabled = false\npin = \"SECRETB\"\n",
        )
        .unwrap();
        let env = [("STREAMGATE_PLUGINS__NET__NESTED__DEEP".into(), "8".into())];
        let sets = [
            "plugins.net.listen=0.0.0.0:80".to_owned(),
            "plugins.net.chains=[{ endpoints = [\"https://rpc.example/SECRETC\"], id = 1 }]".to_owned(),
        ];
        let (sources, problems) = Sources::read(Path::new(&dir), env, &sets);
        std::fs::remove_file(&dir).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let text = show(&sources, &tables(), "plugins").unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_once("  #").unwrap())
            .map(|(l, r)| (l.trim_end(), r))
            .collect();
        let file = dir.display().to_string();
        assert_eq!(
            lines,
            [
                (
                    "plugins.net.chains = [{ endpoints = [\"https://rpc.example/…\"], id = 1 }]",
                    " --set plugins.net.chains"
                ),
                ("plugins.net.key = (secret)", format!(" {file}:3:1").as_str()),
                ("plugins.net.listen = \"0.0.0.0:80\"", " --set plugins.net.listen"),
                ("plugins.net.nested.deep = 8", " STREAMGATE_PLUGINS__NET__NESTED__DEEP"),
                ("plugins.net.rate = 4", format!(" {file}:2:1").as_str()),
                ("plugins.off.enabled = false", format!(" {file}:5:1").as_str()),
            ]
        );
        assert!(!text.contains("SECRET"), "{text}");
        assert!(show(&sources, &tables(), "").unwrap().contains("kernel.log.level = \"info\""));
        for key in ["plugins.net.rate", "plugins.net.nested.", "plugins.net.\"rate\"", "plugins.off"] {
            assert_eq!(show(&sources, &tables(), key).unwrap().lines().count(), 1, "{key}");
        }
        assert_eq!(
            show(&sources, &tables(), "plugins.off.pin").unwrap(),
            "# plugins.off is not loaded, so it is unknown which of its keys are secret\n"
        );
    }

    #[test]
    fn a_key_that_there_is_not_is_refused_with_the_nearest_one() {
        let sets = ["plugins.net.chains=[{ id = 1 }]".to_owned(), "plugins.off.enabled=false".to_owned()];
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &sets);
        for (key, said) in [
            ("plugins.net.ra", "plugins.net.ra: unknown key; did you mean `rate`?"),
            ("plugins.nett.rate", "plugins.nett: unknown key; did you mean `net`?"),
            ("kernel.log.colour", "kernel.log.colour: unknown key; valid keys: format, level"),
            ("net.rate", "net: unknown key; did you mean `plugins.net.rate`?"),
            ("log.level", "log: unknown key; did you mean `kernel.log.level`?"),
            ("nets.rate", "nets: unknown key; valid keys: kernel, plugins"),
            ("plugins.net.rate.x", "plugins.net.rate.x: unknown key; there are none below plugins.net.rate"),
            (
                "plugins.net.chains.0",
                "plugins.net.chains.0: unknown key; there are none below plugins.net.chains",
            ),
        ] {
            assert_eq!(show(&sources, &tables(), key), Err(said.to_owned()));
        }
        assert!(show(&sources, &tables(), "a b").unwrap_err().starts_with("a b: is not a dotted key"));
    }

    #[test]
    fn a_key_that_is_not_set_differs_from_one_that_does_not_exist() {
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &["plugins.net={}".to_owned()]);
        let show = |key: &str| show(&sources, &tables(), key).unwrap();
        assert_eq!(show("plugins.net.none"), "# plugins.net.none: nothing is set, and there is no default\n");
        assert_eq!(show("plugins.net.required"), "plugins.net.required = false  # default\n");
        assert_eq!(show("plugins.net.chains"), "plugins.net.chains = []  # default\n");
    }

    #[test]
    fn whether_a_secret_is_set_at_all_is_seen() {
        let sets = ["plugins.net.key=''", "plugins.net.chains=[{ endpoints = [] }, { endpoints = ['KEY'] }]"];
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &sets.map(str::to_owned));
        let text = show(&sources, &tables(), "plugins.net").unwrap();
        assert!(text.contains("plugins.net.key = \"\" "), "{text}");
        assert!(text.contains("[{ endpoints = [] }, { endpoints = [\"(secret)\"] }]"), "{text}");
    }

    #[test]
    fn an_unset_key_has_its_default() {
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &["plugins.net={}".to_owned()]);
        let text = show(&sources, &tables(), "plugins.net").unwrap();
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        assert!(line("plugins.net.listen = \"127.0.0.1:8080\" ").ends_with("# default"), "{text}");
        assert!(line("plugins.net.nested.deep = 7 ").ends_with("# default"), "{text}");
        assert!(!text.contains("net.none") && !text.contains("net.required"), "{text}");
    }
}
