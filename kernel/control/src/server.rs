//! The control socket's server: reports, changes, and the commands of plugins.

use std::future::Future;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use http::{Request, StatusCode, header};
use serde_json::Value;
use streamgate_plugin_api::abi::Instance;
use streamgate_plugin_api::changes::HostChanged;
use streamgate_plugin_api::command::PREFIX;
use streamgate_plugin_api::time::now_ms;
use streamgate_plugin_api::{Body, Client, Problem, problems};
use tokio::net::UnixListener;
use tokio::signal::unix::Signal;

use crate::journal::Journal;
use crate::metrics;
use crate::{CONFIG, Change, Reserved};

/// The interface of a running streamgate.
pub trait Controlled: Send + Sync + 'static {
    /// The full report.
    fn report(&self) -> Value;
    /// Its health alone.
    fn health_report(&self) -> Value;
    /// Changes what runs. The error is why nothing changed.
    fn change(self: &Arc<Self>, change: Change) -> impl Future<Output = Result<String, String>> + Send;
    /// The names of all running plugins.
    fn running(&self) -> Vec<(String, Arc<Instance>)>;
    /// All provided capabilities.
    fn provided(&self) -> Vec<String>;
    /// The provider of a capability.
    fn provider(&self, capability: &str) -> Client;
}

/// A controlled kernel, with the journal of changes by hand.
#[derive(Debug)]
pub struct Control<K> {
    kernel: Arc<K>,
    journal: Arc<Journal>,
    config: Arc<std::path::Path>,
}

impl<K> Clone for Control<K> {
    fn clone(&self) -> Self {
        let Self { kernel, journal, config } = self;
        Self { kernel: kernel.clone(), journal: journal.clone(), config: config.clone() }
    }
}

/// The peer of the socket.
#[derive(Debug, Clone, Copy)]
struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, Reserved>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Reserved>) -> Self {
        Self(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

impl<K: Controlled> Control<K> {
    /// Controls `kernel`, which reads its configuration from `config`, and records changes.
    pub fn new(kernel: Arc<K>, journal: Arc<Journal>, config: &std::path::Path) -> Self {
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        Self { kernel, journal, config: config.into() }
    }

    /// The kernel's report, with its configuration file.
    fn report(&self) -> Value {
        let mut report = self.kernel.report();
        report[CONFIG] = self.config.to_string_lossy().into();
        report
    }

    /// The metrics of the host and its plugins, or of one of these.
    async fn metrics(&self, name: Option<&str>) -> Result<String, String> {
        let report = self.kernel.report();
        let mut plugins = report["plugins"].as_array().into_iter().flatten();
        match name {
            Some(name) if !plugins.any(|plugin| plugin["name"] == name) => {
                Err(format!("there is no plugin `{name}`"))
            }
            _ => Ok(metrics::collect(&report, self.kernel.running(), name).await),
        }
    }

    /// Serves the socket until the process ends. Only this user can connect, so no further protection is
    /// needed.
    pub async fn serve(self, listener: UnixListener) {
        let router = Router::new()
            .route("/plugins", get(async |State(it): State<Self>| Json(it.report())))
            .route("/health", get(async |State(it): State<Self>| Json(it.kernel.health_report())))
            .route("/metrics", get(async |State(it): State<Self>| Json(it.metrics(None).await)))
            .route(
                "/metrics/{name}",
                get(async |State(it): State<Self>, Path(name): Path<String>| {
                    Json(it.metrics(Some(&name)).await)
                }),
            )
            .route("/change", post(change::<K>))
            .route("/command/{name}", post(command::<K>))
            .with_state(self);
        let service = router.into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(Reserved::new(listener), service).await {
            tracing::error!(%error, "the control socket failed");
        }
    }

    /// Reloads on each SIGHUP, until the process ends.
    pub async fn reload_on_hangup(self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            let change = Change::Reload { dry: false, version: None };
            match self.change(change, String::new(), "SIGHUP").await {
                Ok(steps) => tracing::info!(steps, "reloaded"),
                Err(reason) => tracing::error!(reason, "not reloaded"),
            }
        }
    }

    /// Executes a requested change, and records who, what and whether it succeeded. In a task, so that it
    /// completes even if the caller disconnects.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn change(&self, change: Change, by: String, through: &'static str) -> Result<String, String> {
        let Self { kernel, journal, .. } = self.clone();
        let changing = tokio::spawn(async move {
            let told = told(&change, by, through);
            let outcome = kernel.change(change).await;
            if let Some(mut told) = told {
                let words = outcome.as_ref().unwrap_or_else(|reason| reason);
                told.done = outcome.is_ok();
                told.detail =
                    if told.detail.is_empty() { words.clone() } else { format!("{}: {words}", told.detail) };
                journal.note(told).await;
            }
            outcome
        });
        changing.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// The journal entry of a change; `None` for a dry run.
fn told(change: &Change, by: String, through: &str) -> Option<HostChanged> {
    let (action, plugin, detail) = match change {
        Change::Restart { name } => ("host.restart", name.clone(), String::new()),
        Change::Swap { name, file } => {
            let file = file.as_ref().map(|file| format!("by {}", file.display()));
            ("host.swap", name.clone(), file.unwrap_or_default())
        }
        Change::Reload { dry: true, .. } => return None,
        Change::Reload { dry: false, .. } => ("host.reload", String::new(), String::new()),
    };
    Some(HostChanged {
        id: uuid::Uuid::now_v7().to_string(),
        at_ms: now_ms(),
        action: action.into(),
        plugin,
        by,
        through: through.into(),
        done: false,
        detail,
    })
}

async fn change<K: Controlled>(
    State(control): State<Control<K>>,
    ConnectInfo(Peer(uid)): ConnectInfo<Peer>,
    Json(change): Json<Change>,
) -> Json<Result<String, String>> {
    let by = uid.map(|uid| format!("uid:{uid}")).unwrap_or_default();
    Json(control.change(change, by, "control socket").await)
}

/// Passes the words of a command to the plugin that provides it.
async fn command<K: Controlled>(
    State(control): State<Control<K>>,
    Path(name): Path<String>,
    Json(words): Json<Vec<String>>,
) -> Response {
    let provided = control.kernel.provided();
    let mut known: Vec<_> =
        provided.iter().filter_map(|capability| capability.strip_prefix(PREFIX)).collect();
    if !known.contains(&name.as_str()) {
        known.sort_unstable();
        return Problem::of(problems::NO_SUCH_COMMAND).with("known", known.join(", ")).into_response();
    }
    let client = control.kernel.provider(&format!("{PREFIX}{name}"));
    let text = serde_json::to_string(&words).unwrap_or_default();
    let request = Request::post("http://command/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(text))
        .expect("a method, a path and a media type are a request");
    match client.send(request).await {
        Ok(answer) => answer.map(axum::body::Body::new),
        Err(error) => Problem::of(problems::NO_ANSWER.with_status(StatusCode::BAD_GATEWAY))
            .detail(error.to_string())
            .into_response(),
    }
}
