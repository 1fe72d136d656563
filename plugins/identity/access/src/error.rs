//! What is wrong with a request of the REST API, as problems.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::Problem;

use crate::rule::RuleError;
use crate::standing::Unsaid;

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("nobody is signed in")]
    NotSignedIn,
    #[error("it needs the scope `{0}`")]
    Forbidden(&'static str),
    #[error("the content belongs to somebody else")]
    NotYours,
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
    /// The body could not be read, as the problem says.
    #[error("the body could not be read")]
    Unread(Box<Problem>),
    #[error("the field Allow names the methods that there are")]
    Method,
    #[error("too many decisions are being made")]
    Busy,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        use StatusCode as S;
        let problem = Problem::new;
        let problem = match self {
            Self::NotSignedIn => problem(S::UNAUTHORIZED, "not-signed-in", "Nobody is signed in")
                .detail("Sign in, or send an access token or an API key.")
                .header(header::WWW_AUTHENTICATE, "Bearer"),
            Self::Forbidden(scope) => problem(S::FORBIDDEN, "forbidden", "This is not allowed to you")
                .detail(format!("It needs the scope `{scope}`.")),
            Self::NotYours => problem(S::FORBIDDEN, "forbidden", "The content is not yours to change")
                .detail("It belongs to somebody else: its owner or an admin may do this."),
            Self::Unsaid(unsaid) => {
                problem(S::SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment")
                    .detail(format!("{unsaid}."))
                    .header(header::RETRY_AFTER, "1")
            }
            Self::Invalid(detail) => {
                problem(S::BAD_REQUEST, "invalid-request", "The request is not valid").detail(detail)
            }
            Self::Rule(error) => {
                problem(S::UNPROCESSABLE_ENTITY, "invalid-policy", "The policy cannot be understood")
                    .detail(format!("{error}."))
                    .with("pointer", error.pointer)
            }
            Self::NotFound(detail) => {
                problem(S::NOT_FOUND, "not-found", "There is no such thing").detail(detail)
            }
            Self::NoContract(detail) => {
                problem(S::UNPROCESSABLE_ENTITY, "no-contract", "There is no contract at this address")
                    .detail(detail)
            }
            Self::Chain(detail) => {
                problem(S::SERVICE_UNAVAILABLE, "chain-unavailable", "The chain cannot be asked now")
                    .detail(detail)
                    .header(header::RETRY_AFTER, "1")
            }
            Self::Changed(expected) => {
                problem(S::PRECONDITION_FAILED, "changed-meanwhile", "The policy has changed").detail(
                    format!("It is no longer at revision {expected}. Read it again, and decide anew."),
                )
            }
            Self::Unread(problem) => *problem,
            Self::Method => {
                problem(S::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")
                    .detail("The field `Allow` names those that are.")
            }
            Self::Busy | Self::Db(DbError::Unavailable { .. }) => {
                problem(S::SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment")
                    .detail("The server is busy. Try again in a moment.")
                    .header(header::RETRY_AFTER, "1")
            }
            Self::Db(DbError::Full { .. }) => {
                problem(S::INSUFFICIENT_STORAGE, "insufficient-storage", "There is no space left")
            }
            Self::Db(error) => {
                if let Some(unknown) = error.unknown_problem() {
                    return unknown.into_response();
                }
                tracing::error!(%error, "the database of the access control failed");
                problem(S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here")
                    .detail("The log of the server says what.")
            }
        };
        problem.into_response()
    }
}
