//! Why a request to the store failed, and the problem (RFC 9457) for the caller. Logs only what an operator
//! has to fix.

use std::io;

use http::HeaderName;
use streamgate_plugin_api::{Problem, problems};

use crate::key::NameError;

/// Field of the resumable uploads draft: how much of an append session is on disk.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is no object at {0}")]
    NoObject(String),
    #[error("no append session is open at {0}")]
    NoSession(String),
    #[error("there is an object at {0} already")]
    Exists(String),
    #[error(
        "{0} cannot be stored: a file is where it needs a directory, or a directory is where it would be"
    )]
    InTheWay(String),
    #[error("a symbolic link is in the way of {0}; the store follows none")]
    Link(String),
    #[error("the fence {fence} is superseded below {scope} by a later writer with {newest}; stop writing")]
    Superseded { scope: String, fence: u64, newest: u64 },
    #[error("the append session is at {have}, before the requested offset {asked}")]
    Gap { have: u64, asked: u64 },
    #[error("another request is writing {0} and did not end in time; try again")]
    Busy(String),
    #[error("the disk of the store is full or below its reserve; make room or lower min_free")]
    Full { offset: Option<u64> },
    #[error("the body was interrupted: {reason}")]
    Aborted { reason: String, offset: Option<u64> },
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    NotGranted(String),
    #[error("the method {0} is not supported here")]
    Method(String),
    #[error("I/O failed: {0}")]
    Io(io::Error),
}

impl Error {
    /// The error of a failed system call on `path`.
    pub(crate) fn of(error: io::Error, path: &str) -> Self {
        use io::ErrorKind as Kind;
        let links =
            [rustix::io::Errno::LOOP, rustix::io::Errno::XDEV].map(|errno| Some(errno.raw_os_error()));
        if links.contains(&error.raw_os_error()) {
            return Self::Link(path.into());
        }
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::Full { offset: None },
            Kind::NotFound => Self::NoObject(path.into()),
            Kind::AlreadyExists => Self::Exists(path.into()),
            Kind::NotADirectory | Kind::IsADirectory | Kind::DirectoryNotEmpty => Self::InTheWay(path.into()),
            Kind::InvalidFilename => Self::Name(NameError::TooLong),
            _ => Self::Io(error),
        }
    }

    /// As an answer.
    pub(crate) fn problem(&self) -> Problem {
        let problem = |kind| Problem::of(kind).detail(self.to_string());
        let at = |problem: Problem, offset: Option<u64>| match offset {
            Some(offset) => problem.header(UPLOAD_OFFSET, offset),
            None => problem,
        };
        match self {
            Self::Name(_) => problem(problems::INVALID_KEY),
            Self::NoObject(_) => problem(problems::NO_OBJECT),
            Self::NoSession(_) => problem(problems::NO_APPEND_SESSION),
            Self::Exists(_) => problem(problems::OBJECT_EXISTS),
            Self::Superseded { .. } => problem(problems::SUPERSEDED),
            Self::InTheWay(_) => problem(problems::KEY_CONFLICT),
            Self::NotGranted(_) => problem(problems::NOT_GRANTED),
            Self::Link(_) => problem(problems::SYMBOLIC_LINK),
            Self::Gap { have, .. } => at(problem(problems::OFFSET_MISMATCH), Some(*have)),
            Self::Busy(_) => problem(problems::APPEND_SESSION_BUSY).header(http::header::RETRY_AFTER, "1"),
            Self::Full { offset } => at(problem(problems::INSUFFICIENT_STORAGE), *offset),
            Self::Aborted { offset, .. } => at(problem(problems::BODY_ABORTED), *offset),
            Self::Malformed(_) => problem(problems::MALFORMED_REQUEST),
            Self::Method(_) => problem(problems::METHOD_NOT_ALLOWED),
            Self::Io(error) => {
                tracing::error!(%error, "the store's disk failed");
                problem(problems::STORAGE_IO)
            }
        }
    }
}
