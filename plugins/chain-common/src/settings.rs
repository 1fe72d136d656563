//! What may be wrong with endpoints in settings.

use std::collections::HashSet;
use std::net::IpAddr;

use http::Uri;
use streamgate_plugin_api::settings::SettingsProblem;

use crate::address_rules::is_public;

/// Endpoints of one chain, at most.
const MAX_ENDPOINTS: usize = 16;

/// What is wrong with the URL of an endpoint; the URL itself may hold a key and is not repeated.
pub(crate) fn endpoint_problem(text: &str, allow_private: bool) -> Option<String> {
    let Ok(uri) = text.parse::<Uri>() else {
        return Some("it is no URL such as https://rpc.example.org/key".into());
    };
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    if host.is_empty() || !matches!(scheme, "https" | "http") {
        return Some("it is no URL such as https://rpc.example.org/key".into());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some(format!("the URL at {host} has a user name; keys belong in its path"));
    }
    if allow_private {
        return None;
    }
    if scheme != "https" {
        return Some(format!("the URL at {host} is not https; `allow_private = true` takes plain HTTP"));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if !is_public(address) => {
            Some(format!("{host} is no public address; `allow_private = true` takes it"))
        }
        _ => None,
    }
}

/// What is wrong with the endpoints of a chain and the number of them that must agree. `key` makes
/// the whole key of a field.
pub fn pool_problems(
    key: impl Fn(&str) -> String,
    endpoints: &[String],
    quorum: Option<usize>,
    allow_private: bool,
) -> Vec<SettingsProblem> {
    let mut problems = Vec::new();
    let mut say = |field: &str, message: String| problems.push(SettingsProblem::new(key(field), message));
    if endpoints.len() > MAX_ENDPOINTS {
        say("endpoints", format!("{} endpoints are more than {MAX_ENDPOINTS}", endpoints.len()));
    }
    let mut urls = HashSet::new();
    for (at, url) in endpoints.iter().enumerate() {
        let field = format!("endpoints.{at}");
        if let Some(problem) = endpoint_problem(url, allow_private) {
            say(&field, problem);
        }
        if !urls.insert(url) {
            say(&field, "it is there twice; a quorum needs different endpoints".into());
        }
    }
    let most = endpoints.len().max(1);
    if let Some(quorum) = quorum.filter(|quorum| *quorum == 0 || *quorum > most) {
        say("quorum", format!("{quorum} is not between 1 and the number of endpoints, {most}"));
    }
    problems
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_problems_are_found_at_once() {
        let endpoints = ["ftp://x.example", "https://127.0.0.1", "https://a.example", "https://a.example"];
        let endpoints = endpoints.map(str::to_owned);
        let found = pool_problems(|field| format!("chains.7.{field}"), &endpoints, Some(5), false);
        let keys: Vec<_> = found.into_iter().map(|problem| problem.key).collect();
        let expected =
            ["chains.7.endpoints.0", "chains.7.endpoints.1", "chains.7.endpoints.3", "chains.7.quorum"];
        assert_eq!(keys, expected);
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
