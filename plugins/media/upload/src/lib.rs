//! Resumable uploads: tus 1.0.0 with all its extensions under `/files`.
//!
//! An upload is a row in the database, an append session in storage, and a content in the catalogue. Bytes
//! count once they are on disk; a completed upload is always handed to the catalogue and the job queue,
//! across any crash. It never inspects the bytes: the transcoder does.

mod audit;
mod checksum;
mod cors;
mod dependencies;
mod detach;
mod fault;
#[doc(hidden)]
pub mod fuzz;
mod handover;
mod incoming;
mod joining;
mod locks;
mod metadata;
mod owner;
mod protocol;
mod quota;
mod routes;
mod service;
mod settings;
mod store;
mod sweeper;
mod transfer;
mod uploads;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use streamgate_contracts::audit::Outbox;
use streamgate_contracts::db::{Db, DbError};
use streamgate_contracts::deletions::Deletions;
use streamgate_contracts::events::{
    CONTENT_DELETED_ANY, CONTENT_STANDING_ANY, ContentDeleted, ContentStanding,
};
use streamgate_contracts::outbox::{self, Bus};
use streamgate_contracts::storage;
use streamgate_plugin_api::{
    Client, Host, Plugin, SettingsProblem, StartError, export_plugin, runtime, trace,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use dependencies::Dependencies;
pub use settings::Settings;

use routes::Api;
use store::Store;
use transfer::{Pace, Pump};

/// How long `stop` waits for transfers to put on disk what they received.
const SETTLE: Duration = Duration::from_secs(20);
/// Uploads of deleted contents that are ended concurrently.
const ENDINGS: usize = 32;

/// A task on the plugin's runtime, with the trace context of the request that began it.
fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime::handle().spawn(trace::in_context(trace::current(), future))
}

/// Uploads without a kernel: the parts that the plugin wires, and that tests drive.
#[derive(Debug, Clone)]
pub struct Upload {
    api: Api,
    sweep_interval: Duration,
    outbox: Outbox,
    events: outbox::Outbox,
    deletions: Arc<Deletions>,
}

impl Upload {
    /// Opens the namespace of uploads and migrates its tables.
    ///
    /// # Errors
    /// If the database is unavailable or does not match this version.
    pub async fn open(
        database: Client,
        dependencies: Dependencies,
        settings: Settings,
    ) -> Result<Self, DbError> {
        let db = Db::open(database, "upload", store::migrations()).await?;
        let pace = Pace {
            checkpoint: settings.checkpoint.get(),
            checkpoint_interval: settings.checkpoint_interval.get(),
            idle_timeout: settings.idle_timeout.get(),
            min_rate: settings.min_rate.get(),
            expire_after: settings.expire_after.get(),
        };
        let objects = storage::Client::new(dependencies.storage.clone());
        let outbox = Outbox::new(db.clone(), dependencies.auth.clone());
        let events = outbox::Outbox::new(db.clone(), dependencies.bus.clone());
        let deletions = Arc::new(Deletions::new(dependencies.contents.clone()));
        let pump = Pump { store: Store::new(db), objects, dependencies, pace, noted: Arc::default() };
        let uploads = uploads::Uploads::new(pump, &settings);
        let api = Api { uploads, cors_origins: settings.cors_origins.into() };
        Ok(Self { api, sweep_interval: settings.sweep_interval.get(), outbox, events, deletions })
    }

    /// tus under `/files`, and quotas under `/api/v1/quota`.
    pub fn public(&self) -> axum::Router {
        routes::router(self.api.clone()).merge(usage::router(self.api.uploads.clone()))
    }

    /// The `upload` capability.
    pub fn internal(&self) -> axum::Router {
        service::router(self.api.uploads.pump.store.clone())
    }

    /// Repeats unfinished hand-overs and removes expired and ended uploads, until it is dropped. `report`
    /// receives the last problem after each round, if any.
    pub fn sweep(&self, report: impl Fn(Option<&str>) + Send + 'static) -> BoxFuture<'static, ()> {
        Box::pin(sweeper::run(self.api.uploads.clone(), self.sweep_interval, report))
    }

    /// Sends audit entries and events of uploads, and ends the uploads of deleted contents, until it is
    /// dropped.
    pub fn publish(&self) -> BoxFuture<'static, ()> {
        let (upload, noted) = (self.clone(), self.api.uploads.pump.noted.clone());
        Box::pin(async move {
            tokio::join!(upload.outbox.run(&noted), upload.events.run(), upload.end_deleted()).0
        })
    }

