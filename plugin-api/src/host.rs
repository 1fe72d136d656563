//! A plugin's interface to its host.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::drain::Requests;
use crate::metrics::Metrics;
use crate::{BusError, Client, Event, HttpService, StartError, SubscribeOptions, Subscription, abi, trace};

pub use crate::abi::HealthState;

/// The host, as one running plugin sees it. Cloning is cheap.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

struct Shared {
    handle: abi::HostHandle,
    plugin: String,
    data_dir: PathBuf,
    shutdown: CancellationToken,
    runtime: Handle,
    requests: Arc<Requests>,
    metrics: Metrics,
}

/// One public prefix and its service.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The plugin that declared it.
    pub plugin: String,
    /// The path prefix, such as `/files`; `/` matches what no other prefix does.
    pub prefix: String,
    /// The service.
    pub service: Client,
}

/// All current public prefixes.
#[derive(Debug, Clone)]
pub struct Mounts {
    /// Grows with every change.
    pub generation: u64,
    /// In no particular order.
    pub mounts: Vec<Mount>,
}

impl Host {
    pub(crate) fn new(handle: abi::HostHandle, plugin: String, data_dir: PathBuf, runtime: Handle) -> Self {
        let shutdown = CancellationToken::new();
        let requests = Arc::new(Requests::new(&shutdown));
        let metrics = Metrics::new(&plugin);
        Self { shared: Arc::new(Shared { handle, plugin, data_dir, shutdown, runtime, requests, metrics }) }
    }

    /// The runtime of this library.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// The requests that the plugin is answering.
    pub(crate) fn requests(&self) -> &Arc<Requests> {
        &self.shared.requests
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.shared.plugin
    }

    /// The plugin's own metrics, which `streamgate metrics` prints.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The plugin's data directory, `<kernel.data_dir>/<plugin>`. It exists.
    pub fn data_dir(&self) -> &Path {
        &self.shared.data_dir
    }

    /// Sets the service of the manifest's public prefixes: an axum `Router` or any other tower service. It
    /// receives whole paths, prefix included.
    pub fn serve(&self, service: impl HttpService) {
        self.shared.handle.serve(service.counted(self.requests()));
    }

    /// Provides an internal service, which other plugins reach by name and clients cannot: a capability of
    /// the manifest's `provides`.
    ///
    /// # Errors
    /// If the manifest does not list it.
    pub fn provide(&self, name: &str, service: impl HttpService) -> Result<(), StartError> {
        self.shared.handle.provide(name, service.counted(self.requests())).map_err(StartError::new)
    }

    /// The internal service of this name, whichever plugin provides it now or later. Without a provider it
    /// answers 503.
    pub fn service(&self, name: &str) -> Client {
        Client::from_abi(self.shared.handle.service(name))
    }

    /// The public prefixes, as soon as their generation is greater than `after`, which is the one that the
    /// caller uses by then. For an ingress.
    pub async fn next_mounts(&self, after: u64) -> Mounts {
        let mounts = self.shared.handle.next_mounts(after).await;
        Mounts {
            generation: mounts.generation,
            mounts: mounts
                .mounts
                .into_iter()
                .map(|mount| Mount {
                    plugin: mount.plugin.into(),
                    prefix: mount.prefix.into(),
                    service: Client::from_abi(mount.service),
                })
                .collect(),
        }
    }

    /// Publishes an event. Waits while a subscription to its subject is full.
    ///
    /// # Errors
    /// If the subject cannot be published on, or the bus has closed.
    pub async fn publish(&self, mut event: Event) -> Result<(), BusError> {
        if event.source.is_empty() {
            event.source = format!("streamgate/{}", self.shared.plugin);
        }
        let published = self.shared.handle.publish(event.into()).await;
        published.into_result().map_err(|reason| BusError::Refused(reason.into()))
    }

    /// Subscribes with the defaults of [`SubscribeOptions::new`].
    ///
    /// # Errors
    /// If the subject is malformed.
    pub fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        self.subscribe_with(SubscribeOptions::new(subject))
    }

    /// Subscribes.
    ///
    /// # Errors
    /// If the subject is malformed or the capacity is zero.
    pub fn subscribe_with(&self, options: SubscribeOptions) -> Result<Subscription, BusError> {
        let options = abi::SubscribeOptions {
            subject: options.subject.into(),
            queue: options.queue.unwrap_or_default().into(),
            capacity: options.capacity,
            extra: abi::Extra::default(),
        };
        self.shared.handle.subscribe(options).map(Subscription).map_err(BusError::Refused)
    }

    /// The health of a component of this plugin. The host does not know the component until it is first set.
    pub fn health(&self, component: &str) -> Health {
        Health { host: self.clone(), component: component.into() }
    }

    /// Cancelled when another run has taken over, before the host waits for requests in progress here, and
    /// with [`Host::shutdown`] at the latest. Endless work must end then: a long poll answers what it has.
    /// Responses of the type `text/event-stream` are ended without the plugin's help.
    pub fn draining(&self) -> CancellationToken {
        self.shared.requests.draining.clone()
    }

    /// Cancelled just before the plugin's `stop` is called.
    pub fn shutdown(&self) -> CancellationToken {
        self.shared.shutdown.clone()
    }

    /// Spawns a task on this plugin's runtime, with the trace context of the caller. A panic in it
    /// is logged and counted against the plugin.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime().spawn(trace::in_context(trace::current(), future))
    }

    /// Kernel, plugins and health, as `streamgate plugins --json` prints them.
    pub fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.shared.handle.report()).unwrap_or_default()
    }
}

/// Reports the health of one component of this plugin to the host. Repeating the same state is cheap and not
/// logged.
#[derive(Clone)]
pub struct Health {
    host: Host,
    component: Arc<str>,
}

impl Health {
    /// It works as intended.
    pub fn healthy(&self) {
        self.set(HealthState::Healthy, "");
    }

    /// Whether there is a problem, and which: healthy or degraded.
    pub fn report(&self, trouble: Option<&str>) {
        match trouble {
            None => self.healthy(),
            Some(reason) => self.degraded(reason),
        }
    }

    /// It works with problems.
    pub fn degraded(&self, reason: impl AsRef<str>) {
        self.set(HealthState::Degraded, reason.as_ref());
    }

    /// It does not work.
    pub fn unhealthy(&self, reason: impl AsRef<str>) {
        self.set(HealthState::Unhealthy, reason.as_ref());
    }

    fn set(&self, state: HealthState, reason: &str) {
        self.host.shared.handle.set_health(&self.component, state, reason);
    }
}
