//! Settings of endpoints in chain plugins, and their checks.
//!
//! Each plugin has the fields of [`Limits`] in its own table instead of flattening the struct: serde's
//! `flatten` does not work with `deny_unknown_fields`, and a mistake in such a field is reported without its
//! key.

use std::collections::HashSet;
use std::net::IpAddr;

use http::Uri;
use streamgate_plugin_api::address::not_public;
use streamgate_plugin_api::settings::{ByteSize, Duration, SettingsProblem, outside};

/// Maximum endpoints of one chain.
const MAX_ENDPOINTS: usize = 16;
/// The largest `max_lag` of a chain.
const MOST_LAG: u64 = 10_000;

/// Permissions and limits of each endpoint of a plugin.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Whether it may have a private address and use plain HTTP.
    pub allow_private: bool,
    /// How long it may take to answer one call.
    pub deadline: Duration,
    /// How long to wait for the first endpoints before a further one is called as well.
    pub hedge_after: Duration,
    /// Maximum size of a response.
    pub max_answer: ByteSize,
    /// How often it must prove which chain it serves.
    pub recheck: Duration,
    /// Consecutive failures after which it is paused.
    pub breaker_failures: u32,
    /// How long it is paused first; it doubles each time, up to 5 minutes.
    pub breaker_pause: Duration,
}

/// What is wrong with the URL of an endpoint; the URL itself may hold a key and is not repeated.
pub(crate) fn endpoint_problem(text: &str, allow_private: bool) -> Option<String> {
    let Ok(uri) = text.parse::<Uri>() else {
        return Some("it is not a URL such as https://rpc.example.org/key".into());
    };
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    if host.is_empty() || !matches!(scheme, "https" | "http") {
        return Some("it is not a URL such as https://rpc.example.org/key".into());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some(format!("the URL at {host} has a user name; keys belong in its path"));
    }
    if allow_private {
        return None;
    }
    if scheme != "https" {
        return Some(format!("the URL at {host} is not https; `allow_private = true` allows plain HTTP"));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if not_public(address).is_some() => {
            Some(format!("{host} is not a public address; `allow_private = true` allows it"))
        }
        _ => None,
    }
}

impl Limits {
    /// All problems of these values.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        let day = Duration::secs(24 * 3600);
        let problems = [
            outside("deadline", self.deadline, Duration::millis(50), Duration::secs(60)),
            outside("hedge_after", self.hedge_after, Duration::millis(1), self.deadline),
            outside("recheck", self.recheck, Duration::secs(1), day),
            outside("breaker_pause", self.breaker_pause, Duration::millis(10), Duration::secs(300)),
            outside("breaker_failures", self.breaker_failures, 1, 1000),
            outside("max_answer", self.max_answer, ByteSize::kib(16), ByteSize::mib(64)),
        ];
        problems.into_iter().flatten().collect()
    }

    /// The problems of a chain's endpoints, its quorum, and its maximum lag. `key` makes the whole key of a
    /// field.
    pub fn pool_problems(
        &self,
        key: impl Fn(&str) -> String,
        endpoints: &[String],
        quorum: Option<usize>,
        max_lag: u64,
    ) -> Vec<SettingsProblem> {
        let mut problems = Vec::new();
        let mut say = |field: &str, message: String| problems.push(SettingsProblem::new(key(field), message));
        if endpoints.len() > MAX_ENDPOINTS {
            say("endpoints", format!("{} endpoints are more than {MAX_ENDPOINTS}", endpoints.len()));
        }
        let mut urls = HashSet::new();
        for (at, url) in endpoints.iter().enumerate() {
            let field = format!("endpoints.{at}");
            if let Some(problem) = endpoint_problem(url, self.allow_private) {
                say(&field, problem);
            }
            if !urls.insert(url) {
                say(&field, "it is listed twice; a quorum needs different endpoints".into());
            }
        }
        let most = endpoints.len().max(1);
        if let Some(quorum) = quorum.filter(|quorum| *quorum == 0 || *quorum > most) {
            say("quorum", format!("{quorum} is not between 1 and the number of endpoints, {most}"));
        }
        if max_lag > MOST_LAG {
            say("max_lag", format!("{max_lag} is more than {MOST_LAG}"));
        }
        problems
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_problems_are_found_at_once() {
        let limits = Limits {
            allow_private: false,
            deadline: Duration::secs(5),
            hedge_after: Duration::secs(6),
            max_answer: ByteSize::kib(64),
            recheck: Duration::secs(300),
            breaker_failures: 0,
            breaker_pause: Duration::secs(10),
        };
        let endpoints = ["ftp://x.example", "https://127.0.0.1", "https://a.example", "https://a.example"];
        let endpoints = endpoints.map(str::to_owned);
        let key = |field: &str| format!("chains.7.{field}");
        let mut found = limits.problems();
        found.extend(limits.pool_problems(key, &endpoints, Some(5), 10_001));
        let expected = [
            "hedge_after",
            "breaker_failures",
            "chains.7.endpoints.0",
            "chains.7.endpoints.1",
            "chains.7.endpoints.3",
            "chains.7.quorum",
            "chains.7.max_lag",
        ];
        assert_eq!(found.iter().map(|problem| &*problem.key).collect::<Vec<_>>(), expected);
        assert_eq!(found[0].message, "6s is not between 1ms and 5s");
    }

    proptest! {
        #[test]
        fn no_url_makes_the_check_panic_and_no_problem_repeats_a_key(path in "[a-z]{12}", text: String) {
            let _ = endpoint_problem(&text, false);
            let problem = endpoint_problem(&format!("http://10.0.0.1/{path}"), false).unwrap();
            prop_assert!(!problem.contains(&path));
        }
    }
}
