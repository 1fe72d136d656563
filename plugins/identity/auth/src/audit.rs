//! The audit log: every grant, refusal and change. A change and its entry are one transaction.

use streamgate_contracts::auth::v1::AuditOutcome;
use streamgate_contracts::db::{Batch, params};

/// Longest text of an entry, in characters.
const MAX_CHARS: usize = 1_000;

/// An entry to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) action: String,
    pub(crate) outcome: AuditOutcome,
    /// The principal; empty: unknown.
    pub(crate) principal: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
    pub(crate) address: String,
}

impl Entry {
    /// An action of `principal`, from `address`.
    pub(crate) fn new(action: &str, outcome: AuditOutcome, principal: &str, address: &str) -> Self {
        Self {
            action: action.into(),
            outcome,
            principal: principal.into(),
            address: address.into(),
            ..Self::default()
        }
    }

    /// The affected object.
    pub(crate) fn on(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// As text. Never a secret.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds it to a batch.
    pub(crate) fn push(&self, batch: Batch, now_ms: i64) -> Batch {
        self.push_as(batch, now_ms, &uuid::Uuid::now_v7().to_string())
    }

    /// The same under a given id; nothing if that exists.
    pub(crate) fn push_as(&self, batch: Batch, now_ms: i64, id: &str) -> Batch {
        batch.push(
            "INSERT INTO audit (id, at_ms, action, outcome, principal, subject, detail, address) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            params![
                id,
                now_ms,
                cut(&self.action),
                outcome_name(self.outcome),
                cut(&self.principal),
                cut(&self.subject),
                cut(&self.detail),
                cut(&self.address),
            ],
        )
    }
}

fn outcome_name(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Granted => "granted",
        AuditOutcome::Refused => "refused",
        AuditOutcome::Changed | AuditOutcome::Unspecified => "changed",
    }
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect()
}
