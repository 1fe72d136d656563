//! Everything that runs under one set of settings. Changed settings are another engine: the new one starts,
//! then the old one ends. All durable state is in the table, where each delivery is taken by one of them
//! only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use streamgate_contracts::db::DbError;
use streamgate_plugin_api::backoff::Backoff;
use streamgate_plugin_api::{Host, StartError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::{self, Connector, HttpClient};
use crate::endpoint::Endpoint;
use crate::settings::Settings;
use crate::store::{EndpointRow, Store};
use crate::{dispatch, intake, sweep};

/// The state that its tasks share.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) client: HttpClient,
    pub(crate) endpoints: BTreeMap<String, Arc<Endpoint>>,
    stop: CancellationToken,
}

impl Engine {
    /// Prepares everything. Nothing runs yet.
    ///
    /// # Errors
    /// When a secret cannot be read, or the database cannot be reached.
    pub(crate) async fn new(host: &Host, store: Store, settings: Settings) -> Result<Arc<Self>, StartError> {
        let inner = host.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&inner, settings));
        let (settings, client, endpoints) = prepared.await??;
        let known: Vec<_> = endpoints.values().map(|it| (it.name.as_str(), it.address_digest())).collect();
        store.register(&known).await?;
        for row in store.endpoints().await? {
            if let Some(endpoint) = endpoints.get(&row.name) {
                endpoint.recall(&row);
            }
        }
        Ok(Arc::new(Self { settings, store, client, endpoints, stop: host.shutdown().child_token() }))
    }

    /// Begins to receive and deliver events.
    ///
    /// # Errors
    /// When a subscription is refused.
    pub(crate) fn start(self: &Arc<Self>, host: &Host, tasks: &TaskTracker) -> Result<(), StartError> {
        intake::start(self, host, tasks)?;
        for endpoint in self.endpoints.values().filter(|endpoint| !endpoint.disabled) {
            host.spawn(tasks.track_future(dispatch::run(self.clone(), endpoint.clone())));
        }
        host.spawn(tasks.track_future(sweep::run(self.clone())));
        Ok(())
    }

    /// Ends it; active deliveries are finished or released.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Cancelled when it should end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.settings.backoff.get(), longest: self.settings.max_backoff.get() }
    }

    /// The stored state of each endpoint, by name.
    pub(crate) async fn history(&self) -> Result<HashMap<String, EndpointRow>, DbError> {
        Ok(self.store.endpoints().await?.into_iter().map(|row| (row.name.clone(), row)).collect())
    }
}

type Prepared = (Settings, HttpClient, BTreeMap<String, Arc<Endpoint>>);

/// Runs code that reads files.
fn prepare(host: &Host, mut settings: Settings) -> Result<Prepared, StartError> {
    let private = settings.allow_private_networks;
    let connector = Connector { allow_private: private, timeout: settings.connect_timeout.get() };
    let client = connect::client(connector, connect::system_roots(), settings.max_parallel as usize)?;
    let mut endpoints = BTreeMap::new();
    for endpoint in std::mem::take(&mut settings.endpoints) {
        let endpoint = Endpoint::new(endpoint, private, host)?;
        endpoints.insert(endpoint.name.clone(), Arc::new(endpoint));
    }
    Ok((settings, client, endpoints))
}

/// A pause that ends at once when `stop` is cancelled.
pub(crate) async fn pause(pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
