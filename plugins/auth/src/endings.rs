//! Sessions and API keys that end before their time: whoever began something with one is told, so
//! that it ends too.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use streamgate_contracts::db::{Batch, DbError, Outcome, Row};
use streamgate_contracts::events::{CredentialEnded, TYPE_CREDENTIAL_ENDED, credential_ended};
use streamgate_plugin_api::{Event, trace};

use crate::auth::Auth;
use crate::warm::Whose;

/// Publishes an event; a failure is its own to log.
pub type Publish = Arc<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;

/// The statement of a batch for [`Auth::ending`] that ends the sessions `which` names, a condition.
pub(crate) fn sessions(which: &str) -> String {
    format!("DELETE FROM sessions WHERE {which} RETURNING 'session:' || id AS credential, principal")
}

/// The same of API keys.
pub(crate) fn keys(which: &str) -> String {
    format!("DELETE FROM api_keys WHERE {which} RETURNING 'key:' || id AS credential, principal")
}

impl Auth {
    /// Runs a batch that may end sessions or keys of these principals, and tells which. It goes to its
    /// end whether anybody waits or not: who signs out closes the page.
    pub(crate) async fn ending(&self, batch: Batch, whose: Whose<'_>) -> Result<Vec<Outcome>, DbError> {
        let auth = self.clone();
        let principal = match whose {
            Whose::Principal(id) => Some(id.to_owned()),
            Whose::Everybody => None,
        };
        let ending = async move {
            let whose = principal.as_deref().map_or(Whose::Everybody, Whose::Principal);
            let forgetting = auth.shared.warm.forgetting(whose);
            let outcomes = batch.frees_space().run().await?;
            drop(forgetting);
            for row in outcomes.iter().flat_map(|outcome| outcome.rows.clone()) {
                auth.tell_ended(&row).await?;
            }
            Ok(outcomes)
        };
        let ended = tokio::spawn(trace::in_context(trace::current(), ending)).await;
        ended.unwrap_or_else(|error| Err(DbError::Other { message: error.to_string() }))
    }

    async fn tell_ended(&self, row: &Row) -> Result<(), DbError> {
        let ended = CredentialEnded { credential: row.get("credential")?, principal: row.get("principal")? };
        match Event::json(credential_ended(&ended.credential), TYPE_CREDENTIAL_ENDED, &ended) {
            Ok(event) => (self.shared.publish)(event).await,
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
        Ok(())
    }
}
