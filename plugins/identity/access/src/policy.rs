//! The requirements of a content, and their text.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use streamgate_contracts::access::v1::Openness as WireOpenness;

use crate::rule::{Rule, RuleError};
use crate::settings::Default as DefaultAccess;
use crate::store::PolicyRow;
use crate::tree::Tree;

/// The openness of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Openness {
    /// Everyone, signed in or not.
    Public,
    /// Viewers who meet the rule.
    Gated,
    /// Only its owner and admins.
    Private,
    /// Everyone who has its address; no list and no search shows it.
    Unlisted,
}

/// A policy in the form of a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The openness of the content.
    pub openness: Openness,
    /// The requirements for viewers, if it is gated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

/// The policy of a content.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) openness: Openness,
    /// 0: the default, no policy was set.
    pub(crate) revision: u64,
    /// JSON of the rule, and its parsed form.
    pub(crate) rule: Option<(String, Arc<Tree>)>,
    /// No policy was set, or it was removed.
    pub(crate) is_default: bool,
    pub(crate) changed_at_ms: Option<i64>,
}

impl Written {
    /// Parses a policy: the stored form of the rule, and its parsed form; an empty rule and `None` if it is
    /// not gated.
    ///
    /// # Errors
    /// The problem, and its place.
    pub(crate) fn parse(json: &[u8]) -> Result<(Self, String, Option<Tree>), RuleError> {
        let wrong = |pointer: &str, detail: String| RuleError { pointer: pointer.into(), detail };
        let written: Self = serde_json::from_slice(json).map_err(|error| wrong("", error.to_string()))?;
        let (text, tree) = match (written.openness, &written.rule) {
            (Openness::Gated, Some(rule)) => {
                let within = |error: RuleError| wrong(&format!("/rule{}", error.pointer), error.detail);
                let text = serde_json::to_string(rule).map_err(|error| wrong("/rule", error.to_string()))?;
                let (_, tree) = Rule::parse(text.as_bytes()).map_err(within)?;
                (text, Some(tree))
            }
            (Openness::Gated, None) => return Err(wrong("/rule", "a gated content needs a rule".into())),
            (_, Some(_)) => return Err(wrong("/rule", "only a gated content has a rule".into())),
            (_, None) => (String::new(), None),
        };
        Ok((written, text, tree))
    }
}

impl Openness {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Gated => "gated",
            Self::Private => "private",
            Self::Unlisted => "unlisted",
        }
    }
}

impl From<Openness> for WireOpenness {
    fn from(openness: Openness) -> Self {
        match openness {
            Openness::Public => Self::Public,
            Openness::Gated => Self::Gated,
            Openness::Private => Self::Private,
            Openness::Unlisted => Self::Unlisted,
        }
    }
}

impl Policy {
    /// For the audit log: the new state, and the previous one.
    pub(crate) fn change_to(&self, openness: &str, rule: &str) -> String {
        let before = if self.is_default { "default" } else { self.openness.name() };
        let rule_before = self.rule.as_ref().filter(|_| !self.is_default).map_or("", |(text, _)| text);
        format!("{}; before: {}", in_words(openness, rule), in_words(before, rule_before))
    }

    /// The policy with this rule, parsed as in a request, and not stored.
    ///
    /// # Errors
    /// As [`Written::parse`].
    pub(crate) fn unsaved(rule: &RawValue) -> Result<Self, RuleError> {
        let (_, text, tree) = Written::parse(format!(r#"{{"openness":"gated","rule":{rule}}}"#).as_bytes())?;
        let rule = tree.map(|tree| (text, Arc::new(tree)));
        Ok(Self { openness: Openness::Gated, revision: 0, rule, is_default: false, changed_at_ms: None })
    }

    /// From the stored form. An unknown form of a newer version grants no access.
    pub(crate) fn read(row: Option<PolicyRow>, default: DefaultAccess, content: &str) -> Self {
        let default = match default {
            DefaultAccess::Private => Openness::Private,
            DefaultAccess::Public => Openness::Public,
        };
        let Some(row) = row else {
            return Self {
                openness: default,
                revision: 0,
                rule: None,
                is_default: true,
                changed_at_ms: None,
            };
        };
        let compiled =
            || Rule::parse(row.rule.as_bytes()).map(|(_, tree)| (row.rule.clone(), Arc::new(tree)));
        let (openness, rule) = match row.openness.as_str() {
            "public" => (Openness::Public, None),
            "private" => (Openness::Private, None),
            "unlisted" => (Openness::Unlisted, None),
            "gated" => match compiled() {
                Ok(rule) => (Openness::Gated, Some(rule)),
                Err(error) => {
                    tracing::error!(content, %error, "the content's rule is not understood; it is private");
                    (Openness::Private, None)
                }
            },
            "default" => (default, None),
            other => {
                tracing::error!(content, other, "the content's openness is unknown; it is private");
                (Openness::Private, None)
            }
        };
        let is_default = row.openness == "default";
        Self { openness, revision: row.revision, rule, is_default, changed_at_ms: Some(row.changed_at_ms) }
    }
}

/// A policy as text for the audit log, where an entry has at most a thousand characters.
fn in_words(openness: &str, rule: &str) -> String {
    const MAX_CHARS: usize = 450;
    match (rule.is_empty(), rule.char_indices().nth(MAX_CHARS)) {
        (true, _) => openness.to_owned(),
        (false, None) => format!("{openness}: {rule}"),
        (false, Some((end, _))) => format!("{openness}: {}…", &rule[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_and_is_not_understood_is_private_whatever_the_default() {
        let read = |openness: &str, rule: &str| {
            let (openness, rule) = (openness.to_owned(), rule.to_owned());
            let row = PolicyRow { openness, rule, revision: 1, changed_at_ms: 0 };
            Policy::read(Some(row), DefaultAccess::Public, "c").openness
        };
        for (openness, rule) in [
            ("", ""),
            ("Public", ""),
            ("open", ""),
            ("gated", ""),
            ("gated", "{\"all\":[]}"),
            ("private", ""),
        ] {
            assert_eq!(read(openness, rule), Openness::Private, "{openness} {rule}");
        }
        assert_eq!(read("gated", "{\"role\":\"viewer\"}"), Openness::Gated);
        assert_eq!(read("unlisted", ""), Openness::Unlisted);
        assert_eq!(read("default", ""), Openness::Public);
        assert_eq!(Policy::read(None, DefaultAccess::Public, "c").openness, Openness::Public);
    }
}
