//! Access control of contents: policies as rule trees over tokens, lists, roles, time and subscriptions;
//! decisions with the reads and blocks they depend on; and revocation when those change.
//!
//! It decides, stores, and publishes revocations. It serves no media, knows no credentials, and reads no
//! chain itself.

mod access;
mod audit;
mod caip;
mod chain;
mod decision;
mod delegation;
mod directory;
mod epochs;
mod error;
mod evaluate;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod grants;
mod policy;
mod routes;
mod rule;
mod service;
mod settings;
mod standing;
mod store;
mod tree;
mod truth;
mod viewer;
mod warnings;

use streamgate_contracts::events::{
    ACCESS_ANY, CHAIN_REORGANISED_ANY, CHAIN_TRANSFER_ANY, CONTENT_DELETED_ANY, CONTENT_STANDING_ANY,
};
use streamgate_contracts::outbox::Bus;
use streamgate_plugin_api::{Host, Plugin, SettingsProblem, StartError, SubscribeOptions, export_plugin};
use tokio::task::JoinHandle;

pub use access::{Access, Dependencies};
pub use policy::{Openness, Written};
pub use rule::{
    AllowList, AtLeast, ContractCall, Native, Rule, RuleError, SolanaAsset, Subscription, TimeWindow, Token,
};
pub use settings::{Default, Settings};
pub use tree::Comparison;

/// Events that wait here before their publishers do.
const CAPACITY: usize = 4_096;
/// The events that it follows.
const SUBJECTS: [&str; 5] =
    [CHAIN_TRANSFER_ANY, CHAIN_REORGANISED_ANY, CONTENT_DELETED_ANY, CONTENT_STANDING_ANY, ACCESS_ANY];

/// The plugin.
struct Running {
    tasks: Vec<JoinHandle<()>>,
}

impl Plugin for Running {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings::check(settings)
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        // Before anything is read, so that nothing is missed.
        let mut subscriptions = Vec::new();
        for subject in SUBJECTS {
            let options = SubscribeOptions { capacity: CAPACITY, ..SubscribeOptions::new(subject) };
            subscriptions.push(host.subscribe_with(options)?);
        }
        let dependencies = Dependencies {
            database: host.service("database"),
            chain: host.service("chain"),
            solana: host.service("chain-solana"),
            auth: host.service("auth"),
            catalogue: host.service("catalogue"),
            bus: Bus::of(&host),
        };
        let access =
            Access::open(dependencies, settings, streamgate_plugin_api::time::Clock::system()).await?;
        host.provide("access", access.internal())?;
        host.serve(access.public());
        let health = host.health("revocation");
        health.healthy();
        let report = move |trouble: Option<&str>| health.report(trouble);
        let mut tasks = Vec::new();
        for mut subscription in subscriptions {
            let access = access.clone();
            tasks.push(host.spawn(async move {
                while let Some(event) = subscription.next().await {
                    access.on_event(&event).await;
                }
            }));
        }
        tasks.push(host.spawn(async move { access.run(report).await }));
        Ok(Self { tasks })
    }

    async fn stop(self) {
        // Grants are in the database, and checked again after the next start.
        for task in self.tasks {
            task.abort();
        }
    }
}

export_plugin! {
    Running {
        name: "access",
        description: "Access control: policies, decisions with their evidence, revocation",
        provides: ["access"],
        requires: ["database"],
        uses: ["chain", "chain-solana", "auth", "catalogue"],
        prefixes: ["/api/v1/access"],
        publishes: ["access.*.changed", "access.*.revoked"],
        subscribes: ["chain.*.transfer", "chain.*.reorganised", "content.*.deleted", "content.*.standing", "access.>"],
    }
}
