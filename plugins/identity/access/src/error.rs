//! Errors of the REST API, as problems.

use axum::response::{IntoResponse, Response};
use http::header;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::{Problem, problems};

use crate::rule::RuleError;
use crate::standing::Unsaid;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("not signed in")]
    NotSignedIn,
    #[error("this requires the scope `{0}`")]
    Forbidden(&'static str),
    #[error("the content belongs to another user")]
    NotYours,
    #[error("the principal owns the content, or is an admin")]
    NotBarrable,
    #[error(transparent)]
    Unsaid(#[from] Unsaid),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NoContract(String),
    #[error("{0}")]
    Chain(String),
    #[error("the policy is no longer at revision {0}")]
    Changed(u64),
    /// The body could not be read; the problem states why.
    #[error("the body could not be read")]
    Unread(Box<Problem>),
    #[error("the field Allow lists the allowed methods")]
    Method,
    #[error("too many concurrent decisions")]
    Busy,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::NotSignedIn => Problem::not_signed_in(),
            Self::Forbidden(scope) => Problem::needs_scope(scope),
            Self::NotYours => Problem::of(problems::FORBIDDEN)
                .detail("It belongs to another user: only its owner or an admin can do this."),
            Self::NotBarrable => Problem::of(problems::NOT_BARRABLE)
                .detail("The principal owns the content, or is an admin. Nothing was revoked."),
            Self::Unsaid(unsaid) => Problem::unavailable(format!("{unsaid}.")),
            Self::Invalid(detail) => Problem::of(problems::INVALID_REQUEST).detail(detail),
            Self::Rule(error) => Problem::of(problems::INVALID_POLICY)
                .detail(format!("{error}."))
                .with("pointer", error.pointer),
            Self::NotFound(detail) => Problem::of(problems::NOT_FOUND).detail(detail),
            Self::NoContract(detail) => Problem::of(problems::NO_CONTRACT).detail(detail),
            Self::Chain(detail) => {
                Problem::of(problems::CHAIN_UNAVAILABLE).detail(detail).header(header::RETRY_AFTER, "1")
            }
            Self::Changed(expected) => Problem::of(problems::CHANGED_MEANWHILE).detail(format!(
                "It is no longer at revision {expected}. Read the resource again, and retry."
            )),
            Self::Unread(problem) => *problem,
            Self::Method => Problem::method_not_allowed(),
            Self::Busy => Problem::unavailable("The server is busy. Try again in a moment."),
            Self::Db(error) => error.problem("the access control"),
        };
        problem.into_response()
    }
}
