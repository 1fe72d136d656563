//! Preconditions of requests (RFC 9110 §13) against the validators of what is asked for. Pure: never
//! does I/O.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What the preconditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They hold, or there are none.
    Holds,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// Decides in the order of RFC 9110 §13.2.2. What has no tag matches none, and what has no date
/// ignores conditions on dates (§13.1.3, §13.1.4).
pub(crate) fn judge(
    request: &HeaderMap,
    etag: Option<&HeaderValue>,
    modified: Option<&HeaderValue>,
) -> Verdict {
    let modified = modified.and_then(date);
    let asked_since = |name| request.get(name).and_then(date);
    if request.contains_key(header::IF_MATCH) {
        if !names(request, header::IF_MATCH, etag, true) {
            return Verdict::Failed;
        }
    } else if let (Some(modified), Some(since)) = (modified, asked_since(header::IF_UNMODIFIED_SINCE))
        && modified > since
    {
        return Verdict::Failed;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        if names(request, header::IF_NONE_MATCH, etag, false) {
            return Verdict::NotModified;
        }
    } else if let (Some(modified), Some(since)) = (modified, asked_since(header::IF_MODIFIED_SINCE))
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Holds
}

/// Whether a list of tags names this one. Strongly compared, two weak tags are never the same
/// (RFC 9110 §8.8.3.2).
fn names(request: &HeaderMap, field: HeaderName, etag: Option<&HeaderValue>, strongly: bool) -> bool {
    let etag = etag.and_then(|etag| etag.to_str().ok());
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let same = |given: &str| {
        etag.is_some_and(|etag| match strongly {
            true => given == etag && !given.starts_with("W/"),
            false => opaque(given) == opaque(etag),
        })
    };
    let lines = request.get_all(field);
    let mut tags = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    tags.any(|tag| tag.trim() == "*" || same(tag.trim()))
}

fn date(field: &HeaderValue) -> Option<SystemTime> {
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
        let modified = modified.map(|date| HeaderValue::from_str(date).unwrap());
        judge(&request, etag.map(HeaderValue::from_static).as_ref(), modified.as_ref())
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
    fn a_failed_condition_goes_before_what_is_known() {
        assert_eq!(known(&[("if-match", "\"a\""), ("if-none-match", "\"tag\"")]), Verdict::Failed);
    }

    #[test]
    fn what_has_no_tag_is_only_matched_by_a_star() {
        assert_eq!(of(&[("if-match", "\"tag\"")], None, None), Verdict::Failed);
        assert_eq!(of(&[("if-match", "*")], None, None), Verdict::Holds);
        assert_eq!(of(&[("if-none-match", "\"tag\"")], None, None), Verdict::Holds);
    }
}
