//! A storage, a catalogue and a queue in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, delete};
use gstreamer as gst;
use gstreamer::prelude::*;
use http::Method;
use streamgate_contracts::catalogue::v1::catalogue_server::{Catalogue, CatalogueServer};
use streamgate_contracts::fence;
use streamgate_contracts::jobs::v1::jobs_server::{Jobs, JobsServer};
use streamgate_contracts::renditions;
use tonic::{Request, Response};

use super::super::*;
use super::ID;

#[derive(Default)]
pub(super) struct Inner {
    pub(super) objects: BTreeMap<String, Bytes>,
    pub(super) puts: HashMap<String, usize>,
    pub(super) full: bool,
    /// The database has no room.
    pub(super) no_room_for_rows: bool,
    pub(super) content: catalogue::Content,
    pub(super) renditions: BTreeMap<String, catalogue::Rendition>,
    pub(super) segments: BTreeMap<String, Vec<catalogue::Segment>>,
    pub(super) playable_with: Vec<String>,
    pub(super) gone: bool,
    /// With that, that it was deleted is not known.
    pub(super) forgotten: bool,
    pub(super) cancel: bool,
    /// The largest fence so far.
    pub(super) fence: u64,
    /// Another run takes over with the first rows of segments.
    pub(super) overtaken: bool,
    /// Cancelled with the first rows of segments of a generation.
    pub(super) stop_at_segments: Option<(u32, CancellationToken)>,
    /// Objects that were written again although a row names them.
    pub(super) rewritten: Vec<String>,
    pub(super) ends: Vec<String>,
    /// What the last job that was completed had worked on.
    pub(super) worked_ms: u64,
}

#[derive(Clone, Default)]
pub(super) struct World(pub(super) Arc<Mutex<Inner>>);

impl World {
    pub(super) fn with(source: &[u8]) -> Self {
        let world = Self::default();
        let mut inner = world.0.lock().unwrap();
        inner.objects.insert(format!("{ID}/source"), Bytes::copy_from_slice(source));
        inner.content.id = ID.to_owned();
        inner.content.set_state(ContentState::Uploaded);
        drop(inner);
        world
    }

    pub(super) fn platform(&self, shutdown: &CancellationToken) -> Platform {
        let storage = Router::new()
            .route("/media/", delete(remove).put(raise))
            .route("/media/{*key}", any(object))
            .with_state(self.clone());
        let catalogue = tonic::service::Routes::new(CatalogueServer::new(self.clone())).into_axum_router();
        let jobs = tonic::service::Routes::new(JobsServer::new(self.clone())).into_axum_router();
        Platform {
            storage: Client::from_service(storage),
            catalogue: Client::from_service(catalogue),
            jobs: Client::from_service(jobs),
            host: None,
            shutdown: shutdown.clone(),
            options: Options { preset: "ultrafast".to_owned(), nice: 0, ..Options::default() },
            lease: Duration::from_secs(10),
            no_room_pause: Duration::from_secs(7),
        }
    }

    pub(super) async fn run(&self, shutdown: &CancellationToken) {
        crate::media::start().unwrap();
        run(&self.platform(shutdown), job(), "lease".to_owned(), String::new()).await;
    }

    pub(super) async fn run_job(&self, job: jobs::Job) {
        crate::media::start().unwrap();
        run(&self.platform(&CancellationToken::new()), job, "lease".to_owned(), String::new()).await;
    }

    pub(super) async fn run_once(&self) {
        self.run(&CancellationToken::new()).await;
    }

