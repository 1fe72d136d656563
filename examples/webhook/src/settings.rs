//! The settings of the plugin, and the checks beyond their types.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use streamgate_plugin_api::address::not_public;
use streamgate_plugin_api::settings::{Duration, SettingsProblem};
use url::{Host, Url};

use crate::sign::Key;

/// The maximum number of endpoints, and of subjects of each.
const MAX_ENDPOINTS: usize = 64;
const MAX_SUBJECTS: usize = 32;

/// The maximum size of a file with a secret, in bytes.
const MAX_SECRET_FILE: u64 = 1024;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Settings of the `webhook` plugin.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// The receivers.
    pub endpoints: Vec<EndpointSettings>,
    /// Also deliver to loopback, private, link-local and other addresses that are not on the public internet.
    /// Anyone who can name an endpoint can then reach what only this machine can.
    pub allow_private_networks: bool,
    /// How long one attempt may take, from connecting to the answer.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The number of attempts before a delivery becomes a dead letter.
    pub max_attempts: u32,
    /// The maximum pause after the first failure; it doubles with every further one. The actual pause is
    /// random, between zero and that.
    pub backoff: Duration,
    /// The maximum pause between two attempts.
    pub max_backoff: Duration,
    /// The maximum `Retry-After` that is honoured.
    pub max_retry_after: Duration,
    /// Concurrent deliveries to one endpoint.
    pub max_parallel: u32,
    /// Maximum deliveries that wait for one endpoint. With one more, the oldest becomes a dead letter.
    pub max_waiting: u32,
    /// How long successful deliveries are kept.
    pub retention: Duration,
    /// How long dead letters are kept.
    pub dead_retention: Duration,
    /// Maximum successful deliveries, and dead letters, that are kept per endpoint.
    pub max_kept: u32,
    /// How long active deliveries may continue when the plugin stops; then they are cancelled, and repeated
    /// after the next start.
    pub stop_timeout: Duration,
}

/// A receiver.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// Its name, unique among the endpoints: `[a-z][a-z0-9-]*`.
    pub name: String,
    /// The address that events are posted to: `https://…`, or `http://…`.
    pub url: String,
    /// Which events, by their subjects; `*` stands for one token, `>` at the end for one or more.
    #[serde(default = "everything")]
    pub subjects: Vec<String>,
    /// The secret that deliveries are signed with: `whsec_` and 24 to 64 bytes in base64.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub secret: Option<Secret>,
    /// A file with the secret, instead of `secret`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The previous secret, during a rotation: deliveries are signed with both.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub previous_secret: Option<Secret>,
    /// A file with the previous secret, instead of `previous_secret`.
    #[serde(default)]
    pub previous_secret_file: Option<PathBuf>,
    /// Send the event as one JSON document (CloudEvents' structured mode) instead of its data with
    /// the rest in headers (binary mode).
    #[serde(default)]
    pub structured: bool,
    /// Accept no new events for it and send none; pending ones keep waiting.
    #[serde(default)]
    pub disabled: bool,
}

fn everything() -> Vec<String> {
    vec![">".into()]
}

/// A secret as written. It is never shown.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            allow_private_networks: false,
            timeout: Duration::secs(15),
            connect_timeout: Duration::secs(5),
            max_attempts: 10,
            backoff: Duration::secs(10),
            max_backoff: Duration::secs(6 * HOUR),
            max_retry_after: Duration::secs(6 * HOUR),
            max_parallel: 4,
            max_waiting: 10_000,
            retention: Duration::secs(3 * DAY),
            dead_retention: Duration::secs(30 * DAY),
            max_kept: 50_000,
            stop_timeout: Duration::secs(10),
        }
    }
}

