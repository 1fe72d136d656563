//! Warnings: valid settings that are probably a mistake. They do not prevent a start.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use streamgate_plugin_api::Manifest;

use crate::sources::whole;
use crate::tables::{listen_addresses, plugin_path};
use crate::{Node, Problem, Sources, Table};

/// All warnings. `nodes` and `manifests` are the plugins of `tables`.
pub fn notices(sources: &Sources, tables: &[Table], nodes: &[Node], manifests: &[&Manifest]) -> Vec<Problem> {
    let mut found: Vec<_> = sources.ignored().iter().map(|name| ignored(name)).collect();
    if !nodes.is_empty() && !nodes.iter().any(|node| node.ingress) {
        let message = "nothing lets requests in: no enabled plugin is an ingress; the one of the default \
                       edition is `gateway`";
        found.push(sources.problem(&["plugins".to_owned()], true, message));
    }
    public_urls(sources, tables, &mut found);
    for manifest in manifests {
        let much = much(manifest);
        if !much.is_empty() {
            let message = format!(
                "has wide permissions: it {}; `streamgate plugins {}` lists all",
                much.join(", and "),
                manifest.name
            );
            found.push(sources.plugin_problem(&manifest.name, None, message));
        }
    }
    found.sort();
    found
}

/// More capabilities than this are worth a warning.
const MANY: usize = 8;

/// What a plugin may do to all the others, as text.
fn much(manifest: &Manifest) -> Vec<String> {
    let all = |subjects: &[String]| subjects.iter().find(|it| it.starts_with(['*', '>'])).cloned();
    let mut much = Vec::new();
    if let Some(subject) = all(&manifest.publishes) {
        much.push(format!("publishes in the name of every plugin (`{subject}`)"));
    }
    if let Some(subject) = all(&manifest.subscribes) {
        much.push(format!("receives the events of every plugin (`{subject}`)"));
    }
    if manifest.ingress && !manifest.requires.is_empty() {
        let needs = manifest.requires.join("`, `");
        much.push(format!("states who sent a request, and also calls `{needs}`"));
    }
    if manifest.ingress && manifest.isolated {
        much.push("handles untrusted data, and states who sent a request".to_owned());
    }
    let calls = manifest.requires.len() + manifest.uses.len();
    if calls > MANY {
        much.push(format!("calls {calls} capabilities"));
    }
    much
}

fn ignored(name: &str) -> Problem {
    let parts = name.trim_start_matches("STREAMGATE_").replace("PLUGINS_", "PLUGINS__");
    let like = if parts.contains("__") { &parts } else { "PLUGINS__GATEWAY__LISTEN" };
    whole(
        name,
        format!(
            "sets nothing: two underscores stand between the parts of a key, as in STREAMGATE_{like}; \
             take it out, or correct it"
        ),
    )
}

/// Whether a variable with our prefix is one that Kubernetes or Docker sets for a service named `streamgate`.
pub(crate) fn is_of_a_service(rest: &str) -> bool {
    rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
        || rest == "PORT"
        || rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

/// Public addresses for people (`format` is `public-url`), compared to the listen addresses.
fn public_urls(sources: &Sources, tables: &[Table], found: &mut Vec<Problem>) {
    let listening: Vec<SocketAddr> = tables
        .iter()
        .flat_map(listen_addresses)
        .flat_map(|(_, addresses)| addresses)
        .filter_map(|address| address.parse().ok())
        .collect();
    // For port 0 the system chooses one.
    if listening.is_empty() || listening.iter().any(|address| address.port() == 0) {
        return;
    }
    for table in tables {
        let properties = table.schema["properties"].as_object().into_iter().flatten();
        for (key, _) in properties.filter(|(_, it)| it["format"] == "public-url") {
            let url = table.values.get(key).and_then(Value::as_str).unwrap_or_default();
            if let Some(message) = misses(url, &listening) {
                found.push(sources.problem(&plugin_path(&table.plugin, [key.as_str()]), false, message));
            }
        }
    }
}

/// Why this address does not lead to one of these, as far as it can be known here: not for `https`, which a
/// proxy serves, nor for another machine's name.
fn misses(url: &str, listening: &[SocketAddr]) -> Option<String> {
    let authority = url.strip_prefix("http://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let there: Vec<_> = listening.iter().filter(|it| it.port() == port).collect();
    let shown = listening.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    if is_here && there.is_empty() {
        return Some(format!(
            "leads to port {port} of this machine, and the server listens on {shown}: unless something \
             forwards it, nobody can sign in; leave it out, or correct the port"
        ));
    }
    if !is_here && !there.is_empty() && there.iter().all(|it| it.ip().is_loopback()) {
        return Some(format!(
            "leads to another address than {shown}, where only this machine gets to; listen on \
             0.0.0.0:{port}, or on that address"
        ));
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    #[test]
    fn an_address_of_this_machine_without_a_listener_is_noticed() {
        let here = at(&["127.0.0.1:18472"]);
        for url in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"] {
            assert!(misses(url, &here).is_some_and(|text| text.contains("127.0.0.1:18472")), "{url}");
        }
        assert!(misses("http://192.168.1.5:18472", &here).is_some_and(|text| text.contains("0.0.0.0:18472")));
    }

    #[test]
    fn what_something_else_may_forward_is_not() {
        let (here, everywhere) = (at(&["127.0.0.1:18472"]), at(&["0.0.0.0:8080", "[::]:8080"]));
        for url in ["http://localhost:18472", "http://192.168.1.5", "https://video.example.org", "", "odd"] {
            assert_eq!(misses(url, &here), None, "{url}");
        }
        assert_eq!(misses("http://192.168.1.5:8080", &everywhere), None);
        assert_eq!(misses("http://localhost:8080", &everywhere), None);
    }

    #[test]
    fn a_plugin_that_may_do_something_to_all_others_is_noticed() {
        let manifest = |more: serde_json::Value| -> Manifest {
            let mut whole = serde_json::json!({ "name": "p", "version": "1" });
            whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(whole).unwrap()
        };
        for (asks, words) in [
            (
                serde_json::json!({ "publishes": ["*.*.deleted"] }),
                "in the name of every plugin (`*.*.deleted`)",
            ),
            (serde_json::json!({ "subscribes": [">"] }), "receives the events of every plugin"),
            (serde_json::json!({ "ingress": true, "requires": ["database"] }), "also calls `database`"),
            (serde_json::json!({ "ingress": true, "isolated": true }), "untrusted data"),
            (serde_json::json!({ "uses": ["a", "b", "c", "d", "e", "f", "g", "h", "i"] }), "9 capabilities"),
        ] {
            let much = much(&manifest(asks));
            assert!(much.len() == 1 && much[0].contains(words), "{much:?}");
        }
        let modest = serde_json::json!({
            "ingress": true, "uses": ["authenticate"], "publishes": ["content.>"], "subscribes": ["access.>"]
        });
        assert_eq!(much(&manifest(modest)), Vec::<String>::new());
    }

    #[test]
    fn variables_of_a_service_with_our_name_are_not_mistakes() {
        for rest in ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"] {
            assert!(is_of_a_service(rest), "{rest}");
        }
        assert!(!is_of_a_service("LISTEN") && !is_of_a_service("PORTS") && !is_of_a_service("PORT_HTTP"));
        let said = ignored("STREAMGATE_PLUGINS_GATEWAY__LISTEN").message;
        assert!(said.contains("STREAMGATE_PLUGINS__GATEWAY__LISTEN"), "{said}");
    }
}
