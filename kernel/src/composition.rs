//! What should run: the current plugins and their order, and how the configuration, read again, differs from
//! them. It starts and stops nothing.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use streamgate_config::{Graph, Sources};
use streamgate_control::{Planning, Step};
use streamgate_health::Stage;

use crate::edition::{Edition, Planned};
use crate::parts::Parts;
use crate::run::Entry;

/// The source of the configuration, for reading it again.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) config: PathBuf,
    pub(crate) sets: Vec<String>,
}

/// The plugins of one moment, and their order by index.
pub(crate) struct Plugins {
    /// Incremented with every change.
    pub(crate) version: u64,
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) graph: Graph,
}

impl Plugins {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.planned.load().name == name)
    }

    /// # Errors
    /// If there is none of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Entry>, String> {
        self.get(name).ok_or_else(|| self.unknown(name))
    }

    /// The message for an unknown name.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.entries.iter().map(|entry| entry.name()).collect();
        let hint = streamgate_config::suggest(name, names.iter().map(String::as_str), "plugins");
        format!("no plugin `{name}` runs{hint}")
    }

    pub(crate) fn contains(&self, entry: &Arc<Entry>) -> bool {
        self.entries.iter().any(|own| Arc::ptr_eq(own, entry))
    }

    /// A required plugin that does not run, and the message about it.
    pub(crate) fn unmet(&self, entry: &Arc<Entry>) -> Option<(Arc<Entry>, String)> {
        let index = self.entries.iter().position(|other| Arc::ptr_eq(other, entry))?;
        self.graph.needs[index].iter().find_map(|&need| {
            let (own, other) = (entry.planned.load(), &self.entries[need]);
            let (state, planned) = (other.state.borrow(), other.planned.load());
            let provided = &planned.library.manifest.provides;
            let capability = own.library.manifest.requires.iter().find(|name| provided.contains(name));
            let (capability, name) = (capability.map_or("", String::as_str), &planned.name);
            let reason = || format!("it requires `{capability}`, and {name} does not run: {}", state.reason);
            (state.stage != Stage::Running).then(|| (other.clone(), reason()))
        })
    }

    /// Which plugin has which public prefix.
    fn mounts(&self) -> Vec<(String, String)> {
        let mounts = self.entries.iter().flat_map(|entry| {
            let planned = entry.planned.load_full();
            let prefixes = planned.library.manifest.prefixes.clone();
            prefixes.into_iter().map(move |prefix| (prefix, planned.name.clone()))
        });
        mounts.collect()
    }
}

/// Every plugin that differs, in the order of the steps.
pub(crate) struct Plan {
    /// The version of the plugins that it differs from.
    pub(crate) version: u64,
    pub(crate) edition: Edition,
    pub(crate) steps: Vec<(Step, String)>,
}

/// What should run.
pub(crate) struct Composition {
    pub(crate) origin: Origin,
    parts: Arc<Parts>,
    plugins: ArcSwap<Plugins>,
    planning: Planning,
}

impl Composition {
    pub(crate) fn new(parts: Arc<Parts>, origin: Origin, plugins: Vec<Planned>, graph: Graph) -> Arc<Self> {
        let entries = plugins.into_iter().map(|planned| Entry::new(Arc::new(planned))).collect();
        let plugins = Plugins { version: 1, entries, graph };
        parts.services.mount(plugins.mounts());
        Arc::new(Self { origin, parts, plugins: Arc::new(plugins).into(), planning: Planning::default() })
    }

    /// The plugins of the moment.
    pub(crate) fn now(&self) -> Arc<Plugins> {
        self.plugins.load_full()
    }

    /// Replaces them.
    pub(crate) fn replace(&self, plugins: Plugins) {
        self.plugins.store(Arc::new(plugins));
        self.parts.services.mount(self.now().mounts());
    }

    /// Reads and checks the configuration, and finds what differs. `fresh` is loaded again.
    ///
    /// # Errors
    /// The problems of the configuration, or why it was not checked.
    pub(crate) async fn plan(&self, set: Option<String>, fresh: Option<&str>) -> Result<Plan, String> {
        let plugins = self.now();
        let (current, fresh) = (plugins.clone(), fresh.map(str::to_owned));
        let (parts, Origin { config, mut sets }) = (self.parts.clone(), self.origin.clone());
        let judged = self.planning.look(self.parts.stopping.cancelled(), move || {
            sets.extend(set);
            let (sources, problems) = Sources::read(&config, std::env::vars_os(), &sets);
            let known = current.entries.iter().map(|entry| entry.planned.load().library.clone());
            let known = known.filter(|library| Some(&library.manifest.name) != fresh.as_ref()).collect();
            let data_dir = parts.settings.load().data_dir.clone();
            Edition::check(&sources, problems, Some(&data_dir), known)
        });
        let edition = judged.await?.map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("the configuration has problems; nothing has changed\n{}", lines.join("\n"))
        })?;
        if edition.kernel.data_dir != self.parts.settings.load().data_dir {
            return Err("kernel.data_dir differs; stop and start streamgate to change it".to_owned());
        }
        let order = edition.graph.order().into_iter();
        let steps = order.filter_map(|index| {
            let planned = &edition.plugins[index];
            let entry = plugins.get(&planned.name);
            let step = entry.map_or(Some(Step::Start), |entry| difference(entry, planned));
            step.map(|step| (step, planned.name.clone()))
        });
        let mut steps: Vec<_> = steps.collect();
        let gone = plugins.graph.order().into_iter().rev().map(|index| plugins.entries[index].name());
        let gone = gone.filter(|name| edition.plugins.iter().all(|planned| planned.name != *name));
        steps.extend(gone.map(|name| (Step::Stop, name)));
        Ok(Plan { version: plugins.version, edition, steps })
    }
}

/// The step that makes a plugin run as planned.
fn difference(entry: &Entry, planned: &Planned) -> Option<Step> {
    let now = entry.planned.load();
    if !Arc::ptr_eq(&now.library, &planned.library) || now.keys != planned.keys || !entry.is_running() {
        Some(Step::Swap)
    } else {
        (now.settings != planned.settings).then_some(Step::Configure)
    }
}
