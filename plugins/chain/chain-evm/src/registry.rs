//! The chains that are on, each with the task that follows it; settings may change under it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_primitives::Address;
use parking_lot::Mutex;
use streamgate_contracts::audit::Outbox;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::events::{
    AccessChanged, ContentChanged, ContentDeleted, TYPE_ACCESS_CHANGED, TYPE_CONTENT_CHANGED,
    TYPE_CONTENT_DELETED,
};
use streamgate_contracts::outbox::{self, Bus};
use streamgate_plugin_api::{Event, Host};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::caip::ChainId;
use crate::chain::Chain;
use crate::index::Index;
use crate::index_store::IndexStore;
use crate::neighbours::Neighbours;
use crate::publication::Publications;
use crate::publish::{Inbox, Publisher, Rules};
use crate::queue::Queue;
use crate::sender::Sender;
use crate::settings::{self, Settings};
use crate::signer::Signer;
use crate::store::Store;
use crate::watch::{Watcher, component};

/// A chain that is on.
struct Followed {
    chain: Arc<Chain>,
    contents: Option<Contents>,
    woken: Arc<Notify>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// The content registry of a chain.
#[derive(Clone)]
pub(crate) struct Contents {
    pub(crate) address: Address,
    /// The account that transactions are sent from.
    pub(crate) server: Option<Address>,
    pub(crate) queue: Queue,
    pub(crate) index: IndexStore,
    /// Something new is queued.
    pub(crate) woken: Arc<Notify>,
    /// Whether contents are registered that nobody asked for.
    pub(crate) publish: bool,
    pub(crate) publications: Publications,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) neighbours: Neighbours,
}

/// What the chains need from the rest of the system. Tests have no host.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) host: Option<Host>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) neighbours: Neighbours,
}

/// All chains that are on.
pub(crate) struct Registry {
    outside: Outside,
    state: Mutex<State>,
    /// There is something for the audit log.
    noted: Notify,
}

#[derive(Default)]
struct State {
    settings: Settings,
    chains: BTreeMap<ChainId, Followed>,
}

impl Registry {
    pub(crate) fn new(outside: Outside) -> Self {
        Self { outside, state: Mutex::default(), noted: Notify::new() }
    }

    /// Tells the audit log who asked for what, and the bus what happened on the chains, until it is dropped.
    pub(crate) async fn tell(&self) {
        let Outside { store, neighbours, bus, .. } = &self.outside;
        let audit = Outbox::new(store.db().clone(), neighbours.auth.clone());
        let events = outbox::Outbox::new(store.db().clone(), bus.clone());
        tokio::join!(audit.run(&self.noted), events.run());
    }

    /// There is something for the audit log.
    pub(crate) fn noted(&self) {
        self.noted.notify_one();
    }

