//! Starts plugins in the order of the graph, keeps asking whether they answer, and stops them in
//! reverse, each with a deadline. What a plugin does wrong stays its own: it is reported with its
//! reason, and those that need it do not start.
//!
//! Plugin code runs on threads that may be lost to it, never on those that the kernel needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::Serialize;
use streamgate_config::KernelSettings;
use streamgate_plugin_api::abi::{FfiFuture, HostHandle, Instance, RResult, StartArgs};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::check::{Edition, Planned};
use crate::graph::Graph;
use crate::health::{Health, Status};
use crate::host::HostSide;
use crate::log::Log;
use crate::services::Services;

/// What the kernel waits for a thread that does not even look at its deadline.
const GRACE: Duration = Duration::from_millis(500);

/// How long `publish` waits for a full subscription, and how much data an event has at most.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
const MAX_EVENT: usize = 1 << 20;

/// Where a plugin is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// For others to start.
    Waiting,
    Starting,
    Running,
    Stopping,
    Stopped,
    /// It did not start, or did not stop in time.
    Failed,
    /// Something it requires does not run.
    Blocked,
}

/// A stage, and why it is not running if there is a reason.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) stage: Stage,
    pub(crate) reason: String,
    pub(crate) since: SystemTime,
}

impl State {
    fn new(stage: Stage, reason: &str) -> Self {
        Self { stage, reason: reason.to_owned(), since: SystemTime::now() }
    }

    fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Starting)
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Stopped | Stage::Failed | Stage::Blocked)
    }
}

/// One plugin and what the kernel knows of it.
pub(crate) struct Entry {
    pub(crate) planned: Planned,
    pub(crate) state: watch::Sender<State>,
    pub(crate) panics: AtomicU64,
    pub(crate) last_panic: Mutex<Option<(SystemTime, String)>>,
    instance: Mutex<Option<Arc<Instance>>>,
}

impl Entry {
    pub(crate) fn is_running(&self) -> bool {
        self.state.borrow().stage == Stage::Running
    }

    fn enter(&self, stage: Stage, reason: &str) {
        self.state.send_replace(State::new(stage, reason));
    }
}

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Starting,
    Running,
    Stopping,
}

/// The kernel at work.
pub(crate) struct Kernel {
    pub(crate) settings: KernelSettings,
    pub(crate) plugins: Vec<Entry>,
    pub(crate) graph: Graph,
    pub(crate) bus: Arc<Bus>,
    pub(crate) health: Health,
    pub(crate) services: Arc<Services>,
    pub(crate) log: Arc<Log>,
    pub(crate) began: Instant,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) runtime: Handle,
    stopping: CancellationToken,
}

impl Kernel {
    /// A kernel that has started nothing yet. `runtime` is its own.
    pub(crate) fn new(edition: Edition, log: Arc<Log>, began: Instant, runtime: Handle) -> Arc<Self> {
        let Edition { kernel: settings, plugins, graph } = edition;
        let prefixes = plugins.iter().flat_map(|plugin| {
            let prefixes = plugin.library.manifest.prefixes.iter().cloned();
            prefixes.map(|prefix| (prefix, plugin.name.clone()))
        });
        let services = Arc::new(Services::new(prefixes.collect()));
        let entry = |planned| Entry {
            planned,
            state: watch::Sender::new(State::new(Stage::Waiting, "")),
            panics: AtomicU64::new(0),
            last_panic: Mutex::default(),
            instance: Mutex::default(),
        };
        Arc::new(Self {
            bus: Bus::new(PUBLISH_DEADLINE, MAX_EVENT),
            settings,
            plugins: plugins.into_iter().map(entry).collect(),
            graph,
            health: Health::default(),
            services,
            log,
            began,
            phase: watch::Sender::new(Phase::Starting),
            runtime,
            stopping: CancellationToken::new(),
        })
    }

