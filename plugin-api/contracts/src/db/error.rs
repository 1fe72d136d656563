//! What can go wrong between a plugin and its database.

use tonic::{Code, Status};

/// Metadata key of an error status: index of the statement of the batch that failed.
pub const STATEMENT_INDEX: &str = "statement-index";

/// A failed call to the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// A statement affected another number of rows than it demanded; the batch took no effect.
    #[error("statement {statement} of the batch did not meet its condition: {message}")]
    Conflict {
        /// Index of the statement in the batch, from 0.
        statement: usize,
        /// What the database said.
        message: String,
    },
    /// A unique key was taken; the batch took no effect.
    #[error("a unique key is taken (statement {statement} of the batch): {message}")]
    UniqueViolation {
        /// Index of the statement in the batch, from 0.
        statement: usize,
        /// What the database said.
        message: String,
    },
    /// A row was asked for and there is none.
    #[error("there is no such row")]
    NotFound,
    /// More rows matched than the database hands out at once.
    #[error("too many rows: {message}; read fewer at a time with LIMIT")]
    TooManyRows {
        /// What the database said.
        message: String,
    },
    /// The disk is full, or a limit of the database is reached; the batch took no effect.
    #[error("the database cannot store more: {message}")]
    Full {
        /// What the database said.
        message: String,
    },
    /// The database is overloaded or stopping; the same call may work in a moment.
    #[error("the database is not available now, try again: {message}")]
    Unavailable {
        /// What the database said.
        message: String,
    },
    /// The SQL or a parameter is wrong, or a constraint other than a unique key failed.
    #[error("the database refused the statement: {message}")]
    Invalid {
        /// What is wrong with it.
        message: String,
    },
    /// The namespace and the migrations of this version do not fit together.
    #[error("the database does not fit this version of the plugin: {message}")]
    Migration {
        /// Which migration, and why.
        message: String,
    },
    /// A column is missing or holds another type than was asked for.
    #[error("column `{column}`: {reason}")]
    Column {
        /// Its name.
        column: String,
        /// Why it cannot be read.
        reason: String,
    },
    /// Anything else. Whether a batch took effect is unknown.
    #[error("the database failed: {message}")]
    Other {
        /// What happened.
        message: String,
    },
}

impl DbError {
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
            code => Self::Other { message: format!("{message} ({code:?})") },
        }
    }

    pub(crate) fn from_migrate(status: Status) -> Self {
        match Self::from_status(status) {
            Self::Conflict { message, .. } => Self::Migration { message },
            other => other,
        }
    }

    /// Whether the same call may succeed in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// For services that answer with the error of their database: what a caller can act on
/// (full, unavailable) keeps its code, the rest is INTERNAL.
impl From<DbError> for Status {
    fn from(error: DbError) -> Self {
        let message = error.to_string();
        match error {
            DbError::Full { .. } => Self::resource_exhausted(message),
            DbError::Unavailable { .. } => Self::unavailable(message),
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
        for code in [Code::ResourceExhausted, Code::Unavailable, Code::AlreadyExists] {
            let status: Status = DbError::from_status(Status::new(code, "x")).into();
            assert_eq!(status.code(), code);
        }
        let status: Status = DbError::from_status(Status::invalid_argument("x")).into();
        assert_eq!(status.code(), Code::Internal);
    }
}
