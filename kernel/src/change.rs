//! Changes what runs without downtime: a swap replaces one plugin by a new build, a reload applies the
//! configuration and touches only what differs.
//!
//! A new run starts beside the old one and takes over in one step; the old one finishes its requests and
//! stops. If anything fails, everything is rolled back, with the reason.
//!
//! One change at a time, from reading the configuration to its last step; stopping everything is a change
//! too. What runs has a version, and a plan is valid only for the version it was made for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streamgate_control::{Step, planned, stale, words};
use streamgate_health::{Phase, Stage};
use tokio::sync::{Mutex, MutexGuard};

use crate::composition::{Composition, Plan, Plugins};
use crate::edition::{Edition, Planned};
use crate::parts::Parts;
use crate::run::{Entry, Run};
use crate::runs::Runs;

/// How long a change waits until all that route by the prefixes have applied them.
const ROUTED_WITHIN: Duration = Duration::from_secs(1);
/// Why a plugin is stopped that cannot run beside its successor.
const EXCHANGED: &str = "it is being replaced";

/// A step that was taken, with the means to undo it.
enum Done {
    /// It did not run before, whatever was planned.
    Started(Arc<Entry>, Arc<Planned>),
    Configured(Arc<Entry>, Arc<Planned>),
    /// The old run continues beside the new one, inactive.
    Swapped(Arc<Entry>, Arc<Run>),
    /// The old run had to stop before the new one could start.
    Exchanged(Arc<Entry>, Arc<Planned>),
}

/// Changes what runs, one change at a time.
pub(crate) struct Changes {
    parts: Arc<Parts>,
    composition: Arc<Composition>,
    runs: Arc<Runs>,
    /// Held by the change in progress.
    changing: Mutex<()>,
}

impl Changes {
    pub(crate) fn new(parts: Arc<Parts>, composition: Arc<Composition>, runs: Arc<Runs>) -> Self {
        Self { parts, composition, runs, changing: Mutex::default() }
    }