    /// Starts all plugins; answers when each runs or has failed, at the latest after the
    /// deadlines of those that wait for each other. The error is about one that is `required`.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), String> {
        // Tasks, which go on when nobody waits for this any more: each brings its plugin to an end.
        let spawn = |index| self.runtime.spawn(self.clone().start_one(index));
        let mut starting: FuturesUnordered<_> = (0..self.plugins.len()).map(spawn).collect();
        while starting.next().await.is_some() {
            for entry in self.plugins.iter().filter(|entry| entry.planned.keys.required) {
                let state = entry.state.borrow().clone();
                if matches!(state.stage, Stage::Failed | Stage::Blocked) {
                    return Err(format!(
                        "{} is required and did not start: {}",
                        entry.planned.name, state.reason
                    ));
                }
            }
        }
        self.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Starting { Phase::Running } else { *phase };
        });
        Ok(())
    }

    async fn start_one(self: Arc<Self>, index: usize) {
        let entry = &self.plugins[index];
        for &other in &self.graph.after[index] {
            let mut state = self.plugins[other].state.subscribe();
            tokio::select! {
                _ = state.wait_for(|state| !state.is_pending()) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        if self.stopping.is_cancelled() {
            return entry.enter(Stage::Stopped, "");
        }
        if let Some(reason) = self.missing_need(index) {
            tracing::error!(plugin = entry.planned.name, reason, "plugin not started");
            return entry.enter(Stage::Blocked, &reason);
        }
        entry.enter(Stage::Starting, "");
        let began = Instant::now();
        match self.launch(index).await {
            Ok(instance) => {
                let instance = Arc::new(instance);
                *entry.instance.lock() = Some(instance.clone());
                entry.enter(Stage::Running, "");
                let (version, millis) =
                    (&entry.planned.library.manifest.version, began.elapsed().as_millis() as u64);
                tracing::info!(plugin = entry.planned.name, version, millis, "plugin started");
                self.runtime.spawn(self.clone().keep_asking(index, instance));
            }
            Err(reason) => {
                self.withdraw(index);
                tracing::error!(plugin = entry.planned.name, reason, "plugin did not start");
                entry.enter(Stage::Failed, &reason);
            }
        }
    }

    fn missing_need(&self, index: usize) -> Option<String> {
        self.graph.needs[index].iter().find_map(|&need| {
            let other = &self.plugins[need];
            let state = other.state.borrow();
            let mut wanted = self.plugins[index].planned.library.manifest.requires.iter();
            let capability = wanted.find(|name| other.planned.library.manifest.provides.contains(name));
            let (capability, name) = (capability.map_or("", String::as_str), &other.planned.name);
            let reason = || format!("it requires `{capability}`, and {name} does not run: {}", state.reason);
            (state.stage != Stage::Running).then(reason)
        })
    }

    async fn launch(self: &Arc<Self>, index: usize) -> Result<Instance, String> {
        let planned = &self.plugins[index].planned;
        let kernel = self.clone();
        let deadline = planned.keys.start_deadline.unwrap_or(self.settings.start_deadline).get();
        let starting = self.runtime.spawn_blocking(move || {
            let planned = &kernel.plugins[index].planned;
            let dir = std::path::absolute(kernel.settings.data_dir.join(&planned.name));
            let dir = dir.and_then(|dir| std::fs::create_dir_all(&dir).map(|()| dir));
            let dir = dir.map_err(|error| format!("its data directory cannot be made: {error}"))?;
            let args = StartArgs {
                name: planned.name.as_str().into(),
                settings: planned.settings.as_str().into(),
                data_dir: dir.to_str().ok_or("its data directory's path is not UTF-8")?.into(),
            };
            let host = HostHandle::new(HostSide::new(kernel.clone(), index));
            let started = planned.library.start(host, args);
            match kernel.runtime.block_on(async { tokio::time::timeout(deadline, started).await }) {
                Ok(RResult::ROk(instance)) => Ok(instance),
                Ok(RResult::RErr(reason)) => Err(String::from(reason)),
                Err(_) => Err(format!("it did not start within {deadline:?} (start_deadline)")),
            }
        });
        tokio::pin!(starting);
        match tokio::time::timeout(deadline + GRACE, &mut starting).await {
            Ok(joined) => joined.unwrap_or_else(|error| Err(error.to_string())),
            // It may come to life when nobody expects it any more; then it goes with its process.
            Err(_) => {
                Err(format!("it blocks its thread, and did not start within {deadline:?} (start_deadline)"))
            }
        }
    }

    /// Asks a running plugin again and again whether it answers.
    async fn keep_asking(self: Arc<Self>, index: usize, instance: Arc<Instance>) {
        let entry = &self.plugins[index];
        let name = &entry.planned.name;
        let mut state = entry.state.subscribe();
        let deadline = self.settings.ping_deadline.get();
        loop {
            let mut answer = self.on_own_thread(instance.ping());
            if tokio::time::timeout(deadline, &mut answer).await.is_err() && entry.is_running() {
                let reason = format!("it does not answer within {deadline:?} (kernel.ping_deadline)");
                self.set_health(name, "ping", Status::Unhealthy, &reason);
            }
            // Asked once at a time, however long that takes.
            let pause = async {
                if !answer.is_finished() {
                    let _ = answer.await;
                }
                self.set_health(name, "ping", Status::Healthy, "");
                tokio::time::sleep(self.settings.ping_interval.get()).await;
            };
            tokio::select! {
                () = pause => {}
                _ = state.wait_for(|state| state.stage != Stage::Running) => return,
            }
        }
    }

    /// Sets a component's state, and logs that it changed.
    pub(crate) fn set_health(&self, plugin: &str, component: &str, status: Status, reason: &str) {
        if self.health.set(plugin, component, status, reason) {
            match status {
                Status::Healthy => tracing::info!(plugin, component, "healthy again"),
                Status::Degraded => tracing::warn!(plugin, component, reason, "degraded"),
                Status::Unhealthy => tracing::error!(plugin, component, reason, "unhealthy"),
            }
        }
    }

    fn on_own_thread<T: Send + 'static>(&self, future: FfiFuture<T>) -> tokio::task::JoinHandle<T> {
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || runtime.block_on(future))
    }

    /// Stops all plugins in reverse order and answers when each has stopped or its deadline is over.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.phase.send_replace(Phase::Stopping);
        self.stopping.cancel();
        join_all((0..self.plugins.len()).map(|index| self.stop_one(index))).await;
    }

    async fn stop_one(self: &Arc<Self>, index: usize) {
        for (_, other) in
            self.graph.after.iter().zip(&self.plugins).filter(|(after, _)| after.contains(&index))
        {
            let _ = other.state.subscribe().wait_for(State::is_over).await;
        }
        let entry = &self.plugins[index];
        let _ = entry.state.subscribe().wait_for(|state| !state.is_pending()).await;
        let Some(instance) = entry.instance.lock().take() else { return };
        entry.enter(Stage::Stopping, "");
        let name = &entry.planned.name;
        let deadline = entry.planned.keys.stop_deadline.unwrap_or(self.settings.stop_deadline).get();
        let stopped = self.on_own_thread(instance.stop());
        let (stage, reason) = match tokio::time::timeout(deadline, stopped).await {
            Ok(_) => {
                tracing::info!(plugin = name, "plugin stopped");
                (Stage::Stopped, String::new())
            }
            Err(_) => {
                // Its code still runs: its value must stay.
                std::mem::forget(instance);
                let reason = format!("it did not stop within {deadline:?} (stop_deadline)");
                tracing::error!(plugin = name, reason, "plugin did not stop");
                (Stage::Failed, reason)
            }
        };
        self.withdraw(index);
        entry.enter(stage, &reason);
    }

    /// Takes back all that a plugin gave to others.
    fn withdraw(&self, index: usize) {
        let name = &self.plugins[index].planned.name;
        self.services.remove_plugin(name);
        self.bus.remove_plugin(name);
        self.health.clear(name);
    }

    /// Counts a panic of a plugin, and remembers it for the report.
    pub(crate) fn panicked(&self, index: usize, message: &str, location: &str) {
        let entry = &self.plugins[index];
        entry.panics.fetch_add(1, Relaxed);
        let text: String = format!("{message} ({location})").chars().take(1_024).collect();
        tracing::error!(plugin = entry.planned.name, panic = text.as_str(), "plugin panicked");
        *entry.last_panic.lock() = Some((SystemTime::now(), text));
    }
}
