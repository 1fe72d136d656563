//! Which chains rules can be about, and how each does. It asks no chain, only the plugins that know them, and never for
//! long: people wait for it while they write a rule.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamgate_contracts::chain::v1::{ChainState, ChainsRequest};
use streamgate_plugin_api::time::rfc3339;

use crate::chain::Chains;

/// How long a plugin may take to say what it knows already.
const PATIENCE: Duration = Duration::from_secs(2);

/// The chains of all plugins that know some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    pub(crate) chains: Vec<ChainEntry>,
    /// Capabilities that did not say, and why.
    pub(crate) silent: Vec<(&'static str, String)>,
}

/// A chain of the settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChainEntry(ChainState);

impl Directory {
    /// Asks all at once. It always answers.
    pub(crate) async fn read(chains: &Chains) -> Self {
        let wait = PATIENCE.min(chains.timeout());
        let asked = chains.providers().map(|(capability, mut client)| async move {
            let answer = tokio::time::timeout(wait, client.chains(ChainsRequest {})).await;
            let answer = match answer {
                Ok(Ok(response)) => Ok(response.into_inner().chains),
                Ok(Err(status)) => Err(status.message().to_owned()),
                Err(_) => Err(format!("no answer within {wait:?}")),
            };
            (capability, answer)
        });
        let mut directory = Self::default();
        for (capability, answer) in join_all(asked).await {
            match answer {
                Ok(states) => directory.chains.extend(states.into_iter().map(ChainEntry)),
                Err(why) => directory.silent.push((capability, why)),
            }
        }
        directory
    }
}

impl ChainEntry {
    /// Why nothing can be judged by it now; none if it can.
    pub(crate) fn trouble(&self) -> Option<String> {
        let ChainState { endpoints_up: up, endpoints: all, quorum, .. } = &self.0;
        match (*all, *up) {
            (0, _) => Some("no endpoint is set for it".into()),
            (1, 0) => Some("its endpoint does not answer".into()),
            (_, 0) => Some(format!("none of its {all} endpoints answers")),
            _ if up < quorum => Some(format!("{up} of {all} endpoints answer, and {quorum} must agree")),
            _ => None,
        }
    }

    /// As the REST API says it.
    pub(crate) fn view(&self) -> Value {
        let ChainState { chain, name, endpoints_up, endpoints, quorum, latest } = &self.0;
        let trouble = self.trouble();
        let latest = latest.as_ref().map(
            |at| json!({ "block": at.block, "block_hash": at.block_hash, "observed_at": rfc3339(at.observed_at_ms) }),
        );
        json!({
            "chain": chain,
            "name": name,
            "available": trouble.is_none(),
            "why": trouble.unwrap_or_default(),
            "endpoints": endpoints,
            "endpoints_up": endpoints_up,
            "quorum": quorum,
            "latest": latest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_available_from_its_quorum_of_endpoints_on_and_else_says_what_is_missing() {
        for (endpoints, endpoints_up, quorum, says) in [
            (0, 0, 0, Some("no endpoint is set")),
            (1, 0, 1, Some("does not answer")),
            (3, 0, 2, Some("none of its 3")),
            (3, 1, 2, Some("1 of 3 endpoints answer, and 2 must agree")),
            (3, 2, 2, None),
            (1, 1, 1, None),
        ] {
            let entry = ChainEntry(ChainState { endpoints, endpoints_up, quorum, ..ChainState::default() });
            let trouble = entry.trouble();
            assert_eq!(trouble.is_none(), says.is_none(), "{trouble:?}");
            assert!(
                says.is_none_or(|says| trouble.as_deref().is_some_and(|why| why.contains(says))),
                "{trouble:?}"
            );
            assert_eq!(entry.view()["available"], says.is_none());
        }
    }
}
