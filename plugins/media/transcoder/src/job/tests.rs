//! Jobs against a storage, a catalogue and a queue in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, delete};
use gstreamer as gst;
use gstreamer::prelude::*;
use streamgate_contracts::catalogue::v1::catalogue_server::{Catalogue, CatalogueServer};
use streamgate_contracts::fence;
use streamgate_contracts::jobs::v1::jobs_server::{Jobs, JobsServer};
use streamgate_contracts::renditions;
use tonic::{Request, Response};

use super::*;

const ID: &str = "0190aaaa-0000-7000-8000-000000000001";

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    puts: HashMap<String, usize>,
    full: bool,
    /// The database has no room.
    no_room_for_rows: bool,
    content: catalogue::Content,
    renditions: BTreeMap<String, catalogue::Rendition>,
    segments: BTreeMap<String, Vec<catalogue::Segment>>,
    playable_with: Vec<String>,
    gone: bool,
    /// With that, that it was deleted is not known.
    forgotten: bool,
    cancel: bool,
    /// The largest fence so far.
    fence: u64,
    /// Another run takes over with the first rows of segments.
    overtaken: bool,
    /// Cancelled with the first rows of segments of a generation.
    stop_at_segments: Option<(u32, CancellationToken)>,
    /// Objects that were written again although a row names them.
    rewritten: Vec<String>,
    ends: Vec<String>,
    /// What the last job that was completed had worked on.
    worked_ms: u64,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Inner>>);

impl World {
    fn with(source: &[u8]) -> Self {
        let world = Self::default();
        let mut inner = world.0.lock().unwrap();
        inner.objects.insert(format!("{ID}/source"), Bytes::copy_from_slice(source));
        inner.content.id = ID.to_owned();
        inner.content.set_state(ContentState::Uploaded);
        drop(inner);
        world
    }

