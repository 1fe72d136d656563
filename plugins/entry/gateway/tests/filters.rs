//! Filters in front of plugins, over real TCP: what they receive, what happens with their responses, and that
//! no request passes without them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::json;
use streamgate_gateway::{Route, Settings, Stage};
use streamgate_plugin_api::settings::Duration as Time;
use streamgate_plugin_api::{Client, Principal, Problem};
use support::{Gateway, settings, start_filtered};

fn filtered(filters: &[Stage]) -> Settings {
    Settings { filters: filters.to_vec(), ..settings() }
}

/// What a stage received: its name, method, path, and the principal.
type Asked = Arc<Mutex<Vec<String>>>;

fn field(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

/// `authenticate` accepts whatever follows `Bearer`, `authorize` refuses changes without a principal, and
/// `limit` refuses requests that say so.
fn judge(stage: &str, headers: &HeaderMap) -> Response {
    let problem = |status, slug| Problem::new(status, slug, "Refused").detail("by the test");
    match stage {
        "authenticate" => match field(headers, "authorization").strip_prefix("Bearer ") {
            Some("bad") => problem(StatusCode::UNAUTHORIZED, "invalid-token")
                .header(axum::http::header::WWW_AUTHENTICATE, "Bearer")
                .into_response(),
            Some(name) => {
                let mut answer = StatusCode::NO_CONTENT.into_response();
                let principal = Principal {
                    id: name.into(),
                    scopes: vec!["content:write".into()],
                    ..Principal::default()
                };
                principal.put_on(answer.headers_mut());
                answer
            }
            None => StatusCode::NO_CONTENT.into_response(),
        },
        "authorize" => {
            let reads = ["GET", "HEAD", "OPTIONS"].contains(&&field(headers, "x-filter-method")[..]);
            match reads || Principal::of(headers).is_some_and(|principal| principal.may("content:write")) {
                true => StatusCode::NO_CONTENT.into_response(),
                false => problem(StatusCode::FORBIDDEN, "forbidden").into_response(),
            }
        }
        _ => match headers.contains_key("x-too-many") {
            true => problem(StatusCode::TOO_MANY_REQUESTS, "too-many")
                .header(axum::http::header::RETRY_AFTER, "7")
                .into_response(),
            false => (StatusCode::OK, [("x-streamgate-limit", "3"), ("x-other", "4")]).into_response(),
        },
    }
}

fn stage(name: &str, asked: &Asked) -> Client {
    let (name, asked) = (name.to_owned(), asked.clone());
    Client::from_service(Router::new().fallback(move |request: Request| {
        let (name, asked) = (name.clone(), asked.clone());
        async move {
            let headers = request.headers();
            let principal = Principal::of(headers).unwrap_or_default().id;
            let (method, path) = (field(headers, "x-filter-method"), field(headers, "x-filter-path"));
            asked.lock().unwrap().push(format!("{name} {method} {path} {principal}"));
            assert!(!headers.contains_key("content-length"), "of a body that is not here");
            let judged = judge(&name, headers);
            let body = axum::body::to_bytes(request.into_body(), 1).await.unwrap();
            assert!(body.is_empty());
            judged
        }
    }))
}

/// Answers with the received fields and the length of the body.
fn echo() -> Router {
    Router::new().fallback(|request: Request| async move {
        let fields: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let mut length = 0;
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(data)) = body.next().await {
            length += data.len();
        }
        format!("{}\nlength {length}", fields.join("\n"))
    })
}

fn start(settings: &Settings) -> (Gateway, Asked) {
    let asked = Asked::default();
    let stages = asked.clone();
    let report = Arc::new(|| json!({ "status": "healthy", "ready": true, "plugins": [] }));
    let gateway = start_filtered(settings, [("/", echo()), ("/files", echo())], report, move |name| {
        stage(name, &stages)
    });
    (gateway, asked)
}

fn take<T>(asked: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut asked.lock().unwrap())
}

