//! Sessions and API keys that end before their time: whoever began something with one is told, so
//! that it ends too.

use std::sync::Arc;

use streamgate_contracts::db::{Batch, DbError, Outcome, Param};
use streamgate_contracts::events::TYPE_CREDENTIAL_ENDED;
use streamgate_contracts::outbox::Each;
use streamgate_plugin_api::trace;

use crate::session::Sessions;
use crate::session::warm::Whose;

/// Adds to a batch for [`Sessions::ending`] that the sessions end which a condition over `params` names, and
/// that it is told of each.
pub(crate) fn sessions(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    notify(batch, "session", which, &params).push(&format!("DELETE FROM sessions WHERE {which}"), params)
}

/// The same of API keys.
pub(crate) fn keys(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    notify(batch, "key", which, &params).push(&format!("DELETE FROM api_keys WHERE {which}"), params)
}

/// The same of a key that has to be there.
pub(crate) fn one_key(batch: Batch, which: &str, params: Vec<Param>) -> Batch {
    let delete = format!("DELETE FROM api_keys WHERE {which}");
    notify(batch, "key", which, &params).push_expect(&delete, params, 1)
}

/// Tells of those that are about to end. Ids and principals are UUIDs: they need no escaping.
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
    /// Runs a batch that may end sessions or keys of these principals, and tells which. It goes to its
    /// end whether anybody waits or not: who signs out closes the page.
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
