//! A decision: whether a viewer may play a content, why, and how long that holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamgate_contracts::access::v1::{Decision as WireDecision, Evidence, Verdict};
use streamgate_plugin_api::time::rfc3339;

use crate::epochs::Snapshot;
use crate::viewer::Viewer;

/// A decision.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) viewer: Viewer,
    pub(crate) ruling: Ruling,
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) decided_at_ms: i64,
    pub(crate) valid_until_ms: i64,
    /// It is out of date after any of these events.
    pub(crate) snapshot: Snapshot,
}

/// The verdict.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ruling {
    pub(crate) verdict: Verdict,
    /// The last part of a problem's type; empty when it is allowed.
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    /// The rule with its findings.
    pub(crate) finding: Value,
    pub(crate) evidence: Vec<Evidence>,
    /// Of the policy.
    pub(crate) revision: u64,
}

impl Ruling {
    pub(crate) fn allowed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Allowed, reason: reason.into(), ..Self::default() }
    }

    pub(crate) fn denied(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Denied, kind, reason: reason.into(), ..Self::default() }
    }

    /// Of a private content, or of one that does not exist.
    pub(crate) fn private(viewer: &Viewer) -> Self {
        let kind = if viewer.is_signed_in() { "not-entitled" } else { "not-signed-in" };
        Self::denied(kind, "This content is private.")
    }

    pub(crate) fn unknown(reason: impl Into<String>) -> Self {
        let kind = "chain-unavailable";
        Self { verdict: Verdict::Unknown, kind, reason: reason.into(), ..Self::default() }
    }

    /// The verdict's name.
    pub(crate) fn name(&self) -> &'static str {
        match self.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Denied => "denied",
            Verdict::Unknown | Verdict::Unspecified => "unknown",
        }
    }

    /// The fields that identify an equal decision.
    pub(crate) fn outcome(&self) -> String {
        format!("{} {} {}", self.name(), self.kind, self.revision)
    }

    /// By chain: the highest block that it depends on.
    pub(crate) fn blocks(&self) -> BTreeMap<String, u64> {
        let mut blocks = BTreeMap::new();
        for found in &self.evidence {
            let highest = blocks.entry(found.chain.clone()).or_insert(0);
            *highest = found.block.max(*highest);
        }
        blocks
    }

    /// For people.
    pub(crate) fn view(&self) -> Value {
        json!({
            "verdict": self.name(),
            "type": self.kind,
            "reason": self.reason,
            "revision": self.revision,
            "finding": self.finding,
            "evidence": evidence_view(&self.evidence),
        })
    }
}

/// The reads on chains, as JSON.
pub(crate) fn evidence_view(evidence: &[Evidence]) -> Value {
    let one = |found: &Evidence| {
        json!({
            "chain": found.chain,
            "block": found.block,
            "block_hash": found.block_hash,
            "finality": found.finality,
            "observed_at": rfc3339(found.observed_at_ms),
            "finding": found.finding,
        })
    };
    evidence.iter().map(one).collect()
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        self.ruling.verdict == Verdict::Allowed
    }

    pub(crate) fn to_wire(&self) -> WireDecision {
        WireDecision {
            verdict: self.ruling.verdict.into(),
            reason: self.ruling.reason.clone(),
            r#type: self.ruling.kind.into(),
            generation: self.generation,
            valid_until_ms: self.valid_until_ms,
            evidence: self.ruling.evidence.clone(),
            id: self.id.clone(),
        }
    }

    /// Whether it may be reused without checking. One that grants access is renewed in the second half of its
    /// lifetime, so that an early caller gets a longer one.
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        let spare = if self.is_allowed() { (self.valid_until_ms - self.decided_at_ms) / 2 } else { 0 };
        now_ms >= self.decided_at_ms && now_ms < self.valid_until_ms - spare
    }
}
