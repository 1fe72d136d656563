//! Dates as wallets and requests write them.

/// A time as RFC 3339 §5.6 writes it, in milliseconds since the Unix epoch. `T` and `Z` may be small.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let strict = text.as_bytes().get(10) == Some(&b'T')
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b':' | b'.' | b'T' | b'Z'));
    if !strict {
        return None;
    }
    chrono::DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_in_the_spellings_of_the_standard() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_rfc3339("1970-01-01t00:00:01z"), Some(1_000));
        assert_eq!(parse_rfc3339(&format!("1970-01-01T00:00:01.{}Z", "5".repeat(60))), Some(1_555));
        for text in [
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T25:00:00Z",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
