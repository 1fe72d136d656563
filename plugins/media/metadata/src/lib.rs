//! The catalogue of StreamGate: all contents with their states, renditions and segments. It is the only
//! record of them.
//!
//! It provides the `catalogue` capability to other plugins, and `/api/v1/contents` with live changes to
//! clients. It never touches media: objects belong to the `storage` capability, and it only deletes those of
//! deleted contents. The texts that people add to a content are the only objects that it writes.

mod begin;
mod captions;
mod captions_routes;
mod catalogue;
mod changes;
mod cors;
mod cursor;
mod dependencies;
mod fence;
mod fsck;
#[doc(hidden)]
pub mod fuzz;
mod generations;
mod graves;
mod judge;
mod lifecycle;
mod limits;
mod listing;
mod live;
mod objects;
mod owners;
mod patch;
mod policies;
mod positions;
mod reaper;
mod rights;
mod routes;
mod rungs;
mod search;
mod service;
mod settings;
mod shares;
mod shares_routes;
mod store;
mod tail;
mod texts;
mod timeline;
mod usage;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use streamgate_contracts::db::Db;
use streamgate_contracts::events::{self, AccessChanged, AccessRevoked, CredentialEnded};
use streamgate_contracts::outbox::{Bus, Outbox};
use streamgate_plugin_api::command;
use streamgate_plugin_api::{Client, Event, Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio_util::sync::CancellationToken;

pub use begin::OpenError;
pub use dependencies::Dependencies;
pub use settings::Settings;

use catalogue::Catalogue;
use changes::Feed;
use cors::Cors;
use live::Live;
use objects::Media;
use policies::Policies;
use reaper::Condition;
use routes::Api;
use search::Searches;
use store::Store;

/// How often all policies are checked.
const POLICIES_EVERY: Duration = Duration::from_secs(300);
/// The same after some could not be checked.
const POLICIES_AGAIN: Duration = Duration::from_secs(5);

/// The catalogue without a kernel: the parts that the plugin wires, and that tests drive.
#[derive(Debug, Clone)]
pub struct Metadata {
    catalogue: Catalogue,
    api: Api,
    grace: Duration,
}

impl Metadata {
    /// Opens the catalogue's namespace and migrates its tables.
    ///
    /// # Errors
    /// If the database is unavailable or does not match this version, or was lost.
    pub async fn open(
        database: Client,
        dependencies: Dependencies,
        settings: Settings,
        shutdown: CancellationToken,
    ) -> Result<Self, OpenError> {
        let db = Db::open(database, "metadata", store::migrations()).await?;
        let access = settings.gated.then(|| dependencies.access.clone());
        let policies = Policies::new(access, settings.policy_max_age.get());
        let store = Store::new(db, settings.replaced_renditions.get());
        begin::begin(&store, &Media::new(dependencies.storage.clone()), settings.begin_anew).await?;
        // Before any client can subscribe, so that there is no gap between reading and notices.
        let last = store.reach().await?.last;
        let feed = Feed::new(usize::try_from(settings.event_backlog).unwrap_or(usize::MAX), last);
        let catalogue = Catalogue::new(store, feed, dependencies, policies, settings.replaced_captions.get());
        let count = |setting| usize::try_from(setting).unwrap_or(usize::MAX);
        let auth = catalogue.dependencies.auth.clone();
        let live = Live::new(count(settings.max_event_clients), auth, settings.heartbeat.get(), shutdown);
        let (at_once, each) = (count(settings.max_searches), count(settings.searches_per_client));
        let searches = Searches::new(at_once, each, settings.search_timeout.get());
        let cors = Cors::new(settings.cors_origins, settings.cors_write_origins);
        let api = Api { catalogue: catalogue.clone(), live, searches, cors };
        Ok(Self { catalogue, api, grace: settings.sweep_grace.get() })
    }

    /// The REST API under `/api/v1/contents`.
    pub fn public(&self) -> axum::Router {
        routes::router(self.api.clone())
    }

    /// The `catalogue` capability.
    pub fn internal(&self) -> axum::Router {
        service::router(self.catalogue.clone(), self.api.live.clone())
    }

    /// The command `fsck`.
    pub fn fsck(&self) -> axum::Router {
        let catalogue = self.catalogue.clone();
        command::router(move |words, out| fsck::run(catalogue.clone(), words, out))
    }

    /// Shows changes, to clients and on the bus, until it is dropped.
    pub fn show_changes(&self) -> BoxFuture<'static, ()> {
        let Catalogue { store, feed, dependencies, policies, .. } = self.catalogue.clone();
        let outbox = Outbox::new(store.db.clone(), dependencies.bus);
        Box::pin(async move { tokio::join!(feed.run(store, policies), outbox.run()).0 })
    }

    /// Handles an event of `access` or `auth`: a policy changed, or a credential ended.
    pub fn take(&self, event: &Event) {
        let taken = match event.r#type.as_str() {
            events::TYPE_ACCESS_CHANGED => {
                event.parse::<AccessChanged>().map(|it| self.catalogue.policy_changed(&it.content))
            }
            events::TYPE_ACCESS_REVOKED => event.parse::<AccessRevoked>().map(|it| {
                if it.bar {
                    self.catalogue.bars_changed(&it.content, &it.principal);
                }
            }),
            events::TYPE_CREDENTIAL_ENDED => {
                event.parse::<CredentialEnded>().map(|it| self.catalogue.feed.end(it.credential))
            }
            _ => Ok(()),
        };
        if let Err(error) = taken {
            tracing::warn!(subject = %event.subject, %error, "an event cannot be read");
        }
    }

    /// Checks all policies periodically, because events may be lost, until it is dropped.
    pub fn look_at_policies(&self) -> BoxFuture<'static, ()> {
        let catalogue = self.catalogue.clone();
        Box::pin(async move {
            while catalogue.policies.are_asked() {
                let pause = match catalogue.look_at_policies().await {
                    Ok(()) => POLICIES_EVERY,
                    Err(error) => {
                        tracing::warn!(%error, "not all policies could be checked");
                        POLICIES_AGAIN
                    }
                };
                tokio::time::sleep(pause).await;
            }
        })
    }

    /// Assigns contents without an owner to the first admin, until it is dropped.
    pub fn claim_what_nobody_owns(&self) -> BoxFuture<'static, ()> {
        let catalogue = self.catalogue.clone();
        Box::pin(async move { catalogue.claim_what_nobody_owns().await })
    }

    /// Sweeps the objects of deleted contents and enqueues the jobs of retries, until it is dropped. `report`
    /// receives the last problem after each round, if any.
    pub fn sweep(&self, report: impl Fn(Option<&str>) + Send + 'static) -> BoxFuture<'static, ()> {
        Box::pin(reaper::run(self.catalogue.clone(), self.grace, move |condition| match condition {
            Condition::Well => report(None),
            Condition::Behind(reason) => report(Some(&reason)),
        }))
    }
}

