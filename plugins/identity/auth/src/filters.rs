//! The capabilities `authenticate` and `authorize`: the ingress calls them with the head of each request
//! before it reaches a plugin. The first identifies the caller; the second checks their permission.

mod limits;
pub(crate) mod rules;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::time::Clock;

use crate::audit::Entry;
use crate::base::Base;
use crate::error::{AuthError, Why};
use crate::filters::limits::{Limiter, network};
use crate::filters::rules::{Need, Rules};
use crate::people::People;
use crate::people::quotas::challenges;
use crate::principal::{Credential, Identity, Scope};
use crate::session::Sessions;
use crate::session::credentials::{Credentials, Given};
use crate::settings::Settings;
use crate::sites::Sites;
use crate::store::Store;

const METHOD: HeaderName = HeaderName::from_static("x-filter-method");
const PATH: HeaderName = HeaderName::from_static("x-filter-path");
/// Why a cookie is invalid, passed from one filter to the other.
const REFUSAL: HeaderName = HeaderName::from_static("x-streamgate-refusal");

/// Refusals of one principal within a minute that are recorded; there may be any number.
const RECORDED_REFUSALS: u32 = 60;

/// An invalid cookie counts as no credential, and is reported where one is required.
const STALE: [Why; 3] = [Why::InvalidToken, Why::TokenExpired, Why::SessionEnded];

/// Identifies callers and checks their scopes and attempts.
pub(crate) struct Filters {
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    sessions: Arc<Sessions>,
    people: Arc<People>,
    sites: Arc<Sites>,
    rules: Rules,
    addresses: Limiter,
    challenges: Limiter,
    wallets: Limiter,
    /// The recorded ones of each principal.
    refusals: Limiter,
}

impl Filters {
    pub(crate) fn new(base: Base, sessions: Arc<Sessions>, people: Arc<People>, sites: Arc<Sites>) -> Self {
        let Base { store, settings, clock } = base;
        Self {
            store,
            clock,
            sessions,
            people,
            sites,
            rules: Rules::new(settings.rules.clone()),
            addresses: Limiter::new(settings.attempts_per_address),
            challenges: Limiter::new(challenges(&settings.quotas)),
            wallets: Limiter::new(settings.attempts_per_wallet),
            refusals: Limiter::new(RECORDED_REFUSALS),
            settings,
        }
    }

    /// The identity of these credentials.
    pub(crate) async fn authenticate(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        match credentials.given(self.sites.is_secure())? {
            None => Err(Why::NotSignedIn.because("Sign in, or send an access token or an API key.")),
            Some(Given::ApiKey(key)) => self.sessions.warm(key, self.people.by_key(key)).await,
            Some(Given::Bearer(token)) => self.sessions.warm(token, self.sessions.by_token(token)).await,
            Some(Given::Cookie(token)) => {
                let identity = self.sessions.warm(token, self.sessions.by_token(token)).await?;
                credentials.same_site(&self.sites.ours())?;
                Ok(identity)
            }
        }
    }

    /// The same, refused without this scope.
    pub(crate) async fn with_scope(
        &self,
        credentials: &Credentials,
        scope: Scope,
        action: &str,
    ) -> Result<Identity, AuthError> {
        let identity = self.authenticate(credentials).await?;
        if identity.scopes.contains(&scope) {
            return Ok(identity);
        }
        let entry = Entry::new(action, AuditOutcome::Refused, &identity.principal, &credentials.address)
            .detail(format!("without the scope {}", scope.name()));
        self.store.record(&entry, self.clock.now_ms()).await?;
        Err(Why::Forbidden.because(format!("This requires the scope `{}`.", scope.name())))
    }

    /// The same, refused unless it is a session.
    pub(crate) async fn with_session(
        &self,
        credentials: &Credentials,
    ) -> Result<(Identity, String), AuthError> {
        let identity = self.authenticate(credentials).await?;
        match &identity.credential {
            Credential::Session(id) => {
                let id = id.clone();
                Ok((identity, id))
            }
            Credential::ApiKey(_) => {
                Err(Why::Forbidden.because("An API key is not sufficient for this: sign in with a wallet."))
            }
        }
    }

    /// The current identity of a credential, given by its name.
    pub(crate) async fn identify(&self, credential: &Credential) -> Result<Identity, AuthError> {
        match credential {
            Credential::Session(id) => self.sessions.by_id(id).await,
            Credential::ApiKey(id) => self.people.by_key_id(id).await,
        }
    }