    pub(super) fn check_whole(&self) {
        let inner = self.0.lock().unwrap();
        assert_eq!(inner.content.state(), ContentState::Ready, "{}", inner.content.reason);
        assert_eq!(inner.content.progress, 1.0);
        assert!(inner.content.has_poster && inner.content.has_thumbnails);
        let size = |name: &str| inner.objects[&format!("{ID}/{name}")].len() as u64;
        let thumbnails = size("thumbnails-0.jpg") + size("thumbnails.vtt");
        let counted = (inner.content.poster_bytes, inner.content.thumbnail_bytes);
        assert_eq!(counted, (size("poster.jpg"), thumbnails), "pictures are counted as they are");
        let newest = inner.renditions.values().map(|it| it.generation).max().unwrap();
        let of_newest = inner.renditions.values().filter(|it| it.generation == newest);
        let names: Vec<_> = of_newest.clone().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["234p", "360p"]);
        assert!(of_newest.clone().all(|it| it.complete));
        let mut keys: Vec<String> =
            ["poster.jpg", "source", "thumbnails-0.jpg", "thumbnails.vtt"].map(str::to_owned).into();
        for (name, rendition) in &inner.renditions {
            assert_eq!(inner.objects[&format!("{ID}/{name}/init.mp4")].len(), rendition.init_bytes as usize);
            keys.push(format!("{name}/init.mp4"));
            let rows = inner.segments.get(name).map_or(&[][..], Vec::as_slice);
            assert_eq!(
                rows.iter().map(|row| row.number).collect::<Vec<_>>(),
                (0..rows.len() as u32).collect::<Vec<_>>()
            );
            for row in rows {
                let key = format!("{name}/{}.m4s", row.number);
                assert_eq!(inner.objects[&format!("{ID}/{key}")].len(), row.bytes as usize);
                assert_eq!((row.sync_points.len(), row.sync_points[0].time), (1, row.start));
                keys.push(key);
            }
        }
        assert_eq!(inner.rewritten, [""; 0], "what has an address keeps its bytes");
        let mut found: Vec<_> = inner.objects.keys().map(|key| key[ID.len() + 1..].to_owned()).collect();
        keys.sort();
        found.sort();
        assert_eq!(found, keys, "objects and rows agree");
    }

    pub(super) fn ends(&self) -> Vec<String> {
        self.0.lock().unwrap().ends.clone()
    }
}

async fn object(
    State(world): State<World>,
    Path(key): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> axum::response::Response {
    let mut inner = world.0.lock().unwrap();
    if method == Method::PUT {
        if !inner.admits(&headers) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        if inner.full {
            return StatusCode::INSUFFICIENT_STORAGE.into_response();
        }
        *inner.puts.entry(key.clone()).or_default() += 1;
        if inner.names(&key) {
            inner.rewritten.push(key.clone());
        }
        inner.objects.insert(key, body);
        return StatusCode::CREATED.into_response();
    }
    let Some(data) = inner.objects.get(&key).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let range =
        headers.get("range").map(|range| range.to_str().unwrap().trim_start_matches("bytes=").to_owned());
    match range.as_deref().and_then(|range| range.split_once('-')) {
        Some((from, to)) => {
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            (StatusCode::PARTIAL_CONTENT, data.slice(from..=to)).into_response()
        }
        None if method == Method::HEAD => [("content-length", data.len().to_string())].into_response(),
        None => data.into_response(),
    }
}

impl Inner {
    /// Whether players may have the address of an object.
    fn names(&self, key: &str) -> bool {
        let Some((folder, file)) = key[ID.len() + 1..].split_once('/') else { return false };
        let Some(rows) = self.segments.get(folder) else { return false };
        file == "init.mp4" || rows.iter().any(|row| file == format!("{}.m4s", row.number))
    }

    fn admits(&mut self, headers: &HeaderMap) -> bool {
        let said = headers.get(fence::HEADER).map(|it| it.to_str().unwrap().rsplit_once('=').unwrap());
        self.verify(said.map_or(0, |(scope, number)| {
            assert_eq!(scope, ID);
            number.parse().unwrap()
        }))
    }

    fn verify(&mut self, fence: u64) -> bool {
        let valid = fence >= self.fence || fence == 0;
        self.fence = self.fence.max(fence);
        valid
    }
}

async fn raise(State(world): State<World>, headers: HeaderMap) -> StatusCode {
    let raised = headers.contains_key(fence::HEADER) && world.0.lock().unwrap().admits(&headers);
    if raised { StatusCode::NO_CONTENT } else { StatusCode::PRECONDITION_FAILED }
}

async fn remove(State(world): State<World>) -> &'static str {
    world.0.lock().unwrap().objects.clear();
    "{}"
}