    /// Replaces a plugin by a build loaded from its file, or from `file` instead.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn swap(&self, name: &str, file: Option<&str>) -> Result<String, String> {
        let _one = self.begin()?;
        self.composition.now().find(name)?;
        let set = file.map(|file| format!("plugins.{name}.file={}", toml_string(file)));
        if let Some(file) = file.filter(|file| !Path::new(file).is_file()) {
            return Err(format!("there is no file {file}; nothing has changed"));
        }
        let mut plan = self.composition.plan(set, Some(name)).await?;
        plan.steps = vec![(Step::Swap, name.to_owned())];
        self.apply(plan, false).await?;
        Ok(format!("{name} is swapped"))
    }

    /// Applies the configuration; `dry`: only reports what would happen. With a version only if that is the
    /// running one.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn reload(&self, dry: bool, version: Option<u64>) -> Result<String, String> {
        if dry {
            let plan = self.composition.plan(None, None).await?;
            return Ok(planned(&plan.steps, plan.version));
        }
        let _one = self.begin()?;
        let plan = self.composition.plan(None, None).await?;
        let plan = Plan { version: version.unwrap_or(plan.version), ..plan };
        Ok(words(&self.apply(plan, true).await?, true))
    }

    /// Begins a change, which is exclusive until it is dropped.
    fn begin(&self) -> Result<MutexGuard<'_, ()>, String> {
        let one = self.changing.try_lock();
        if *self.parts.phase.borrow() != Phase::Running {
            return Err("streamgate is starting or stopping; try again when it runs".to_owned());
        }
        one.map_err(|_| "another change is in progress; try again when it is done".to_owned())
    }

    /// Stops everything permanently. A change in progress is cancelled and rolled back, and no other begins.
    pub(crate) async fn stop(&self) {
        self.parts.phase.send_replace(Phase::Stopping);
        self.parts.stopping.cancel();
        let _one = self.changing.lock().await;
        self.runs.stop().await;
    }

    /// The caller has begun a change.
    async fn apply(&self, plan: Plan, whole: bool) -> Result<Vec<(Step, String)>, String> {
        let old = self.composition.now();
        if plan.version != old.version {
            return Err(stale(plan.version, old.version));
        }
        let Edition { kernel, plugins, graph, .. } = plan.edition;
        let mut done = Vec::new();
        let mut entries = Vec::new();
        let mut planned: Vec<_> = plugins.into_iter().map(Arc::new).collect();
        for planned in &planned {
            let known = old.get(&planned.name).cloned();
            entries.push(known.unwrap_or_else(|| Entry::new(planned.clone())));
        }
        for (step, name) in plan.steps.iter().filter(|(step, _)| *step != Step::Stop) {
            let index = planned.iter().position(|planned| planned.name == *name);
            let Some(index) = index else { continue };
            let (entry, planned) = (&entries[index], &mut planned[index]);
            if let Err(reason) = self.take(*step, entry, planned.clone(), &mut done).await {
                self.undo(done).await;
                tracing::error!(plugin = name, reason, "change undone");
                return Err(format!("{name}: {reason}; nothing has changed"));
            }
        }
        if whole {
            self.parts.log.set(&kernel.log);
            self.parts.settings.store(Arc::new(kernel));
        }
        let same = entries.iter().map(|entry| entry.name()).eq(old.entries.iter().map(|entry| entry.name()));
        let (entries, graph) =
            if whole || same { (entries, graph) } else { (old.entries.clone(), old.graph.clone()) };
        let version = old.version + u64::from(!plan.steps.is_empty());
        self.composition.replace(Plugins { version, entries, graph });
        let _ = tokio::time::timeout(ROUTED_WITHIN, self.parts.services.routed()).await;
        let mut taken = Vec::new();
        for step in done {
            taken.push(match &step {
                Done::Started(entry, _) => (Step::Start, entry.name()),
                Done::Configured(entry, _) => (Step::Configure, entry.name()),
                Done::Swapped(entry, _) | Done::Exchanged(entry, _) => (Step::Swap, entry.name()),
            });
            if let Done::Swapped(_, run) = step {
                self.runs.retire(run);
            }
        }
        for (_, name) in plan.steps.iter().filter(|(step, _)| *step == Step::Stop) {
            let Some(entry) = old.get(name) else { continue };
            let _change = entry.change.claim().await;
            if let Some(run) = entry.run.swap(None) {
                entry.enter(Stage::Stopping, "it was removed from the configuration");
                self.parts.services.withdraw(&run.offers);
                run.retire().await;
            }
            entry.enter(Stage::Stopped, "");
            taken.push((Step::Stop, name.clone()));
        }
        tracing::info!(steps = taken.len(), "changed");
        Ok(taken)
    }

    /// Takes one step. Without an `Ok` it has changed nothing.
    async fn take(
        &self,
        step: Step,
        entry: &Arc<Entry>,
        planned: Arc<Planned>,
        done: &mut Vec<Done>,
    ) -> Result<(), String> {
        let _change = entry.change.claim().await;
        if self.parts.stopping.is_cancelled() {
            return Err("streamgate stops".to_owned());
        }
        let before = entry.planned.load_full();
        let Some(run) = entry.run.load_full() else {
            self.runs.bring_up(entry, planned, None).await?;
            done.push(Done::Started(entry.clone(), before));
            return Ok(());
        };
        if step == Step::Configure && run.configure(&planned).await? {
            entry.planned.store(planned);
            done.push(Done::Configured(entry.clone(), before));
            return Ok(());
        }
        if !planned.library.manifest.exclusive && !before.library.manifest.exclusive {
            self.runs.bring_up(entry, planned, Some(&run)).await?;
            done.push(Done::Swapped(entry.clone(), run));
            return Ok(());
        }
        if let Err(reason) = self.runs.exchange(entry, planned, EXCHANGED).await {
            return Err(match self.runs.exchange(entry, before, EXCHANGED).await {
                Ok(()) => reason,
                Err(error) => format!("{reason}; and the old one does not start again: {error}"),
            });
        }
        done.push(Done::Exchanged(entry.clone(), before));
        Ok(())
    }

    async fn undo(&self, done: Vec<Done>) {
        for step in done.into_iter().rev() {
            let (Done::Started(entry, _)
            | Done::Configured(entry, _)
            | Done::Swapped(entry, _)
            | Done::Exchanged(entry, _)) = &step;
            let _change = entry.change.claim().await;
            let new = entry.run.load_full();
            match (&step, new) {
                (Done::Started(_, before), new) => {
                    entry.run.store(None);
                    if let Some(new) = new {
                        let _ = new.end().await;
                    }
                    entry.planned.store(before.clone());
                    match self.composition.now().contains(entry) {
                        true => self.runs.not_started(entry, "a change that had started it was undone"),
                        false => entry.enter(Stage::Stopped, ""),
                    }
                }
                (Done::Configured(_, before), Some(new)) => match new.configure(before).await {
                    Ok(true) => entry.planned.store(before.clone()),
                    _ => _ = self.runs.exchange(entry, before.clone(), EXCHANGED).await,
                },
                (Done::Swapped(_, old), new) => {
                    old.activate(entry, new.as_deref());
                    if let Some(new) = new {
                        new.retire().await;
                    }
                }
                (Done::Exchanged(_, before), _) => {
                    _ = self.runs.exchange(entry, before.clone(), EXCHANGED).await
                }
                // It has failed meanwhile, and is being restarted: as before.
                (Done::Configured(_, before), None) => entry.planned.store(before.clone()),
            }
        }
    }
}

fn toml_string(text: &str) -> String {
    // JSON's strings are TOML's too.
    serde_json::Value::from(text).to_string()
}