    /// Counts one attempt of an address.
    pub(crate) fn limit_address(&self, address: &str) -> Result<(), AuthError> {
        let most = self.settings.attempts_per_address;
        self.limit(&self.addresses, &network(address), "attempts_per_address", most)
    }

    /// Counts one challenge of an address.
    pub(crate) fn limit_challenges(&self, address: &str) -> Result<(), AuthError> {
        let most = challenges(&self.settings.quotas);
        self.limit(&self.challenges, &network(address), "quotas.anonymous.challenges", most)
    }

    /// How many challenges an address may have per minute, and how many of them are used.
    pub(crate) fn challenges(&self, address: &str) -> (u32, u32) {
        let used = self.challenges.used(&network(address), self.clock.now_ms());
        (challenges(&self.settings.quotas), used)
    }

    /// Counts one attempt of a wallet.
    pub(crate) fn limit_wallet(&self, wallet: &str) -> Result<(), AuthError> {
        let most = self.settings.attempts_per_wallet;
        self.limit(&self.wallets, wallet, "attempts_per_wallet", most)
    }

    fn limit(&self, limiter: &Limiter, key: &str, setting: &'static str, most: u32) -> Result<(), AuthError> {
        let attempt = limiter.attempt(key, self.clock.now_ms());
        attempt.map_err(|retry_after| AuthError::TooManyAttempts { retry_after, setting, most })
    }

    /// Records a refused request of a principal, unless there were many.
    pub(crate) async fn record_request(&self, entry: &Entry) {
        let now_ms = self.clock.now_ms();
        if self.refusals.attempt(&entry.principal, now_ms).is_err() {
            return;
        }
        if let Err(error) = self.store.record(entry, now_ms).await {
            tracing::warn!(%error, "a refusal could not be recorded");
        }
    }
}

/// The capability `authenticate`.
pub(crate) fn authenticate(filters: Arc<Filters>) -> Router {
    Router::new().fallback(find_out).with_state(filters)
}

/// The capability `authorize`.
pub(crate) fn authorize(filters: Arc<Filters>) -> Router {
    Router::new().fallback(allow).with_state(filters)
}

/// The method of the checked request. A missing one counts as a change.
fn method(headers: &HeaderMap) -> Method {
    let method = headers.get(METHOD).and_then(|value| Method::from_bytes(value.as_bytes()).ok());
    method.unwrap_or(Method::POST)
}

async fn find_out(State(filters): State<Arc<Filters>>, headers: HeaderMap) -> Response {
    let credentials = Credentials::of(&method(&headers), &headers);
    let mut answer = StatusCode::NO_CONTENT.into_response();
    match filters.authenticate(&credentials).await {
        Ok(identity) => principal(identity).put_on(answer.headers_mut()),
        Err(AuthError::Refused { why: Why::NotSignedIn, .. }) => {}
        // A browser sends its cookie with everything, also to public pages.
        Err(AuthError::Refused { why, .. })
            if credentials.authorization.is_empty() && STALE.contains(&why) =>
        {
            answer.headers_mut().insert(REFUSAL, HeaderValue::from_static(why.slug()));
        }
        Err(error) => return error.into_response(),
    }
    answer
}

async fn allow(State(filters): State<Arc<Filters>>, headers: HeaderMap) -> Result<StatusCode, AuthError> {
    let method = method(&headers);
    let path = headers.get(PATH).map(HeaderValue::as_bytes).unwrap_or_default();
    let need = filters.rules.need(method.as_str(), path);
    if need == Need::Nothing {
        return Ok(StatusCode::NO_CONTENT);
    }
    let path = String::from_utf8_lossy(path);
    let Some(principal) = Principal::of(&headers) else {
        let refusal = headers.get(REFUSAL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let why = STALE.into_iter().find(|why| why.slug() == refusal).unwrap_or(Why::NotSignedIn);
        let what = match need.scope() {
            Some(scope) => format!("{method} {path} requires the scope `{}`.", scope.name()),
            None => format!("{method} {path} requires a sign-in."),
        };
        let detail = match why {
            Why::NotSignedIn => format!("{what} Sign in, or send an access token or an API key."),
            _ => format!("{what} Refresh the session, or sign in again."),
        };
        return Err(why.because(detail));
    };
    match need.scope() {
        Some(scope) if !principal.may(scope.name()) => {
            let detail = format!("{method} {path} requires the scope `{}`.", scope.name());
            let entry = Entry::new(
                "request",
                AuditOutcome::Refused,
                &principal.id,
                &Credentials::of(&method, &headers).address,
            );
            filters.record_request(&entry.on(path).detail(&detail)).await;
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
