//! A plugin's permissions, as text for operators.

use serde_json::Value;

use crate::tables::text;

/// The permissions of the plugin of this name in the report, as text or as JSON; `false` if there is none.
pub fn plugin_rights(report: &Value, name: &str, json: bool) -> (String, bool) {
    let plugins = report["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(plugin) = plugins.iter().find(|plugin| plugin["name"] == name) else {
        let known: Vec<_> = plugins.iter().map(|plugin| text(&plugin["name"])).collect();
        return (format!("no plugin `{name}` runs here; there are: {}", known.join(", ")), false);
    };
    let said = match json {
        true => serde_json::to_string_pretty(plugin).unwrap_or_default(),
        false => in_words(plugin, plugins),
    };
    (said, true)
}

fn in_words(plugin: &Value, plugins: &[Value]) -> String {
    let list = |key: &str| -> Vec<&str> {
        plugin[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let provider = |capability: &&str| {
        let provides =
            |it: &&Value| it["provides"].as_array().is_some_and(|all| all.iter().any(|it| it == capability));
        match plugins.iter().find(provides) {
            Some(provider) => format!("{capability} (of {})", text(&provider["name"])),
            None => format!("{capability} (no provider)"),
        }
    };
    let calls: Vec<_> = list("requires").iter().chain(&list("uses")).map(provider).collect();
    let subjects = |key: &str| -> Vec<_> { list(key).into_iter().map(subject).collect() };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let lines = [
        ("serves the public addresses below", own(list("prefixes"))),
        ("provides to other plugins", own(list("provides"))),
        ("calls", calls),
        ("publishes events on", subjects("publishes")),
        ("receives events on", subjects("subscribes")),
    ];
    let mut words = vec![format!(
        "{} {}: {}",
        text(&plugin["name"]),
        text(&plugin["version"]),
        text(&plugin["description"])
    )];
    words.push(String::new());
    words.push("It has these permissions, and no others:".to_owned());
    for (what, names) in lines.into_iter().filter(|(_, names)| !names.is_empty()) {
        words.push(format!("  {what}"));
        words.extend(names.into_iter().map(|name| format!("    {name}")));
    }
    if plugin["ingress"] == true {
        words.push("  accepts requests from outside, and tells all plugins who sent them".to_owned());
    }
    words.push(String::new());
    words.push(
        match plugin["isolated"] == true {
            true => {
                "It runs in its own process, with its data directory and what plugins.NAME.process permits."
            }
            false => {
                "It runs in the server's process, and so could do whatever the server's user can; \
                  isolation = \"process\" enforces this."
            }
        }
        .replace("NAME", &text(&plugin["name"])),
    );
    words.push(
        "In a database and a storage it has access to what has its name, and to what their setting `grants` adds."
            .to_owned(),
    );
    words.join("\n")
}

/// A subject with the meaning of its wildcards, if that is wide.
fn subject(subject: &str) -> String {
    match subject.split('.').next() {
        Some(">") => format!("{subject} (every event)"),
        Some("*") => format!("{subject} (of every kind)"),
        _ => subject.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operator_reads_what_a_plugin_may_do() {
        let report = json!({ "plugins": [
            { "name": "books", "provides": ["ledger"] },
            { "name": "webhook", "version": "0.1.0", "description": "Tells others", "provides": [],
              "requires": ["ledger"], "uses": ["mail"], "prefixes": ["/api/v1/webhooks"], "publishes": [],
              "subscribes": [">"], "ingress": false, "isolated": true },
        ] });
        let (said, found) = plugin_rights(&report, "webhook", false);
        assert!(found);
        assert_eq!(
            said,
            "webhook 0.1.0: Tells others\n\nIt has these permissions, and no others:\n  \
             serves the public addresses below\n    /api/v1/webhooks\n  \
             calls\n    ledger (of books)\n    mail (no provider)\n  \
             receives events on\n    > (every event)\n\n\
             It runs in its own process, with its data directory and what plugins.webhook.process permits.\n\
             In a database and a storage it has access to what has its name, and to what their setting `grants` adds."
        );
        assert_eq!(
            plugin_rights(&report, "web", false),
            ("no plugin `web` runs here; there are: books, webhook".into(), false)
        );
    }
}
