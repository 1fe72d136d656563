//! The registries of the settings, each with the tasks that read it, send to it and register contents;
//! settings may change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_primitives::Address;
use parking_lot::Mutex;
use streamgate_contracts::audit::Outbox;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::db::Db;
use streamgate_contracts::events::{
    AccessChanged, ContentChanged, ContentDeleted, TYPE_ACCESS_CHANGED, TYPE_CONTENT_CHANGED,
    TYPE_CONTENT_DELETED,
};
use streamgate_contracts::outbox::{self, Bus};
use streamgate_plugin_api::{Client, Event, Host};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::caip::{Account, ChainId};
use crate::chain::Chain;
use crate::clients::Clients;
use crate::index::Index;
use crate::index_store::IndexStore;
use crate::publication::Publications;
use crate::publish::{Inbox, Publisher, Rules};
use crate::queue::Queue;
use crate::sender::Sender;
use crate::settings::{self, Settings};
use crate::signer::Signer;

/// An active registry.
struct Kept {
    settings: settings::Chain,
    contents: Contents,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// The content registry of a chain.
#[derive(Clone)]
pub(crate) struct Contents {
    pub(crate) address: Address,
    /// The sender of transactions.
    pub(crate) server: Option<Address>,
    pub(crate) queue: Queue,
    pub(crate) index: IndexStore,
    /// There is a new transaction in the queue.
    pub(crate) woken: Arc<Notify>,
    /// Whether contents are registered without a request.
    pub(crate) publish: bool,
    pub(crate) publications: Publications,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clients: Clients,
}

/// The other parts of the system that registries need. Tests have no host.
#[derive(Clone)]
pub(crate) struct Dependencies {
    pub(crate) host: Option<Host>,
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) chain: Client,
    pub(crate) clients: Clients,
}

/// All registries.
pub(crate) struct Registries {
    dependencies: Dependencies,
    state: Mutex<State>,
    /// There are new entries for the audit log.
    noted: Notify,
}

#[derive(Default)]
struct State {
    settings: Settings,
    kept: BTreeMap<ChainId, Kept>,
}

impl Registries {
    pub(crate) fn new(dependencies: Dependencies) -> Self {
        Self { dependencies, state: Mutex::default(), noted: Notify::new() }
    }

    /// Sends audit entries of requests, and publishes the registries' events, until it is dropped.
    pub(crate) async fn tell(&self) {
        let Dependencies { db, clients, bus, .. } = &self.dependencies;
        let audit = Outbox::new(db.clone(), clients.auth.clone());
        let events = outbox::Outbox::new(db.clone(), bus.clone());
        tokio::join!(audit.run(&self.noted), events.run());
    }

    /// There are new entries for the audit log.
    pub(crate) fn noted(&self) {
        self.noted.notify_one();
    }

    /// Applies new settings. A registry with unchanged settings keeps its state; the tasks of the others end
    /// on their own and are returned.
    ///
    /// # Errors
    /// The problem of a contract's name or a key file; nothing has changed then.
    pub(crate) fn apply(&self, settings: Settings) -> Result<Vec<JoinHandle<()>>, String> {
        let mut state = self.state.lock();
        let general = |settings: &Settings| Settings { chains: Vec::new(), ..settings.clone() };
        let same = general(&state.settings) == general(&settings);
        let (mut made, mut stay) = (Vec::new(), Vec::new());
        for chain in &settings.chains {
            let contract =
                chain.contract().ok_or_else(|| format!("{:.80} is not a contract", chain.registry))?;
            if same && state.kept.get(&contract.chain).is_some_and(|kept| kept.settings == *chain) {
                stay.push(contract.chain);
                continue;
            }
            let signer = chain.signer_file.as_deref().map(Signer::read).transpose();
            made.push((chain.clone(), contract, signer.map_err(|problem| format!("{contract}: {problem}"))?));
        }
        let gone: Vec<ChainId> = state.kept.keys().copied().filter(|id| !stay.contains(id)).collect();
        let mut ended = Vec::new();
        for id in gone {
            if let Some(kept) = state.kept.remove(&id) {
                kept.stop.cancel();
                ended.extend(kept.tasks);
                if let Some(host) = &self.dependencies.host {
                    for part in PARTS {
                        host.health(&component(id, part)).healthy();
                    }
                }
            }
        }
        for (chain, contract, signer) in made {
            state.kept.insert(contract.chain, self.keep(chain, contract, signer, &settings));
        }
        state.settings = settings;
        Ok(ended)
    }

