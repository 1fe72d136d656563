//! The configuration that counts, key by key, each with where it comes from. Secrets stay hidden.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::secrets::{self, Node, masked};
use crate::sources::dotted;
use crate::tables::{file_schema, reserved_properties};
use crate::{Sources, Table};

/// `key = value  # from` in TOML, a line for each key that begins with `prefix`. Keys without a value
/// and without a default are left out, as are keys that every plugin may have and that nobody set.
pub fn show(sources: &Sources, tables: &[Table], prefix: &str) -> String {
    let schemas: BTreeMap<_, _> =
        tables.iter().map(|table| (table.plugin.clone(), table.schema.clone())).collect();
    let schema = file_schema(&schemas);
    let reserved = reserved_properties();
    let mut lines = Vec::new();
    let root = Node::root(&schema);
    let known = |path: &[String]| match path {
        [plugins, name] if plugins == "plugins" => schemas.contains_key(name),
        _ => true,
    };
    walk(&mut Vec::new(), root, Some(sources.value()), None, &mut |path, node, value, default| {
        // Without a schema nobody knows what is secret: of such a plugin only that it is there.
        if path.len() > 2 && !known(&path[..2]) && path[2] != "enabled" {
            return;
        }
        let is_reserved = path.len() > 2 && path[0] == "plugins" && reserved.contains_key(&path[2]);
        let Some(shown) = value.or(default.filter(|_| !is_reserved)) else { return };
        if shown.is_null() || !begins(path, prefix) {
            return;
        }
        let from = if value.is_some() { sources.place(path).1 } else { "default".to_owned() };
        let text = if secrets::is_secret_at(&schema, path) { "(secret)".into() } else { toml(node, shown) };
        lines.push((format!("{} = {text}", dotted(path)), from));
    });
    let width = lines.iter().map(|(text, _)| text.chars().count()).filter(|width| *width <= 60).max();
    let width = width.unwrap_or(0);
    lines.iter().map(|(text, from)| format!("{text:width$}  # {from}\n")).collect()
}

/// Whether a key is the prefix, or below it.
fn begins(path: &[String], prefix: &str) -> bool {
    let key = dotted(path);
    let rest = key.strip_prefix(prefix.trim_end_matches('.'));
    prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

type Leaf<'a> = dyn FnMut(&[String], Node<'_>, Option<&Value>, Option<&Value>) + 'a;

/// Every key that is no table, with its value and its default.
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

/// A value as TOML, with what is secret in it hidden.
fn toml(node: Node<'_>, value: &Value) -> String {
    match value {
        _ if node.is_secret() => "\"(secret)\"".to_owned(),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(at, item)| toml(node.child(&at.to_string()), item));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| {
                let shown = match secrets::looks_secret(key) {
                    true => "\"(secret)\"".to_owned(),
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
        let text = show(&sources, &tables(), "plugins");
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_once("  #").unwrap())
            .map(|(l, r)| (l.trim_end(), r))
            .collect();
        let file = dir.display().to_string();
        assert_eq!(
            lines,
            [
                ("plugins.net.chains = [{ endpoints = \"(secret)\", id = 1 }]", " --set plugins.net.chains"),
                ("plugins.net.key = (secret)", format!(" {file}:3:1").as_str()),
                ("plugins.net.listen = \"0.0.0.0:80\"", " --set plugins.net.listen"),
                ("plugins.net.nested.deep = 8", " STREAMGATE_PLUGINS__NET__NESTED__DEEP"),
                ("plugins.net.rate = 4", format!(" {file}:2:1").as_str()),
                ("plugins.off.enabled = false", format!(" {file}:5:1").as_str()),
            ]
        );
        assert!(!text.contains("SECRET"), "{text}");
        assert!(show(&sources, &tables(), "").contains("kernel.log.level = \"info\""));
        assert_eq!(show(&sources, &tables(), "plugins.net.ra"), "");
        assert_eq!(show(&sources, &tables(), "plugins.net.rate").lines().count(), 1);
    }

    #[test]
    fn what_nobody_set_is_the_default() {
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &["plugins.net={}".to_owned()]);
        let text = show(&sources, &tables(), "plugins.net");
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        assert!(line("plugins.net.listen = \"127.0.0.1:8080\" ").ends_with("# default"), "{text}");
        assert!(line("plugins.net.nested.deep = 7 ").ends_with("# default"), "{text}");
        assert!(!text.contains("net.none") && !text.contains("net.required"), "{text}");
    }
}
