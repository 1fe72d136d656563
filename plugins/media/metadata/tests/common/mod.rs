//! Shared by the tests: the catalogue over a real database and real storage, with a job queue that records
//! and a bus that listens.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod people;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use streamgate_contracts::access::v1::access_server::{self, AccessServer};
use streamgate_contracts::access::v1::{
    BarsRequest, BarsResponse, DecideRequest, Decision, Openness, PoliciesRequest, PoliciesResponse,
    PolicyRequest, PolicyResponse,
};
use streamgate_contracts::auth::v1::{Person, Role};
use streamgate_contracts::catalogue::v1::catalogue_client::CatalogueClient;
use streamgate_contracts::catalogue::v1::*;
use streamgate_contracts::database::v1 as database;
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::events;
use streamgate_contracts::jobs::v1::ShareResponse;
use streamgate_contracts::outbox::Bus;
use streamgate_contracts::upload::v1::upload_server::{self, UploadServer};
use streamgate_contracts::upload::v1::{ReservedRequest, ReservedResponse};
use streamgate_metadata::{Dependencies, Metadata, OpenError, Settings};
use streamgate_plugin_api::settings::ByteSize;
use streamgate_plugin_api::{Body, Client, Event};
use streamgate_sqlite::Engine;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The headers of a creator's requests, as `access` and `auth` would set them.
pub const CREATOR: [(&str, &str); 4] = [
    ("x-streamgate-client", "192.0.2.7"),
    ("x-streamgate-principal", "ann"),
    ("x-streamgate-scopes", "content:read,content:write"),
    ("x-streamgate-credential", "session:ann"),
];

pub const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// What survives a restart of the catalogue.
pub struct World {
    pub storage: Client,
    /// Dedupe keys in the order they were enqueued.
    pub enqueued: Arc<Mutex<Vec<String>>>,
    /// The queue's answer for every owner.
    pub share: Arc<Mutex<ShareResponse>>,
    pub events: Arc<Mutex<Vec<Event>>>,
    /// The storage answers 503.
    pub broken: Arc<AtomicBool>,
    /// The answers of `access`; missing ones: private.
    pub policies: Arc<Mutex<HashMap<String, Openness>>>,
    /// Principals and the contents that they are blocked from, as `access` says.
    pub bars: Arc<Mutex<Vec<(String, String)>>>,
    /// The entries of the audit log: action, principal, subject, detail and address.
    pub log: Arc<Mutex<Vec<[String; 5]>>>,
    /// The first admin according to `auth`; empty: none yet.
    pub first_admin: Arc<Mutex<String>>,
    /// The event streams that `auth` lets principals have; empty: callers without one. Of whom is not here: any number.
    pub streams: Arc<Mutex<HashMap<String, u64>>>,
    /// Bytes that the uploads of principals take.
    pub reserved: Arc<Mutex<HashMap<String, u64>>>,
    /// `access` and `auth` do not answer.
    pub dumb: Arc<AtomicBool>,
    /// How often `access` was called.
    pub calls: Arc<AtomicUsize>,
    engine: Engine,
    _directory: tempfile::TempDir,
}

/// The catalogue from one start to the next.
pub struct Life {
    pub catalogue: CatalogueClient<Client>,
    pub shutdown: CancellationToken,
    pub metadata: Metadata,
    public: Client,
    tasks: Vec<JoinHandle<()>>,
}

