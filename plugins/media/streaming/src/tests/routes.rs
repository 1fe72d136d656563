//! Behaviour through HTTP: requests against a catalogue and a storage in this process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use streamgate_contracts::catalogue::v1::catalogue_server::{Catalogue, CatalogueServer};
use streamgate_contracts::catalogue::v1::*;
use streamgate_plugin_api::Client;
use tonic::{Request as Call, Response as Reply, Status};

use super::*;
use crate::manifest::contents::{Limits, Watcher};
use crate::manifest::documents::Style;
use crate::object::answer::{Entity, IMMUTABLE};
use crate::samples::{self, ID};

#[path = "gated.rs"]
mod gated;
#[path = "texts.rs"]
mod texts;

/// A catalogue of at most one content.
#[derive(Clone, Default)]
struct Shelf {
    content: Arc<Mutex<Option<TimelineResponse>>>,
    questions: Arc<AtomicU32>,
    broken: Arc<Mutex<bool>>,
}

#[tonic::async_trait]
impl Catalogue for Shelf {
    async fn timeline(&self, call: Call<TimelineRequest>) -> Result<Reply<TimelineResponse>, Status> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        if *self.broken.lock().unwrap() {
            return Err(Status::unavailable("the disk is on fire"));
        }
        let call = call.into_inner();
        let content = self.content.lock().unwrap().clone().ok_or_else(|| Status::not_found("none"))?;
        if call.id != ID {
            return Err(Status::not_found("none"));
        }
        if content.content.as_ref().unwrap().revision == call.known_revision {
            return Ok(Reply::new(TimelineResponse { unchanged: true, ..TimelineResponse::default() }));
        }
        Ok(Reply::new(content))
    }
    async fn create(&self, _: Call<CreateRequest>) -> Result<Reply<Content>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn get(&self, _: Call<GetRequest>) -> Result<Reply<Content>, Status> {
        Err(Status::unimplemented("timelines only"))
    }
    async fn list(&self, _: Call<ListRequest>) -> Result<Reply<ListResponse>, Status> {
        Err(Status::unimplemented("timelines only"))
    }
    async fn update(&self, _: Call<UpdateRequest>) -> Result<Reply<Content>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn put_renditions(&self, _: Call<PutRenditionsRequest>) -> Result<Reply<Content>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn put_segments(&self, _: Call<PutSegmentsRequest>) -> Result<Reply<Content>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn delete(&self, _: Call<DeleteRequest>) -> Result<Reply<DeleteResponse>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn deleted(&self, _: Call<DeletedRequest>) -> Result<Reply<DeletedResponse>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn standing(&self, _: Call<StandingRequest>) -> Result<Reply<StandingResponse>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn owners(&self, _: Call<OwnersRequest>) -> Result<Reply<OwnersResponse>, Status> {
        Err(Status::unimplemented("read only"))
    }
    async fn usage(&self, _: Call<UsageRequest>) -> Result<Reply<UsageResponse>, Status> {
        Err(Status::unimplemented("read only"))
    }
}

/// Storage of bucket `media`.
#[derive(Clone, Default)]
struct Drawer {
    objects: Arc<Mutex<HashMap<String, Bytes>>>,
    loads: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for Drawer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let key = request.uri().path().strip_prefix("/media/").unwrap().to_owned();
        let object = self.objects.lock().unwrap().get(&key).cloned();
        ready(Ok(match object {
            Some(body) => {
                let tag = HeaderValue::from_static("\"stored\"");
                Entity::new(body, HeaderValue::from_static("application/octet-stream"), IMMUTABLE, tag)
                    .answer(request.method(), request.headers())
            }
            None => nothing_here(&request.into_parts().0),
        }))
    }
}

struct Forgetful(Arc<Objects>);

impl Watcher for Forgetful {
    fn outdated(&self, id: ContentId) {
        self.0.forget(id);
    }
    fn catalogue(&self, _: Option<&str>) {}
}

struct Stage {
    shelf: Shelf,
    drawer: Drawer,
    contents: Arc<Contents>,
    objects: Arc<Objects>,
    site: Site,
}