    /// An event reports that the content of this id was deleted. Its upload ends once the catalogue confirms
    /// it, because anyone may have published the event. If the event is lost, the upload expires.
    pub fn heard_deleted(&self, id: &str) {
        if protocol::is_id(id) {
            self.deletions.on_deleted(id);
        }
    }

    /// An event reports that the content of this id may have another owner. The catalogue is asked; a lost
    /// event is harmless, because every request for the upload asks too.
    pub async fn on_standing(&self, id: &str) {
        if !protocol::is_id(id) {
            return;
        }
        if let Err(fault) = self.api.uploads.follow(id).await {
            tracing::warn!(upload = id, reason = %fault, "the owner of an upload could not be determined");
        }
    }

    async fn end_deleted(&self) {
        let places = Arc::new(Semaphore::new(ENDINGS));
        loop {
            for id in self.deletions.next().await {
                // A transfer that is slow to settle does not delay the others.
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let upload = self.clone();
                spawn(async move {
                    upload.end(&id).await;
                    drop(place);
                });
            }
        }
    }

    async fn end(&self, id: &str) {
        if !matches!(self.api.uploads.pump.store.find(id).await, Ok(Some(_))) {
            return;
        }
        if let Err(fault) = self.api.uploads.end(id, None).await {
            tracing::warn!(upload = id, reason = %fault, "the upload of a deleted content could not be ended");
        }
    }

    /// Ends all transfers; what they received is on disk on return.
    pub async fn settle(&self) {
        self.api.uploads.settle(SETTLE).await;
    }
}

/// The plugin.
struct Running {
    upload: Upload,
    tasks: Vec<JoinHandle<()>>,
}

impl Plugin for Running {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings::check(settings)
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let service = |name| host.service(name);
        let [storage, catalogue, jobs, auth] = ["storage", "catalogue", "jobs", "auth"].map(service);
        let dependencies = Dependencies::new(storage, catalogue, jobs, auth, Bus::of(&host));
        let upload = Upload::open(service("database"), dependencies, settings).await?;

        host.provide("upload", upload.internal())?;
        let mut deletions = host.subscribe(CONTENT_DELETED_ANY)?;
        let listener = upload.clone();
        let listen = async move {
            while let Some(event) = deletions.next().await {
                match event.parse::<ContentDeleted>() {
                    Ok(deleted) => listener.heard_deleted(&deleted.id),
                    Err(error) => {
                        tracing::warn!(%error, "an event about a deleted content cannot be read");
                    }
                }
            }
        };
        let mut standings = host.subscribe(CONTENT_STANDING_ANY)?;
        let follower = upload.clone();
        let follow = async move {
            while let Some(event) = standings.next().await {
                match event.parse::<ContentStanding>() {
                    Ok(changed) => follower.on_standing(&changed.id).await,
                    Err(error) => tracing::warn!(%error, "an event about a content's owner cannot be read"),
                }
            }
        };
        let health = host.health("hand-over");
        health.healthy();
        let report = move |trouble: Option<&str>| health.report(trouble);
        let tasks = vec![
            host.spawn(listen),
            host.spawn(follow),
            host.spawn(upload.sweep(report)),
            host.spawn(upload.publish()),
        ];
        host.serve(upload.public());
        Ok(Self { upload, tasks })
    }

    async fn stop(self) {
        for task in self.tasks {
            task.abort();
        }
        self.upload.settle().await;
    }
}

export_plugin! {
    Running {
        name: "upload",
        description: "Resumable uploads: tus 1.0.0 with all its extensions",
        provides: ["upload"],
        requires: ["database", "storage", "catalogue", "jobs"],
        uses: ["auth"],
        prefixes: ["/files", "/api/v1/quota"],
        publishes: ["content.*.uploaded"],
        subscribes: ["content.*.deleted", "content.*.standing"],
    }
}