impl World {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::new(directory.path(), streamgate_sqlite::Settings::default());
        let storage = storage(&directory.path().join("objects"));
        let broken = Arc::new(AtomicBool::new(false));
        let switch = broken.clone();
        let storage = Client::from_service(tower::service_fn(move |request: Request<Body>| {
            let (storage, broken) = (storage.clone(), switch.load(Ordering::SeqCst));
            async move {
                if !broken && let Ok(answer) = storage.send(request).await {
                    return Ok(answer);
                }
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok::<_, std::convert::Infallible>(answer)
            }
        }));
        Self {
            storage,
            enqueued: Arc::default(),
            share: Arc::default(),
            events: Arc::default(),
            broken,
            policies: Arc::default(),
            bars: Arc::default(),
            log: Arc::default(),
            first_admin: Arc::default(),
            streams: Arc::default(),
            reserved: Arc::default(),
            dumb: Arc::default(),
            calls: Arc::default(),
            engine,
            _directory: directory,
        }
    }

    pub async fn live(&self, settings: Settings) -> Life {
        let (enqueued, events) = (self.enqueued.clone(), self.events.clone());
        let share = self.share.clone();
        let jobs = Client::from_service(tower::service_fn(move |request: Request<Body>| {
            let (enqueued, share) = (enqueued.clone(), *share.lock().unwrap());
            async move { Ok::<_, std::convert::Infallible>(enqueue(request, &enqueued, share).await) }
        }));
        let access = Door {
            policies: self.policies.clone(),
            bars: self.bars.clone(),
            dumb: self.dumb.clone(),
            calls: self.calls.clone(),
        };
        let access = tonic::service::Routes::new(AccessServer::new(access)).into_axum_router();
        let access = Client::from_service(access);
        let (log, dumb, first_admin) = (self.log.clone(), self.dumb.clone(), self.first_admin.clone());
        let streams = self.streams.clone();
        let auth = Client::from_service(tower::service_fn(move |request: Request<Body>| {
            let (log, dumb) = (log.clone(), dumb.load(Ordering::SeqCst));
            let (first, streams) = (first_admin.lock().unwrap().clone(), streams.lock().unwrap().clone());
            async move { Ok::<_, std::convert::Infallible>(auth(request, &log, first, &streams, dumb).await) }
        }));
        let bus = Bus::new(move |event| {
            events.lock().unwrap().push(event);
            std::future::ready(Ok(()))
        });
        let upload = UploadServer::new(Uploads(self.reserved.clone(), self.dumb.clone()));
        let upload = Client::from_service(tonic::service::Routes::new(upload).into_axum_router());
        let dependencies =
            Dependencies::new(self.storage.clone(), jobs, access, auth, bus).with_upload(upload);
        let shutdown = CancellationToken::new();
        let database = Client::from_service(self.engine.router());
        let metadata = Metadata::open(database, dependencies, settings, shutdown.clone()).await.unwrap();
        Life {
            catalogue: CatalogueClient::new(Client::from_service(metadata.internal())),
            shutdown,
            public: Client::from_service(metadata.public()),
            tasks: vec![tokio::spawn(metadata.show_changes()), tokio::spawn(metadata.sweep(|_| {}))],
            metadata,
        }
    }

    pub async fn put(&self, path: &str) {
        self.put_bytes(path, 1).await;
    }

    pub async fn put_bytes(&self, path: &str, bytes: usize) {
        self.put_text(path, &"x".repeat(bytes)).await;
    }

    pub async fn put_text(&self, path: &str, text: &str) {
        let request = Request::builder().method("PUT").uri(format!("http://storage/media/{path}"));
        let answer = self.storage.send(request.body(Body::from(text.to_owned())).unwrap()).await.unwrap();
        assert!(answer.status().is_success());
    }

    /// Changes rows without the catalogue.
    pub async fn execute(&self, sql: &str) {
        self.execute_all(&[sql]).await;
    }

    /// The same in one transaction.
    pub async fn execute_all(&self, statements: &[&str]) {
        let statement =
            |sql: &&str| database::Statement { sql: (*sql).into(), ..database::Statement::default() };
        let request = database::ExecuteRequest {
            namespace: "metadata".into(),
            statements: statements.iter().map(statement).collect(),
            ..database::ExecuteRequest::default()
        };
        let database = Client::from_service(self.engine.router());
        DatabaseClient::new(database).execute(request).await.unwrap();
    }

    /// The directory of the databases; `objects` in it is that of the storage.
    pub fn path(&self) -> &Path {
        self._directory.path()
    }

    /// Opens the catalogue without running it.
    pub async fn open(&self, settings: Settings) -> Result<Metadata, OpenError> {
        let nobody = || Client::from_service(axum::Router::new());
        let bus = Bus::new(|_| std::future::ready(Ok(())));
        let dependencies = Dependencies::new(self.storage.clone(), nobody(), nobody(), nobody(), bus);
        let database = Client::from_service(self.engine.router());
        Metadata::open(database, dependencies, settings, CancellationToken::new()).await
    }

    /// All objects and all unfinished ones of the media.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for kind in ["", "&incomplete=true"] {
            let request = Request::builder().uri(format!("http://storage/media/?prefix={kind}"));
            let answer = self.storage.send(request.body(Body::empty()).unwrap()).await.unwrap();
            if answer.status() == StatusCode::OK {
                let list = answer.into_body().collect_bytes(1 << 20).await.unwrap();
                let list: Value = serde_json::from_slice(&list).unwrap();
                let found = list["objects"].as_array().unwrap().iter();
                keys.extend(found.map(|object| object["key"].as_str().unwrap().to_owned()));
            }
        }
        keys
    }
}

