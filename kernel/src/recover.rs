//! What becomes of a plugin that fails while it runs: panics are counted against a budget, past
//! which it is started anew, with longer and longer pauses; past a second budget it is
//! quarantined until somebody restarts it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::lifecycle::{Entry, Kernel, Run, Stage};

/// How long panics and restarts count.
const PANICS_WITHIN: Duration = Duration::from_secs(60);
const RESTARTS_WITHIN: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Adds one to those that still count, and says how many these are.
fn count(recent: &Mutex<VecDeque<Instant>>, within: Duration) -> u32 {
    let mut recent = recent.lock();
    recent.push_back(Instant::now());
    while recent.len() > 1_000 || recent.front().is_some_and(|at| at.elapsed() > within) {
        recent.pop_front();
    }
    recent.len() as u32
}

impl Kernel {
    /// Counts a panic of a plugin, remembers it for the report, and begins to start the plugin
    /// anew if there were too many.
    pub(crate) fn panicked(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        run: &Arc<Run>,
        message: &str,
        location: &str,
    ) {
        entry.panics.fetch_add(1, Relaxed);
        let text: String = format!("{message} ({location})").chars().take(1_024).collect();
        let plugin = entry.name();
        tracing::error!(plugin, panic = text.as_str(), "plugin panicked");
        *entry.last_fault.lock() = Some((SystemTime::now(), text));
        let panics = count(&entry.recent_panics, PANICS_WITHIN);
        if panics > self.settings.load().panic_budget {
            let reason = format!("it panicked {panics} times within a minute (kernel.panic_budget)");
            self.failed(entry, run, reason);
        }
    }

    /// Begins to start a plugin anew whose active run has failed.
    pub(crate) fn failed(self: &Arc<Self>, entry: &Arc<Entry>, run: &Arc<Run>, reason: String) {
        let (kernel, entry, number) = (self.clone(), entry.clone(), run.number);
        self.runtime.spawn(async move {
            let _change = entry.change.lock().await;
            if entry.is_running() && entry.number() == number {
                entry.recent_panics.lock().clear();
                kernel.start_anew(&entry, reason).await;
            }
        });
    }

    /// Stops what is left of a plugin and starts it until it runs or is quarantined. Whoever
    /// calls it holds `entry.change`.
    async fn start_anew(self: &Arc<Self>, entry: &Arc<Entry>, mut reason: String) {
        let plugin = entry.name();
        if let Some(run) = entry.run.swap(None) {
            entry.enter(Stage::Restarting, &reason);
            let _ = self.end(&run).await;
        }
        loop {
            let settings = self.settings.load_full();
            let restarts = count(&entry.recent_restarts, RESTARTS_WITHIN);
            if restarts > settings.restart_budget {
                let reason = format!("{reason}; `streamgate restart {plugin}` starts it again");
                tracing::error!(plugin, reason, "plugin quarantined");
                return entry.enter(Stage::Quarantined, &reason);
            }
            let pause = settings.restart_pause.get().saturating_mul(1 << (restarts - 1).min(16));
            let pause = pause.min(LONGEST_PAUSE);
            tracing::warn!(plugin, reason, millis = pause.as_millis() as u64, "plugin is started anew");
            entry.enter(Stage::Restarting, &reason);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopping.cancelled() => return entry.enter(Stage::Stopped, ""),
            }
            match self.bring_up(entry, entry.planned.load_full(), None).await {
                Ok(_) => return,
                Err(error) => reason = error,
            }
        }
    }

    /// Starts a plugin anew because somebody said so, with a clean record.
    ///
    /// # Errors
    /// Why it does not run.
    pub(crate) async fn restart(self: &Arc<Self>, name: &str) -> Result<String, String> {
        let composition = self.composition.load_full();
        let entry = composition.find(name).ok_or_else(|| self.unknown(name))?;
        let _change = entry.change.lock().await;
        if self.stopping.is_cancelled() {
            return Err("streamgate is stopping".to_owned());
        }
        entry.recent_panics.lock().clear();
        entry.recent_restarts.lock().clear();
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
                entry.enter(Stage::Failed, &reason);
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
