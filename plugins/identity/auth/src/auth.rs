//! [`Auth`]: the parts of the sign-in, put together. Each uses only those before it: sessions, people,
//! filters, sign-in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use streamgate_contracts::db::Db;
use streamgate_contracts::outbox::{Bus, Outbox};
use streamgate_plugin_api::Client;
use streamgate_plugin_api::time::{Clock, millis};

use crate::base::Base;
use crate::error::OpenError;
use crate::filters::{self, Filters};
use crate::people::People;
use crate::people::bootstrap::Bootstrap;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::sign_in::SignIn;
use crate::sign_in::contract_wallet::ContractWallets;
use crate::sites::Sites;
use crate::store::{self, Store};

/// The sign-in without a kernel: the parts that the plugin wires, and that tests drive.
#[derive(Clone)]
pub struct Auth {
    pub(crate) base: Base,
    pub(crate) sites: Arc<Sites>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) people: Arc<People>,
    pub(crate) filters: Arc<Filters>,
    pub(crate) sign_in: Arc<SignIn>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

impl Auth {
    /// Opens the namespace `auth`, and the signing keys in `directory`, which are created if missing.
    ///
    /// # Errors
    /// If the database or the directory cannot be used.
    pub async fn open(
        database: Client,
        directory: &Path,
        settings: Settings,
        clock: Clock,
        contract_wallets: Arc<dyn ContractWallets>,
        bus: Bus,
    ) -> Result<Self, OpenError> {
        let settings = Arc::new(settings);
        let sites = Arc::new(Sites::new(settings.clone()).map_err(OpenError::Settings)?);
        let db = Db::open(database, "auth", store::migrations()).await?;
        let base = Base { store: Store { db: db.clone() }, settings, clock };
        let outbox = Outbox::new(db, bus);
        let sessions = Arc::new(Sessions::open(directory, base.clone(), outbox).await?);
        let people = Arc::new(People::new(base.clone(), sessions.clone()));
        let filters = Filters::new(base.clone(), sessions.clone(), people.clone(), sites.clone());
        let filters = Arc::new(filters);
        let sign_in = SignIn::open(
            directory,
            base.clone(),
            sessions.clone(),
            filters.clone(),
            sites.clone(),
            contract_wallets,
        );
        let sign_in = Arc::new(sign_in.await?);
        Ok(Self { base, sites, sessions, people, filters, sign_in })
    }

    /// Publishes the ends of sessions and keys, until it is dropped.
    pub async fn publish(&self) {
        self.sessions.publish().await;
    }

    /// Creates the first admin and its token if there are none, and a new one-time address as long as none
    /// was used. A token whose file was removed, or that was revoked, is replaced by a new one.
    ///
    /// # Errors
    /// If the database or the file cannot be used.
    pub async fn bootstrap(&self, directory: &Path) -> Result<Bootstrap, OpenError> {
        self.people.bootstrap(directory).await
    }

    /// Sets where the ingress listens, which applies if no `public_url` is set. Returns the public address,
    /// if there is one.
    ///
    /// # Errors
    /// If the settings name no origins, which `check` would have found.
    pub fn listens_at(&self, addresses: &[SocketAddr]) -> Result<Option<String>, OpenError> {
        self.sites.listens_at(addresses).map_err(OpenError::Settings)
    }

    /// The `authenticate` capability, for the ingress.
    pub fn authentication(&self) -> axum::Router {
        filters::authenticate(self.filters.clone())
    }

    /// The `authorize` capability, for the ingress.
    pub fn authorization(&self) -> axum::Router {
        filters::authorize(self.filters.clone())
    }

    /// Removes what has expired, and rotates the signing key when it is due.
    ///
    /// # Errors
    /// The problem, as text.
    pub async fn tidy(&self) -> Result<(), String> {
        self.sessions.rotate().await?;
        let Base { store, settings, clock } = &self.base;
        let now_ms = clock.now_ms();
        let before = now_ms.saturating_sub(millis(settings.audit_retention.get()));
        store.sweep(now_ms, before).await.map_err(|error| error.to_string())
    }
}
