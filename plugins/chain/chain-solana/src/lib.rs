//! The `chain` contract for Solana, provided as the capability `chain-solana`: native SOL, tokens of
//! both token programs, NFTs of verified Metaplex collections (Token Metadata and Core), and
//! compressed ones by the DAS API.
//!
//! It answers yes, no, or unknown. It never makes access decisions, holds no key and sends no transaction. It
//! reports no transfers either: Solana has no logs that could be read for one mint after the fact, so granted
//! access is verified again when the answer has aged.
//!
//! Accounts are read as bytes, and each must have the right program, mint and owner: an endpoint's own
//! parsing is not relied on. `solana-client` is not used, for the same reasons as alloy's transport in
//! `chain-evm`: which addresses are connected to, how much is read, and which of several answers counts. The
//! layouts read here never change, and take a page of code; the interface crates of the token programs would
//! add sixty others.

mod address;
mod caip;
mod chain;
mod core;
mod das;
mod describe;
mod endpoint;
mod metaplex;
mod nft;
mod query;
mod reader;
mod registry;
mod service;
mod settings;
mod token;

use std::sync::Arc;

use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Host, Plugin, StartError};

use crate::registry::Registry;
use crate::service::ChainService;

pub use settings::{Chain, Finality, Settings};

/// The plugin.
pub struct ChainSolana {
    registry: Arc<Registry>,
}

impl Plugin for ChainSolana {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let registry = Arc::new(Registry::new(Some(host.clone())));
        registry.apply(settings).map_err(StartError::new)?;
        host.provide("chain-solana", ChainService::router(Arc::clone(&registry)))?;
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

/// The service without a host, for tests.
pub struct Standalone {
    registry: Arc<Registry>,
}

impl Standalone {
    /// Starts the chains of the settings.
    ///
    /// # Errors
    /// The problem of an endpoint.
    pub fn start(settings: Settings) -> Result<Self, String> {
        let registry = Arc::new(Registry::new(None));
        registry.apply(settings)?;
        Ok(Self { registry })
    }

    /// Applies other settings while it runs.
    ///
    /// # Errors
    /// The problem of an endpoint; nothing has changed then.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), String> {
        self.registry.apply(settings).map(drop)
    }

    /// The service of the contract.
    pub fn router(&self) -> axum::Router {
        ChainService::router(Arc::clone(&self.registry))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.registry.stop().await;
    }
}

streamgate_plugin_api::export_plugin! {
    ChainSolana {
        name: "chain-solana",
        description: "What accounts own on Solana: agreed on by several endpoints, at a named slot",
        provides: ["chain-solana"],
    }
}
