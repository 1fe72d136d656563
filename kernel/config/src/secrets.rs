//! What must not be shown: settings that are secret by their schema or by name, and the parts of URLs after
//! the host, where endpoints have keys.

use serde_json::Value;

/// The replacement of a secret inside of a value.
pub(crate) const HIDDEN: &str = "\"(secret)\"";

/// A place in a schema: a subschema, and the base of its references (the nearest `$id`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) schema: &'a Value,
    base: &'a Value,
}

impl<'a> Node<'a> {
    pub(crate) fn root(schema: &'a Value) -> Self {
        Self { schema, base: schema }
    }

    /// A subschema of this one.
    pub(crate) fn at(self, schema: &'a Value) -> Self {
        let base = if schema["$id"].is_string() { schema } else { self.base };
        Self { schema, base }
    }

    /// The target of its reference.
    pub(crate) fn target(self) -> Option<Self> {
        let pointer = self.schema["$ref"].as_str()?.strip_prefix('#')?;
        self.base.pointer(pointer).map(|schema| self.at(schema))
    }

    /// Itself, and everything it refers to or consists of.
    fn parts(self) -> Vec<Self> {
        let mut parts = vec![self];
        let mut next = 0;
        // A cyclic schema must end somewhere.
        while let Some(part) = parts.get(next).copied().filter(|_| next < 32) {
            let composed = ["allOf", "anyOf", "oneOf"].map(|key| part.schema[key].as_array());
            let composed = composed.into_iter().flatten().flatten().map(|schema| part.at(schema));
            parts.extend(part.target().into_iter().chain(composed).collect::<Vec<_>>());
            next += 1;
        }
        parts
    }

    /// Of a table or an array.
    pub(crate) fn child(self, key: &str) -> Self {
        let parts = self.parts();
        let found = parts.iter().find_map(|part| {
            let named = part.schema["properties"].get(key);
            let more = [&part.schema["items"], &part.schema["additionalProperties"]];
            named.or_else(|| more.into_iter().find(|it| it.is_object())).map(|schema| part.at(schema))
        });
        found.unwrap_or(Self { schema: &Value::Null, base: self.base })
    }

    /// The keys of a table, by their names.
    pub(crate) fn properties(self) -> Vec<(&'a str, Self)> {
        let mut all: Vec<(&str, Self)> = Vec::new();
        for part in self.parts() {
            let own = part.schema["properties"].as_object().into_iter().flatten();
            all.extend(own.map(|(key, schema)| (key.as_str(), part.at(schema))));
        }
        all.sort_by_key(|(key, _)| *key);
        all.dedup_by_key(|(key, _)| *key);
        all
    }

    pub(crate) fn default(self) -> Option<&'a Value> {
        self.parts().iter().find_map(|part| part.schema.get("default"))
    }

    /// Whether it has a key of this name.
    pub(crate) fn has(self, key: &str) -> bool {
        self.parts().iter().any(|part| {
            let more = &part.schema["additionalProperties"];
            part.schema["properties"].get(key).is_some() || more.is_object() || *more == true
        })
    }

    /// Whether its schema declares it secret.
    pub(crate) fn is_secret(self) -> bool {
        let says = |schema: &Value| schema["writeOnly"] == true || schema["format"] == "password";
        self.parts().iter().any(|part| says(part.schema))
    }
}

/// Whether the setting at `path` of the whole file's schema is secret, or below one that is.
pub(crate) fn is_secret_at(schema: &Value, path: &[String]) -> bool {
    let mut node = Node::root(schema);
    path.iter().any(|key| {
        node = node.child(key);
        looks_secret(key) || node.is_secret()
    })
}

/// For keys without a schema, and everything below them. `token_idle` is not secret.
pub(crate) fn looks_secret(key: &str) -> bool {
    ["secret", "password", "private_key", "mnemonic"].iter().any(|word| key.contains(word))
        && !key.ends_with("_file")
        || ["token", "credential", "api_key"].iter().any(|word| {
            let rest = key.strip_suffix('s').unwrap_or(key).strip_suffix(word);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
        })
}

