//! What runs: starts the plugins in the order of the graph and stops them in reverse. A plugin that fails
//! while it runs, or does not start, is restarted after pauses, or quarantined, according to its record;
//! those that require it do not start. A plugin's failures affect no other.
//!
//! Restart, swap and stop have precedence: no lock is held while a plugin waits for its next start, and a
//! start in progress is cancelled for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use streamgate_health::{Budgets, Next, Phase, Stage, State, Status, worst};
use streamgate_plugin_api::abi::Stamp;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::composition::{Composition, Plugins};
use crate::edition::Planned;
use crate::launch::launch;
use crate::parts::Parts;
use crate::report::report;
use crate::run::{Entry, Run, Supervisor};

/// What runs.
pub(crate) struct Runs {
    parts: Arc<Parts>,
    composition: Arc<Composition>,
    /// The tasks that end old runs.
    retiring: TaskTracker,
    /// The number of runs so far.
    begun: AtomicU64,
}

impl Runs {
    pub(crate) fn new(parts: Arc<Parts>, composition: Arc<Composition>) -> Arc<Self> {
        Arc::new(Self { parts, composition, retiring: TaskTracker::new(), begun: AtomicU64::new(0) })
    }

    /// Starts all plugins; returns when each runs or has failed, at the latest after the deadlines of those
    /// that wait for each other. The error is about one that is `required`.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), String> {
        let plugins = self.composition.now();
        // Tasks, which continue if this is dropped: each brings its plugin to an end.
        let spawn = |index| self.parts.runtime.spawn(self.clone().start_one(plugins.clone(), index));
        let mut starting: FuturesUnordered<_> = (0..plugins.entries.len()).map(spawn).collect();
        while starting.next().await.is_some() {
            for entry in plugins.entries.iter().filter(|entry| entry.planned.load().keys.required) {
                let state = entry.state.borrow().clone();
                if matches!(state.stage, Stage::Failed | Stage::Blocked) {
                    return Err(format!("{} is required and did not start: {}", entry.name(), state.reason));
                }
            }
        }
        self.parts.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Starting { Phase::Running } else { *phase };
        });
        Ok(())
    }

    async fn start_one(self: Arc<Self>, plugins: Arc<Plugins>, index: usize) {
        let entry = &plugins.entries[index];
        for &other in &plugins.graph.after[index] {
            let mut state = plugins.entries[other].state.subscribe();
            tokio::select! {
                _ = state.wait_for(|state| !state.is_pending()) => {}
                () = self.parts.stopping.cancelled() => {}
            }
        }
        let _change = entry.change.wait().await;
        if self.parts.stopping.is_cancelled() {
            return entry.enter(Stage::Stopped, "");
        }
        if let Some((_, reason)) = plugins.unmet(entry) {
            tracing::error!(plugin = entry.name(), reason, "plugin not started");
            entry.enter(Stage::Blocked, &reason);
            return self.start_again(entry, Some(Duration::ZERO));
        }
        entry.enter(Stage::Starting, "");
        if let Err(reason) = self.bring_up(entry, entry.planned.load_full(), None).await {
            self.not_started(entry, &reason);
        }
    }

    /// Starts a run beside the active one, `old`, and lets it take over. Without an `Ok` nothing has changed.
    /// The caller holds `entry.change`.
    pub(crate) async fn bring_up(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        planned: Arc<Planned>,
        old: Option<&Arc<Run>>,
    ) -> Result<(), String> {
        let number = self.begun.fetch_add(1, Relaxed) + 1;
        launch((&self.parts, number), self.clone(), entry, planned, old).await
    }

    /// Lets a replaced run finish its requests in the background.
    pub(crate) fn retire(&self, run: Arc<Run>) {
        self.retiring.spawn_on(async move { run.retire().await }, &self.parts.runtime);
    }

    /// Stops a plugin and starts it as `planned`; requests wait meanwhile. The caller holds `entry.change`.
    ///
    /// # Errors
    /// Why it did not start; it is retried.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        planned: Arc<Planned>,
        why: &str,
    ) -> Result<(), String> {
        let run = entry.run.swap(None);
        let manifest = &planned.library.manifest;
        let stamp = Stamp::new(&manifest.name, manifest.ingress);
        let _held = run.as_ref().map(|run| self.parts.services.hold(&run.offers, &stamp));
        entry.enter(Stage::Restarting, why);
        if let Some(run) = run {
            self.parts.services.withdraw(&run.offers);
            run.retire().await;
        }
        let started = self.bring_up(entry, planned, None).await;
        started.inspect_err(|reason| self.not_started(entry, reason))
    }

    /// Restarts a plugin on request, with a clean record.
    ///
    /// # Errors
    /// Why it does not run.
    pub(crate) async fn restart(self: &Arc<Self>, name: &str) -> Result<String, String> {
        let plugins = self.composition.now();
        let entry = plugins.find(name)?;
        let _change = entry.change.claim().await;
        if self.parts.stopping.is_cancelled() {
            return Err("streamgate is stopping".to_owned());
        }
        // A change may have removed or replaced it before.
        let now = self.composition.now();
        if !now.contains(entry) {
            return Err(now.unknown(name));
        }
        entry.record.clear();
        // Requests wait instead of failing, as long as it takes.
        let restarted = self.exchange(entry, entry.planned.load_full(), "a restart was requested").await;
        restarted.map_err(|reason| format!("{name} did not start: {reason}"))?;
        Ok(format!("{name} runs"))
    }

    /// Stops all plugins in reverse order and returns when each has stopped or its deadline is over. The
    /// caller has cancelled all starts.
    pub(crate) async fn stop(&self) {
        let plugins = self.composition.now();
        join_all((0..plugins.entries.len()).map(|index| stop_one(&plugins, index))).await;
        self.retiring.close();
        self.retiring.wait().await;
    }

    /// Reports why a plugin did not start, and begins to retry. The caller holds `entry.change`.
    pub(crate) fn not_started(self: &Arc<Self>, entry: &Arc<Entry>, reason: &str) {
        if self.parts.stopping.is_cancelled() {
            return entry.enter(Stage::Stopped, "");
        }
        entry.enter(Stage::Failed, reason);
        let budgets = self.budgets(entry);
        // A start that was cancelled for a change says nothing about the plugin.
        if entry.change.is_claimed() {
            return self.start_again(entry, Some(budgets.pause));
        }
        tracing::error!(plugin = entry.name(), reason, "plugin did not start");
        self.start_again(entry, Some(entry.record.not_started(budgets)));
    }

    /// Begins to start a stopped plugin, after a pause and when its requirements run; not at all without a
    /// pause, or once its state changes otherwise. The caller holds `entry.change`.
    fn start_again(self: &Arc<Self>, entry: &Arc<Entry>, pause: Option<Duration>) {
        let planned = entry.planned.load();
        self.parts.services.expect(&planned.name, &planned.library.manifest.provides, pause);
        let Some(pause) = pause else { return };
        let (runs, entry, state) = (self.clone(), entry.clone(), entry.state.subscribe());
        self.parts.runtime.spawn(async move {
            let mut others = state.clone();
            tokio::select! {
                () = runs.when_due(&entry, state, pause) => {}
                _ = others.changed() => {}
                () = runs.parts.stopping.cancelled() => {}
            }
        });
    }

    async fn when_due(self: &Arc<Self>, entry: &Arc<Entry>, state: watch::Receiver<State>, pause: Duration) {
        tokio::time::sleep(pause).await;
        while let Some((need, _)) = self.composition.now().unmet(entry) {
            let _ = need.state.subscribe().wait_for(|state| state.stage == Stage::Running).await;
        }
        let (runs, entry) = (self.clone(), entry.clone());
        // A task: its own changes of the state must not end it.
        self.parts.runtime.spawn(async move {
            let _change = entry.change.wait().await;
            if state.has_changed().unwrap_or(true) || runs.parts.stopping.is_cancelled() {
                return;
            }
            if let Err(reason) = runs.bring_up(&entry, entry.planned.load_full(), None).await {
                runs.not_started(&entry, &reason);
            }
        });
    }

    /// Ends the rest of a plugin whose active run has failed, and begins to restart it.
    async fn recover(self: Arc<Self>, entry: Arc<Entry>, number: u64, reason: String) {
        let _change = entry.change.wait().await;
        if !entry.is_running() || entry.number() != number {
            return;
        }
        entry.enter(Stage::Restarting, &reason);
        if let Some(run) = entry.run.swap(None) {
            let _ = run.end().await;
        }
        let plugin = entry.name();
        let pause = match entry.record.failed(self.budgets(&entry)) {
            Next::Anew(pause) => {
                let millis = pause.as_millis() as u64;
                tracing::warn!(plugin, reason, millis, "plugin is restarted");
                pause
            }
            Next::Quarantine(time) => {
                let by_itself = time.map(|time| format!("it is started again in {time:?}, or by "));
                let (words, rest) = by_itself.map_or((String::new(), " starts it again"), |it| (it, ""));
                let reason = format!("{reason}; {words}`streamgate restart {plugin}`{rest}");
                entry.enter(Stage::Quarantined, &reason);
                self.start_again(&entry, time);
                // Logged when it is true: a reader may query at once.
                return tracing::error!(plugin, reason, "plugin quarantined");
            }
        };
        self.start_again(&entry, Some(pause));
    }

    fn budgets(&self, entry: &Entry) -> Budgets {
        let (settings, planned) = (self.parts.settings.load(), entry.planned.load());
        Budgets {
            failures: settings.restart_budget,
            pause: settings.restart_pause.get(),
            // Its damage ended with its process.
            quarantine: planned.library.is_apart().then(|| settings.quarantine.get()),
        }
    }
}

