//! Shared by the tests: uploads over a real database, real storage and the real catalogue, with a job queue
//! that only records, and a fuse that fails everything from a chosen call on.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use streamgate_contracts::database::v1::database_client::DatabaseClient;
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::database::v1::{ExecuteRequest, QueryRequest, Statement, Value as Cell};
use streamgate_contracts::jobs::v1::jobs_server::{Jobs, JobsServer};
use streamgate_contracts::jobs::v1::*;
use streamgate_contracts::outbox::Bus;
use streamgate_metadata::Metadata;
use streamgate_plugin_api::settings::ByteSize;
use streamgate_plugin_api::time::Clock;
use streamgate_plugin_api::{Body, Client, Principal, address};
use streamgate_sqlite::Engine;
use streamgate_upload::{Dependencies, Settings, Upload};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Everything that survives a kill of the upload plugin.
pub struct World {
    pub jobs: Queue,
    pub metadata: Metadata,
    pub storage: Client,
    /// Keeps the audit log for later instances.
    pub auth: Mutex<Client>,
    engine: Engine,
    tasks: Vec<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

/// The upload plugin from one start to the next.
pub struct Life {
    pub upload: Upload,
    public: Client,
    tasks: [JoinHandle<()>; 2],
    /// The principal of these requests.
    pub sender: Option<Principal>,
}

impl World {
    pub async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    /// A world whose disk is the directory.
    pub async fn within(directory: tempfile::TempDir) -> Self {
        let engine = Engine::new(directory.path(), streamgate_sqlite::Settings::default());
        let settings = streamgate_storage_fs::Settings {
            min_free: ByteSize::bytes(0),
            ..streamgate_storage_fs::Settings::default()
        };
        let objects = directory.path().join("objects");
        let storage = Client::from_service(streamgate_storage_fs::open_storage(&objects, &settings).unwrap());
        let jobs = Queue::default();
        // Callers in these tests may see everything.
        let nobody = Client::from_service(axum::Router::new());
        let dependencies = streamgate_metadata::Dependencies::new(
            storage.clone(),
            jobs.client(),
            nobody.clone(),
            nobody.clone(),
            Bus::new(|_| std::future::ready(Ok(()))),
        );
        let settings =
            streamgate_metadata::Settings { gated: false, ..streamgate_metadata::Settings::default() };
        let database = Client::from_service(engine.router());
        let metadata =
            Metadata::open(database, dependencies, settings, CancellationToken::new()).await.unwrap();
        let tasks = vec![tokio::spawn(metadata.show_changes()), tokio::spawn(metadata.sweep(|_| {}))];
        Self { jobs, metadata, storage, auth: Mutex::new(nobody), engine, tasks, directory }
    }

    pub async fn live(&self, settings: Settings) -> Life {
        self.live_until(settings, Fuse::never()).await.unwrap()
    }

    /// Starts the upload plugin with a fuse in each of its lines.
    pub async fn live_until(&self, settings: Settings, fuse: Fuse) -> Result<Life, String> {
        let dependencies = Dependencies::new(
            fuse.wrap(self.storage.clone()),
            fuse.wrap(Client::from_service(self.metadata.internal())),
            fuse.wrap(self.jobs.client()),
            self.auth.lock().unwrap().clone(),
            Bus::new(|_| std::future::ready(Ok(()))),
        );
        let database = fuse.wrap(Client::from_service(self.engine.router()));
        let upload =
            Upload::open(database, dependencies, settings).await.map_err(|error| error.to_string())?;
        let public = Client::from_service(upload.public());
        let tasks = [tokio::spawn(upload.sweep(|_| {})), tokio::spawn(upload.publish())];
        Ok(Life { upload, public, tasks, sender: None })
    }

    /// As an admin does.
    pub async fn delete_content(&self, id: &str) -> StatusCode {
        let api = Client::from_service(self.metadata.public());
        let request = Request::delete(format!("/api/v1/contents/{id}"))
            .header("x-streamgate-principal", "admin")
            .header("x-streamgate-scopes", "content:read,content:write,admin");
        let request = request.body(Body::empty()).unwrap();
        api.send(request).await.unwrap().status()
    }

    /// As the catalogue has it after a hand-over.
    pub async fn hand_over(&self, id: &str, owner: &str) {
        let text = |text: &str| Cell { kind: Some(Kind::Text(text.to_owned())) };
        let statement = Statement {
            sql: "UPDATE contents SET owner = $2 WHERE id = $1".into(),
            params: vec![text(id), text(owner)],
            expect_rows: Some(1),
        };
        let request = ExecuteRequest {
            namespace: "metadata".into(),
            statements: vec![statement],
            ..ExecuteRequest::default()
        };
        let database = Client::from_service(self.engine.router());
        DatabaseClient::new(database).execute(request).await.unwrap();
    }