    /// Takes new settings over. A chain whose settings are the same keeps what it knows; the tasks
    /// of the others end by themselves and are handed back.
    ///
    /// # Errors
    /// What is wrong with a chain's endpoint or the file of its key; nothing has changed then.
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
                let new = Chain::new(&settings, chain).and_then(|new| Ok((new, signer(chain)?)));
                made.push(new.map_err(|problem| format!("{}: {problem}", name()))?);
            }
        }
        let stays = |id: &ChainId| {
            on().any(|chain| chain.id == id.0) && !made.iter().any(|(chain, _): &(Chain, _)| chain.id == *id)
        };
        let gone: Vec<ChainId> = state.chains.keys().copied().filter(|id| !stays(id)).collect();
        let mut ended = Vec::new();
        for id in gone {
            if let Some(known) = state.chains.remove(&id) {
                known.stop.cancel();
                ended.extend(known.tasks);
                if let Some(host) = &self.outside.host {
                    for part in PARTS {
                        host.health(&(component(id) + part)).healthy();
                    }
                }
            }
        }
        for (chain, signer) in made {
            let followed = self.follow(Arc::new(chain), signer, &settings);
            state.chains.insert(followed.chain.id, followed);
        }
        state.settings = settings;
        Ok(ended)
    }

    fn follow(&self, chain: Arc<Chain>, signer: Option<Signer>, settings: &Settings) -> Followed {
        let (woken, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let Outside { host, store, neighbours, .. } = self.outside.clone();
        let health = |part: &str| host.as_ref().map(|host| host.health(&(component(chain.id) + part)));
        let contents = chain.settings.registry().map(|address| Contents {
            address,
            server: signer.as_ref().map(|signer| signer.address),
            queue: Queue::new(store.db().clone(), chain.id),
            index: IndexStore::new(store.db().clone(), chain.id, address),
            woken: Arc::default(),
            publish: chain.settings.publish,
            publications: Publications::new(store.db().clone(), chain.id, address),
            inbox: Arc::default(),
            neighbours,
        });
        let indexed: Arc<AtomicBool> = Arc::default();
        let publisher = contents.as_ref().and_then(|contents| {
            Some(Publisher {
                chain: chain.id,
                server: contents.server?,
                rules: Rules {
                    publish: chain.settings.publish,
                    policy_uri: chain.settings.policy_uri.clone(),
                    pause: chain.settings.publish_pause.get(),
                    reconcile: settings.reconcile.get(),
                    poll: settings.poll.get(),
                },
                neighbours: contents.neighbours.clone(),
                store: contents.publications.clone(),
                queue: contents.queue.clone(),
                index: contents.index.clone(),
                indexed: Arc::clone(&indexed),
                queued: Arc::clone(&contents.woken),
                inbox: Arc::clone(&contents.inbox),
                health: health(PARTS[3]),
            })
        });
        let index = contents.as_ref().map(|contents| Index {
            chain: Arc::clone(&chain),
            registry: contents.address,
            store: contents.index.clone(),
            health: health(PARTS[1]),
            poll: settings.poll.get(),
            indexed,
        });
        let sender = contents.as_ref().zip(signer).map(|(contents, signer)| Sender {
            chain: Arc::clone(&chain),
            queue: contents.queue.clone(),
            signer,
            health: health(PARTS[2]),
            poll: settings.poll.get(),
            idle_poll: settings.idle_poll.get(),
            woken: Arc::clone(&contents.woken),
        });
        let watcher = Watcher {
            chain: Arc::clone(&chain),
            store,
            health: health(PARTS[0]),
            poll: settings.poll.get(),
            idle_poll: settings.idle_poll.get(),
            woken: Arc::clone(&woken),
            begun: AtomicBool::new(false),
        };
        let mut tasks = vec![spawn(host.as_ref(), watcher.run(stop.clone()))];
        tasks.extend(index.map(|index| spawn(host.as_ref(), index.run(stop.clone()))));
        tasks.extend(publisher.map(|publisher| spawn(host.as_ref(), publisher.run(stop.clone()))));
        tasks.extend(sender.map(|sender| spawn(host.as_ref(), sender.run(stop.clone()))));
        Followed { chain, contents, woken, stop, tasks }
    }

    /// The content registry of a chain; none if the settings name none, or the chain is off.
    pub(crate) fn contents(&self, id: ChainId) -> Option<Contents> {
        self.state.lock().chains.get(&id)?.contents.clone()
    }

    /// The content registries of all chains that are on.
    pub(crate) fn all_contents(&self) -> Vec<(ChainId, Contents)> {
        let state = self.state.lock();
        let contents = |(id, known): (&ChainId, &Followed)| Some((*id, known.contents.clone()?));
        state.chains.iter().filter_map(contents).collect()
    }

    /// Takes an event of the bus: a content changed, or its policy, or it is gone.
    pub(crate) fn heard(&self, event: &Event) {
        let content = match event.r#type.as_str() {
            TYPE_CONTENT_CHANGED => event.parse::<ContentChanged>().map(|changed| {
                let ready = changed.state == ContentState::Ready.name();
                ready.then_some(changed.id)
            }),
            TYPE_CONTENT_DELETED => event.parse::<ContentDeleted>().map(|deleted| Some(deleted.id)),
            TYPE_ACCESS_CHANGED => event.parse::<AccessChanged>().map(|changed| Some(changed.content)),
            _ => return,
        };
        match content {
            Ok(Some(content)) => {
                let registries = self.all_contents();
                for (_, contents) in registries.iter().filter(|(_, contents)| contents.publish) {
                    contents.inbox.name(&content);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(subject = event.subject, %error, "an event was not understood"),
        }
    }

    pub(crate) fn chain(&self, id: ChainId) -> Option<Arc<Chain>> {
        self.state.lock().chains.get(&id).map(|known| Arc::clone(&known.chain))
    }

    pub(crate) fn chains(&self) -> Vec<Arc<Chain>> {
        self.state.lock().chains.values().map(|known| Arc::clone(&known.chain)).collect()
    }

    /// Those in the settings that are off, for want of an endpoint.
    pub(crate) fn off_chains(&self) -> Vec<(ChainId, String)> {
        let state = self.state.lock();
        let off = state.settings.chains.iter().filter(|chain| chain.endpoints.is_empty());
        off.map(|chain| (ChainId(chain.id), chain.name.clone())).collect()
    }

    pub(crate) fn max_watched(&self) -> usize {
        self.state.lock().settings.max_watched
    }

    pub(crate) fn store(&self) -> &Store {
        &self.outside.store
    }

    /// Somebody watches something new on the chain.
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
        for task in chains.into_values().flat_map(|known| known.tasks) {
            // A task that panicked has been logged.
            let _ = task.await;
        }
    }
}

/// The health components of a chain: its transfers, its registry, its transactions, and what the
/// registry is told by itself.
const PARTS: [&str; 4] = ["", "-registry", "-transactions", "-publication"];

/// The key that a chain's transactions are signed with; none if the settings name no file.
fn signer(chain: &settings::Chain) -> Result<Option<Signer>, String> {
    chain.signer_file.as_deref().map(Signer::read).transpose()
}

fn spawn(host: Option<&Host>, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    match host {
        Some(host) => host.spawn(task),
        None => tokio::spawn(task),
    }
}
