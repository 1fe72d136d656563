//! Principals and their permissions: [`roles`], [`api_keys`], [`quotas`], and the first admin
//! ([`bootstrap`]).

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod quotas;
pub(crate) mod roles;

use std::sync::Arc;

use streamgate_contracts::auth::v1::{self, Person};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::time::Clock;

use crate::base::Base;
use crate::error::{AuthError, Why};
use crate::principal::rights;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::store::Store;

/// See the module.
pub(crate) struct People {
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    sessions: Arc<Sessions>,
}

impl People {
    pub(crate) fn new(base: Base, sessions: Arc<Sessions>) -> Self {
        let Base { store, settings, clock } = base;
        Self { store, settings, clock, sessions }
    }

    /// The principal of this id, or the owner of this wallet; `None`: there is none.
    pub(crate) async fn find(
        &self,
        name: &str,
        wallet: Option<(&str, String)>,
    ) -> Result<Option<Person>, DbError> {
        let principal = match wallet {
            Some((kind, address)) => self.store.owner(kind, &address).await?,
            None => Some(name.to_ascii_lowercase()),
        };
        let Some(principal) = principal else { return Ok(None) };
        let Some(name) = self.store.name_of(&principal).await? else { return Ok(None) };
        let (roles, _) = rights(&self.store.roles(&principal).await?, None);
        let roles = roles.into_iter().map(|role| v1::Role::from(role).into()).collect();
        let wallets = self.store.wallet_names(&principal).await?;
        Ok(Some(Person { principal, name, roles, wallets }))
    }

    /// Refuses an unknown id.
    pub(crate) async fn known(&self, principal: &str) -> Result<(), AuthError> {
        match self.store.has_principal(principal).await? {
            true => Ok(()),
            false => Err(Why::NotFound.because("There is no such principal.")),
        }
    }
}
