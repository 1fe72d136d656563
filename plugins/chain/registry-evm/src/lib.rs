//! The `registry` capability: entries of contents in the server's own contract on EVM chains. Requests of
//! other plugins are sent there, and with `publish` contents automatically; the contract's events are stored,
//! and published on the bus.
//!
//! It holds the private key that signs transactions, and so it runs in its own process without any
//! connection: the provider of `chain` reads chains and sends signed transactions.

mod caip;
mod chain;
mod clients;
mod contents;
mod index;
mod index_store;
mod publication;
mod publish;
mod publish_settings;
mod queue;
mod registry;
mod routes;
mod sender;
mod service;
mod settings;
mod signer;
mod store;

use std::sync::Arc;

use streamgate_contracts::events::{ACCESS_ANY, CONTENT_CHANGED_ANY, CONTENT_DELETED_ANY};
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Client, Event, Host, Plugin, StartError, SubscribeOptions, Subscription};
use tokio::task::JoinHandle;

use crate::registry::{Dependencies, Registries};
use crate::service::RegistryService;

pub use clients::Clients;
pub use settings::{Chain, Settings};
pub use store::StoreError;

/// Events that wait here before their publishers do.
const CAPACITY: usize = 4_096;

/// The plugin.
pub struct RegistryEvm {
    registries: Arc<Registries>,
    listening: Vec<JoinHandle<()>>,
}

impl Plugin for RegistryEvm {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        // Before anything is read, so that nothing is missed.
        let mut subscriptions = Vec::new();
        for subject in [CONTENT_CHANGED_ANY, CONTENT_DELETED_ANY, ACCESS_ANY] {
            let options = SubscribeOptions { capacity: CAPACITY, ..SubscribeOptions::new(subject) };
            subscriptions.push(host.subscribe_with(options)?);
        }
        if !chain::sends_for_others(host.service("chain")).await {
            return Err(StartError::new(
                "the plugin that provides `chain` is older than this one, and may itself send for registries: \
                 replace it first",
            ));
        }
        let clients = Clients {
            catalogue: host.service("catalogue"),
            storage: host.service("storage"),
            access: host.service("access"),
            auth: host.service("auth"),
        };
        let dependencies = Dependencies {
            host: Some(host.clone()),
            db: store::open(host.service("database")).await?,
            bus: Bus::of(&host),
            chain: host.service("chain"),
            clients,
        };
        let registries = Arc::new(Registries::new(dependencies));
        registries.apply(settings).map_err(StartError::new)?;
        host.provide("registry", RegistryService::router(Arc::clone(&registries)))?;
        host.serve(routes::router(Arc::clone(&registries)));
        host.health("registries").healthy();
        let listen = |mut subscription: Subscription| {
            let registries = Arc::clone(&registries);
            host.spawn(async move {
                while let Some(event) = subscription.next().await {
                    registries.heard(&event);
                }
            })
        };
        let mut listening: Vec<_> = subscriptions.into_iter().map(listen).collect();
        let telling = Arc::clone(&registries);
        listening.push(host.spawn(async move { telling.tell().await }));
        Ok(Self { registries, listening })
    }

    async fn reconfigure(&self, settings: Settings) -> Result<bool, StartError> {
        let ended = self.registries.apply(settings).map_err(StartError::new)?;
        for task in ended {
            // A task that panicked has been logged.
            let _ = task.await;
        }
        Ok(true)
    }

    async fn stop(self) {
        for task in self.listening {
            task.abort();
        }
        self.registries.stop().await;
    }
}

/// The service without a host, for tests: over a `database` and a `chain`, beside the plugins that know about
/// contents, with a sink for its events.
pub struct Standalone {
    registries: Arc<Registries>,
    telling: JoinHandle<()>,
}

impl Standalone {
    /// Starts the registries of the settings.
    ///
    /// # Errors
    /// If the database does not answer.
    ///
    /// # Panics
    /// When a key cannot be read.
    pub async fn start(
        database: Client,
        chain: Client,
        clients: Clients,
        settings: Settings,
        publish: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let bus = Bus::new(move |event| {
            publish(event);
            std::future::ready(Ok(()))
        });
        let db = store::open(database).await?;
        let registries = Arc::new(Registries::new(Dependencies { host: None, db, bus, chain, clients }));
        registries.apply(settings).expect("keys that can be read");
        let told = Arc::clone(&registries);
        let telling = tokio::spawn(async move { told.tell().await });
        Ok(Self { registries, telling })
    }

    /// Applies other settings while it runs.
    ///
    /// # Panics
    /// When a key cannot be read.
    pub fn reconfigure(&self, settings: Settings) {
        self.registries.apply(settings).expect("keys that can be read");
    }

    /// Handles an event of the bus.
    pub fn heard(&self, event: &Event) {
        self.registries.heard(event);
    }

    /// The REST API under `/api/v1/registry`.
    pub fn public(&self) -> axum::Router {
        routes::router(Arc::clone(&self.registries))
    }

    /// The service of the contract.
    pub fn router(&self) -> axum::Router {
        RegistryService::router(Arc::clone(&self.registries))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.registries.stop().await;
        self.telling.abort();
    }
}

streamgate_plugin_api::export_plugin! {
    RegistryEvm {
        name: "registry-evm",
        description: "Contents in a registry contract on EVM chains",
        provides: ["registry"],
        requires: ["database", "chain"],
        uses: ["catalogue", "storage", "access", "auth"],
        prefixes: ["/api/v1/registry"],
        publishes: ["chain.*.registry"],
        subscribes: ["content.*.changed", "content.*.deleted", "access.>"],
        isolated: true,
    }
}
