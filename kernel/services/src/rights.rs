//! A plugin's rights: exactly what its manifest lists.

use std::collections::BTreeSet;

use streamgate_bus::Pattern;
use streamgate_plugin_api::Manifest;
use streamgate_plugin_api::refusal::Refusal;

/// The rights of one plugin.
#[derive(Debug)]
pub struct Rights {
    plugin: String,
    calls: BTreeSet<String>,
    provides: BTreeSet<String>,
    publishes: Vec<Pattern>,
    subscribes: Vec<Pattern>,
    ingress: bool,
}

impl Rights {
    /// For a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let Manifest { requires, uses, provides, publishes, subscribes, ingress, .. } = manifest;
        let patterns = |list: &[String]| list.iter().filter_map(|it| Pattern::parse(it).ok()).collect();
        Self {
            plugin: manifest.name.clone(),
            calls: requires.iter().chain(uses).chain(provides).cloned().collect(),
            provides: provides.iter().cloned().collect(),
            publishes: patterns(publishes),
            subscribes: patterns(subscribes),
            ingress: *ingress,
        }
    }

    /// Whether it may call a capability.
    ///
    /// # Errors
    /// The refusal, as in all of these.
    pub fn call(&self, capability: &str) -> Result<(), Refusal> {
        self.held(self.calls.contains(capability), || {
            (
                format!("the capability `{capability}`"),
                format!("its manifest neither requires nor uses it; add it there: uses: [\"{capability}\"]"),
            )
        })
    }

    /// Whether it may provide a capability.
    ///
    /// # Errors
    /// As above.
    pub fn provide(&self, capability: &str) -> Result<(), Refusal> {
        self.held(self.provides.contains(capability), || {
            (
                format!("to provide `{capability}`"),
                format!("the manifest does not list `{capability}` under `provides`; add it there"),
            )
        })
    }

    /// Whether it may publish on a subject.
    ///
    /// # Errors
    /// As above.
    pub fn publish(&self, subject: &str) -> Result<(), Refusal> {
        let held = self.publishes.iter().any(|pattern| pattern.matches(subject));
        self.held(held, || (format!("to publish on {subject:?}"), unnamed("publishes", subject)))
    }

    /// Whether it may subscribe to a subject. A malformed one is refused by the bus.
    ///
    /// # Errors
    /// As above.
    pub fn subscribe(&self, subject: &str) -> Result<(), Refusal> {
        let Ok(wanted) = Pattern::parse(subject) else { return Ok(()) };
        let held = self.subscribes.iter().any(|pattern| pattern.covers(&wanted));
        self.held(held, || (format!("to subscribe to {subject:?}"), unnamed("subscribes", subject)))
    }

    /// Whether it may send requests to the public prefixes of others, and state who sent them.
    ///
    /// # Errors
    /// As above.
    pub fn mounts(&self) -> Result<(), Refusal> {
        self.held(self.ingress, || {
            (
                "the public prefixes of the plugins".to_owned(),
                "only an ingress has access to them; a plugin that accepts requests from outside declares ingress: true"
                    .to_owned(),
            )
        })
    }

    /// The refusal of a request for a right, unless it has the right.
    fn held(&self, held: bool, why: impl FnOnce() -> (String, String)) -> Result<(), Refusal> {
        if held {
            return Ok(());
        }
        let (asked, reason) = why();
        Err(Refusal { plugin: self.plugin.clone(), asked, reason })
    }
}

fn unnamed(list: &str, subject: &str) -> String {
    format!("its manifest does not name it; add it there: {list}: [\"{}\"]", like(subject))
}

/// The subject in the form of a manifest: without the id in its middle.
fn like(subject: &str) -> String {
    let tokens: Vec<_> = subject.split('.').collect();
    match tokens.as_slice() {
        [noun, _, what] => format!("{noun}.*.{what}"),
        _ => subject.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights() -> Rights {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Rights::of(&Manifest {
            name: "p".to_owned(),
            version: "1".to_owned(),
            description: String::new(),
            provides: list(&["greeting"]),
            requires: list(&["database"]),
            uses: list(&["access"]),
            prefixes: Vec::new(),
            publishes: list(&["greeting.*.said"]),
            subscribes: list(&["content.>"]),
            ingress: false,
            exclusive: false,
            isolated: false,
        })
    }

    #[test]
    fn the_manifest_is_the_grant() {
        let rights = rights();
        for capability in ["greeting", "database", "access"] {
            assert_eq!(rights.call(capability), Ok(()), "{capability}");
        }
        assert_eq!((rights.provide("greeting"), rights.publish("greeting.1.said")), (Ok(()), Ok(())));
        assert_eq!(
            (rights.subscribe("content.*.deleted"), rights.subscribe("not a subject")),
            (Ok(()), Ok(()))
        );
    }

    #[test]
    fn what_it_does_not_name_is_refused_with_the_line_to_add() {
        let rights = rights();
        for (refused, line) in [
            (rights.call("storage"), "uses: [\"storage\"]"),
            (rights.provide("database"), "`database` under `provides`"),
            (rights.publish("content.7.deleted"), "publishes: [\"content.*.deleted\"]"),
            (rights.subscribe(">"), "subscribes: [\">\"]"),
            (rights.mounts(), "ingress: true"),
        ] {
            assert!(refused.is_err_and(|it| it.plugin == "p" && it.reason.contains(line)), "{line}");
        }
    }
}