impl Settings {
    /// All problems of these values. It reads the files of secrets only.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut say = |key: &str, message: String| problems.push(SettingsProblem::new(key, message));
        for (key, value, least, most) in [
            ("timeout", self.timeout, Duration::millis(100), Duration::secs(120)),
            ("connect_timeout", self.connect_timeout, Duration::millis(100), self.timeout),
            ("backoff", self.backoff, Duration::millis(10), self.max_backoff),
            ("max_backoff", self.max_backoff, Duration::millis(10), Duration::secs(7 * DAY)),
            ("max_retry_after", self.max_retry_after, Duration::secs(0), Duration::secs(7 * DAY)),
            ("retention", self.retention, Duration::secs(0), Duration::secs(3650 * DAY)),
            ("dead_retention", self.dead_retention, Duration::secs(60), Duration::secs(3650 * DAY)),
            ("stop_timeout", self.stop_timeout, Duration::secs(0), Duration::secs(600)),
        ] {
            if value < least || value > most {
                say(key, format!("{value} is not between {least} and {most}"));
            }
        }
        for (key, value, most) in [
            ("max_attempts", self.max_attempts, 50),
            // Together they must fit into one answer of the database.
            ("max_parallel", self.max_parallel, 12),
            ("max_waiting", self.max_waiting, 1_000_000),
            ("max_kept", self.max_kept, 10_000_000),
        ] {
            if value == 0 || value > most {
                say(key, format!("{value} is not between 1 and {most}"));
            }
        }
        if self.endpoints.len() > MAX_ENDPOINTS {
            say("endpoints", format!("there are {}; at most {MAX_ENDPOINTS} are", self.endpoints.len()));
        }
        let mut names = HashSet::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let mut say = |field: &str, message| say(&format!("endpoints.{index}.{field}"), message);
            if !names.insert(&endpoint.name) {
                say("name", format!("`{}` names two endpoints", endpoint.name));
            }
            endpoint.problems(self.allow_private_networks, &mut say);
        }
        problems
    }
}

impl EndpointSettings {
    fn problems(&self, allow_private: bool, say: &mut impl FnMut(&str, String)) {
        if !is_name(&self.name) {
            say("name", format!("`{}` is not [a-z][a-z0-9-]{{0,62}}", self.name));
        }
        if let Err(reason) = self.address(allow_private) {
            say("url", reason);
        }
        if self.subjects.is_empty() || self.subjects.len() > MAX_SUBJECTS {
            say("subjects", format!("there are {}, not 1 to {MAX_SUBJECTS}", self.subjects.len()));
        }
        for (index, subject) in self.subjects.iter().enumerate().filter(|(_, subject)| !is_pattern(subject)) {
            let example = "content.*.uploaded or content.>";
            say(&format!("subjects.{index}"), format!("`{subject}` is no subject such as {example}"));
        }
        if let Err(problems) = self.keys() {
            for (field, reason) in problems {
                say(field, reason);
            }
        }
    }

