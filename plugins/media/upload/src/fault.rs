//! All errors of tus requests, each with its status and message.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};
use streamgate_contracts::db::DbError;
use streamgate_contracts::storage::StorageError;
use streamgate_plugin_api::Problem;
use streamgate_plugin_api::problems::{self, ProblemType};

use crate::protocol::{TUS_VERSION, UPLOAD_OFFSET, VERSION};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// tus 1.0 §Tus-Resumable.
    #[error("`Tus-Resumable: 1.0.0` is required; {0}")]
    Version(String),
    #[error("the header `{header}` {problem}")]
    Header { header: &'static str, problem: String },
    #[error("there is no upload with this id")]
    NotFound,
    #[error("this upload ended: it was terminated, expired, or its content was deleted")]
    Gone,
    #[error("the upload is at offset {current}, not at {given}")]
    Offset { current: u64, given: u64 },
    #[error("the body must be sent as `application/offset+octet-stream`")]
    MediaType,
    #[error("an upload may have at most {max} bytes")]
    TooLarge { max: u64 },
    #[error("this body exceeds the upload's length of {length} bytes")]
    BeyondLength { length: u64 },
    /// tus 1.0 §Checksum.
    #[error("the body does not match its checksum; none of it was kept")]
    Checksum,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Locked(&'static str),
    #[error("the body was interrupted: {0}; received bytes are kept")]
    BrokeOff(String),
    #[error("no data arrived for too long; received bytes are kept")]
    Idle,
    #[error(
        "less than {least} bytes per second arrived (`min_rate`); received bytes are kept, resume from there"
    )]
    Slow { least: u64 },
    #[error("the server's limit of concurrent uploads is reached; try again later")]
    Crowded,
    /// The caller has reached its own limit.
    #[error(
        "{most} uploads of yours {what} already, which is the limit for one caller (`{setting}`); {advice}"
    )]
    Share { what: &'static str, setting: &'static str, most: u64, advice: &'static str },
    #[error(
        "you may store {limit} bytes, {used} are taken, and this needs {needed}; delete a content or an unfinished \
         upload, or ask an admin for more"
    )]
    Stored { limit: u64, used: u64, needed: u64 },
    #[error(
        "the slot was given to a caller with fewer uploads; received bytes are kept, resume from there later"
    )]
    Displaced,
    #[error("{0}; try again")]
    Unavailable(String),
    #[error("the server has no space left; what was acknowledged is kept")]
    Full,
    #[error("{0}")]
    Internal(String),
    #[error("the method is not allowed here")]
    Method,
}

impl Fault {
    pub(crate) fn header(header: &'static str, problem: impl Into<String>) -> Self {
        Self::Header { header, problem: problem.into() }
    }

    fn kind(&self) -> ProblemType {
        match self {
            Self::Version(_) => problems::TUS_VERSION,
            Self::Header { .. } => problems::INVALID_HEADER,
            Self::NotFound => problems::NOT_FOUND,
            Self::Gone => problems::UPLOAD_GONE,
            Self::Offset { .. } => problems::OFFSET_MISMATCH,
            Self::MediaType => problems::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => problems::TOO_LARGE,
            Self::BeyondLength { .. } => problems::BEYOND_LENGTH,
            Self::Checksum => problems::CHECKSUM_MISMATCH,
            Self::Forbidden(_) => problems::FORBIDDEN,
            Self::Conflict(_) => problems::CONFLICT,
            Self::Locked(_) => problems::LOCKED,
            Self::BrokeOff(_) => problems::BODY_BROKE_OFF,
            Self::Idle => problems::IDLE,
            Self::Slow { .. } => problems::TOO_SLOW,
            Self::Share { .. } => problems::UPLOAD_SHARE,
            Self::Displaced => problems::UPLOAD_DISPLACED,
            Self::Crowded => problems::TOO_MANY_UPLOADS,
            Self::Unavailable(_) => problems::UNAVAILABLE,
            Self::Stored { .. } => problems::QUOTA_STORED,
            Self::Full => problems::INSUFFICIENT_STORAGE,
            Self::Internal(_) => problems::INTERNAL,
            Self::Method => problems::METHOD_NOT_ALLOWED,
        }
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Full { .. } => Self::Full,
            DbError::Unavailable { .. } => Self::Unavailable("the database is not available".into()),
            DbError::Unknown { message } => {
                tracing::error!(%message, "the database's answer was lost; whether the upload advanced is unknown");
                Self::Internal(
                    "it is unknown whether this took effect; request the offset before resuming".into(),
                )
            }
            // A concurrent request ended the upload between two steps.
            DbError::Conflict { .. } => Self::Gone,
            other => {
                tracing::error!(error = %other, "the database of uploads failed");
                Self::Internal("the state of the upload could not be read or written".into())
            }
        }
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full { .. } => Self::Full,
            StorageError::Unavailable { why, .. } => Self::Unavailable(format!("the storage {why}")),
            StorageError::Refused { status, .. } => {
                Self::Unavailable(format!("the storage answered {status}"))
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut problem = Problem::of(self.kind()).detail(format!("{self}."));
        match &self {
            Self::Version(_) => problem = problem.header(TUS_VERSION, VERSION),
            Self::Offset { current, .. } => {
                problem = problem.header(UPLOAD_OFFSET, current.to_string()).with("offset", *current);
            }
            Self::Header { header, .. } => problem = problem.with("header", *header),
            Self::TooLarge { max } => {
                problem = problem.header(HeaderName::from_static("tus-max-size"), max.to_string());
            }
            Self::Share { setting, most, .. } => {
                problem = problem.header(header::RETRY_AFTER, "10").with("limit", *most);
                problem = problem.with("setting", *setting);
            }
            Self::Stored { limit, used, needed } => {
                problem = problem.with("limit", *limit).with("used", *used).with("needed", *needed);
            }
            Self::Crowded | Self::Displaced => problem = problem.header(header::RETRY_AFTER, "10"),
            Self::Unavailable(_) | Self::Locked(_) => problem = problem.header(header::RETRY_AFTER, "1"),
            Self::Method => problem = problem.header(header::ALLOW, "POST, HEAD, PATCH, DELETE, OPTIONS"),
            _ => {}
        }
        problem.into_response()
    }
}
