//! The storage contract: requests to the service, and the state of the disk afterwards.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_storage_fs::{Settings, Storage, open_storage, open_storage_beside};

struct Store {
    storage: Storage,
    root: tempfile::TempDir,
}

fn store() -> Store {
    let root = tempfile::tempdir().unwrap();
    Store { storage: open_storage(root.path(), &settings()).unwrap(), root }
}

fn settings() -> Settings {
    Settings { min_free: ByteSize::bytes(0), ..Settings::default() }
}

impl Store {
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(Method::try_from(method).unwrap());
        request = request.uri(format!("http://storage{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.storage.handle(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Bytes) {
        let response = self.send("GET", path, &[], Body::empty()).await;
        (response.status(), collect(response).await)
    }

    async fn json(&self, method: &str, path: &str) -> Value {
        let response = self.send(method, path, &[], Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&collect(response).await).unwrap()
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn temporary_files(&self) -> usize {
        std::fs::read_dir(self.file(".incomplete/temporary")).unwrap().count()
    }

    async fn offset(&self, path: &str) -> (StatusCode, Option<u64>) {
        let response = self.send("HEAD", path, &[("upload-incomplete", "?1")], Body::empty()).await;
        (response.status(), offset(&response))
    }
}

fn offset(response: &Response<Body>) -> Option<u64> {
    Some(response.headers().get("upload-offset")?.to_str().unwrap().parse().unwrap())
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn collect(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn bytes(length: usize, seed: u8) -> Bytes {
    (0..length).map(|i| (i / 3) as u8 ^ (i >> 9) as u8 ^ seed).collect::<Vec<_>>().into()
}

fn pieces(data: &Bytes, size: usize) -> Body {
    let pieces: Vec<_> =
        (0..data.len()).step_by(size).map(|at| data.slice(at..data.len().min(at + size))).collect();
    Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)))
}

/// A body that is interrupted after `data`.
fn broken(data: &Bytes) -> Body {
    let data = data.clone();
    Body::from_stream(stream::iter([Ok(data), Err(std::io::Error::other("the client went away"))]))
}

#[tokio::test]
async fn an_object_is_a_plain_file_and_comes_back_as_it_went() {
    let store = store();
    for (key, length) in [("empty", 0), ("small", 1000), ("poster.jpg", 300_000), ("large/source", 5_000_001)]
    {
        let path = format!("/media/id/{key}");
        let data = bytes(length, 1);
        let put = store.send("PUT", &path, &[("content-length", &length.to_string())], data.clone()).await;
        assert_eq!(put.status(), StatusCode::CREATED);
        assert_eq!(std::fs::read(store.file(&path[1..])).unwrap(), data);
        for _ in 0..2 {
            let got = store.send("GET", &path, &[], Body::empty()).await;
            assert_eq!(header(&got, "etag"), header(&put, "etag"));
            assert_eq!(header(&got, "content-length"), length.to_string());
            assert_eq!(header(&got, "accept-ranges"), "bytes");
            assert!(httpdate::parse_http_date(header(&got, "last-modified")).is_ok());
            assert!(collect(got).await == data);
        }
        let head = store.send("HEAD", &path, &[], Body::empty()).await;
        assert_eq!(header(&head, "content-length"), length.to_string());
        assert!(collect(head).await.is_empty());
    }
    assert_eq!(store.temporary_files(), 0);
}

#[tokio::test]
async fn replacing_an_object_is_answered_204_with_another_tag() {
    let store = store();
    let first = store.send("PUT", "/media/a", &[], bytes(100, 1)).await;
    assert_eq!(store.get("/media/a").await.1, bytes(100, 1));
    let second = store.send("PUT", "/media/a", &[], bytes(100, 2)).await;
    assert_eq!((first.status(), second.status()), (StatusCode::CREATED, StatusCode::NO_CONTENT));
    assert_ne!(header(&first, "etag"), header(&second, "etag"));
    assert_eq!(store.get("/media/a").await.1, bytes(100, 2), "memory must not answer with the old bytes");
    let kept = store.send("PUT", "/media/a", &[("if-none-match", "*")], bytes(100, 3)).await;
    assert_eq!(kept.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(store.get("/media/a").await.1, bytes(100, 2));
}

#[tokio::test]
async fn ranges_and_conditions_are_honoured_for_small_and_large_objects() {
    let store = store();
    for (path, length) in [("/media/small", 10_000), ("/media/large", 3_000_000)] {
        let data = bytes(length, 7);
        let etag = header(&store.send("PUT", path, &[], data.clone()).await, "etag").to_owned();
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=100-4999", 100, 5000),
            ("bytes=-77", length - 77, length),
            ("bytes=9000-", 9000, length),
        ] {
            let part = store.send("GET", path, &[("range", range)], Body::empty()).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/{length}", to - 1));
            assert_eq!(header(&part, "content-length"), (to - from).to_string());
            assert!(collect(part).await == data.slice(from..to), "{range}");
        }
        let beyond = store.send("GET", path, &[("range", &format!("bytes={length}-"))], Body::empty()).await;
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(header(&beyond, "content-range"), format!("bytes */{length}"));
        let known = store.send("GET", path, &[("if-none-match", &format!("W/{etag}"))], Body::empty()).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header(&known, "etag"), etag);
        let stale =
            store.send("GET", path, &[("range", "bytes=0-1"), ("if-range", "\"old\"")], Body::empty()).await;
        assert_eq!(stale.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_short_leaves_nothing() {
    let store = store();
    let data = bytes(2_000_000, 3);
    let gone = store.send("PUT", "/media/a", &[], broken(&data)).await;
    assert_eq!(gone.status(), StatusCode::BAD_REQUEST);
    for announced in ["500", "2000001"] {
        let short = store.send("PUT", "/media/a", &[("content-length", announced)], bytes(499, 1)).await;
        assert_eq!(short.status(), StatusCode::BAD_REQUEST, "{announced}");
    }
    assert_eq!(store.get("/media/a").await.0, StatusCode::NOT_FOUND);
    assert_eq!(store.temporary_files(), 0);
    assert!(!store.file("media/a").exists());
}

#[tokio::test]
async fn a_replacement_that_breaks_off_leaves_the_old_object() {
    let store = store();
    store.send("PUT", "/media/a", &[], bytes(10, 1)).await;
    store.send("PUT", "/media/a", &[], broken(&bytes(5000, 2))).await;
    assert_eq!(store.get("/media/a").await.1, bytes(10, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_leaves_no_temporary_file() {
    let store = store();
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 65536]))).take(64);
    let body = Body::from_stream(endless.chain(stream::pending()));
    let put = store.send("PUT", "/media/a", &[], body);
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), put).await;
    assert!(gone.is_err());
    while store.temporary_files() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.get("/media/a").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn deleting_is_repeatable_and_removes_empty_directories() {
    let store = store();
    store.send("PUT", "/media/id/720p/1.m4s", &[], bytes(10, 1)).await;
    for _ in 0..2 {
        let deleted = store.send("DELETE", "/media/id/720p/1.m4s", &[], Body::empty()).await;
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
    assert!(!store.file("media/id").exists());
    store.send("PUT", "/media/id/720p/1.m4s", &[], bytes(10, 1)).await;
    assert_eq!(store.get("/media/id/720p/1.m4s").await.0, StatusCode::OK);
}

#[tokio::test]
async fn listing_is_in_byte_order_in_pages_and_by_any_prefix() {
    let store = store();
    let mut keys: Vec<String> =
        ["a", "a-b", "a0", "b/1", "b/10", "b/2", "b-x/1", "c/d/e/f", "c/d.x", "é", "z"]
            .iter()
            .map(|key| (*key).to_owned())
            .collect();
    for key in &keys {
        let path = format!("/media/{}", key.replace('é', "%C3%A9"));
        assert!(store.send("PUT", &path, &[], bytes(key.len(), 1)).await.status().is_success());
    }
    keys.sort();
    let listed = |listing: &Value| -> Vec<String> {
        let objects = listing["objects"].as_array().unwrap();
        objects.iter().map(|object| object["key"].as_str().unwrap().to_owned()).collect()
    };
    for size in [1, 2, 3, 100] {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = store
                .json("GET", &format!("/media/?limit={size}&after={}", after.replace('é', "%C3%A9")))
                .await;
            all.extend(listed(&page));
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(all, keys, "in pages of {size}");
    }
    for prefix in ["b", "b/", "b/1", "c/d", "c/d/", "nothing", "a"] {
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        assert_eq!(
            listed(&store.json("GET", &format!("/media/?prefix={prefix}")).await),
            expected,
            "{prefix}"
        );
    }
    for nowhere in
        ["b/1/", "..%2Fmedia/", "b//", "%2F", "b/%00/", &"x".repeat(300), &format!("{}/", "x".repeat(300))]
    {
        let page = store.json("GET", &format!("/media/?prefix={nowhere}")).await;
        assert!(listed(&page).is_empty(), "{nowhere}: {page}");
    }
    for (query, expected) in [
        ("", "a a-b a0 b-x/ b/ c/ z é"),
        ("&limit=3", "a a-b a0"),
        ("&limit=2&after=a0", "b-x/ b/"),
        ("&after=b/", "c/ z é"),
        ("&prefix=c/", "c/d.x c/d/"),
        ("&prefix=b", "b-x/ b/"),
    ] {
        let page = store.json("GET", &format!("/media/?delimiter=/{query}")).await;
        let prefixes = page["prefixes"].as_array().into_iter().flatten();
        let mut all = listed(&page);
        all.extend(prefixes.map(|prefix| prefix.as_str().unwrap().to_owned()));
        all.sort();
        assert_eq!(all.join(" "), expected, "{query}");
        assert_eq!(page["next"].is_string(), query.contains("limit"), "{query}");
    }
    let first = &store.json("GET", "/media/?limit=1").await["objects"][0];
    assert_eq!(
        (first["size"].as_u64(), first["etag"].is_string(), first["modified_ms"].is_u64()),
        (Some(1), true, true)
    );
    assert_eq!(store.json("GET", "/empty-bucket/").await["objects"], Value::Array(vec![]));
}

#[tokio::test]
async fn deleting_by_prefix_takes_objects_and_sessions_and_nothing_else() {
    let store = store();
    for key in ["id/a", "id/b/1", "id/b/2", "id2/a"] {
        store.send("PUT", &format!("/media/{key}"), &[], bytes(10, 1)).await;
    }
    store.send("PATCH", "/media/id/source", &[("upload-offset", "0")], bytes(10, 1)).await;
    assert_eq!(store.json("DELETE", "/media/?prefix=id/").await["deleted"], 4);
    assert_eq!(store.json("DELETE", "/media/?prefix=id/").await["deleted"], 0);
    assert_eq!(store.get("/media/id2/a").await.0, StatusCode::OK);
    assert_eq!(store.offset("/media/id/source").await.0, StatusCode::NOT_FOUND);
    let unsaid = store.send("DELETE", "/media/", &[], Body::empty()).await;
    assert_eq!(unsaid.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_append_session_grows_over_requests_and_becomes_an_object_at_once() {
    let store = store();
    let data = bytes(5_000_321, 9);
    let mut at = 0;
    for end in [1, 700_000, 700_000, 4_100_001] {
        let part = data.slice(at..end);
        let patch = store
            .send("PATCH", "/media/id/source", &[("upload-offset", &at.to_string())], pieces(&part, 100_000))
            .await;
        assert_eq!((patch.status(), offset(&patch)), (StatusCode::NO_CONTENT, Some(end as u64)));
        assert_eq!(store.offset("/media/id/source").await, (StatusCode::NO_CONTENT, Some(end as u64)));
        at = end;
    }
    assert_eq!(store.get("/media/id/source").await.0, StatusCode::NOT_FOUND);
    assert_eq!(store.json("GET", "/media/").await["objects"], Value::Array(vec![]));
    let sessions = store.json("GET", "/media/?incomplete=true").await;
    assert_eq!(
        (sessions["objects"][0]["key"].as_str(), sessions["objects"][0]["size"].as_u64()),
        (Some("id/source"), Some(4_100_001))
    );
    let headers = [("upload-offset", "4100001"), ("upload-complete", "?1"), ("content-length", "900320")];
    let last = store.send("PATCH", "/media/id/source", &headers, data.slice(4_100_001..)).await;
    assert_eq!((last.status(), offset(&last)), (StatusCode::NO_CONTENT, Some(5_000_321)));
    let got = store.send("GET", "/media/id/source", &[], Body::empty()).await;
    assert_eq!(header(&got, "etag"), header(&last, "etag"));
    assert!(collect(got).await == data);
    assert_eq!(store.offset("/media/id/source").await.0, StatusCode::NOT_FOUND);
    assert!(!store.file(".incomplete/sessions/media").exists());
}

#[tokio::test]
async fn an_offset_before_the_end_cuts_and_one_beyond_it_is_refused_before_the_body() {
    let store = store();
    store.send("PATCH", "/media/a", &[("upload-offset", "0")], bytes(1000, 1)).await;
    let polled = Arc::new(AtomicBool::new(false));
    let seen = polled.clone();
    let body = Body::from_stream(stream::once(async move {
        seen.store(true, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
    }));
    let beyond = store.send("PATCH", "/media/a", &[("upload-offset", "1001")], body).await;
    assert_eq!((beyond.status(), offset(&beyond)), (StatusCode::CONFLICT, Some(1000)));
    assert!(!polled.load(Ordering::SeqCst), "the body was requested although it is not used");
    let none = store.send("PATCH", "/media/none", &[("upload-offset", "5")], bytes(1, 1)).await;
    assert_eq!((none.status(), offset(&none)), (StatusCode::CONFLICT, Some(0)));
    let cut = store
        .send("PATCH", "/media/a", &[("upload-offset", "600"), ("upload-complete", "?1")], bytes(100, 2))
        .await;
    assert_eq!(offset(&cut), Some(700));
    let expected = [bytes(600, 1), bytes(100, 2)].concat();
    assert_eq!(store.get("/media/a").await.1, expected);
}

#[tokio::test]
async fn what_came_before_a_body_broke_off_is_kept_and_never_made_an_object() {
    let store = store();
    let data = bytes(1_500_000, 4);
    let headers = [("upload-offset", "0"), ("upload-complete", "?1")];
    let broken = store.send("PATCH", "/media/a", &headers, broken(&data)).await;
    assert_eq!((broken.status(), offset(&broken)), (StatusCode::BAD_REQUEST, Some(1_500_000)));
    assert_eq!(store.offset("/media/a").await.1, Some(1_500_000));
    assert_eq!(store.get("/media/a").await.0, StatusCode::NOT_FOUND);
    let rest = store
        .send("PATCH", "/media/a", &[("upload-offset", "1500000"), ("upload-complete", "?1")], Body::empty())
        .await;
    assert_eq!(offset(&rest), Some(1_500_000));
    assert!(store.get("/media/a").await.1 == data);
}

#[tokio::test]
async fn a_second_writer_takes_over_from_one_that_hangs() {
    let store = store();
    let came = bytes(300_000, 5);
    let hangs =
        Body::from_stream(stream::iter([Ok::<_, std::io::Error>(came.clone())]).chain(stream::pending()));
    let first = store.send("PATCH", "/media/a", &[("upload-offset", "0")], hangs);
    let second = async {
        // The second one comes while the first writes: its session exists.
        while !store.file(".incomplete/sessions/media/a").exists() {
            tokio::task::yield_now().await;
        }
        store
            .send("PATCH", "/media/a", &[("upload-offset", "0"), ("upload-complete", "?1")], bytes(10, 6))
            .await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status(), StatusCode::BAD_REQUEST);
    assert_eq!((second.status(), offset(&second)), (StatusCode::NO_CONTENT, Some(10)));
    assert_eq!(store.get("/media/a").await.1, bytes(10, 6));
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_half_written_objects_do_not() {
    let store = store();
    store.send("PATCH", "/media/id/source", &[("upload-offset", "0")], bytes(1000, 1)).await;
    std::fs::write(store.file(".incomplete/temporary/77"), "half an object").unwrap();
    std::fs::create_dir_all(store.file(".incomplete/sessions/media/gone/deep")).unwrap();
    let Store { storage, root } = store;
    drop(storage);
    let store = Store { storage: open_storage(root.path(), &settings()).unwrap(), root };
    assert_eq!(store.temporary_files(), 0);
    assert!(!store.file(".incomplete/sessions/media/gone").exists());
    assert_eq!(store.offset("/media/id/source").await.1, Some(1000));
}

#[tokio::test]
async fn two_stores_never_share_a_root() {
    let store = store();
    let root = store.root.path().to_owned();
    let second = tokio::task::spawn_blocking(move || open_storage(&root, &settings())).await.unwrap();
    assert!(second.unwrap_err().to_string().contains("in use"));
}

#[tokio::test]
async fn nothing_outside_the_root_is_reached_by_paths_or_links() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let store = store();
    store.send("PUT", "/media/id/a", &[], bytes(10, 1)).await;
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, store.file(name)).unwrap();
    link(&outside.path().join("secret"), "media/link");
    link(outside.path(), "media/directory");
    link(outside.path(), "linked");
    for path in ["/media/link", "/media/directory/secret", "/linked/secret"] {
        let (status, body) = store.get(path).await;
        assert!(status.is_client_error(), "{path} gave {status}");
        assert!(body.starts_with(b"{"), "{path}");
        assert_ne!(&body[..], b"secret");
    }
    for path in ["/media/directory/new", "/linked/new", "/linked/deep/new"] {
        for method in ["PUT", "PATCH"] {
            let response = store
                .send(method, path, &[("upload-offset", "0"), ("upload-complete", "?1")], bytes(5, 1))
                .await;
            assert!(response.status().is_client_error(), "{method} {path} gave {}", response.status());
        }
        store.send("DELETE", path, &[], Body::empty()).await;
    }
    store.send("DELETE", "/media/directory/secret", &[], Body::empty()).await;
    store.send("DELETE", "/media/link", &[], Body::empty()).await;
    store.json("DELETE", "/media/?prefix=").await;
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    for path in ["/media/../x", "/media/%2e%2e/x", "/.incomplete/temporary/1", "/media/a%2fb", "/media/a%00b"]
    {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let response = store.send(method, path, &[("upload-offset", "0")], bytes(1, 1)).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{method} {path}");
            assert_eq!(header(&response, "content-type"), "application/problem+json");
        }
    }
}

#[tokio::test]
async fn a_key_below_another_object_is_a_conflict_and_a_directory_is_no_object() {
    let store = store();
    store.send("PUT", "/media/a", &[], bytes(10, 1)).await;
    store.send("PUT", "/media/d/x", &[], bytes(10, 1)).await;
    for path in ["/media/a/b", "/media/d"] {
        let response = store.send("PUT", path, &[], bytes(10, 2)).await;
        assert_eq!(response.status(), StatusCode::CONFLICT, "{path}");
        assert_eq!(store.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(store.get("/media/a").await.1, bytes(10, 1));
    assert_eq!(store.temporary_files(), 0);
}

#[tokio::test]
async fn below_the_reserve_writes_are_refused_and_reads_go_on() {
    let root = tempfile::tempdir().unwrap();
    let store = Store { storage: open_storage(root.path(), &settings()).unwrap(), root };
    store.send("PUT", "/media/a", &[], bytes(10, 1)).await;
    let Store { storage, root } = store;
    drop(storage);
    let greedy = Settings { min_free: ByteSize::gib(1 << 30), ..settings() };
    let store = Store { storage: open_storage(root.path(), &greedy).unwrap(), root };
    for method in ["PUT", "PATCH"] {
        let refused = store.send(method, "/media/b", &[("upload-offset", "0")], bytes(10, 1)).await;
        assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    }
    assert_eq!(store.get("/media/a").await.0, StatusCode::OK);
    assert_eq!(store.send("DELETE", "/media/a", &[], Body::empty()).await.status(), StatusCode::NO_CONTENT);
}

/// What another run of the same plugin opens beside this one.
impl Store {
    fn beside(&self) -> Storage {
        open_storage_beside(self.root.path(), &settings(), self.root.path()).unwrap()
    }
}

/// A body whose pieces the test sends.
fn slow() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (pieces, rest) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = stream::unfold(rest, |mut rest| async move {
        let piece = rest.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(http_body::Frame::data(piece)), rest))
    });
    (pieces, Body::new(http_body_util::StreamBody::new(Box::pin(frames))))
}

async fn ask(
    storage: &Storage,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(format!("http://storage{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    storage.handle(request.body(body.into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_another_one_has_replaced_finishes_its_reads_and_writes_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_storage_beside(root.path(), &settings(), root.path()).unwrap();
    let store = Store { storage, root };
    let large: Bytes = (0..9 << 20).map(|at| (at / 777) as u8).collect();
    store.send("PUT", "/media/large", &[], large.clone()).await;
    let reading = store.send("GET", "/media/large", &[], Body::empty()).await;
    let (pieces, body) = slow();
    let old = store.storage.clone();
    let writing = tokio::spawn(async move { ask(&old, "PUT", "/media/slow/er", &[], body).await });
    pieces.send(large.slice(..1 << 20)).await.unwrap();
    // The second piece is accepted when the file of the first one exists.
    pieces.send(large.slice(1 << 20..2 << 20)).await.unwrap();

    let new = store.beside();
    for round in 0..20 {
        let path = format!("/media/slow/{round}");
        assert_eq!(ask(&new, "PUT", &path, &[], "x").await.status(), StatusCode::CREATED);
        assert_eq!(ask(&new, "DELETE", &path, &[], "").await.status(), StatusCode::NO_CONTENT);
    }
    drop(pieces);
    assert_eq!(writing.await.unwrap().status(), StatusCode::CREATED);
    assert!(collect(ask(&new, "GET", "/media/slow/er", &[], "").await).await == large[..2 << 20]);
    ask(&new, "DELETE", "/media/large", &[], "").await;
    assert!(collect(reading).await == large);
    let stranger = root_of(&store);
    let other = tokio::task::spawn_blocking(move || open_storage(&stranger, &settings())).await.unwrap();
    assert!(other.unwrap_err().to_string().contains("in use"));
}

fn root_of(store: &Store) -> std::path::PathBuf {
    store.root.path().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_replaced_run_writes_is_written_by_no_other_until_it_has_ended() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_storage_beside(root.path(), &settings(), root.path()).unwrap();
    let store = Store { storage, root };
    let (pieces, body) = slow();
    let old = store.storage.clone();
    let first =
        tokio::spawn(async move { ask(&old, "PATCH", "/up/a", &[("upload-offset", "0")], body).await });
    pieces.send("one".into()).await.unwrap();
    pieces.send("two".into()).await.unwrap();
    let new = store.beside();
    let second = {
        let new = new.clone();
        tokio::spawn(async move {
            let headers = [("upload-offset", "9"), ("upload-complete", "?1")];
            ask(&new, "PATCH", "/up/a", &headers, "four").await
        })
    };
    // It is requested and has not begun: what the old one still receives comes first.
    let head = ask(&new, "HEAD", "/up/a", &[("upload-incomplete", "?1")], "").await;
    assert_eq!(head.status(), StatusCode::NO_CONTENT);
    assert!(!second.is_finished());
    pieces.send("333".into()).await.unwrap();
    drop(pieces);
    assert_eq!(first.await.unwrap().headers()["upload-offset"], "9");
    assert_eq!(second.await.unwrap().headers()["upload-offset"], "13");
    assert_eq!(collect(ask(&new, "GET", "/up/a", &[], "").await).await, "onetwo333four");
}

const FENCE: &str = "x-streamgate-fence";

async fn put_fenced(store: &Store, path: &str, fence: &str, body: &'static str) -> StatusCode {
    store.send("PUT", path, &[(FENCE, fence)], body).await.status()
}

#[tokio::test]
async fn a_writer_with_a_smaller_fence_writes_and_removes_nothing_over_a_restart_and_beside_another_run() {
    let mut store = store();
    assert_eq!(put_fenced(&store, "/media/a/720p/1.m4s", "a=7", "old").await, StatusCode::CREATED);
    // The later run announces itself before it reads anything.
    let raised = store.send("PUT", "/media/", &[(FENCE, "a=9")], Body::empty()).await;
    assert_eq!(raised.status(), StatusCode::NO_CONTENT);
    let refused = store.send("PUT", "/media/a/720p/1.m4s", &[(FENCE, "a=8")], "stale").await;
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(header(&refused, "content-type"), "application/problem+json");
    let problem: Value = serde_json::from_slice(&collect(refused).await).unwrap();
    assert!(problem["type"].as_str().unwrap().ends_with("superseded"), "{problem}");
    let big = bytes(3 << 20, 1);
    let streamed = store.send("PUT", "/media/a/720p/1.m4s", &[(FENCE, "a=8")], pieces(&big, 1 << 16)).await;
    assert_eq!(streamed.status(), StatusCode::PRECONDITION_FAILED);
    let removed = store.send("DELETE", "/media/a/720p/1.m4s", &[(FENCE, "a=8")], Body::empty()).await;
    assert_eq!(removed.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(store.get("/media/a/720p/1.m4s").await.1, "old");
    assert_eq!(store.temporary_files(), 0);
    // Another directory has its own fence, and a writer without one is not stopped.
    assert_eq!(put_fenced(&store, "/media/b/1.m4s", "b=1", "b").await, StatusCode::CREATED);
    let plain = store.send("PUT", "/media/a/poster.jpg", &[], "poster").await;
    assert_eq!(plain.status(), StatusCode::CREATED);

    let Store { storage, root } = store;
    drop(storage);
    let data_dir = tempfile::tempdir().unwrap();
    let open = || open_storage_beside(root.path(), &settings(), data_dir.path()).unwrap();
    let (before, after) = (open(), open());
    store = Store { storage: after, root };
    assert_eq!(
        put_fenced(&store, "/media/a/720p/1.m4s", "a=8", "stale").await,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(put_fenced(&store, "/media/a/720p/1.m4s", "a=10", "new").await, StatusCode::NO_CONTENT);
    store.storage = before;
    assert_eq!(
        put_fenced(&store, "/media/a/720p/1.m4s", "a=9", "stale").await,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(store.get("/media/a/720p/1.m4s").await.1, "new");
}

#[tokio::test]
async fn the_fence_goes_with_everything_below_its_directory() {
    let store = store();
    assert_eq!(put_fenced(&store, "/media/a/1.m4s", "a=7", "a").await, StatusCode::CREATED);
    assert_eq!(put_fenced(&store, "/media/ab/1.m4s", "ab=7", "ab").await, StatusCode::CREATED);
    let fences = store.file(".incomplete/fences/media");
    assert!(fences.join("a/fence").exists());
    assert_eq!(store.json("DELETE", "/media/?prefix=a/").await["deleted"], 1);
    assert!(!fences.join("a").exists() && fences.join("ab/fence").exists());
}

#[tokio::test]
async fn a_fence_that_says_nothing_or_is_about_something_else_is_refused() {
    let store = store();
    for (method, path, fence) in [
        ("PUT", "/media/a/1.m4s", "7"),
        ("PUT", "/media/a/1.m4s", "b=7"),
        ("PUT", "/media/a/1.m4s", "../a=7"),
        ("PATCH", "/media/a/1.m4s", "a=7"),
        ("GET", "/media/a/1.m4s", "a=7"),
        ("DELETE", "/media/?prefix=a/", "a=7"),
    ] {
        let answer = store.send(method, path, &[(FENCE, fence)], "x").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{method} {path} {fence}");
    }
    assert_eq!(store.send("PUT", "/media/", &[], "x").await.status(), StatusCode::BAD_REQUEST);
}
