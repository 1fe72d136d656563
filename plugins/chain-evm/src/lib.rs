//! The `chain` capability for EVM chains: what accounts own, read at a named block from several
//! endpoints that must agree; signatures of contract wallets; transfers as events; fees.
//!
//! It answers yes, no, or unknown, and never decides who may do what. Where the settings name a
//! content registry and a key, it sends transactions to that contract, and to nothing else.
//!
//! Of alloy it takes numbers, addresses and the coding of calls. The transport is its own, since
//! what counts here is what alloy leaves to others: which addresses are connected to, how much is
//! read, that no redirect is followed, and which of several answers is believed.

mod caip;
mod chain;
mod contents;
mod endpoint;
mod erc;
mod index;
mod index_store;
mod pool;
mod query;
mod queue;
mod registry;
mod registry_service;
mod rpc;
mod sender;
mod service;
mod settings;
mod signer;
mod store;
mod watch;

use std::sync::Arc;

use futures_util::FutureExt as _;
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Client, Event, Host, Plugin, StartError};

use crate::registry::{Outside, Registry};
use crate::service::ChainService;
use crate::store::Store;
use crate::watch::Publish;

pub use settings::{Chain, Finality, Settings};

/// The plugin.
pub struct ChainEvm {
    registry: Arc<Registry>,
}

impl Plugin for ChainEvm {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let store = Store::open(host.service("database")).await?;
        let bus = host.clone();
        let publish: Publish = Arc::new(move |event| {
            let bus = bus.clone();
            async move {
                if let Err(error) = bus.publish(event).await {
                    tracing::warn!(%error, "an event was not published");
                }
            }
            .boxed()
        });
        let registry = Arc::new(Registry::new(Outside { host: Some(host.clone()), store, publish }));
        registry.apply(settings).map_err(StartError::new)?;
        host.provide("chain", ChainService::router(Arc::clone(&registry)))?;
        host.health("chains").healthy();
        Ok(Self { registry })
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
        self.registry.stop().await;
    }
}

/// The service without a host, for tests: over a `database`, with a place for its events.
pub struct Standalone {
    registry: Arc<Registry>,
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
        let store = Store::open(database).await?;
        let publish: Publish = Arc::new(move |event| {
            publish(event);
            std::future::ready(()).boxed()
        });
        let registry = Arc::new(Registry::new(Outside { host: None, store, publish }));
        registry.apply(settings).expect("endpoints that `Settings::problems` takes");
        Ok(Self { registry })
    }

    /// Takes other settings over while it runs.
    ///
    /// # Panics
    /// When an endpoint is no URL.
    pub fn reconfigure(&self, settings: Settings) {
        self.registry.apply(settings).expect("endpoints that `Settings::problems` takes");
    }

    /// What answers the contract.
    pub fn router(&self) -> axum::Router {
        ChainService::router(Arc::clone(&self.registry))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.registry.stop().await;
    }
}

streamgate_plugin_api::export_plugin! {
    ChainEvm {
        name: "chain-evm",
        description: "What accounts own on EVM chains: agreed on by several endpoints, at a named block",
        provides: ["chain"],
        requires: ["database"],
    }
}
