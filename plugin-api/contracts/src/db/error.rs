//! Errors of calls to the database.

use streamgate_plugin_api::{Problem, problems};
use tonic::{Code, Status};

/// Metadata key of an error status: index of the statement of the batch that failed.
pub const STATEMENT_INDEX: &str = "statement-index";

/// A failed call to the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// A statement affected a different number of rows than it requires; the batch took no effect.
    #[error("statement {statement} of the batch did not meet its condition: {message}")]
    Conflict {
        /// Index of the statement in the batch, from 0.
        statement: usize,
        /// The database's message.
        message: String,
    },
    /// A unique key exists already; the batch took no effect.
    #[error("a unique key exists already (statement {statement} of the batch): {message}")]
    UniqueViolation {
        /// Index of the statement in the batch, from 0.
        statement: usize,
        /// The database's message.
        message: String,
    },
    /// A row was required and there is none.
    #[error("there is no such row")]
    NotFound,
    /// More rows matched than the database returns at once.
    #[error("too many rows: {message}; read fewer at a time with LIMIT")]
    TooManyRows {
        /// The database's message.
        message: String,
    },
    /// The disk is full, or a limit of the database is reached; the batch took no effect.
    #[error("the database cannot store more: {message}")]
    Full {
        /// The database's message.
        message: String,
    },
    /// The database is overloaded or not running, and has not begun: nothing took effect, and a retry may
    /// succeed.
    #[error("the database is unavailable, try again: {message}")]
    Unavailable {
        /// The database's message.
        message: String,
    },
    /// The SQL or a parameter is wrong, or a constraint other than a unique key failed.
    #[error("the database refused the statement: {message}")]
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// The namespace and the migrations of this version do not match.
    #[error("the database does not match this version of the plugin: {message}")]
    Migration {
        /// Which migration, and why.
        message: String,
    },
    /// A column is missing or has a different type than requested.
    #[error("column `{column}`: {reason}")]
    Column {
        /// Its name.
        column: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// The answer to a batch was lost, and so were those to its retries: it may have taken effect or not.
    /// Check the database before repeating it.
    #[error(
        "the database's answer was lost: the change may have been made or not; check before repeating it: {message}"
    )]
    Unknown {
        /// What happened instead of an answer.
        message: String,
    },
    /// Anything else; a batch took no effect.
    #[error("the database failed: {message}")]
    Other {
        /// What happened.
        message: String,
    },
}

