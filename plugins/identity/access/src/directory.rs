//! The chains available for rules, their state, and the metadata of contracts on them. It is always quick:
//! people wait for it while they write a rule.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamgate_contracts::chain::v1::{
    ChainState, ChainsRequest, DescribeRequest, DescribeResponse, Verdict,
};
use streamgate_plugin_api::time::rfc3339;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::chain::Chains;

/// How long a plugin may take for what it knows already.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a contract's metadata may take.
pub(crate) const DESCRIBED_WITHIN: Duration = Duration::from_secs(3);

/// The chains of all chain plugins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    pub(crate) chains: Vec<ChainEntry>,
    /// Capabilities that did not answer, and why.
    pub(crate) silent: Vec<(&'static str, String)>,
}

/// The metadata of a contract, a mint or a collection.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Described {
    name: String,
    symbol: String,
    decimals: Option<u32>,
    /// Namespaces of CAIP-19; empty: none declared.
    pub(crate) kinds: Vec<String>,
}

/// Why nothing is known about a contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undescribed {
    /// It does not exist.
    #[error("{0}")]
    Nothing(String),
    /// It cannot exist.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be read at the moment.
    #[error("{0}")]
    Unknown(String),
}

/// A chain of the settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChainEntry(ChainState);

impl Directory {
    /// The chain of this name, or why it is missing: it is unknown, or a plugin does not answer.
    pub(crate) fn chain(&self, chain: &str) -> Result<&ChainEntry, Option<&str>> {
        let capability = Chains::provider(chain);
        let known = self.chains.iter().find(|entry| entry.chain() == chain);
        let silent = || self.silent.iter().find(|(name, _)| *name == capability).map(|(_, why)| &**why);
        known.ok_or_else(silent)
    }

    /// Calls all concurrently. It always answers.
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

impl Described {
    /// Queries a contract by its name, CAIP-10, until a deadline.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn read(chains: &Chains, contract: &str, until: Instant) -> Result<Self, Undescribed> {
        let mut client = chains.client(contract);
        let asked = client.describe(DescribeRequest { contract: contract.to_owned() });
        let response = match timeout_at(until, asked).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                return Err(Undescribed::Malformed(status.message().to_owned()));
            }
            Ok(Err(status)) => return Err(Undescribed::Unknown(status.message().to_owned())),
            Err(_) => return Err(Undescribed::Unknown("its chain did not answer in time".into())),
        };
        let DescribeResponse { answer, name, symbol, decimals, kinds } = response;
        let answer = answer.unwrap_or_default();
        match answer.verdict() {
            Verdict::Yes => Ok(Self { name, symbol, decimals, kinds }),
            Verdict::No => Err(Undescribed::Nothing(answer.reason)),
            Verdict::Unknown | Verdict::Unspecified => Err(Undescribed::Unknown(answer.reason)),
        }
    }

    /// The kinds in one text; empty: none declared.
    pub(crate) fn kind(&self) -> String {
        self.kinds.join(", ")
    }

    /// In the form of the REST API.
    pub(crate) fn view(&self, contract: &str) -> Value {
        let Self { name, symbol, decimals, kinds } = self;
        json!({
            "contract": contract,
            "kind": self.kind(),
            "kinds": kinds,
            "name": name,
            "symbol": symbol,
            "decimals": decimals,
        })
    }
}

impl ChainEntry {
    /// CAIP-2.
    pub(crate) fn chain(&self) -> &str {
        &self.0.chain
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> &str {
        if self.0.name.is_empty() { &self.0.chain } else { &self.0.name }
    }

    /// It is in the settings, without an endpoint.
    pub(crate) fn is_off(&self) -> bool {
        self.0.endpoints == 0
    }

    /// Why it cannot be queried now; `None` if it can.
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

    /// In the form of the REST API.
    pub(crate) fn view(&self) -> Value {
        let ChainState { chain, endpoints_up, endpoints, quorum, latest, .. } = &self.0;
        let trouble = self.trouble();
        let latest = latest.as_ref().map(
            |at| json!({ "block": at.block, "block_hash": at.block_hash, "observed_at": rfc3339(at.observed_at_ms) }),
        );
        json!({
            "chain": chain,
            "name": self.name(),
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
