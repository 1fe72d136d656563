//! A plugin and its runs. A plugin is started any number of times; each start is a [`Run`] with a unique
//! number, from its takeover to its end, each step with a deadline. A run's services take effect once it is
//! active.
//!
//! It starts nothing (`launch` does), and decides nothing about failures: a [`Supervisor`] does.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use streamgate_control::Turn;
use streamgate_health::{Record, Stage, State, Status};
use streamgate_plugin_api::abi::{Instance, RResult};
use streamgate_services::Offers;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::edition::Planned;
use crate::parts::Parts;

/// Decides what follows from the failures of a run.
pub(crate) trait Supervisor: Send + Sync {
    /// The report of the whole kernel, as JSON text.
    fn report(&self) -> String;
    /// The run panicked: where, and with which message.
    fn panicked(self: Arc<Self>, entry: &Arc<Entry>, run: &Run, panic: (&str, &str), in_request: bool);
    /// The run has failed.
    fn failed(self: Arc<Self>, entry: &Arc<Entry>, run: &Run, reason: String);
}

/// One plugin and the kernel's state of it.
pub(crate) struct Entry {
    /// As planned, including settings applied while it runs.
    pub(crate) planned: ArcSwap<Planned>,
    /// The active run.
    pub(crate) run: ArcSwapOption<Run>,
    pub(crate) state: watch::Sender<State>,
    /// Held to start, stop or replace it.
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

    /// Records a failure for the report.
    pub(crate) fn fault(&self, text: String) {
        *self.last_fault.lock() = Some((SystemTime::now(), text));
    }
}

/// One start of a plugin.
pub(crate) struct Run {
    /// The first is 1; 0 means none.
    pub(crate) number: u64,
    pub(crate) parts: Arc<Parts>,
    pub(crate) planned: Arc<Planned>,
    pub(crate) offers: Mutex<Offers>,
    pub(crate) retired: CancellationToken,
    /// Its own process, if it has one.
    pub(crate) process: OnceLock<u32>,
    pub(crate) instance: Mutex<Option<Arc<Instance>>>,
}

impl Run {
    pub(crate) fn instance(&self) -> Option<Arc<Instance>> {
        self.instance.lock().clone()
    }

    /// Lets it take over from another.
    pub(crate) fn activate(self: &Arc<Self>, entry: &Entry, old: Option<&Self>) {
        entry.planned.store(self.planned.clone());
        entry.run.store(Some(self.clone()));
        self.parts.services.activate(&self.offers, old.map(|old| &old.offers));
        self.parts.bus.activate(self.number, old.map(|old| old.number));
        entry.record.started();
        entry.enter(Stage::Running, "");
    }

    /// Passes it new settings. `false`: it cannot apply them while it runs.
    pub(crate) async fn configure(&self, planned: &Planned) -> Result<bool, String> {
        let Some(instance) = self.instance() else { return Ok(false) };
        let limit = planned.keys.start_deadline.unwrap_or(self.parts.settings.load().start_deadline).get();
        let taken = self.parts.on_own_thread(instance.reconfigure(&planned.settings));
        match tokio::time::timeout(limit, taken).await {
            Ok(Ok(RResult::ROk(taken))) => Ok(taken),
            Ok(Ok(RResult::RErr(reason))) => Err(reason.into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not apply its settings within {limit:?} (start_deadline)")),
        }
    }

    /// Pings it periodically until it is retired.
    pub(crate) async fn keep_asking(self: Arc<Self>) {
        let Some(instance) = self.instance() else { return };
        let settings = self.parts.settings.load_full();
        let deadline = settings.ping_deadline.get();
        loop {
            let mut answer = self.parts.on_own_thread(instance.ping());
            if tokio::time::timeout(deadline, &mut answer).await.is_err() && !self.retired.is_cancelled() {
                let reason = format!("it does not answer within {deadline:?} (kernel.ping_deadline)");
                self.set_health("ping", Status::Unhealthy, &reason);
            }
            // One ping at a time, however long that takes.
            let pause = async {
                if !answer.is_finished() {
                    let _ = answer.await;
                }
                self.set_health("ping", Status::Healthy, "");
                tokio::time::sleep(settings.ping_interval.get()).await;
            };
            tokio::select! {
                () = pause => {}
                () = self.retired.cancelled() => return,
            }
        }
    }

    /// Sets a component's state, and logs that it changed.
    pub(crate) fn set_health(&self, component: &str, status: Status, reason: &str) {
        if !self.retired.is_cancelled() && self.parts.health.set(self.number, component, status, reason) {
            let plugin = &self.planned.name;
            match status {
                Status::Healthy => tracing::info!(plugin, component, "healthy again"),
                Status::Degraded => tracing::warn!(plugin, component, reason, "degraded"),
                Status::Unhealthy => tracing::error!(plugin, component, reason, "unhealthy"),
            }
        }
    }

    /// Lets its requests finish, up to a limit, and stops it. Another run has taken over before.
    pub(crate) async fn retire(&self) {
        // Queued events can still be read.
        self.parts.bus.remove_run(self.number);
        let deadline = self.parts.settings.load().drain_deadline.get();
        if let Some(instance) = self.instance() {
            let drained = async {
                self.parts.services.left(self.number).await;
                let _ = self.parts.on_own_thread(instance.drain()).await;
            };
            let drained = tokio::time::timeout(deadline, drained).await;
            if drained.is_err() {
                let plugin = &self.planned.name;
                tracing::warn!(plugin, "requests that took longer than kernel.drain_deadline are cut off");
            }
        }
        let _ = self.end().await;
    }

    /// Stops it within its deadline, and removes all its services.
    pub(crate) async fn end(&self) -> Result<(), String> {
        let Some(instance) = self.instance.lock().take() else { return Ok(()) };
        self.retired.cancel();
        let plugin = &self.planned.name;
        let limit = self.planned.keys.stop_deadline.unwrap_or(self.parts.settings.load().stop_deadline).get();
        let stopped = self.parts.on_own_thread(instance.stop());
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
        self.withdraw();
        result
    }

    /// Removes all its services.
    pub(crate) fn withdraw(&self) {
        self.retired.cancel();
        self.parts.services.forget(&self.offers);
        self.parts.bus.remove_run(self.number);
        self.parts.health.clear(self.number);
    }
}
