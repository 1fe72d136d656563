//! Who may read and change contents from pages of another origin (Fetch standard §3.2).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

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
        let may_write = allowed(&self.writers, origin);
        let methods = if may_write.is_some() { "GET, HEAD, PATCH, PUT, DELETE, POST" } else { "GET, HEAD" };
        if let Some(origin) = may_write.or_else(|| allowed(&self.readers, origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            let wanted = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID";
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(wanted));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, PATCH, PUT, DELETE, POST, OPTIONS"));
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        response
    }

    /// The headers of every other answer.
    pub(crate) fn decorate(&self, method: &Method, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let reads = method == Method::GET || method == Method::HEAD;
        let may = allowed(&self.writers, origin);
        let may = if reads { may.or_else(|| allowed(&self.readers, origin)) } else { may };
        if let Some(origin) = may {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let shown = HeaderValue::from_static("ETag, Location, Retry-After");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        }
        if self.readers.iter().chain(&self.writers).any(|origin| origin != "*") {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// What `Access-Control-Allow-Origin` says to this origin, if it is among these.
fn allowed(origins: &[String], origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let origin = origin?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
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
