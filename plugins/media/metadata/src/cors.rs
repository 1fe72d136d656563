//! Which pages of other origins may read and change contents (Fetch standard §3.2).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use streamgate_plugin_api::cors::{self, allowed};

static READ: cors::Cors = with("GET, HEAD");
static WRITE: cors::Cors = with("GET, HEAD, PATCH, PUT, DELETE, POST");

const fn with(methods: &'static str) -> cors::Cors {
    cors::Cors {
        methods: HeaderValue::from_static(methods),
        fields: HeaderValue::from_static(
            "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID",
        ),
        exposed: HeaderValue::from_static("ETag, Location, Retry-After"),
        max_age: HeaderValue::from_static("600"),
    }
}

/// The rules of the settings.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    readers: Vec<String>,
    writers: Vec<String>,
}

impl Cors {
    pub(crate) fn new(readers: Vec<String>, writers: Vec<String>) -> Self {
        Self { readers, writers }
    }

    /// The answer to a preflight.
    pub(crate) fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        match allowed(&self.writers, origin) {
            Some(writer) => WRITE.preflight(Some(writer), headers),
            None => READ.preflight(allowed(&self.readers, origin), headers),
        }
        headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, PATCH, PUT, DELETE, POST, OPTIONS"));
        cors::vary(headers);
        response
    }

    /// The headers of every other answer.
    pub(crate) fn decorate(&self, method: &Method, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let writer = allowed(&self.writers, origin);
        READ.expose(writer.or_else(|| allowed(&self.readers, origin).filter(|_| method.is_safe())), headers);
        if self.readers.iter().chain(&self.writers).any(|origin| origin != "*") {
            cors::vary(headers);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn by_default_pages_of_other_origins_may_read_and_not_write() {
        let cors = Cors::new(vec!["*".into()], Vec::new());
        let origin = HeaderValue::from_static("https://evil.example");
        let preflight = cors.preflight(Some(&origin));
        assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD");
        let mut headers = HeaderMap::new();
        cors.decorate(&Method::GET, Some(&origin), &mut headers);
        assert_eq!(headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap(), "*");
        cors.decorate(&Method::DELETE, Some(&origin), &mut headers);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[test]
    fn a_named_origin_is_echoed_and_others_are_not() {
        let cors = Cors::new(vec!["https://a.example".into()], vec!["https://b.example".into()]);
        let mut headers = HeaderMap::new();
        cors.decorate(&Method::DELETE, Some(&HeaderValue::from_static("https://b.example")), &mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://b.example");
        let refused = cors.preflight(Some(&HeaderValue::from_static("https://c.example")));
        assert!(!refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
