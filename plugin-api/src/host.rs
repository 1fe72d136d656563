//! What a plugin asks of its host.

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

/// One public prefix, and what answers there.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The plugin that declared it.
    pub plugin: String,
    /// The path prefix, such as `/files`; `/` takes what no other prefix does.
    pub prefix: String,
    /// What answers.
    pub service: Client,
}

/// All public prefixes of the moment.
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

    /// The plugin's own figures, which `streamgate metrics` prints.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// A directory of the plugin's own, `<kernel.data_dir>/<plugin>`. It exists.
    pub fn data_dir(&self) -> &Path {
        &self.shared.data_dir
    }

    /// Gives what answers under the manifest's public prefixes: an axum `Router` or any other
    /// tower service. It sees whole paths, prefix included.
    pub fn serve(&self, service: impl HttpService) {
        self.shared.handle.serve(service.counted(self.requests()));
    }

    /// Gives an internal service, which other plugins reach by name and nobody from outside: a
    /// capability of the manifest's `provides`.
    ///
    /// # Errors
    /// When the manifest does not list it.
    pub fn provide(&self, name: &str, service: impl HttpService) -> Result<(), StartError> {
        self.shared.handle.provide(name, service.counted(self.requests())).map_err(StartError::new)
    }

    /// The internal service of this name, whoever provides it now or later. It answers 503 while
    /// nobody does.
    pub fn service(&self, name: &str) -> Client {
        Client::from_abi(self.shared.handle.service(name))
    }

    /// The public prefixes, as soon as their generation is greater than `after`, which is the one
    /// that the caller routes by from now on. For an ingress.
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
    /// When the subject is not one to publish on, or the bus has closed.
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
    /// When the subject is malformed.
    pub fn subscribe(&self, subject: &str) -> Result<Subscription, BusError> {
        self.subscribe_with(SubscribeOptions::new(subject))
    }

    /// Subscribes.
    ///
    /// # Errors
    /// When the subject is malformed or the capacity is zero.
    pub fn subscribe_with(&self, options: SubscribeOptions) -> Result<Subscription, BusError> {
        let options = abi::SubscribeOptions {
            subject: options.subject.into(),
            queue: options.queue.unwrap_or_default().into(),
            capacity: options.capacity,
            extra: abi::Extra::default(),
        };
        self.shared.handle.subscribe(options).map(Subscription).map_err(BusError::Refused)
    }

    /// The health of a component of this plugin. It is unknown to the host until it is first set.
    pub fn health(&self, component: &str) -> Health {
        Health { host: self.clone(), component: component.into() }
    }

    /// Cancelled when another run has taken over, before the host waits for what is under way here, and
    /// with [`Host::shutdown`] at the latest. Whatever has no end of its own ends then: a long poll
    /// answers what it has. Answers of the type `text/event-stream` are ended without the plugin's help.
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

/// Tells the host how one component of this plugin does. Telling it the same again is cheap for
/// nobody's log: only changes are recorded.
#[derive(Clone)]
pub struct Health {
    host: Host,
    component: Arc<str>,
}

impl Health {
    /// It does what it should.
    pub fn healthy(&self) {
        self.set(HealthState::Healthy, "");
    }

    /// Whether there is trouble, and which: healthy or degraded.
    pub fn report(&self, trouble: Option<&str>) {
        match trouble {
            None => self.healthy(),
            Some(reason) => self.degraded(reason),
        }
    }

    /// It works, but not as it should.
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
