//! Everything that can be wrong with a request of tus, each with its status and its words.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::Problem;

use crate::protocol::{TUS_VERSION, UPLOAD_OFFSET, VERSION};

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// tus 1.0 §Tus-Resumable.
    #[error("`Tus-Resumable: 1.0.0` is required; {0}")]
    Version(String),
    #[error("the header `{header}` {problem}")]
    Header { header: &'static str, problem: String },
    #[error("there is no upload of this id")]
    NotFound,
    #[error("this upload ended: it was terminated, expired, or its content was deleted")]
    Gone,
    #[error("the upload is at offset {current}, not at {given}")]
    Offset { current: u64, given: u64 },
    #[error("the body must be sent as `application/offset+octet-stream`")]
    MediaType,
    #[error("an upload may have at most {max} bytes")]
    TooLarge { max: u64 },
    #[error("the upload has {length} bytes, and this body goes beyond them")]
    BeyondLength { length: u64 },
    /// tus 1.0 §Checksum.
    #[error("the body does not have the checksum that came with it; nothing of it was kept")]
    Checksum,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Locked(&'static str),
    #[error("the body broke off: {0}; what came is kept")]
    BrokeOff(String),
    #[error("nothing arrived for too long; what came is kept")]
    Idle,
    #[error("less than {least} bytes per second arrived (`min_rate`); what came is kept, go on from there")]
    Slow { least: u64 },
    #[error("as many uploads run as the server allows; try again in a while")]
    Crowded,
    /// The caller has as much as one may have.
    #[error(
        "{most} uploads of yours {what} already, which is the most for one caller (`{setting}`); {advice}"
    )]
    Share { what: &'static str, setting: &'static str, most: u64, advice: &'static str },
    #[error(
        "you may store {limit} bytes, {used} are taken, and this needs {needed}; delete a content or an unfinished \
         upload, or ask an admin for more"
    )]
    Stored { limit: u64, used: u64, needed: u64 },
    #[error("the place went to a caller who had fewer; what came is kept, go on from there in a while")]
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

    fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Version(_) => (412, "tus-version", "Unsupported version of tus"),
            Self::Header { .. } => (400, "invalid-header", "A header is not valid"),
            Self::NotFound => (404, "not-found", "There is no such upload"),
            Self::Gone => (410, "upload-gone", "The upload has ended"),
            Self::Offset { .. } => (409, "offset-mismatch", "The offset is not the current one"),
            Self::MediaType => (415, "unsupported-media-type", "Wrong media type"),
            Self::TooLarge { .. } => (413, "too-large", "The upload is too large"),
            Self::BeyondLength { .. } => (413, "beyond-length", "The body goes beyond the upload's length"),
            Self::Checksum => (460, "checksum-mismatch", "Checksum mismatch"),
            Self::Forbidden(_) => (403, "forbidden", "Not possible with this upload"),
            Self::Conflict(_) => (409, "conflict", "The upload's state does not allow this"),
            Self::Locked(_) => (423, "locked", "The upload is in use"),
            Self::BrokeOff(_) => (400, "body-broke-off", "The body broke off"),
            Self::Idle => (408, "idle", "The body did not go on"),
            Self::Slow { .. } => (408, "too-slow", "The body came too slowly"),
            Self::Share { .. } => (429, "upload-share", "Too many uploads of one caller"),
            Self::Displaced => (429, "upload-displaced", "Another caller has the place"),
            Self::Crowded => (503, "too-many-uploads", "Too many uploads"),
            Self::Unavailable(_) => (503, "unavailable", "Not possible at the moment"),
            Self::Stored { .. } => (507, "quota-stored", "You may not store as much"),
            Self::Full => (507, "insufficient-storage", "There is no space left"),
            Self::Internal(_) => (500, "internal", "Something went wrong here"),
            Self::Method => (405, "method-not-allowed", "The method is not allowed here"),
        }
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Full { .. } => Self::Full,
            DbError::Unavailable { .. } => Self::Unavailable("the database is not available".into()),
            DbError::Unknown { message } => {
                tracing::error!(%message, "the database's answer was lost; whether the upload moved on is unknown");
                Self::Internal(
                    "it is not known whether this took effect; ask for the offset before you go on".into(),
                )
            }
            // Somebody else ended the upload between two steps.
            DbError::Conflict { .. } => Self::Gone,
            other => {
                tracing::error!(error = %other, "the database of uploads failed");
                Self::Internal("the state of the upload could not be read or written".into())
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind();
        let status = StatusCode::from_u16(status).expect("every status above is between 100 and 999");
        let mut problem = Problem::new(status, slug, title).detail(format!("{self}."));
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
