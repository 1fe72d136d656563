//! The public routes: the page with its files.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use streamgate_plugin_api::conditional::{Validators, Verdict};
use streamgate_plugin_api::{Problem, problems};

use crate::assets::{self, Asset};

/// Everything from this server, nothing from elsewhere and nothing inline. Media Source plays from `blob:`,
/// and wallets announce their pictures as `data:` (EIP-6963).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; media-src 'self' blob:; \
    worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
];

/// Paths of other plugins and of built files: a missing one is a problem, not the page.
const NO_PAGES: &[&str] = &["api", "assets", "files", "health", "metrics", "v"];

/// Pages of one segment, as defined in `web/src/lib/router.ts`; the empty one is the library.
const PAGES: &[&str] = &["", "account", "admin", "sign-in", "system"];

/// Pages of one item: `/watch/{id}`.
const PAGES_ABOUT: &[&str] = &["watch"];

/// The router.
pub(crate) fn router() -> Router {
    Router::new().fallback(page)
}

async fn page(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let encoding = accept_encoding(request.headers());
    let (found, status) = match assets::find(path, encoding) {
        Some(asset) => (Some(asset), StatusCode::OK),
        None if is_file(path) => (None, StatusCode::NOT_FOUND),
        // The page tells people that the address is unknown; the status tells programs.
        None if !is_page(path) => (assets::find("index.html", encoding), StatusCode::NOT_FOUND),
        None => (assets::find("index.html", encoding), StatusCode::OK),
    };
    match (found, request.method()) {
        (None, _) => not_found(request.uri().path()),
        (Some(asset), method @ (&Method::GET | &Method::HEAD)) => {
            serve(asset, status, method, request.headers())
        }
        _ => method_not_allowed(),
    }
}

/// Whether this is the address of a file or of another plugin. Names with a dot are files.
fn is_file(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    NO_PAGES.contains(&first) || last.contains('.')
}

/// Whether the page's script shows something at this address.
fn is_page(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.next(), segments.next()) {
        (first, None, None) => PAGES.contains(&first.unwrap_or_default()),
        (Some(first), Some(_), None) => PAGES_ABOUT.contains(&first),
        _ => false,
    }
}

