//! Changes what runs without a pause: a swap replaces one plugin by a new build, a reload
//! brings everything to what the configuration says now and touches only what differs.
//!
//! A new run starts beside the old one and takes over in one step; the old one finishes what is
//! under way and stops. Whatever fails, everything goes back to as it was, and says why.
//!
//! One change at a time, from the first look at the configuration to its last step; the stop of
//! all is one of them. What runs has a version, and a plan is good for the one that it was made for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use streamgate_config::Sources;
use streamgate_control::{Step, planned, stale, words};
use streamgate_health::{Phase, Stage};
use streamgate_plugin_api::abi::RResult;
use tokio::sync::MutexGuard;

use crate::check::{Edition, Planned};
use crate::lifecycle::{Composition, Entry, Kernel, Run};

/// How long a change waits until those that route by the prefixes have taken them.
const ROUTED_WITHIN: Duration = Duration::from_secs(1);

/// Where the configuration comes from, to be read again.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) config: PathBuf,
    pub(crate) sets: Vec<String>,
}

/// A step that was taken, with what it takes to undo it.
enum Done {
    /// It did not run before, whatever it was to run as.
    Started(Arc<Entry>, Arc<Planned>),
    Configured(Arc<Entry>, Arc<Planned>),
    /// The old run goes on beside the new one, inactive.
    Swapped(Arc<Entry>, Arc<Run>),
    /// The old run had to stop before the new one could start.
    Exchanged(Arc<Entry>, Arc<Planned>),
}

/// Every plugin that differs, in the order of the steps.
struct Plan {
    /// That of the composition from which it differs.
    version: u64,
    edition: Edition,
    steps: Vec<(Step, String)>,
}

