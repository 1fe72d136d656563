//! Errors over HTTP: problem details (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::problems::{self, ProblemType};
use crate::{Body, abi};

/// A problem as `application/problem+json` (RFC 9457 section 3).
///
/// ```
/// # use streamgate_plugin_api::Problem;
/// # use http::StatusCode;
/// let problem = Problem::new(StatusCode::NOT_FOUND, "no-content", "There is no such content")
///     .detail("No content has the id 7; it may have been deleted.")
///     .with("id", "7");
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem of a type that StreamGate knows. Specifics go into [`detail`](Self::detail).
    pub fn of(kind: ProblemType) -> Self {
        Self::new(kind.status(), kind.slug, kind.title)
    }

    /// A problem of a plugin's own type `urn:streamgate:problem:<slug>`. The title is the same for every
    /// occurrence; specifics go into [`detail`](Self::detail).
    pub fn new(status: StatusCode, slug: &str, title: &str) -> Self {
        let mut members = Map::new();
        members.insert("type".into(), format!("urn:streamgate:problem:{slug}").into());
        members.insert("title".into(), title.into());
        members.insert("status".into(), status.as_u16().into());
        Self { status, members, headers: HeaderMap::new() }
    }

    /// 401: the caller is not signed in.
    pub fn not_signed_in() -> Self {
        let detail = "Sign in, or send an access token or an API key.";
        Self::of(problems::NOT_SIGNED_IN).detail(detail).header(header::WWW_AUTHENTICATE, "Bearer")
    }

    /// 403: the caller lacks this scope.
    pub fn needs_scope(scope: &str) -> Self {
        Self::of(problems::FORBIDDEN).detail(format!("It needs the scope `{scope}`."))
    }

    /// 405, for the fallback of a router, which adds `Allow`.
    pub fn method_not_allowed() -> Self {
        Self::of(problems::METHOD_NOT_ALLOWED).detail("The field `Allow` names those that are.")
    }

    /// 503 with `Retry-After`: it may work in a second.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::of(problems::UNAVAILABLE).detail(detail).header(header::RETRY_AFTER, "1")
    }

    /// What went wrong this time, with which value, and what to do.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        self.with("detail", detail.into())
    }

    /// An extension member (RFC 9457 section 3.2).
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.members.insert(key.into(), value.into());
        self
    }

    /// A header of the response, such as `Retry-After`. An invalid value is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(name, value);
        }
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// As a response.
    pub fn into_http(self) -> http::Response<Body> {
        let mut response = http::Response::new(Body::from(Value::Object(self.members).to_string()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// In the form that crosses the boundary.
    pub fn into_abi(self) -> abi::Response {
        let (parts, body) = self.into_http().into_parts();
        abi::Response { head: abi::ResponseHead::encode(&parts), body: crate::body::to_abi(body, None, None) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_http().map(axum::body::Body::new)
    }
}

/// As handlers return it in a `Result`.
impl IntoResponse for Box<Problem> {
    fn into_response(self) -> Response {
        (*self).into_response()
    }
}
