//! Pages of other origins that upload (Fetch standard §3.2).

use http::{HeaderMap, HeaderValue, header};

const METHODS: &str = "POST, HEAD, PATCH, DELETE, OPTIONS";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Origin, X-Requested-With, X-Request-ID, \
    X-HTTP-Method-Override, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, Upload-Defer-Length, \
    Upload-Concat, Upload-Checksum";
const RESPONSE_HEADERS: &str = "Location, Tus-Resumable, Tus-Version, Tus-Max-Size, Tus-Extension, \
    Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Defer-Length, Upload-Concat, \
    Upload-Expires, Retry-After";

/// The rules of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self { origins }
    }

    /// The headers of an answer to a page of `origin`.
    pub(crate) fn decorate(&self, origin: Option<&HeaderValue>, preflight: bool, headers: &mut HeaderMap) {
        let any = self.origins.iter().any(|allowed| allowed == "*");
        if !any {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = origin else { return };
        if !any && !self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return;
        }
        let echo = if any { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, echo);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
        if preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(origins: &[&str], origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let cors = Cors::new(origins.iter().map(|origin| (*origin).to_owned()).collect());
        cors.decorate(Some(&HeaderValue::from_static(origin)), true, &mut headers);
        headers
    }

    #[test]
    fn every_origin_may_upload_by_default() {
        let headers = answer(&["*"], "https://a.example");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("Upload-Offset"));
    }

    #[test]
    fn with_named_origins_others_get_nothing() {
        let named = answer(&["https://a.example"], "https://a.example");
        assert_eq!(named[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        let other = answer(&["https://a.example"], "https://b.example");
        assert!(!other.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(other[header::VARY], "Origin");
    }
}