impl DbError {
    /// With another index of the statement.
    pub(crate) fn renumbered(self, own: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Conflict { statement, message } => Self::Conflict { statement: own(statement), message },
            Self::UniqueViolation { statement, message } => {
                Self::UniqueViolation { statement: own(statement), message }
            }
            other => other,
        }
    }

    pub(crate) fn from_status(status: Status) -> Self {
        let statement = || {
            let value = status.metadata().get(STATEMENT_INDEX);
            value.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let message = status.message().to_owned();
        match status.code() {
            Code::FailedPrecondition | Code::Aborted => Self::Conflict { statement: statement(), message },
            Code::AlreadyExists => Self::UniqueViolation { statement: statement(), message },
            Code::NotFound => Self::NotFound,
            Code::OutOfRange => Self::TooManyRows { message },
            Code::ResourceExhausted => Self::Full { message },
            Code::Unavailable => Self::Unavailable { message },
            Code::InvalidArgument => Self::Invalid { message },
            code if is_definite(code) => Self::Other { message: format!("{message} ({code:?})") },
            code => Self::Unknown { message: format!("{message} ({code:?})") },
        }
    }

    /// For a call that changes nothing, or nothing more when repeated: a lost answer leaves no doubt.
    pub(crate) fn from_harmless(status: Status) -> Self {
        if status.code() == Code::Aborted {
            return Self::Unavailable { message: status.message().to_owned() };
        }
        match Self::from_status(status) {
            Self::Unknown { message } => Self::Unavailable { message },
            other => other,
        }
    }

    pub(crate) fn from_migrate(status: Status) -> Self {
        match Self::from_harmless(status) {
            Self::Conflict { message, .. } => Self::Migration { message },
            other => other,
        }
    }

    /// Whether a retry may succeed, with nothing having taken effect so far.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Whether a status without its own error here means that nothing took effect. All other errors of a
/// provider, a connection or this client's decoder leave it open.
fn is_definite(code: Code) -> bool {
    matches!(
        code,
        Code::DeadlineExceeded
            | Code::DataLoss
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
    )
}

impl DbError {
    /// The answer of an HTTP handler. `whose` database failed goes to the log, such as "the catalogue".
    pub fn problem(&self, whose: &str) -> Problem {
        match self {
            Self::Unavailable { .. } => Problem::unavailable("The server is busy. Try again in a moment."),
            Self::Full { .. } => Problem::of(problems::INSUFFICIENT_STORAGE),
            error => error.unknown_problem().unwrap_or_else(|| {
                tracing::error!(%error, "the database of {whose} failed");
                Problem::of(problems::INTERNAL).detail("See the server's log.")
            }),
        }
    }

    /// What a handler of HTTP answers when the change that it was asked for is [`DbError::Unknown`]: 500, since
    /// neither "it was done" nor "nothing happened" would be true. `None` for other errors.
    pub fn unknown_problem(&self) -> Option<Problem> {
        let Self::Unknown { message } = self else { return None };
        tracing::error!(%message, "the database's answer was lost; whether a change was made is unknown");
        Some(Problem::of(problems::OUTCOME_UNKNOWN).detail(
            "The answer of the database was lost. The change may have been made or not: check before you \
                 make it again.",
        ))
    }
}

/// For services that pass on the error of their database: errors that a caller can act on (full, unavailable,
/// unknown) keep their code, the rest is INTERNAL.
impl From<DbError> for Status {
    fn from(error: DbError) -> Self {
        let message = error.to_string();
        match error {
            DbError::Full { .. } => Self::resource_exhausted(message),
            DbError::Unavailable { .. } => Self::unavailable(message),
            DbError::Unknown { .. } => Self::unknown(message),
            DbError::NotFound => Self::not_found(message),
            DbError::Conflict { .. } => Self::aborted(message),
            DbError::UniqueViolation { .. } => Self::already_exists(message),
            DbError::TooManyRows { .. }
            | DbError::Invalid { .. }
            | DbError::Migration { .. }
            | DbError::Column { .. }
            | DbError::Other { .. } => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_says_which_statement_it_was() {
        let mut status = Status::failed_precondition("0 rows instead of 1");
        status.metadata_mut().insert(STATEMENT_INDEX, 3.into());
        let error = DbError::from_status(status);
        assert_eq!(error, DbError::Conflict { statement: 3, message: "0 rows instead of 1".into() });
    }

    #[test]
    fn what_a_caller_can_act_on_keeps_its_code() {
        for code in [Code::ResourceExhausted, Code::Unavailable, Code::AlreadyExists, Code::Unknown] {
            let status: Status = DbError::from_status(Status::new(code, "x")).into();
            assert_eq!(status.code(), code);
        }
        let status: Status = DbError::from_status(Status::invalid_argument("x")).into();
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn only_what_the_contract_says_had_no_effect_is_called_that() {
        let error = |code| DbError::from_status(Status::new(code, "x"));
        for code in [Code::Unknown, Code::Internal, Code::Cancelled] {
            assert!(matches!(error(code), DbError::Unknown { .. }), "{code:?}");
            assert!(matches!(DbError::from_harmless(Status::new(code, "x")), DbError::Unavailable { .. }));
        }
        for code in [Code::DeadlineExceeded, Code::DataLoss, Code::PermissionDenied] {
            assert!(matches!(error(code), DbError::Other { .. }), "{code:?}");
        }
        assert!(error(Code::Unavailable).is_transient() && !error(Code::Unknown).is_transient());
    }
}
