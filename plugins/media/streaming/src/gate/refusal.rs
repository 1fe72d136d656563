//! Why a content that is not public is not served, as a problem (RFC 9457).

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use streamgate_contracts::access::v1::{Decision, Verdict};
use streamgate_contracts::auth::v1::Refusal as AuthRefusal;
use streamgate_plugin_api::problems::{self, ProblemType};
use streamgate_plugin_api::{Body, Problem};

use crate::object::answer;

/// The `Vary` fields of answers that depend on credentials.
pub(crate) const VARY: HeaderValue = HeaderValue::from_static("cookie, authorization");

/// A refusal. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The last part of the problem's type.
    slug: Arc<str>,
    title: &'static str,
    detail: Arc<str>,
    /// Seconds after which a retry may help.
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(kind: ProblemType, detail: &str) -> Self {
        let status = kind.status();
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, slug: kind.slug.into(), title: kind.title, detail: detail.into(), retry_after }
    }

    /// Access cannot be verified at the moment.
    pub(crate) fn unavailable(why: &str) -> Self {
        Self::new(problems::ACCESS_UNAVAILABLE, &format!("{why}. Try again."))
    }

    /// Access was revoked.
    pub(crate) fn revoked(reason: Option<&str>) -> Self {
        let reason = reason.unwrap_or("The earlier grant was revoked. Start the player again.");
        Self::new(problems::REVOKED, reason)
    }

    /// The principal has reached its limit of concurrent players.
    pub(crate) fn too_many_sessions(limit: usize, retry_after: u64) -> Self {
        let detail = format!(
            "{limit} players of yours are active, which is the limit. Stop one, and try again in {retry_after} s."
        );
        Self { retry_after: Some(retry_after), ..Self::new(problems::TOO_MANY_SESSIONS, &detail) }
    }

    /// The player's address is used from as many places as allowed.
    pub(crate) fn too_many_addresses(limit: usize, retry_after: u64) -> Self {
        let detail = format!(
            "This player's address is in use from {limit} places on the internet, and no more may. If it is yours, start \
             the player again, which gives it an address of its own; else try again in {retry_after} s."
        );
        Self { retry_after: Some(retry_after), ..Self::new(problems::TOO_MANY_ADDRESSES, &detail) }
    }

    /// Invalid credentials, as reported by `auth`.
    pub(crate) fn of_credentials(refusal: &AuthRefusal) -> Self {
        let kind = problems::of_slug(&refusal.r#type).unwrap_or(problems::INVALID_TOKEN);
        let status = if refusal.status == 403 { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        Self { slug: (*refusal.r#type).into(), ..Self::new(kind.with_status(status), &refusal.detail) }
    }

    /// A decision that denies.
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

    /// Whether it is a denial, not an unknown outcome or a wait.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// As an answer, which must not be cached.
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