#[tonic::async_trait]
impl Catalogue for World {
    async fn create(
        &self,
        _: Request<catalogue::CreateRequest>,
    ) -> Result<Response<catalogue::Content>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get(&self, _: Request<catalogue::GetRequest>) -> Result<Response<catalogue::Content>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list(
        &self,
        _: Request<catalogue::ListRequest>,
    ) -> Result<Response<catalogue::ListResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn update(
        &self,
        request: Request<catalogue::UpdateRequest>,
    ) -> Result<Response<catalogue::Content>, Status> {
        let update = request.into_inner();
        let mut inner = self.0.lock().unwrap();
        if !inner.verify(update.fence) {
            return Err(fence::refusal("too late", inner.fence));
        }
        if update.state() != ContentState::Unspecified {
            inner.content.state = update.state;
        }
        let content = &mut inner.content;
        content.reason = update.reason.unwrap_or(content.reason.clone());
        content.progress = update.progress.unwrap_or(content.progress);
        content.duration_ms = update.duration_ms.unwrap_or(content.duration_ms);
        content.has_poster |= update.has_poster.unwrap_or(false);
        content.has_thumbnails |= update.has_thumbnails.unwrap_or(false);
        content.poster_bytes = update.poster_bytes.unwrap_or(content.poster_bytes);
        content.thumbnail_bytes = update.thumbnail_bytes.unwrap_or(content.thumbnail_bytes);
        if update.source.is_some() {
            content.source = update.source;
        }
        Ok(Response::new(content.clone()))
    }
    async fn put_renditions(
        &self,
        request: Request<catalogue::PutRenditionsRequest>,
    ) -> Result<Response<catalogue::Content>, Status> {
        let mut inner = self.0.lock().unwrap();
        for rendition in request.into_inner().renditions {
            assert!(
                inner.objects.contains_key(&format!("{ID}/{}/init.mp4", rendition.folder())),
                "bytes before rows"
            );
            inner.renditions.insert(rendition.folder(), rendition);
        }
        Ok(Response::new(inner.content.clone()))
    }
    async fn put_segments(
        &self,
        request: Request<catalogue::PutSegmentsRequest>,
    ) -> Result<Response<catalogue::Content>, Status> {
        let request = request.into_inner();
        let mut inner = self.0.lock().unwrap();
        if inner.gone {
            return Err(Status::not_found("deleted"));
        }
        if inner.overtaken {
            inner.fence += 1;
        }
        if !inner.verify(request.fence) {
            return Err(fence::refusal("too late", inner.fence));
        }
        if inner.no_room_for_rows {
            return Err(Status::resource_exhausted("the disk is full"));
        }
        let folders: Vec<_> = request.segments.iter().map(|of| of.rendition.clone()).collect();
        for of in request.segments {
            assert!(inner.renditions.contains_key(&of.rendition), "the rendition before its segments");
            for row in of.segments {
                let key = format!("{ID}/{}/{}.m4s", of.rendition, row.number);
                assert!(inner.objects.contains_key(&key), "bytes before rows");
                let rows = inner.segments.entry(of.rendition.clone()).or_default();
                assert_eq!(rows.len(), row.number as usize, "no gaps");
                rows.push(row);
            }
        }
        if request.playable {
            inner.content.set_state(ContentState::Playable);
            inner.playable_with = inner.segments.keys().cloned().collect();
        }
        let generation = inner.stop_at_segments.as_ref().map(|(generation, _)| *generation);
        if folders.iter().any(|folder| renditions::read_folder(folder).map(|it| it.1) == generation)
            && let Some((_, stop)) = inner.stop_at_segments.take()
        {
            stop.cancel();
        }
        Ok(Response::new(inner.content.clone()))
    }
    async fn timeline(
        &self,
        _: Request<catalogue::TimelineRequest>,
    ) -> Result<Response<catalogue::TimelineResponse>, Status> {
        let inner = self.0.lock().unwrap();
        let renditions = inner.renditions.values().map(|rendition| catalogue::RenditionTimeline {
            segments: inner.segments.get(&rendition.folder()).cloned().unwrap_or_default(),
            rendition: Some(rendition.clone()),
        });
        Ok(Response::new(catalogue::TimelineResponse {
            unchanged: false,
            content: Some(inner.content.clone()),
            renditions: renditions.collect(),
        }))
    }
    async fn delete(
        &self,
        _: Request<catalogue::DeleteRequest>,
    ) -> Result<Response<catalogue::DeleteResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn deleted(
        &self,
        _: Request<catalogue::DeletedRequest>,
    ) -> Result<Response<catalogue::DeletedResponse>, Status> {
        let inner = self.0.lock().unwrap();
        let ids = if inner.gone && !inner.forgotten { vec![ID.to_owned()] } else { Vec::new() };
        Ok(Response::new(catalogue::DeletedResponse { ids }))
    }
    async fn standing(
        &self,
        _: Request<catalogue::StandingRequest>,
    ) -> Result<Response<catalogue::StandingResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn owners(
        &self,
        _: Request<catalogue::OwnersRequest>,
    ) -> Result<Response<catalogue::OwnersResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn usage(
        &self,
        _: Request<catalogue::UsageRequest>,
    ) -> Result<Response<catalogue::UsageResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

impl World {
    fn ended(&self, how: String) -> Result<Response<jobs::Job>, Status> {
        self.0.lock().unwrap().ends.push(how);
        Ok(Response::new(jobs::Job::default()))
    }
}

#[tonic::async_trait]
impl Jobs for World {
    async fn enqueue(&self, _: Request<jobs::EnqueueRequest>) -> Result<Response<jobs::Job>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn lease(&self, _: Request<jobs::LeaseRequest>) -> Result<Response<jobs::LeaseResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn heartbeat(
        &self,
        _: Request<jobs::HeartbeatRequest>,
    ) -> Result<Response<jobs::HeartbeatResponse>, Status> {
        Ok(Response::new(jobs::HeartbeatResponse { cancelled: self.0.lock().unwrap().cancel }))
    }
    async fn complete(&self, request: Request<jobs::CompleteRequest>) -> Result<Response<jobs::Job>, Status> {
        self.0.lock().unwrap().worked_ms = request.get_ref().worked_ms;
        self.ended(format!("complete {}", String::from_utf8_lossy(&request.get_ref().result)))
    }
    async fn fail(&self, request: Request<jobs::FailRequest>) -> Result<Response<jobs::Job>, Status> {
        let request = request.into_inner();
        self.ended(format!("{} {}", if request.permanent { "dead" } else { "again" }, request.error))
    }
    async fn release(&self, request: Request<jobs::ReleaseRequest>) -> Result<Response<jobs::Job>, Status> {
        let jobs::ReleaseRequest { delay_ms, reason, .. } = request.into_inner();
        self.ended(if delay_ms == 0 { "release".to_owned() } else { format!("in {delay_ms} ms: {reason}") })
    }
    async fn get(&self, _: Request<jobs::GetRequest>) -> Result<Response<jobs::Job>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn cancel(&self, _: Request<jobs::CancelRequest>) -> Result<Response<jobs::Job>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn retry(&self, _: Request<jobs::RetryRequest>) -> Result<Response<jobs::Job>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn share(&self, _: Request<jobs::ShareRequest>) -> Result<Response<jobs::ShareResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

pub(super) fn job() -> jobs::Job {
    jobs::Job {
        id: "job".to_owned(),
        payload: format!("{{\"content\":\"{ID}\"}}").into(),
        attempt: 1,
        max_attempts: 5,
        ..jobs::Job::default()
    }
}

/// Five seconds of moving picture.
pub(super) fn clip() -> Vec<u8> {
    crate::media::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=126 ! video/x-raw,width=640,height=360,framerate=25/1 ! \
         x264enc speed-preset=ultrafast ! mp4mux ! filesink location={}",
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    std::fs::read(path).unwrap()
}
