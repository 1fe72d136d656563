//! Shared by the whole kernel: its parts that are separate crates, the current settings, and the phase of the
//! process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use streamgate_bus::Bus;
use streamgate_config::KernelSettings;
use streamgate_health::{Health, Phase};
use streamgate_log::Log;
use streamgate_plugin_api::abi::FfiFuture;
use streamgate_services::Services;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long `publish` waits for a full subscription, and the maximum size of an event's data.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
const MAX_EVENT: usize = 1 << 20;

/// The parts.
pub(crate) struct Parts {
    pub(crate) settings: ArcSwap<KernelSettings>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) health: Health,
    pub(crate) services: Arc<Services>,
    pub(crate) log: Arc<Log>,
    pub(crate) began: Instant,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) runtime: Handle,
    pub(crate) stopping: CancellationToken,
}

impl Parts {
    /// For a kernel that has started nothing yet. `runtime` is its own.
    pub(crate) fn new(settings: KernelSettings, log: Arc<Log>, began: Instant, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            settings: Arc::new(settings).into(),
            bus: Bus::new(PUBLISH_DEADLINE, MAX_EVENT),
            health: Health::default(),
            services: Arc::default(),
            log,
            began,
            phase: watch::Sender::new(Phase::Starting),
            runtime,
            stopping: CancellationToken::new(),
        })
    }

    /// Runs plugin code on a thread that it may block.
    pub(crate) fn on_own_thread<T: Send + 'static>(&self, future: FfiFuture<T>) -> JoinHandle<T> {
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || runtime.block_on(future))
    }
}
