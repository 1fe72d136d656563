//! The required scope of requests, by path and method. It knows paths and scopes, not what is served there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::principal::Scope;

/// More rules than anyone reads.
const MAX_RULES: usize = 256;

/// The requirements below a prefix. Of all matching rules, the longest one applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The prefix, of whole segments: `"/api/v1/jobs"`, without a slash at its end.
    pub path: String,
    /// For GET and HEAD.
    pub read: Need,
    /// For every other method.
    pub change: Need,
    /// For OPTIONS; by default, as for a change. Use "nothing" only where the plugin answers OPTIONS without
    /// any effect: browsers send it without credentials before a request from another site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Need>,
}

/// A requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Need {
    /// None.
    #[serde(rename = "nothing")]
    Nothing,
    /// A sign-in.
    #[serde(rename = "sign-in")]
    SignIn,
    /// The scope `content:read`, which every viewer has.
    #[serde(rename = "content:read")]
    ContentRead,
    /// The scope `content:write`, which creators and admins have.
    #[serde(rename = "content:write")]
    ContentWrite,
    /// The scope `admin`.
    #[serde(rename = "admin")]
    Admin,
}

impl Need {
    /// The scope, if it is one.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing | Self::SignIn => None,
            Self::ContentRead => Some(Scope::ContentRead),
            Self::ContentWrite => Some(Scope::ContentWrite),
            Self::Admin => Some(Scope::Admin),
        }
    }
}

impl Rule {
    fn new(path: &str, read: Need, change: Need) -> Self {
        Self { path: path.into(), read, change, options: None }
    }

    /// The same, with OPTIONS for everyone.
    fn with_preflight(self) -> Self {
        Self { options: Some(Need::Nothing), ..self }
    }

    /// The page and the list of contents are public; everything else is not.
    pub(crate) fn defaults() -> Vec<Self> {
        use Need::{Admin, ContentWrite, Nothing, SignIn};
        vec![
            Self::new("/", Nothing, Admin),
            Self::new("/files", ContentWrite, ContentWrite).with_preflight(),
            Self::new("/api/v1", Admin, Admin),
            Self::new("/api/v1/contents", Nothing, ContentWrite).with_preflight(),
            Self::new("/api/v1/access", Nothing, ContentWrite),
            Self::new("/api/v1/access/vaults", SignIn, SignIn),
            Self::new("/api/v1/quota", SignIn, Admin),
        ]
    }

    fn holds(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.path.trim_end_matches('/').as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

/// The rules, the longest first.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.path.len()));
        Self(rules)
    }

    /// The requirement of a request; without a matching rule it is the strictest.
    pub(crate) fn need(&self, method: &str, path: &[u8]) -> Need {
        let rule = self.0.iter().find(|rule| rule.holds(path));
        match (method, rule) {
            (_, None) => Need::Admin,
            ("OPTIONS", Some(rule)) => rule.options.unwrap_or(rule.change),
            ("GET" | "HEAD", Some(rule)) => rule.read,
            (_, Some(rule)) => rule.change,
        }
    }
}

/// The problems of these rules, as text.
pub(crate) fn check(rules: &[Rule]) -> Vec<String> {
    let mut wrong = Vec::new();
    if rules.len() > MAX_RULES {
        wrong.push(format!("has {} rules, more than {MAX_RULES}", rules.len()));
    }
    for (place, Rule { path, .. }) in rules.iter().enumerate() {
        let plain = |segment: &str| {
            !matches!(segment, "" | "." | "..") && !segment.contains(['%', '?', '#', '*', '{', '\\', ' '])
        };
        let sound = path == "/"
            || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain) && rest.is_ascii());
        if !sound {
            wrong.push(format!(
                "`{path}` is no prefix of paths; write it as requests do, without a slash at its end and without \
                 wildcards, for example \"/api/v1/jobs\""
            ));
        }
        if rules[..place].iter().any(|earlier| earlier.path == *path) {
            wrong.push(format!("`{path}` has two rules; leave one"));
        }
    }
    if !rules.iter().any(|rule| rule.path == "/") {
        let text = "has no rule for \"/\", which counts for every path that no other rule knows; write, for example, \
                    { path = \"/\", read = \"nothing\", change = \"admin\" }";
        wrong.push(text.into());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_known_public_paths_can_be_read_and_none_changed() {
        use Need::{Admin, ContentWrite, Nothing, SignIn};
        let rules = Rules::new(Rule::defaults());
        assert_eq!(check(&Rule::defaults()), [""; 0]);
        for (method, path, need) in [
            ("GET", "/", Nothing),
            ("HEAD", "/assets/app.js", Nothing),
            ("GET", "/api/v1/contents/7/events", Nothing),
            ("GET", "/api/v1/access/contents/7", Nothing),
            ("PATCH", "/api/v1/contents/7", ContentWrite),
            ("PUT", "/api/v1/access/contents/7", ContentWrite),
            ("PUT", "/api/v1/access/vaults", SignIn),
            ("GET", "/api/v1/quota", SignIn),
            ("POST", "/files", ContentWrite),
            ("HEAD", "/files/7", ContentWrite),
            ("OPTIONS", "/files", Nothing),
            ("OPTIONS", "/api/v1/contents/7", Nothing),
            ("OPTIONS", "/api/v1/jobs", Admin),
            ("OPTIONS", "/api/v1/access/contents/7", ContentWrite),
            ("OPTIONS", "/hello", Admin),
            ("options", "/files", ContentWrite),
            ("GET", "/api/v1/jobs", Admin),
            ("POST", "/api/v1/jobs/7/retry", Admin),
            ("GET", "/api/v1/system", Admin),
            ("GET", "/api/v1/webhooks", Admin),
            ("GET", "/api/v1", Admin),
            ("GET", "/api/v1/contentsx", Admin),
            ("POST", "/", Admin),
            ("POST", "/filesystem", Admin),
            ("PROPFIND", "/hello", Admin),
            ("get", "/files", ContentWrite),
        ] {
            assert_eq!(rules.need(method, path.as_bytes()), need, "{method} {path}");
        }
        assert_eq!(rules.need("GET", b"/files/\xff"), ContentWrite);
        assert_eq!(Rules::new(Vec::new()).need("GET", b"/"), Admin);
    }

    #[test]
    fn rules_that_would_mean_something_else_than_they_say_are_refused() {
        let with = |path: &str| {
            let mut rules = Rule::defaults();
            rules.push(Rule::new(path, Need::Nothing, Need::Nothing));
            check(&rules)
        };
        assert_eq!(with("/hello/world"), [""; 0]);
        for bad in
            ["", "hello", "/hello/", "//", "/a/../b", "/a/*", "/a/{id}", "/a?b", "/%61", "/a b", "/files"]
        {
            assert_eq!(with(bad).len(), 1, "{bad}: {:?}", with(bad));
        }
        assert!(check(&Rule::defaults()[1..])[0].contains("no rule for \"/\""));
    }
}
