//! `/health/live` and `/health/ready`: answered here, even while everything else starts, stops or is broken.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use streamgate_plugin_api::{Body, Problem, problems};

/// How long a response is cached: a busy load balancer polls more often than anything changes. "Not ready"
/// expires soon, so that a start is seen at once.
const READY_COUNTS: Duration = Duration::from_secs(1);
const UNREADY_COUNTS: Duration = Duration::from_millis(20);

/// The source of the report about all plugins: the host, or a test.
pub type Report = Arc<dyn Fn() -> Value + Send + Sync>;

/// The two responses.
pub(crate) struct Health {
    report: Report,
    last: ArcSwapOption<Readiness>,
}

#[derive(Debug)]
struct Readiness {
    at: Instant,
    ready: bool,
    text: Bytes,
}

impl Health {
    pub(crate) fn new(report: Report) -> Self {
        Self { report, last: ArcSwapOption::empty() }
    }

    /// The response, if `path` is one of the two.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let ready = match path.strip_prefix("/health/")? {
            "live" => false,
            "ready" => true,
            _ => return None,
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            let problem = Problem::of(problems::METHOD_NOT_ALLOWED);
            return Some(problem.header(ALLOW, "GET, HEAD").into_http());
        }
        let (status, text) =
            if ready { self.readiness() } else { (StatusCode::OK, Bytes::from_static(LIVE)) };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn readiness(&self) -> (StatusCode, Bytes) {
        let last = self.last.load();
        let current = last.as_ref().filter(|last| {
            let counts = if last.ready { READY_COUNTS } else { UNREADY_COUNTS };
            last.at.elapsed() < counts
        });
        let (ready, text) = match current {
            Some(current) => (current.ready, current.text.clone()),
            None => {
                let (ready, text) = summary(&(self.report)());
                self.last.store(Some(Arc::new(Readiness { at: Instant::now(), ready, text: text.clone() })));
                (ready, text)
            }
        };
        (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
    }
}

const LIVE: &[u8] = br#"{"status":"healthy"}"#;

/// The public part of a report: whether the server is ready. Admins see the plugins, their state and the
/// reasons at `/api/v1/system`, local users through the control socket (`streamgate health`).
fn summary(report: &Value) -> (bool, Bytes) {
    let ready = report["ready"].as_bool().unwrap_or(false);
    (ready, json!({ "ready": ready }).to_string().into())
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
