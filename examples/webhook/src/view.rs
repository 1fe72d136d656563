//! Endpoints and deliveries in the API. It has no access to secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::time::rfc3339;

use crate::endpoint::Endpoint;
use crate::message::is_json;
use crate::store::{AttemptRow, Delivery, EndpointRow, State};

/// An endpoint and its state.
#[derive(Debug, Serialize)]
pub(crate) struct EndpointView {
    name: String,
    /// Without its query, which may contain a token.
    url: String,
    subjects: Vec<String>,
    /// `binary` or `structured`, as CloudEvents calls it.
    mode: &'static str,
    /// `active`, `failing`, `gone` or `disabled`.
    state: &'static str,
    /// Why the last attempt failed, if it did.
    reason: Option<String>,
    consecutive_failures: u64,
    last_success_at: Option<String>,
    last_failure_at: Option<String>,
    gone_at: Option<String>,
    /// The end of the pause that it requested (`Retry-After`).
    paused_until: Option<String>,
    waiting: u64,
    delivered: u64,
    dead: u64,
}

impl EndpointView {
    pub(crate) fn new(
        endpoint: &Endpoint,
        row: Option<&EndpointRow>,
        counts: &[(String, State, u64)],
    ) -> Self {
        let count = |state| {
            let own = counts.iter().find(|(name, found, _)| *name == endpoint.name && *found == state);
            own.map_or(0, |(_, _, count)| *count)
        };
        let failures = row.map_or(0, |row| row.failures);
        let state = match failures {
            _ if endpoint.disabled => "disabled",
            _ if endpoint.is_gone() => "gone",
            0 => "active",
            _ => "failing",
        };
        Self {
            name: endpoint.name.clone(),
            url: endpoint.shown.clone(),
            subjects: endpoint.subjects.clone(),
            mode: if endpoint.structured { "structured" } else { "binary" },
            state,
            reason: row.map(|row| row.error.clone()).filter(|error| !error.is_empty()),
            consecutive_failures: failures,
            last_success_at: row.and_then(|row| row.succeeded_at).map(rfc3339),
            last_failure_at: row.and_then(|row| row.failed_at).map(rfc3339),
            gone_at: row.and_then(|row| row.gone_at).map(rfc3339),
            paused_until: endpoint.paused_until().map(rfc3339),
            waiting: count(State::Waiting),
            delivered: count(State::Delivered),
            dead: count(State::Dead),
        }
    }
}

/// A delivery in lists.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryView {
    id: String,
    endpoint: String,
    state: &'static str,
    event: EventView,
    /// Attempts in all.
    attempt_count: u32,
    /// Why the last attempt failed, or why it is dead.
    reason: Option<String>,
    created_at: String,
    updated_at: String,
    /// The time of the next attempt, while it waits.
    due_at: Option<String>,
    ended_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct EventView {
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: String,
    datacontenttype: String,
    traceparent: Option<String>,
}

impl From<&Delivery> for DeliveryView {
    fn from(delivery: &Delivery) -> Self {
        let Event { id, source, r#type, subject, time, datacontenttype, traceparent, .. } =
            delivery.event.clone();
        Self {
            id: delivery.id.clone(),
            endpoint: delivery.endpoint.clone(),
            state: delivery.state.name(),
            event: EventView { id, source, r#type, subject, time, datacontenttype, traceparent },
            attempt_count: delivery.attempts,
            reason: Some(delivery.reason.clone()).filter(|reason| !reason.is_empty()),
            created_at: rfc3339(delivery.created_at),
            updated_at: rfc3339(delivery.updated_at),
            due_at: (delivery.state == State::Waiting).then(|| rfc3339(delivery.due_at)),
            ended_at: delivery.ended_at.map(rfc3339),
        }
    }
}

/// One delivery in full.
#[derive(Debug, Serialize)]
pub(crate) struct DetailView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// JSON unchanged, anything else as `{"base64": …}`.
    data: Value,
    attempts: Vec<AttemptView>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    number: u32,
    started_at: String,
    duration_ms: u64,
    /// Null without an answer.
    status: Option<u32>,
    error: Option<String>,
    /// The beginning of the answer of a refusal.
    response: Option<String>,
}

impl DetailView {
    pub(crate) fn new(delivery: &Delivery, attempts: Vec<AttemptRow>) -> Self {
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let attempts = attempts.into_iter().map(|row| AttemptView {
            number: row.number,
            started_at: rfc3339(row.started_at),
            duration_ms: row.duration_ms,
            status: row.status,
            error: given(row.error),
            response: given(row.response),
        });
        Self { delivery: delivery.into(), data: shown(&delivery.event), attempts: attempts.collect() }
    }
}

fn shown(event: &Event) -> Value {
    let json = is_json(&event.datacontenttype).then(|| serde_json::from_slice(&event.data).ok()).flatten();
    json.unwrap_or_else(|| json!({ "base64": STANDARD.encode(&event.data) }))
}
