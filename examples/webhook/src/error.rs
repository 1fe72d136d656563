//! Why a request was refused, as a problem (RFC 9457).

use http::{StatusCode, header};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::{Problem, problems};

use crate::store::State;

/// A refused request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Invalid(String),
    #[error("there is no endpoint `{0}` in the settings")]
    NoEndpoint(String),
    #[error("there is no delivery `{0}`; ended ones are removed after a while")]
    NoDelivery(String),
    #[error("delivery `{id}` is {}; only one that is {wanted} can be {verb}", state.name())]
    WrongState { id: String, state: State, wanted: &'static str, verb: &'static str },
    #[error("endpoint `{name}` gets nothing: {reason}")]
    Closed { name: String, reason: &'static str },
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let detail = error.to_string();
        let (status, slug, title) = match &error {
            ApiError::Invalid(_) => return Self::of(problems::INVALID_REQUEST).detail(detail),
            ApiError::NoEndpoint(_) => (StatusCode::NOT_FOUND, "no-such-endpoint", "Not found"),
            ApiError::NoDelivery(_) => (StatusCode::NOT_FOUND, "no-such-delivery", "Not found"),
            ApiError::WrongState { .. } => {
                (StatusCode::CONFLICT, "wrong-delivery-state", "Conflicting state")
            }
            ApiError::Closed { .. } => (StatusCode::CONFLICT, "endpoint-disabled", "Endpoint disabled"),
            ApiError::Db(DbError::Full { .. }) => return Self::of(problems::INSUFFICIENT_STORAGE),
            ApiError::Db(DbError::Unavailable { .. }) => {
                return Self::of(problems::UNAVAILABLE).header(header::RETRY_AFTER, "1");
            }
            ApiError::Db(error) => {
                if let Some(unknown) = error.unknown_problem() {
                    return unknown;
                }
                tracing::error!(%error, "a request about deliveries failed");
                return Self::of(problems::INTERNAL_ERROR);
            }
        };
        Self::new(status, slug, title).detail(detail)
    }
}
