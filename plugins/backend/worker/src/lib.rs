//! The `jobs` capability: durable work. A job is in the database before `Enqueue` answers, is
//! leased to one worker at a time, and ends exactly once.
//!
//! This plugin runs no job itself: workers lease them, here or on other nodes.

mod announce;
mod error;
mod figures;
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod jobs;
mod limits;
mod owners;
mod policy;
mod routes;
mod schedule;
mod service;
mod settings;
mod spent;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;
mod waiting;

use streamgate_contracts::events::{self, JobChanged};
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Host, Plugin, StartError, Subscription};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::identity::Identity;
use crate::jobs::{Dependencies, Jobs};
use crate::service::JobsService;
use crate::store::Store;
use crate::sweep::Clock;

pub use settings::{Schedule, Settings};

/// The plugin.
#[derive(Debug)]
pub struct Worker {
    tasks: Vec<JoinHandle<()>>,
}

impl Plugin for Worker {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let directory = host.data_dir().to_owned();
        let home = tokio::task::spawn_blocking(move || Identity::load(&directory)).await??;
        let store = Store::open(host.service("database")).await?;
        let clock = Clock::new(&settings.schedules)?;
        let (announcer, changes) = Announcer::new();
        let jobs = Jobs::new(
            store,
            settings,
            home,
            announcer,
            // Calls that wait for a job here are redirected to the successor.
            host.draining(),
            streamgate_plugin_api::time::Clock::system(),
            Dependencies { auth: host.service("auth"), catalogue: host.service("catalogue") },
        );

        let freed = jobs.free_orphaned().await?;
        if freed > 0 {
            tracing::info!(freed, "jobs of the process before are due again");
        }
        clock.record(&jobs).await?;

        jobs.figures().register(host.metrics());
        let health = host.health("jobs");
        health.healthy();
        let tasks = vec![
            host.spawn(announce::publish(host.clone(), changes, host.shutdown())),
            host.spawn(wake_by_events(
                jobs.clone(),
                host.subscribe(events::JOB_ENQUEUED_ANY)?,
                host.shutdown(),
            )),
            host.spawn(jobs.clone().tell(host.service("auth"))),
            host.spawn(figures::count(jobs.clone(), host.shutdown())),
            host.spawn(owners::run(
                jobs.clone(),
                host.subscribe(events::CONTENT_STANDING_ANY)?,
                host.shutdown(),
            )),
            host.spawn(sweep::run(jobs.clone(), clock, health, host.shutdown())),
        ];
        host.provide("jobs", JobsService::router(jobs.clone()))?;
        host.serve(routes::router(jobs));
        Ok(Self { tasks })
    }

    async fn stop(self) {
        for task in self.tasks {
            // A task that panicked has been logged.
            let _ = task.await;
        }
    }
}

/// Jobs that another node enqueued wake the calls that wait here.
async fn wake_by_events(jobs: Jobs, mut enqueued: Subscription, shutdown: CancellationToken) {
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = enqueued.next() => event,
        };
        let Some(event) = event else { return };
        match event.parse::<JobChanged>() {
            Ok(change) => jobs.wake(&change.queue),
            Err(error) => tracing::debug!(%error, subject = event.subject, "an event that is none of ours"),
        }
    }
}

streamgate_plugin_api::export_plugin! {
    Worker {
        name: "worker",
        description: "Durable jobs: queues with leases, retries, dead letters, priorities and schedules",
        provides: ["jobs"],
        requires: ["database"],
        uses: ["auth", "catalogue"],
        prefixes: ["/api/v1/jobs"],
        publishes: ["job.*.enqueued", "job.*.changed"],
        subscribes: ["job.*.enqueued", "content.*.standing"],
    }
}