    /// The address to post to.
    pub(crate) fn address(&self, allow_private: bool) -> Result<Url, String> {
        // Messages never repeat the address: it may contain a password.
        let url = Url::parse(&self.url).map_err(|error| format!("it is no address: {error}"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(format!("`{}` is neither https nor http", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or a password, which end in logs; sign with `secret`".into());
        }
        if url.fragment().is_some() {
            return Err("what follows # is never sent; remove it".into());
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err("it has no host".into()),
        };
        if let Some((address, what)) = literal.and_then(|address| Some((address, not_public(address)?)))
            && !allow_private
        {
            return Err(format!(
                "{address} is {what}; deliveries go there with `allow_private_networks = true` only"
            ));
        }
        Ok(url)
    }

    /// The signing keys, the current one first; else the problem and its field.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, Vec<(&'static str, String)>> {
        let present = read(["secret", "secret_file"], self.secret.as_ref(), self.secret_file.as_deref());
        let previous = read(
            ["previous_secret", "previous_secret_file"],
            self.previous_secret.as_ref(),
            self.previous_secret_file.as_deref(),
        );
        let missing = || ("secret", "there is no `secret` and no `secret_file` to sign with".to_owned());
        let present = present.and_then(|key| key.ok_or_else(missing));
        match (present, previous) {
            (Ok(present), Ok(previous)) => Ok([present].into_iter().chain(previous).collect()),
            (present, previous) => Err(present.err().into_iter().chain(previous.err()).collect()),
        }
    }
}

fn read(
    [inline, in_file]: [&'static str; 2],
    secret: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<Key>, (&'static str, String)> {
    match (secret, file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err((in_file, format!("there is `{inline}` as well; keep one of them"))),
        (Some(secret), None) => Key::parse(&secret.0).map(Some).map_err(|error| (inline, error.to_string())),
        (None, Some(file)) => {
            let mut text = String::new();
            let read = File::open(file).and_then(|file| file.take(MAX_SECRET_FILE).read_to_string(&mut text));
            read.map_err(|error| (in_file, format!("{} cannot be read: {error}", file.display())))?;
            Key::parse(&text).map(Some).map_err(|error| (in_file, format!("{}: {error}", file.display())))
        }
    }
}

/// `[a-z][a-z0-9-]{0,62}`.
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A subject with wildcards, in the syntax of NATS.
fn is_pattern(text: &str) -> bool {
    let token = |token: &str| {
        !token.is_empty()
            && (token == "*" || !token.contains(['*', '>']))
            && !token.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    let head = text.strip_suffix(".>").unwrap_or(text);
    text == ">" || (text.len() <= 255 && head.split('.').all(token))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn settings(value: serde_json::Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(Settings::default().problems(), []);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let found = settings(json!({
            "timeout": "1h",
            "max_attempts": 0,
            "max_parallel": 100,
            "endpoints": [
                { "name": "A", "url": "ftp://example.org/", "subjects": ["a..b"] },
                { "name": "b", "url": "https://user:hunter2@example.org/", "secret": "hunter2" },
                { "name": "b", "url": "http://[::ffff:127.0.0.1]/", "secret": SECRET, "subjects": [] },
            ],
        }))
        .problems();
        let keys: Vec<_> = found.iter().map(|problem| problem.key.as_str()).collect();
        let expected = [
            "timeout",
            "max_attempts",
            "max_parallel",
            "endpoints.0.name",
            "endpoints.0.url",
            "endpoints.0.subjects.0",
            "endpoints.0.secret",
            "endpoints.1.url",
            "endpoints.1.secret",
            "endpoints.2.name",
            "endpoints.2.url",
            "endpoints.2.subjects",
        ];
        assert_eq!(keys, expected);
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }

    #[test]
    fn an_address_that_is_not_public_needs_a_setting_however_it_is_written() {
        for url in ["http://127.0.0.1:8080/", "http://0x7f.1/", "http://2130706433/", "https://[::1]/"] {
            let endpoint = EndpointSettings { url: url.into(), ..EndpointSettings::default() };
            let reason = endpoint.address(false).unwrap_err();
            assert!(reason.contains("loopback") && reason.contains("allow_private_networks"), "{reason}");
            assert!(endpoint.address(true).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_secret_is_read_from_a_file_and_shown_nowhere() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{SECRET}").unwrap();
        let settings = settings(json!({ "endpoints": [{
            "name": "a", "url": "https://example.org/", "secret": SECRET, "previous_secret_file": file.path(),
        }]}));
        assert_eq!(settings.problems(), []);
        let keys = settings.endpoints[0].keys().unwrap();
        assert!(keys.len() == 2 && keys[0] == keys[1]);
        assert!(!format!("{settings:?}{keys:?}").contains("MfKQ"));
    }

    #[test]
    fn a_secret_file_that_is_missing_or_doubled_is_a_problem_of_its_key() {
        let endpoint = |secret| EndpointSettings {
            secret,
            secret_file: Some("/nowhere/secret".into()),
            ..EndpointSettings::default()
        };
        let [(field, reason)] = &endpoint(None).keys().unwrap_err()[..] else { panic!("one problem") };
        assert!(*field == "secret_file" && reason.contains("/nowhere/secret"), "{reason}");
        let problems = endpoint(Some(Secret(SECRET.into()))).keys().unwrap_err();
        assert!(problems[0].1.contains("keep one"), "{problems:?}");
    }

    #[test]
    fn subjects_are_those_of_the_bus() {
        for good in [">", "*", "content.>", "content.*.uploaded", "a"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", ".", "a.", "a.>.b", "a*", "a b", ">.a", &"a".repeat(256)] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
