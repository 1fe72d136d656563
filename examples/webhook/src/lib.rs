//! Webhooks: reports events to other systems. Events of the bus become CloudEvents over HTTP, signed with
//! Standard Webhooks, retried until they are accepted, and otherwise kept as dead letters.
//!
//! Events are first written into the table and delivered from there, so that each is delivered at least once,
//! even if this process crashes. Receivers detect repetitions by `webhook-id`.

mod connect;
mod deliver;
mod dispatch;
mod endpoint;
mod engine;
mod error;
mod intake;
mod message;
mod retry;
mod routes;
mod settings;
mod sign;
mod store;
mod sweep;
mod view;

use std::sync::Arc;

use streamgate_plugin_api::{Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use crate::store::Store;

pub use settings::{EndpointSettings, Secret, Settings};

/// The plugin.
struct Webhook {
    host: Host,
    store: Store,
    current: watch::Sender<Arc<Engine>>,
    tasks: TaskTracker,
}

impl Plugin for Webhook {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let store = Store::open(host.service("database")).await?;
        let engine = Engine::new(&host, store.clone(), settings).await?;
        let tasks = TaskTracker::new();
        engine.start(&host, &tasks)?;
        let (current, shown) = watch::channel(engine);
        host.serve(routes::router(shown));
        Ok(Self { host, store, current, tasks })
    }

    async fn reconfigure(&self, settings: Settings) -> Result<bool, StartError> {
        let new = Engine::new(&self.host, self.store.clone(), settings).await?;
        if let Err(error) = new.start(&self.host, &self.tasks) {
            new.stop();
            return Err(error);
        }
        let old = self.current.send_replace(new.clone());
        old.stop();
        for (name, endpoint) in &old.endpoints {
            if !new.endpoints.contains_key(name) {
                endpoint.forget();
            }
        }
        Ok(true)
    }

    async fn stop(self) {
        // The engines' tokens are children of the one that the host has cancelled.
        self.tasks.close();
        self.tasks.wait().await;
    }
}

export_plugin! {
    Webhook {
        name: "webhook",
        description: "Tells other systems what happens, as signed CloudEvents over HTTP",
        requires: ["database"],
        prefixes: ["/api/v1/webhooks"],
        subscribes: [">"],
    }
}
