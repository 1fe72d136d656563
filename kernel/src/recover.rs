//! What becomes of a plugin that fails while it runs, or does not start: it is started anew after
//! pauses, or quarantined, as its record says. Whoever restarts, swaps or stops it meanwhile has it:
//! nothing is held while it waits, and a start that is under way is given up for them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use streamgate_health::{Budgets, Next, Stage, State, Status, worst};
use tokio::sync::watch;

use crate::lifecycle::{Entry, Kernel, Run, unmet};

impl Kernel {
    /// Counts a panic of a plugin, remembers it for the report, and begins to start the plugin
    /// anew if there were too many. One that a request ran into is that request's end, and no more
    /// than that as long as nothing says that the plugin does not work.
    pub(crate) fn panicked(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        run: &Arc<Run>,
        (message, location): (&str, &str),
        in_request: bool,
    ) {
        entry.panics.fetch_add(1, Relaxed);
        let text: String = format!("{message} ({location})").chars().take(1_024).collect();
        tracing::error!(plugin = entry.name(), panic = text.as_str(), "plugin panicked");
        *entry.last_fault.lock() = Some((SystemTime::now(), text));
        if in_request && worst(&self.health.components(run.number)).status != Status::Unhealthy {
            return;
        }
        let panics = entry.record.panicked();
        if panics > self.settings.load().panic_budget {
            let reason = format!("it panicked {panics} times within a minute (kernel.panic_budget)");
            self.failed(entry, run, reason);
        }
    }

    /// Ends what is left of a plugin whose active run has failed, and begins to start it anew.
    pub(crate) fn failed(self: &Arc<Self>, entry: &Arc<Entry>, run: &Arc<Run>, reason: String) {
        let (kernel, entry, number) = (self.clone(), entry.clone(), run.number);
        self.runtime.spawn(async move {
            let _change = entry.change.wait().await;
            if !entry.is_running() || entry.number() != number {
                return;
            }
            entry.enter(Stage::Restarting, &reason);
            if let Some(run) = entry.run.swap(None) {
                let _ = kernel.end(&run).await;
            }
            let plugin = entry.name();
            let pause = match entry.record.failed(kernel.budgets(&entry)) {
                Next::Anew(pause) => {
                    let millis = pause.as_millis() as u64;
                    tracing::warn!(plugin, reason, millis, "plugin is started anew");
                    pause
                }
                Next::Quarantine(time) => {
                    let by_itself = time.map(|time| format!("it is started again in {time:?}, or by "));
                    let (words, rest) = by_itself.map_or((String::new(), " starts it again"), |it| (it, ""));
                    let reason = format!("{reason}; {words}`streamgate restart {plugin}`{rest}");
                    entry.enter(Stage::Quarantined, &reason);
                    kernel.start_again(&entry, time);
                    // Said when it is so: whoever reads it may ask at once.
                    return tracing::error!(plugin, reason, "plugin quarantined");
                }
            };
            kernel.start_again(&entry, Some(pause));
        });
    }

    /// Says why a plugin did not start, and begins to try it again. Whoever calls it holds `entry.change`.
    pub(crate) fn not_started(self: &Arc<Self>, entry: &Arc<Entry>, reason: &str) {
        if self.stopping.is_cancelled() {
            return entry.enter(Stage::Stopped, "");
        }
        entry.enter(Stage::Failed, reason);
        let budgets = self.budgets(entry);
        // A start that was given up for somebody says nothing of the plugin.
        if entry.change.is_claimed() {
            return self.start_again(entry, Some(budgets.pause));
        }
        tracing::error!(plugin = entry.name(), reason, "plugin did not start");
        self.start_again(entry, Some(entry.record.not_started(budgets)));
    }

    /// Begins to start a plugin that does not run, after a pause and when what it requires runs; not
    /// at all without a pause, or once somebody else has it. Whoever calls it holds `entry.change`.
    pub(crate) fn start_again(self: &Arc<Self>, entry: &Arc<Entry>, pause: Option<Duration>) {
        let planned = entry.planned.load();
        self.services.expect(&planned.name, &planned.library.manifest.provides, pause);
        let Some(pause) = pause else { return };
        let (kernel, entry, state) = (self.clone(), entry.clone(), entry.state.subscribe());
        self.runtime.spawn(async move {
            let mut others = state.clone();
            tokio::select! {
                () = kernel.when_due(&entry, state, pause) => {}
                _ = others.changed() => {}
                () = kernel.stopping.cancelled() => {}
            }
        });
    }

    async fn when_due(self: &Arc<Self>, entry: &Arc<Entry>, state: watch::Receiver<State>, pause: Duration) {
        tokio::time::sleep(pause).await;
        loop {
            let composition = self.composition.load_full();
            let Some((need, _)) = unmet(&composition, entry) else { break };
            let _ = need.state.subscribe().wait_for(|state| state.stage == Stage::Running).await;
        }
        let (kernel, entry) = (self.clone(), entry.clone());
        // A task: what it does itself to the state must not end it.
        self.runtime.spawn(async move {
            let _change = entry.change.wait().await;
            if state.has_changed().unwrap_or(true) || kernel.stopping.is_cancelled() {
                return;
            }
            if let Err(reason) = kernel.bring_up(&entry, entry.planned.load_full(), None).await {
                kernel.not_started(&entry, &reason);
            }
        });
    }

    fn budgets(&self, entry: &Entry) -> Budgets {
        let (settings, planned) = (self.settings.load(), entry.planned.load());
        Budgets {
            failures: settings.restart_budget,
            pause: settings.restart_pause.get(),
            // What it broke went with its process.
            quarantine: planned.library.is_apart().then(|| settings.quarantine.get()),
        }
    }

    /// Starts a plugin anew because somebody said so, with a clean record.
    ///
    /// # Errors
    /// Why it does not run.
    pub(crate) async fn restart(self: &Arc<Self>, name: &str) -> Result<String, String> {
        let composition = self.composition.load_full();
        let entry = composition.find(name).ok_or_else(|| self.unknown(name))?;
        let _change = entry.change.claim().await;
        if self.stopping.is_cancelled() {
            return Err("streamgate is stopping".to_owned());
        }
        // A change may have had it before.
        self.composition
            .load()
            .find(name)
            .filter(|now| Arc::ptr_eq(now, entry))
            .ok_or_else(|| self.unknown(name))?;
        entry.record.clear();
        // Requests wait instead of failing, as long as it takes.
        let old = entry.run.swap(None);
        let _held = old.as_ref().map(|run| self.services.hold(&run.offers));
        entry.enter(Stage::Restarting, "somebody restarts it");
        if let Some(run) = old {
            self.services.withdraw(&run.offers);
            self.retire(&run).await;
        }
        match self.bring_up(entry, entry.planned.load_full(), None).await {
            Ok(_) => Ok(format!("{name} runs")),
            Err(reason) => {
                self.not_started(entry, &reason);
                Err(format!("{name} did not start: {reason}"))
            }
        }
    }

    /// The words for a name that no plugin has.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let composition = self.composition.load();
        let names: Vec<_> = composition.plugins.iter().map(|entry| entry.name()).collect();
        let hint = streamgate_config::suggest(name, names.iter().map(String::as_str), "plugins");
        format!("no plugin `{name}` runs{hint}")
    }
}