/// The same without the user info and the parts after the host of URLs in it.
pub(crate) fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => mask_url(text).into(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(table) => table.iter().map(|(key, value)| (key.clone(), masked(value))).collect(),
        plain => plain.clone(),
    }
}

/// The visible part of a secret setting: whether it is empty, and the server of addresses in it, unless it is
/// `named` like a secret. `None`: nothing is visible.
pub(crate) fn hidden(named: bool, value: &Value) -> Option<String> {
    let is_address = |text: &str| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        scheme.is_some_and(|scheme| ["http", "https", "ws", "wss"].contains(&scheme.as_str()))
    };
    match value {
        Value::String(text) if text.is_empty() || !named && is_address(text) => {
            Some(masked(value).to_string())
        }
        Value::Array(items) if items.is_empty() || !named => {
            let items = items.iter().map(|item| hidden(named, item).unwrap_or_else(|| HIDDEN.to_owned()));
            Some(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
        }
        Value::Object(table) if table.is_empty() => Some("{}".to_owned()),
        _ => None,
    }
}

fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
    let path = if path.len() > 1 { "/…" } else { path };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_taken_for_secrets_by_their_names() {
        for key in
            ["secret", "client_secret", "passwords", "admin_token", "tokens", "api_keys", "private_key"]
        {
            assert!(looks_secret(key), "{key}");
        }
        for key in [
            "token_idle",
            "allow_private_addresses",
            "tokenizer",
            "key",
            "broken",
            "api_key_lifetime",
            "secret_file",
        ] {
            assert!(!looks_secret(key), "{key}");
        }
    }

    #[test]
    fn what_is_below_a_secret_is_one_however_the_schema_gets_there() {
        let path = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        assert!(is_secret_at(&Value::Null, &path(&["webhook", "tokens", "0"])));
        let schema = json!({ "properties": { "plugins": { "properties": { "net": {
            "$id": "urn:net",
            "properties": { "chains": { "items": { "$ref": "#/$defs/Chain" } }, "list": { "items": {} } },
            "$defs": { "Chain": { "properties": {
                "endpoints": { "items": { "type": "string" }, "writeOnly": true }, "id": {},
            } } },
        } } } } });
        for secret in [&["endpoints"][..], &["endpoints", "0"]] {
            let path = path(&[&["plugins", "net", "chains", "0"], secret].concat());
            assert!(is_secret_at(&schema, &path), "{path:?}");
        }
        assert!(!is_secret_at(&schema, &path(&["plugins", "net", "chains", "0", "id"])));
        assert!(!is_secret_at(&schema, &path(&["plugins", "net", "list", "0"])));
    }

    #[test]
    fn of_a_secret_is_shown_whether_it_is_empty_and_which_server_an_address_in_it_names() {
        for (value, shown) in [
            (json!([]), "[]"),
            (json!(""), "\"\""),
            (json!({}), "{}"),
            (json!("WSS://rpc.example/KEY"), "\"WSS://rpc.example/…\""),
            (json!(["https://a:b@rpc.example/KEY", "KEY"]), "[\"https://…@rpc.example/…\", \"(secret)\"]"),
        ] {
            assert_eq!(hidden(false, &value).as_deref(), Some(shown));
        }
        for value in [json!("KEY"), json!("pass://word"), json!(7), json!({ "k": "KEY" })] {
            assert_eq!(hidden(false, &value), None, "{value}");
        }
        // A password may look like anything.
        assert_eq!(hidden(true, &json!("https://rpc.example/")), None);
        assert_eq!(hidden(true, &json!(["https://rpc.example/"])), None);
        assert_eq!(hidden(true, &json!([])).as_deref(), Some("[]"));
    }

    #[test]
    fn of_a_url_only_the_server_is_shown() {
        for (text, shown) in [
            ("https://rpc.example.org/v3/KEY", "https://rpc.example.org/…"),
            ("https://rpc.example.org?key=KEY", "https://rpc.example.org/…"),
            ("https://user:KEY@rpc.example.org/", "https://…@rpc.example.org/"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("./data", "./data"),
        ] {
            assert_eq!(masked(&text.into()), shown);
        }
        assert_eq!(masked(&json!(["https://a.example/KEY"])), json!(["https://a.example/…"]));
    }
}