    pub fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Begins to keep the audit log.
    pub async fn open_auth(&self) {
        self.open_auth_with(streamgate_auth::Settings::default()).await;
    }

    pub async fn open_auth_with(&self, settings: streamgate_auth::Settings) {
        let auth = streamgate_auth::Auth::open(
            Client::from_service(self.engine.router()),
            self.directory.path(),
            settings,
            Clock::system(),
            Arc::new(streamgate_auth::NoContractWallets),
            Bus::new(|_| std::future::ready(Ok(()))),
        );
        *self.auth.lock().unwrap() = Client::from_service(auth.await.unwrap().internal());
    }

    /// Adds a principal of this id to `auth`.
    pub async fn add_principal(&self, id: &str) {
        let sql = format!("INSERT INTO principals (id, name, created_at_ms) VALUES ('{id}', '', 0)");
        let request = ExecuteRequest {
            namespace: "auth".into(),
            statements: vec![Statement { sql, ..Statement::default() }],
            ..ExecuteRequest::default()
        };
        let database = Client::from_service(self.engine.router());
        DatabaseClient::new(database).execute(request).await.unwrap();
    }

    /// Action, principal, subject, detail and address of the audit log's entries, as the REST API of `auth`
    /// returns them.
    pub async fn audited(&self) -> Vec<[String; 5]> {
        let request = QueryRequest {
            namespace: "auth".into(),
            sql: "SELECT action, principal, subject, detail, address FROM audit ORDER BY id".into(),
            ..QueryRequest::default()
        };
        let database = Client::from_service(self.engine.router());
        let rows = DatabaseClient::new(database).query(request).await.unwrap().into_inner().rows;
        let text = |value: Cell| match value.kind {
            Some(Kind::Text(text)) => text,
            other => panic!("{other:?}"),
        };
        rows.into_iter()
            .map(|row| row.values.into_iter().map(text).collect::<Vec<_>>().try_into().unwrap())
            .collect()
    }

    /// The content as the REST API shows it.
    pub async fn content(&self, id: &str) -> Option<Value> {
        let api = Client::from_service(self.metadata.public());
        let request = Request::builder().uri(format!("/api/v1/contents/{id}")).body(Body::empty()).unwrap();
        let answer = api.send(request).await.unwrap();
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        Some(serde_json::from_slice(&answer.into_body().collect_bytes(1 << 20).await.unwrap()).unwrap())
    }

    pub async fn contents(&self) -> Vec<Value> {
        let api = Client::from_service(self.metadata.public());
        let request = Request::builder().uri("/api/v1/contents?limit=100").body(Body::empty()).unwrap();
        let answer = api.send(request).await.unwrap().into_body().collect_bytes(1 << 20).await.unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["items"].as_array().unwrap().clone()
    }

    pub async fn object(&self, path: &str) -> Option<Bytes> {
        let request = Request::builder().uri(format!("http://storage/{path}")).body(Body::empty()).unwrap();
        let answer = self.storage.send(request).await.unwrap();
        (answer.status() == StatusCode::OK).then_some(())?;
        Some(answer.into_body().collect_bytes(64 << 20).await.unwrap())
    }

