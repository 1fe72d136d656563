//! `/api/v1/jobs` through the router.

use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::Value;
use streamgate_contracts::audit::{By, Outbox};
use streamgate_contracts::database::v1::QueryRequest;
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_plugin_api::{Body, Client, Principal, address};

use super::*;

async fn call(fixture: &Fixture, method: Method, path: &str) -> (StatusCode, Value) {
    let client = Client::from_service(crate::routes::router(fixture.jobs.clone()));
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect_bytes(1 << 20).await.unwrap();
    if !parts.status.is_success() {
        assert_eq!(parts.headers["content-type"], "application/problem+json", "{path}");
    }
    (parts.status, serde_json::from_slice(&bytes).unwrap())
}

async fn fetch(fixture: &Fixture, path: &str) -> Value {
    let (status, body) = call(fixture, Method::GET, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_filtered() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let queue = if number % 2 == 0 { "even" } else { "odd" };
        ids.push(fixture.jobs.enqueue(job_for(queue)).await.unwrap().id);
    }
    fixture.jobs.cancel(&ids[0], &By::default()).await.unwrap();
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/jobs?limit=3".to_owned();
    loop {
        let page = fetch(&fixture, &path).await;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/jobs?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    for (query, expected) in
        [("queue=odd", 3), ("queue=even&state=queued", 3), ("state=cancelled", 1), ("queue=none", 0)]
    {
        let page = fetch(&fixture, &format!("/api/v1/jobs?{query}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_job_is_shown_with_its_payload_cancelled_and_retried() {
    let fixture = Fixture::new().await;
    let payload = r#"{"content":"7"}"#.into();
    let id = fixture.jobs.enqueue(Enqueue { payload, ..job_for("q") }).await.unwrap().id;
    let job = fetch(&fixture, &format!("/api/v1/jobs/{id}")).await;
    assert_eq!(job["payload"]["content"], "7");
    assert_eq!(job["state"], "queued");
    assert_eq!(job["error"], Value::Null);
    assert_eq!(job["created_at"], "1970-01-01T00:16:40.000Z");
    let (status, job) = call(&fixture, Method::POST, &format!("/api/v1/jobs/{id}/cancel")).await;
    assert_eq!((status, job["state"].as_str()), (StatusCode::OK, Some("cancelled")));
    let (status, job) = call(&fixture, Method::POST, &format!("/api/v1/jobs/{id}/retry")).await;
    assert_eq!((status, job["state"].as_str()), (StatusCode::OK, Some("queued")));
    let (status, problem) = call(&fixture, Method::POST, &format!("/api/v1/jobs/{id}/retry")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["type"], "urn:streamgate:problem:wrong-job-state");
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_shown_as_base64() {
    let fixture = Fixture::new().await;
    let payload = vec![0xff, 0].into();
    let id = fixture.jobs.enqueue(Enqueue { payload, ..job_for("q") }).await.unwrap().id;
    let job = fetch(&fixture, &format!("/api/v1/jobs/{id}")).await;
    assert_eq!(job["payload"]["base64"], "/wA=");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_a_problem() {
    let fixture = Fixture::new().await;
    for (method, path, expected) in [
        (Method::GET, "/api/v1/jobs/7", StatusCode::NOT_FOUND),
        (Method::GET, "/api/v1/jobs/0190a000-0000-7000-8000-000000000000", StatusCode::NOT_FOUND),
        (Method::POST, "/api/v1/jobs/0190a000-0000-7000-8000-000000000000/retry", StatusCode::NOT_FOUND),
        (Method::GET, "/api/v1/jobs/a/b/c", StatusCode::NOT_FOUND),
        (Method::DELETE, "/api/v1/jobs", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/api/v1/jobs?limit=0", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/jobs?limit=9999999999", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/jobs?state=asleep", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/jobs?queue=%27", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/jobs?cursor=x", StatusCode::BAD_REQUEST),
        (Method::GET, "/api/v1/jobs?sort=asc", StatusCode::BAD_REQUEST),
    ] {
        let (status, problem) = call(&fixture, method, path).await;
        assert_eq!(status, expected, "{path}: {problem}");
        assert!(problem["title"].is_string() && problem["status"] == expected.as_u16(), "{path}: {problem}");
    }
}

#[tokio::test]
async fn the_audit_log_says_who_cancelled_and_retried_a_job_and_nothing_of_what_did_not_happen() {
    let fixture = Fixture::new().await;
    let database = || Client::from_service(fixture.engine.router());
    let id = fixture.jobs.enqueue(job_for("q")).await.unwrap().id;
    for (step, expected) in [("cancel", 200), ("cancel", 200), ("retry", 200), ("retry", 409)] {
        let client = Client::from_service(crate::routes::router(fixture.jobs.clone()));
        let request = Request::post(format!("/api/v1/jobs/{id}/{step}")).body(Body::empty());
        let mut request = request.unwrap();
        Principal { id: "ann".into(), ..Principal::default() }.put_on(request.headers_mut());
        request.headers_mut().insert(address::CLIENT, HeaderValue::from_static("192.0.2.7"));
        assert_eq!(client.send(request).await.unwrap().status().as_u16(), expected, "{step}");
    }
    let folder = tempfile::tempdir().unwrap();
    let auth = streamgate_auth::Auth::open(
        database(),
        folder.path(),
        streamgate_auth::Settings::default(),
        Clock::system(),
        Arc::new(streamgate_auth::NoContractWallets),
        streamgate_contracts::outbox::Bus::new(|_| std::future::ready(Ok(()))),
    );
    let auth = auth.await.unwrap();
    Outbox::new(fixture.jobs.store().db.clone(), Client::from_service(auth.internal())).send().await.unwrap();
    let request = QueryRequest {
        namespace: "auth".into(),
        sql: "SELECT action, principal, subject, address FROM audit ORDER BY id".into(),
        ..QueryRequest::default()
    };
    let rows = DatabaseClient::new(database()).query(request).await.unwrap().into_inner().rows;
    let told: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            row.values
                .into_iter()
                .map(|value| match value.kind {
                    Some(Kind::Text(text)) => text,
                    other => panic!("{other:?}"),
                })
                .collect()
        })
        .collect();
    let entry = |action: &str| vec![action.to_owned(), "ann".into(), id.clone(), "192.0.2.7".into()];
    assert_eq!(told, [entry("job.cancel"), entry("job.retry")]);
}
