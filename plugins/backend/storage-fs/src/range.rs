//! Conditional and range requests (RFC 9110 §13 and §14) against an object's validators: pure decisions, no input
//! or output.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};

/// Which part of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: 200.
    Whole,
    /// From the first offset up to, not including, the second: 206.
    Slice(u64, u64),
    /// A range beyond the end: 416.
    Unsatisfiable,
    /// The caller has it already: 304.
    NotModified,
    /// A precondition failed: 412.
    PreconditionFailed,
}

/// Decides in the order of RFC 9110 §13.2.2. `modified` is in milliseconds since 1970.
pub(crate) fn select(headers: &HeaderMap, etag: &str, modified_ms: u64, size: u64) -> Part {
    let modified = UNIX_EPOCH + Duration::from_secs(modified_ms / 1000);
    if headers.contains_key(IF_MATCH) {
        // Several field lines are one list (RFC 9110 §5.3).
        if !headers.get_all(IF_MATCH).iter().any(|value| listed(value.as_bytes(), etag, true)) {
            return Part::PreconditionFailed;
        }
    } else if let Some(since) = date(headers, IF_UNMODIFIED_SINCE)
        && modified > since
    {
        return Part::PreconditionFailed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if headers.get_all(IF_NONE_MATCH).iter().any(|value| listed(value.as_bytes(), etag, false)) {
            return Part::NotModified;
        }
    } else if let Some(since) = date(headers, IF_MODIFIED_SINCE)
        && modified <= since
    {
        return Part::NotModified;
    }
    let Some(range) = headers.get(RANGE) else { return Part::Whole };
    if let Some(condition) = headers.get(IF_RANGE) {
        let condition = condition.to_str().unwrap_or_default();
        let holds =
            condition == etag || httpdate::parse_http_date(condition).is_ok_and(|date| date == modified);
        if !holds {
            return Part::Whole;
        }
    }
    range.to_str().map_or(Part::Whole, |range| parse(range, size))
}

fn date(headers: &HeaderMap, name: http::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Whether a list of entity tags has `etag` (which is strong), by strong or weak comparison.
fn listed(list: &[u8], etag: &str, strong: bool) -> bool {
    let Ok(list) = std::str::from_utf8(list) else { return false };
    // Our own tags have no comma, so splitting at commas never splits one that could match.
    list.split(',').map(str::trim).any(|tag| {
        tag == "*" || tag == etag || (!strong && tag.strip_prefix("W/").is_some_and(|tag| tag == etag))
    })
}

/// One `bytes` range. Several ranges, other units and malformed ones are ignored, as RFC 9110 §14.2 allows.
fn parse(range: &str, size: u64) -> Part {
    let Some((unit, range)) = range.split_once('=') else { return Part::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (first, last) = (first.trim(), last.trim());
    if !digits(first) || !digits(last) {
        return Part::Whole;
    }
    match (first, last) {
        ("", "") => Part::Whole,
        ("", suffix) => match number(suffix).min(size) {
            0 => Part::Unsatisfiable,
            suffix => Part::Slice(size - suffix, size),
        },
        (first, _) if number(first) >= size => Part::Unsatisfiable,
        (first, "") => Part::Slice(number(first), size),
        (first, last) if number(last) < number(first) => Part::Whole,
        (first, last) => Part::Slice(number(first), number(last).saturating_add(1).min(size)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ETAG: &str = "\"abc\"";

    fn with(pairs: &[(http::HeaderName, &str)]) -> Part {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        select(&headers, ETAG, 1_700_000_000_123, 100)
    }

    #[test]
    fn one_range_is_cut_to_the_object() {
        for (range, part) in [
            ("bytes=0-9", Part::Slice(0, 10)),
            ("bytes=90-", Part::Slice(90, 100)),
            ("bytes=90-500", Part::Slice(90, 100)),
            ("bytes=-10", Part::Slice(90, 100)),
            ("bytes=-500", Part::Slice(0, 100)),
            ("bytes=0-99999999999999999999999", Part::Slice(0, 100)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=9-3", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(with(&[(RANGE, range)]), part, "{range}");
        }
    }

    #[test]
    fn a_known_tag_is_not_sent_again_even_when_weakened_on_the_way() {
        for tag in ["\"abc\"", "W/\"abc\"", "\"x\", W/\"abc\"", "*"] {
            assert_eq!(with(&[(IF_NONE_MATCH, tag)]), Part::NotModified, "{tag}");
        }
        assert_eq!(with(&[(IF_NONE_MATCH, "\"other\"")]), Part::Whole);
        assert_eq!(with(&[(IF_MODIFIED_SINCE, "Tue, 14 Nov 2023 22:13:20 GMT")]), Part::NotModified);
        assert_eq!(with(&[(IF_MODIFIED_SINCE, "Tue, 14 Nov 2023 22:13:19 GMT")]), Part::Whole);
    }

    #[test]
    fn a_range_counts_only_while_its_condition_holds() {
        assert_eq!(with(&[(RANGE, "bytes=0-1"), (IF_RANGE, ETAG)]), Part::Slice(0, 2));
        assert_eq!(with(&[(RANGE, "bytes=0-1"), (IF_RANGE, "W/\"abc\"")]), Part::Whole);
        assert_eq!(with(&[(RANGE, "bytes=0-1"), (IF_RANGE, "\"old\"")]), Part::Whole);
        assert_eq!(with(&[(IF_MATCH, "\"old\"")]), Part::PreconditionFailed);
        assert_eq!(with(&[(IF_MATCH, "\"old\""), (IF_MATCH, ETAG)]), Part::Whole);
        assert_eq!(with(&[(IF_MATCH, "\"old\""), (IF_MATCH, "\"older\"")]), Part::PreconditionFailed);
        assert_eq!(with(&[(IF_MATCH, ETAG), (RANGE, "bytes=0-1")]), Part::Slice(0, 2));
    }

    proptest! {
        #[test]
        fn any_range_text_gives_a_slice_within_the_object(range in ".{0,40}|bytes=[0-9]{0,22}-[0-9]{0,22}", size in 0u64..1000) {
            match parse(&range, size) {
                Part::Slice(first, end) => prop_assert!(first < end && end <= size),
                Part::Whole | Part::Unsatisfiable => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
