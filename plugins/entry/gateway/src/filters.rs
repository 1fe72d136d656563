//! Filters: capabilities that check the head of a request before it is routed. Their providers authenticate,
//! authorize and rate-limit; the gateway calls them in order, and no request passes without a verdict.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::deadline::GRPC_TIMEOUT;
use streamgate_plugin_api::{Body, Client, Problem, cors, principal, problems};

use crate::settings::Settings;
use crate::table::is_below;

/// The method of the checked request.
const METHOD: HeaderName = HeaderName::from_static("x-filter-method");
/// Its path, without the query.
const PATH: HeaderName = HeaderName::from_static("x-filter-path");

/// A check of requests; the order is the order of the calls. The name is that of the capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Identifies the caller.
    Authenticate,
    /// Checks the caller's permission.
    Authorize,
    /// Applies rate limits.
    Limit,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 3] = [Self::Authenticate, Self::Authorize, Self::Limit];

    /// `authenticate`, `authorize` or `limit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Authorize => "authorize",
            Self::Limit => "limit",
        }
    }

    fn uri(self) -> Uri {
        Uri::from_static(match self {
            Self::Authenticate => "http://authenticate/",
            Self::Authorize => "http://authorize/",
            Self::Limit => "http://limit/",
        })
    }
}

/// The stages in use.
#[derive(Debug)]
pub struct Filters {
    stages: Vec<(Stage, Client)>,
    /// Prefixes without a slash at their end.
    own_authentication: Vec<String>,
    timeout: Duration,
}

impl Filters {
    /// The filters of the settings; `service` finds the provider of a stage.
    pub fn new(settings: &Settings, service: impl Fn(&str) -> Client) -> Self {
        let listed = Stage::ALL.into_iter().filter(|stage| settings.filters.contains(stage));
        let trimmed = |prefix: &String| prefix.trim_end_matches('/').to_owned();
        Self {
            stages: listed.map(|stage| (stage, service(stage.name()))).collect(),
            own_authentication: settings.own_authentication.iter().map(trimmed).collect(),
            timeout: settings.filter_timeout.get(),
        }
    }

    /// Whether a request has to be checked at all.
    pub(crate) fn apply(&self, parts: &Parts) -> bool {
        !self.stages.is_empty()
            && (!self.is_own(parts) || self.stages.iter().any(|(stage, _)| *stage == Stage::Limit))
    }

    /// Has each stage check a request, and adds their results to it.
    ///
    /// # Errors
    /// The response to the client, from the first stage that refuses.
    pub(crate) async fn judge(&self, parts: &mut Parts) -> Result<(), Box<Response<Body>>> {
        self.ask_stages(parts, Stage::Limit).await
    }

    /// The same of a request that has passed once and goes on: it is not one more.
    ///
    /// # Errors
    /// As of [`judge`](Self::judge).
    pub(crate) async fn judge_again(&self, parts: &mut Parts) -> Result<(), Box<Response<Body>>> {
        self.ask_stages(parts, Stage::Authorize).await
    }

    async fn ask_stages(&self, parts: &mut Parts, last: Stage) -> Result<(), Box<Response<Body>>> {
        let is_own = self.is_own(parts);
        for (stage, service) in self.stages.iter().filter(|(stage, _)| *stage <= last) {
            let skipped = match stage {
                Stage::Authenticate => is_own || !has_credentials(&parts.headers),
                Stage::Authorize => is_own,
                Stage::Limit => false,
            };
            if !skipped {
                self.ask(*stage, service, parts).await.map_err(for_any_page)?;
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        stage: Stage,
        service: &Client,
        parts: &mut Parts,
    ) -> Result<(), Box<Response<Body>>> {
        let mut question = Request::post(stage.uri()).body(Body::empty()).map_err(|_| unavailable(stage))?;
        let head = question.headers_mut();
        *head = parts.headers.clone();
        // For the body, which is not sent along.
        head.remove(CONTENT_LENGTH);
        // A short deadline of the caller must not skip a check.
        head.remove(GRPC_TIMEOUT);
        for (name, text) in [(METHOD, parts.method.as_str()), (PATH, parts.uri.path())] {
            // A target may contain bytes that no field can: it cannot be checked.
            let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| unreadable())?;
            head.insert(name, value);
        }
        let Ok(answered) = tokio::time::timeout(self.timeout, service.send(question)).await else {
            tracing::warn!(
                stage = stage.name(),
                timeout_ms = self.timeout.as_millis() as u64,
                "a filter did not answer in time"
            );
            return Err(unavailable(stage));
        };
        let mut answer = answered.map_err(|error| {
            tracing::error!(%error, stage = stage.name(), "a filter's response could not be read");
            unavailable(stage)
        })?;
        match answer.status() {
            status if status.is_success() => {
                put_on(&mut parts.headers, answer.headers());
                Ok(())
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(unavailable(stage))
            }
            _ => {
                principal::strip(answer.headers_mut());
                Err(Box::new(answer))
            }
        }
    }

    fn is_own(&self, parts: &Parts) -> bool {
        self.own_authentication.iter().any(|prefix| is_below(parts.uri.path(), prefix))
    }
}

/// Scripts of any page may read why a request was refused, as they may read the plugin's own response:
/// otherwise an upload from another site ends in a network error without a reason.
fn for_any_page(mut refusal: Box<Response<Body>>) -> Box<Response<Body>> {
    cors::allow_any(refusal.headers_mut());
    refusal
}

fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::AUTHORIZATION) || headers.contains_key(http::header::COOKIE)
}

/// A filter's result is added to the request and replaces that of an earlier one.
fn put_on(headers: &mut HeaderMap, found: &HeaderMap) {
    for (name, value) in found.iter().filter(|(name, _)| name.as_str().starts_with(principal::PREFIX)) {
        headers.insert(name.clone(), value.clone());
    }
}

fn unavailable(stage: Stage) -> Box<Response<Body>> {
    let name = stage.name();
    let detail = format!(
        "The filter `{name}` does not answer, and no request passes without it. If this persists, the operator \
         can find the plugin that provides `{name}` with `streamgate plugins`, or remove \"{name}\" from \
         plugins.gateway.filters."
    );
    let problem =
        Problem::of(problems::FILTER_UNAVAILABLE).detail(detail).with("stage", name).header(RETRY_AFTER, "1");
    Box::new(problem.into_http())
}

fn unreadable() -> Box<Response<Body>> {
    let problem = Problem::of(problems::INVALID_PATH).detail("The path contains a control character.");
    Box::new(problem.into_http())
}