    fn keep(
        &self,
        settings: settings::Chain,
        contract: Account,
        signer: Option<Signer>,
        general: &Settings,
    ) -> Kept {
        let (id, stop) = (contract.chain, CancellationToken::new());
        let Dependencies { host, db, chain, clients, .. } = self.dependencies.clone();
        let chain = Chain::new(chain, id);
        let health = |part: &str| host.as_ref().map(|host| host.health(&component(id, part)));
        let contents = Contents {
            address: contract.address,
            server: signer.as_ref().map(|signer| signer.address),
            queue: Queue::new(db.clone(), id),
            index: IndexStore::new(db.clone(), id, contract.address),
            woken: Arc::default(),
            publish: settings.publish,
            publications: Publications::new(db, id, contract.address),
            inbox: Arc::default(),
            clients,
        };
        let indexed: Arc<AtomicBool> = Arc::default();
        let index = Index {
            chain: chain.clone(),
            registry: contents.address,
            from: settings.registry_from,
            store: contents.index.clone(),
            health: health(PARTS[0]),
            poll: general.poll.get(),
            indexed: Arc::clone(&indexed),
        };
        let publisher = contents.server.map(|server| Publisher {
            chain: id,
            server,
            rules: Rules {
                publish: settings.publish,
                policy_uri: settings.policy_uri.clone(),
                pause: settings.publish_pause.get(),
                reconcile: general.reconcile.get(),
                poll: general.poll.get(),
            },
            clients: contents.clients.clone(),
            store: contents.publications.clone(),
            queue: contents.queue.clone(),
            index: contents.index.clone(),
            indexed,
            queued: Arc::clone(&contents.woken),
            inbox: Arc::clone(&contents.inbox),
            health: health(PARTS[2]),
        });
        let sender = signer.map(|signer| Sender {
            chain,
            settings: settings.clone(),
            queue: contents.queue.clone(),
            signer,
            health: health(PARTS[1]),
            poll: general.poll.get(),
            idle_poll: general.idle_poll.get(),
            woken: Arc::clone(&contents.woken),
        });
        let mut tasks = vec![spawn(host.as_ref(), index.run(stop.clone()))];
        tasks.extend(publisher.map(|publisher| spawn(host.as_ref(), publisher.run(stop.clone()))));
        tasks.extend(sender.map(|sender| spawn(host.as_ref(), sender.run(stop.clone()))));
        Kept { settings, contents, stop, tasks }
    }

    /// The content registry of a chain; `None` if the settings have none.
    pub(crate) fn contents(&self, id: ChainId) -> Option<Contents> {
        Some(self.state.lock().kept.get(&id)?.contents.clone())
    }

    /// All content registries.
    pub(crate) fn all_contents(&self) -> Vec<(ChainId, Contents)> {
        self.state.lock().kept.iter().map(|(id, kept)| (*id, kept.contents.clone())).collect()
    }

    /// Handles an event of the bus: a content or its policy changed, or it was deleted.
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
            Err(error) => tracing::warn!(subject = event.subject, %error, "an event cannot be read"),
        }
    }

    /// Ends all tasks.
    pub(crate) async fn stop(&self) {
        let all = std::mem::take(&mut self.state.lock().kept);
        for kept in all.values() {
            kept.stop.cancel();
        }
        for task in all.into_values().flat_map(|kept| kept.tasks) {
            // A task that panicked has been logged.
            let _ = task.await;
        }
    }
}

/// The health components of a registry: its events, its transactions, and automatic registration.
const PARTS: [&str; 3] = ["registry", "transactions", "publication"];

/// The name of a health component, which contains no colon.
fn component(chain: ChainId, part: &str) -> String {
    format!("eip155-{}-{part}", chain.0)
}

fn spawn(host: Option<&Host>, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    match host {
        Some(host) => host.spawn(task),
        None => tokio::spawn(task),
    }
}
