//! Why a request was refused: one list of reasons, each a problem type that a page can explain.

use std::io;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use streamgate_contracts::auth::v1::Refusal;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::{Problem, problems};

/// Why the sign-in did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database is unavailable, or does not match this version.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file of secrets cannot be read or written.
    #[error("{0}")]
    Files(#[from] io::Error),
    /// A setting that `check` would have found.
    #[error("{0}")]
    Settings(String),
}

/// The reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    InvalidRequest,
    InvalidMessage,
    WrongDomain,
    WrongChain,
    WrongTime,
    UnknownNonce,
    InvalidSignature,
    ContractWallet,
    NotSignedIn,
    InvalidToken,
    TokenExpired,
    SessionEnded,
    RefreshReused,
    SetupUsed,
    CrossSite,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    WalletTaken,
    LastWallet,
    LastAdmin,
    LimitReached,
    TooLarge,
    UnsupportedMediaType,
    TooManyAttempts,
    Busy,
}

impl Why {
    /// Its type.
    fn kind(self) -> problems::ProblemType {
        match self {
            Self::InvalidRequest => problems::INVALID_REQUEST,
            Self::InvalidMessage => problems::INVALID_MESSAGE,
            Self::WrongDomain => problems::WRONG_DOMAIN,
            Self::WrongChain => problems::WRONG_CHAIN,
            Self::WrongTime => problems::MESSAGE_EXPIRED,
            Self::UnknownNonce => problems::UNKNOWN_NONCE,
            Self::InvalidSignature => problems::INVALID_SIGNATURE,
            Self::ContractWallet => problems::CONTRACT_WALLET,
            Self::NotSignedIn => problems::NOT_SIGNED_IN,
            Self::InvalidToken => problems::INVALID_TOKEN,
            Self::TokenExpired => problems::TOKEN_EXPIRED,
            Self::SessionEnded => problems::SESSION_ENDED,
            Self::RefreshReused => problems::REFRESH_REUSED,
            Self::SetupUsed => problems::SETUP_USED,
            Self::CrossSite => problems::CROSS_SITE,
            Self::Forbidden => problems::FORBIDDEN,
            Self::NotFound => problems::NOT_FOUND,
            Self::MethodNotAllowed => problems::METHOD_NOT_ALLOWED,
            Self::WalletTaken => problems::WALLET_TAKEN,
            Self::LastWallet => problems::LAST_WALLET,
            Self::LastAdmin => problems::LAST_ADMIN,
            Self::LimitReached => problems::LIMIT_REACHED,
            Self::TooLarge => problems::TOO_LARGE,
            Self::UnsupportedMediaType => problems::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyAttempts => problems::TOO_MANY_ATTEMPTS,
            Self::Busy => problems::UNAVAILABLE,
        }
    }

    /// With the specifics, for people.
    pub(crate) fn because(self, detail: impl Into<String>) -> AuthError {
        AuthError::Refused { why: self, detail: detail.into() }
    }

    /// The last part of the problem's type.
    pub(crate) fn slug(self) -> &'static str {
        self.kind().slug
    }
}

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("{}: {detail}", why.slug())]
    Refused { why: Why, detail: String },
    #[error("too many attempts: {most} a minute (`{setting}`); the next one is allowed in {retry_after} s")]
    TooManyAttempts {
        /// Seconds.
        retry_after: u64,
        /// The setting of the limit.
        setting: &'static str,
        /// Attempts a minute.
        most: u32,
    },
    #[error("the principal has {most} API keys, the most allowed (`{setting}`)")]
    TooManyKeys { setting: &'static str, most: u64 },
    #[error(transparent)]
    Db(#[from] DbError),
}

impl AuthError {
    /// The reason, if it was refused and did not fail.
    #[cfg(test)]
    pub(crate) fn why(&self) -> Option<Why> {
        match self {
            Self::Refused { why, .. } => Some(*why),
            Self::TooManyAttempts { .. } => Some(Why::TooManyAttempts),
            Self::TooManyKeys { .. } => Some(Why::LimitReached),
            Self::Db(_) => None,
        }
    }

    /// For the internal contract: a refusal, or an error if the result is unknown.
    pub(crate) fn into_refusal(self) -> Result<Refusal, tonic::Status> {
        match self {
            Self::Refused { why, detail } => {
                let kind = why.kind();
                Ok(Refusal {
                    r#type: kind.slug.into(),
                    title: kind.title.into(),
                    detail,
                    status: kind.status().as_u16().into(),
                })
            }
            Self::TooManyAttempts { .. } | Self::TooManyKeys { .. } => {
                Err(tonic::Status::resource_exhausted(self.to_string()))
            }
            Self::Db(error) => Err(error.into()),
        }
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused { why, detail } => {
                let problem = Problem::of(why.kind()).detail(detail);
                match problem.status() {
                    StatusCode::UNAUTHORIZED => problem.header(header::WWW_AUTHENTICATE, "Bearer"),
                    StatusCode::SERVICE_UNAVAILABLE => problem.header(header::RETRY_AFTER, "1"),
                    _ => problem,
                }
                .into_response()
            }
            Self::TooManyAttempts { retry_after, setting, most } => {
                Problem::of(Why::TooManyAttempts.kind())
                    .detail(format!(
                        "The limit is {most} per minute (`{setting}`), and you, or others of your network, have used them. Try \
                         again in {retry_after} s."
                    ))
                    .with("limit", most)
                    .with("setting", setting)
                    .header(header::RETRY_AFTER, retry_after.to_string())
                    .into_response()
            }
            Self::TooManyKeys { setting, most } => {
                Problem::of(problems::LIMIT_REACHED.with_status(StatusCode::TOO_MANY_REQUESTS))
                    .detail(format!(
                        "The principal has {most} API keys, the most allowed (`{setting}`). Revoke one, or ask an \
                         admin for more."
                    ))
                    .with("limit", most)
                    .with("setting", setting)
                    .into_response()
            }
            Self::Db(DbError::Conflict { .. }) => {
                Problem::unavailable("The database is busy. Try again in a moment.").into_response()
            }
            Self::Db(error) => error.problem("the sign-in").into_response(),
        }
    }
}
