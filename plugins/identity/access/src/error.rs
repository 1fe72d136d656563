//! What is wrong with a request of the REST API, as problems.

use axum::response::{IntoResponse, Response};
use http::header;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::{Problem, problems};

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
        let problem = match self {
            Self::NotSignedIn => Problem::of(problems::NOT_SIGNED_IN)
                .detail("Sign in, or send an access token or an API key.")
                .header(header::WWW_AUTHENTICATE, "Bearer"),
            Self::Forbidden(scope) => {
                Problem::of(problems::FORBIDDEN).detail(format!("It needs the scope `{scope}`."))
            }
            Self::NotYours => Problem::of(problems::FORBIDDEN)
                .detail("It belongs to somebody else: its owner or an admin may do this."),
            Self::NotBarrable => Problem::of(problems::NOT_BARRABLE)
                .detail("The principal owns the content, or is an admin. Nothing was revoked."),
            Self::Unsaid(unsaid) => Problem::of(problems::UNAVAILABLE)
                .detail(format!("{unsaid}."))
                .header(header::RETRY_AFTER, "1"),
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
            Self::Method => {
                Problem::of(problems::METHOD_NOT_ALLOWED).detail("The field `Allow` names those that are.")
            }
            Self::Busy | Self::Db(DbError::Unavailable { .. }) => Problem::of(problems::UNAVAILABLE)
                .detail("The server is busy. Try again in a moment.")
                .header(header::RETRY_AFTER, "1"),
            Self::Db(DbError::Full { .. }) => Problem::of(problems::INSUFFICIENT_STORAGE),
            Self::Db(error) => {
                if let Some(unknown) = error.unknown_problem() {
                    return unknown.into_response();
                }
                tracing::error!(%error, "the database of the access control failed");
                Problem::of(problems::INTERNAL).detail("The log of the server says what.")
            }
        };
        problem.into_response()
    }
}
