//! The `chain` capability for EVM chains: what accounts own, read at a named block from several
//! endpoints that must agree; signatures of contract wallets; transfers as events; fees.
//!
//! It answers yes, no, or unknown, and never decides who may do what. Where the settings name a
//! content registry and a key, it sends transactions to that contract, and to nothing else: what other
//! plugins ask for, and with `publish` what there is to say about contents.
//!
//! Of alloy it takes numbers, addresses and the coding of calls. The transport is its own, since
//! what counts here is what alloy leaves to others: which addresses are connected to, how much is
//! read, that no redirect is followed, and which of several answers is believed.

mod caip;
mod chain;
mod contents;
mod describe;
mod endpoint;
mod erc;
mod index;
mod index_store;
mod interfaces;
mod neighbours;
mod pool;
mod prepared;
mod publication;
mod publish;
mod publish_settings;
mod query;
mod queue;
mod registry;
mod registry_service;
mod revert;
mod routes;
mod rpc;
mod sender;
mod service;
mod settings;
mod signer;
mod store;
mod watch;

use std::sync::Arc;

use streamgate_contracts::db::DbError;
use streamgate_contracts::events::{ACCESS_ANY, CONTENT_CHANGED_ANY, CONTENT_DELETED_ANY};
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Client, Event, Host, Plugin, StartError, SubscribeOptions, Subscription};
use tokio::task::JoinHandle;

use crate::registry::{Outside, Registry};
use crate::service::ChainService;
use crate::store::Store;

pub use neighbours::Neighbours;
pub use settings::{Chain, Finality, Settings};

/// Events that wait here before their publishers do.
const CAPACITY: usize = 4_096;

/// The plugin.
pub struct ChainEvm {
    registry: Arc<Registry>,
    listening: Vec<JoinHandle<()>>,
}

impl Plugin for ChainEvm {
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
        let store = Store::open(host.service("database")).await?;
        let neighbours = Neighbours {
            catalogue: host.service("catalogue"),
            storage: host.service("storage"),
            access: host.service("access"),
            auth: host.service("auth"),
        };
        let outside = Outside { host: Some(host.clone()), store, bus: Bus::of(&host), neighbours };
        let registry = Arc::new(Registry::new(outside));
        registry.apply(settings).map_err(StartError::new)?;
        host.provide("chain", ChainService::router(Arc::clone(&registry)))?;
        host.serve(routes::router(Arc::clone(&registry)));
        host.health("chains").healthy();
        let listen = |mut subscription: Subscription| {
            let registry = Arc::clone(&registry);
            host.spawn(async move {
                while let Some(event) = subscription.next().await {
                    registry.heard(&event);
                }
            })
        };
        let mut listening: Vec<_> = subscriptions.into_iter().map(listen).collect();
        let telling = Arc::clone(&registry);
        listening.push(host.spawn(async move { telling.tell().await }));
        Ok(Self { registry, listening })
    }

    async fn reconfigure(&self, settings: Settings) -> Result<bool, StartError> {
        let ended = self.registry.apply(settings).map_err(StartError::new)?;
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
        self.registry.stop().await;
    }
}

/// The service without a host, for tests: over a `database`, with a place for its events.
pub struct Standalone {
    registry: Arc<Registry>,
    telling: JoinHandle<()>,
}

impl Standalone {
    /// Starts the chains of the settings.
    ///
    /// # Errors
    /// When the database does not answer.
    ///
    /// # Panics
    /// When an endpoint is no URL, or a key cannot be read.
    pub async fn start(
        database: Client,
        settings: Settings,
        publish: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, DbError> {
        Self::beside(database, Neighbours::none(), settings, publish).await
    }

    /// The same beside the plugins that know about contents.
    ///
    /// # Errors
    /// When the database does not answer.
    ///
    /// # Panics
    /// When an endpoint is no URL, or a key cannot be read.
    pub async fn beside(
        database: Client,
        neighbours: Neighbours,
        settings: Settings,
        publish: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, DbError> {
        let bus = Bus::new(move |event| {
            publish(event);
            std::future::ready(Ok(()))
        });
        Self::over(database, neighbours, settings, bus).await
    }

    /// The same over a bus of the test's own.
    ///
    /// # Errors
    /// When the database does not answer.
    ///
    /// # Panics
    /// When an endpoint is no URL, or a key cannot be read.
    pub async fn over(
        database: Client,
        neighbours: Neighbours,
        settings: Settings,
        bus: Bus,
    ) -> Result<Self, DbError> {
        let store = Store::open(database).await?;
        let registry = Arc::new(Registry::new(Outside { host: None, store, bus, neighbours }));
        registry.apply(settings).expect("endpoints that `Settings::problems` takes");
        let told = Arc::clone(&registry);
        let telling = tokio::spawn(async move { told.tell().await });
        Ok(Self { registry, telling })
    }

    /// Takes other settings over while it runs.
    ///
    /// # Panics
    /// When an endpoint is no URL.
    pub fn reconfigure(&self, settings: Settings) {
        self.registry.apply(settings).expect("endpoints that `Settings::problems` takes");
    }

    /// Takes an event of the bus.
    pub fn heard(&self, event: &Event) {
        self.registry.heard(event);
    }

    /// The REST API under `/api/v1/registry`.
    pub fn public(&self) -> axum::Router {
        routes::router(Arc::clone(&self.registry))
    }

    /// What answers the contract.
    pub fn router(&self) -> axum::Router {
        ChainService::router(Arc::clone(&self.registry))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.registry.stop().await;
        self.telling.abort();
    }
}

streamgate_plugin_api::export_plugin! {
    ChainEvm {
        name: "chain-evm",
        description: "What accounts own on EVM chains: agreed on by several endpoints, at a named block",
        provides: ["chain"],
        requires: ["database"],
        uses: ["catalogue", "storage", "access", "auth"],
        prefixes: ["/api/v1/registry"],
        publishes: ["chain.*.transfer", "chain.*.reorganised", "chain.*.registry"],
        subscribes: ["content.*.changed", "content.*.deleted", "access.>"],
    }
}
