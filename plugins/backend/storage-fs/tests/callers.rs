//! Access to buckets: a plugin's own one, and those granted to it.
#![allow(missing_docs, clippy::unwrap_used)]

use http::{Request, StatusCode};
use streamgate_plugin_api::Body;
use streamgate_plugin_api::caller::CALLER;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_storage_fs::{Settings, Storage, open_storage};

async fn send(storage: &Storage, plugin: &str, method: &str, path: &str) -> StatusCode {
    let request = Request::builder().method(method).uri(format!("http://storage/{path}"));
    let request = request.header(CALLER, plugin).body(Body::from("bytes")).unwrap();
    storage.handle(request).await.status()
}

#[tokio::test]
async fn a_plugin_has_its_own_bucket_and_of_others_what_is_opened_to_it() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings { min_free: ByteSize::bytes(0), ..Settings::default() };
    let storage = open_storage(root.path(), &settings).unwrap();
    let object = "media/0190/source";
    assert_eq!(send(&storage, "upload", "PUT", object).await, StatusCode::CREATED);
    assert_eq!(send(&storage, "streaming", "GET", object).await, StatusCode::OK);
    for (plugin, method, path) in [
        ("prowler", "GET", object),
        ("prowler", "GET", "media/"),
        ("prowler", "HEAD", object),
        ("prowler", "PUT", "media/0190/other"),
        ("prowler", "PATCH", object),
        ("prowler", "DELETE", object),
        ("prowler", "DELETE", "media/?prefix=0190/"),
        ("streaming", "DELETE", object),
        ("streaming", "PUT", "media/0190/other"),
    ] {
        let status = send(&storage, plugin, method, path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{plugin} {method} {path}");
    }
    // Also from memory, where small objects are after the first read.
    for _ in 0..3 {
        assert_eq!(send(&storage, "streaming", "GET", object).await, StatusCode::OK);
        assert_eq!(send(&storage, "prowler", "GET", object).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(send(&storage, "prowler", "PUT", "prowler/own").await, StatusCode::CREATED);
    assert_eq!(send(&storage, "upload", "GET", "prowler/own").await, StatusCode::FORBIDDEN);
}