impl Supervisor for Runs {
    fn report(&self) -> String {
        report(&self.parts, &self.composition.now()).to_string()
    }

    /// Counts the panic, records it for the report, and restarts the plugin if there were too many. A panic
    /// of a request ends only that request as long as the plugin is otherwise healthy.
    fn panicked(
        self: Arc<Self>,
        entry: &Arc<Entry>,
        run: &Run,
        (message, location): (&str, &str),
        in_request: bool,
    ) {
        entry.panics.fetch_add(1, Relaxed);
        let text: String = format!("{message} ({location})").chars().take(1_024).collect();
        tracing::error!(plugin = entry.name(), panic = text.as_str(), "plugin panicked");
        entry.fault(text);
        if in_request && worst(&self.parts.health.components(run.number)).status != Status::Unhealthy {
            return;
        }
        let panics = entry.record.panicked();
        if panics > self.parts.settings.load().panic_budget {
            let reason = format!("it panicked {panics} times within a minute (kernel.panic_budget)");
            self.failed(entry, run, reason);
        }
    }

    fn failed(self: Arc<Self>, entry: &Arc<Entry>, run: &Run, reason: String) {
        let runtime = self.parts.runtime.clone();
        runtime.spawn(self.recover(entry.clone(), run.number, reason));
    }
}

/// Stops a plugin after all that depend on it.
async fn stop_one(plugins: &Plugins, index: usize) {
    let later = plugins.graph.after.iter().zip(&plugins.entries);
    for (_, other) in later.filter(|(after, _)| after.contains(&index)) {
        let _ = other.state.subscribe().wait_for(State::is_over).await;
    }
    let entry = &plugins.entries[index];
    let _change = entry.change.wait().await;
    let Some(run) = entry.run.load_full() else {
        return entry.state.send_modify(|state| {
            if !state.is_over() {
                *state = State::new(Stage::Stopped, "");
            }
        });
    };
    entry.enter(Stage::Stopping, "");
    let stopped = run.end().await;
    entry.run.store(None);
    match stopped {
        Ok(()) => entry.enter(Stage::Stopped, ""),
        Err(reason) => entry.enter(Stage::Failed, &reason),
    }
}
