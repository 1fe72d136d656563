//! Early ends of sessions and API keys: they are published, so that everything started with one ends too.

use std::sync::Arc;

use streamgate_contracts::db::{Batch, DbError, Outcome, Param};
use streamgate_contracts::events::TYPE_CREDENTIAL_ENDED;
use streamgate_contracts::outbox::Each;
use streamgate_plugin_api::trace;

use crate::session::Sessions;
use crate::session::warm::Whose;

/// Adds to a batch for [`Sessions::ending`] the end of the sessions that a condition over `params` selects,
/// with an event for each.
pub(crate) fn sessions(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    notify(batch, "session", which, &params).push(&format!("DELETE FROM sessions WHERE {which}"), params)
}

/// The same of API keys.
pub(crate) fn keys(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    notify(batch, "key", which, &params).push(&format!("DELETE FROM api_keys WHERE {which}"), params)
}

/// The same for a key that must exist.
pub(crate) fn one_key(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    let delete = format!("DELETE FROM api_keys WHERE {which}");
    notify(batch, "key", which, &params).push_expect(&delete, params, 1)
}

/// Publishes those that are about to end. Ids and principals are UUIDs: they need no escaping.
fn notify(batch: Batch, kind: &str, which: &str, params: &[Param]) -> Batch {
    let table = if kind == "key" { "api_keys" } else { "sessions" };
    let data = r#"'{"credential":"KIND:' || id || '","principal":"' || principal || '"}'"#;
    batch.publish_each(Each {
        r#type: TYPE_CREDENTIAL_ENDED,
        subject: &format!("'credential.{kind}:' || id || '.ended'"),
        data: &data.replace("KIND", kind),
        key: "id",
        from: &format!("{table} WHERE {which}"),
        params: params.to_vec(),
    })
}

impl Sessions {
    /// Runs a batch that may end sessions or keys of these principals, and publishes which. It runs to its
    /// end even if the caller disconnects: a page is closed after signing out.
    pub(crate) async fn ending(
        self: &Arc<Self>,
        batch: Batch,
        whose: Whose<'_>,
    ) -> Result<Vec<Outcome>, DbError> {
        let sessions = self.clone();
        let principal = match whose {
            Whose::Principal(id) => Some(id.to_owned()),
            Whose::Everybody => None,
        };
        let ending = async move {
            let whose = principal.as_deref().map_or(Whose::Everybody, Whose::Principal);
            let forgetting = sessions.warm.forgetting(whose);
            let outcomes = batch.frees_space().run().await?;
            drop(forgetting);
            sessions.outbox.soon().await;
            Ok(outcomes)
        };
        let ended = tokio::spawn(trace::in_context(trace::current(), ending)).await;
        ended.unwrap_or_else(|error| Err(DbError::Unknown { message: error.to_string() }))
    }
}
