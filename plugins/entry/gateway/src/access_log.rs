//! The access log: one record per logged request. If nothing is logged, nothing is measured.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use http_body::Frame;
use streamgate_plugin_api::BoxError;

use crate::settings::AccessLog;

/// Which requests are logged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    which: AccessLog,
    slow: Duration,
}

/// What is known about a request before its response; `None` when it is not logged.
#[derive(Debug)]
pub(crate) struct Beginning {
    method: Method,
    target: Option<PathAndQuery>,
    began: Instant,
    has_body: bool,
}

impl Beginning {
    fn path(&self) -> &str {
        self.target.as_ref().map_or("*", PathAndQuery::path)
    }
}

/// A request whose response is being sent. Its drop writes the one record of the request.
#[derive(Debug)]
pub(crate) struct Ending {
    beginning: Beginning,
    what: &'static str,
    status: StatusCode,
    client: HeaderValue,
    request_id: HeaderValue,
    bytes: u64,
}

impl Log {
    pub(crate) fn new(which: AccessLog, slow: Duration) -> Self {
        Self { which, slow }
    }

    /// Stores what the record needs.
    pub(crate) fn begin(&self, parts: &Parts, has_body: bool) -> Option<Beginning> {
        (self.which != AccessLog::Off).then(|| Beginning {
            method: parts.method.clone(),
            target: parts.uri.path_and_query().cloned(),
            began: Instant::now(),
            has_body,
        })
    }

    /// The rest to be recorded while the response is sent, if the request is logged.
    pub(crate) fn answer(
        &self,
        beginning: Option<Beginning>,
        status: StatusCode,
        client: &HeaderValue,
        request_id: &HeaderValue,
    ) -> Option<Ending> {
        let beginning = beginning?;
        // An upload takes as long as its client needs; that does not count as slow.
        let slow = || !beginning.has_body && beginning.began.elapsed() >= self.slow;
        let failed = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                    | StatusCode::TOO_MANY_REQUESTS
            );
        let what = match self.which {
            AccessLog::Off => return None,
            _ if failed => "a request failed",
            AccessLog::All => "request",
            AccessLog::Errors if slow() => "a request was slow",
            AccessLog::Errors => return None,
        };
        let (client, request_id) = (client.clone(), request_id.clone());
        Some(Ending { beginning, what, status, client, request_id, bytes: 0 })
    }
}

impl Ending {
    /// Counts the bytes sent.
    pub(crate) fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
        if let Some(Ok(frame)) = frame {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        macro_rules! record {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.beginning.method,
                    path = self.beginning.path(),
                    status = self.status.as_u16(),
                    bytes = self.bytes,
                    milliseconds = self.beginning.began.elapsed().as_millis() as u64,
                    client = self.client.to_str().unwrap_or_default(),
                    request_id = self.request_id.to_str().unwrap_or_default(),
                    "{}",
                    self.what
                )
            };
        }
        match self.status {
            // Unavailable, slow or full: it recovers, or is reported elsewhere.
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::INSUFFICIENT_STORAGE => record!(warn),
            status if status.is_server_error() => record!(error),
            _ => record!(info),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The records of some requests as JSON: level, message, path.
    fn records(which: AccessLog, statuses: &[u16]) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let log = Log::new(which, Duration::from_secs(60));
            for status in statuses {
                let (parts, ()) = http::Request::get("/a").body(()).unwrap().into_parts();
                let name = HeaderValue::from_static("192.0.2.7");
                drop(log.answer(
                    log.begin(&parts, false),
                    StatusCode::from_u16(*status).unwrap(),
                    &name,
                    &name,
                ));
            }
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            format!(
                "{} {} {}",
                record["level"].as_str().unwrap(),
                record["status"],
                record["message"].as_str().unwrap()
            )
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn each_failed_request_is_logged_once_and_as_loud_as_it_is() {
        let statuses = [200, 404, 408, 500, 502, 503, 507];
        let failed = [
            "INFO 408 a request failed",
            "ERROR 500 a request failed",
            "ERROR 502 a request failed",
            "WARN 503 a request failed",
            "WARN 507 a request failed",
        ];
        assert_eq!(records(AccessLog::Errors, &statuses), failed);
        let all = [&["INFO 200 request", "INFO 404 request"][..], &failed].concat();
        assert_eq!(records(AccessLog::All, &statuses), all);
        assert!(records(AccessLog::Off, &statuses).is_empty());
    }
}
