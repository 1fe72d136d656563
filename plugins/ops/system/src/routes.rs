//! The public route: the system report. The gateway's filters decide who may read it.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, Uri, header};
use serde_json::Value;
use streamgate_plugin_api::Problem;

/// The router; `report` creates the system report.
pub(crate) fn router<R>(report: R) -> Router
where
    R: Fn() -> Value + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/api/v1/system", get(move || async move { system(report()) }))
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .fallback(|uri: Uri| async move { not_found(uri.path()) })
}

fn system(report: Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, report.to_string()).into_response()
}

fn not_found(path: &str) -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing at this address")
        .detail(format!("There is no resource at {path}."))
        .into_response()
}

fn method_not_allowed() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This address is only for reading")
        .header(header::ALLOW, "GET, HEAD")
        .into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;
    use http::{HeaderMap, Method, Request};
    use serde_json::json;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(method: Method, path: &str) -> (StatusCode, HeaderMap, Value) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router(|| json!({ "plugins": [] })).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn the_system_report_is_the_hosts_and_never_kept() {
        let (status, headers, report) = ask(Method::GET, "/api/v1/system").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(report, json!({ "plugins": [] }));
    }

    #[tokio::test]
    async fn only_reading_is_allowed_and_below_the_report_there_is_nothing() {
        let (status, headers, problem) = ask(Method::POST, "/api/v1/system").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers["allow"], "GET, HEAD");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["type"], "urn:streamgate:problem:method-not-allowed");
        let (status, _, problem) = ask(Method::GET, "/api/v1/system/more").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(problem["type"], "urn:streamgate:problem:not-found");
    }
}
