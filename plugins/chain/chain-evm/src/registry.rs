//! The active chains, each with the task that follows it; settings may change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use streamgate_contracts::outbox::{Bus, Outbox};
use streamgate_plugin_api::Host;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::caip::ChainId;
use crate::chain::Chain;
use crate::settings::Settings;
use crate::store::Store;
use crate::watch::{Watcher, component};

/// An active chain.
struct Followed {
    chain: Arc<Chain>,
    woken: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The other parts of the system that chains need. Tests have no host.
#[derive(Clone)]
pub(crate) struct Dependencies {
    pub(crate) host: Option<Host>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
}

/// All active chains.
pub(crate) struct Registry {
    dependencies: Dependencies,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    chains: BTreeMap<ChainId, Followed>,
}

impl Registry {
    pub(crate) fn new(dependencies: Dependencies) -> Self {
        Self { dependencies, state: Mutex::default() }
    }

    /// Publishes events of the chains, until it is dropped.
    pub(crate) async fn tell(&self) {
        let Dependencies { store, bus, .. } = &self.dependencies;
        Outbox::new(store.db().clone(), bus.clone()).run().await;
    }

    /// Applies new settings. A chain with unchanged settings keeps its state; the tasks of the others end on
    /// their own and are returned.
    ///
    /// # Errors
    /// The problem of a chain's endpoint; nothing has changed then.
    pub(crate) fn apply(&self, settings: Settings) -> Result<Vec<JoinHandle<()>>, String> {
        let mut state = self.state.lock();
        let general = |settings: &Settings| Settings { chains: Vec::new(), ..settings.clone() };
        let same = general(&state.settings) == general(&settings);
        let on = || settings.chains.iter().filter(|chain| !chain.endpoints.is_empty());
        let mut made = Vec::new();
        for chain in on() {
            let kept =
                state.chains.get(&ChainId(chain.id)).filter(|known| same && known.chain.settings == *chain);
            if kept.is_none() {
                let name = || format!("chain {} ({})", chain.id, chain.name);
                made.push(Chain::new(&settings, chain).map_err(|problem| format!("{}: {problem}", name()))?);
            }
        }
        let stays = |id: &ChainId| {
            on().any(|chain| chain.id == id.0) && !made.iter().any(|chain: &Chain| chain.id == *id)
        };
        let gone: Vec<ChainId> = state.chains.keys().copied().filter(|id| !stays(id)).collect();
        let mut ended = Vec::new();
        for id in gone {
            if let Some(known) = state.chains.remove(&id) {
                known.stop.cancel();
                ended.push(known.task);
                if let Some(host) = &self.dependencies.host {
                    host.health(&component(id)).healthy();
                }
            }
        }
        for chain in made {
            let followed = self.follow(Arc::new(chain), &settings);
            state.chains.insert(followed.chain.id, followed);
        }
        state.settings = settings;
        Ok(ended)
    }

    fn follow(&self, chain: Arc<Chain>, settings: &Settings) -> Followed {
        let (woken, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let Dependencies { host, store, .. } = self.dependencies.clone();
        let watcher = Watcher {
            chain: Arc::clone(&chain),
            store,
            health: host.as_ref().map(|host| host.health(&component(chain.id))),
            poll: settings.poll.get(),
            idle_poll: settings.idle_poll.get(),
            woken: Arc::clone(&woken),
            begun: AtomicBool::new(false),
        };
        let task = watcher.run(stop.clone());
        let task = match &host {
            Some(host) => host.spawn(task),
            None => tokio::spawn(task),
        };
        Followed { chain, woken, stop, task }
    }

    pub(crate) fn chain(&self, id: ChainId) -> Option<Arc<Chain>> {
        self.state.lock().chains.get(&id).map(|known| Arc::clone(&known.chain))
    }

    pub(crate) fn chains(&self) -> Vec<Arc<Chain>> {
        self.state.lock().chains.values().map(|known| Arc::clone(&known.chain)).collect()
    }

    /// Those in the settings that are off, because they have no endpoint.
    pub(crate) fn off_chains(&self) -> Vec<(ChainId, String)> {
        let state = self.state.lock();
        let off = state.settings.chains.iter().filter(|chain| chain.endpoints.is_empty());
        off.map(|chain| (ChainId(chain.id), chain.name.clone())).collect()
    }

    pub(crate) fn max_watched(&self) -> usize {
        self.state.lock().settings.max_watched
    }

    pub(crate) fn store(&self) -> &Store {
        &self.dependencies.store
    }

    /// A new watch was requested on the chain.
    pub(crate) fn wake(&self, id: ChainId) {
        if let Some(known) = self.state.lock().chains.get(&id) {
            known.woken.notify_one();
        }
    }

    /// Ends all tasks.
    pub(crate) async fn stop(&self) {
        let chains = std::mem::take(&mut self.state.lock().chains);
        for known in chains.values() {
            known.stop.cancel();
        }
        for known in chains.into_values() {
            // A task that panicked has been logged.
            let _ = known.task.await;
        }
    }
}
