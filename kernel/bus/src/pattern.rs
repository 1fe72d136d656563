//! Subjects and patterns: the syntax of NATS.

use crate::BusError;

const MAX_SUBJECT: usize = 512;

/// A subject to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

fn token_ok(token: &str) -> bool {
    !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Pattern {
    /// Parses a subject with wildcards in the syntax of NATS.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(text: &str) -> Result<Self, BusError> {
        let tokens: Vec<_> = text.split('.').collect();
        let wild = |token: &str| token == "*" || !token.contains(['*', '>']);
        let (last, first) = tokens.split_last().expect("split yields at least one");
        let ok = text.len() <= MAX_SUBJECT
            && tokens.iter().all(|token| token_ok(token))
            && first.iter().all(|token| wild(token))
            && (*last == ">" || wild(last));
        if ok { Ok(Self(text.to_owned())) } else { Err(BusError::Pattern(text.to_owned())) }
    }

    /// The original text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event on this subject matches.
    pub fn matches(&self, subject: &str) -> bool {
        if self.0 == subject {
            return true;
        }
        let mut tokens = subject.split('.');
        for want in self.0.split('.') {
            match tokens.next() {
                None => return false,
                Some(_) if want == ">" => return true,
                Some(token) if want != "*" && want != token => return false,
                Some(_) => {}
            }
        }
        tokens.next().is_none()
    }
}

impl Pattern {
    /// Whether it matches everything that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        let mut tokens = other.0.split('.');
        for want in self.0.split('.') {
            match tokens.next() {
                None => return false,
                Some(_) if want == ">" => return true,
                Some(">") => return false,
                Some(token) if want != "*" && want != token => return false,
                Some(_) => {}
            }
        }
        tokens.next().is_none()
    }
}

/// In one pass, because it runs for every event.
pub(crate) fn check_subject(subject: &str) -> Result<(), BusError> {
    let mut in_token = false;
    let ok = subject.len() <= MAX_SUBJECT
        && subject.chars().all(|c| {
            let was_in_token = std::mem::replace(&mut in_token, c != '.');
            match c {
                '.' => was_in_token,
                '*' | '>' => false,
                c => !c.is_whitespace() && !c.is_control(),
            }
        });
    if ok && in_token { Ok(()) } else { Err(BusError::Subject(subject.to_owned())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_subjects_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*b", "a>", ">.a", "a\n"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a.", "a.*", ">", "a b"] {
            assert!(check_subject(bad).is_err(), "{bad:?}");
        }
        assert!(check_subject(&"a".repeat(MAX_SUBJECT + 1)).is_err());
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_covers_narrower_patterns() {
        for (wide, narrow) in [(">", "a.b"), ("a.>", "a.*"), ("a.>", "a.b.>"), ("a.*.c", "a.b.c"), ("a", "a")]
        {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in
            [("a.*", "a.>"), ("a.b", "a.*"), ("*", ">"), ("a.>", ">"), ("a.>", "a"), ("a.b", "a")]
        {
            assert!(!pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn a_subject_is_a_pattern_without_wildcards(text in r"[a\u{e9}.*> \n]{0,8}") {
            let plain = Pattern::parse(&text).is_ok() && !text.contains(['*', '>']);
            prop_assert_eq!(check_subject(&text).is_ok(), plain);
        }

        #[test]
        fn what_a_covered_pattern_matches_the_wider_one_matches_too(
            wide in r"([ab*]\.){0,2}[ab*>]", narrow in r"([ab*]\.){0,2}[ab*>]", subject in r"([abc]\.){0,3}[abc]",
        ) {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            if wide.covers(&narrow) && narrow.matches(&subject) {
                prop_assert!(wide.matches(&subject));
            }
        }
    }
}