fn accept_encoding(headers: &HeaderMap) -> &str {
    headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn serve(asset: Asset, status: StatusCode, method: &Method, asked: &HeaderMap) -> Response {
    // Conditions apply to existing resources (RFC 9110 section 13.2.1).
    let etag = HeaderValue::from_str(&asset.etag).ok();
    let verdict = match status {
        StatusCode::OK => Validators { etag: etag.as_ref(), modified: None }.judge(asked),
        _ => Verdict::Holds,
    };
    if verdict == Verdict::Failed {
        return Problem::of(problems::PRECONDITION_FAILED)
            .detail("The request's If-Match names another state of the resource. Repeat the request without the condition.")
            .into_response();
    }
    let fresh = verdict == Verdict::NotModified;
    let length = asset.bytes.len();
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else if method == Method::HEAD {
        (status, Body::empty()).into_response()
    } else {
        (status, Body::from(asset.bytes)).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    let cache = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.extend(etag.map(|etag| (header::ETAG, etag)));
    if asset.negotiated {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if !fresh {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(encoding) = asset.encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    response
}

fn not_found(path: &str) -> Response {
    Problem::of(problems::NOT_FOUND).detail(format!("There is no resource at {path}.")).into_response()
}

fn method_not_allowed() -> Response {
    Problem::of(problems::METHOD_NOT_ALLOWED).header(header::ALLOW, "GET, HEAD").into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        (parts.status, parts.headers, bytes.to_vec())
    }

    async fn get(path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        ask(Method::GET, path, &[]).await
    }

    /// The path of the page's script, as index.html names it.
    async fn script() -> String {
        let (_, _, index) = get("/").await;
        let index = String::from_utf8(index).unwrap();
        let start = index.find("/assets/index-").unwrap();
        index[start..].split('"').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn the_root_is_the_page_under_a_strict_policy() {
        let (status, headers, body) = get("/").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none';")
                && !policy.contains("-inline")
                && !policy.contains("-eval"),
            "{policy}"
        );
        assert!(String::from_utf8(body).unwrap().contains("<div id=\"root\">"));
    }

    #[tokio::test]
    async fn the_page_has_no_inline_script_or_style_that_its_policy_would_stop() {
        let (_, _, body) = get("/").await;
        let html = String::from_utf8(body).unwrap();
        assert!(!html.contains("<style") && !html.contains(" style="), "{html}");
        for script in html.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "{html}");
        }
    }

    #[tokio::test]
    async fn addresses_within_the_page_answer_the_page() {
        for path in ["/system", "/system/", "/watch/0190a0b0-0000-7000-8000-000000000001"] {
            let (status, headers, _) = get(path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
        }
    }

    #[tokio::test]
    async fn an_address_that_the_page_does_not_know_is_404_with_the_page() {
        for path in ["/docs", "/oembed", "/nonsense/page", "/watch", "/watch/a/b", "/systems"] {
            let (status, headers, body) = get(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
            assert!(String::from_utf8(body).unwrap().contains("<div id=\"root\">"), "{path}");
            let known = headers["etag"].to_str().unwrap();
            let (status, ..) = ask(Method::GET, path, &[("if-none-match", known)]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "a page that is not there is never unchanged: {path}");
        }
    }

    #[tokio::test]
    async fn every_page_that_the_script_knows_is_200() {
        let router = include_str!("../web/src/lib/router.ts");
        let plain = router.split("const PLAIN = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let names: Vec<&str> = plain.split('"').skip(1).step_by(2).collect();
        assert!(names.contains(&"system"), "{names:?}");
        for name in names {
            assert_eq!(get(&format!("/{name}")).await.0, StatusCode::OK, "{name}");
        }
    }

    #[tokio::test]
    async fn hashed_files_may_be_kept_for_good() {
        let (status, headers, body) = get(&script().await).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers["content-length"], body.len().to_string().as_str());
    }

    #[tokio::test]
    async fn text_is_sent_compressed_to_those_who_accept_it() {
        let script = script().await;
        let (_, plain, _) = get(&script).await;
        let (_, br, body) =
            ask(Method::GET, &script, &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
        assert_eq!(br["content-encoding"], "br");
        assert_eq!(br["content-length"], body.len().to_string().as_str());
        assert!(!plain.contains_key("content-encoding"));
        assert_ne!(br["etag"], plain["etag"]);
    }

    #[tokio::test]
    async fn a_known_etag_is_answered_with_304_and_no_body() {
        for path in ["/".to_owned(), script().await] {
            let (_, headers, _) = get(&path).await;
            let etag = headers["etag"].to_str().unwrap();
            for known in [etag.to_owned(), format!("\"other\", W/{etag}")] {
                let (status, headers, body) = ask(Method::GET, &path, &[("if-none-match", &known)]).await;
                assert_eq!(status, StatusCode::NOT_MODIFIED, "{path} {known}");
                assert_eq!(headers["etag"], etag);
                assert!(body.is_empty() && !headers.contains_key("content-type"));
            }
            let (status, ..) = ask(Method::GET, &path, &[("if-none-match", "\"other\"")]).await;
            assert_eq!(status, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_head_request_has_the_length_without_the_body() {
        let (status, headers, body) = ask(Method::HEAD, "/", &[]).await;
        let (_, _, full) = get("/").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-length"], full.len().to_string().as_str());
        assert!(body.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_problem_and_not_the_page() {
        let paths = [
            "/api/unknown",
            "/api/v1/nothing",
            "/assets/gone.js",
            "/robots.txt",
            "/v/x/master.m3u8",
            "/files/x",
        ];
        for path in paths.into_iter().chain(["/index.html.br", "/assets/../Cargo.toml", "/v/x", "/health/x"])
        {
            let (status, headers, body) = get(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers["content-type"], "application/problem+json", "{path}");
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["type"], "urn:streamgate:problem:not-found");
        }
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        for path in ["/", "/system"] {
            let (status, headers, _) = ask(Method::POST, path, &[]).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(headers["allow"], "GET, HEAD", "{path}");
            assert_eq!(headers["content-type"], "application/problem+json", "{path}");
        }
    }
}
