//! The public entry: HTTP/1.1 and HTTP/2 on TCP, in front of the public routes of all plugins.
//!
//! It limits, times, identifies, compresses and logs, and calls the filters; it keeps no user state and knows
//! no plugin by name. The host tells it the current mounts.

mod access_log;
mod body;
mod compress;
mod connection;
mod figures;
mod filters;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod handover;
mod head;
mod health;
mod server;
mod settings;
mod socket;
mod sockets;
mod streams;
mod table;
mod tunnel;
mod turns;
mod vet;
mod watch;
mod websocket;

use std::sync::Arc;

use streamgate_plugin_api::{Host, Plugin, SettingsProblem, StartError, export_plugin};

pub use crate::figures::Figures;
pub use crate::filters::{Filters, Stage};
pub use crate::handover::Handover;
pub use crate::health::Report;
pub use crate::server::{ListenError, Listener, Server};
pub use crate::settings::{AccessLog, Listen, Settings};
pub use crate::sockets::Endings;
pub use crate::table::{Route, Table};

/// What the plugin behind the filters publishes when a credential ends before its time.
const ENDED: &str = "credential.*.ended";

/// The plugin.
pub struct GatewayPlugin {
    server: Server,
    /// They follow the mounts and the ends of credentials.
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Plugin for GatewayPlugin {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(StartError::new(problem.to_string()));
        }
        let table = Arc::new(Table::new(settings.unlimited_bodies.clone()));
        // Connections are accepted only once there are mounts.
        let generation = mount(&host, &table, 0).await;
        let report_host = host.clone();
        let report: Report = Arc::new(move || report_host.report());
        let filters = Filters::new(&settings, |stage| host.service(stage));
        let taken = handover::take(&host).await;
        let figures = Figures::new(host.metrics());
        let server = Server::start(&settings, table.clone(), filters, (report, figures), taken)?;
        host.provide("ingress", server.handover().router(host.data_dir()))?;
        for address in server.addresses() {
            // Not as a URL: the public name is a setting of the plugin that signs people in.
            tracing::info!("listening on {address}");
        }
        host.health("listener").healthy();
        let mounting = host.spawn(follow(host.clone(), table, generation));
        let mut ended = host.subscribe(ENDED)?;
        let endings = server.endings().clone();
        let ending = host.spawn(async move {
            while let Some(event) = ended.next().await {
                let credential = event.subject.strip_prefix("credential.");
                endings.end(credential.and_then(|rest| rest.strip_suffix(".ended")).unwrap_or_default());
            }
        });
        Ok(Self { server, tasks: [mounting, ending] })
    }

    async fn drain(&self) {
        self.server.drain().await;
    }

    async fn stop(self) {
        self.server.stop().await;
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

export_plugin! {
    GatewayPlugin {
        name: "gateway",
        description: "HTTP/1.1 and HTTP/2 in front of what the plugins serve",
        provides: ["ingress"],
        uses: ["authenticate", "authorize", "limit"],
        subscribes: ["credential.*.ended"],
        ingress: true,
    }
}

/// Applies the mounts if their generation is greater than `after`, and returns it.
async fn mount(host: &Host, table: &Table, after: u64) -> u64 {
    let mounts = host.next_mounts(after).await;
    let routes =
        mounts.mounts.into_iter().map(|mount| Route { prefix: mount.prefix, service: mount.service });
    table.replace(routes);
    mounts.generation
}

/// Follows the host's mounts.
async fn follow(host: Host, table: Arc<Table>, mut generation: u64) {
    loop {
        generation = mount(&host, &table, generation).await;
    }
}