fn storage(root: &Path) -> Client {
    let settings = streamgate_storage_fs::Settings {
        min_free: ByteSize::bytes(0),
        ..streamgate_storage_fs::Settings::default()
    };
    Client::from_service(streamgate_storage_fs::open_storage(root, &settings).unwrap())
}

/// `Jobs.Enqueue` and `Jobs.Share` by hand: five bytes of gRPC frame before the message.
async fn enqueue(
    request: Request<Body>,
    enqueued: &Mutex<Vec<String>>,
    share: ShareResponse,
) -> Response<Body> {
    use prost::Message as _;
    use streamgate_contracts::jobs::v1::{EnqueueRequest, Job};
    if request.uri().path() == "/streamgate.jobs.v1.Jobs/Share" {
        return said(&share.encode_to_vec());
    }
    assert_eq!(request.uri().path(), "/streamgate.jobs.v1.Jobs/Enqueue");
    let body = request.into_body().collect_bytes(1 << 16).await.unwrap();
    let asked = EnqueueRequest::decode(body.slice(5..)).unwrap();
    enqueued.lock().unwrap().push(asked.dedupe_key.clone());
    said(&Job { dedupe_key: asked.dedupe_key, ..Job::default() }.encode_to_vec())
}

fn said(bytes: &[u8]) -> Response<Body> {
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    message.extend_from_slice(bytes);
    let mut answer = Response::new(Body::from(message));
    answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    answer.headers_mut().insert("grpc-status", "0".parse().unwrap());
    answer
}

/// `Auth.Audit`, `Auth.FirstAdmin`, `Auth.Find` and `Auth.Quota` by hand.
async fn auth(
    request: Request<Body>,
    log: &Mutex<Vec<[String; 5]>>,
    first_admin: String,
    streams: &HashMap<String, u64>,
    dumb: bool,
) -> Response<Body> {
    use prost::Message as _;
    use streamgate_contracts::auth::v1::{
        AuditRequest, FindRequest, FindResponse, FirstAdminResponse, QuotaRequest, QuotaResponse,
    };
    let mut answer = Response::new(Body::from(vec![0; 5]));
    answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    if dumb {
        answer.headers_mut().insert("grpc-status", "14".parse().unwrap());
        return answer;
    }
    answer.headers_mut().insert("grpc-status", "0".parse().unwrap());
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect_bytes(1 << 16).await.unwrap().slice(5..);
    let message = match path.as_str() {
        "/streamgate.auth.v1.Auth/FirstAdmin" => {
            FirstAdminResponse { principal: first_admin }.encode_to_vec()
        }
        "/streamgate.auth.v1.Auth/Find" => {
            let names = FindRequest::decode(body).unwrap().names;
            FindResponse { people: names.iter().map(|name| person(name)).collect() }.encode_to_vec()
        }
        "/streamgate.auth.v1.Auth/Audit" => {
            let it = AuditRequest::decode(body).unwrap();
            log.lock().unwrap().push([it.action, it.principal, it.subject, it.detail, it.address]);
            return answer;
        }
        // Eve has room for a thousand bytes.
        "/streamgate.auth.v1.Auth/Quota" => {
            let principal = QuotaRequest::decode(body).unwrap().principal;
            let stored = (principal == "eve").then_some(1_000);
            let event_streams = streams.get(&principal).copied();
            QuotaResponse { stored, event_streams, ..QuotaResponse::default() }.encode_to_vec()
        }
        other => panic!("{other}"),
    };
    said(&message)
}

