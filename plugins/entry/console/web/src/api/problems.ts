// Made from plugin-api/src/problems.rs; its test compares the two.

/** The types of problems that the server answers with, by the last part of the type. */
export const PROBLEMS = {
  "invalid-request": { title: "Malformed request", advice: "Correct what the detail names." },
  "malformed-request": { title: "Malformed request", advice: "Correct what the detail names." },
  "invalid-header": {
    title: "Malformed request",
    advice: "Correct the field that `header` names.",
  },
  "invalid-host": { title: "Malformed request", advice: "Send exactly one valid `Host`." },
  "invalid-path": {
    title: "Malformed request",
    advice: "Send a path without `.` and `..` segments and control characters.",
  },
  "invalid-method-override": {
    title: "Malformed request",
    advice: "Override `POST` alone, by `PATCH`, `DELETE` or `HEAD`.",
  },
  "invalid-parameter": {
    title: "Invalid query parameter",
    advice: "Correct the parameter that `parameter` names.",
  },
  "invalid-json": { title: "Invalid JSON", advice: "Send the JSON that the reference shows." },
  "invalid-key": { title: "Invalid object key", advice: "Use a valid bucket and key." },
  "broken-body": { title: "Incomplete body", advice: "Send the request again." },
  "body-aborted": { title: "Incomplete body", advice: "Resume from the offset in the answer." },
  "body-broke-off": {
    title: "Incomplete body",
    advice: "Resume the upload from its current offset.",
  },
  "malformed-body": {
    title: "Malformed body",
    advice: "Frame the body as RFC 9112 section 7.1 says.",
  },
  "invalid-handshake": { title: "Malformed request", advice: "Correct what the detail names." },
  "not-signed-in": {
    title: "Sign-in required",
    advice: "Sign in, or send an access token or an API key.",
  },
  "invalid-token": { title: "Invalid credential", advice: "Sign in again, or send another key." },
  "token-expired": {
    title: "Credential expired",
    advice: "Refresh the session, or sign in again.",
  },
  "session-ended": { title: "Session ended", advice: "Sign in again." },
  "refresh-reused": {
    title: "Session ended",
    advice: "Sign in again: a refresh token was used twice, so it may be stolen.",
  },
  "message-expired": {
    title: "Sign-in message expired",
    advice: "Request a new challenge, and check the clock.",
  },
  "unknown-nonce": {
    title: "Invalid nonce",
    advice: "Request a new challenge; each is valid once.",
  },
  "invalid-signature": {
    title: "Invalid signature",
    advice: "Sign the message with the wallet that it names.",
  },
  "setup-used": {
    title: "One-time link expired",
    advice: "Print another one with `streamgate admin link`.",
  },
  forbidden: { title: "Permission denied", advice: "Ask the owner or an admin." },
  "cross-site": {
    title: "Permission denied",
    advice: "Call from a page of the server's own origin, or send a token.",
  },
  "not-granted": { title: "Permission denied", advice: "Name it in the plugin's manifest." },
  "symbolic-link": {
    title: "Permission denied",
    advice: "Remove the link; the store does not follow links.",
  },
  "not-entitled": {
    title: "Permission denied",
    advice: "Meet the content's policy; the detail says what is missing.",
  },
  revoked: { title: "Access revoked", advice: "Start the player again, or ask the owner." },
  "not-found": { title: "Not found", advice: "Check the address; it may have been deleted." },
  "no-content": { title: "Not found", advice: "Check the id; the content may have been deleted." },
  "no-route": {
    title: "Not found",
    advice: "Check the address, and that its plugin is configured.",
  },
  "no-object": { title: "Not found", advice: "Check the key." },
  "no-append-session": { title: "Not found", advice: "Begin an append session." },
  "no-such-job": {
    title: "Not found",
    advice: "Check the id; finished jobs are removed after a while.",
  },
  "no-such-resource": { title: "Not found", advice: "Check the address." },
  "no-such-command": { title: "Not found", advice: "Use one of the commands in `known`." },
  "not-playable": { title: "Not playable yet", advice: "Wait until the content is `playable`." },
  "method-not-allowed": {
    title: "Method not allowed",
    advice: "Use a method of the answer's `Allow`.",
  },
  "request-timeout": { title: "Request timeout", advice: "Send the request again, and faster." },
  idle: { title: "Request timeout", advice: "Resume the upload from its current offset." },
  "too-slow": {
    title: "Request timeout",
    advice: "Resume the upload from its current offset, and faster.",
  },
  conflict: { title: "Conflicting state", advice: "Check the upload's state." },
  "wrong-state": { title: "Conflicting state", advice: "Check the content's state." },
  "wrong-job-state": { title: "Conflicting state", advice: "Check the job's state." },
  "job-exists": { title: "Already exists", advice: "Wait for the unfinished job." },
  "key-conflict": {
    title: "Conflicting key",
    advice: "Use a key that is not a folder of another one.",
  },
  "offset-mismatch": {
    title: "Offset mismatch",
    advice: "Continue from the offset in `Upload-Offset`.",
  },
  "not-barrable": {
    title: "Cannot be blocked",
    advice: "Hand the content over, or revoke the role `admin`, first.",
  },
  "limit-reached": { title: "Limit reached", advice: "Remove something first." },
  "wallet-taken": {
    title: "Wallet already linked",
    advice: "Unlink it from the other principal first.",
  },
  "last-wallet": { title: "Last wallet", advice: "Link another wallet first." },
  "last-admin": { title: "Last admin", advice: "Appoint another admin first." },
  "no-signer": { title: "No signer", advice: "Configure a key that signs for the chain." },
  "no-handover": { title: "Handover refused", advice: "See the detail." },
  "upload-gone": { title: "Upload ended", advice: "Upload the file again." },
  "precondition-failed": {
    title: "Precondition failed",
    advice: "Read the resource again, or omit the condition.",
  },
  "changed-meanwhile": {
    title: "Precondition failed",
    advice: "Read the resource again, and retry.",
  },
  "object-exists": {
    title: "Precondition failed",
    advice: "Use another key, or replace the object.",
  },
  superseded: { title: "Precondition failed", advice: "Stop: a later run of the job writes here." },
  "tus-version": { title: "Unsupported version of tus", advice: "Send `Tus-Resumable: 1.0.0`." },
  "too-large": { title: "Body too large", advice: "Send less; the detail states the limit." },
  "body-too-large": { title: "Body too large", advice: "Send at most `max_bytes`." },
  "beyond-length": { title: "Body too large", advice: "Send no more than the upload's length." },
  "unsupported-media-type": {
    title: "Unsupported media type",
    advice: "Send one of the types that the detail names.",
  },
  "range-not-satisfiable": {
    title: "Range not satisfiable",
    advice: "Request a range within `Content-Range`.",
  },
  "unknown-expectation": {
    title: "Expectation failed",
    advice: "Expect `100-continue` or nothing.",
  },
  "invalid-fields": { title: "Invalid fields", advice: "Correct the fields in `errors`." },
  "invalid-captions": { title: "Invalid captions", advice: "Correct the text at `line`." },
  "invalid-policy": { title: "Invalid policy", advice: "Correct the rule at `pointer`." },
  "invalid-message": {
    title: "Invalid sign-in message",
    advice: "Sign the message of the challenge unchanged.",
  },
  "wrong-domain": { title: "Wrong site", advice: "Sign in at the site that the message names." },
  "wrong-chain": { title: "Unsupported chain", advice: "Switch the wallet to an accepted chain." },
  "contract-wallet": {
    title: "Contract wallet not verified",
    advice: "Try again, or use another wallet.",
  },
  "no-contract": { title: "No contract", advice: "Check the chain and the address." },
  "no-such-person": {
    title: "No such person",
    advice: "Name a person who has signed in here before.",
  },
  locked: { title: "Locked", advice: "Try again in a moment." },
  "append-session-busy": { title: "Locked", advice: "Try again in a moment." },
  "websocket-version": {
    title: "Unsupported version of WebSocket",
    advice: "Send `Sec-WebSocket-Version: 13`.",
  },
  "too-many-attempts": { title: "Limit reached", advice: "Wait for `Retry-After`." },
  "too-many-sessions": { title: "Limit reached", advice: "Stop another player." },
  "too-many-addresses": { title: "Limit reached", advice: "Start the player again." },
  "quota-encode-minutes": {
    title: "Limit reached",
    advice: "Wait until `until`, or ask an admin for more.",
  },
  "upload-share": {
    title: "Limit reached",
    advice: "Finish an upload, or wait for `Retry-After`.",
  },
  "upload-displaced": { title: "Limit reached", advice: "Resume the upload after `Retry-After`." },
  "header-too-large": { title: "Header too large", advice: "Send fewer or shorter fields." },
  "checksum-mismatch": { title: "Checksum mismatch", advice: "Send the same bytes again." },
  internal: { title: "Internal error", advice: "Check the server's log." },
  "internal-error": { title: "Internal error", advice: "Check the server's log." },
  "storage-io": { title: "Internal error", advice: "Check the server's log and the disk." },
  boundary: { title: "Internal error", advice: "Update the plugin." },
  "outcome-unknown": {
    title: "Outcome unknown",
    advice: "Check whether the change was made before repeating it.",
  },
  "method-not-implemented": { title: "Method not implemented", advice: "Use another method." },
  "no-websocket": {
    title: "Protocol not implemented",
    advice: "Send a plain request to this address.",
  },
  "protocol-not-implemented": { title: "Protocol not implemented", advice: "Use `websocket`." },
  "bad-gateway": { title: "Bad gateway", advice: "Check the server's log." },
  "plugin-died": { title: "Bad gateway", advice: "Try again; check the server's log." },
  unavailable: { title: "Service unavailable", advice: "Try again after `Retry-After`." },
  "plugin-down": { title: "Service unavailable", advice: "Try again after `Retry-After`." },
  "plugin-busy": { title: "Service unavailable", advice: "Try again after `Retry-After`." },
  "no-provider": { title: "Service unavailable", advice: "Configure a plugin that provides it." },
  "filter-unavailable": {
    title: "Service unavailable",
    advice: "Try again; check the plugin that provides `stage`.",
  },
  "access-unavailable": { title: "Service unavailable", advice: "Try again in a moment." },
  "chain-unavailable": { title: "Service unavailable", advice: "Try again in a moment." },
  "too-many-connections": {
    title: "Service unavailable",
    advice: "Try again after `Retry-After`.",
  },
  "too-many-clients": {
    title: "Service unavailable",
    advice: "Close a stream of live changes, or try again.",
  },
  "too-many-searches": { title: "Service unavailable", advice: "Try again, or list without `q`." },
  "too-many-sockets": { title: "Service unavailable", advice: "Close a WebSocket, or try again." },
  "too-many-uploads": { title: "Service unavailable", advice: "Try again after `Retry-After`." },
  "no-answer": { title: "Gateway timeout", advice: "Try again; check the plugin's health." },
  "insufficient-storage": { title: "Insufficient storage", advice: "Make room on the disk." },
  "quota-stored": {
    title: "Quota exceeded",
    advice: "Delete something, or ask an admin for more.",
  },
} as const;

export type ProblemKind = keyof typeof PROBLEMS;
