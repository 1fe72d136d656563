//! The active clusters, each with the task that checks its health; settings may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use streamgate_chain_common::AskedChain as _;
use streamgate_plugin_api::{Health, Host};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::caip::ChainId;
use crate::chain::Chain;
use crate::settings::Settings;

/// An active cluster.
struct Followed {
    chain: Arc<Chain>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All active clusters. Tests have no host.
pub(crate) struct Registry {
    host: Option<Host>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    chains: BTreeMap<ChainId, Followed>,
}

impl Registry {
    pub(crate) fn new(host: Option<Host>) -> Self {
        Self { host, state: Mutex::default() }
    }

    /// Applies new settings. A cluster with unchanged settings keeps its state; the tasks of the others end
    /// on their own and are returned.
    ///
    /// # Errors
    /// The problem of a cluster's endpoint; nothing has changed then.
    pub(crate) fn apply(&self, settings: Settings) -> Result<Vec<JoinHandle<()>>, String> {
        let mut state = self.state.lock();
        let general = |settings: &Settings| Settings { chains: Vec::new(), ..settings.clone() };
        let same = general(&state.settings) == general(&settings);
        let mut kept = BTreeSet::new();
        let mut made = Vec::new();
        for wanted in settings.chains.iter().filter(|chain| !chain.endpoints.is_empty()) {
            let known = |(_, known): &(&ChainId, &Followed)| known.chain.settings == *wanted;
            match state.chains.iter().find(known).filter(|_| same) {
                Some((id, _)) => {
                    kept.insert(*id);
                }
                None => {
                    let named = |problem| format!("{} ({}): {problem}", wanted.genesis, wanted.name);
                    made.push(Chain::new(&settings, wanted).map_err(named)?);
                }
            }
        }
        let gone: Vec<ChainId> = state.chains.keys().copied().filter(|id| !kept.contains(id)).collect();
        let mut ended = Vec::new();
        for id in gone {
            if let Some(known) = state.chains.remove(&id) {
                known.stop.cancel();
                ended.push(known.task);
                if let Some(health) = self.health(id) {
                    health.healthy();
                }
            }
        }
        for chain in made {
            let id = chain.id;
            state.chains.insert(id, self.follow(Arc::new(chain), settings.idle_poll.get()));
        }
        state.settings = settings;
        Ok(ended)
    }

    fn follow(&self, chain: Arc<Chain>, pause: Duration) -> Followed {
        let stop = CancellationToken::new();
        let running = look_after(Arc::clone(&chain), self.health(chain.id), pause, stop.clone());
        let task = match &self.host {
            Some(host) => host.spawn(running),
            None => tokio::spawn(running),
        };
        Followed { chain, stop, task }
    }

    /// The name of a component contains no colon.
    fn health(&self, id: ChainId) -> Option<Health> {
        let component = id.to_string().replace(':', "-");
        self.host.as_ref().map(|host| host.health(&component))
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
        off.filter_map(|chain| Some((ChainId::of_genesis::<Address>(&chain.genesis)?, chain.name.clone())))
            .collect()
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

/// Reads the head of a cluster periodically, and reports the result.
async fn look_after(chain: Arc<Chain>, health: Option<Health>, pause: Duration, stop: CancellationToken) {
    loop {
        let head = tokio::select! {
            () = stop.cancelled() => return,
            head = chain.head(chain.settings.finality, 0) => head,
        };
        let up = chain.pool.up();
        tracing::debug!(chain = %chain.id, up, slot = chain.state().latest.map(|at| at.block), "the chain was checked");
        if let Some(health) = &health {
            chain.pool.show(health, head.err().map(|unknown| format!("{unknown}; {up}")));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