/// Ann, Bob and Eve create, Vic views. Their wallets are called as they are.
fn person(name: &str) -> Person {
    let id = name.strip_prefix("solana:").unwrap_or(name);
    let role = match id {
        "ann" | "bob" | "eve" => Role::Creator,
        "vic" => Role::Viewer,
        _ => return Person::default(),
    };
    Person {
        principal: id.into(),
        name: String::new(),
        roles: vec![role.into()],
        wallets: vec![format!("solana:{id}")],
    }
}

/// The `access` capability by hand.
struct Door {
    policies: Arc<Mutex<HashMap<String, Openness>>>,
    bars: Arc<Mutex<Vec<(String, String)>>>,
    dumb: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl access_server::Access for Door {
    async fn policy(
        &self,
        _: tonic::Request<PolicyRequest>,
    ) -> Result<tonic::Response<PolicyResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("the catalogue asks for many at once"))
    }

    async fn policies(
        &self,
        request: tonic::Request<PoliciesRequest>,
    ) -> Result<tonic::Response<PoliciesResponse>, tonic::Status> {
        if self.dumb.load(Ordering::SeqCst) {
            return Err(tonic::Status::unavailable("not now"));
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let policies = self.policies.lock().unwrap();
        let policy = |content| {
            let openness = policies.get(content).copied().unwrap_or(Openness::Private).into();
            PolicyResponse { openness, revision: 1 }
        };
        let policies = request.get_ref().contents.iter().map(policy).collect();
        Ok(tonic::Response::new(PoliciesResponse { policies }))
    }

    async fn bars(
        &self,
        request: tonic::Request<BarsRequest>,
    ) -> Result<tonic::Response<BarsResponse>, tonic::Status> {
        if self.dumb.load(Ordering::SeqCst) {
            return Err(tonic::Status::unavailable("not now"));
        }
        let (bars, principal) = (self.bars.lock().unwrap(), request.into_inner().principal);
        let theirs = bars.iter().filter(|(who, _)| *who == principal);
        Ok(tonic::Response::new(BarsResponse { contents: theirs.map(|(_, id)| id.clone()).collect() }))
    }

    async fn decide(
        &self,
        _: tonic::Request<DecideRequest>,
    ) -> Result<tonic::Response<Decision>, tonic::Status> {
        Err(tonic::Status::unimplemented("the catalogue decides nothing"))
    }
}

/// The `upload` capability by hand.
struct Uploads(Arc<Mutex<HashMap<String, u64>>>, Arc<AtomicBool>);

