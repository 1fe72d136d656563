//! Errors of calls about jobs, for gRPC and for HTTP.

use streamgate_contracts::db::DbError;
use streamgate_contracts::jobs::v1::JobState;
use streamgate_plugin_api::{Problem, problems};
use tonic::Status;

/// A failed call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum JobError {
    #[error("there is no job `{0}`; ended jobs are removed after a while")]
    NotFound(String),
    #[error("the lease of job `{id}` has ended (the job is {}); stop working on it", state.name())]
    LeaseLost { id: String, state: JobState },
    #[error("job `{id}` is {}; only a job that is {wanted} can be {verb}", state.name())]
    WrongState { id: String, state: JobState, wanted: &'static str, verb: &'static str },
    #[error(
        "another unfinished job of the queue `{queue}` has the same dedupe key; wait for it or cancel it"
    )]
    Taken { queue: String },
    #[error("{0}")]
    Invalid(String),
    #[error("too many concurrent calls change the same job; try again")]
    Contended,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<JobError> for Status {
    fn from(error: JobError) -> Self {
        let message = error.to_string();
        match error {
            JobError::NotFound(_) => Self::not_found(message),
            JobError::LeaseLost { .. } | JobError::WrongState { .. } | JobError::Taken { .. } => {
                Self::failed_precondition(message)
            }
            JobError::Invalid(_) => Self::invalid_argument(message),
            JobError::Contended => Self::unavailable(message),
            JobError::Db(error) => {
                tracing::error!(%error, "a call about jobs failed");
                error.into()
            }
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let detail = error.to_string();
        match error {
            JobError::NotFound(id) => Self::of(problems::NO_SUCH_JOB).detail(detail).with("id", id),
            JobError::LeaseLost { state, .. } | JobError::WrongState { state, .. } => {
                Self::of(problems::WRONG_JOB_STATE).detail(detail).with("state", state.name())
            }
            JobError::Taken { .. } => Self::of(problems::JOB_EXISTS).detail(detail),
            JobError::Invalid(_) => Self::of(problems::INVALID_REQUEST).detail(detail),
            JobError::Contended => Self::unavailable(format!("{detail}.")),
            JobError::Db(
                error @ (DbError::Full { .. } | DbError::Unavailable { .. } | DbError::Unknown { .. }),
            ) => error.problem("the jobs"),
            JobError::Db(error) => {
                tracing::error!(%error, "a request about jobs failed");
                Self::of(problems::INTERNAL_ERROR)
            }
        }
    }
}
