//! The default edition is closed: what needs no sign-in, what needs a role, and that everything is refused
//! while no plugin can decide.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use streamgate_tests::server::{Server, Setup, client, signed_in};
use streamgate_tests::tus::Upload;
use streamgate_tests::wait::eventually;

/// The status of a request without a body, and the last part of the problem's type.
async fn ask(http: &reqwest::Client, method: &str, url: String) -> (u16, String) {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let answer = http.request(method, url).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    (status, kind.trim_start_matches("urn:streamgate:problem:").to_owned())
}

/// An API key of the first admin's with this scope.
async fn key(server: &Server, scope: &str) -> String {
    let wanted = serde_json::json!({ "name": scope, "scopes": [scope] });
    let answer = server.http().post(server.url("/api/v1/auth/keys")).json(&wanted).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    answer["key"].as_str().expect("a key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_creators_upload_and_admins_look_after_the_server() {
    let mut server = Server::start().await;
    let (nobody, viewer) = (client(), signed_in(&key(&server, "content:read").await));
    let (creator, admin) = (signed_in(&key(&server, "content:write").await), server.client());
    for path in ["/", "/api/v1/contents", "/.well-known/jwks.json", "/health/ready"] {
        assert_eq!(ask(&nobody, "GET", server.url(path)).await.0, 200, "{path}");
    }
    // The answer of a plugin that received it is neither 401 nor 403.
    let reached = |status: u16| !matches!(status, 401 | 403 | 503);
    for (method, path) in [
        ("POST", "/files"),
        ("HEAD", "/files/0190c3b0-0000-7000-8000-000000000000"),
        ("PATCH", "/files/0190c3b0-0000-7000-8000-000000000000"),
        ("PATCH", "/api/v1/contents/0190c3b0-0000-7000-8000-000000000000"),
        ("DELETE", "/api/v1/contents/0190c3b0-0000-7000-8000-000000000000"),
    ] {
        assert_eq!(ask(&nobody, method, server.url(path)).await.0, 401, "{method} {path}");
        assert_eq!(ask(&viewer, method, server.url(path)).await.0, 403, "{method} {path}");
        assert!(reached(ask(&creator, method, server.url(path)).await.0), "{method} {path}");
        assert!(reached(ask(&admin, method, server.url(path)).await.0), "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/jobs/0190c3b0-0000-7000-8000-000000000000/retry"),
        ("GET", "/api/v1/system"),
    ] {
        assert_eq!(ask(&nobody, method, server.url(path)).await, (401, "not-signed-in".into()));
        assert_eq!(ask(&creator, method, server.url(path)).await, (403, "forbidden".into()));
        assert!(reached(ask(&admin, method, server.url(path)).await.0), "{method} {path}");
    }
    let forged = nobody
        .post(server.url("/files"))
        .header("x-streamgate-principal", "0190c3b0-0000-7000-8000-000000000000")
        .header("x-streamgate-roles", "admin")
        .header("x-streamgate-scopes", "content:read,content:write,admin")
        .send()
        .await
        .expect("an answer");
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(forged.headers()["www-authenticate"], "Bearer");
    // A browser sends a preflight without credentials before it uploads from another site.
    let preflight = nobody
        .request(Method::OPTIONS, server.url("/files"))
        .header("origin", "https://studio.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,tus-resumable,upload-length")
        .send()
        .await
        .expect("an answer");
    assert!(preflight.status().is_success(), "{preflight:?}");
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().expect("text");
    assert!(allowed.to_ascii_lowercase().contains("authorization"), "{allowed}");
    // An overriding method in a header counts as that method: it gives no more access.
    let content = "/files/0190c3b0-0000-7000-8000-000000000000";
    for sent in ["OPTIONS", "GET", "HEAD", "POST", "PUT"] {
        for field in ["x-http-method-override", "x-http-method", "x-method-override"] {
            for wanted in ["POST", "PATCH", "DELETE", "HEAD", "GET", "OPTIONS"] {
                for path in ["/files", content, "/api/v1/contents", "/api/v1/jobs", "/hello"] {
                    let method = Method::from_bytes(sent.as_bytes()).expect("a method");
                    let request = nobody.request(method, server.url(path)).header(field, wanted);
                    let request = request.header("tus-resumable", "1.0.0").header("upload-length", "1");
                    let status = request.send().await.expect("an answer").status().as_u16();
                    let refused = [400, 401].contains(&status) || (sent, wanted) == ("POST", "HEAD");
                    assert!(refused, "{sent} as {wanted} by {field} at {path}: {status}");
                }
            }
        }
    }
    assert!(server.contents().await.expect("the list").is_empty(), "nothing was created");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_continues_after_its_keys_end_only_with_another_one() {
    let server = Server::start().await;
    let token = key(&server, "content:write").await;
    let address = server.url("/files");
    let upload = Upload::create_at(signed_in(&token), &address, 20, &[]).await.expect("created");
    assert_eq!(upload.patch(0, &b"0123456789"[..]).await.expect("taken"), 10);
    let keys = server.json("/api/v1/auth/keys").await.expect("the keys");
    let id = keys["items"].as_array().expect("a list").iter().find(|key| key["name"] == "content:write");
    let id = id.and_then(|key| key["id"].as_str()).expect("an id");
    let revoked = server.http().delete(server.url(&format!("/api/v1/auth/keys/{id}"))).send().await;
    assert_eq!(revoked.expect("an answer").status(), StatusCode::NO_CONTENT);
    let refused = upload.patch(10, &b"0123456789"[..]).await.expect_err("on the very next request");
    assert!(refused.to_string().contains("401"), "{refused}");
    let offset = server.http().head(&upload.url).header("Tus-Resumable", "1.0.0").send().await;
    assert_eq!(offset.expect("an answer").headers()["upload-offset"], "10", "the upload is unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_plugin_that_judges_nothing_passes() {
    let server = Setup::default().set("plugins.auth.enabled", false).start().await;
    for (method, path) in [("GET", "/"), ("GET", "/api/v1/contents"), ("POST", "/files")] {
        let judged = ask(&client(), method, server.url(path)).await;
        assert_eq!(judged, (503, "filter-unavailable".into()), "{method} {path}");
    }
    let open = Setup::default()
        .set("plugins.auth.enabled", false)
        .set("plugins.gateway.filters", "[]")
        .start()
        .await;
    assert_eq!(ask(&client(), "GET", open.url("/api/v1/contents")).await.0, 200);
    Upload::create(&open, 10, &[]).await.expect("without a filter it passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorization_works_across_swaps_and_crashes_of_auth() {
    let mut server = Server::start().await;
    let admin = server.client();
    for _ in 0..3 {
        server.control(&["swap", "auth"]).await;
        assert_eq!(ask(&admin, "GET", server.url("/api/v1/jobs")).await.0, 200);
        assert_eq!(ask(&client(), "GET", server.url("/api/v1/jobs")).await.0, 401);
    }
    server.restart().await;
    eventually("the token counts as before", Duration::from_secs(20), async || {
        (ask(&admin, "GET", server.url("/api/v1/jobs")).await.0 == 200).then_some(())
    })
    .await;
}
