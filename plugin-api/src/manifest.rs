//! The manifest: a plugin's description of itself, as data that the host reads before it runs any code.

use serde::{Deserialize, Serialize};

/// The manifest of a plugin, as [`export_plugin!`](crate::export_plugin) writes it in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's name, its table in the configuration: `[a-z][a-z0-9-]*`.
    pub name: String,
    /// The version of the crate.
    pub version: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Capabilities that it provides.
    #[serde(default)]
    pub provides: Vec<String>,
    /// Capabilities that it may call, and without which it does not start.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Capabilities that it may call, and that it starts after, if some plugin provides them.
    #[serde(default)]
    pub uses: Vec<String>,
    /// Public path prefixes.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Subjects of events that it may publish on, with the wildcards of NATS.
    #[serde(default)]
    pub publishes: Vec<String>,
    /// Subjects of events that it may subscribe to.
    #[serde(default)]
    pub subscribes: Vec<String>,
    /// Takes requests from outside, and says who sent them: starts last, stops first.
    #[serde(default)]
    pub ingress: bool,
    /// It must not run twice at the same time: a new run starts after the old one has stopped, and requests
    /// wait meanwhile.
    #[serde(default)]
    pub exclusive: bool,
    /// It handles untrusted data: it runs in its own process, unless the configuration says otherwise.
    #[serde(default)]
    pub isolated: bool,
}

/// Checks a manifest while the plugin compiles; the message of the panic is the compiler's error.
#[doc(hidden)]
pub const fn check(
    name: &str,
    description: &str,
    capabilities: [&[&str]; 3],
    prefixes: &[&str],
    subjects: [&[&str]; 2],
) {
    assert!(
        is_name(name),
        "export_plugin!: a name is lower-case letters, digits and hyphens, and starts with a letter"
    );
    assert!(is_plain(description), "export_plugin!: a description is one line without single quotes");
    let mut lists = capabilities.as_slice();
    while let [list, rest @ ..] = lists {
        lists = rest;
        let mut list = *list;
        while let [capability, rest @ ..] = list {
            list = rest;
            assert!(
                is_name(capability),
                "export_plugin!: a capability is lower-case letters, digits and hyphens, and starts with a letter"
            );
        }
    }
    let mut lists = subjects.as_slice();
    while let [list, rest @ ..] = lists {
        lists = rest;
        let mut list = *list;
        while let [subject, rest @ ..] = list {
            list = rest;
            assert!(
                is_subject(subject),
                "export_plugin!: a subject is tokens joined by single dots, `*` for one of them, `>` for one or more at the end"
            );
        }
    }
    let mut list = prefixes;
    while let [prefix, rest @ ..] = list {
        list = rest;
        assert!(is_plain(prefix), "export_plugin!: a prefix has no control characters and no single quotes");
        let bytes = prefix.as_bytes();
        assert!(!bytes.is_empty() && bytes[0] == b'/', "export_plugin!: a prefix starts with a slash");
        assert!(
            bytes.len() == 1 || bytes[bytes.len() - 1] != b'/',
            "export_plugin!: a prefix does not end with a slash; \"/files\" covers \"/files/...\""
        );
    }
}

const fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 63 || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !(bytes[i].is_ascii_lowercase() || bytes[i].is_ascii_digit() || bytes[i] == b'-') {
            return false;
        }
        i += 1;
    }
    true
}

const fn is_subject(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    let mut token = 0;
    while i < bytes.len() {
        let last = i + 1 == bytes.len() || bytes[i + 1] == b'.';
        match bytes[i] {
            b'.' if token == 0 => return false,
            b'.' => token = 0,
            b'*' if token > 0 || !last => return false,
            b'>' if token > 0 || i + 1 != bytes.len() => return false,
            byte if byte <= b' ' || byte == b'\'' || byte == 0x7f => return false,
            _ => token += 1,
        }
        i += 1;
    }
    token > 0
}

const fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] < b' ' || bytes[i] == b'\'' || bytes[i] == 0x7f {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_subjects_are_recognized() {
        for good in ["a", "content.*.deleted", "content.>", ">", "*", "host.changed.*.kept"] {
            assert!(is_subject(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.b*", "a.*b", "a.>.b", "a>", "a'b"] {
            assert!(!is_subject(bad), "{bad}");
        }
    }
}