fn code(answer: &support::Answer) -> String {
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    problem["type"].as_str().unwrap().trim_start_matches("urn:streamgate:problem:").to_owned()
}

#[tokio::test]
async fn a_client_cannot_set_its_own_principal_with_or_without_filters() {
    for filters in [&[][..], &[Stage::Authenticate, Stage::Authorize]] {
        let (gateway, _) = start(&filtered(filters));
        let mut client = gateway.connect().await;
        for path in ["/", "/v/1"] {
            let forged =
                "X-StreamGate-Principal: root\r\nx-streamgate-scopes: admin\r\nx-streamgate-anything: 1\r\n";
            client
                .send(format!(
                    "GET {path} HTTP/1.1\r\nhost: h\r\ncookie: a=b\r\n{forged}x-streamgate-scopes: 2\r\n\r\n"
                ))
                .await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 200);
            let named: Vec<_> = answer.text().lines().filter(|line| line.contains("x-streamgate-")).collect();
            assert_eq!(named, ["x-streamgate-client: 127.0.0.1"]);
        }
    }
    // A change that claims a principal has none.
    let (gateway, asked) = start(&filtered(&[Stage::Authorize, Stage::Authenticate]));
    let mut client = gateway.connect().await;
    client
        .send("DELETE /a HTTP/1.1\r\nhost: h\r\nx-streamgate-principal: root\r\nx-streamgate-scopes: content:write\r\nx-filter-method: GET\r\nx-filter-path: /b\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 403);
    assert_eq!(take(&asked), ["authorize DELETE /a "]);
}