impl Kernel {
    /// Replaces a plugin by a build that is loaded anew from its file, or from `file` instead.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn swap(self: &Arc<Self>, name: &str, file: Option<&str>) -> Result<String, String> {
        let _one = self.begin()?;
        self.composition.load().find(name).ok_or_else(|| self.unknown(name))?;
        let set = file.map(|file| format!("plugins.{name}.file={}", toml_string(file)));
        if let Some(file) = file.filter(|file| !Path::new(file).is_file()) {
            return Err(format!("there is no file {file}; nothing has changed"));
        }
        let mut plan = self.plan(set, Some(name)).await?;
        plan.steps = vec![(Step::Swap, name.to_owned())];
        self.apply(plan, false).await?;
        Ok(format!("{name} is swapped"))
    }

    /// Brings everything to what the configuration says now; `dry`: only says what would happen. With
    /// a version only if that is the one of what runs.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn reload(self: &Arc<Self>, dry: bool, version: Option<u64>) -> Result<String, String> {
        if dry {
            let plan = self.plan(None, None).await?;
            return Ok(planned(&plan.steps, plan.version));
        }
        let _one = self.begin()?;
        let plan = self.plan(None, None).await?;
        let plan = Plan { version: version.unwrap_or(plan.version), ..plan };
        Ok(words(&self.apply(plan, true).await?, true))
    }

    /// Begins a change, which is the only one until it lets go.
    fn begin(&self) -> Result<MutexGuard<'_, ()>, String> {
        let one = self.changing.try_lock();
        if *self.phase.borrow() != Phase::Running {
            return Err("streamgate starts or stops; try again when it runs".to_owned());
        }
        one.map_err(|_| "another change is under way; try again when it is done".to_owned())
    }

    /// Reads and judges the configuration, and finds what differs. `fresh` is loaded anew.
    async fn plan(self: &Arc<Self>, set: Option<String>, fresh: Option<&str>) -> Result<Plan, String> {
        let composition = self.composition.load_full();
        let (kernel, current, fresh) = (self.clone(), composition.clone(), fresh.map(str::to_owned));
        let judged = self.planning.look(self.stopping.cancelled(), move || {
            let Origin { config, mut sets } = kernel.origin.clone();
            sets.extend(set);
            let (sources, problems) = Sources::read(&config, std::env::vars_os(), &sets);
            let known = current.plugins.iter().map(|entry| entry.planned.load().library.clone());
            let known = known.filter(|library| Some(&library.manifest.name) != fresh.as_ref()).collect();
            let data_dir = kernel.settings.load().data_dir.clone();
            Edition::check(&sources, problems, Some(&data_dir), known)
        });
        let edition = judged.await?.map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("the configuration has problems; nothing has changed\n{}", lines.join("\n"))
        })?;
        if edition.kernel.data_dir != self.settings.load().data_dir {
            return Err("kernel.data_dir differs; it takes a stop and a start".to_owned());
        }
        let order = edition.graph.order().into_iter();
        let steps = order.filter_map(|index| {
            let planned = &edition.plugins[index];
            let step =
                composition.find(&planned.name).map_or(Some(Step::Start), |entry| difference(entry, planned));
            step.map(|step| (step, planned.name.clone()))
        });
        let mut steps: Vec<_> = steps.collect();
        let gone = composition.graph.order().into_iter().rev().map(|index| composition.plugins[index].name());
        let gone = gone.filter(|name| edition.plugins.iter().all(|planned| planned.name != *name));
        steps.extend(gone.map(|name| (Step::Stop, name)));
        Ok(Plan { version: composition.version, edition, steps })
    }

    /// Whoever calls it has begun a change.
    async fn apply(self: &Arc<Self>, plan: Plan, whole: bool) -> Result<Vec<(Step, String)>, String> {
        let old = self.composition.load_full();
        if plan.version != old.version {
            return Err(stale(plan.version, old.version));
        }
        let Edition { kernel, plugins, graph, .. } = plan.edition;
        let mut done = Vec::new();
        let mut entries = Vec::new();
        let mut planned: Vec<_> = plugins.into_iter().map(Arc::new).collect();
        for planned in &planned {
            let known = old.find(&planned.name).cloned();
            entries.push(known.unwrap_or_else(|| Entry::new(planned.clone())));
        }
        for (step, name) in plan.steps.iter().filter(|(step, _)| *step != Step::Stop) {
            let index = planned.iter().position(|planned| planned.name == *name);
            let Some(index) = index else { continue };
            let (entry, planned) = (&entries[index], &mut planned[index]);
            if let Err(reason) = self.take(*step, entry, planned.clone(), &mut done).await {
                self.undo(done).await;
                tracing::error!(plugin = name, reason, "change undone");
                return Err(format!("{name}: {reason}; everything is as it was"));
            }
        }
        if whole {
            self.log.set(&kernel.log);
            self.settings.store(Arc::new(kernel));
        }
        let same = entries.iter().map(|entry| entry.name()).eq(old.plugins.iter().map(|entry| entry.name()));
        let (plugins, graph) =
            if whole || same { (entries, graph) } else { (old.plugins.clone(), old.graph.clone()) };
        let version = old.version + u64::from(!plan.steps.is_empty());
        self.composition.store(Arc::new(Composition { version, plugins, graph }));
        self.services.mount(self.composition.load().mounts());
        let _ = tokio::time::timeout(ROUTED_WITHIN, self.services.routed()).await;
        let mut taken = Vec::new();
        for step in done {
            taken.push(match &step {
                Done::Started(entry, _) => (Step::Start, entry.name()),
                Done::Configured(entry, _) => (Step::Configure, entry.name()),
                Done::Swapped(entry, _) | Done::Exchanged(entry, _) => (Step::Swap, entry.name()),
            });
            if let Done::Swapped(_, run) = step {
                let kernel = self.clone();
                self.retiring.spawn_on(async move { kernel.retire(&run).await }, &self.runtime);
            }
        }
        for (_, name) in plan.steps.iter().filter(|(step, _)| *step == Step::Stop) {
            let Some(entry) = old.find(name) else { continue };
            let _change = entry.change.claim().await;
            if let Some(run) = entry.run.swap(None) {
                entry.enter(Stage::Stopping, "it is not in the configuration any more");
                self.services.withdraw(&run.offers);
                self.retire(&run).await;
            }
            entry.enter(Stage::Stopped, "");
            taken.push((Step::Stop, name.clone()));
        }
        tracing::info!(steps = taken.len(), "changed");
        Ok(taken)
    }

    /// Takes one step. Without an `Ok` it has changed nothing.
    async fn take(
        self: &Arc<Self>,
        step: Step,
        entry: &Arc<Entry>,
        planned: Arc<Planned>,
        done: &mut Vec<Done>,
    ) -> Result<(), String> {
        let _change = entry.change.claim().await;
        if self.stopping.is_cancelled() {
            return Err("streamgate stops".to_owned());
        }
        let before = entry.planned.load_full();
        let Some(run) = entry.run.load_full() else {
            self.bring_up(entry, planned, None).await?;
            done.push(Done::Started(entry.clone(), before));
            return Ok(());
        };
        if step == Step::Configure && self.configure(&run, &planned).await? {
            entry.planned.store(planned);
            done.push(Done::Configured(entry.clone(), before));
            return Ok(());
        }
        if !planned.library.manifest.exclusive && !before.library.manifest.exclusive {
            self.bring_up(entry, planned, Some(&run)).await?;
            done.push(Done::Swapped(entry.clone(), run));
            return Ok(());
        }
        if let Err(reason) = self.exchange(entry, planned).await {
            return Err(match self.exchange(entry, before).await {
                Ok(()) => reason,
                Err(error) => format!("{reason}; and the old one does not start again: {error}"),
            });
        }
        done.push(Done::Exchanged(entry.clone(), before));
        Ok(())
    }

    /// Hands a run its new settings. `false`: it cannot take them while it runs.
    async fn configure(self: &Arc<Self>, run: &Run, planned: &Planned) -> Result<bool, String> {
        let Some(instance) = run.instance() else { return Ok(false) };
        let limit = planned.keys.start_deadline.unwrap_or(self.settings.load().start_deadline).get();
        let taken = self.on_own_thread(instance.reconfigure(&planned.settings));
        match tokio::time::timeout(limit, taken).await {
            Ok(Ok(RResult::ROk(taken))) => Ok(taken),
            Ok(Ok(RResult::RErr(reason))) => Err(reason.into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not take its settings within {limit:?} (start_deadline)")),
        }
    }

    /// Stops a plugin and starts it with another plan; requests wait meanwhile.
    async fn exchange(self: &Arc<Self>, entry: &Arc<Entry>, planned: Arc<Planned>) -> Result<(), String> {
        let run = entry.run.swap(None);
        let _held = run.as_ref().map(|run| self.services.hold(&run.offers));
        if let Some(run) = run {
            entry.enter(Stage::Restarting, "it is exchanged");
            self.services.withdraw(&run.offers);
            self.retire(&run).await;
        }
        let result = self.bring_up(entry, planned, None).await;
        if let Err(reason) = &result {
            self.not_started(entry, reason);
        }
        result.map(|_| ())
    }

    async fn undo(self: &Arc<Self>, done: Vec<Done>) {
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
                        let _ = self.end(&new).await;
                    }
                    entry.planned.store(before.clone());
                    match self.composition.load().plugins.iter().any(|own| Arc::ptr_eq(own, entry)) {
                        true => self.not_started(entry, "a change that had started it was undone"),
                        false => entry.enter(Stage::Stopped, ""),
                    }
                }
                (Done::Configured(_, before), Some(new)) => match self.configure(&new, before).await {
                    Ok(true) => entry.planned.store(before.clone()),
                    _ => _ = self.exchange(entry, before.clone()).await,
                },
                (Done::Swapped(_, old), new) => {
                    self.activate(entry, old, new.as_ref());
                    if let Some(new) = new {
                        self.retire(&new).await;
                    }
                }
                (Done::Exchanged(_, before), _) => _ = self.exchange(entry, before.clone()).await,
                // It has failed meanwhile, and is started again: as before.
                (Done::Configured(_, before), None) => entry.planned.store(before.clone()),
            }
        }
    }
}

/// What it takes to make a plugin run as planned.
fn difference(entry: &Entry, planned: &Planned) -> Option<Step> {
    let now = entry.planned.load();
    if !Arc::ptr_eq(&now.library, &planned.library) || now.keys != planned.keys || !entry.is_running() {
        Some(Step::Swap)
    } else {
        (now.settings != planned.settings).then_some(Step::Configure)
    }
}

fn toml_string(text: &str) -> String {
    // JSON's strings are TOML's too.
    serde_json::Value::from(text).to_string()
}
