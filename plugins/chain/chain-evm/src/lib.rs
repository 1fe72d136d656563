//! The `chain` capability for EVM chains: what accounts own, read at a named block from several endpoints
//! that must agree; signatures of contract wallets; transfers as events; fees.
//!
//! It answers yes, no, or unknown, and never makes access decisions. It has no private key: a plugin that has
//! one reads the chain and sends its signed transactions through the `Ledger` service.
//!
//! Of alloy it uses numbers, addresses and call encoding. The transport is its own, because it has to control
//! what alloy leaves to others: which addresses are connected to, how much is read, that no redirect is
//! followed, and which of several answers counts.

mod caip;
mod chain;
mod describe;
mod endpoint;
mod erc;
mod interfaces;
mod ledger;
mod ledger_service;
mod pool;
mod prepared;
mod query;
mod registry;
mod revert;
mod rpc;
mod service;
mod settings;
mod store;
mod watch;

use std::sync::Arc;

use streamgate_contracts::db::DbError;
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Client, Event, Host, Plugin, StartError};
use tokio::task::JoinHandle;

use crate::registry::{Dependencies, Registry};
use crate::service::ChainService;
use crate::store::Store;

pub use settings::{Chain, Finality, Settings};

/// The plugin.
pub struct ChainEvm {
    registry: Arc<Registry>,
    telling: JoinHandle<()>,
}

impl Plugin for ChainEvm {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let store = Store::open(host.service("database")).await?;
        let dependencies = Dependencies { host: Some(host.clone()), store, bus: Bus::of(&host) };
        let registry = Arc::new(Registry::new(dependencies));
        registry.apply(settings).map_err(StartError::new)?;
        host.provide("chain", ChainService::router(Arc::clone(&registry)))?;
        host.health("chains").healthy();
        let told = Arc::clone(&registry);
        let telling = host.spawn(async move { told.tell().await });
        Ok(Self { registry, telling })
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
        self.telling.abort();
        self.registry.stop().await;
    }
}

/// The service without a host, for tests: over a `database`, with a sink for its events.
pub struct Standalone {
    registry: Arc<Registry>,
    telling: JoinHandle<()>,
}

impl Standalone {
    /// Starts the chains of the settings.
    ///
    /// # Errors
    /// If the database does not answer.
    ///
    /// # Panics
    /// If an endpoint is not a URL.
    pub async fn start(
        database: Client,
        settings: Settings,
        publish: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, DbError> {
        let bus = Bus::new(move |event| {
            publish(event);
            std::future::ready(Ok(()))
        });
        Self::over(database, settings, bus).await
    }

    /// The same with the test's own bus.
    ///
    /// # Errors
    /// If the database does not answer.
    ///
    /// # Panics
    /// If an endpoint is not a URL.
    pub async fn over(database: Client, settings: Settings, bus: Bus) -> Result<Self, DbError> {
        let store = Store::open(database).await?;
        let registry = Arc::new(Registry::new(Dependencies { host: None, store, bus }));
        registry.apply(settings).expect("endpoints that `Settings::problems` takes");
        let told = Arc::clone(&registry);
        let telling = tokio::spawn(async move { told.tell().await });
        Ok(Self { registry, telling })
    }

    /// Applies other settings while it runs.
    ///
    /// # Panics
    /// If an endpoint is not a URL.
    pub fn reconfigure(&self, settings: Settings) {
        self.registry.apply(settings).expect("endpoints that `Settings::problems` takes");
    }

    /// The service of the contract.
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
        // The last is what an earlier version with registries left in the outbox.
        publishes: ["chain.*.transfer", "chain.*.reorganised", "chain.*.registry"],
    }
}
