//! Preconditions of requests (RFC 9110 §13) against the validators of the resource. Pure: never does I/O.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The result of the preconditions of a `GET` or `HEAD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They hold, or there are none.
    Holds,
    /// 304: the client has the current state.
    NotModified,
    /// 412: it is not the state that the client expects.
    Failed,
}

/// What identifies a state of a resource (RFC 9110 §8.8).
#[derive(Debug, Clone, Copy, Default)]
pub struct Validators<'a> {
    /// Its entity tag, with its quotes. Without one it matches no tag.
    pub etag: Option<&'a HeaderValue>,
    /// When it was last modified, in whole seconds. Without it conditions on dates are ignored (§13.1.3,
    /// §13.1.4).
    pub modified: Option<SystemTime>,
}

impl Validators<'_> {
    /// Decides in the order of RFC 9110 §13.2.2.
    pub fn judge(&self, request: &HeaderMap) -> Verdict {
        let since = |name| Some((self.modified?, date(request.get(name)?)?));
        if request.contains_key(header::IF_MATCH) {
            if !self.named(request, header::IF_MATCH, strong) {
                return Verdict::Failed;
            }
        } else if since(header::IF_UNMODIFIED_SINCE).is_some_and(|(modified, since)| modified > since) {
            return Verdict::Failed;
        }
        let known = match request.contains_key(header::IF_NONE_MATCH) {
            true => self.named(request, header::IF_NONE_MATCH, weak),
            false => since(header::IF_MODIFIED_SINCE).is_some_and(|(modified, since)| modified <= since),
        };
        if known { Verdict::NotModified } else { Verdict::Holds }
    }

    /// Whether a range applies to this state (§13.1.5); without `If-Range` it does.
    pub fn has_range(&self, request: &HeaderMap) -> bool {
        let Some(condition) = request.get(header::IF_RANGE) else { return true };
        let tag = condition.to_str().unwrap_or_default();
        let same_tag = self.etag.and_then(|etag| etag.to_str().ok()).is_some_and(|etag| strong(tag, etag));
        same_tag || self.modified.is_some_and(|modified| date(condition) == Some(modified))
    }

    /// Whether a list of tags, possibly on several lines (§5.3), contains this one.
    fn named(&self, request: &HeaderMap, field: HeaderName, same: fn(&str, &str) -> bool) -> bool {
        let etag = self.etag.and_then(|etag| etag.to_str().ok());
        let lines = request.get_all(field);
        let mut tags = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        tags.any(|tag| tag.trim() == "*" || etag.is_some_and(|etag| same(tag.trim(), etag)))
    }
}

/// Two weak tags are never the same (§8.8.3.2).
fn strong(one: &str, other: &str) -> bool {
    one == other && !one.starts_with("W/")
}

fn weak(one: &str, other: &str) -> bool {
    let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
    opaque(one) == opaque(other)
}

/// An HTTP date (§5.6.7).
pub fn date(field: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(field.to_str().ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const THEN: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn of(fields: &[(&'static str, &str)], etag: Option<&'static str>, modified: Option<&str>) -> Verdict {
        let mut request = HeaderMap::new();
        for (name, value) in fields {
            request.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let modified = modified.and_then(|text| date(&text.parse().unwrap()));
        Validators { etag: etag.map(HeaderValue::from_static).as_ref(), modified }.judge(&request)
    }

    fn known(fields: &[(&'static str, &str)]) -> Verdict {
        of(fields, Some("\"tag\""), Some(THEN))
    }

    #[test]
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        for (tags, holds) in
            [("\"tag\"", true), ("\"a\", \"tag\"", true), ("*", true), ("\"a\"", false), ("W/\"tag\"", false)]
        {
            assert_eq!(known(&[("if-match", tags)]) == Verdict::Holds, holds, "{tags}");
        }
        for (tags, known_already) in
            [("\"tag\"", true), ("W/\"tag\"", true), ("\"a\",\"tag\"", true), ("*", true), ("\"a\"", false)]
        {
            assert_eq!(known(&[("if-none-match", tags)]) == Verdict::NotModified, known_already, "{tags}");
        }
        assert_eq!(of(&[("if-match", "W/\"tag\"")], Some("W/\"tag\""), None), Verdict::Failed);
    }

    #[test]
    fn a_list_may_stand_on_several_lines() {
        assert_eq!(known(&[("if-match", "\"a\""), ("if-match", "\"tag\"")]), Verdict::Holds);
        assert_eq!(known(&[("if-none-match", "\"a\""), ("if-none-match", "\"tag\"")]), Verdict::NotModified);
    }

    #[test]
    fn dates_count_where_there_is_no_tag_to_compare() {
        for (field, date, verdict) in [
            ("if-modified-since", BEFORE, Verdict::Holds),
            ("if-modified-since", THEN, Verdict::NotModified),
            ("if-modified-since", "yesterday", Verdict::Holds),
            ("if-unmodified-since", BEFORE, Verdict::Failed),
            ("if-unmodified-since", AFTER, Verdict::Holds),
        ] {
            assert_eq!(known(&[(field, date)]), verdict, "{field}: {date}");
            assert_eq!(of(&[(field, date)], Some("\"tag\""), None), Verdict::Holds, "{field} without a date");
        }
        assert_eq!(known(&[("if-none-match", "\"a\""), ("if-modified-since", AFTER)]), Verdict::Holds);
        assert_eq!(known(&[("if-match", "\"tag\""), ("if-unmodified-since", BEFORE)]), Verdict::Holds);
    }

    #[test]
    fn a_failed_condition_takes_precedence_over_not_modified() {
        assert_eq!(known(&[("if-match", "\"a\""), ("if-none-match", "\"tag\"")]), Verdict::Failed);
    }

    #[test]
    fn what_has_no_tag_is_only_matched_by_a_star() {
        assert_eq!(of(&[("if-match", "\"tag\"")], None, None), Verdict::Failed);
        assert_eq!(of(&[("if-match", "*")], None, None), Verdict::Holds);
        assert_eq!(of(&[("if-none-match", "\"tag\"")], None, None), Verdict::Holds);
    }

    #[test]
    fn if_range_holds_for_the_same_strong_tag_or_the_very_date() {
        let tag = HeaderValue::from_static("\"tag\"");
        let modified = date(&THEN.parse().unwrap());
        for (condition, holds) in [("\"tag\"", true), (THEN, true), ("\"old\"", false), ("W/\"tag\"", false)]
        {
            let request = HeaderMap::from_iter([(header::IF_RANGE, condition.parse().unwrap())]);
            assert_eq!(Validators { etag: Some(&tag), modified }.has_range(&request), holds, "{condition}");
            assert!(!Validators::default().has_range(&request), "{condition} without validators");
        }
        let request = HeaderMap::from_iter([(header::IF_RANGE, AFTER.parse().unwrap())]);
        assert!(!Validators { etag: Some(&tag), modified }.has_range(&request));
        assert!(Validators::default().has_range(&HeaderMap::new()));
    }
}
