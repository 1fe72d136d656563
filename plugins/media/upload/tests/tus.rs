//! tus 1.0.0 through HTTP: requests, answers, and the resulting state of storage and catalogue.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::*;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use sha1::{Digest as _, Sha1};
use streamgate_plugin_api::settings::{ByteSize, Duration};
use streamgate_plugin_api::{Body, Principal};
use streamgate_upload::Settings;

const DATA: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// Checkpoints as small as the settings allow, so that bodies span several.
fn small() -> Settings {
    Settings { checkpoint: ByteSize::mib(1), max_size: ByteSize::mib(32), ..Settings::default() }
}

/// A body with these frames that then never ends.
fn stuck(frames: Vec<Bytes>) -> Body {
    Body::from_stream(stream::iter(frames.into_iter().map(Ok::<_, std::io::Error>)).chain(stream::pending()))
}

#[tokio::test]
async fn options_returns_the_servers_capabilities_without_a_version() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let answer = life.raw("OPTIONS", "/files", &[("Origin", "https://a.example")], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(header(&answer, "tus-version").unwrap(), "1.0.0");
    assert_eq!(header(&answer, "tus-max-size").unwrap(), (32 << 20).to_string());
    assert_eq!(header(&answer, "tus-checksum-algorithm").unwrap(), "sha1,sha256,md5,crc32");
    let extensions = header(&answer, "tus-extension").unwrap();
    for extension in ["creation", "creation-with-upload", "creation-defer-length", "termination", "checksum"]
    {
        assert!(extensions.split(',').any(|known| known == extension), "{extensions}");
    }
    assert_eq!(header(&answer, "access-control-allow-origin").unwrap(), "*");
    assert!(header(&answer, "access-control-allow-methods").unwrap().contains("PATCH"));
}

#[tokio::test]
async fn an_upload_in_several_requests_becomes_an_uploaded_content_with_one_job() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let file = bytes(3_500_000);
    let told = metadata(&[("filename", "My film.mp4"), ("filetype", "video/mp4")]);
    let length = file.len().to_string();
    let headers = [("Upload-Length", &*length), ("Upload-Metadata", &*told)];
    let answer = life.send("POST", "/files", &headers, Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(header(&answer, "upload-expires").is_some());
    let path = header(&answer, "location").unwrap();
    let id = id_of(&path);
    assert_eq!(world.content(&id).await.unwrap()["state"], "uploading");

    let answer = life.patch(&path, 0, file.slice(..1_500_000), &[]).await;
    assert_eq!(
        (answer.status(), header(&answer, "upload-offset").unwrap().as_str()),
        (StatusCode::NO_CONTENT, "1500000")
    );
    let answer = life.send("HEAD", &path, &[], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "upload-offset").unwrap(), "1500000");
    assert_eq!(header(&answer, "upload-length").unwrap(), length);
    assert_eq!(header(&answer, "upload-metadata").unwrap(), told);
    assert_eq!(header(&answer, "cache-control").unwrap(), "no-store");
    let answer = life.patch(&path, 1_500_000, file.slice(1_500_000..), &[]).await;
    assert_eq!(header(&answer, "upload-offset").unwrap(), length);

    let content = world.content(&id).await.unwrap();
    assert_eq!((&content["state"], &content["title"]), (&"uploaded".into(), &"My film".into()));
    assert_eq!(content["source"]["bytes"], file.len());
    assert_eq!(world.object(&format!("media/{id}/source")).await.unwrap(), file);
    assert_eq!(world.jobs.keys(), [id]);
    assert_eq!(life.offset(&path).await, Some(file.len()));
}

#[tokio::test]
async fn an_empty_file_and_one_that_comes_with_its_creation_are_complete_at_once() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let empty = id_of(&life.create(0).await);
    let file = bytes(70_000);
    let headers = [("Upload-Length", "70000"), DATA, ("Content-Length", "70000")];
    let answer = life.send("POST", "/files", &headers, file.clone()).await;
    assert_eq!(
        (answer.status(), header(&answer, "upload-offset").unwrap().as_str()),
        (StatusCode::CREATED, "70000")
    );
    let with_data = id_of(&header(&answer, "location").unwrap());
    assert_eq!(world.object(&format!("media/{empty}/source")).await.unwrap(), Bytes::new());
    assert_eq!(world.object(&format!("media/{with_data}/source")).await.unwrap(), file);
    assert_eq!(world.jobs.keys(), [empty, with_data]);
}

