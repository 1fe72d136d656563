//! The called plugin.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use streamgate_boundary_bench::{event, log, target};
use streamgate_plugin_api::{Host, Plugin, StartError, export_plugin};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

struct Target;

impl Plugin for Target {
    type Settings = ();

    async fn start(host: Host, (): ()) -> Result<Self, StartError> {
        let last = Arc::new(Notify::new());
        host.spawn(event::hear(host.subscribe(event::SUBJECT)?, last.clone()));
        let heard = Router::new()
            .route("/heard", get(async move || last.notified().await))
            .route(
                "/log-on",
                get(async || text(spawn_blocking(|| Handle::current().block_on(log::on())).await)),
            )
            .route(
                "/log-off",
                get(async || text(spawn_blocking(|| Handle::current().block_on(log::off())).await)),
            )
            .route("/process", get(async || std::process::id().to_string()));
        host.provide("bench", target::router().merge(heard))?;
        Ok(Self)
    }
}

fn text(cost: Result<f64, tokio::task::JoinError>) -> String {
    cost.map_or_else(|error| error.to_string(), |cost| cost.to_string())
}

export_plugin! {
    Target {
        name: "bench-target",
        description: "Is called by bench-driver",
        provides: ["bench"],
        subscribes: ["bench.content.uploaded"],
    }
}