    /// Every object and every unfinished one.
    pub async fn keys(&self, bucket: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for kind in ["", "&incomplete=true"] {
            let uri = format!("http://storage/{bucket}/?prefix={kind}");
            let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            let answer = self.storage.send(request).await.unwrap();
            if answer.status() != StatusCode::OK {
                continue;
            }
            let list = answer.into_body().collect_bytes(1 << 20).await.unwrap();
            let list: Value = serde_json::from_slice(&list).unwrap();
            keys.extend(
                list["objects"].as_array().unwrap().iter().map(|o| o["key"].as_str().unwrap().to_owned()),
            );
        }
        keys
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Life {
    /// A tus request; `Tus-Resumable` is added.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        self.raw(method, path, &[&[("Tus-Resumable", "1.0.0")], headers].concat(), body).await
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(Method::try_from(method).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        if let Some(sender) = &self.sender {
            sender.put_on(request.headers_mut());
            request.headers_mut().insert(address::CLIENT, HeaderValue::from_static("192.0.2.7"));
        }
        self.public.send(request).await.unwrap()
    }

    /// Creates an upload of `length` bytes and answers its path.
    pub async fn create(&self, length: usize) -> String {
        let answer =
            self.send("POST", "/files", &[("Upload-Length", &length.to_string())], Body::empty()).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        header(&answer, "location").unwrap()
    }

    pub async fn patch(
        &self,
        path: &str,
        offset: usize,
        data: impl Into<Body>,
        more: &[(&str, &str)],
    ) -> Response<Body> {
        let offset = offset.to_string();
        let headers = [("Content-Type", "application/offset+octet-stream"), ("Upload-Offset", &*offset)];
        self.send("PATCH", path, &[&headers, more].concat(), data).await
    }

    /// `Upload-Offset` of HEAD.
    pub async fn offset(&self, path: &str) -> Option<usize> {
        let answer = self.send("HEAD", path, &[], Body::empty()).await;
        header(&answer, "upload-offset")?.parse().ok()
    }
}

pub fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().unwrap().to_owned())
}

pub fn id_of(path: &str) -> String {
    path.rsplit('/').next().unwrap().to_owned()
}

pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

/// Bytes that differ everywhere, so that a shift is noticed.
pub fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into()
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

/// Lets a number of calls through; the next one, and all after it, fail. With `after` that one takes effect
/// and only its answer is lost.
#[derive(Clone)]
pub struct Fuse {
    left: Arc<AtomicI64>,
    after: bool,
}

impl Fuse {
    pub fn never() -> Self {
        Self::at(i64::MAX, false)
    }

    pub fn at(calls: i64, after: bool) -> Self {
        Self { left: Arc::new(AtomicI64::new(calls)), after }
    }

    pub fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// From now on.
    pub fn blow(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    fn wrap(&self, inner: Client) -> Client {
        let fuse = self.clone();
        Client::from_service(tower::service_fn(move |request: Request<Body>| {
            let (inner, fuse) = (inner.clone(), fuse.clone());
            async move {
                let left = fuse.left.fetch_sub(1, Ordering::SeqCst);
                let dead = || {
                    let mut answer = Response::new(Body::empty());
                    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    Ok::<_, std::convert::Infallible>(answer)
                };
                if left < 0 || (left == 0 && !fuse.after) {
                    return dead();
                }
                let answer = inner.send(request).await;
                if fuse.is_blown() {
                    return dead();
                }
                answer.or_else(|_| dead())
            }
        }))
    }
}

/// A job queue that only records what was enqueued.
#[derive(Clone, Default)]
pub struct Queue {
    jobs: Arc<Mutex<Vec<Job>>>,
    pub refusing: Arc<std::sync::atomic::AtomicBool>,
}

impl Queue {
    fn client(&self) -> Client {
        Client::from_service(tonic::service::Routes::new(JobsServer::new(self.clone())).into_axum_router())
    }

    /// Dedupe keys in the order they were enqueued.
    pub fn keys(&self) -> Vec<String> {
        self.jobs.lock().unwrap().iter().map(|job| job.dedupe_key.clone()).collect()
    }
}

macro_rules! jobs {
    ({$($enqueue:tt)*} $($name:ident: $request:ty => $response:ty),* $(,)?) => {
        #[tonic::async_trait]
        impl Jobs for Queue {
            $($enqueue)*
            $(
                async fn $name(&self, _: tonic::Request<$request>) -> Result<tonic::Response<$response>, Status> {
                    Err(Status::unimplemented("not in this test"))
                }
            )*
        }
    };
}

jobs! {
    {
    async fn enqueue(&self, request: tonic::Request<EnqueueRequest>) -> Result<tonic::Response<Job>, Status> {
        if self.refusing.load(Ordering::SeqCst) {
            return Err(Status::unavailable("closed"));
        }
        let request = request.into_inner();
        assert_eq!(request.queue, "transcode");
        let payload: Value = serde_json::from_slice(&request.payload).unwrap();
        assert_eq!(payload["content"], request.dedupe_key.as_str());
        let mut jobs = self.jobs.lock().unwrap();
        if let Some(job) = jobs.iter().find(|job| job.dedupe_key == request.dedupe_key) {
            return Ok(tonic::Response::new(job.clone()));
        }
        let job = Job { dedupe_key: request.dedupe_key, queue: request.queue, ..Job::default() };
        jobs.push(job.clone());
        Ok(tonic::Response::new(job))
    }
    }
    lease: LeaseRequest => LeaseResponse,
    heartbeat: HeartbeatRequest => HeartbeatResponse,
    complete: CompleteRequest => Job,
    fail: FailRequest => Job,
    release: ReleaseRequest => Job,
    get: GetRequest => Job,
    cancel: CancelRequest => Job,
    retry: RetryRequest => Job,
    share: ShareRequest => ShareResponse,
}
