//! Which pages of other origins may call the sign-in (Fetch standard §3.2): those that the settings
//! name, and the routes that a person's own page needs. What admins do is for the console alone.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::auth::Auth;
use crate::origin::Origin;

/// Below `/api/v1/auth/`.
const OPEN: [&str; 6] = ["challenge", "sign-in", "refresh", "logout", "me", "wallets"];
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const FIELDS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, WWW-Authenticate");
/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What a page of an origin may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Send a bearer token.
    Token,
    /// Send the browser's cookies too: it is a page of ours.
    Cookies,
}

/// Answers preflights, and puts on the other answers what a page of this origin may read of them.
pub(crate) async fn cors(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let path = request.uri().path().strip_prefix("/api/v1/auth/").unwrap_or_default();
    if !OPEN.contains(&path.split('/').next().unwrap_or_default()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let may = origin.as_ref().and_then(|origin| may(&auth.sites.ours(), auth.sites.guests(), origin));
    if request.method() == Method::OPTIONS && preflight {
        let mut answer = StatusCode::NO_CONTENT.into_response();
        let headers = answer.headers_mut();
        if may.is_some() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, FIELDS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        allow(headers, origin, may);
        return answer;
    }
    let mut answer = next.run(request).await;
    if may.is_some() {
        answer.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    allow(answer.headers_mut(), origin, may);
    answer
}

/// An origin that is in both lists is a page of ours.
fn may(ours: &[Origin], guests: &[Origin], origin: &HeaderValue) -> Option<May> {
    let among = |all: &[Origin]| all.iter().any(|one| one.text().as_bytes() == origin.as_bytes());
    match (among(ours), among(guests)) {
        (true, _) => Some(May::Cookies),
        (false, true) => Some(May::Token),
        (false, false) => None,
    }
}

fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>, may: Option<May>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let (Some(may), Some(origin)) = (may, origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if may == May::Cookies {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}
