//! Why a request was not granted: one list of reasons, each a problem type that a page can explain.

use std::io;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use streamgate_contracts::auth::v1::Refusal;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::Problem;

/// Why the sign-in did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database is not there, or does not fit this version.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file of secrets cannot be read or written.
    #[error("{0}")]
    Files(#[from] io::Error),
    /// A setting that `check` would have found.
    #[error("{0}")]
    Settings(String),
}

/// Why not.
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
    /// HTTP status, last part of the problem's type, and title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => (S::BAD_REQUEST, "invalid-request", "The request is not valid"),
            Self::InvalidMessage => {
                (S::UNPROCESSABLE_ENTITY, "invalid-message", "The message is no sign-in message")
            }
            Self::WrongDomain => (S::UNPROCESSABLE_ENTITY, "wrong-domain", "The message is for another site"),
            Self::WrongChain => (S::UNPROCESSABLE_ENTITY, "wrong-chain", "The chain is not accepted here"),
            Self::WrongTime => (S::UNAUTHORIZED, "message-expired", "The message is not valid at this time"),
            Self::UnknownNonce => {
                (S::UNAUTHORIZED, "unknown-nonce", "The nonce was used, has expired, or is not ours")
            }
            Self::InvalidSignature => {
                (S::UNAUTHORIZED, "invalid-signature", "The signature is not one of this wallet")
            }
            Self::ContractWallet => {
                (S::UNPROCESSABLE_ENTITY, "contract-wallet", "The wallet's contract cannot be asked")
            }
            Self::NotSignedIn => (S::UNAUTHORIZED, "not-signed-in", "Nobody is signed in"),
            Self::InvalidToken => (S::UNAUTHORIZED, "invalid-token", "The credential is not valid"),
            Self::TokenExpired => (S::UNAUTHORIZED, "token-expired", "The credential has expired"),
            Self::SessionEnded => (S::UNAUTHORIZED, "session-ended", "The session has ended"),
            Self::RefreshReused => {
                (S::UNAUTHORIZED, "refresh-reused", "A refresh token was used twice; the session is over")
            }
            Self::SetupUsed => (S::UNAUTHORIZED, "setup-used", "The one-time address is no longer good"),
            Self::CrossSite => (S::FORBIDDEN, "cross-site", "The request came from a page of another site"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "This is not allowed to you"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")
            }
            Self::WalletTaken => (S::CONFLICT, "wallet-taken", "The wallet belongs to somebody else"),
            Self::LastWallet => (S::CONFLICT, "last-wallet", "The last wallet cannot be taken off"),
            Self::LastAdmin => (S::CONFLICT, "last-admin", "The last admin stays one"),
            Self::LimitReached => (S::CONFLICT, "limit-reached", "There are as many as there may be"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Wrong media type")
            }
            Self::TooManyAttempts => (S::TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment"),
        }
    }

    /// With what is particular this time, for people.
    pub(crate) fn because(self, detail: impl Into<String>) -> AuthError {
        AuthError::Refused { why: self, detail: detail.into() }
    }

    /// The last part of the problem's type.
    pub(crate) fn slug(self) -> &'static str {
        self.parts().1
    }
}

/// A request that was not granted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("{}: {detail}", why.slug())]
    Refused { why: Why, detail: String },
    #[error("too many attempts: {most} a minute (`{setting}`); the next one is due in {retry_after} s")]
    TooManyAttempts {
        /// Seconds.
        retry_after: u64,
        /// Which limit it is.
        setting: &'static str,
        /// Attempts a minute.
        most: u32,
    },
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
            Self::Db(_) => None,
        }
    }

    /// For the internal contract: a refusal, or the error that says that nothing is known.
    pub(crate) fn into_refusal(self) -> Result<Refusal, tonic::Status> {
        match self {
            Self::Refused { why, detail } => {
                let (status, slug, title) = why.parts();
                Ok(Refusal {
                    r#type: slug.into(),
                    title: title.into(),
                    detail,
                    status: status.as_u16().into(),
                })
            }
            Self::TooManyAttempts { .. } => Err(tonic::Status::resource_exhausted(self.to_string())),
            Self::Db(error) => Err(error.into()),
        }
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let failed = |status, slug, title| Problem::new(status, slug, title);
        match self {
            Self::Refused { why, detail } => {
                let (status, slug, title) = why.parts();
                let problem = failed(status, slug, title).detail(detail);
                match status {
                    StatusCode::UNAUTHORIZED => problem.header(header::WWW_AUTHENTICATE, "Bearer"),
                    StatusCode::SERVICE_UNAVAILABLE => problem.header(header::RETRY_AFTER, "1"),
                    _ => problem,
                }
                .into_response()
            }
            Self::TooManyAttempts { retry_after, setting, most } => {
                let (status, slug, title) = Why::TooManyAttempts.parts();
                failed(status, slug, title)
                    .detail(format!(
                        "There are {most} a minute (`{setting}`), and you, or others of your network, had them. Try \
                         again in {retry_after} s."
                    ))
                    .with("limit", most)
                    .with("setting", setting)
                    .header(header::RETRY_AFTER, retry_after.to_string())
                    .into_response()
            }
            Self::Db(DbError::Unavailable { .. } | DbError::Conflict { .. }) => {
                let (status, slug, title) = Why::Busy.parts();
                failed(status, slug, title)
                    .detail("The database is busy. Try again in a moment.")
                    .header(header::RETRY_AFTER, "1")
                    .into_response()
            }
            Self::Db(DbError::Full { .. }) => {
                failed(StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage", "There is no space left")
                    .into_response()
            }
            Self::Db(error) => {
                if let Some(unknown) = error.unknown_problem() {
                    return unknown.into_response();
                }
                tracing::error!(%error, "the database of the sign-in failed");
                failed(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here")
                    .detail("The log of the server says what.")
                    .into_response()
            }
        }
    }
}
