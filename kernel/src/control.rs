//! What the kernel answers on its control socket.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use streamgate_control::{Change, Outcome, Reserved, carry_out};
use streamgate_plugin_api::Client;
use tokio::net::UnixListener;

use crate::lifecycle::{Entry, Kernel};

/// Answers on the socket until the process ends. Only this user can connect, so there is nobody
/// to be guarded against.
pub(crate) async fn serve(listener: UnixListener, kernel: Arc<Kernel>) {
    let router = Router::new()
        .route("/plugins", get(async |State(kernel): State<Arc<Kernel>>| Json(kernel.report())))
        .route("/health", get(async |State(kernel): State<Arc<Kernel>>| Json(kernel.health_report())))
        .route("/change", post(change))
        .route("/command", post(command))
        .with_state(kernel);
    if let Err(error) = axum::serve(Reserved::new(listener), router).await {
        tracing::error!(%error, "the control socket is gone");
    }
}

async fn change(
    State(kernel): State<Arc<Kernel>>,
    Json(change): Json<Change>,
) -> Json<Result<String, String>> {
    // A task, so that a change comes to its end although whoever asked for it has gone away.
    let changing = tokio::spawn(async move {
        match change {
            Change::Restart { name } => kernel.restart(&name).await,
            Change::Swap { name, file } => {
                let file = file.map(|file| file.display().to_string());
                kernel.swap(&name, file.as_deref()).await
            }
            Change::Reload { dry } => kernel.reload(dry).await,
        }
    });
    Json(changing.await.unwrap_or_else(|error| Err(error.to_string())))
}

async fn command(State(kernel): State<Arc<Kernel>>, Json(words): Json<Vec<String>>) -> Json<Outcome> {
    let composition = kernel.composition.load_full();
    let provided = |entry: &Arc<Entry>| entry.planned.load().library.manifest.provides.clone();
    let provided = composition.plugins.iter().flat_map(provided);
    Json(carry_out(words, provided, |name| Client::from_abi(kernel.services.service(name))).await)
}
