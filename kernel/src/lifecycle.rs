//! Starts plugins in the order of the graph, keeps asking whether they answer, and stops them in
//! reverse, each with a deadline. What a plugin does wrong stays its own: it is reported with its
//! reason, and those that need it do not start.
//!
//! A plugin is started any number of times (see `recover` and `change`); each start is a [`Run`]
//! with a number of its own. What a run gives to others is theirs once it is active.
//!
//! Plugin code runs on threads that may be lost to it, never on those that the kernel needs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use parking_lot::Mutex;
use streamgate_config::KernelSettings;
use streamgate_plugin_api::abi::{Extra, FfiFuture, HostHandle, Instance, RResult, StartArgs};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::change::Origin;
use crate::check::{Edition, Planned};
use crate::host::HostSide;
use crate::isolate;
use streamgate_bus::Bus;
use streamgate_config::Graph;
use streamgate_control::{Planning, Turn};
use streamgate_health::{Health, Phase, Record, Stage, State, Status};
use streamgate_log::Log;
use streamgate_services::{Offers, Services};

/// What the kernel waits for a thread that does not even look at its deadline.
const GRACE: Duration = Duration::from_millis(500);

/// How long `publish` waits for a full subscription, and how much data an event has at most.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
const MAX_EVENT: usize = 1 << 20;

/// One start of a plugin.
pub(crate) struct Run {
    /// The first is 1; 0 is none.
    pub(crate) number: u64,
    pub(crate) planned: Arc<Planned>,
    pub(crate) offers: Mutex<Offers>,
    pub(crate) retired: CancellationToken,
    /// Its own process, if it has one.
    pub(crate) process: OnceLock<u32>,
    instance: Mutex<Option<Arc<Instance>>>,
}

impl Run {
    pub(crate) fn instance(&self) -> Option<Arc<Instance>> {
        self.instance.lock().clone()
    }
}

/// One plugin and what the kernel knows of it.
pub(crate) struct Entry {
    /// As it is to run; what was handed to it while it runs is in it.
    pub(crate) planned: ArcSwap<Planned>,
    /// The run that is active.
    pub(crate) run: ArcSwapOption<Run>,
    pub(crate) state: watch::Sender<State>,
    /// Held by whoever starts, stops or replaces it.
    pub(crate) change: Turn,
    pub(crate) panics: AtomicU64,
    pub(crate) last_fault: Mutex<Option<(SystemTime, String)>>,
    pub(crate) record: Record,
}

impl Entry {
    pub(crate) fn new(planned: Arc<Planned>) -> Arc<Self> {
        Arc::new(Self {
            planned: planned.into(),
            run: ArcSwapOption::empty(),
            state: watch::Sender::new(State::new(Stage::Waiting, "")),
            change: Turn::default(),
            panics: AtomicU64::new(0),
            last_fault: Mutex::default(),
            record: Record::default(),
        })
    }

    pub(crate) fn name(&self) -> String {
        self.planned.load().name.clone()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.borrow().stage == Stage::Running
    }

    /// The number of the active run.
    pub(crate) fn number(&self) -> u64 {
        self.run.load().as_ref().map_or(0, |run| run.number)
    }

    pub(crate) fn enter(&self, stage: Stage, reason: &str) {
        self.state.send_replace(State::new(stage, reason));
    }
}

/// The plugins of the moment, and their order by index.
#[derive(Default)]
pub(crate) struct Composition {
    /// Grows with every change.
    pub(crate) version: u64,
    pub(crate) plugins: Vec<Arc<Entry>>,
    pub(crate) graph: Graph,
}

impl Composition {
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.plugins.iter().find(|entry| entry.planned.load().name == name)
    }

    /// Which plugin has which public prefix.
    pub(crate) fn mounts(&self) -> Vec<(String, String)> {
        let mounts = self.plugins.iter().flat_map(|entry| {
            let planned = entry.planned.load_full();
            let prefixes = planned.library.manifest.prefixes.clone();
            prefixes.into_iter().map(move |prefix| (prefix, planned.name.clone()))
        });
        mounts.collect()
    }
}

/// The kernel at work.
pub(crate) struct Kernel {
    pub(crate) settings: ArcSwap<KernelSettings>,
    pub(crate) composition: ArcSwap<Composition>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) health: Health,
    pub(crate) services: Arc<Services>,
    pub(crate) log: Arc<Log>,
    pub(crate) began: Instant,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) runtime: Handle,
    pub(crate) stopping: CancellationToken,
    /// What brings old runs to their end.
    pub(crate) retiring: TaskTracker,
    /// Held by whoever changes what runs.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) planning: Planning,
    pub(crate) origin: Origin,
    runs: AtomicU64,
}