    fn platform(&self, shutdown: &CancellationToken) -> Platform {
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

    async fn run(&self, shutdown: &CancellationToken) {
        crate::media::start().unwrap();
        run(&self.platform(shutdown), job(), "lease".to_owned(), String::new()).await;
    }

    async fn run_job(&self, job: jobs::Job) {
        crate::media::start().unwrap();
        run(&self.platform(&CancellationToken::new()), job, "lease".to_owned(), String::new()).await;
    }

    async fn run_once(&self) {
        self.run(&CancellationToken::new()).await;
    }

    fn check_whole(&self) {
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

    fn ends(&self) -> Vec<String> {
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

use http::Method;

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

fn job() -> jobs::Job {
    jobs::Job {
        id: "job".to_owned(),
        payload: format!("{{\"content\":\"{ID}\"}}").into(),
        attempt: 1,
        max_attempts: 5,
        ..jobs::Job::default()
    }
}

/// Five seconds of moving picture.
fn clip() -> Vec<u8> {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_becomes_ready_and_is_playable_with_its_watchable_rung() {
    let world = World::with(&clip());
    world.run_once().await;
    world.check_whole();
    assert_eq!(world.ends(), ["complete "]);
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.playable_with, ["360p"]);
    assert_eq!(inner.content.duration_ms, 5040);
    assert!((5_000..5_100).contains(&inner.worked_ms), "{} ms", inner.worked_ms);
    assert_eq!(inner.content.source.as_ref().unwrap().video_codec, "h264");
    assert!(inner.puts.values().all(|count| *count == 1), "{:?}", inner.puts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_video_fails_for_good_with_its_reason() {
    let world = World::with(b"Dear diary, nothing happened.\n");
    world.run_once().await;
    let reason = "This is a text file, not a video or a sound file.";
    assert_eq!(world.ends(), [format!("dead {reason}")]);
    let inner = world.0.lock().unwrap();
    assert_eq!((inner.content.state(), inner.content.reason.as_str()), (ContentState::Failed, reason));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_content_is_left_alone() {
    let world = World::with(b"");
    world.0.lock().unwrap().content.set_state(ContentState::Ready);
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is ready"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_gives_the_job_back_and_the_next_attempt_writes_no_whole_segment_again() {
    let world = World::with(&clip());
    let shutdown = CancellationToken::new();
    world.0.lock().unwrap().stop_at_segments = Some((0, shutdown.clone()));
    world.run(&shutdown).await;
    assert_eq!(world.ends(), ["release"]);
    let written: Vec<_> = {
        let inner = world.0.lock().unwrap();
        let whole = |(name, rows): (&String, &Vec<catalogue::Segment>)| {
            let name = name.clone();
            rows.iter().map(move |row| format!("{ID}/{name}/{}.m4s", row.number)).collect::<Vec<_>>()
        };
        inner.segments.iter().flat_map(whole).collect()
    };
    assert!(!written.is_empty());
    world.run_once().await;
    world.check_whole();
    let inner = world.0.lock().unwrap();
    for key in written {
        assert_eq!(inner.puts[&key], 1, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_has_the_fence_and_a_run_that_was_overtaken_stops_records_nothing_and_removes_nothing() {
    let world = World::with(&clip());
    world.0.lock().unwrap().overtaken = true;
    world.run_job(jobs::Job { fence: 7, ..job() }).await;
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    let left = {
        let mut inner = world.0.lock().unwrap();
        inner.overtaken = false;
        assert_eq!((inner.fence, inner.content.state()), (8, ContentState::Transcoding));
        inner.objects.len()
    };
    // The same run, had it been asleep all the time.
    world.run_job(jobs::Job { fence: 7, attempt: 5, ..job() }).await;
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    assert_eq!(world.0.lock().unwrap().objects.len(), left);
    world.run_job(jobs::Job { fence: 8, ..job() }).await;
    assert_eq!(world.ends(), ["complete "]);
    world.check_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_content_leaves_nothing_behind() {
    let world = World::with(&clip());
    world.0.lock().unwrap().gone = true;
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is gone"]);
    assert!(world.0.lock().unwrap().objects.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_content_that_the_catalogue_only_does_not_know_nothing_is_removed() {
    let world = World::with(&clip());
    world.0.lock().unwrap().gone = true;
    world.0.lock().unwrap().forgotten = true;
    world.run_once().await;
    assert_eq!(world.ends(), ["complete the content is gone"]);
    assert!(world.0.lock().unwrap().objects.contains_key(&format!("{ID}/source")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for_even_at_the_last_attempt_and_what_was_playable_stays_so() {
    let world = World::with(&clip());
    world.0.lock().unwrap().full = true;
    let last = |job: jobs::Job| jobs::Job { attempt: 5, max_attempts: 5, ..job };
    world.run_job(last(job())).await;
    assert_eq!(world.ends(), ["in 7000 ms: the storage is full"]);
    assert_eq!(world.0.lock().unwrap().content.state(), ContentState::Transcoding);
    {
        let mut inner = world.0.lock().unwrap();
        (inner.full, inner.no_room_for_rows) = (false, true);
        inner.content.set_state(ContentState::Playable);
    }
    world.run_job(last(job())).await;
    assert!(world.ends()[1].starts_with("in 7000 ms: the catalogue has no room"), "{:?}", world.ends());
    assert_eq!(world.0.lock().unwrap().content.state(), ContentState::Playable);
    world.0.lock().unwrap().no_room_for_rows = false;
    world.run_once().await;
    world.check_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_queue_sets_aside_is_not_worked_on_and_its_content_has_failed_with_a_reason() {
    let world = World::with(&clip());
    let platform = world.platform(&CancellationToken::new());
    run(&platform, job(), "lease".to_owned(), "its process ended 2 times".to_owned()).await;
    assert_eq!(world.ends(), ["dead its process ended 2 times"]);
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.content.state(), ContentState::Failed);
    assert_eq!(inner.content.reason, SET_ASIDE);
    assert!(inner.puts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_stops_and_says_so() {
    let world = World::with(&clip());
    world.0.lock().unwrap().cancel = true;
    world.run_once().await;
    assert_eq!(world.ends(), Vec::<String>::new());
    let inner = world.0.lock().unwrap();
    assert_eq!(inner.content.state(), ContentState::Failed);
    assert_eq!(inner.content.reason, "Encoding was cancelled.");
}

/// Attempts with these presets, all but the last stopped with the first segments of a generation: each its own.
async fn attempts(world: &World, presets: &[&str]) {
    for (at, preset) in presets.iter().enumerate() {
        let shutdown = CancellationToken::new();
        let last = at + 1 == presets.len();
        world.0.lock().unwrap().stop_at_segments = (!last).then(|| (at as u32, shutdown.clone()));
        crate::media::start().unwrap();
        let mut platform = world.platform(&shutdown);
        platform.options.preset = (*preset).to_owned();
        run(&platform, job(), "lease".to_owned(), String::new()).await;
    }
}

fn generations_of(world: &World) -> Vec<u32> {
    let inner = world.0.lock().unwrap();
    let mut all: Vec<u32> = inner.renditions.values().map(|it| it.generation).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_do_not_fit_any_more_are_made_anew_at_other_addresses() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_was_broken_off_is_gone_on_with_if_it_fits_and_else_the_next_one_begins() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow", "slow"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1]);
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "slow", "ultrafast"]).await;
    world.check_whole();
    assert_eq!(generations_of(&world), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renditions_whose_init_segment_is_lost_are_made_anew_at_other_addresses() {
    let world = World::with(&clip());
    attempts(&world, &["ultrafast", "ultrafast"]).await;
    {
        let mut inner = world.0.lock().unwrap();
        inner.objects.remove(&format!("{ID}/360p/init.mp4")).unwrap();
        inner.content.set_state(ContentState::Playable);
    }
    attempts(&world, &["ultrafast"]).await;
    assert_eq!(generations_of(&world), [0, 1]);
    assert_eq!(world.0.lock().unwrap().rewritten, [""; 0]);
}
