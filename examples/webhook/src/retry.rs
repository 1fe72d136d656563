//! The pause that an endpoint requests.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date, at most `most`.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime, most: Duration) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(most))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let most = Duration::from_secs(3600);
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now, most)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("99999999999"), Some(most));
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now, most), None);
    }
}