impl Kernel {
    /// A kernel that has started nothing yet. `runtime` is its own.
    pub(crate) fn new(
        edition: Edition,
        origin: Origin,
        log: Arc<Log>,
        began: Instant,
        runtime: Handle,
    ) -> Arc<Self> {
        let plugins = edition.plugins.into_iter().map(|planned| Entry::new(Arc::new(planned))).collect();
        let composition = Composition { version: 1, plugins, graph: edition.graph };
        let services = Arc::new(Services::default());
        services.mount(composition.mounts());
        Arc::new(Self {
            bus: Bus::new(PUBLISH_DEADLINE, MAX_EVENT),
            settings: Arc::new(edition.kernel).into(),
            composition: Arc::new(composition).into(),
            health: Health::default(),
            services,
            log,
            began,
            phase: watch::Sender::new(Phase::Starting),
            runtime,
            stopping: CancellationToken::new(),
            retiring: TaskTracker::new(),
            changing: tokio::sync::Mutex::default(),
            planning: Planning::default(),
            origin,
            runs: AtomicU64::new(0),
        })
    }

    /// Starts all plugins; answers when each runs or has failed, at the latest after the
    /// deadlines of those that wait for each other. The error is about one that is `required`.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), String> {
        let composition = self.composition.load_full();
        // Tasks, which go on when nobody waits for this any more: each brings its plugin to an end.
        let spawn = |index| self.runtime.spawn(self.clone().start_one(composition.clone(), index));
        let mut starting: FuturesUnordered<_> = (0..composition.plugins.len()).map(spawn).collect();
        while starting.next().await.is_some() {
            for entry in composition.plugins.iter().filter(|entry| entry.planned.load().keys.required) {
                let state = entry.state.borrow().clone();
                if matches!(state.stage, Stage::Failed | Stage::Blocked) {
                    return Err(format!("{} is required and did not start: {}", entry.name(), state.reason));
                }
            }
        }
        self.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Starting { Phase::Running } else { *phase };
        });
        Ok(())
    }

    async fn start_one(self: Arc<Self>, composition: Arc<Composition>, index: usize) {
        let entry = &composition.plugins[index];
        for &other in &composition.graph.after[index] {
            let mut state = composition.plugins[other].state.subscribe();
            tokio::select! {
                _ = state.wait_for(|state| !state.is_pending()) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        let _change = entry.change.wait().await;
        if self.stopping.is_cancelled() {
            return entry.enter(Stage::Stopped, "");
        }
        if let Some((_, reason)) = unmet(&composition, entry) {
            tracing::error!(plugin = entry.name(), reason, "plugin not started");
            entry.enter(Stage::Blocked, &reason);
            return self.start_again(entry, Some(Duration::ZERO));
        }
        entry.enter(Stage::Starting, "");
        if let Err(reason) = self.bring_up(entry, entry.planned.load_full(), None).await {
            self.not_started(entry, &reason);
        }
    }

    /// Starts a run beside the active one, `old`, and lets it take over. Without an `Ok` nothing
    /// has changed. Whoever calls it holds `entry.change`.
    pub(crate) async fn bring_up(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        planned: Arc<Planned>,
        old: Option<&Arc<Run>>,
    ) -> Result<Arc<Run>, String> {
        let began = Instant::now();
        let number = self.runs.fetch_add(1, Relaxed) + 1;
        let offers = Offers::new(number, old.is_none());
        let (retired, process, instance) = Default::default();
        let run = Arc::new(Run { number, planned, offers, retired, process, instance });
        match self.launch(entry, &run).await {
            Ok(instance) => *run.instance.lock() = Some(Arc::new(instance)),
            Err(reason) => {
                self.withdraw(&run);
                return Err(reason);
            }
        }
        self.activate(entry, &run, old);
        let (plugin, version) = (&run.planned.name, &run.planned.library.manifest.version);
        tracing::info!(plugin, version, millis = began.elapsed().as_millis() as u64, "plugin started");
        self.runtime.spawn(self.clone().keep_asking(entry.clone(), run.clone()));
        Ok(run)
    }

    /// Lets a run that has started take over from another.
    pub(crate) fn activate(&self, entry: &Entry, run: &Arc<Run>, old: Option<&Arc<Run>>) {
        entry.planned.store(run.planned.clone());
        entry.run.store(Some(run.clone()));
        self.services.activate(&run.offers, old.map(|old| &old.offers));
        self.bus.activate(run.number, old.map(|old| old.number));
        entry.record.started();
        entry.enter(Stage::Running, "");
    }

    async fn launch(self: &Arc<Self>, entry: &Arc<Entry>, run: &Arc<Run>) -> Result<Instance, String> {
        let kernel = self.settings.load_full();
        let deadline = run.planned.keys.start_deadline.unwrap_or(kernel.start_deadline).get();
        let host = HostHandle::new(HostSide::new(self.clone(), entry.clone(), run.clone()));
        let (planned, runtime) = (run.planned.clone(), self.runtime.clone());
        let (me, own, run) = (self.clone(), entry.clone(), run.clone());
        let over = CancellationToken::new();
        let given_up = over.clone();
        let starting = self.runtime.spawn_blocking(move || {
            let dir = std::path::absolute(kernel.data_dir.join(&planned.name));
            let dir = dir.and_then(|dir| streamgate_control::private_dir(&dir).map(|()| dir));
            let dir = dir.map_err(|error| format!("its data directory cannot be made: {error}"))?;
            let args = StartArgs {
                name: planned.name.as_str().into(),
                settings: planned.settings.as_str().into(),
                data_dir: dir.to_str().ok_or("its data directory's path is not UTF-8")?.into(),
                extra: Extra::default(),
            };
            let started = match planned.library.is_apart() {
                true => isolate::start(me, own, run, host, args).boxed(),
                false => planned.library.start(host, args).map(RResult::into_result).err_into().boxed(),
            };
            runtime.block_on(given_up.run_until_cancelled(started)).transpose()
        });
        tokio::pin!(starting);
        let reason = tokio::select! {
            biased;
            joined = &mut starting => return made(joined, "ended without an answer"),
            reason = self.called_off(entry) => reason,
            () = tokio::time::sleep(deadline) => format!("did not start within {deadline:?} (start_deadline)"),
        };
        over.cancel();
        match tokio::time::timeout(GRACE, &mut starting).await {
            // It may have made it after all.
            Ok(joined) => made(joined, &reason),
            // It may come to life when nobody expects it any more; then it goes with its process.
            Err(_) => Err(format!("it blocks its thread, and {reason}")),
        }
    }

    /// Why a start is given up that is under way.
    async fn called_off(&self, entry: &Entry) -> String {
        // The first start goes to its end: others wait for it, and the process may depend on it.
        let mut phase = self.phase.subscribe();
        let begun = phase.wait_for(|phase| *phase != Phase::Starting);
        let who = tokio::select! {
            () = self.stopping.cancelled() => "streamgate stops",
            () = begun.then(|_| entry.change.claimed()) => "somebody changes it",
        };
        format!("was given up, since {who}")
    }

    /// Asks a running plugin again and again whether it answers.
    async fn keep_asking(self: Arc<Self>, entry: Arc<Entry>, run: Arc<Run>) {
        let Some(instance) = run.instance() else { return };
        let settings = self.settings.load_full();
        let deadline = settings.ping_deadline.get();
        loop {
            let mut answer = self.on_own_thread(instance.ping());
            if tokio::time::timeout(deadline, &mut answer).await.is_err() && !run.retired.is_cancelled() {
                let reason = format!("it does not answer within {deadline:?} (kernel.ping_deadline)");
                self.set_health(&entry, &run, "ping", Status::Unhealthy, &reason);
            }
            // Asked once at a time, however long that takes.
            let pause = async {
                if !answer.is_finished() {
                    let _ = answer.await;
                }
                self.set_health(&entry, &run, "ping", Status::Healthy, "");
                tokio::time::sleep(settings.ping_interval.get()).await;
            };
            tokio::select! {
                () = pause => {}
                () = run.retired.cancelled() => return,
            }
        }
    }

    /// Sets a component's state, and logs that it changed.
    pub(crate) fn set_health(&self, entry: &Entry, run: &Run, component: &str, status: Status, reason: &str) {
        if !run.retired.is_cancelled() && self.health.set(run.number, component, status, reason) {
            let plugin = entry.name();
            match status {
                Status::Healthy => tracing::info!(plugin, component, "healthy again"),
                Status::Degraded => tracing::warn!(plugin, component, reason, "degraded"),
                Status::Unhealthy => tracing::error!(plugin, component, reason, "unhealthy"),
            }
        }
    }

    pub(crate) fn on_own_thread<T: Send + 'static>(
        &self,
        future: FfiFuture<T>,
    ) -> tokio::task::JoinHandle<T> {
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || runtime.block_on(future))
    }

    /// Stops all plugins in reverse order and answers when each has stopped or its deadline is over.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.phase.send_replace(Phase::Stopping);
        self.stopping.cancel();
        // Whoever changes what runs gives it up and undoes it; nobody begins again.
        let _one = self.changing.lock().await;
        let composition = self.composition.load_full();
        let all = (0..composition.plugins.len()).map(|index| self.stop_one(&composition, index));
        join_all(all).await;
        self.retiring.close();
        self.retiring.wait().await;
    }

    /// Stops a plugin after all that come after it.
    pub(crate) async fn stop_one(self: &Arc<Self>, composition: &Composition, index: usize) {
        let later = composition.graph.after.iter().zip(&composition.plugins);
        for (_, other) in later.filter(|(after, _)| after.contains(&index)) {
            let _ = other.state.subscribe().wait_for(State::is_over).await;
        }
        let entry = &composition.plugins[index];
        let _change = entry.change.wait().await;
        let Some(run) = entry.run.load_full() else {
            return entry.state.send_modify(|state| {
                if !state.is_over() {
                    *state = State::new(Stage::Stopped, "");
                }
            });
        };
        entry.enter(Stage::Stopping, "");
        let stopped = self.end(&run).await;
        entry.run.store(None);
        match stopped {
            Ok(()) => entry.enter(Stage::Stopped, ""),
            Err(reason) => entry.enter(Stage::Failed, &reason),
        }
    }

    /// Lets the requests that are under way in a run come to their end, up to a limit, and stops
    /// it. Others have taken over before.
    pub(crate) async fn retire(self: &Arc<Self>, run: &Arc<Run>) {
        // What is queued can still be read.
        self.bus.remove_run(run.number);
        let deadline = self.settings.load().drain_deadline.get();
        if let Some(instance) = run.instance() {
            let drained = async {
                self.services.left(run.number).await;
                let _ = self.on_own_thread(instance.drain()).await;
            };
            let drained = tokio::time::timeout(deadline, drained).await;
            if drained.is_err() {
                let plugin = &run.planned.name;
                tracing::warn!(plugin, "requests are cut off that took longer than kernel.drain_deadline");
            }
        }
        let _ = self.end(run).await;
    }

    /// Stops a run within its deadline, and takes back all that it gave to others.
    pub(crate) async fn end(&self, run: &Run) -> Result<(), String> {
        let Some(instance) = run.instance.lock().take() else { return Ok(()) };
        run.retired.cancel();
        let plugin = &run.planned.name;
        let limit = run.planned.keys.stop_deadline.unwrap_or(self.settings.load().stop_deadline).get();
        let stopped = self.on_own_thread(instance.stop());
        let result = match tokio::time::timeout(limit, stopped).await {
            Ok(_) => {
                tracing::info!(plugin, "plugin stopped");
                Ok(())
            }
            Err(_) => {
                // Its code still runs: its value must stay.
                std::mem::forget(instance);
                let reason = format!("it did not stop within {limit:?} (stop_deadline)");
                tracing::error!(plugin, reason, "plugin did not stop");
                Err(reason)
            }
        };
        self.withdraw(run);
        result
    }

    /// Takes back all that a run gave to others.
    fn withdraw(&self, run: &Run) {
        run.retired.cancel();
        self.services.forget(&run.offers);
        self.bus.remove_run(run.number);
        self.health.clear(run.number);
    }
}

/// What became of a start: `None` if it was ended for the `reason`.
fn made(
    joined: Result<Result<Option<Instance>, String>, tokio::task::JoinError>,
    reason: &str,
) -> Result<Instance, String> {
    joined.unwrap_or_else(|error| Err(error.to_string()))?.ok_or_else(|| format!("it {reason}"))
}

/// A plugin that does not run and that this one requires, and this in words.
pub(crate) fn unmet(composition: &Composition, entry: &Arc<Entry>) -> Option<(Arc<Entry>, String)> {
    let index = composition.plugins.iter().position(|other| Arc::ptr_eq(other, entry))?;
    composition.graph.needs[index].iter().find_map(|&need| {
        let (own, other) = (entry.planned.load(), &composition.plugins[need]);
        let (state, planned) = (other.state.borrow(), other.planned.load());
        let provided = &planned.library.manifest.provides;
        let capability = own.library.manifest.requires.iter().find(|name| provided.contains(name));
        let (capability, name) = (capability.map_or("", String::as_str), &planned.name);
        let reason = || format!("it requires `{capability}`, and {name} does not run: {}", state.reason);
        (state.stage != Stage::Running).then(|| (other.clone(), reason()))
    })
}
