//! The types of problems (RFC 9457 section 3.1.1) of StreamGate: one title, status and remedy each.
//! `docs/reference/problems.md` and the console's texts are generated from this table.
//!
//! ```
//! use streamgate_plugin_api::{Problem, problems};
//!
//! let problem = Problem::of(problems::NOT_FOUND).detail("No content has the id 7; it may have been deleted.");
//! assert_eq!(problem.status(), 404);
//! ```

use http::StatusCode;

/// A type of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemType {
    /// The last part of its URI, `urn:streamgate:problem:<slug>`.
    pub slug: &'static str,
    /// The same for every occurrence.
    pub title: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    status: u16,
}

impl ProblemType {
    /// The status of an answer of this type.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("every status of the table is between 400 and 599")
    }

    /// The same with another status that is more specific.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: status.as_u16(), ..self }
    }
}

macro_rules! problems {
    ($($status:literal $name:ident $slug:literal $title:literal $advice:literal;)+) => {
        $(
            #[doc = concat!("`", $slug, "`: ", $title, ".")]
            pub const $name: ProblemType =
                ProblemType { slug: $slug, title: $title, advice: $advice, status: $status };
        )+

        /// All of them, by status.
        pub const ALL: &[ProblemType] = &[$($name),+];
    };
}

problems! {
    400 INVALID_REQUEST "invalid-request" "Malformed request" "Correct what the detail names.";
    400 MALFORMED_REQUEST "malformed-request" "Malformed request" "Correct what the detail names.";
    400 INVALID_HEADER "invalid-header" "Malformed request" "Correct the field that `header` names.";
    400 INVALID_HOST "invalid-host" "Malformed request" "Send exactly one valid `Host`.";
    400 INVALID_PATH "invalid-path" "Malformed request" "Send a path without `.` and `..` segments and control characters.";
    400 INVALID_METHOD_OVERRIDE "invalid-method-override" "Malformed request" "Override `POST` alone, by `PATCH`, `DELETE` or `HEAD`.";
    400 INVALID_PARAMETER "invalid-parameter" "Invalid query parameter" "Correct the parameter that `parameter` names.";
    400 INVALID_JSON "invalid-json" "Invalid JSON" "Send the JSON that the reference shows.";
    400 INVALID_KEY "invalid-key" "Invalid object key" "Use a valid bucket and key.";
    400 BROKEN_BODY "broken-body" "Incomplete body" "Send the request again.";
    400 BODY_ABORTED "body-aborted" "Incomplete body" "Resume from the offset in the answer.";
    400 BODY_BROKE_OFF "body-broke-off" "Incomplete body" "Resume the upload from its current offset.";
    400 MALFORMED_BODY "malformed-body" "Malformed body" "Frame the body as RFC 9112 section 7.1 says.";
    400 INVALID_HANDSHAKE "invalid-handshake" "Malformed request" "Correct what the detail names.";
    401 NOT_SIGNED_IN "not-signed-in" "Sign-in required" "Sign in, or send an access token or an API key.";
    401 INVALID_TOKEN "invalid-token" "Invalid credential" "Sign in again, or send another key.";
    401 TOKEN_EXPIRED "token-expired" "Credential expired" "Refresh the session, or sign in again.";
    401 SESSION_ENDED "session-ended" "Session ended" "Sign in again.";
    401 REFRESH_REUSED "refresh-reused" "Session ended" "Sign in again: a refresh token was used twice, so it may be stolen.";
    401 MESSAGE_EXPIRED "message-expired" "Sign-in message expired" "Request a new challenge, and check the clock.";
    401 UNKNOWN_NONCE "unknown-nonce" "Invalid nonce" "Request a new challenge; each is valid once.";
    401 INVALID_SIGNATURE "invalid-signature" "Invalid signature" "Sign the message with the wallet that it names.";
    401 SETUP_USED "setup-used" "One-time link expired" "Print another one with `streamgate admin link`.";
    403 FORBIDDEN "forbidden" "Permission denied" "Ask the owner or an admin.";
    403 CROSS_SITE "cross-site" "Permission denied" "Call from a page of the server's own origin, or send a token.";
    403 NOT_GRANTED "not-granted" "Permission denied" "Name it in the plugin's manifest.";
    403 SYMBOLIC_LINK "symbolic-link" "Permission denied" "Remove the link; the store does not follow links.";
    403 NOT_ENTITLED "not-entitled" "Permission denied" "Meet the content's policy; the detail says what is missing.";
    403 REVOKED "revoked" "Access revoked" "Start the player again, or ask the owner.";
    404 NOT_FOUND "not-found" "Not found" "Check the address; it may have been deleted.";
    404 NO_CONTENT "no-content" "Not found" "Check the id; the content may have been deleted.";
    404 NO_ROUTE "no-route" "Not found" "Check the address, and that its plugin is configured.";
    404 NO_OBJECT "no-object" "Not found" "Check the key.";
    404 NO_APPEND_SESSION "no-append-session" "Not found" "Begin an append session.";
    404 NO_SUCH_JOB "no-such-job" "Not found" "Check the id; finished jobs are removed after a while.";
    404 NO_SUCH_RESOURCE "no-such-resource" "Not found" "Check the address.";
    404 NO_SUCH_COMMAND "no-such-command" "Not found" "Use one of the commands in `known`.";
    404 NOT_PLAYABLE "not-playable" "Not playable yet" "Wait until the content is `playable`.";
    405 METHOD_NOT_ALLOWED "method-not-allowed" "Method not allowed" "Use a method of the answer's `Allow`.";
    408 REQUEST_TIMEOUT "request-timeout" "Request timeout" "Send the request again, and faster.";
    408 IDLE "idle" "Request timeout" "Resume the upload from its current offset.";
    408 TOO_SLOW "too-slow" "Request timeout" "Resume the upload from its current offset, and faster.";
    409 CONFLICT "conflict" "Conflicting state" "Check the upload's state.";
    409 WRONG_STATE "wrong-state" "Conflicting state" "Check the content's state.";
    409 WRONG_JOB_STATE "wrong-job-state" "Conflicting state" "Check the job's state.";
    409 JOB_EXISTS "job-exists" "Already exists" "Wait for the unfinished job.";
    409 KEY_CONFLICT "key-conflict" "Conflicting key" "Use a key that is not a folder of another one.";
    409 OFFSET_MISMATCH "offset-mismatch" "Offset mismatch" "Continue from the offset in `Upload-Offset`.";
    409 NOT_BARRABLE "not-barrable" "Cannot be blocked" "Hand the content over, or revoke the role `admin`, first.";
    409 LIMIT_REACHED "limit-reached" "Limit reached" "Remove something first.";
    409 WALLET_TAKEN "wallet-taken" "Wallet already linked" "Unlink it from the other principal first.";
    409 LAST_WALLET "last-wallet" "Last wallet" "Link another wallet first.";
    409 LAST_ADMIN "last-admin" "Last admin" "Appoint another admin first.";
    409 NO_SIGNER "no-signer" "No signer" "Configure a key that signs for the chain.";
    409 NO_HANDOVER "no-handover" "Handover refused" "See the detail.";
    410 UPLOAD_GONE "upload-gone" "Upload ended" "Upload the file again.";
    412 PRECONDITION_FAILED "precondition-failed" "Precondition failed" "Read the resource again, or omit the condition.";
    412 CHANGED_MEANWHILE "changed-meanwhile" "Precondition failed" "Read the resource again, and retry.";
    412 OBJECT_EXISTS "object-exists" "Precondition failed" "Use another key, or replace the object.";
    412 SUPERSEDED "superseded" "Precondition failed" "Stop: a later run of the job writes here.";
    412 TUS_VERSION "tus-version" "Unsupported version of tus" "Send `Tus-Resumable: 1.0.0`.";
    413 TOO_LARGE "too-large" "Body too large" "Send less; the detail states the limit.";
    413 BODY_TOO_LARGE "body-too-large" "Body too large" "Send at most `max_bytes`.";
    413 BEYOND_LENGTH "beyond-length" "Body too large" "Send no more than the upload's length.";
    415 UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "Unsupported media type" "Send one of the types that the detail names.";
    416 RANGE_NOT_SATISFIABLE "range-not-satisfiable" "Range not satisfiable" "Request a range within `Content-Range`.";
    417 UNKNOWN_EXPECTATION "unknown-expectation" "Expectation failed" "Expect `100-continue` or nothing.";
    422 INVALID_FIELDS "invalid-fields" "Invalid fields" "Correct the fields in `errors`.";
    422 INVALID_CAPTIONS "invalid-captions" "Invalid captions" "Correct the text at `line`.";
    422 INVALID_POLICY "invalid-policy" "Invalid policy" "Correct the rule at `pointer`.";
    422 INVALID_MESSAGE "invalid-message" "Invalid sign-in message" "Sign the message of the challenge unchanged.";
    422 WRONG_DOMAIN "wrong-domain" "Wrong site" "Sign in at the site that the message names.";
    422 WRONG_CHAIN "wrong-chain" "Unsupported chain" "Switch the wallet to an accepted chain.";
    422 CONTRACT_WALLET "contract-wallet" "Contract wallet not verified" "Try again, or use another wallet.";
    422 NO_CONTRACT "no-contract" "No contract" "Check the chain and the address.";
    422 NO_SUCH_PERSON "no-such-person" "No such person" "Name a person who has signed in here before.";
    423 LOCKED "locked" "Locked" "Try again in a moment.";
    423 APPEND_SESSION_BUSY "append-session-busy" "Locked" "Try again in a moment.";
    426 WEBSOCKET_VERSION "websocket-version" "Unsupported version of WebSocket" "Send `Sec-WebSocket-Version: 13`.";
    429 TOO_MANY_ATTEMPTS "too-many-attempts" "Limit reached" "Wait for `Retry-After`.";
    429 TOO_MANY_SESSIONS "too-many-sessions" "Limit reached" "Stop another player.";
    429 TOO_MANY_ADDRESSES "too-many-addresses" "Limit reached" "Start the player again.";
    429 QUOTA_ENCODE_MINUTES "quota-encode-minutes" "Limit reached" "Wait until `until`, or ask an admin for more.";
    429 UPLOAD_SHARE "upload-share" "Limit reached" "Finish an upload, or wait for `Retry-After`.";
    429 UPLOAD_DISPLACED "upload-displaced" "Limit reached" "Resume the upload after `Retry-After`.";
    431 HEADER_TOO_LARGE "header-too-large" "Header too large" "Send fewer or shorter fields.";
    460 CHECKSUM_MISMATCH "checksum-mismatch" "Checksum mismatch" "Send the same bytes again.";
    500 INTERNAL "internal" "Internal error" "Check the server's log.";
    500 INTERNAL_ERROR "internal-error" "Internal error" "Check the server's log.";
    500 STORAGE_IO "storage-io" "Internal error" "Check the server's log and the disk.";
    500 BOUNDARY "boundary" "Internal error" "Update the plugin.";
    500 OUTCOME_UNKNOWN "outcome-unknown" "Outcome unknown" "Check whether the change was made before repeating it.";
    501 METHOD_NOT_IMPLEMENTED "method-not-implemented" "Method not implemented" "Use another method.";
    501 NO_WEBSOCKET "no-websocket" "Protocol not implemented" "Send a plain request to this address.";
    501 PROTOCOL_NOT_IMPLEMENTED "protocol-not-implemented" "Protocol not implemented" "Use `websocket`.";
    502 BAD_GATEWAY "bad-gateway" "Bad gateway" "Check the server's log.";
    502 PLUGIN_DIED "plugin-died" "Bad gateway" "Try again; check the server's log.";
    503 UNAVAILABLE "unavailable" "Service unavailable" "Try again after `Retry-After`.";
    503 PLUGIN_DOWN "plugin-down" "Service unavailable" "Try again after `Retry-After`.";
    503 PLUGIN_BUSY "plugin-busy" "Service unavailable" "Try again after `Retry-After`.";
    503 NO_PROVIDER "no-provider" "Service unavailable" "Configure a plugin that provides it.";
    503 FILTER_UNAVAILABLE "filter-unavailable" "Service unavailable" "Try again; check the plugin that provides `stage`.";
    503 ACCESS_UNAVAILABLE "access-unavailable" "Service unavailable" "Try again in a moment.";
    503 CHAIN_UNAVAILABLE "chain-unavailable" "Service unavailable" "Try again in a moment.";
    503 TOO_MANY_CONNECTIONS "too-many-connections" "Service unavailable" "Try again after `Retry-After`.";
    503 TOO_MANY_CLIENTS "too-many-clients" "Service unavailable" "Close a stream of live changes, or try again.";
    503 TOO_MANY_SEARCHES "too-many-searches" "Service unavailable" "Try again, or list without `q`.";
    503 TOO_MANY_SOCKETS "too-many-sockets" "Service unavailable" "Close a WebSocket, or try again.";
    503 TOO_MANY_UPLOADS "too-many-uploads" "Service unavailable" "Try again after `Retry-After`.";
    504 NO_ANSWER "no-answer" "Gateway timeout" "Try again; check the plugin's health.";
    507 INSUFFICIENT_STORAGE "insufficient-storage" "Insufficient storage" "Make room on the disk.";
    507 QUOTA_STORED "quota-stored" "Quota exceeded" "Delete something, or ask an admin for more.";
}

/// The type of this slug.
pub fn of_slug(slug: &str) -> Option<ProblemType> {
    ALL.iter().find(|known| known.slug == slug).copied()
}
