//! Checks a configuration: loads what it names, and reports all problems at once, in the tables, between the
//! plugins, and from the plugins' own checks.
//!
//! It starts nothing and writes nothing. A checked edition is complete and can be started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use streamgate_config::{Graph, Isolation, KernelSettings, Node, PluginKeys, Problem, Sources, Table};

use crate::loader::Library;

/// A configuration without problems, with everything it names.
pub(crate) struct Edition {
    /// The kernel's settings.
    pub(crate) kernel: KernelSettings,
    /// The plugins that are to run.
    pub(crate) plugins: Vec<Planned>,
    /// Their order, by index.
    pub(crate) graph: Graph,
    /// The warnings.
    pub(crate) notices: Vec<Problem>,
}

/// A plugin that is to run.
pub(crate) struct Planned {
    /// Its name.
    pub(crate) name: String,
    /// The kernel's part of its table.
    pub(crate) keys: PluginKeys,
    /// The rest of its table, as JSON text.
    pub(crate) settings: String,
    /// Its code.
    pub(crate) library: Arc<Library>,
}

impl Edition {
    /// Loads and checks. `problems` are those known already; the result has all of them, in the order of the
    /// file. `copies` is where the loader may put what it loads. A `known` library is reused instead of
    /// loading the same file again.
    pub(crate) fn check(
        sources: &Sources,
        mut problems: Vec<Problem>,
        copies: Option<&Path>,
        known: Vec<Arc<Library>>,
    ) -> Result<Self, Vec<Problem>> {
        let kernel = sources.kernel();
        let dirs = kernel.plugin_dirs();
        let (mut tables, mut libraries) = (Vec::new(), Vec::new());
        for loaded in load(sources, &dirs, copies, &known) {
            match loaded {
                Ok((table, library)) => {
                    tables.push(table);
                    libraries.push(library);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let own = |index: usize, settings: &str| libraries[index].check(settings);
        problems.extend(streamgate_config::check(sources, &tables, own));
        let nodes: Vec<_> = libraries.iter().map(|library| Node::from(&library.manifest)).collect();
        let graph = Graph::resolve(&nodes).unwrap_or_else(|errors| {
            let names: Vec<_> = tables.iter().map(|table| table.plugin.as_str()).collect();
            let on_disk = |capability: &str| provider_on_disk(capability, &libraries, &dirs);
            problems.extend(errors.iter().map(|error| error.problem(sources, &names, &nodes, on_disk)));
            Graph::default()
        });
        problems.sort();
        problems.dedup();
        if !problems.is_empty() {
            return Err(problems);
        }
        let manifests: Vec<_> = libraries.iter().map(|library| &library.manifest).collect();
        let notices = streamgate_config::notices(sources, &tables, &nodes, &manifests);
        let level = kernel.log.level.clone();
        let planned = tables.into_iter().zip(libraries).map(|(table, library)| Planned {
            keys: keys(&table, &level),
            settings: table.settings(),
            name: table.plugin,
            library,
        });
        Ok(Self { kernel, plugins: planned.collect(), graph, notices })
    }
}

/// The tables of all loadable plugins, and the problems of the others.
pub(crate) fn tables(sources: &Sources) -> (Vec<Table>, Vec<Problem>) {
    let (mut tables, mut problems) = (Vec::new(), Vec::new());
    for loaded in load(sources, &sources.kernel().plugin_dirs(), None, &[]) {
        match loaded {
            Ok((table, _)) => tables.push(table),
            Err(problem) => problems.push(problem),
        }
    }
    (tables, problems)
}

/// A plugin without its own level logs at that of all.
fn keys(table: &Table, level: &str) -> PluginKeys {
    let keys = table.keys();
    PluginKeys { log: Some(streamgate_log::quiet(keys.log.as_deref().unwrap_or(level))), ..keys }
}

type Loaded = (Table, Arc<Library>);

/// Loads all enabled plugins concurrently; most of it is reading files.
fn load(
    sources: &Sources,
    dirs: &[PathBuf],
    copies: Option<&Path>,
    known: &[Arc<Library>],
) -> Vec<Result<Loaded, Problem>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = sources
            .plugins()
            .map(|(name, values)| {
                let load = move || {
                    let file = values.get("file").and_then(Value::as_str);
                    let sha256 = values.get("sha256").and_then(Value::as_str).filter(|it| it.len() == 64);
                    // An invalid value must not open it in this process.
                    let apart = values
                        .get("isolation")
                        .map(|it| Isolation::deserialize(it).ok() != Some(Isolation::None));
                    let library = load_one(name, file, (dirs, copies, known), sha256, apart)
                        .map_err(|message| sources.plugin_problem(name, file.map(|_| "file"), message))?;
                    let (plugin, schema) = (name.clone(), library.schema());
                    Ok((Table { plugin, values: values.clone(), schema }, library))
                };
                (name, scope.spawn(load))
            })
            .collect();
        let panicked = |name| Err(sources.plugin_problem(name, None, "loading it panicked"));
        threads.into_iter().map(|(name, thread)| thread.join().unwrap_or_else(|_| panicked(name))).collect()
    })
}

fn load_one(
    name: &str,
    file: Option<&str>,
    (dirs, copies, known): (&[PathBuf], Option<&Path>, &[Arc<Library>]),
    sha256: Option<&str>,
    apart: Option<bool>,
) -> Result<Arc<Library>, String> {
    let path = streamgate_config::locate(name, file, dirs)?;
    let right = |library: &Library| {
        sha256.is_none_or(|want| want.eq_ignore_ascii_case(&library.sha256))
            && apart.unwrap_or(library.manifest.isolated) == library.is_apart()
    };
    let same =
        |library: &&Arc<Library>| library.manifest.name == name && library.is_of(&path) && right(library);
    if let Some(same) = known.iter().find(same) {
        return Ok(same.clone());
    }
    Library::open(name, &path, copies, sha256, apart).map(Arc::new).map_err(|error| error.to_string())
}

/// An existing plugin that is not enabled and would provide this.
fn provider_on_disk(capability: &str, plugins: &[Arc<Library>], dirs: &[PathBuf]) -> Option<String> {
    let others = streamgate_config::discover(dirs)
        .into_iter()
        .filter(|(name, _)| plugins.iter().all(|p| p.manifest.name != *name));
    others
        .filter_map(|(name, path)| Library::open(&name, &path, None, None, Some(true)).ok())
        .find(|library| library.manifest.provides.iter().any(|provided| provided == capability))
        .map(|library| library.manifest.name)
}