#[tokio::test]
async fn stages_are_called_in_their_order_and_their_results_are_passed_on() {
    let (gateway, asked) = start(&filtered(&[Stage::Limit, Stage::Authorize, Stage::Authenticate]));
    let mut client = gateway.connect().await;
    client
        .send(
            "POST /a/b?c=d HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ann\r\ncontent-length: 3\r\n\r\nabc",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(
        take(&asked),
        ["authenticate POST /a/b ", "authorize POST /a/b ann", "limit POST /a/b ann"],
        "each knows what those before it found out"
    );
    let seen = answer.text();
    for expected in [
        "x-streamgate-principal: ann",
        "x-streamgate-scopes: content:write",
        "x-streamgate-limit: 3",
        "authorization: Bearer ann",
        "content-length: 3",
        "\nlength 3",
    ] {
        assert!(seen.contains(expected), "{expected} is not in {seen}");
    }
    assert!(!seen.contains("x-other") && !seen.contains("x-filter-"), "{seen}");
}

#[tokio::test]
async fn a_refusal_is_the_clients_answer_as_it_is_and_the_plugin_hears_of_nothing() {
    let (gateway, asked) = start(&filtered(&Stage::ALL));
    let mut client = gateway.connect().await;
    client.send("GET /a HTTP/1.1\r\nhost: h\r\nauthorization: Bearer bad\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(code(&answer), "invalid-token");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "a page may read why");
    assert_eq!(take(&asked), ["authenticate GET /a "], "no other filter is called");
    client.send("GET /a HTTP/1.1\r\nhost: h\r\nx-too-many: 1\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(code(&answer), "too-many");
    // A body that is not read ends the connection, and is not requested.
    client.send("POST /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
}

#[tokio::test]
async fn what_a_stage_that_is_missing_or_broken_would_judge_does_not_pass() {
    let settings = Settings { filter_timeout: Time::millis(200), ..filtered(&[Stage::Authorize]) };
    let status = |status: StatusCode| Router::new().fallback(move || async move { status });
    let silent = Router::new().fallback(std::future::pending::<()>);
    let broken: [Router; 4] = [
        status(StatusCode::SERVICE_UNAVAILABLE),
        status(StatusCode::BAD_GATEWAY),
        status(StatusCode::GATEWAY_TIMEOUT),
        silent,
    ];
    let report = || Arc::new(|| json!({ "ready": true }));
    for router in broken {
        let service = Client::from_service(router);
        let gateway = start_filtered(&settings, [("/", echo())], report(), |_| service.clone());
        let mut client = gateway.connect().await;
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, code(&answer)), (503, "filter-unavailable".into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.text().contains("`authorize`") && answer.text().contains("plugins.gateway.filters"));
        // The liveness check still answers.
        client.send("GET /health/live HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
    }
    for other in [StatusCode::FOUND, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NOT_FOUND] {
        let service = Client::from_service(status(other));
        let gateway = start_filtered(&settings, [("/", echo())], report(), |_| service.clone());
        let answer = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let answer = answer.get(gateway.url("/a")).send().await.unwrap();
        assert_eq!(answer.status(), other, "anything but success refuses");
    }
    let panics = Client::from_service(Router::new().fallback(|| async { panic!("on purpose") as () }));
    let gateway = start_filtered(&settings, [("/", echo())], report(), |_| panics.clone());
    assert_eq!(reqwest::get(gateway.url("/a")).await.unwrap().status(), 500);
}

#[tokio::test]
async fn a_filter_that_is_not_needed_is_not_called() {
    let (gateway, asked) = start(&filtered(&Stage::ALL[..2]));
    let mut client = gateway.connect().await;
    let mut get = async |method: &str, path: &str, fields: &str| {
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n")).await;
        let answer = client.answer_to(method).await;
        (answer.status, take(&asked))
    };
    // Without credentials there is no caller to identify.
    assert_eq!(get("GET", "/a", "").await, (200, vec!["authorize GET /a ".into()]));
    assert_eq!(get("HEAD", "/a", "").await, (200, vec!["authorize HEAD /a ".into()]));
    let cookie = get("GET", "/a", "cookie: a=b\r\n").await.1;
    assert_eq!(cookie, ["authenticate GET /a ", "authorize GET /a "]);
    // Some plugins check credentials themselves.
    for path in ["/v", "/v/1/master.m3u8", "/api/v1/auth/sign-in", "/.well-known/jwks.json"] {
        assert_eq!(get("GET", path, "authorization: Bearer bad\r\n").await, (200, vec![]), "{path}");
    }
    for path in ["/video", "/api/v1/authx", "/a/v", "//v", "/V"] {
        assert_eq!(get("GET", path, "authorization: Bearer bad\r\n").await.0, 401, "{path}");
    }
    // A preflight has no credentials, and the plugin answers it.
    let preflight = "origin: https://a.example\r\naccess-control-request-method: PATCH\r\n";
    assert_eq!(get("OPTIONS", "/files", preflight).await, (200, vec!["authorize OPTIONS /files ".into()]));
    assert_eq!(get("POST", "/files", "content-length: 0\r\n").await.0, 403);

    let (gateway, asked) = start(&filtered(&[Stage::Limit]));
    reqwest::get(gateway.url("/v/1")).await.unwrap();
    assert_eq!(take(&asked), ["limit GET /v/1 "], "limits are for everybody");
}

/// What a request is of: its method, path and principal.
type Seen = Arc<Mutex<Vec<[String; 3]>>>;

/// Records what it receives; a filter gets a request as fields.
fn witness(seen: &Seen, is_filter: bool) -> Client {
    let seen = seen.clone();
    Client::from_service(Router::new().fallback(move |request: Request| {
        let headers = request.headers();
        let principal = Principal::of(headers).unwrap_or_default().id;
        let request = match is_filter {
            true => [field(headers, "x-filter-method"), field(headers, "x-filter-path"), principal],
            // It obeys method overrides, as frameworks do.
            false => {
                let overrides = ["x-http-method-override", "x-http-method", "x-method-override"];
                let method =
                    overrides.into_iter().map(|name| field(headers, name)).find(|asked| !asked.is_empty());
                let method = method.unwrap_or_else(|| request.method().to_string());
                [method, request.uri().path().to_owned(), principal]
            }
        };
        seen.lock().unwrap().push(request);
        async { StatusCode::NO_CONTENT }
    }))
}

/// A gateway with a judge and five mounts, for many requests.
struct World {
    runtime: tokio::runtime::Runtime,
    gateway: Gateway,
    judged: Seen,
    served: Seen,
}

static WORLD: OnceLock<World> = OnceLock::new();

impl World {
    fn new() -> Self {
        let (judged, served) = (Seen::default(), Seen::default());
        let settings = Settings { own_authentication: vec![], ..filtered(&[Stage::Authorize]) };
        let judge = witness(&judged, true);
        let report = Arc::new(|| json!({ "ready": true }));
        let gateway = start_filtered(&settings, [], report, move |_| judge.clone());
        let prefixes = ["/", "/files", "/api/v1", "/api/v1/contents", "/hello"];
        let route = |prefix: &str| Route { prefix: prefix.into(), service: witness(&served, false) };
        gateway.table.replace(prefixes.map(route));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, gateway, judged, served }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_the_judge_saw_is_what_the_plugin_gets(
        method in "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|PURGE|options",
        mount in "|/files|/api/v1|/api/v1/contents|/hello",
        rest in "(/|/%66|/a|//b|;c|/%2Fd|/\\.well-known|/%252e%252e|/[!-~&&[^#? <>\"`{}|^\\\\]]{0,8}){0,3}",
        absolute: bool,
        fields in prop::collection::vec(
            (
                "x-http-method-override|x-streamgate-client|x-http-method|x-method-override|x-filter-method|x-filter-path|\
                 x-streamgate-principal|x-original-url|x-rewrite-url|x-forwarded-prefix|connection",
                "GET|HEAD|POST|PATCH|DELETE|OPTIONS|/files/7|root|x-streamgate-principal",
            ),
            0..4,
        ),
    ) {
        let path = format!("{mount}{rest}");
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let origin = if absolute { "http://h" } else { "" };
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request =
            format!("{method} {origin}{path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
        let world = WORLD.get_or_init(World::new);
        world.runtime.block_on(async {
            let mut client = world.gateway.connect().await;
            client.send(&request).await;
            client.answer_to(&method).await;
        });
        let (judged, served) = (take(&world.judged), take(&world.served));
        prop_assert!(served.len() <= 1);
        prop_assert_eq!(&judged, &served, "{}", request);
        prop_assert!(served.iter().all(|[of, _, principal]| principal.is_empty() && (*of == method || method == "POST")));
    }
}

#[tokio::test]
async fn fields_of_a_head_under_another_method_wait_for_no_body() {
    let (gateway, asked) = start(&filtered(&[Stage::Authorize]));
    let mut client = gateway.connect().await;
    client
        .send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nx-http-method-override: HEAD\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
    assert_eq!(take(&asked), ["authorize HEAD /a "]);
    client.send("OPTIONS /a HTTP/1.1\r\nhost: h\r\nx-http-method-override: DELETE\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, code(&answer)), (400, "invalid-method-override".into()));
    assert!(take(&asked).is_empty());
}

#[tokio::test]
async fn bodies_stream_past_the_filters_untouched() {
    let (gateway, asked) = start(&filtered(&Stage::ALL));
    let mut client = gateway.connect().await;
    client
        .send("PATCH /files/1 HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ann\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let piece = vec![7_u8; 1 << 20];
    for _ in 0..8 {
        client.send(format!("{:x}\r\n", piece.len())).await;
        client.send(&piece).await;
        client.send("\r\n").await;
    }
    assert_eq!(take(&asked).len(), 3, "all were called long before the body ended");
    client.send("0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.text().ends_with(&format!("length {}", 8 << 20)), "{}", answer.text());

    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let sent = h2.post(gateway.url("/files/2")).bearer_auth("bob").body(piece.clone()).send().await.unwrap();
    let text = sent.text().await.unwrap();
    assert!(text.contains("x-streamgate-principal: bob") && text.ends_with("length 1048576"), "{text}");
}
