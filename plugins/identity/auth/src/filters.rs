//! The capabilities `authenticate` and `authorize`: what the ingress asks about the head of each
//! request before a plugin gets it. The first finds out who sent it; the second says whether they may.

pub(crate) mod credentials;
pub(crate) mod limits;
pub(crate) mod rules;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_plugin_api::Principal;

use crate::audit::Entry;
use crate::auth::Auth;
use crate::error::{AuthError, Why};
use crate::filters::credentials::Credentials;
use crate::filters::rules::Need;
use crate::people::principal::Identity;

const METHOD: HeaderName = HeaderName::from_static("x-filter-method");
const PATH: HeaderName = HeaderName::from_static("x-filter-path");
/// Why a cookie is not good, from the one filter to the other.
const REFUSAL: HeaderName = HeaderName::from_static("x-streamgate-refusal");

/// What a cookie may be: who has one of these is nobody, and told so where somebody is needed.
const STALE: [Why; 3] = [Why::InvalidToken, Why::TokenExpired, Why::SessionEnded];

/// The capability `authenticate`.
pub(crate) fn authenticate(auth: Auth) -> Router {
    Router::new().fallback(find_out).with_state(auth)
}

/// The capability `authorize`.
pub(crate) fn authorize(auth: Auth) -> Router {
    Router::new().fallback(allow).with_state(auth)
}

/// The method of the request in question. Without one it counts as a change.
fn method(headers: &HeaderMap) -> Method {
    let method = headers.get(METHOD).and_then(|value| Method::from_bytes(value.as_bytes()).ok());
    method.unwrap_or(Method::POST)
}

async fn find_out(State(auth): State<Auth>, headers: HeaderMap) -> Response {
    let credentials = Credentials::of(&method(&headers), &headers);
    let mut answer = StatusCode::NO_CONTENT.into_response();
    match auth.authenticate(&credentials).await {
        Ok(identity) => principal(identity).put_on(answer.headers_mut()),
        Err(AuthError::Refused { why: Why::NotSignedIn, .. }) => {}
        // A browser sends its cookie with everything, also for pages that are for everybody.
        Err(AuthError::Refused { why, .. })
            if credentials.authorization.is_empty() && STALE.contains(&why) =>
        {
            answer.headers_mut().insert(REFUSAL, HeaderValue::from_static(why.slug()));
        }
        Err(error) => return error.into_response(),
    }
    answer
}

async fn allow(State(auth): State<Auth>, headers: HeaderMap) -> Result<StatusCode, AuthError> {
    let method = method(&headers);
    let path = headers.get(PATH).map(HeaderValue::as_bytes).unwrap_or_default();
    let need = auth.shared.rules.need(method.as_str(), path);
    if need == Need::Nothing {
        return Ok(StatusCode::NO_CONTENT);
    }
    let path = String::from_utf8_lossy(path);
    let Some(principal) = Principal::of(&headers) else {
        let refusal = headers.get(REFUSAL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let why = STALE.into_iter().find(|why| why.slug() == refusal).unwrap_or(Why::NotSignedIn);
        let what = match need.scope() {
            Some(scope) => format!("{method} {path} needs the scope `{}`.", scope.name()),
            None => format!("{method} {path} is for those who are signed in."),
        };
        let detail = match why {
            Why::NotSignedIn => format!("{what} Sign in, or send an access token or an API key."),
            _ => format!("{what} Refresh the session, or sign in again."),
        };
        return Err(why.because(detail));
    };
    match need.scope() {
        Some(scope) if !principal.may(scope.name()) => {
            let detail = format!("{method} {path} needs the scope `{}`.", scope.name());
            let entry = Entry::new(
                "request",
                AuditOutcome::Refused,
                &principal.id,
                &Credentials::of(&method, &headers).address,
            );
            auth.record_request(&entry.on(path).detail(&detail)).await;
            Err(Why::Forbidden.because(detail))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

fn principal(identity: Identity) -> Principal {
    Principal {
        id: identity.principal,
        roles: identity.roles.iter().map(|role| role.name().to_owned()).collect(),
        scopes: identity.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        wallets: identity.wallets,
        credential: identity.credential.name(),
    }
}
