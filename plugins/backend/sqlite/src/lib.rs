//! The `database` capability on SQLite: one file per namespace under the plugin's data
//! directory, one writer with group commit, several readers, migrations.
//!
//! Every file is in WAL mode with `synchronous=FULL`: what is acknowledged survives `kill -9` and power loss.
//! This plugin does not know the meaning of what it stores.

mod answered;
mod condition;
mod connection;
mod disk;
mod engine;
mod error;
mod files;
mod ledger;
mod migrate;
mod namespace;
mod reserve;
mod service;
mod settings;
mod statement;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate_plugin_api::grants::Keeper;
use streamgate_plugin_api::settings::SettingsProblem;
use streamgate_plugin_api::{Health, Host, Plugin, StartError};

pub use engine::Engine;
pub use settings::{CheckOnOpen, Settings};

/// The time limit of a query while all requests wait for the next run.
const QUERIES_FINISH_WITHIN: Duration = Duration::from_millis(50);

/// The plugin.
#[derive(Debug)]
pub struct Sqlite {
    engine: Engine,
}

impl Plugin for Sqlite {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let directory = host.data_dir().to_owned();
        files::tighten(&directory)?;
        let (least, grants) = (settings.min_free_space, settings.grants.clone());
        let components: Mutex<HashMap<String, Health>> = Mutex::default();
        let observed = host.clone();
        let observer = Arc::new(move |component: &str, condition: &condition::Condition| {
            let mut components = components.lock().unwrap_or_else(PoisonError::into_inner);
            let health = components.entry(component.to_owned()).or_insert_with(|| observed.health(component));
            disk::tell(health, condition);
        });
        let engine = Engine::observed(&directory, settings, observer);
        for lost in engine.lost()? {
            tracing::error!("{lost}");
        }
        let reserve = engine.reserve();
        host.spawn(disk::watch(directory, least, reserve, host.health("disk"), host.shutdown()));
        let keeper = Keeper::new("namespace", grants, Some(host.clone()));
        host.provide("database", engine.router_for(keeper))?;
        Ok(Self { engine })
    }

    async fn drain(&self) {
        let engine = self.engine.clone();
        // Not awaited: short queries end before, and the next run waits for the others.
        tokio::spawn(async move {
            tokio::time::sleep(QUERIES_FINISH_WITHIN).await;
            engine.stop_long_queries();
        });
    }

    async fn stop(self) {
        self.engine.close().await;
    }
}

streamgate_plugin_api::export_plugin! {
    Sqlite {
        name: "sqlite",
        description: "SQL databases as SQLite files: durable group commit, migrations, a file per namespace",
        provides: ["database"],
        publishes: ["refusal.sqlite"],
        exclusive: true,
    }
}