/// The plugin.
struct Running {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Plugin for Running {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings::check(settings)
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let (access, auth) = (host.service("access"), host.service("auth"));
        let dependencies =
            Dependencies::new(host.service("storage"), host.service("jobs"), access, auth, Bus::of(&host))
                .with_upload(host.service("upload"));
        let metadata =
            Metadata::open(host.service("database"), dependencies, settings, host.shutdown()).await?;
        host.provide("catalogue", metadata.internal())?;
        host.provide("command-fsck", metadata.fsck())?;
        host.serve(metadata.public());
        let following = follow(&host, &metadata)?;
        let health = Arc::new(host.health("sweeper"));
        health.healthy();
        let report = move |trouble: Option<&str>| health.report(trouble);
        let tasks = vec![
            following,
            host.spawn(metadata.show_changes()),
            host.spawn(metadata.look_at_policies()),
            host.spawn(metadata.claim_what_nobody_owns()),
            host.spawn(metadata.sweep(report)),
        ];
        Ok(Self { tasks })
    }

    async fn stop(self) {
        // Unfinished work is in the database, and done after the next start.
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Follows the events of `access` about policies and of `auth` about credentials, until the plugin stops.
fn follow(host: &Host, metadata: &Metadata) -> Result<tokio::task::JoinHandle<()>, StartError> {
    let mut changes = host.subscribe(events::ACCESS_ANY)?;
    let mut ended = host.subscribe(events::CREDENTIAL_ENDED_ANY)?;
    let metadata = metadata.clone();
    Ok(host.spawn(async move {
        loop {
            let event = tokio::select! {
                event = changes.next() => event,
                event = ended.next() => event,
            };
            match event {
                Some(event) => metadata.take(&event),
                None => break,
            }
        }
    }))
}

export_plugin! {
    Running {
        name: "metadata",
        description: "The catalogue: contents, renditions and segments, their REST API and live changes",
        provides: ["catalogue", "command-fsck"],
        requires: ["database", "storage"],
        uses: ["jobs", "access", "auth", "upload"],
        prefixes: ["/api/v1/contents"],
        publishes: ["content.*.changed", "content.*.deleted", "content.*.standing"],
        subscribes: ["access.>", "credential.*.ended"],
    }
}
