//! What a plugin may do, in words for operators.

use serde_json::Value;

use crate::tables::text;

/// What the plugin of this name in the report may do, as text or as JSON; `false` if there is none.
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
            None => format!("{capability} (nobody provides it)"),
        }
    };
    let calls: Vec<_> = list("requires").iter().chain(&list("uses")).map(provider).collect();
    let subjects = |key: &str| -> Vec<_> { list(key).into_iter().map(subject).collect() };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let lines = [
        ("answers at the public addresses below", own(list("prefixes"))),
        ("answers other plugins for", own(list("provides"))),
        ("calls", calls),
        ("publishes events on", subjects("publishes")),
        ("hears events on", subjects("subscribes")),
    ];
    let mut words = vec![format!(
        "{} {}: {}",
        text(&plugin["name"]),
        text(&plugin["version"]),
        text(&plugin["description"])
    )];
    words.push(String::new());
    words.push("It may do this, and nothing else:".to_owned());
    for (what, names) in lines.into_iter().filter(|(_, names)| !names.is_empty()) {
        words.push(format!("  {what}"));
        words.extend(names.into_iter().map(|name| format!("    {name}")));
    }
    if plugin["ingress"] == true {
        words.push("  takes requests from outside, and says to all plugins who sent them".to_owned());
    }
    words.push(String::new());
    words.push(match plugin["isolated"] == true {
        true => "It runs in a process of its own, with its data directory and what plugins.NAME.process opens.",
        false => "It runs in the server's process, and so could do whatever the server's user can; \
                  isolation = \"process\" holds it to this.",
    }
    .replace("NAME", &text(&plugin["name"])));
    words.push(
        "A database and a storage give it what bears its name, and what their setting `grants` opens to it."
            .to_owned(),
    );
    words.join("\n")
}

/// A subject with what its wildcards mean, where that is much.
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
            "webhook 0.1.0: Tells others\n\nIt may do this, and nothing else:\n  \
             answers at the public addresses below\n    /api/v1/webhooks\n  \
             calls\n    ledger (of books)\n    mail (nobody provides it)\n  \
             hears events on\n    > (every event)\n\n\
             It runs in a process of its own, with its data directory and what plugins.webhook.process opens.\n\
             A database and a storage give it what bears its name, and what their setting `grants` opens to it."
        );
        assert_eq!(
            plugin_rights(&report, "web", false),
            ("no plugin `web` runs here; there are: books, webhook".into(), false)
        );
    }
}
