//! JSON-RPC 2.0 of endpoints: parsing of answers, and failures of calls.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use streamgate_plugin_api::time::since_epoch;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// It exceeded its deadline.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// Too many concurrent calls to it.
    #[error("{0} calls to it are in progress, and none ended in time")]
    Busy(usize),
    /// It could not be reached, or the connection failed.
    #[error("{0}")]
    Transport(String),
    /// Its HTTP status is not a success.
    #[error("status {0} instead of an answer; redirects are not followed")]
    Status(u16),
    /// The response is not an answer to the call.
    #[error("its response is not an answer to the call: {0}")]
    Malformed(String),
    /// It serves another chain.
    #[error("it serves chain {found}, not {wanted}")]
    OtherChain {
        /// The chain that it serves.
        found: String,
        /// The expected chain.
        wanted: String,
    },
    /// It lags behind the others.
    #[error("it lags: {0}")]
    Behind(String),
    /// It answered with an error.
    #[error("error {code}: {message}")]
    Refused {
        /// The error code.
        code: i64,
        /// Its text; at most 200 characters.
        message: String,
        /// The data of the error.
        data: Option<Value>,
    },
}

impl RpcError {
    /// Whether the endpoint is at fault, rather than the call.
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Behind(_) | Self::OtherChain { .. } | Self::Busy(_))
    }
}

/// Maximum lead of a block's clock over ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Whether an endpoint's last block may have this time, in seconds since the Unix epoch. `kind` is the
/// chain's term, such as `slot`.
///
/// # Errors
/// It is in the future, or older than `max_age`.
pub fn check_time(kind: &str, number: u64, time: u64, max_age: Option<Duration>) -> Result<(), RpcError> {
    let (now, time) = (since_epoch(), Duration::from_secs(time));
    if time > now + CLOCK_SKEW {
        return Err(RpcError::Malformed(format!("{kind} {number} is in the future")));
    }
    match max_age.filter(|most| time.saturating_add(*most) < now) {
        Some(most) => {
            let what = format!("its last {kind}, {number}, is older than max_age = {most:?}");
            Err(RpcError::Behind(what))
        }
        None => Ok(()),
    }
}

/// The answer to the call `id`, from a body.
pub(crate) fn answer(body: &[u8], id: u64) -> Result<Value, RpcError> {
    let reply: Reply =
        serde_json::from_slice(body).map_err(|error| RpcError::Malformed(error.to_string()))?;
    // An error may be about an unreadable call, and then has no number (JSON-RPC 2.0 §5).
    if reply.id != id && !(reply.id.is_null() && reply.error.is_some()) {
        return Err(RpcError::Malformed(format!("it is for another call than {id}")));
    }
    if let Some(error) = reply.error {
        return Err(RpcError::Refused {
            code: error.code,
            message: error.message.chars().take(200).collect(),
            data: error.data,
        });
    }
    Ok(reply.result)
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Value,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Value>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_answer_to_another_call_is_none() {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "result": "0x1" }).to_string();
        assert_eq!(answer(body.as_bytes(), 7).unwrap(), "0x1");
        assert!(matches!(answer(body.as_bytes(), 8), Err(RpcError::Malformed(_))));
    }

    #[test]
    fn an_error_of_another_call_is_none_of_this_one() {
        let refused = |id: Value| {
            let body = json!({ "id": id, "error": { "code": 3, "message": "execution reverted" } });
            matches!(answer(body.to_string().as_bytes(), 7), Err(RpcError::Refused { .. }))
        };
        assert!(refused(json!(7)) && refused(json!(null)));
        assert!(!refused(json!(6)) && !refused(json!("7")) && !refused(json!([7])));
    }

    #[test]
    fn what_says_two_things_or_says_it_in_another_form_is_no_answer() {
        for body in [
            r#"{"id":7,"result":"0x1","result":"0x2"}"#,
            r#"{"id":7,"id":7,"result":"0x1"}"#,
            r#"[{"id":7,"result":"0x1"}]"#,
            r#"{"id":7.5,"result":"0x1"}"#,
            r#"{"id":"7","result":"0x1"}"#,
            r#"{"id":7,"result":"0x1"}{"id":7,"result":"0x2"}"#,
            r#"{"id":7,"result":"0x1""#,
            r#"{"result":"0x1"}"#,
            "\u{feff}{\"id\":7,\"result\":\"0x1\"}",
        ] {
            assert!(matches!(answer(body.as_bytes(), 7), Err(RpcError::Malformed(_))), "{body}");
        }
        let deep = format!(r#"{{"id":7,"result":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(answer(deep.as_bytes(), 7), Err(RpcError::Malformed(_))));
    }

    #[test]
    fn an_error_is_no_fault_of_the_endpoint() {
        let body = json!({ "id": 1, "error": { "code": -32601, "message": "Method not found" } });
        let error = answer(body.to_string().as_bytes(), 1).unwrap_err();
        assert!(matches!(error, RpcError::Refused { code: -32601, .. }));
        assert!(!error.counts());
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body: Vec<u8>, id: u64) {
            let _ = answer(&body, id);
        }
    }
}
