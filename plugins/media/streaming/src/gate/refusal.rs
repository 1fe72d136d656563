//! Why something that is not for everyone is not served, as a problem (RFC 9457).

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use streamgate_contracts::access::v1::{Decision, Verdict};
use streamgate_contracts::auth::v1::Refusal as AuthRefusal;
use streamgate_plugin_api::problems::{self, ProblemType};
use streamgate_plugin_api::{Body, Problem};

use crate::object::answer;

/// What answers depend on that were given by looking at credentials.
pub(crate) const VARY: HeaderValue = HeaderValue::from_static("cookie, authorization");

/// A refusal. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The last part of the problem's type.
    slug: Arc<str>,
    title: &'static str,
    detail: Arc<str>,
    /// Seconds after which asking again may help.
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(kind: ProblemType, detail: &str) -> Self {
        let status = kind.status();
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, slug: kind.slug.into(), title: kind.title, detail: detail.into(), retry_after }
    }

    /// Nobody can say now whether it may be served.
    pub(crate) fn unavailable(why: &str) -> Self {
        Self::new(problems::ACCESS_UNAVAILABLE, &format!("{why}. Try again."))
    }

    /// What was granted holds no more.
    pub(crate) fn revoked(reason: Option<&str>) -> Self {
        let reason = reason.unwrap_or("What was granted before holds no more. Start the player again.");
        Self::new(problems::REVOKED, reason)
    }

    /// The principal watches in as many places as it may.
    pub(crate) fn too_many_sessions(limit: usize, retry_after: u64) -> Self {
        let detail = format!(
            "{limit} players of yours are playing, and no more may. Stop one, and try again in {retry_after} s."
        );
        Self { retry_after: Some(retry_after), ..Self::new(problems::TOO_MANY_SESSIONS, &detail) }
    }

    /// The player's address is used from as many places as it may be.
    pub(crate) fn too_many_addresses(limit: usize, retry_after: u64) -> Self {
        let detail = format!(
            "This player's address is in use from {limit} places on the internet, and no more may. If it is yours, start \
             the player again, which gives it an address of its own; else try again in {retry_after} s."
        );
        Self { retry_after: Some(retry_after), ..Self::new(problems::TOO_MANY_ADDRESSES, &detail) }
    }

    /// Credentials that are not good, as `auth` says it.
    pub(crate) fn of_credentials(refusal: &AuthRefusal) -> Self {
        let kind = problems::of_slug(&refusal.r#type).unwrap_or(problems::INVALID_TOKEN);
        let status = if refusal.status == 403 { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        Self { slug: (*refusal.r#type).into(), ..Self::new(kind.with_status(status), &refusal.detail) }
    }

    /// A decision that allows nothing.
    pub(crate) fn of_decision(decision: &Decision) -> Self {
        let known = decision.verdict() == Verdict::Denied;
        let kind = match decision.r#type.as_str() {
            _ if !known => problems::ACCESS_UNAVAILABLE,
            "not-signed-in" => problems::NOT_SIGNED_IN,
            "revoked" => problems::REVOKED,
            "chain-unavailable" => problems::CHAIN_UNAVAILABLE,
            _ => problems::NOT_ENTITLED,
        };
        let slug = if decision.r#type.is_empty() { kind.slug } else { &decision.r#type };
        Self { slug: slug.into(), ..Self::new(kind, &decision.reason) }
    }

    /// Whether it says no, and not that it is unknown or must wait.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// As an answer, which nobody may keep.
    pub(crate) fn answer(&self) -> Response<Body> {
        let mut problem = Problem::new(self.status, &self.slug, self.title).detail(&*self.detail);
        if self.status == StatusCode::UNAUTHORIZED {
            problem = problem.header(header::WWW_AUTHENTICATE, "Bearer");
        }
        if let Some(seconds) = self.retry_after {
            problem = problem.header(header::RETRY_AFTER, seconds.to_string());
        }
        answer::problem(problem.header(header::VARY, VARY))
    }
}