#[tokio::test]
async fn the_length_may_come_later_and_then_stays() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let answer = life.send("POST", "/files", &[("Upload-Defer-Length", "1")], Body::empty()).await;
    let path = header(&answer, "location").unwrap();
    let answer = life.send("HEAD", &path, &[], Body::empty()).await;
    assert_eq!(header(&answer, "upload-defer-length").unwrap(), "1");
    assert!(header(&answer, "upload-length").is_none());
    life.patch(&path, 0, "abcd", &[]).await;
    assert_eq!(life.patch(&path, 4, "", &[("Upload-Length", "3")]).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        life.patch(&path, 4, "", &[("Upload-Length", "99999999")]).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(life.patch(&path, 4, "e", &[("Upload-Length", "6")]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(life.patch(&path, 5, "f", &[("Upload-Length", "7")]).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(life.patch(&path, 5, "f", &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.object(&format!("media/{}/source", id_of(&path))).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn wrong_requests_get_the_status_that_tus_asks_for() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let path = life.create(10).await;
    let unknown = "/files/0190163d-8694-739b-aea5-966c26f8ad91";
    let status = async |answer: http::Response<Body>| answer.status().as_u16();
    let no_version = life.raw("HEAD", &path, &[], Body::empty()).await;
    assert_eq!(header(&no_version, "tus-version").unwrap(), "1.0.0");
    assert_eq!(status(no_version).await, 412);
    assert_eq!(
        status(life.raw("POST", "/files", &[("Tus-Resumable", "0.2.2")], Body::empty()).await).await,
        412
    );
    assert_eq!(status(life.patch(&path, 3, "x", &[]).await).await, 409);
    assert_eq!(status(life.send("PATCH", &path, &[("Upload-Offset", "0")], "x").await).await, 415);
    assert_eq!(status(life.send("PATCH", &path, &[DATA], "x").await).await, 400);
    assert_eq!(status(life.patch(unknown, 0, "x", &[]).await).await, 404);
    assert_eq!(status(life.patch("/files/../x", 0, "x", &[]).await).await, 404);
    assert_eq!(status(life.send("HEAD", unknown, &[], Body::empty()).await).await, 404);
    assert_eq!(status(life.send("DELETE", unknown, &[], Body::empty()).await).await, 404);
    assert_eq!(status(life.send("GET", &path, &[], Body::empty()).await).await, 405);
    assert_eq!(
        status(life.send("POST", "/files", &[("Upload-Length", "33554433")], Body::empty()).await).await,
        413
    );
    assert_eq!(status(life.send("POST", "/files", &[], Body::empty()).await).await, 400);
    let bad = [("Upload-Length", "1"), ("Upload-Metadata", "filename !!!")];
    assert_eq!(status(life.send("POST", "/files", &bad, Body::empty()).await).await, 400);
    assert_eq!(status(life.patch(&path, 0, bytes(11), &[("Content-Length", "11")]).await).await, 413);
    let chunked = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(bytes(11))]));
    assert_eq!(status(life.patch(&path, 0, chunked, &[]).await).await, 413);
    assert_eq!(life.offset(&path).await, Some(0));
    let overridden = [DATA, ("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")];
    for method in ["POST", "OPTIONS"] {
        let answer = life.send(method, &path, &overridden, "0123456789").await;
        assert!([204, 405].contains(&answer.status().as_u16()), "{method}");
        assert_eq!(life.offset(&path).await, Some(0), "the method is the gateway's to settle: {method}");
    }
    let answer = life.send("PATCH", &path, &[DATA, ("Upload-Offset", "0")], "0123456789").await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_body_with_a_wrong_checksum_does_not_count_and_a_right_one_does() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let file = bytes(2_500_000);
    let path = life.create(file.len()).await;
    let sum = |data: &[u8]| {
        use base64::Engine as _;
        format!("sha1 {}", base64::engine::general_purpose::STANDARD.encode(Sha1::digest(data)))
    };
    let (first, rest) = (file.slice(..1_200_000), file.slice(1_200_000..));
    let right = sum(&first);
    let mut damaged = first.to_vec();
    damaged[1_100_000] ^= 1;
    let answer = life.patch(&path, 0, damaged, &[("Upload-Checksum", &right)]).await;
    assert_eq!(answer.status().as_u16(), 460);
    assert_eq!(life.offset(&path).await, Some(0));
    assert_eq!(
        life.patch(&path, 0, first, &[("Upload-Checksum", &right)]).await.status(),
        StatusCode::NO_CONTENT
    );
    let damaged = life.patch(&path, 1_200_000, bytes(1_300_000), &[("Upload-Checksum", &right)]).await;
    assert_eq!(damaged.status().as_u16(), 460);
    assert_eq!(world.content(&id_of(&path)).await.unwrap()["state"], "uploading");
    let unknown = life.patch(&path, 1_200_000, "x", &[("Upload-Checksum", "crc7 AAAA")]).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    let right = sum(&rest);
    assert_eq!(
        life.patch(&path, 1_200_000, rest, &[("Upload-Checksum", &right)]).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.object(&format!("media/{}/source", id_of(&path))).await.unwrap(), file);
}

#[tokio::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let file = bytes(2_000_000);
    let path = life.create(file.len()).await;
    let frames = vec![Ok(file.slice(..1_700_001)), Err(std::io::Error::other("connection reset"))];
    let answer =
        life.patch(&path, 0, Body::from_stream(stream::iter(frames)), &[("Content-Length", "2000000")]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(life.offset(&path).await, Some(1_700_001));
    life.patch(&path, 1_700_001, file.slice(1_700_001..), &[]).await;
    assert_eq!(world.object(&format!("media/{}/source", id_of(&path))).await.unwrap(), file);
}

#[tokio::test]
async fn a_client_that_comes_back_takes_over_from_its_stale_connection() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let file = bytes(50_000);
    let path = life.create(file.len()).await;
    let stale = {
        let (path, head) = (path.clone(), file.slice(..30_000));
        let answer = life.upload.public();
        tokio::spawn(async move {
            let request = http::Request::builder().method("PATCH").uri(path).header("Tus-Resumable", "1.0.0");
            let request = request.header(DATA.0, DATA.1).header("Upload-Offset", "0").body(stuck(vec![head]));
            tower::ServiceExt::oneshot(answer, request.unwrap()).await.unwrap().status()
        })
    };
    until("some progress", || async {
        let content = world.content(&id_of(&path)).await?;
        (content["progress"].as_f64()? > 0.0).then_some(())
    })
    .await;
    // HEAD settles what the stale connection has sent, before it returns the offset.
    assert_eq!(life.offset(&path).await, Some(30_000));
    assert_eq!(stale.await.unwrap(), StatusCode::LOCKED);
    assert_eq!(life.patch(&path, 30_000, file.slice(30_000..), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.object(&format!("media/{}/source", id_of(&path))).await.unwrap(), file);
}

#[tokio::test]
async fn a_silent_client_is_ended_and_what_it_sent_is_kept() {
    let world = World::new().await;
    let life = world.live(Settings { idle_timeout: Duration::secs(1), ..small() }).await;
    let path = life.create(10).await;
    let answer = life.patch(&path, 0, stuck(vec![Bytes::from_static(b"abc")]), &[]).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(life.offset(&path).await, Some(3));
}

#[tokio::test]
async fn a_terminated_upload_leaves_neither_content_nor_bytes() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let path = life.create(10).await;
    life.patch(&path, 0, "abc", &[]).await;
    assert_eq!(life.send("DELETE", &path, &[], Body::empty()).await.status(), StatusCode::NO_CONTENT);
    for (method, status) in [("HEAD", 410), ("DELETE", 410)] {
        assert_eq!(life.send(method, &path, &[], Body::empty()).await.status().as_u16(), status);
    }
    assert_eq!(life.patch(&path, 3, "d", &[]).await.status(), StatusCode::GONE);
    assert!(world.content(&id_of(&path)).await.is_none());
    until("an empty bucket", || async { world.keys("media").await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn an_expired_upload_is_removed_with_its_content() {
    let world = World::new().await;
    let settings =
        Settings { expire_after: Duration::millis(50), sweep_interval: Duration::millis(20), ..small() };
    let life = world.live(settings).await;
    let path = life.create(10).await;
    until("the end", || async {
        let status = life.send("HEAD", &path, &[], Body::empty()).await.status();
        matches!(status, StatusCode::GONE | StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    until("the content's end", || async { world.content(&id_of(&path)).await.is_none().then_some(()) }).await;
    assert!(world.jobs.keys().is_empty());
}

#[tokio::test]
async fn deleting_the_content_ends_its_upload() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let path = life.create(10).await;
    life.patch(&path, 0, "abc", &[]).await;
    assert_eq!(world.delete_content(&id_of(&path)).await, StatusCode::NO_CONTENT);
    life.upload.heard_deleted(&id_of(&path));
    until("the end", || async {
        let status = life.send("HEAD", &path, &[], Body::empty()).await.status();
        (status == StatusCode::GONE).then_some(())
    })
    .await;
    assert_eq!(life.patch(&path, 3, "d", &[]).await.status(), StatusCode::GONE);
    until("an empty bucket", || async { world.keys("media").await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn partial_uploads_are_joined_in_the_requested_order() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let file = bytes(2_600_000);
    let mut parts = Vec::new();
    for part in [file.slice(1_300_000..), file.slice(..1_300_000)] {
        let length = part.len().to_string();
        let headers =
            [("Upload-Concat", "partial"), ("Upload-Length", &*length), DATA, ("Content-Length", &*length)];
        let answer = life.send("POST", "/files", &headers, part).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        parts.push(header(&answer, "location").unwrap());
    }
    assert!(world.contents().await.is_empty(), "a part is no content");
    let concat = format!("final;{} https://x.example{}", parts[1], parts[0]);
    let create = async || life.send("POST", "/files", &[("Upload-Concat", &concat)], Body::empty()).await;
    let answer = create().await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let path = header(&answer, "location").unwrap();
    let id = id_of(&path);
    until("the whole", || async { life.offset(&path).await }).await;
    let answer = life.send("HEAD", &path, &[], Body::empty()).await;
    assert_eq!(header(&answer, "upload-length").unwrap(), "2600000");
    assert_eq!(header(&answer, "upload-concat").unwrap(), concat);
    assert_eq!(life.patch(&path, 2_600_000, "x", &[]).await.status(), StatusCode::FORBIDDEN);
    until("the hand-over", || async { (world.jobs.keys() == [id.clone()]).then_some(()) }).await;
    assert_eq!(world.object(&format!("media/{id}/source")).await.unwrap(), file);
    until("the parts' end", || async { world.keys("uploads").await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_final_upload_wants_whole_partial_uploads() {
    let world = World::new().await;
    let life = world.live(small()).await;
    let whole = life.create(1).await;
    let headers = [("Upload-Concat", "partial"), ("Upload-Length", "5")];
    let answer = life.send("POST", "/files", &headers, Body::empty()).await;
    let partial = header(&answer, "location").unwrap();
    assert_eq!(
        header(&life.send("HEAD", &partial, &[], Body::empty()).await, "upload-concat").unwrap(),
        "partial"
    );
    for part in [&whole, &partial, "/files/0190163d-8694-739b-aea5-966c26f8ad91"] {
        let answer =
            life.send("POST", "/files", &[("Upload-Concat", &format!("final;{part}"))], Body::empty()).await;
        assert_eq!(answer.status(), StatusCode::CONFLICT, "{part}");
    }
    assert_eq!(world.contents().await.len(), 1);
}

#[tokio::test]
async fn no_more_uploads_run_or_wait_than_the_settings_allow() {
    let world = World::new().await;
    let life = world.live(Settings { max_unfinished: 2, max_transfers: 1, ..small() }).await;
    let (one, two) = (life.create(10).await, life.create(10).await);
    let answer = life.send("POST", "/files", &[("Upload-Length", "1")], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let running = tokio::spawn({
        let router = life.upload.public();
        async move {
            let request = http::Request::builder().method("PATCH").uri(one).header("Tus-Resumable", "1.0.0");
            let request = request.header(DATA.0, DATA.1).header("Upload-Offset", "0").body(stuck(vec![]));
            tower::ServiceExt::oneshot(router, request.unwrap()).await.unwrap().status()
        }
    });
    let status = until("a full house", || async {
        let status = life.patch(&two, 0, "", &[]).await.status();
        (status != StatusCode::NO_CONTENT).then_some(status)
    })
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    life.upload.settle().await;
    assert_eq!(running.await.unwrap(), StatusCode::LOCKED);
}

#[tokio::test]
async fn the_audit_log_records_created_completed_and_terminated_uploads_over_an_outage_and_a_restart() {
    let world = World::new().await;
    let told = metadata(&[("filename", "film.mp4")]);
    let create = async |life: &Life| {
        let headers = [("Upload-Length", "9"), ("Upload-Metadata", &*told)];
        header(&life.send("POST", "/files", &headers, Body::empty()).await, "location").unwrap()
    };
    let mut life = world.live(small()).await;
    create(&life).await;
    life.sender = Some(Principal { id: "ann".into(), ..Principal::default() });
    let whole = create(&life).await;
    let ended = create(&life).await;
    life.patch(&ended, 0, "1234", &[]).await;
    // An admin continues the uploads of others.
    let scopes = ["content:write", "admin"].map(str::to_owned).to_vec();
    life.sender = Some(Principal { id: "bob".into(), scopes, ..Principal::default() });
    life.patch(&whole, 0, "123456789", &[]).await;
    for _ in 0..2 {
        life.send("DELETE", &ended, &[], Body::empty()).await;
    }
    until("the content", async || world.content(&id_of(&whole)).await.filter(|it| it["state"] == "uploaded"))
        .await;
    drop(life);
    world.open_auth().await;
    let _life = world.live(small()).await;
    let entry = |action: &str, who: &str, path: &str, detail: &str| {
        [action, who, &id_of(path), detail, "192.0.2.7"].map(str::to_owned)
    };
    let expected = [
        entry("upload.create", "ann", &whole, "\"film.mp4\", 9 bytes"),
        entry("upload.create", "ann", &ended, "\"film.mp4\", 9 bytes"),
        entry("upload.finish", "bob", &whole, "\"film.mp4\", 9 bytes"),
        entry("upload.terminate", "bob", &ended, "\"film.mp4\", 9 bytes; 4 bytes were there"),
    ];
    let log = until("the audit log", async || Some(world.audited().await).filter(|log| log.len() >= 4)).await;
    assert_eq!(log, expected);
}

#[tokio::test]
async fn an_abandoned_upload_is_in_the_audit_log_when_it_expires() {
    let world = World::new().await;
    world.open_auth().await;
    let settings =
        Settings { expire_after: Duration::millis(50), sweep_interval: Duration::millis(20), ..small() };
    let mut life = world.live(settings).await;
    life.sender = Some(Principal { id: "ann".into(), ..Principal::default() });
    let path = life.create(9).await;
    let log = until("the audit log", async || Some(world.audited().await).filter(|log| log.len() >= 2)).await;
    let expected = ["upload.expire", "", &id_of(&path), "\"Untitled\", 9 bytes; 0 bytes were there", ""];
    assert_eq!(log[1], expected.map(str::to_owned));
}

#[tokio::test]
async fn an_upload_of_another_is_not_there() {
    let world = World::new().await;
    let mut life = world.live(small()).await;
    let is = |id: &str, scopes: &[&str]| {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Some(Principal { id: id.into(), scopes, ..Principal::default() })
    };
    life.sender = is("ann", &["content:write"]);
    let (path, part) = (life.create(9).await, {
        let headers = [("Upload-Length", "4"), ("Upload-Concat", "partial")];
        let answer = life.send("POST", "/files", &headers, Body::empty()).await;
        let part = header(&answer, "location").unwrap();
        life.patch(&part, 0, "1234", &[]).await;
        part
    });
    // Nor with a key that is only for managing the server.
    for stranger in [is("bob", &["content:write"]), is("bob", &["admin"]), None] {
        life.sender = stranger;
        assert_eq!(life.send("HEAD", &path, &[], Body::empty()).await.status(), 404);
        assert_eq!(life.patch(&path, 0, "1234", &[]).await.status(), 404);
        assert_eq!(life.send("DELETE", &path, &[], Body::empty()).await.status(), 404);
        let joined = format!("final;{part}");
        let answer = life.send("POST", "/files", &[("Upload-Concat", &*joined)], Body::empty()).await;
        assert_eq!(answer.status(), 409);
    }
    life.sender = is("ann", &["content:write"]);
    assert_eq!(life.patch(&path, 0, "123456789", &[]).await.status(), 204);
    until("the content", async || world.content(&id_of(&path)).await.filter(|it| it["state"] == "uploaded"))
        .await;
}
