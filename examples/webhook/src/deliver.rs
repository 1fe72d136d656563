//! One attempt: a signed request, and the meaning of its answer. It does not use the database.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use streamgate_plugin_api::time::now_ms;
use streamgate_plugin_api::trace::{TRACEPARENT, TraceContext};

use crate::connect::HttpClient;
use crate::endpoint::Endpoint;
use crate::message;
use crate::retry::retry_after;
use crate::sign::signatures;
use crate::store::Delivery;

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("StreamGate-Webhook/", env!("CARGO_PKG_VERSION")));

/// The bytes of an answer that are read. Those of a refusal are kept.
const MAX_RESPONSE: usize = 2048;

/// The result of an attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Unix milliseconds.
    pub(crate) started_at: i64,
    pub(crate) duration: Duration,
    /// `None` without an answer.
    pub(crate) status: Option<u16>,
    /// Empty on success.
    pub(crate) error: String,
    /// The beginning of the answer of a refusal.
    pub(crate) response: String,
    pub(crate) verdict: Verdict,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Any 2xx.
    Delivered,
    /// 410: the endpoint wants no more deliveries.
    Gone,
    /// Anything else, with the pause that the endpoint requested, if any.
    Failed { retry_after: Option<Duration> },
}

/// Posts the delivery and waits for the answer, for at most `timeout`. `max_retry_after` limits the pause
/// that the endpoint may request.
pub(crate) async fn attempt(
    client: &HttpClient,
    endpoint: &Endpoint,
    delivery: &Delivery,
    timeout: Duration,
    max_retry_after: Duration,
) -> Attempt {
    let (started_at, begun) = (now_ms(), Instant::now());
    let answered = tokio::time::timeout(timeout, async {
        let response = client.request(request(endpoint, delivery, started_at / 1000)).await;
        let response = response.map_err(|error| describe(&error))?;
        Ok::<_, String>(read(response).await)
    });
    let (status, error, response, verdict) = match answered.await {
        Ok(Ok((head, body))) => {
            let (verdict, error) = judge(&head, max_retry_after);
            let kept = if error.is_empty() { String::new() } else { body };
            (Some(head.status.as_u16()), error, kept, verdict)
        }
        Ok(Err(error)) => (None, error, String::new(), Verdict::Failed { retry_after: None }),
        Err(_) => {
            let error = format!("no answer within {timeout:?}");
            (None, error, String::new(), Verdict::Failed { retry_after: None })
        }
    };
    Attempt { started_at, duration: begun.elapsed(), status, error, response, verdict }
}

/// The request of Standard Webhooks 1.0 around the CloudEvent.
fn request(endpoint: &Endpoint, delivery: &Delivery, timestamp: i64) -> Request<Full<Bytes>> {
    let event = &delivery.event;
    let message = if endpoint.structured { message::structured(event) } else { message::binary(event) };
    let signature = signatures(&endpoint.keys, &delivery.id, timestamp, &message.body);
    let text =
        |text: &str| HeaderValue::from_str(text).expect("ids and signatures are visible ASCII characters");

    let mut request = Request::new(Full::new(message.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri.clone();
    *request.headers_mut() = message.headers;
    let headers = request.headers_mut();
    headers.insert("webhook-id", text(&delivery.id));
    headers.insert("webhook-timestamp", timestamp.into());
    headers.insert("webhook-signature", text(&signature));
    headers.insert(header::USER_AGENT, USER_AGENT);
    if let Some(context) = event.traceparent.as_deref().and_then(|text| text.parse::<TraceContext>().ok()) {
        headers.insert(TRACEPARENT, context.child().to_header());
    }
    request
}

/// The head, and the first bytes of the body as text.
async fn read<B>(response: Response<B>) -> (http::response::Parts, String)
where
    B: BodyExt<Data = Bytes> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    // An answer that is interrupted after its head still counts.
    while bytes.len() < MAX_RESPONSE
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(MAX_RESPONSE - bytes.len())]);
        }
    }
    (head, String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}"))
}

fn judge(head: &http::response::Parts, max_retry_after: Duration) -> (Verdict, String) {
    let status = head.status;
    let mut error = format!("it answered {status}");
    let verdict = match status {
        _ if status.is_success() => return (Verdict::Delivered, String::new()),
        StatusCode::GONE => Verdict::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Verdict::Failed { retry_after: retry_after(&head.headers, SystemTime::now(), max_retry_after) }
        }
        _ => Verdict::Failed { retry_after: None },
    };
    if status.is_redirection() {
        error.push_str("; redirects are not followed: put the new address into the settings");
    }
    (verdict, error)
}

/// The error with all its causes, each once.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut causes =
        std::iter::successors(error.source(), |cause| (**cause).source()).map(ToString::to_string);
    // The client's own text (`client error (Connect)`) does not help with the cause.
    let Some(mut text) = causes.next() else { return error.to_string() };
    for cause in causes.filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&str, &str)]) -> (Verdict, String) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        judge(&response.body(()).unwrap().into_parts().0, Duration::from_secs(60))
    }

    #[test]
    fn every_2xx_is_a_success_and_nothing_else() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judged(status, &[]), (Verdict::Delivered, String::new()), "{status}");
        }
        for status in [301, 302, 307, 400, 404, 409, 415, 500, 503] {
            let (verdict, error) = judged(status, &[]);
            assert_eq!(verdict, Verdict::Failed { retry_after: None }, "{status}");
            assert!(error.contains(&status.to_string()), "{error}");
        }
        assert_eq!(judged(410, &[]).0, Verdict::Gone);
        assert!(judged(308, &[]).1.contains("redirects are not followed"));
    }

    #[test]
    fn only_429_and_503_may_ask_for_a_pause_and_only_a_bounded_one() {
        let pause = |seconds| Verdict::Failed { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(judged(429, &[("retry-after", "7")]).0, pause(7));
        assert_eq!(judged(503, &[("retry-after", "86400")]).0, pause(60));
        assert_eq!(judged(500, &[("retry-after", "7")]).0, Verdict::Failed { retry_after: None });
    }

    #[tokio::test]
    async fn of_an_answer_only_the_beginning_is_read() {
        let body = Full::new(Bytes::from(vec![b'x'; 10 * MAX_RESPONSE]));
        let (_, text) = read(Response::new(body)).await;
        assert_eq!(text.len(), MAX_RESPONSE);
        let (_, text) = read(Response::new(Full::new(Bytes::from_static(b"a\0\xff")))).await;
        assert_eq!(text, "a\u{fffd}\u{fffd}");
    }
}