/// The response with its body read.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Stage {
    fn new(max_age: Duration) -> Self {
        let (shelf, drawer) = (Shelf::default(), Drawer::default());
        let catalogue = tonic::service::Routes::new(CatalogueServer::new(shelf.clone())).into_axum_router();
        // Objects up to 8 KiB are cached: the segments of the sample are 1,000 and 500 bytes.
        let objects = Arc::new(Objects::new(
            Client::from_service(drawer.clone()),
            1 << 16,
            1 << 13,
            Duration::from_secs(5),
        ));
        let limits = Limits {
            cache_bytes: 1 << 22,
            max_age,
            growing_max_age: max_age,
            timeout: Duration::from_secs(5),
        };
        let style = Style { floor: 2, complete: HeaderValue::from_static("public, max-age=60") };
        let contents = Arc::new(Contents::new(
            Client::from_service(catalogue),
            Arc::new(Forgetful(objects.clone())),
            limits,
            style,
        ));
        let site = Site::new(contents.clone(), objects.clone(), None);
        Self { shelf, drawer, contents, objects, site }
    }

    fn with(state: ContentState, segments: u32) -> Self {
        let stage = Self::new(Duration::from_secs(3600));
        stage.put(samples::response(state, segments));
        stage
    }

    /// Sets this as the content, with all objects that it refers to.
    fn put(&self, response: TimelineResponse) {
        let mut objects = self.drawer.objects.lock().unwrap();
        for rendition in &response.renditions {
            let name = &rendition.rendition.as_ref().unwrap().folder();
            let init_bytes = rendition.rendition.as_ref().unwrap().init_bytes as usize;
            objects.insert(format!("{ID}/{name}/init.mp4"), vec![b'i'; init_bytes].into());
            for segment in &rendition.segments {
                let body: Vec<u8> = (0..segment.bytes).map(|n| (n % 251) as u8).collect();
                objects.insert(format!("{ID}/{name}/{}.m4s", segment.number), body.into());
            }
        }
        *self.shelf.content.lock().unwrap() = Some(response);
    }

    async fn request(&self, method: Method, path: &str, fields: &[(&'static str, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = self.site.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Got { status: parts.status, headers: parts.headers, body: body.collect_bytes(1 << 24).await.unwrap() }
    }

    async fn get(&self, rest: &str) -> Got {
        self.request(Method::GET, &format!("/v/{ID}/{rest}"), &[]).await
    }

    /// Reports a revision, and waits until the catalogue may be called for it: a slow one is not called again
    /// at once.
    async fn announce(&self, revision: u64) {
        self.contents.changed(self.id(), revision);
        let waiting = async {
            while self.contents.fresh(self.id()).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it is called");
    }

    fn questions(&self) -> u32 {
        self.shelf.questions.load(Ordering::SeqCst)
    }

    fn loads(&self) -> usize {
        self.drawer.loads.load(Ordering::SeqCst)
    }

    fn id(&self) -> ContentId {
        ContentId::parse(ID).unwrap()
    }
}

#[tokio::test]
async fn playlists_and_the_manifest_have_their_types_and_any_page_may_read_them() {
    let stage = Stage::with(ContentState::Ready, 3);
    for (path, media_type, begins) in [
        ("master.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U"),
        ("360p/index.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U"),
        ("360p/iframes.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U"),
        ("manifest.mpd", "application/dash+xml", "<?xml"),
    ] {
        let got = stage.get(path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert_eq!(got.field("content-type"), media_type);
        assert_eq!(got.field("access-control-allow-origin"), "*");
        assert_eq!(got.field("content-length"), got.body.len().to_string());
        assert!(got.field("etag").starts_with('"'));
        assert!(got.text().starts_with(begins));
    }
}

#[tokio::test]
async fn segments_are_immutable_typed_and_tagged() {
    let stage = Stage::with(ContentState::Playable, 3);
    for (path, media_type, bytes) in [
        ("360p/init.mp4", "video/mp4", 10),
        ("360p/2.m4s", "video/mp4", 1002),
        ("audio-64k/init.mp4", "audio/mp4", 10),
        ("audio-64k/0.m4s", "audio/mp4", 500),
    ] {
        // Once from storage and once from memory.
        for _ in 0..2 {
            let got = stage.get(path).await;
            assert_eq!(got.status, StatusCode::OK, "{path}");
            assert_eq!(got.body.len(), bytes);
            assert_eq!(got.field("content-type"), media_type);
            assert_eq!(got.field("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(got.field("etag"), "\"stored\"");
            assert_eq!(got.field("accept-ranges"), "bytes");
        }
    }
    assert_eq!(stage.loads(), 4);
    assert_eq!(stage.questions(), 1);
}

#[tokio::test]
async fn a_segment_without_a_row_is_not_there_though_its_bytes_are() {
    let stage = Stage::with(ContentState::Playable, 3);
    stage.drawer.objects.lock().unwrap().insert(format!("{ID}/360p/3.m4s"), Bytes::from_static(b"early"));
    for path in
        ["360p/3.m4s", "720p/0.m4s", "720p/init.mp4", "720p/index.m3u8", "audio-64k/iframes.m3u8", "source"]
    {
        let got = stage.get(path).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(got.field("content-type"), "application/problem+json");
        assert_eq!(got.field("access-control-allow-origin"), "*");
        assert_eq!(got.field("cache-control"), "no-store");
    }
    assert_eq!(stage.loads(), 0);
}

#[tokio::test]
async fn ranges_and_preconditions_hold_for_what_is_kept_and_for_what_streams_through() {
    let stage = Stage::with(ContentState::Ready, 2);
    let mut response = samples::response(ContentState::Ready, 2);
    response.renditions[0].segments[1].bytes = 50_000;
    response.content.as_mut().unwrap().revision = 6;
    stage.put(response);
    for (path, length) in [("360p/0.m4s", 1000_u32), ("360p/1.m4s", 50_000)] {
        let path = format!("/v/{ID}/{path}");
        let get = |fields: &'static [(&'static str, &'static str)]| stage.request(Method::GET, &path, fields);
        let got = get(&[("range", "bytes=100-199")]).await;
        assert_eq!(got.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(got.field("content-range"), format!("bytes 100-199/{length}"));
        assert_eq!(&got.body[..3], [100, 101, 102]);
        assert_eq!(got.body.len(), 100);
        assert_eq!(get(&[("range", "bytes=0-1,5-6")]).await.body.len(), length as usize);
        assert_eq!(get(&[("range", "bytes=99999-")]).await.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(get(&[("if-none-match", "\"stored\"")]).await.status, StatusCode::NOT_MODIFIED);
        let got = get(&[("range", "bytes=0-1"), ("if-range", "\"older\"")]).await;
        assert_eq!((got.status, got.body.len()), (StatusCode::OK, length as usize));
        let got = stage.request(Method::HEAD, &path, &[]).await;
        assert_eq!((got.status, got.body.len()), (StatusCode::OK, 0));
        assert_eq!(got.field("content-length"), length.to_string());
        assert_eq!(got.field("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(got.field("content-type"), "video/mp4");
    }
}

#[tokio::test]
async fn a_playlist_that_did_not_change_is_answered_with_304() {
    let stage = Stage::with(ContentState::Playable, 2);
    let path = format!("/v/{ID}/360p/index.m3u8");
    let tag = stage.get("360p/index.m3u8").await.field("etag").to_owned();
    let again = stage.request(Method::GET, &path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let mut more = samples::response(ContentState::Playable, 3);
    more.content.as_mut().unwrap().revision = 6;
    stage.put(more);
    stage.announce(6).await;
    let again = stage.request(Method::GET, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn a_content_is_waited_for_until_it_is_playable() {
    for state in [ContentState::Uploading, ContentState::Uploaded, ContentState::Transcoding] {
        let stage = Stage::with(state, 0);
        for path in ["master.m3u8", "manifest.mpd"] {
            let got = stage.get(path).await;
            assert_eq!(got.status, StatusCode::NOT_FOUND);
            assert!(got.text().contains("urn:streamgate:problem:not-playable"), "{}", got.text());
            assert!(got.text().contains(state.name()));
            assert_eq!(got.field("retry-after"), "1");
        }
    }
}

#[tokio::test]
async fn an_event_brings_the_next_segment_and_without_one_the_catalogue_is_not_called() {
    let stage = Stage::with(ContentState::Playable, 2);
    assert_eq!(stage.get("360p/index.m3u8").await.text().matches("#EXTINF").count(), 2);
    let mut more = samples::response(ContentState::Playable, 3);
    more.content.as_mut().unwrap().revision = 6;
    stage.put(more);
    assert_eq!(stage.get("360p/2.m4s").await.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.questions(), 1);
    stage.announce(6).await;
    assert_eq!(stage.get("360p/index.m3u8").await.text().matches("#EXTINF").count(), 3);
    assert_eq!(stage.get("360p/2.m4s").await.status, StatusCode::OK);
    assert_eq!(stage.questions(), 2);
}

#[tokio::test]
async fn without_any_event_an_old_content_is_requested_again() {
    let stage = Stage::new(Duration::ZERO);
    stage.put(samples::response(ContentState::Playable, 2));
    assert_eq!(stage.get("360p/index.m3u8").await.status, StatusCode::OK);
    let mut more = samples::response(ContentState::Ready, 4);
    more.content.as_mut().unwrap().revision = 6;
    stage.put(more);
    // What was requested in this very millisecond is not old yet.
    let ended = async {
        loop {
            let got = stage.get("360p/index.m3u8").await;
            if got.text().contains("#EXT-X-ENDLIST") {
                break got;
            }
            tokio::task::yield_now().await;
        }
    };
    let got = tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
    assert_eq!(got.text().matches("#EXTINF").count(), 4);
}

#[tokio::test]
async fn a_deleted_content_is_gone_at_once_with_all_that_was_kept_of_it() {
    let stage = Stage::with(ContentState::Ready, 2);
    assert_eq!(stage.get("360p/0.m4s").await.status, StatusCode::OK);
    *stage.shelf.content.lock().unwrap() = None;
    stage.contents.deleted(stage.id());
    for path in ["master.m3u8", "360p/index.m3u8", "360p/0.m4s", "360p/init.mp4"] {
        let got = stage.get(path).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert!(got.text().contains("no-content"));
    }
}

#[tokio::test]
async fn what_another_generation_took_the_place_of_is_served_at_its_own_addresses_until_its_time_is_over() {
    let stage = Stage::with(ContentState::Playable, 2);
    assert_eq!(stage.get("360p/init.mp4").await.body, "iiiiiiiiii");
    let turned = |until_ms| {
        let mut response = samples::response(ContentState::Playable, 2);
        let old = response.renditions.iter().cloned().map(|mut it| {
            it.rendition.as_mut().unwrap().turn = Some(Turn { coming: false, until_ms });
            it
        });
        let old: Vec<_> = old.collect();
        response.renditions.truncate(1);
        let new = &mut response.renditions[0];
        new.rendition.as_mut().unwrap().generation = 1;
        new.rendition.as_mut().unwrap().init_bytes = 3;
        new.segments[0].bytes = 77;
        response.renditions.extend(old);
        response.content.as_mut().unwrap().revision += 1;
        response
    };
    stage.put(turned(i64::MAX));
    stage.announce(samples::response(ContentState::Playable, 2).content.unwrap().revision + 1).await;
    assert!(stage.get("360p/index.m3u8?g=1").await.text().contains("../360p.1/0.m4s"));
    // A player that began before has the earlier addresses, in two periods with DASH.
    assert!(stage.get("360p/index.m3u8").await.text().contains("\n0.m4s\n"));
    assert!(stage.get("360p/iframes.m3u8").await.text().contains("\n0.m4s\n"));
    assert_eq!(stage.get("manifest.mpd?g=0").await.text().matches("<Period ").count(), 1);
    for path in ["manifest.mpd", "manifest.mpd?g=x", "manifest.mpd?g=9"] {
        assert!(!stage.get(path).await.text().contains("\"360p\""), "{path}");
    }
    for (path, bytes) in [
        ("360p/init.mp4", 10),
        ("360p/0.m4s", 1000),
        ("360p.1/init.mp4", 3),
        ("360p.1/0.m4s", 77),
        ("audio-64k/0.m4s", 500),
    ] {
        assert_eq!(stage.get(path).await.body.len(), bytes, "{path}");
    }
    for path in ["360p.2/0.m4s", "360p.1/index.m3u8", "audio-64k/index.m3u8", "audio-64k.1/0.m4s"] {
        assert_eq!(stage.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let stage = Stage::new(Duration::from_secs(3600));
    stage.put(turned(now_ms()));
    assert_eq!(stage.get("360p/0.m4s").await.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.get("360p.1/0.m4s").await.body.len(), 77);
}

#[tokio::test]
async fn after_another_encoding_nothing_old_is_served() {
    let stage = Stage::with(ContentState::Ready, 2);
    assert_eq!(stage.get("360p/init.mp4").await.body, "iiiiiiiiii");
    assert_eq!(stage.get("360p/0.m4s").await.body.len(), 1000);
    let mut other = samples::response(ContentState::Ready, 2);
    other.content.as_mut().unwrap().revision = 9;
    for segment in &mut other.renditions[0].segments {
        segment.bytes += 7;
    }
    stage.put(other);
    stage
        .drawer
        .objects
        .lock()
        .unwrap()
        .insert(format!("{ID}/360p/init.mp4"), Bytes::from_static(b"jjjjjjjjjj"));
    stage.announce(9).await;
    assert_eq!(stage.get("360p/0.m4s").await.body.len(), 1007);
    assert_eq!(stage.get("360p/init.mp4").await.body, "jjjjjjjjjj");
}

#[tokio::test]
async fn while_the_catalogue_is_down_what_is_known_is_served() {
    let stage = Stage::new(Duration::ZERO);
    *stage.shelf.broken.lock().unwrap() = true;
    let got = stage.get("master.m3u8").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.field("retry-after"), "1");
    *stage.shelf.broken.lock().unwrap() = false;
    stage.put(samples::response(ContentState::Ready, 2));
    assert_eq!(stage.get("master.m3u8").await.status, StatusCode::OK);
    *stage.shelf.broken.lock().unwrap() = true;
    for path in ["master.m3u8", "360p/index.m3u8", "360p/1.m4s"] {
        assert_eq!(stage.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn many_who_want_the_same_cost_one_question_and_one_load() {
    let stage = Stage::with(ContentState::Ready, 2);
    let all = futures_util::future::join_all((0..50).map(|_| stage.get("360p/1.m4s"))).await;
    assert!(all.iter().all(|got| got.status == StatusCode::OK && got.body.len() == 1001));
    assert_eq!((stage.questions(), stage.loads()), (1, 1));
}

#[tokio::test]
async fn an_object_that_storage_lost_is_not_found_and_storage_that_fails_is_unavailable() {
    let stage = Stage::with(ContentState::Ready, 2);
    stage.drawer.objects.lock().unwrap().remove(&format!("{ID}/360p/0.m4s"));
    assert_eq!(stage.get("360p/0.m4s").await.status, StatusCode::NOT_FOUND);
    stage.drawer.objects.lock().unwrap().insert(format!("{ID}/360p/0.m4s"), Bytes::from(vec![1; 1000]));
    assert_eq!(stage.get("360p/0.m4s").await.status, StatusCode::OK, "the miss was not kept");
}

#[tokio::test]
async fn pictures_are_there_once_the_catalogue_says_so() {
    let stage = Stage::with(ContentState::Playable, 2);
    for name in ["poster.jpg", "thumbnails.vtt", "thumbnails-0.jpg"] {
        stage.drawer.objects.lock().unwrap().insert(format!("{ID}/{name}"), Bytes::from_static(b"picture"));
        assert_eq!(stage.get(name).await.status, StatusCode::NOT_FOUND, "{name}");
    }
    let mut with = samples::response(ContentState::Playable, 2);
    let content = with.content.as_mut().unwrap();
    (content.revision, content.has_poster, content.has_thumbnails) = (6, true, true);
    stage.put(with);
    stage.announce(6).await;
    for (name, media_type) in [
        ("poster.jpg", "image/jpeg"),
        ("thumbnails.vtt", "text/vtt; charset=utf-8"),
        ("thumbnails-0.jpg", "image/jpeg"),
    ] {
        let got = stage.get(name).await;
        assert_eq!((got.status, got.text()), (StatusCode::OK, "picture"));
        assert_eq!(got.field("content-type"), media_type);
        assert_eq!(got.field("cache-control"), "public, max-age=60");
        assert_eq!(got.field("access-control-allow-origin"), "*");
    }
    assert_eq!(stage.get("thumbnails-1.jpg").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn preflights_are_answered_and_writers_are_refused() {
    let stage = Stage::with(ContentState::Ready, 1);
    let path = format!("/v/{ID}/360p/0.m4s");
    let fields = [("origin", "https://example.org"), ("access-control-request-headers", "range")];
    let got = stage.request(Method::OPTIONS, &path, &fields).await;
    assert_eq!(got.status, StatusCode::NO_CONTENT);
    assert_eq!(got.field("access-control-allow-origin"), "*");
    assert_eq!(got.field("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert!(got.field("access-control-allow-headers").contains("Range"));
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        let got = stage.request(method, &path, &[]).await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(got.field("allow"), "GET, HEAD, OPTIONS");
    }
    assert_eq!(stage.questions(), 0);
}

#[tokio::test]
async fn no_answer_about_media_is_ever_a_redirect() {
    let stage = Stage::with(ContentState::Ready, 1);
    for path in ["", "/", "360p", "360p/", "master.m3u8/", "../master.m3u8", "360p/../master.m3u8"] {
        assert_eq!(stage.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