#[tonic::async_trait]
impl upload_server::Upload for Uploads {
    async fn reserved(
        &self,
        request: tonic::Request<ReservedRequest>,
    ) -> Result<tonic::Response<ReservedResponse>, tonic::Status> {
        if self.1.load(Ordering::SeqCst) {
            return Err(tonic::Status::unavailable("not now"));
        }
        let bytes = self.0.lock().unwrap().get(&request.get_ref().principal).copied().unwrap_or(0);
        Ok(tonic::Response::new(ReservedResponse { bytes }))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Life {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder()
            .method(Method::try_from(method).unwrap())
            .uri(format!("/api/v1/contents{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.public.send(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }

    /// The status and the JSON of a creator's response.
    pub async fn as_creator(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut headers = CREATOR.to_vec();
        headers.push(("Content-Type", "application/merge-patch+json"));
        let answer = self.send(method, path, &headers, body).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes(1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// `access` tells that a principal is blocked from a content, or not any more.
    pub fn bars_changed(&self, id: &str, principal: &str) {
        let change = events::AccessRevoked {
            content: id.to_owned(),
            principal: principal.to_owned(),
            generation: 2,
            bar: true,
            reason: "because".into(),
        };
        let subject = events::access_revoked(id);
        self.metadata.take(&Event::json(subject, events::TYPE_ACCESS_REVOKED, &change).unwrap());
    }

    /// `access` publishes a changed policy.
    pub fn policy_changed(&self, id: &str) {
        let change = events::AccessChanged { content: id.to_owned(), revision: 2 };
        let subject = events::access_changed(id);
        self.metadata.take(&Event::json(subject, events::TYPE_ACCESS_CHANGED, &change).unwrap());
    }

    /// The status and the JSON of a response.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let headers = [("Content-Type", "application/merge-patch+json")];
        let answer = self.send(method, path, &headers, body).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes(1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub async fn create(&self, id: &str, title: &str) -> Content {
        let source = Some(Source { filename: format!("{title}.mp4"), ..Source::default() });
        let request = CreateRequest {
            id: id.into(),
            title: title.into(),
            description: String::new(),
            source,
            owner: String::new(),
        };
        self.catalogue.clone().create(request).await.unwrap().into_inner()
    }

    pub async fn step(&self, id: &str, state: ContentState) -> Result<Content, tonic::Status> {
        let request = UpdateRequest { id: id.into(), state: state.into(), ..UpdateRequest::default() };
        self.catalogue.clone().update(request).await.map(tonic::Response::into_inner)
    }

    /// A content that is being encoded into a 720p and an audio rendition.
    pub async fn encode(&self, id: &str) {
        self.create(id, "Film").await;
        self.step(id, ContentState::Uploaded).await.unwrap();
        self.step(id, ContentState::Transcoding).await.unwrap();
        let video = Rendition {
            name: "720p".into(),
            kind: RenditionKind::Video.into(),
            timescale: 90_000,
            ..Rendition::default()
        };
        let audio = Rendition { name: "audio".into(), kind: RenditionKind::Audio.into(), ..video.clone() };
        let request = PutRenditionsRequest { id: id.into(), renditions: vec![video, audio], fence: 0 };
        self.catalogue.clone().put_renditions(request).await.unwrap();
    }

    pub async fn segments(
        &self,
        id: &str,
        rendition: &str,
        numbers: std::ops::Range<u32>,
        playable: bool,
    ) -> Result<Content, tonic::Status> {
        let segments = numbers.map(segment).collect();
        let group = RenditionSegments { rendition: rendition.into(), segments };
        let request =
            PutSegmentsRequest { id: id.into(), segments: vec![group], playable, ..Default::default() };
        self.catalogue.clone().put_segments(request).await.map(tonic::Response::into_inner)
    }

    pub async fn timeline(&self, id: &str, known_revision: u64) -> TimelineResponse {
        let request = TimelineRequest { id: id.into(), known_revision };
        self.catalogue.clone().timeline(request).await.unwrap().into_inner()
    }
}

pub fn segment(number: u32) -> Segment {
    let start = u64::from(number) * 180_000;
    let sync_points = vec![SyncPoint { time: start, offset: 40, length: 900 }];
    Segment { number, start, duration: 180_000, bytes: 250_000, sync_points }
}

/// Repeats until there is a result.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not come");
        ticks.tick().await;
    }
}

/// The events of a stream until one that contains `last`.
pub async fn read(body: &mut Body, last: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(last) {
        let frame = body.frame().await.expect("another frame").unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap_or_default()).unwrap());
    }
    seen
}
