//! Jobs on the real database, in this process.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod calls;
mod http_api;
mod killed;
mod model;
mod owners;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::response::IntoResponse as _;
use streamgate_contracts::events::JobChanged;
use streamgate_contracts::jobs::v1::Job;
use streamgate_plugin_api::Client;
use streamgate_plugin_api::time::Clock;
use streamgate_sqlite::Engine;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::error::JobError;
use crate::identity::Identity;
use crate::jobs::{Dependencies, Enqueue, Jobs, Lease, Want};
use crate::settings::Settings;
use crate::store::Store;

/// Jobs over a temporary directory, with a clock that the test sets.
struct Fixture {
    _directory: TempDir,
    engine: Engine,
    time: Arc<AtomicI64>,
    shutdown: CancellationToken,
    jobs: Jobs,
    changes: Receiver<JobChanged>,
    dependencies: Dependencies,
    /// The owner of all contents; empty: the catalogue does not answer.
    owner: Arc<Mutex<String>>,
}

/// The tag of `OwnersRequest.contents` and of `OwnersResponse.owners`, fields of bytes with the number 1.
const ITEM: u8 = 0x0a;
/// A frame of gRPC begins with a flag and the length of the message.
const PREFIX: usize = 5;

/// A catalogue that knows only the owner of all contents.
fn catalogue_of(owner: Arc<Mutex<String>>) -> Client {
    let answer = move |request: axum::body::Bytes| async move {
        let owner = owner.lock().unwrap().clone();
        if owner.is_empty() {
            return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let (mut contents, mut message) = (&request[PREFIX..], Vec::new());
        while let [ITEM, length, rest @ ..] = contents {
            contents = &rest[usize::from(*length)..];
            message.extend([ITEM, owner.len() as u8]);
            message.extend(owner.as_bytes());
        }
        let frame = [&[0, 0, 0, 0, message.len() as u8], &message[..]].concat();
        ([("content-type", "application/grpc"), ("grpc-status", "0")], frame).into_response()
    };
    Client::from_service(axum::Router::new().fallback(answer))
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        Self::beside(settings, Client::from_service(axum::Router::new())).await
    }

    /// With an `auth` that states the limits.
    async fn beside(settings: Settings, auth: Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::new(directory.path(), streamgate_sqlite::Settings::default());
        let time = Arc::new(AtomicI64::new(1_000_000));
        let shutdown = CancellationToken::new();
        let owner = Arc::default();
        let catalogue = catalogue_of(Arc::clone(&owner));
        let dependencies = Dependencies { auth, catalogue };
        let (jobs, changes) =
            open(&engine, settings, home("first"), told_by(&time), &shutdown, dependencies.clone()).await;
        Self { _directory: directory, engine, time, shutdown, jobs, changes, dependencies, owner }
    }

    /// The same database in another process of the same node.
    async fn restart(&mut self, process: &str) {
        let settings = self.jobs.settings().clone();
        let now = told_by(&self.time);
        let dependencies = self.dependencies.clone();
        let (jobs, changes) =
            open(&self.engine, settings, home(process), now, &self.shutdown, dependencies).await;
        jobs.free_orphaned().await.unwrap();
        (self.jobs, self.changes) = (jobs, changes);
    }

    fn advance(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::SeqCst);
    }
}

fn told_by(time: &Arc<AtomicI64>) -> Clock {
    let time = time.clone();
    Clock::told_by(move || time.load(Ordering::SeqCst))
}

fn home(process: &str) -> Identity {
    Identity { node: "node".into(), process: process.into() }
}

async fn open(
    engine: &Engine,
    settings: Settings,
    home: Identity,
    now: Clock,
    shutdown: &CancellationToken,
    dependencies: Dependencies,
) -> (Jobs, Receiver<JobChanged>) {
    let store = Store::open(Client::from_service(engine.router())).await.unwrap();
    let (announcer, changes) = Announcer::new();
    let jobs = Jobs::new(store, settings, home, announcer, shutdown.clone(), now, dependencies);
    (jobs, changes)
}

/// Jobs over a directory at the system's time.
async fn open_at(directory: &Path, settings: Settings) -> Jobs {
    let engine = Engine::new(directory, streamgate_sqlite::Settings::default());
    let home = Identity::load(directory).unwrap();
    let silent = || Client::from_service(axum::Router::new());
    let dependencies = Dependencies { auth: silent(), catalogue: silent() };
    open(&engine, settings, home, Clock::system(), &CancellationToken::new(), dependencies).await.0
}

fn job_for(queue: &str) -> Enqueue {
    Enqueue { queue: queue.into(), ..Enqueue::default() }
}

fn want(queue: &str) -> Want {
    Want { queue: queue.into(), worker: "tester".into(), ..Want::default() }
}

impl Jobs {
    /// A job to be worked on, and the proof of its lease.
    async fn leased(&self, want: Want) -> Result<Option<(Job, String)>, JobError> {
        let leased = self.lease(want).await?;
        Ok(leased.map(|Lease { job, proof, set_aside }| {
            assert_eq!(set_aside, None);
            (job, proof)
        }))
    }
}
