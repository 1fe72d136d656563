//! Which pages of other origins may call the sign-in (Fetch standard §3.2): those in the settings, on the
//! routes that a person's own page needs. Administration is only for the console.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use streamgate_plugin_api::cors::{self, Cors};

use crate::auth::Auth;
use crate::origin::Origin;

/// Below `/api/v1/auth/`.
const OPEN: [&str; 6] = ["challenge", "sign-in", "refresh", "logout", "me", "wallets"];
static CORS: Cors = Cors {
    methods: HeaderValue::from_static("GET, POST, DELETE"),
    fields: HeaderValue::from_static("Authorization, Content-Type"),
    exposed: HeaderValue::from_static("Retry-After, WWW-Authenticate"),
    max_age: HeaderValue::from_static("600"),
};

/// The rights of a page of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Send a bearer token.
    Token,
    /// Send the browser's cookies too: it is a page of this server.
    Cookies,
}

/// Answers preflights, and adds to other answers what a page of this origin may read.
pub(crate) async fn cross_origin(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let path = request.uri().path().strip_prefix("/api/v1/auth/").unwrap_or_default();
    if !OPEN.contains(&path.split('/').next().unwrap_or_default()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let may = origin.as_ref().and_then(|origin| may(&auth.sites.ours(), auth.sites.guests(), origin));
    let allowed = origin.filter(|_| may.is_some());
    let mut answer = if request.method() == Method::OPTIONS && preflight {
        let mut answer = StatusCode::NO_CONTENT.into_response();
        CORS.preflight(allowed, answer.headers_mut());
        answer
    } else {
        let mut answer = next.run(request).await;
        CORS.expose(allowed, answer.headers_mut());
        answer
    };
    let headers = answer.headers_mut();
    cors::vary(headers);
    if may == Some(May::Cookies) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    answer
}

/// An origin in both lists is one of this server.
fn may(ours: &[Origin], guests: &[Origin], origin: &HeaderValue) -> Option<May> {
    let among = |all: &[Origin]| all.iter().any(|one| one.text().as_bytes() == origin.as_bytes());
    match (among(ours), among(guests)) {
        (true, _) => Some(May::Cookies),
        (false, true) => Some(May::Token),
        (false, false) => None,
    }
}
