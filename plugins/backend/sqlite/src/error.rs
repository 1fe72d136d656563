//! Why a call failed, in the terms of the contract: errors of SQLite are mapped here, once, to what a caller
//! can do about them.

use rusqlite::ErrorCode;
use rusqlite::ffi;
use streamgate_contracts::db::STATEMENT_INDEX;
use tonic::{Code, Status};

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A statement affected a different number of rows than it requires.
    Conflict,
    /// A unique key already exists.
    Taken,
    /// The SQL, a parameter or a constraint.
    Invalid,
    /// More rows or bytes than a call may return.
    TooMuch,
    /// No space left.
    Full,
    /// A retry may succeed.
    Busy,
    /// It took too long, or the caller went away.
    TimedOut,
    /// A query was stopped so that another run answers it.
    Interrupted,
    /// Migrations and namespace do not match.
    Migration,
    /// The file, the disk or this plugin failed; nothing took effect.
    Broken,
    /// The same, and the batch may have taken effect.
    InDoubt,
}

/// A failed call. The message is for the authors of the SQL and for logs.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SqlError {
    pub(crate) class: Class,
    pub(crate) message: String,
    /// Index of the statement in its batch.
    pub(crate) statement: Option<usize>,
}

impl SqlError {
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), statement: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Class::Invalid, message)
    }

    pub(crate) fn at(mut self, statement: usize) -> Self {
        self.statement = Some(statement);
        self
    }

    /// The class of the batches of a commit with this error: a broken disk may still have the commit.
    pub(crate) fn of_commit(self) -> Self {
        match self.class {
            Class::Broken => Self { class: Class::InDoubt, ..self },
            _ => self,
        }
    }

    /// Whether the connection with this error should be replaced.
    pub(crate) fn spoils_connection(&self) -> bool {
        self.class == Class::Broken
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        let message = error.to_string();
        let class = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => class_of(failure),
            rusqlite::Error::SqlInputError { error: failure, .. } => class_of(failure),
            rusqlite::Error::SqliteSingleThreadedMode => Class::Broken,
            _ => Class::Invalid,
        };
        let message = match class {
            Class::TimedOut => "the statement took longer than `statement_timeout` and was stopped".into(),
            _ => message,
        };
        Self::new(class, message)
    }
}

fn class_of(failure: &ffi::Error) -> Class {
    match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            return Class::Taken;
        }
        // The shared memory of the log could not grow: on a local disk this is a full one.
        ffi::SQLITE_IOERR_SHMSIZE => return Class::Full,
        _ => {}
    }
    match failure.code {
        ErrorCode::DiskFull | ErrorCode::OutOfMemory => Class::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => Class::Busy,
        ErrorCode::OperationInterrupted => Class::TimedOut,
        ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::InternalMalfunction
        | ErrorCode::OperationAborted => Class::Broken,
        _ => Class::Invalid,
    }
}

impl From<SqlError> for Status {
    fn from(error: SqlError) -> Self {
        let code = match error.class {
            Class::Conflict | Class::Migration => Code::FailedPrecondition,
            Class::Taken => Code::AlreadyExists,
            Class::Invalid => Code::InvalidArgument,
            Class::TooMuch => Code::OutOfRange,
            Class::Full => Code::ResourceExhausted,
            Class::Busy => Code::Unavailable,
            Class::TimedOut => Code::DeadlineExceeded,
            Class::Interrupted => Code::Aborted,
            Class::Broken => Code::DataLoss,
            Class::InDoubt => Code::Internal,
        };
        let mut status = Self::new(code, error.message);
        if let Some(statement) = error.statement {
            status.metadata_mut().insert(STATEMENT_INDEX, (statement as u64).into());
        }
        status
    }
}
