//! Dates as requests write them.

/// A time as RFC 3339 section 5.6 writes it, in milliseconds since the Unix epoch, not before it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let sound = text.len() <= 40 && text.as_bytes().get(10) == Some(&b'T');
    let time = sound.then(|| chrono::DateTime::parse_from_rfc3339(text).ok()).flatten()?;
    Some(time.timestamp_millis()).filter(|ms| *ms >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:01.5+01:00"), Some(1_500));
        for text in ["1970-01-01 00:00:00Z", "1970-01-01T00:00:00", "1969-12-31T23:59:59Z", "soon", ""] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
