//! The access log: one record for a request that is worth one. Where nothing is logged, nothing is measured.

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

/// What is known of a request before it is answered; nothing when nothing is logged.
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

/// A request whose response is being sent. Its drop writes the record.
#[derive(Debug)]
pub(crate) struct Ending {
    beginning: Beginning,
    status: StatusCode,
    client: HeaderValue,
    request_id: HeaderValue,
    bytes: u64,
}

impl Log {
    pub(crate) fn new(which: AccessLog, slow: Duration) -> Self {
        Self { which, slow }
    }

    /// Notes what the record will need.
    pub(crate) fn begin(&self, parts: &Parts, has_body: bool) -> Option<Beginning> {
        (self.which != AccessLog::Off).then(|| Beginning {
            method: parts.method.clone(),
            target: parts.uri.path_and_query().cloned(),
            began: Instant::now(),
            has_body,
        })
    }

    /// What is left to be noted while the response is sent, if all requests are logged; writes the record now if it
    /// is one of the failed or slow.
    pub(crate) fn answer(
        &self,
        beginning: Option<Beginning>,
        status: StatusCode,
        client: &HeaderValue,
        request_id: &HeaderValue,
    ) -> Option<Ending> {
        let beginning = beginning?;
        // An upload takes its time; that is not our slowness.
        let slow = || !beginning.has_body && beginning.began.elapsed() >= self.slow;
        let failed = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                    | StatusCode::TOO_MANY_REQUESTS
            );
        if self.which == AccessLog::Errors && !failed && !slow() {
            return None;
        }
        let (client, request_id) = (client.clone(), request_id.clone());
        let ending = Ending { beginning, status, client, request_id, bytes: 0 };
        match self.which {
            AccessLog::All => Some(ending),
            AccessLog::Errors => {
                tracing::info!(
                    method = %ending.beginning.method,
                    path = ending.beginning.path(),
                    status = ending.status.as_u16(),
                    milliseconds = ending.beginning.began.elapsed().as_millis() as u64,
                    client = ending.client.to_str().unwrap_or_default(),
                    request_id = ending.request_id.to_str().unwrap_or_default(),
                    "{}",
                    if failed { "a request failed" } else { "a request was slow" },
                );
                None
            }
            AccessLog::Off => None,
        }
    }
}

impl Ending {
    /// Counts what is sent.
    pub(crate) fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
        if let Some(Ok(frame)) = frame {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        tracing::info!(
            method = %self.beginning.method,
            path = self.beginning.path(),
            status = self.status.as_u16(),
            bytes = self.bytes,
            milliseconds = self.beginning.began.elapsed().as_millis() as u64,
            client = self.client.to_str().unwrap_or_default(),
            request_id = self.request_id.to_str().unwrap_or_default(),
            "request",
        );
    }
}
