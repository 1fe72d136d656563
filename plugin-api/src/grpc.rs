//! A response to a gRPC request that is not gRPC: the problem of a host without a provider, of a plugin that
//! died, of a handler that panicked. A gRPC client would parse its JSON as a message.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::Body;

/// Longer problems are not read.
const LONGEST: usize = 16 << 10;

/// Whether these fields belong to a request or response of gRPC (any codec).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The same as gRPC: a head alone, with status and message ("Trailers-Only" in its protocol over HTTP/2).
pub(crate) async fn failure(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let text = response.into_body().collect_bytes(LONGEST).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
    let words = ["detail", "title"].into_iter().find_map(|member| problem[member].as_str());
    let words = words.map_or_else(|| format!("the answer is {status}"), str::to_owned);
    let mut answer = Response::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", code(status).into());
    if let Ok(message) = HeaderValue::try_from(encoded(&words)) {
        headers.insert("grpc-message", message);
    }
    answer
}

/// "HTTP to gRPC Status Code Mapping" of the gRPC documentation, except for 502 and 504: their request was
/// begun and its answer was lost, so they are UNKNOWN. UNAVAILABLE means that nothing was begun.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 503 => 14,
        _ => 2,
    }
}

/// "Percent-Encoded" of the gRPC protocol over HTTP/2.
fn encoded(words: &str) -> String {
    use std::fmt::Write as _;

    words.bytes().fold(String::with_capacity(words.len()), |mut text, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(byte.into()),
            _ => _ = write!(text, "%{byte:02X}"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[tokio::test]
    async fn a_problem_becomes_a_status_with_its_words() {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "none", "There is none").detail("100 % nö");
        let answer = failure(problem.into_http()).await;
        assert!(answer.status().is_success() && is_grpc(answer.headers()));
        assert_eq!(
            (&answer.headers()["grpc-status"], &answer.headers()["grpc-message"]),
            (&HeaderValue::from(14), &HeaderValue::from_static("100 %25 n%C3%B6"))
        );
        let mut plain = Response::new(Body::from("no such thing"));
        *plain.status_mut() = StatusCode::NOT_FOUND;
        let answer = failure(plain).await;
        assert_eq!(answer.headers()["grpc-status"], "12");
        assert_eq!(answer.headers()["grpc-message"], "the answer is 404 Not Found");
    }

    #[tokio::test]
    async fn an_answer_that_was_lost_is_unknown_and_not_unavailable() {
        for (status, code) in [(StatusCode::BAD_GATEWAY, "2"), (StatusCode::GATEWAY_TIMEOUT, "2")] {
            let answer = failure(Problem::new(status, "plugin-died", "It died").into_http()).await;
            assert_eq!(answer.headers()["grpc-status"], code, "{status}");
        }
    }
}
